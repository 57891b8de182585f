"""Whether gold prompts are a random draw from all prompts, with the probabilities stated."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import Bools, Codes, Floats
from seal_datasets.estimate.linear import first_rows, group_sums

# A draw this many standard errors from its stated probabilities contradicts them: 1 in 2 million by chance.
_CONTRADICTION = 5.0
_SINGULAR = 1e-9


def prompt_probability(probability: Floats, codes: Codes, is_gold: Bools, paired: Bools) -> Floats:
    """Each prompt's stated probability of gold labels, held against the draw.

    Args:
        probability (`ndarray` of shape (n,)): As stated by text; nan where it is not known.
        codes (`ndarray` of shape (n,)): Prompt of each text.
        is_gold (`ndarray` of shape (G,)): Prompts that are gold.
        paired (`ndarray` of shape (G,)): Prompts that could be drawn.

    Returns:
        `ndarray` of shape (G,): Probabilities; nan where they are not known, and differ between gold prompts.

    Raises:
        DataError: A probability is not in (0, 1] or differs within a prompt. A prompt of probability 1 is not gold, or the
            number of gold prompts contradicts the probabilities.
    """
    outside = np.flatnonzero((probability <= 0) | (probability > 1) | (np.isnan(probability) & is_gold[codes]))
    if outside.size:
        raise DataError(
            f"gold_probability row {outside[0]} is {probability[outside[0]]:g}, needed is a number above 0 and up to 1"
        )
    first = first_rows(codes, len(paired))
    of_first = probability[first[codes]]
    uneven = np.flatnonzero((probability != of_first) & ~(np.isnan(probability) & np.isnan(of_first)))
    if uneven.size:
        row = uneven[0]
        raise DataError(
            f"gold_probability row {row} is {probability[row]:g}, but row {first[codes[row]]} of the same prompt has "
            f"{probability[first[codes[row]]]:g}; prompts are drawn whole, so give each of a prompt's texts one probability"
        )
    by_prompt = probability[first]
    unknown = np.isnan(by_prompt)
    if unknown.any():
        stated = by_prompt[is_gold]
        if (stated == stated[0]).all() and (by_prompt[~unknown] == stated[0]).all():
            by_prompt = np.full(len(by_prompt), stated[0])  # one probability for all
        else:
            _check_drawn(by_prompt[is_gold & paired], int(paired.sum()))
            return by_prompt
    certain = np.flatnonzero(paired & (by_prompt == 1) & ~is_gold)
    if certain.size:
        raise DataError(
            f"gold_probability row {first[certain[0]]} is 1, but its prompt lacks gold labels for every text and feature; "
            "label it, or state the probability with which it was drawn"
        )
    surprise = np.where(paired, is_gold - by_prompt, 0.0)
    spread = np.where(paired, by_prompt * (1 - by_prompt), 0.0)
    _check_counts(surprise, spread, by_prompt[paired].sum(), int((is_gold & paired).sum()))
    return by_prompt


def _check_counts(surprise: Floats, spread: Floats, expected: float, drawn: int) -> None:
    variance = spread.sum()
    if variance and abs(surprise.sum()) > _CONTRADICTION * math.sqrt(variance):
        raise DataError(
            f"gold_probability adds up to {expected:.1f} gold prompts, but gold_features has {drawn}; state the probabilities "
            "with which prompts were drawn, or omit them for a simple random sample"
        )


def _check_drawn(probability: Floats, n_prompts: int) -> None:
    """Hold the gold prompts' probabilities against the number of prompts, of which each stands for 1 / probability."""
    variance = float(((1 - probability) / probability**2).sum())
    total = float((1 / probability).sum())
    if abs(total - n_prompts) > _CONTRADICTION * math.sqrt(variance):
        raise DataError(
            f"by gold_probability the {len(probability)} gold prompts stand for {total:.0f} prompts, but there are "
            f"{n_prompts}; state the probabilities with which prompts were drawn, or omit them for a simple random sample"
        )


def drawn_balance_p_value(covariates: Floats, probability: Floats, is_gold: Bools) -> float:
    """As `balance_p_value`, from the probabilities of gold prompts alone.

    Args:
        covariates (`ndarray` of shape (G, q)): What is known of every prompt.
        probability (`ndarray` of shape (G,)): Probability of gold labels; read for gold prompts.
        is_gold (`ndarray` of shape (G,)): Prompts that are gold.

    Returns:
        `float`: p-value of the weighted means of gold prompts being those of all; nan where nothing varies. F with as many
        degrees of freedom as there are gold prompts beyond the covariates.

    Source: Horvitz and Thompson (1952), with the variance of a Poisson draw.
    """
    p = probability[is_gold]
    weights = 1 / p
    centred = covariates[is_gold] - covariates.mean(axis=0)
    scale = np.sqrt((weights * (1 - p)) @ centred**2)
    varies = scale > _SINGULAR * np.abs(covariates).max(axis=0, initial=0.0)
    if not varies.any():
        return math.nan
    centred = centred[:, varies] / scale[varies]
    total = weights @ centred
    rows = centred * (np.sqrt(1 - p) * weights)[:, None]
    values, vectors = np.linalg.eigh(rows.T @ rows)
    solid = values > 1e-6 * values[-1]
    q, n = int(solid.sum()), len(p)
    if n <= q + 1:
        return math.nan
    statistic = float((((total @ vectors[:, solid]) ** 2) / values[solid]).sum())
    return float(stats.f.sf(statistic * (n - q) / (q * (n - 1)), q, n - q))


def balance_p_value(covariates: Floats, probability: Floats, is_gold: Bools) -> float:
    """Test that gold prompts are like the others in everything observed, given their probabilities.

    Args:
        covariates (`ndarray` of shape (G, q)): What is known of every prompt.
        probability (`ndarray` of shape (G,)): Probability of gold labels.
        is_gold (`ndarray` of shape (G,)): Prompts that are gold.

    Returns:
        `float`: p-value of the score test of no dependence; nan where nothing varies. Chi-squared with two moments matched,
        since a few gold prompts make its tail heavy.

    Source: score test of a logistic regression of the draw with the probabilities' logits as offset.
    """
    spread = probability * (1 - probability)
    total = spread.sum()
    if total <= 0:
        return math.nan
    centred = covariates - spread @ covariates / total
    scale = np.sqrt(spread @ centred**2 / total)
    varies = scale > _SINGULAR * np.abs(covariates).max(axis=0, initial=0.0)
    if not varies.any():
        return math.nan
    centred = centred[:, varies] / scale[varies]
    values, vectors = np.linalg.eigh((centred * spread[:, None]).T @ centred)
    solid = values > _SINGULAR * values[-1]
    whitened = centred @ (vectors[:, solid] / np.sqrt(values[solid]))
    q = int(solid.sum())
    score = (is_gold - probability) @ whitened
    statistic = float(score @ score)
    fourth = float((spread * (1 - 6 * spread)) @ (whitened**2).sum(axis=1) ** 2)
    # Mean q, variance 2 q + fourth: a scaled chi-squared variable.
    stretch = max((2 * q + fourth) / (2 * q), 1e-3)
    return float(stats.chi2.sf(statistic / stretch, q / stretch))


def prompt_covariates(rewards: Floats, labels: Floats, within: Floats, codes: Codes, n_groups: int) -> Floats:
    """What is known of every prompt: number of texts, mean and spread of rewards and of each label.

    Args:
        rewards (`ndarray` of shape (n,)): Rewards.
        labels (`ndarray` of shape (n, k)): Labels.
        within (`ndarray` of shape (n, k + 1)): Labels and rewards less their prompt's mean.
        codes (`ndarray` of shape (n,)): Prompt of each text.
        n_groups (`int`): Number of prompts G.

    Returns:
        `ndarray` of shape (G, 2 k + 3): Covariates.
    """
    sizes = np.bincount(codes, minlength=n_groups)[:, None]
    sums = group_sums(np.column_stack([labels, rewards, within**2]), codes, n_groups) / sizes
    width = labels.shape[1] + 1
    return np.column_stack([sums[:, :width], np.sqrt(sums[:, width:]), sizes])

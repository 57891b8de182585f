"""Imprints corrected for wrong labels by gold labels of randomly drawn prompts.

Errors in a feature pull its imprint towards zero, and prompt effects amplify this: they remove what responses to a prompt
share, mostly truth, and keep the errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.corrected_inference import (
    CorrectedImprint,
    Correction,
    Scores,
    check_labelled_texts,
    corrected_rows,
    directions_of,
    effective_number,
    indefinite,
    invert_rates,
    variances,
)
from seal_datasets.estimate.gold_draw import balance_p_value, prompt_covariates, prompt_probability
from seal_datasets.estimate.inputs import Bools, Codes, Floats, confidence_level, finite, matrix, same_length
from seal_datasets.estimate.linear import demean
from seal_datasets.estimate.multiplicity import Adjustment

# With fewer gold prompts the errors that they show are too few: at 10, intervals cover the truth in 91 %.
_FEWEST_GOLD = 20
# Gold prompts that differ this clearly from the rest are no random draw.
_NOT_RANDOM = 0.001


def corrected_imprint(
    rewards: ArrayLike,
    features: ArrayLike,
    gold_features: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    feature_names: Sequence[str],
    *,
    gold_probability: ArrayLike | None = None,
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
) -> CorrectedImprint:
    """Estimate imprints from many labels and few gold ones, without assumptions about the labels' errors.

    Gold labels of randomly drawn prompts measure the bias of the labels' cross-products, and this bias is subtracted. The
    correction holds even if errors depend on the text's length or on its reward. It needs 20 gold prompts, drawn at random.

    Args:
        rewards (array-like of shape (n,)): One reward per text.
        features (array-like of shape (n, k)): The labels.
        gold_features (array-like of shape (n, k)): Gold labels; nan where missing. A prompt counts as gold if every
            text and feature has one.
        groups (sequence of shape (n,)): Prompt id of each text.
        feature_names (`Sequence[str]`): The k names.
        gold_probability (array-like of shape (n,), *optional*): Probability with which each text's prompt was drawn for gold
            labels; when omitted the share of gold prompts, as for a simple random sample.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `CorrectedImprint`: Naive and corrected imprints. Rows are withheld below 20 gold prompts, where gold prompts differ
        from the rest in what is observed (p < 0.001), and where errors leave a feature no variance.

    Raises:
        DataError: Shapes differ, a value is not finite, or no prompt is gold. A probability is not in (0, 1], differs within a
            prompt, or contradicts the gold prompts.

    Source: design-based supervised learning (Egami et al., 2023, arXiv 2306.04746) with prompts as units; at constant
    probability it is prediction-powered inference (Angelopoulos et al., 2023, arXiv 2301.09633) on all prompts.

    Example:

    ```python
    >>> labels, gold = [[1], [0], [1], [0], [0], [1]], [[1], [0], [1], [0], [1], [0]]  # the third prompt's are swapped
    >>> rewards, prompts = [2.0, 1.0, 3.0, 2.0, 1.0, 0.0], ["p", "p", "q", "q", "s", "s"]
    >>> row = corrected_imprint(rewards, labels, gold, prompts, ["polite"]).imprint[0]
    >>> round(row.naive_coefficient, 3), round(row.coefficient, 3)
    (0.333, 1.0)

    ```
    """
    confidence_level(confidence)
    y, x, codes, names = check_labelled_texts(rewards, features, groups, feature_names)
    gold = matrix(gold_features, "gold_features", *x.shape, allow_nan=True)
    n_groups = int(codes.max()) + 1
    paired, is_gold, is_partial = _gold_prompts(gold, codes)
    used, n_gold = int(paired.sum()), int(is_gold.sum())
    probability = np.full(n_groups, n_gold / used)
    if gold_probability is not None:
        stated = finite(gold_probability, "gold_probability")
        same_length(rewards=y, gold_probability=stated)
        probability = prompt_probability(stated, codes, is_gold, paired)
    within, outcome = demean(x, codes), demean(y[:, None], codes)[:, 0]
    known = prompt_covariates(y, x, np.column_stack([within, outcome]), codes, n_groups)
    # The draw may also depend on its stated probabilities otherwise than they say.
    covariates = np.column_stack([known, probability])
    balance = balance_p_value(covariates[paired], probability[paired], is_gold[paired])
    withheld = ""
    if n_gold < min(_FEWEST_GOLD, used):
        withheld = "too_few_gold_prompts"
    elif balance < _NOT_RANDOM:
        withheld = "gold_not_random"
    rows = is_gold[codes]
    within_gold = np.zeros_like(within)
    within_gold[rows] = demean(gold[rows], pd.factorize(codes[rows])[0])
    labels, truth = Scores(within, outcome, codes, n_groups), Scores(within_gold, outcome, codes, n_groups)
    correction = _correct(labels, truth, np.where(is_gold, 1 / probability, 0.0), withheld)
    found, family_size = corrected_rows(names, correction, adjust, confidence)
    return CorrectedImprint(
        found,
        "design-based correction by gold prompts (DSL)",
        used,
        n_gold,
        int(is_partial.sum()),
        balance,
        _warnings(n_gold, int(is_partial.sum()), balance),
        adjust,
        family_size,
    )


def _correct(labels: Scores, truth: Scores, weights: Floats, withheld: str) -> Correction:
    """Correct the labels' products by those of gold prompts, which stand for `weights` prompts each."""
    codes = labels.codes
    n_prompts = int((np.bincount(codes) > 1).sum())
    # Weights add up to the prompts, as in a ratio estimate.
    weights = weights * n_prompts / weights.sum()
    by_text = weights[codes][:, None]
    naive_bread, naive_identified = invert_rates(labels.rows.T @ labels.rows)
    naive = np.where(naive_identified, naive_bread @ (labels.rows.T @ labels.outcome), np.nan)
    gram = (labels.rows * (1 - by_text)).T @ labels.rows + (truth.rows * by_text).T @ truth.rows
    cross = (labels.rows * (1 - by_text) + truth.rows * by_text).T @ labels.outcome
    bread, identified = invert_rates(gram)
    beta = bread @ cross
    directions = directions_of(bread, identified)
    parts = [side.moments(beta, directions) for side in (labels, truth)]
    gold = (weights > 0)[:, None]
    slopes = np.where(np.nansum(parts[0][1], axis=0) > 0, parts[0][1], parts[1][1])
    freedom = np.minimum(effective_number(weights), effective_number(np.nan_to_num(slopes))) - 1
    scores, tilts = (
        _influence(base, np.where(gold, right - base, 0.0), weights, np.bincount(codes) > 1)
        for base, right in zip(*parts, strict=True)
    )
    moments, rounding = variances(scores, tilts, bread, labels.outcome, freedom)
    varies = (labels.rows != 0).any(axis=0) | (truth.rows != 0).any(axis=0)
    withheld = withheld or ("no_variance_left" if indefinite(gram) else "")
    with np.errstate(divide="ignore"):
        slope = np.where(identified, 1 / np.diag(bread), np.nan)
    return Correction(naive, np.where(identified, beta, np.nan), varies, slope, moments, rounding, freedom, withheld)


def _influence(base: Floats, corrections: Floats, weights: Floats, paired: Bools) -> Floats:
    """Each prompt's part in a corrected total: its own deviation and its deviation as one of the gold prompts."""
    own = np.where(paired[:, None], base - base[paired].mean(axis=0), 0.0)
    mean = weights @ corrections / weights.sum()
    return np.asarray(own + weights[:, None] * (corrections - mean), dtype=np.float64)


def _gold_prompts(gold: Floats, codes: Codes) -> tuple[Bools, Bools, Bools]:
    """Prompts with at least two texts; those with all gold labels; those with some."""
    n_groups = int(codes.max()) + 1
    sizes = np.bincount(codes, minlength=n_groups)
    complete = np.bincount(codes, weights=~np.isnan(gold).any(axis=1), minlength=n_groups)
    some = np.bincount(codes, weights=~np.isnan(gold).all(axis=1), minlength=n_groups)
    paired = sizes > 1
    is_gold = (complete == sizes) & paired
    if not is_gold.any():
        raise DataError(
            "gold_features has no prompt with gold labels for every text and feature; label whole prompts by hand"
        )
    return paired, is_gold, (some > 0) & ~is_gold & paired


def _warnings(n_gold: int, n_partial: int, balance: float) -> tuple[str, ...]:
    found = []
    if n_gold < _FEWEST_GOLD and not np.isnan(balance):
        found.append(f"{n_gold} gold prompts are too few; label {_FEWEST_GOLD} or more, drawn at random")
    if n_partial:
        found.append(
            f"{n_partial} prompts have gold labels for some texts or features only and are not used; if labels are missing for "
            "a reason, the gold prompts are no random draw"
        )
    if balance < _NOT_RANDOM:
        found.append(
            f"gold prompts differ from the others in rewards, labels or numbers of texts (p = {balance:.1g}), so they are no "
            "random draw; state gold_probability, or label a random sample"
        )
    return tuple(found)

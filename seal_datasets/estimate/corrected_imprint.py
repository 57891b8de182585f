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
from seal_datasets.estimate.gold_prompts import GoldPrompts, gold_prompts
from seal_datasets.estimate.inputs import Floats, confidence_level, matrix
from seal_datasets.estimate.linear import demean
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.reward_scale import Scale


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
            labels; nan where it is not known, which is only for prompts without. When omitted the share of gold prompts, as for
            a simple random sample.
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
    drawn = gold_prompts(y, x, gold, codes, gold_probability)
    labels, truth = gold_scores(drawn, x, gold, demean(y[:, None], codes)[:, 0])
    found, family_size = corrected_rows(names, correct(drawn, labels, truth), adjust, confidence)
    return CorrectedImprint(
        found,
        "design-based correction by gold prompts (DSL)",
        int(drawn.paired.sum()),
        int(drawn.is_gold.sum()),
        drawn.n_partial,
        drawn.balance,
        drawn.warnings,
        adjust,
        family_size,
    )


def gold_scores(drawn: GoldPrompts, labels: Floats, gold: Floats, outcome: Floats) -> tuple[Scores, Scores]:
    """Products of prompts by their labels, and those of gold prompts by their gold labels.

    Args:
        drawn (`GoldPrompts`): The draw.
        labels (`ndarray` of shape (n, k)): Labels.
        gold (`ndarray` of shape (n, k)): Gold labels.
        outcome (`ndarray` of shape (n,)): Rewards less their prompt's mean.

    Returns:
        `tuple[Scores, Scores]`: Both.
    """
    codes, n_groups = drawn.codes, len(drawn.weights)
    within = demean(labels, codes)
    rows = drawn.is_gold[codes]
    within_gold = np.zeros_like(within)
    within_gold[rows] = demean(gold[rows], pd.factorize(codes[rows])[0])
    return Scores(within, outcome, codes, n_groups), Scores(within_gold, outcome, codes, n_groups)


def correct(
    drawn: GoldPrompts, labels: Scores, truth: Scores, scale: Scale | None = None, *, turns: Floats | None = None
) -> Correction:
    """Correct the labels' products by those of gold prompts.

    Args:
        drawn (`GoldPrompts`): The draw.
        labels (`Scores`): Products by the labels.
        truth (`Scores`): Products of gold prompts by their gold labels.
        scale (`Scale`, *optional*): What turns points into units; coefficients are in points when omitted.
        turns (`ndarray` of shape (G, k), *optional*): Prompts' further influence on the coefficients, of scales in the outcome.

    Returns:
        `Correction`: Naive and corrected coefficients, and what they rest on.
    """
    by_text = drawn.weights[labels.codes][:, None]
    naive_bread, naive_identified = invert_rates(labels.rows.T @ labels.rows)
    naive = np.where(naive_identified, naive_bread @ (labels.rows.T @ labels.outcome), np.nan)
    gram = (labels.rows * (1 - by_text)).T @ labels.rows + (truth.rows * by_text).T @ truth.rows
    cross = (labels.rows * (1 - by_text) + truth.rows * by_text).T @ labels.outcome
    bread, identified = invert_rates(gram)
    beta = bread @ cross
    directions = directions_of(bread, identified)
    parts = [side.moments(beta, directions) for side in (labels, truth)]
    slopes = np.where(np.nansum(parts[0][1], axis=0) > 0, parts[0][1], parts[1][1])
    freedom = np.minimum(effective_number(drawn.weights), effective_number(np.nan_to_num(slopes))) - 1
    scores, tilts = (drawn.influence(base, right) for base, right in zip(*parts, strict=True))
    with np.errstate(divide="ignore"):
        slope = np.where(identified, 1 / np.diag(bread), np.nan)
    outcome = labels.outcome
    if scale is not None:
        scores = scale.weight * scores + scale.influence[:, None] * (slope * beta)
        naive, beta, outcome = naive * scale.weight, beta * scale.weight, outcome * scale.weight
    if turns is not None:
        scores = scores + slope * turns
    moments, rounding = variances(scores, tilts, bread, outcome, freedom)
    varies = (labels.rows != 0).any(axis=0) | (truth.rows != 0).any(axis=0)
    withheld = drawn.withheld or ("no_variance_left" if indefinite(gram) else "")
    return Correction(naive, np.where(identified, beta, np.nan), varies, slope, moments, rounding, freedom, withheld)

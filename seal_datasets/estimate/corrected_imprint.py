"""Imprints corrected for wrong labels, by gold labels or by known error rates.

Errors in a feature pull its imprint towards zero, and prompt effects amplify this: they remove what responses to a prompt
share, mostly truth, and keep the errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from seal_datasets.errors import DataError
from seal_datasets.estimate.inference import infer
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    confidence_level,
    finite,
    group_codes,
    indicator,
    matrix,
    same_length,
    unique_names,
)
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.linear import cluster_scores, demean, group_sums, rounded_variances
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.result import Result

# Eigenvalues of a scaled Gram matrix below this share of the largest count as 0.
_SINGULAR = 1e-10
# Levels of added error of SIMEX, in multiples of the labels' own.
_LEVELS = (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class CorrectedRow(Result):
    """The naive and the corrected imprint of one feature; other fields as in `ImprintRow`.

    Attributes:
        feature (`str`): Name.
        naive_coefficient (`float`): From the labels, uncorrected.
        coefficient (`float`): Corrected.
        std_error (`float`): Clustered by prompt; includes the sampling error of the gold labels.
        p_value (`float`): Two-sided.
        p_adjusted (`float`): Adjusted within the regression.
        confidence_interval (`tuple[float, float]`): Around the corrected coefficient.
        status (`str`): `ok`, or the reason for a missing number; values as in `ImprintRow`.
    """

    feature: str
    naive_coefficient: float
    coefficient: float
    std_error: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    status: str


@dataclass(frozen=True, slots=True)
class CorrectedImprint(Result):
    """Imprints corrected for wrong labels.

    Attributes:
        imprint (`tuple[CorrectedRow, ...]`): One row per feature.
        method (`str`): The correction.
        n_prompts (`int`): Prompts with at least two texts.
        n_gold_prompts (`int`): Those with gold labels for every text and feature.
        n_partial_prompts (`int`): Prompts with some gold labels only; these are not used as gold.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Tests adjusted for.
    """

    imprint: tuple[CorrectedRow, ...]
    method: str
    n_prompts: int
    n_gold_prompts: int
    n_partial_prompts: int
    adjust: str
    family_size: int


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
    correction holds even if errors depend on the text's length or on its reward.

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
        `CorrectedImprint`: Naive and corrected imprints.

    Raises:
        DataError: Shapes differ, a value is not finite, no prompt is gold, or a probability is not in (0, 1].

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
    gold = _check_gold(gold_features, x.shape)
    n_groups = int(codes.max()) + 1
    paired, is_gold, is_partial = _gold_prompts(gold, codes)
    if gold_probability is None:
        probability = np.full(n_groups, is_gold.sum() / paired.sum())
    else:
        probability = np.empty(n_groups)
        probability[codes] = _check_probability(gold_probability, len(y))
    within, outcome = demean(x, codes), demean(y[:, None], codes)[:, 0]
    rows = is_gold[codes]
    within_gold = np.zeros_like(within)
    within_gold[rows] = demean(gold[rows], pd.factorize(codes[rows])[0])
    # A gold prompt contributes its weighted gold products, less the same weight of its labels' products.
    weight = np.where(rows, 1 / probability[codes], 0.0)[:, None]
    naive, _ = _least_squares(within, outcome, codes, n_groups)
    gram = (within * (1 - weight)).T @ within + (within_gold * weight).T @ within_gold
    cross = (within * (1 - weight) + within_gold * weight).T @ outcome
    bread, identified = invert_rates(gram)
    beta = bread @ cross
    scores = within * ((1 - weight[:, 0]) * (outcome - within @ beta))[:, None]
    scores += within_gold * (weight[:, 0] * (outcome - within_gold @ beta))[:, None]
    influence = group_sums(scores, codes, n_groups) @ bread
    used = int(paired.sum())
    variances = np.diag(influence.T @ influence * used / max(used - 1, 1))
    rounding = rounded_variances(bread, float(np.abs(outcome).max(initial=0.0)))
    errors = np.sqrt(np.where(variances <= rounding, 0.0, variances)) if used > 1 else np.full(len(names), np.nan)
    correction = _Correction(
        naive=naive,
        coefficients=np.where(identified, beta, np.nan),
        errors=errors,
        varies=(within != 0).any(axis=0) | (within_gold != 0).any(axis=0),
        method="design-based correction by gold prompts (DSL)",
        n_prompts=used,
        n_gold_prompts=int(is_gold.sum()),
        n_partial_prompts=int(is_partial.sum()),
    )
    return _corrected_result(names, correction, adjust, confidence)


def simex_imprint(
    rewards: ArrayLike,
    features: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    feature_names: Sequence[str],
    *,
    sensitivity: Mapping[str, float],
    specificity: Mapping[str, float],
    n_replicates: int = 50,
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    seed: int = 0,
) -> CorrectedImprint:
    """Estimate imprints by simulating added label errors of known rates and extrapolating back to zero error.

    Use it where error rates are known but no gold labels exist. Errors are assumed to depend on the truth only. The
    quadratic extrapolation removes most of the bias, not all.

    Args:
        rewards (array-like of shape (n,)): One reward per text.
        features (array-like of shape (n, k)): The labels; features with rates must be 0 or 1.
        groups (sequence of shape (n,)): Prompt id of each text.
        feature_names (`Sequence[str]`): The k names.
        sensitivity (`Mapping[str, float]`): By feature; other features are assumed correct.
        specificity (`Mapping[str, float]`): By feature, for the same features.
        n_replicates (`int`, defaults to 50): Draws at each level of added error.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        seed (`int`, defaults to 0): Seed of the draws.

    Returns:
        `CorrectedImprint`: Naive and extrapolated imprints. Errors extrapolate the sampling variance less that of the
        added error, with the rates taken as known.

    Raises:
        DataError: A feature with rates is not 0 or 1, a rate is missing, or sensitivity and specificity add up to 1 or less.

    Source: MC-SIMEX, Kuchenhoff, Mwalili and Lesaffre (2006); variance after Stefanski and Cook (1995).

    Example:

    ```python
    >>> rng = np.random.default_rng(0)
    >>> truth = (rng.random(4000) < 0.5).astype(float)
    >>> labels = np.where(rng.random(4000) < 0.1, 1 - truth, truth)
    >>> rates = {"polite": 0.9}
    >>> row = simex_imprint(
    ...     truth, labels[:, None], np.arange(4000) // 2, ["polite"], sensitivity=rates, specificity=rates
    ... ).imprint[0]
    >>> round(row.naive_coefficient, 1), round(row.coefficient, 1)
    (0.8, 1.0)

    ```
    """
    confidence_level(confidence)
    y, x, codes, names = check_labelled_texts(rewards, features, groups, feature_names)
    if set(sensitivity) != set(specificity) or not set(sensitivity) <= set(names):
        raise DataError(
            f"sensitivity names {sorted(sensitivity)} and specificity {sorted(specificity)}; name the same features in both, "
            "all of them among feature_names"
        )
    matrices = {}
    for name in sensitivity:
        hit, passed = sensitivity[name], specificity[name]
        if not (0 < hit <= 1 and 0 < passed <= 1 and hit + passed > 1):
            raise DataError(
                f"{name}: sensitivity {hit} and specificity {passed} must lie in (0, 1] and add up to more than 1; "
                "labels no better than chance cannot be extrapolated"
            )
        column = names.index(name)
        indicator(x[:, column], f"features column {name!r}")
        matrices[column] = np.array([[passed, 1 - hit], [1 - passed, hit]])
    outcome, n_groups = demean(y[:, None], codes)[:, 0], int(codes.max()) + 1
    naive, base = _least_squares(demean(x, codes), outcome, codes, n_groups)
    rng = np.random.default_rng(seed)
    points, variances = [naive], [base]
    for level in _LEVELS:
        betas, sampling = [], []
        for _ in range(n_replicates):
            noisy = _add_errors(x, matrices, level, rng)
            beta, variance = _least_squares(demean(noisy, codes), outcome, codes, n_groups)
            betas.append(beta)
            sampling.append(variance)
        points.append(np.mean(betas, axis=0))
        variances.append(np.mean(sampling, axis=0) - np.var(betas, axis=0, ddof=1))
    grid = np.vander(np.r_[0.0, _LEVELS], 3)
    # Value of the fitted quadratic at level -1, where no error is left.
    extrapolation = np.array([1.0, -1.0, 1.0]) @ np.linalg.pinv(grid)
    variance = extrapolation @ np.array(variances)
    correction = _Correction(
        naive=naive,
        coefficients=extrapolation @ np.array(points),
        errors=np.sqrt(np.where(variance > 0, variance, np.nan)),
        varies=(demean(x, codes) != 0).any(axis=0),
        method=f"MC-SIMEX, quadratic extrapolation, {n_replicates} replicates",
        n_prompts=int((np.bincount(codes) > 1).sum()),
        n_gold_prompts=0,
        n_partial_prompts=0,
    )
    return _corrected_result(names, correction, adjust, confidence)


def invert_rates(gram: Floats) -> tuple[Floats, Bools]:
    """Pseudo-inverse of a Gram matrix, and which coefficients it determines."""
    scale = np.sqrt(np.abs(np.diag(gram)))
    safe = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(safe, safe))
    solid = np.abs(values) > _SINGULAR * np.abs(values).max(initial=0.0)
    bread = (vectors[:, solid] / values[solid]) @ vectors[:, solid].T / np.outer(safe, safe)
    outside = 1 - (vectors[:, solid] ** 2).sum(axis=1)
    return bread, np.asarray((scale > 0) & (outside < 1e-6), dtype=bool)


def indefinite(gram: Floats) -> bool:
    """Whether a corrected Gram matrix has an eigenvalue below 0 by more than rounding."""
    scale = np.sqrt(np.abs(np.diag(gram)))
    safe = np.where(scale > 0, scale, 1.0)
    values = np.linalg.eigvalsh(gram / np.outer(safe, safe))
    return bool(values[0] < -_SINGULAR * np.abs(values).max())


def _least_squares(x: Floats, y: Floats, codes: Codes, n_groups: int) -> tuple[Floats, Floats]:
    """Coefficients and their clustered variances."""
    bread, identified = invert_rates(x.T @ x)
    beta = bread @ (x.T @ y)
    influence = cluster_scores(x, y - x @ beta, codes) @ bread
    variances = (influence**2).sum(axis=0) * n_groups / max(n_groups - 1, 1)
    variances = np.where(variances <= rounded_variances(bread, float(np.abs(y).max(initial=0.0))), 0.0, variances)
    return np.where(identified, beta, np.nan), np.where(identified, variances, np.nan)


def check_labelled_texts(
    rewards: ArrayLike, features: ArrayLike, groups: Sequence[Any] | NDArray[Any], feature_names: Sequence[str]
) -> tuple[Floats, Floats, Codes, tuple[str, ...]]:
    """Check labelled texts, and return rewards, features, prompt codes and names."""
    names = unique_names(feature_names)
    y, codes = finite(rewards, "rewards"), group_codes(groups, "groups")
    n = same_length(rewards=y, groups=codes)
    return y, matrix(features, "features", n, len(names)), codes, names


def _check_gold(gold_features: ArrayLike, shape: tuple[int, ...]) -> Floats:
    gold = np.asarray(gold_features, dtype=np.float64)
    if gold.shape != shape:
        raise DataError(f"gold_features has shape {gold.shape}, needed is {shape}: rows by feature names")
    if np.isinf(gold).any():
        raise DataError(
            f"gold_features row {int(np.argwhere(np.isinf(gold))[0, 0])} is infinite; nan marks a missing label"
        )
    return gold


def _check_probability(gold_probability: ArrayLike, n: int) -> Floats:
    probability = finite(gold_probability, "gold_probability")
    same_length(rewards=np.empty(n), gold_probability=probability)
    bad = np.flatnonzero((probability <= 0) | (probability > 1))
    if bad.size:
        raise DataError(
            f"gold_probability row {bad[0]} is {probability[bad[0]]:g}, needed is a number above 0 and up to 1"
        )
    return probability


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


def _add_errors(x: Floats, matrices: Mapping[int, Floats], level: float, rng: np.random.Generator) -> Floats:
    """Flip labels at random, by a power of each column's matrix of error rates."""
    noisy = x.copy()
    for column, rates in matrices.items():
        powers = np.real(linalg.fractional_matrix_power(rates, level))
        stays = powers.diagonal()[x[:, column].astype(int)]
        noisy[:, column] = np.where(rng.random(len(x)) < stays, x[:, column], 1 - x[:, column])
    return noisy


@dataclass(frozen=True, slots=True)
class _Correction:
    """Naive and corrected coefficients, each array of shape (k,), and what they rest on."""

    naive: Floats
    coefficients: Floats
    errors: Floats
    varies: Bools
    method: str
    n_prompts: int
    n_gold_prompts: int
    n_partial_prompts: int


def _corrected_result(
    names: tuple[str, ...], correction: _Correction, adjust: Adjustment, confidence: float
) -> CorrectedImprint:
    """Add tests and intervals to a correction."""
    freedom = correction.n_prompts - 1
    inference = infer(
        correction.coefficients,
        correction.errors,
        freedom,
        constant=~correction.varies,
        uninformed=np.zeros(len(names), dtype=bool),
        why_no_error="too_few_clusters" if freedom < 1 else "no_residual_variation",
        adjust=adjust,
        confidence=confidence,
    )
    rows = tuple(
        CorrectedRow(
            name,
            float(correction.naive[i]) if correction.varies[i] else math.nan,
            float(inference.coefficients[i]),
            float(inference.errors[i]),
            float(inference.p_values[i]),
            float(inference.p_adjusted[i]),
            (float(inference.low[i]), float(inference.high[i])),
            inference.statuses[i],
        )
        for i, name in enumerate(names)
    )
    return CorrectedImprint(
        rows,
        correction.method,
        correction.n_prompts,
        correction.n_gold_prompts,
        correction.n_partial_prompts,
        adjust,
        inference.family_size,
    )

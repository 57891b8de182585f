"""Imprints from labels that are sometimes wrong: error rates, corrections, and how wrong is too wrong.

Errors in a feature pull its imprint towards zero, and prompt effects make it worse: they take out what responses to a prompt
share, truth above all, and leave the errors in.
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
from seal_datasets.estimate.intervals import Interval, critical_value, wilson
from seal_datasets.estimate.linear import PERFECT, cluster_scores, demean, group_sums, rounded_variances
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.result import Result

_RATES = tuple(percent / 100 for percent in range(31))
# A feature whose corrected variance within prompts is below this share of the observed one is all error.
_LEAST_SIGNAL = 1e-3
# Share of the largest eigenvalue of a scaled Gram matrix below which one is 0.
_SINGULAR = 1e-10


@dataclass(frozen=True, slots=True)
class ErrorRates(Result):
    """How often labels of a yes/no feature are wrong.

    Attributes:
        sensitivity (`float`): Share of the texts with the feature that are labelled so; nan without such a text.
        sensitivity_interval (`tuple[float, float]`): Wilson.
        specificity (`float`): Share of the texts without the feature that are labelled so; nan without such a text.
        specificity_interval (`tuple[float, float]`): Wilson.
        n_with (`int`): Gold texts with the feature.
        n_without (`int`): Gold texts without it.
    """

    sensitivity: float
    sensitivity_interval: Interval
    specificity: float
    specificity_interval: Interval
    n_with: int
    n_without: int


@dataclass(frozen=True, slots=True)
class CorrectedRow(Result):
    """The imprint of one feature as labelled, and corrected; other fields as in `ImprintRow`.

    Attributes:
        feature (`str`): Name.
        naive_coefficient (`float`): From the labels as they are.
        coefficient (`float`): Corrected.
        std_error (`float`): Clustered by prompt; allows for the gold sample being a sample.
        p_value (`float`): Two-sided.
        p_adjusted (`float`): Adjusted within the regression.
        confidence_interval (`tuple[float, float]`): Around the corrected coefficient.
        status (`str`): `ok`, or why there is no number.
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
        method (`str`): How they were corrected.
        n_prompts (`int`): Prompts with at least two texts.
        n_gold_prompts (`int`): Those with gold labels for every text and feature.
        n_partial_prompts (`int`): Those with some gold labels, which count as none.
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


@dataclass(frozen=True, slots=True)
class ErrorCurve(Result):
    """A feature's imprint were its labels wrong at given rates.

    Attributes:
        feature (`str`): Name.
        rates (`tuple[float, ...]`): Shares of labels that are wrong, either way.
        coefficients (`tuple[float, ...]`): Imprint at each rate; nan where so many errors leave no signal in the labels.
        confidence_intervals (`tuple[tuple[float, float], ...]`): Around them, by the delta method, the rate taken as known.
        sign_flips_at (`float`): Smallest rate with another sign than at 0; nan if there is none.
        insignificant_at (`float`): Smallest rate whose interval holds 0; nan if there is none.
        largest_rate (`float`): Largest rate the labels' variance allows.
    """

    feature: str
    rates: tuple[float, ...]
    coefficients: tuple[float, ...]
    confidence_intervals: tuple[Interval, ...]
    sign_flips_at: float
    insignificant_at: float
    largest_rate: float


def label_error_rates(labels: ArrayLike, gold: ArrayLike, *, confidence: float = 0.95) -> ErrorRates:
    """Measure how often labels of a yes/no feature are wrong, by what is true.

    Args:
        labels (array-like of shape (n,)): The labeler's labels, 0 or 1.
        gold (array-like of shape (n,)): What is true of the same texts, 0 or 1.
        confidence (`float`, defaults to 0.95): Level of the intervals, texts taken as independent.

    Returns:
        `ErrorRates`: Sensitivity and specificity.

    Raises:
        DataError: Lengths differ or a label is neither 0 nor 1.

    Example:

    ```python
    >>> found = label_error_rates([1, 1, 0, 0, 1], [1, 1, 1, 0, 0])
    >>> round(found.sensitivity, 3), found.specificity
    (0.667, 0.5)

    ```
    """
    confidence_level(confidence)
    given, truth = indicator(labels, "labels"), indicator(gold, "gold")
    same_length(labels=given, gold=truth)
    n_with, n_without = int(truth.sum()), int((~truth).sum())
    hits, passes = int((given & truth).sum()), int((~given & ~truth).sum())
    return ErrorRates(
        hits / n_with if n_with else math.nan,
        wilson(hits, n_with, confidence=confidence),
        passes / n_without if n_without else math.nan,
        wilson(passes, n_without, confidence=confidence),
        n_with,
        n_without,
    )


def implied_error_rate(labels: ArrayLike, other: ArrayLike, *, confidence: float = 0.95) -> tuple[float, Interval]:
    """How often two labelers must be wrong to disagree as often as they do, were they equally good and wrong independently.

    Without gold this is what two labelers, or one asked twice, can say. Labelers of one kind are wrong together: then it is too
    low. It feeds `simex_imprint` and tells where on `label_error_curve` to look.

    Args:
        labels (array-like of shape (n,)): The labeler's labels, 0 or 1.
        other (array-like of shape (n,)): Another labeler's of the same texts, 0 or 1.
        confidence (`float`, defaults to 0.95): Level of the interval, Wilson's of the disagreement, transformed.

    Returns:
        `tuple[float, tuple[float, float]]`: Share of wrong labels e, with 2 e (1 - e) the share of disagreements, and its
        interval; 1/2 where labelers disagree on half of the texts or more.

    Raises:
        DataError: Lengths differ or a label is neither 0 nor 1.

    Example:

    ```python
    >>> rate, _ = implied_error_rate([1] * 50 + [0] * 50, [1] * 41 + [0] * 50 + [1] * 9)
    >>> round(rate, 3), round(2 * rate * (1 - rate), 3)
    (0.1, 0.18)

    ```
    """
    confidence_level(confidence)
    one, two = indicator(labels, "labels"), indicator(other, "other")
    n = same_length(labels=one, other=two)
    apart = int((one != two).sum())
    low, high = wilson(apart, n, confidence=confidence)
    rate, low, high = ((1 - math.sqrt(max(1 - 2 * share, 0.0))) / 2 for share in (apart / n, low, high))
    return rate, (low, high)


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
    """Estimate imprints from many labels and few gold ones, whatever the labels' errors depend on.

    Gold labels of prompts drawn at random say how far the labels' cross-products are off; the rest of the prompts' are moved
    by as much. Labels may err more often in long texts, or in texts the model likes: the correction holds all the same.

    Args:
        rewards (array-like of shape (n,)): One reward per text.
        features (array-like of shape (n, k)): The labels.
        gold_features (array-like of shape (n, k)): Gold labels, nan where there are none. A prompt counts as gold if every
            text and feature has one.
        groups (sequence of shape (n,)): Prompt id of each text.
        feature_names (`Sequence[str]`): The k names.
        gold_probability (array-like of shape (n,), *optional*): Probability with which each text's prompt was drawn to be
            labelled by hand; the share of gold prompts when omitted, which takes them for a simple random sample.
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
    y, x, codes, names = _texts(rewards, features, groups, feature_names)
    n, k = x.shape
    gold = np.asarray(gold_features, dtype=np.float64)
    if gold.shape != (n, k):
        raise DataError(f"gold_features has shape {gold.shape}, needed is ({n}, {k}): rows by feature names")
    if np.isinf(gold).any():
        raise DataError(
            f"gold_features row {int(np.argwhere(np.isinf(gold))[0, 0])} is infinite; nan marks a missing label"
        )
    n_groups = int(codes.max()) + 1
    known = ~np.isnan(gold).any(axis=1)
    sizes, with_gold = np.bincount(codes, minlength=n_groups), np.bincount(codes, weights=known, minlength=n_groups)
    some = np.bincount(codes, weights=~np.isnan(gold).all(axis=1), minlength=n_groups)
    paired = sizes > 1
    is_gold = (with_gold == sizes) & paired
    if not is_gold.any():
        raise DataError(
            "gold_features has no prompt with gold labels for every text and feature; label whole prompts by hand"
        )
    if gold_probability is None:
        probability = np.full(n_groups, is_gold.sum() / paired.sum())
    else:
        given = finite(gold_probability, "gold_probability")
        same_length(rewards=y, gold_probability=given)
        bad = np.flatnonzero((given <= 0) | (given > 1))
        if bad.size:
            raise DataError(
                f"gold_probability row {bad[0]} is {given[bad[0]]:g}, needed is a number above 0 and up to 1"
            )
        probability = np.empty(n_groups)
        probability[codes] = given
    within, outcome = demean(x, codes), demean(y[:, None], codes)[:, 0]
    rows = is_gold[codes]
    within_gold = np.zeros_like(within)
    within_gold[rows] = demean(gold[rows], pd.factorize(codes[rows])[0])
    # Of a gold prompt count its gold products, weighted, and what its labels' have too much.
    weight = np.where(rows, 1 / probability[codes], 0.0)[:, None]
    naive, _ = _least_squares(within, outcome, codes, n_groups)
    gram = (within * (1 - weight)).T @ within + (within_gold * weight).T @ within_gold
    cross = (within * (1 - weight) + within_gold * weight).T @ outcome
    bread, identified = _invert(gram)
    beta = bread @ cross
    scores = within * ((1 - weight[:, 0]) * (outcome - within @ beta))[:, None]
    scores += within_gold * (weight[:, 0] * (outcome - within_gold @ beta))[:, None]
    influence = group_sums(scores, codes, n_groups) @ bread
    used = int(paired.sum())
    covariance = influence.T @ influence * used / max(used - 1, 1)
    variances = np.diag(covariance)
    rounding = rounded_variances(bread, float(np.abs(outcome).max(initial=0.0)))
    varies = (within != 0).any(axis=0) | (within_gold != 0).any(axis=0)
    return _laid_out(
        names,
        naive,
        np.where(identified, beta, np.nan),
        np.sqrt(np.where(variances <= rounding, 0.0, variances)) if used > 1 else np.full(k, np.nan),
        used - 1,
        varies,
        "design-based correction by gold prompts (DSL)",
        (used, int(is_gold.sum()), int(((some > 0) & ~is_gold & paired).sum())),
        adjust,
        confidence,
    )


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
    """Estimate imprints by adding more label errors of known rates and extrapolating back to none.

    A second opinion where rates are known but not which labels are wrong. It takes errors to be independent of everything but
    the truth, and extrapolates by a quadratic, which takes off most of the bias and not all.

    Args:
        rewards (array-like of shape (n,)): One reward per text.
        features (array-like of shape (n, k)): The labels; features with rates must be 0 or 1.
        groups (sequence of shape (n,)): Prompt id of each text.
        feature_names (`Sequence[str]`): The k names.
        sensitivity (`Mapping[str, float]`): By feature; features left out are taken to be right.
        specificity (`Mapping[str, float]`): By feature, the same ones.
        n_replicates (`int`, defaults to 50): Draws at each level of added error.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        seed (`int`, defaults to 0): Of the draws.

    Returns:
        `CorrectedImprint`: Naive and extrapolated imprints; errors extrapolate the variance of sampling less that of the
        added error, and take the rates as known.

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
    y, x, codes, names = _texts(rewards, features, groups, feature_names)
    if set(sensitivity) != set(specificity) or not set(sensitivity) <= set(names):
        raise DataError("sensitivity and specificity must name the same features, all of them among feature_names")
    matrices = {}
    for name in sensitivity:
        hit, passed = sensitivity[name], specificity[name]
        if not (0 < hit <= 1 and 0 < passed <= 1 and hit + passed > 1):
            raise DataError(
                f"{name}: sensitivity {hit} and specificity {passed} must lie in (0, 1] and add up to more than 1; "
                "labels no better than chance hold nothing to extrapolate"
            )
        column = names.index(name)
        indicator(x[:, column], f"features column {name!r}")
        matrices[column] = np.array([[passed, 1 - hit], [1 - passed, hit]])
    levels = np.array([0.5, 1.0, 1.5, 2.0])
    outcome, n_groups = demean(y[:, None], codes)[:, 0], int(codes.max()) + 1
    naive, base = _least_squares(demean(x, codes), outcome, codes, n_groups)
    rng = np.random.default_rng(seed)
    points, variances = [naive], [base]
    for level in levels:
        drawn, inner = [], []
        for _ in range(n_replicates):
            noisy = x.copy()
            for column, matrix_ in matrices.items():
                powers = np.real(linalg.fractional_matrix_power(matrix_, level))
                stays = powers.diagonal()[x[:, column].astype(int)]
                noisy[:, column] = np.where(rng.random(len(x)) < stays, x[:, column], 1 - x[:, column])
            beta, variance = _least_squares(demean(noisy, codes), outcome, codes, n_groups)
            drawn.append(beta)
            inner.append(variance)
        points.append(np.mean(drawn, axis=0))
        variances.append(np.mean(inner, axis=0) - np.var(drawn, axis=0, ddof=1))
    grid = np.vander(np.r_[0.0, levels], 3)
    back = np.array([1.0, -1.0, 1.0]) @ np.linalg.pinv(grid)
    variance = back @ np.array(variances)
    sizes = np.bincount(codes)
    used = int((sizes > 1).sum())
    return _laid_out(
        names,
        naive,
        back @ np.array(points),
        np.sqrt(np.where(variance > 0, variance, np.nan)),
        used - 1,
        (demean(x, codes) != 0).any(axis=0),
        f"MC-SIMEX, quadratic extrapolation, {n_replicates} replicates",
        (used, 0, 0),
        adjust,
        confidence,
    )


def label_error_curve(
    rewards: ArrayLike,
    features: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    feature_names: Sequence[str],
    *,
    rates: Sequence[float] = _RATES,
    confidence: float = 0.95,
) -> tuple[ErrorCurve, ...]:
    """Ask, without gold labels, how wrong labels would have to be for an imprint to change its sign or significance.

    For each feature in turn a share of its labels is taken to be wrong, either way and independent of all else, the other
    features' to be right; the cross-products it should have had are then known in closed form.

    Args:
        rewards (array-like of shape (n,)): One reward per text.
        features (array-like of shape (n, k)): The labels, 0 or 1.
        groups (sequence of shape (n,)): Prompt id of each text.
        feature_names (`Sequence[str]`): The k names.
        rates (`Sequence[float]`): Shares of wrong labels to try, from 0 to below 1/2.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `tuple[ErrorCurve, ...]`: One curve per feature. Features that are not 0 or 1 have no curve and are an error.

    Raises:
        DataError: A label is neither 0 nor 1, or a rate is out of range.

    Example:

    ```python
    >>> labels, rewards = [[1], [0], [1], [0], [0], [1], [1], [0]], [2.0, 0.0, 1.0, 0.0, 1.0, 1.0, 2.0, 1.0]
    >>> curve = label_error_curve(rewards, labels, [1, 1, 2, 2, 3, 3, 4, 4], ["polite"], rates=[0.0, 0.1])[0]
    >>> [round(each, 2) for each in curve.coefficients]  # 2 / 2, and (2 / 0.8) / ((2 - 4 * 0.09) / 0.64)
    [1.0, 0.98]

    ```
    """
    confidence_level(confidence)
    y, x, codes, names = _texts(rewards, features, groups, feature_names)
    grid = finite(rates, "rates")
    if ((grid < 0) | (grid >= 0.5)).any():
        raise DataError("rates must lie from 0 to below 0.5; labels wrong half the time hold nothing")
    for column, name in enumerate(names):
        indicator(x[:, column], f"features column {name!r}")
    within, outcome = demean(x, codes), demean(y[:, None], codes)[:, 0]
    moments = _Moments(within, outcome, codes, within.T @ within, within.T @ outcome)
    sizes = np.bincount(codes)
    spare = np.where(sizes > 1, sizes - 1.0, 0.0)
    used = int((sizes > 1).sum())
    critical = critical_value(confidence, used - 1) if used > 1 else math.nan
    curves = []
    for j, name in enumerate(names):
        coefficients, intervals, largest = [], [], math.nan
        for rate in grid:
            beta, error = _at_rate(moments, spare, j, float(rate), used)
            coefficients.append(beta)
            intervals.append((beta - critical * error, beta + critical * error))
            largest = float(rate) if not math.isnan(beta) else largest
        first = np.sign(coefficients[0])
        flips = [rate for rate, each in zip(grid, coefficients, strict=True) if np.sign(each) == -first]
        covers = [rate for rate, (low, high) in zip(grid, intervals, strict=True) if low <= 0 <= high]
        curves.append(
            ErrorCurve(
                name,
                tuple(grid.tolist()),
                tuple(coefficients),
                tuple(intervals),
                float(flips[0]) if flips else math.nan,
                float(covers[0]) if covers else math.nan,
                largest,
            )
        )
    return tuple(curves)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Demeaned texts and their cross-products."""

    x: Floats
    y: Floats
    codes: Codes
    gram: Floats
    cross: Floats


def _at_rate(moments: _Moments, spare: Floats, j: int, rate: float, used: int) -> tuple[float, float]:
    """A feature's coefficient and error, were its labels wrong at a rate.

    A wrong label shrinks products with other columns by 1 - 2e. Its own square, over a prompt of m texts, is that of the truth
    times (1 - 2e)^2 and e (1 - e) for each of the m - 1 spare texts.
    """
    scale = np.ones(len(moments.cross))
    scale[j] = 1 / (1 - 2 * rate)
    excess = rate * (1 - rate) * scale[j] ** 2
    gram, cross = moments.gram * np.outer(scale, scale), moments.cross * scale
    gram[j, j] -= excess * spare.sum()
    bread, identified = _invert(gram)
    if gram[j, j] <= _LEAST_SIGNAL * moments.gram[j, j] or not identified[j] or _indefinite(gram):
        return math.nan, math.nan
    beta = bread @ cross
    # A sign is not to hang on rounding.
    size = PERFECT * math.sqrt(float(moments.y @ moments.y))
    beta = np.where(np.abs(beta) * np.sqrt(np.abs(np.diag(gram))) <= size, 0.0, beta)
    residuals = moments.y - moments.x @ (scale * beta)
    influence = np.bincount(moments.codes, weights=(moments.x @ (scale * bread[:, j])) * residuals)
    influence += excess * spare * beta[j] * bread[j, j]
    return float(beta[j]), math.sqrt(float((influence**2).sum()) * used / max(used - 1, 1))


def _invert(gram: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Pseudo-inverse of a Gram matrix, and the columns it determines."""
    scale = np.sqrt(np.abs(np.diag(gram)))
    safe = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(safe, safe))
    solid = np.abs(values) > _SINGULAR * np.abs(values).max(initial=0.0)
    bread = (vectors[:, solid] / values[solid]) @ vectors[:, solid].T / np.outer(safe, safe)
    outside = 1 - (vectors[:, solid] ** 2).sum(axis=1)
    return bread, np.asarray((scale > 0) & (outside < 1e-6), dtype=bool)


def _indefinite(gram: Floats) -> bool:
    """Whether a matrix that should be a Gram matrix has a negative eigenvalue, and not only a rounded 0."""
    scale = np.sqrt(np.abs(np.diag(gram)))
    safe = np.where(scale > 0, scale, 1.0)
    values = np.linalg.eigvalsh(gram / np.outer(safe, safe))
    return bool(values[0] < -_SINGULAR * np.abs(values).max())


def _least_squares(x: Floats, y: Floats, codes: Codes, n_groups: int) -> tuple[Floats, Floats]:
    """Coefficients and their clustered variances."""
    bread, identified = _invert(x.T @ x)
    beta = bread @ (x.T @ y)
    influence = cluster_scores(x, y - x @ beta, codes) @ bread
    variances = (influence**2).sum(axis=0) * n_groups / max(n_groups - 1, 1)
    variances = np.where(variances <= rounded_variances(bread, float(np.abs(y).max(initial=0.0))), 0.0, variances)
    return np.where(identified, beta, np.nan), np.where(identified, variances, np.nan)


def _texts(
    rewards: ArrayLike, features: ArrayLike, groups: Sequence[Any] | NDArray[Any], feature_names: Sequence[str]
) -> tuple[Floats, Floats, Codes, tuple[str, ...]]:
    names = unique_names(feature_names)
    y, codes = finite(rewards, "rewards"), group_codes(groups, "groups")
    n = same_length(rewards=y, groups=codes)
    return y, matrix(features, "features", n, len(names)), codes, names


def _laid_out(
    names: tuple[str, ...],
    naive: Floats,
    coefficients: Floats,
    errors: Floats,
    freedom: int,
    varies: NDArray[np.bool_],
    method: str,
    counts: tuple[int, int, int],
    adjust: Adjustment,
    confidence: float,
) -> CorrectedImprint:
    found = infer(
        coefficients,
        errors,
        freedom,
        constant=~varies,
        few=np.zeros(len(names), dtype=bool),
        why_no_error="too_few_clusters" if freedom < 1 else "no_residual_variation",
        adjust=adjust,
        confidence=confidence,
    )
    rows = tuple(
        CorrectedRow(
            name,
            float(naive[i]) if varies[i] else math.nan,
            float(found.coefficients[i]),
            float(found.errors[i]),
            float(found.p_values[i]),
            float(found.p_adjusted[i]),
            (float(found.low[i]), float(found.high[i])),
            found.statuses[i],
        )
        for i, name in enumerate(names)
    )
    return CorrectedImprint(rows, method, *counts, adjust, found.family_size)

"""Whether estimates of several audits differ: independent ones by their errors, imprints on shared texts pair by pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from seal_datasets.errors import DataError
from seal_datasets.estimate.imprint import imprint_trajectory
from seal_datasets.estimate.inputs import (
    Codes,
    Floats,
    confidence_level,
    finite,
    group_codes,
    matrix,
    same_length,
    unique_names,
)
from seal_datasets.estimate.intervals import Interval, critical_value, two_sided_p
from seal_datasets.estimate.linear import demean
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.random_effects import RandomEffects, random_effects
from seal_datasets.estimate.result import Result

# Share of a column's size below which its variation within prompts is rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Estimate(Result):
    """An estimate with its uncertainty.

    Attributes:
        estimate (`float`): The value; nan where undefined.
        std_error (`float`): Standard error; nan where unknown.
        confidence_interval (`tuple[float, float]`): Around the value, not adjusted.
    """

    estimate: float
    std_error: float
    confidence_interval: Interval


@dataclass(frozen=True, slots=True)
class PairedDifference(Result):
    """The difference of one feature's standardised imprints under two models on the same texts.

    Attributes:
        feature (`str`): Name.
        difference (`float`): `later` minus `earlier`, in standard deviations of reward per standard deviation of the feature.
        confidence_interval (`tuple[float, float]`): Clustered by prompt, not adjusted.
        p_value (`float`): Two-sided.
    """

    feature: str
    difference: float
    confidence_interval: Interval
    p_value: float


@dataclass(frozen=True, slots=True)
class Difference(Result):
    """The difference of two independent estimates.

    Attributes:
        earlier (`str`): Name of the estimate that is subtracted.
        later (`str`): Name of the other estimate.
        difference (`float`): `later` minus `earlier`.
        std_error (`float`): Root of the sum of the squared errors; nan where one is missing.
        confidence_interval (`tuple[float, float]`): By the normal distribution, not adjusted.
        p_value (`float`): Two-sided; nan without an error.
        p_adjusted (`float`): Adjusted over all differences of these estimates.
    """

    earlier: str
    later: str
    difference: float
    std_error: float
    confidence_interval: Interval
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class EstimateComparison(Result):
    """Comparison of several independent estimates of one quantity.

    Attributes:
        differences (`tuple[Difference, ...]`): One for each two estimates, in the order given.
        statistic (`float`): Cochran's Q, a chi-squared test that all are equal.
        degrees_of_freedom (`int`): Of Q: estimates with an error, less one.
        p_value (`float`): Of Q; nan for fewer than two estimates with an error.
        random_effects (`RandomEffects`): Mean of the estimates where true values may differ, and an interval of one more.
        adjust (`str`): How p-values of the differences are adjusted.
        family_size (`int`): Tests adjusted for.
    """

    differences: tuple[Difference, ...]
    statistic: float
    degrees_of_freedom: int
    p_value: float
    random_effects: RandomEffects
    adjust: str
    family_size: int


def compare_estimates(
    names: Sequence[str],
    estimates: ArrayLike,
    std_errors: ArrayLike,
    *,
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
) -> EstimateComparison:
    """Test whether independent estimates of one quantity differ: each two, and all jointly.

    Estimates that share pairs or prompts are not independent; compare those with `resistance_trajectory` and
    `imprint_trajectory`.

    Args:
        names (`Sequence[str]`): Name of each estimate.
        estimates (array-like of shape (m,)): The estimates; nan where undefined.
        std_errors (array-like of shape (m,)): Their standard errors; nan where unknown.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted over the differences.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `EstimateComparison`: The differences and a joint test.

    Raises:
        DataError: Lengths differ, there are fewer than two, a name is repeated, or an error is negative or infinite.

    Source: Wald's test of a difference; Cochran (1954) for all at once; Hartung and Knapp (2001) for their mean.

    Example:

    ```python
    >>> comparison = compare_estimates(["A", "B"], [1.0, 2.0], [0.3, 0.4])
    >>> row = comparison.differences[0]
    >>> row.difference, row.std_error, round(row.p_value, 4)  # z = 1 / sqrt(0.09 + 0.16) = 2
    (1.0, 0.5, 0.0455)

    ```
    """
    labels = unique_names(names, "names")
    values, errors = finite(estimates, "estimates", allow_nan=True), finite(std_errors, "std_errors", allow_nan=True)
    same_length(estimates=values, std_errors=errors)
    confidence_level(confidence)
    if len(labels) != len(values) or len(labels) < 2:
        raise DataError(
            f"names holds {len(labels)} entries and estimates {len(values)}; give as many of each, and at least two"
        )
    if (errors < 0).any():
        row = int(np.flatnonzero(errors < 0)[0])
        raise DataError(f"std_errors row {row} is {errors[row]:g}; a standard error is 0 or larger, or nan if unknown")
    half = critical_value(confidence, math.inf)
    rows = []
    for i, j in combinations(range(len(labels)), 2):
        difference, error = float(values[j] - values[i]), float(np.hypot(errors[i], errors[j]))
        error = error if error > 0 and not math.isnan(difference) else math.nan
        p = float(two_sided_p(np.array([difference / error]), math.inf)[0])
        interval = (difference - half * error, difference + half * error)
        rows.append(Difference(labels[i], labels[j], difference, error, interval, p, math.nan))
    p_values = np.array([row.p_value for row in rows])
    adjusted = adjust_p(p_values, adjust)
    statistic, freedom, joint = _cochran_test(values, errors)
    return EstimateComparison(
        tuple(replace(row, p_adjusted=float(p)) for row, p in zip(rows, adjusted, strict=True)),
        statistic,
        freedom,
        joint,
        random_effects(values, errors, confidence),
        adjust,
        int((~np.isnan(p_values)).sum()),
    )


def standardised_estimate(
    coefficient: float, std_error: float, standardised: float, *, confidence: float = 0.95
) -> Estimate:
    """Give a standardised imprint its error and interval, by the delta method with the scale taken as known.

    The error is scaled like the coefficient, so that z is that of the imprint itself.

    Args:
        coefficient (`float`): Imprint in reward points; not 0.
        std_error (`float`): Its standard error.
        standardised (`float`): The same imprint in standard deviations.
        confidence (`float`, defaults to 0.95): Level of the interval.

    Returns:
        `Estimate`: The standardised imprint.

    Raises:
        DataError: `coefficient` is 0, which leaves the scale undefined, or `confidence` is out of range.

    Example:

    ```python
    >>> standardised_estimate(4.0, 1.0, 0.2).std_error  # 1.0 * 0.2 / 4.0
    0.05

    ```
    """
    confidence_level(confidence)
    if coefficient == 0:
        raise DataError("coefficient is 0, so that its scale is undefined; give an imprint other than 0")
    error = std_error * standardised / coefficient
    half = critical_value(confidence, math.inf) * error
    return Estimate(standardised, error, (standardised - half, standardised + half))


def estimate_from_interval(value: float, interval: Interval, *, confidence: float = 0.95) -> Estimate:
    """Recover the standard error of an estimate from the width of its normal interval.

    Args:
        value (`float`): The estimate.
        interval (`tuple[float, float]`): Its interval; nan where an end is unknown.
        confidence (`float`, defaults to 0.95): Level of the interval.

    Returns:
        `Estimate`: The estimate; its error is nan where an end of the interval is.

    Raises:
        DataError: `confidence` is out of range.

    Example:

    ```python
    >>> round(estimate_from_interval(0.5, (0.402, 0.598)).std_error, 3)  # 0.196 / (2 * 1.96)
    0.05

    ```
    """
    confidence_level(confidence)
    low, high = interval
    return Estimate(value, (high - low) / (2 * critical_value(confidence, math.inf)), interval)


def compare_standardised_imprints(
    earlier: ArrayLike,
    later: ArrayLike,
    features: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    feature_names: Sequence[str],
    *,
    confidence: float = 0.95,
    min_information: float = 1.0,
) -> tuple[PairedDifference, ...]:
    """Test whether standardised imprints of two models differ on the same texts.

    Rewards and features are divided by the size of their variation within prompts, so that the unit of reward cancels.

    Args:
        earlier (array-like of shape (n,)): One reward per text, of the model that is subtracted.
        later (array-like of shape (n,)): Rewards of the other model.
        features (array-like of shape (n, k)): Features of each text.
        groups (sequence of shape (n,)): Prompt id of each text.
        feature_names (`Sequence[str]`): The k names.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_information (`float`, defaults to 1.0): Effective degrees of freedom that a feature needs.

    Returns:
        `tuple[PairedDifference, ...]`: One for each feature with a test; empty where a model's rewards, or all features, are
        constant within prompts.

    Raises:
        DataError: As for `imprint_trajectory`.

    Source: SEAL, Eq. (1), as in `imprint_trajectory`.

    Example:

    ```python
    >>> rows = compare_standardised_imprints(
    ...     [1.0, 0.0, 2.0, 2.0], [5.0, 0.0, 5.0, 0.0], [[1], [0], [1], [0]], ["p", "p", "q", "q"], ["polite"]
    ... )
    >>> round(rows[0].difference, 3)  # differences (1, 0) and (5, 5) have cosines sqrt(1/2) and 1 with (1, 1)
    0.293

    ```
    """
    names = unique_names(feature_names)
    rewards = {"earlier": finite(earlier, "earlier"), "later": finite(later, "later")}
    codes = group_codes(groups, "groups")
    x = matrix(features, "features", same_length(**rewards, groups=codes), len(names))
    scales = _within_sizes(x, codes)
    varies = scales > 0
    units = {model: float(_within_sizes(values[:, None], codes)[0]) for model, values in rewards.items()}
    if not varies.any() or min(units.values()) == 0:
        return ()
    trajectory = imprint_trajectory(
        {model: values / units[model] for model, values in rewards.items()},
        x[:, varies] / scales[varies],
        codes,
        [name for name, varying in zip(names, varies, strict=True) if varying],
        confidence=confidence,
        min_information=min_information,
    )
    return tuple(
        PairedDifference(row.feature, row.coefficient, row.confidence_interval, row.p_value)
        for row in trajectory.changes["later - earlier"].imprint
        if row.status == "ok"
    )


def _within_sizes(values: Floats, codes: Codes) -> Floats:
    """Root of each column's sum of squares within prompts; 0 where only rounding varies."""
    sizes = np.sqrt((demean(values, codes) ** 2).sum(axis=0))
    return np.where(sizes > _ROUNDING * np.sqrt((values**2).sum(axis=0)), sizes, 0.0)


def _cochran_test(values: Floats, errors: Floats) -> tuple[float, int, float]:
    """Statistic, degrees of freedom and p-value of Cochran's Q."""
    known = ~np.isnan(values) & (errors > 0)
    if known.sum() < 2:
        return math.nan, 0, math.nan
    weights = (errors[known].min() / errors[known]) ** 2
    mean = (weights * values[known]).sum() / weights.sum()
    with np.errstate(over="ignore"):  # tiny errors make the statistic inf and the p-value 0
        statistic = float((((values[known] - mean) / errors[known]) ** 2).sum())
    freedom = int(known.sum()) - 1
    return statistic, freedom, float(special.chdtrc(freedom, statistic))

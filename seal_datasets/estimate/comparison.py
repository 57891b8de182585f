"""Whether estimates made apart differ: of models on other data, of datasets under other models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import confidence_level, same_length, unique_names
from seal_datasets.estimate.intervals import Interval, critical_value, two_sided_p
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class Difference(Result):
    """One estimate less another that was made on other data.

    Attributes:
        earlier (`str`): Name of the one taken off.
        later (`str`): Name of the other.
        difference (`float`): Later less earlier.
        std_error (`float`): Root of the sum of the squared errors; nan where one is missing.
        confidence_interval (`tuple[float, float]`): By the normal distribution, not adjusted.
        p_value (`float`): Two-sided; nan where there is no error.
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
    """Several independent estimates of one quantity.

    Attributes:
        differences (`tuple[Difference, ...]`): Every two, in the order given.
        statistic (`float`): Cochran's Q, a chi-squared test that all are equal.
        degrees_of_freedom (`int`): Of Q: estimates with an error, less one.
        p_value (`float`): Of Q; nan for fewer than two estimates with an error.
        adjust (`str`): How p-values of the differences are adjusted.
        family_size (`int`): Tests adjusted for.
    """

    differences: tuple[Difference, ...]
    statistic: float
    degrees_of_freedom: int
    p_value: float
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
    """Test whether independent estimates of one quantity differ, every two and all at once.

    Estimates that share pairs or prompts are not independent; `resistance_trajectory` and `imprint_trajectory` are for
    those.

    Args:
        names (`Sequence[str]`): What each estimate is of.
        estimates (array-like of shape (m,)): The estimates, nan where there is none.
        std_errors (array-like of shape (m,)): Their standard errors, nan where there is none.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted over the differences.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `EstimateComparison`: The differences and a joint test.

    Raises:
        DataError: Lengths differ, there are fewer than two, a name is repeated, or an error is negative or infinite.

    Source: Wald's test of a difference; Cochran (1954) for all at once.

    Example:

    ```python
    >>> found = compare_estimates(["A", "B"], [1.0, 2.0], [0.3, 0.4])
    >>> row = found.differences[0]
    >>> row.difference, row.std_error, round(row.p_value, 4)  # z = 1 / sqrt(0.09 + 0.16) = 2
    (1.0, 0.5, 0.0455)

    ```
    """
    labels = unique_names(names, "names")
    values, errors = (np.asarray(each, dtype=np.float64) for each in (estimates, std_errors))
    same_length(estimates=values, std_errors=errors)
    confidence_level(confidence)
    if len(labels) != len(values) or len(labels) < 2:
        raise DataError(f"names holds {len(labels)} and estimates {len(values)}; needed are as many, and at least two")
    if np.isinf(values).any() or np.isinf(errors).any() or (errors < 0).any():
        raise DataError("estimates and std_errors must be finite, or nan where there is none, and no error negative")
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
    statistic, freedom, joint = _all_equal(values, errors)
    return EstimateComparison(
        tuple(replace(row, p_adjusted=float(p)) for row, p in zip(rows, adjusted, strict=True)),
        statistic,
        freedom,
        joint,
        adjust,
        int((~np.isnan(p_values)).sum()),
    )


def _all_equal(values: np.ndarray[Any, Any], errors: np.ndarray[Any, Any]) -> tuple[float, int, float]:
    known = ~np.isnan(values) & (errors > 0)
    if known.sum() < 2:
        return math.nan, 0, math.nan
    weights = errors[known] ** -2.0
    mean = (weights * values[known]).sum() / weights.sum()
    statistic = float((weights * (values[known] - mean) ** 2).sum())
    freedom = int(known.sum()) - 1
    return statistic, freedom, float(special.chdtrc(freedom, statistic))

"""Intervals for proportions and for estimates with a t or normal reference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

Interval = tuple[float, float]


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion: good coverage at small n and near 0 and 1, where resistance may lie.

    Args:
        successes (`int`): Count.
        n (`int`): Out of.
        confidence (`float`, defaults to 0.95): Level.

    Returns:
        `tuple[float, float]`: Bounds in [0, 1]; nan for n = 0.

    Source: Wilson (1927), JASA 22.

    Example:

    ```python
    >>> low, high = wilson(5, 10)
    >>> round(low, 4), round(high, 4)
    (0.2366, 0.7634)

    ```
    """
    if n == 0:
        return math.nan, math.nan
    z = normal_quantile(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # Exactly 0 and 1 at the ends, where rounding would leave 1e-17.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    return float(special.ndtri(probability))


def critical_value(confidence: float, degrees_of_freedom: float) -> float:
    """Two-sided critical value of t, or of the normal distribution for infinite degrees of freedom."""
    if math.isinf(degrees_of_freedom):
        return normal_quantile(0.5 + confidence / 2)
    return float(special.stdtrit(degrees_of_freedom, 0.5 + confidence / 2))


def two_sided_p(
    statistics: NDArray[np.float64], degrees_of_freedom: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Two-sided p-values of t or normal statistics.

    Args:
        statistics (`ndarray` of shape (k,)): Estimate over standard error; nan stays nan.
        degrees_of_freedom (`float` or `ndarray` of shape (k,)): Of t; infinite for the normal distribution.

    Returns:
        `ndarray` of shape (k,): p-values.
    """
    return np.asarray(2.0 * special.stdtr(degrees_of_freedom, -np.abs(statistics)), dtype=np.float64)

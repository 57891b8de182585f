"""Means and shares over clustered pairs, with bias-reduced (CR2) errors and Satterthwaite degrees of freedom."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from seal_datasets.estimate.inputs import Codes, Floats
from seal_datasets.estimate.intervals import Interval, clustered_wilson, critical_value
from seal_datasets.estimate.linear import PERFECT


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its clustered error; nan for fewer than two clusters, or where scores cancel within every cluster.

    Attributes:
        value (`float`): Mean.
        std_error (`float`): CR2 error.
        freedom (`float`): Satterthwaite degrees of freedom.
        interval (`tuple[float, float]`): Interval by t.
        n (`int`): Numbers.
    """

    value: float
    std_error: float
    freedom: float
    interval: Interval
    n: int


def clustered_mean(values: Floats, clusters: Codes | None, confidence: float) -> Mean:
    """Compute a mean with its clustered error.

    Args:
        values (`ndarray` of shape (n,)): Numbers.
        clusters (`ndarray` of shape (n,), *optional*): Cluster of each number; each is its own when omitted.
        confidence (`float`): Level.

    Returns:
        `Mean`: With CR2 errors, which hold with few and uneven clusters.

    Source: Bell and McCaffrey (2002).

    Example:

    ```python
    >>> mean = clustered_mean(np.array([0.0, 1.0, 2.0, 5.0]), np.arange(4), 0.95)
    >>> mean.value, round(mean.std_error, 4), round(mean.freedom, 6)  # s / sqrt(n) with n - 1
    (2.0, 1.0801, 3.0)

    ```
    """
    n = len(values)
    nothing = Mean(math.nan, math.nan, math.nan, (math.nan, math.nan), n)
    if not n:
        return nothing
    mean = float(values.mean())
    if clusters is None:
        freedom = n - 1.0
        error = math.sqrt(float(((values - mean) ** 2).sum()) / freedom / n) if freedom else math.nan
    else:
        error, freedom = _clustered_error(values - mean, pd.factorize(clusters)[0])
    # Deviations that cancel within clusters leave rounding, which must not become a tiny error.
    if not error > PERFECT * float(np.abs(values).max()) or not freedom > 0:
        return replace(nothing, value=mean)
    half = critical_value(confidence, freedom) * error
    return Mean(mean, error, freedom, (mean - half, mean + half), n)


def _clustered_error(deviations: Floats, codes: Codes) -> tuple[float, float]:
    """CR2 error of a mean and its degrees of freedom; nan for one cluster."""
    n, sizes = len(deviations), np.bincount(codes)
    if len(sizes) < 2:
        return math.nan, math.nan
    # `bias_reduced.cr2` for a column of ones, whose products have a closed form: ten times as fast.
    left = 1 - sizes / n
    own, shared = sizes / n**2 / left, sizes**2 / n**3 / left
    freedom = float((own - shared).sum() ** 2 / ((own**2 - 2 * own * shared).sum() + shared.sum() ** 2))
    return math.sqrt(float((np.bincount(codes, weights=deviations) ** 2 / left).sum())) / n, freedom


def clustered_share(values: Floats, clusters: Codes, confidence: float) -> Mean:
    """Compute a mean of numbers from 0 to 1 with Wilson's interval, at the effective number of observations.

    Args:
        values (`ndarray` of shape (n,)): Numbers from 0 to 1, such as whether a pair is correct.
        clusters (`ndarray` of shape (n,)): Cluster of each number.
        confidence (`float`): Level.

    Returns:
        `Mean`: The interval is `clustered_wilson`'s.

    Example:

    ```python
    >>> share = clustered_share(np.array([1.0, 1.0, 0.0, 1.0]), np.arange(4), 0.95)
    >>> share.value, share.interval[1] < 1
    (0.75, True)

    ```
    """
    codes = np.asarray(pd.factorize(clusters)[0], dtype=np.int64)
    return replace(clustered_mean(values, codes, confidence), interval=clustered_wilson(values, codes, confidence))

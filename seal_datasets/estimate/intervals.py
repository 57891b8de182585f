"""Intervals for proportions and for estimates with a t or normal reference."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special
from statsmodels.stats.proportion import proportion_confint

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import confidence_level, whole_number

Interval = tuple[float, float]


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion, with good coverage at small n and near 0 and 1.

    Args:
        successes (`int`): Number of successes.
        n (`int`): Number of trials.
        confidence (`float`, defaults to 0.95): Level.

    Returns:
        `tuple[float, float]`: Bounds in [0, 1]; nan for n = 0.

    Raises:
        DataError: A count is not a whole number of at least 0, or there are more successes than trials.

    Source: Wilson (1927), JASA 22.

    Example:

    ```python
    >>> low, high = wilson(5, 10)
    >>> round(low, 4), round(high, 4)
    (0.2366, 0.7634)

    ```
    """
    confidence_level(confidence)
    if whole_number(n, "n") < whole_number(successes, "successes"):
        raise DataError(f"successes is {successes}, more than n, {n}")
    if n == 0:
        return math.nan, math.nan
    low, high = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    # Exactly 0 and 1 at the ends, where rounding leaves 1e-18.
    return (0.0 if successes == 0 else float(low)), (1.0 if successes == n else float(high))


def clustered_wilson(
    values: NDArray[np.bool_] | NDArray[np.float64], codes: NDArray[np.int64], confidence: float
) -> Interval:
    """Interval of a share when rows come in clusters, such as pairs of the same prompt.

    Wilson's interval at the effective number of rows. The design effect comes from the sums of the clusters, each scaled up
    for its own weight in the mean, and is at least 1. The reference is t: its degrees of freedom count the clusters by size and
    by what they contribute. Where all rows agree, each cluster counts as one row.

    Args:
        values (`ndarray` of shape (n,)): Whether each row is a success, or numbers from 0 to 1.
        codes (`ndarray` of shape (n,)): Cluster codes.
        confidence (`float`): Level.

    Returns:
        `tuple[float, float]`: Bounds in [0, 1]; nan for fewer than two clusters.

    Source: Korn and Graubard (1998) and Kish (1965) for the effective number of rows; Bell and McCaffrey (2002) for
    the scaling. Its coverage is measured in `docs/validation.md`.

    Example:

    ```python
    >>> rows = np.repeat([True, False, True, True], 25)
    >>> low, high = clustered_wilson(rows, np.repeat(np.arange(4), 25), 0.95)  # four prompts are no hundred pairs
    >>> round(low, 2), round(high, 2)
    (0.13, 0.98)

    ```
    """
    n = len(values)
    clusters, rows = np.unique(codes, return_inverse=True)
    if n == 0 or len(clusters) < 2:
        return math.nan, math.nan
    sizes = np.bincount(rows)
    share, effective = float(values.mean()), n**2 / float((sizes**2).sum())
    freedom, n_effective = effective - 1.0, effective
    if 0.0 < share < 1.0:
        sums = np.bincount(rows, weights=values - share)
        squares = sums**2 / (1.0 - sizes / n)
        total = float(squares.sum())
        n_effective = n / max(1.0, total / (n * share * (1.0 - share)))
        contributing = total**2 / float((squares**2).sum()) if total > 0 else effective
        freedom = min(effective, 3.0 * contributing) - 1.0
    n_effective *= (normal_quantile(0.5 + confidence / 2) / critical_value(confidence, max(freedom, 1.0))) ** 2
    low, high = proportion_confint(share * n_effective, n_effective, alpha=1 - confidence, method="wilson")
    return (0.0 if share == 0.0 else float(low)), (1.0 if share == 1.0 else float(high))


def share_interval(successes: NDArray[np.bool_], codes: NDArray[np.int64] | None, confidence: float) -> Interval:
    """Wilson's interval of a share, clustered where cluster codes are given.

    Args:
        successes (`ndarray` of shape (n,)): Whether each row is a success.
        codes (`ndarray` of shape (n,), *optional*): Cluster codes; rows are independent when omitted.
        confidence (`float`): Level.

    Returns:
        `tuple[float, float]`: Bounds in [0, 1]; nan without rows, and for fewer than two clusters.
    """
    if codes is None:
        return wilson(int(successes.sum()), len(successes), confidence=confidence)
    return clustered_wilson(successes, codes, confidence)


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


def bootstrap_totals(counts: NDArray[np.float64], n_bootstrap: int, seed: int) -> NDArray[np.float64]:
    """Totals of counts when whole clusters are resampled with replacement.

    Clusters with the same counts are exchangeable: each draw is a multinomial draw of how often each distinct row occurs.
    It has the same distribution as resampling rows, and its cost grows with the number of distinct rows only.

    Args:
        counts (`ndarray` of shape (G, c)): Counts of each cluster.
        n_bootstrap (`int`): Number of bootstrap draws.
        seed (`int`): Seed of the draws.

    Returns:
        `ndarray` of shape (n_bootstrap, c): Totals.

    Source: the pairs cluster bootstrap; Cameron, Gelbach and Miller (2008).

    Example:

    ```python
    >>> totals = bootstrap_totals(np.array([[1.0, 2.0]] * 50 + [[0.0, 2.0]] * 50), 1000, seed=0)
    >>> totals.shape, set(totals[:, 1].tolist()), bool(abs(totals[:, 0].std() - 5) < 0.5)  # binomial: sqrt(100 / 4)
    ((1000, 2), {200.0}, True)

    ```
    """
    # pandas hashes column by column; np.unique sorts whole rows and takes ten times as long.
    sizes = pd.DataFrame(counts).groupby(list(range(counts.shape[1])), dropna=False).size()
    distinct, frequencies = sizes.index.to_frame().to_numpy(), sizes.to_numpy()
    draws = np.random.default_rng(seed).multinomial(len(counts), frequencies / len(counts), size=n_bootstrap)
    return np.asarray(draws @ distinct, dtype=np.float64)


def percentile_interval(draws: NDArray[np.float64], confidence: float) -> Interval:
    """Percentile interval of bootstrap draws; nan if any draw is nan."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) if len(draws) else (math.nan, math.nan)
    return float(low), float(high)

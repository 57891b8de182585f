"""Errors of least squares beyond the clustered sandwich: CR2, wild cluster bootstrap, joint tests and max-t intervals.

Every quantity is a sum over clusters of k-dimensional terms: time grows with the number of rows, memory does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from seal_datasets.estimate.inputs import Codes, Floats
from seal_datasets.estimate.intervals import critical_value
from seal_datasets.estimate.linear import Solution, cluster_factor, cluster_scores

# A cluster with leverage this near 1 is fitted exactly: its residuals carry no information on the error.
# Rounding on a nearly collinear design leaves up to 1e-10.
_FULL_LEVERAGE = 1e-8
# Differences below this share of their terms are rounding.
_ROUNDING = 1e-12
_CLUSTERS_AT_ONCE = 4096
_DRAWS_OF_MAXIMA = 20_000

Contrast = Callable[[Floats], Floats]


def cr2(rows: Floats, residuals: Floats, clusters: Codes | None, solution: Solution) -> tuple[Floats, Floats]:
    """Compute the bias-reduced clustered covariance (CR2) and its Satterthwaite degrees of freedom.

    Args:
        rows (`ndarray` of shape (n, k)): The design, possibly with fixed effects within clusters removed.
        residuals (`ndarray` of shape (n,)): Residuals.
        clusters (`ndarray` of shape (n,), *optional*): Codes; each row is its own cluster when omitted.
        solution (`Solution`): The fit.

    Returns:
        `tuple[ndarray, ndarray]`: Covariance of shape (k, k), and degrees of freedom of each coefficient.

    Source: Bell and McCaffrey (2002); Pustejovsky and Tipton (2018), whose Theorem 2 allows absorbed effects to be ignored.

    Example:

    ```python
    >>> from seal_datasets.estimate.linear import solve, triangle
    >>> x, y = np.ones((4, 1)), np.array([0.0, 1.0, 2.0, 5.0])
    >>> covariance, freedom = cr2(x, y - 2.0, None, solve(triangle(x, y), 1))  # a mean: s^2 / n with n - 1
    >>> round(float(covariance[0, 0]), 6), round(float(y.var(ddof=1) / 4), 6), round(float(freedom[0]), 6)
    (1.166667, 1.166667, 3.0)

    ```
    """
    root = solution.root
    k, rank = root.shape
    meat = np.zeros((rank, rank))
    cross = np.zeros((k, rank, rank))
    own, own_squared, mixed = np.zeros(k), np.zeros(k), np.zeros(k)
    for part, codes in _cluster_batches(clusters, len(rows)):
        q = rows[part] @ root
        scores, shrunk, freed = _reduce_bias(q, cluster_scores(q, residuals[part], codes), codes)
        meat += scores.T @ scores
        for j in range(k):
            z = shrunk(root[j])
            alpha, length = freed(root[j]), (z**2).sum(axis=1)
            cross[j] += z.T @ z
            own[j] += (alpha - length).sum()
            own_squared[j] += (alpha**2).sum()
            mixed[j] += (alpha * length).sum()
    together = (cross**2).sum(axis=(1, 2))
    spread = own_squared - 2 * mixed + together
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.where(spread > _ROUNDING * (own_squared + 2 * mixed + together), own**2 / spread, np.nan)
    return root @ meat @ root.T, freedom


@dataclass(frozen=True, slots=True)
class WildBootstrap:
    """Wild cluster bootstrap of each coefficient; nan for a coefficient without a test.

    Attributes:
        p_values (`ndarray` of shape (k,)): Two-sided p-values of no effect, the null imposed.
        low (`ndarray` of shape (k,)): Lower ends of the intervals.
        high (`ndarray` of shape (k,)): Upper ends of the intervals.
        n_draws (`int`): Draws; if there are at most as many sign patterns as requested draws, all patterns.
    """

    p_values: Floats
    low: Floats
    high: Floats
    n_draws: int


def wild_bootstrap(
    rows: Floats,
    residuals: Floats,
    clusters: Codes | None,
    solution: Solution,
    coefficients: Floats,
    errors: Floats,
    *,
    n: int,
    absorbed: int,
    n_draws: int,
    confidence: float,
    seed: int,
) -> WildBootstrap:
    """Test each coefficient with random signs on whole clusters' restricted residuals, and invert the tests.

    Args:
        rows (`ndarray` of shape (r, k)): The design.
        residuals (`ndarray` of shape (r,)): Residuals.
        clusters (`ndarray` of shape (r,), *optional*): Codes; each row is its own cluster when omitted.
        solution (`Solution`): The fit.
        coefficients (`ndarray` of shape (k,)): Estimates; nan for coefficients without a test.
        errors (`ndarray` of shape (k,)): Their CRV1 errors.
        n (`int`): Observations, for the small-sample factor.
        absorbed (`int`): Parameters absorbed beforehand.
        n_draws (`int`): Draws requested.
        confidence (`float`): Level of the intervals.
        seed (`int`): Seed of the random signs.

    Returns:
        `WildBootstrap`: p-values and intervals.

    Source: Cameron, Gelbach and Miller (2008), null imposed, Rademacher signs; MacKinnon, Nielsen and Webb (2023). Restricted
    residuals are linear in the tested value, so one set of draws serves all values.
    """
    q = rows @ solution.root
    scores = cluster_scores(q, residuals, clusters)
    n_clusters = len(scores)
    signs = _Signs(n_clusters, n_draws, seed)
    factor = cluster_factor(n_clusters, n, solution.rank + absorbed)
    k = len(coefficients)
    p_values, low, high = np.full(k, np.nan), np.full(k, np.nan), np.full(k, np.nan)
    moved = np.zeros((scores.shape[1], signs.n))
    for part, sign in signs:
        moved += scores[part].T @ sign
    for j in np.flatnonzero(np.isfinite(coefficients) & (errors > 0)):
        c = solution.root[j]
        slope = cluster_scores(q, q @ c, clusters) / (c @ c)
        slope_moved = np.zeros_like(moved)
        for part, sign in signs:
            slope_moved += slope[part].T @ sign
        # Each draw's squared error is quadratic in the distance of the tested value from the estimate.
        constant, linear, square = np.zeros(signs.n), np.zeros(signs.n), np.zeros(signs.n)
        weight = c @ c
        for part, sign in signs:
            a = sign * (scores[part] @ c)[:, None] - weight * (slope[part] @ moved)
            b = sign * (slope[part] @ c)[:, None] - weight * (slope[part] @ slope_moved)
            constant += (a**2).sum(axis=0)
            linear += (a * b).sum(axis=0)
            square += (b**2).sum(axis=0)
        drawn = _Drawn(c @ moved, c @ slope_moved, constant, linear, square, factor, float(errors[j]))
        p_values[j] = drawn.p_value(-float(coefficients[j]))
        low[j] = coefficients[j] + drawn.bound(-1, 1 - confidence)
        high[j] = coefficients[j] + drawn.bound(1, 1 - confidence)
    return WildBootstrap(p_values, low, high, signs.n)


def simultaneous_critical_value(covariance: Floats, degrees_of_freedom: float, confidence: float, seed: int) -> float:
    """The value that the largest |t| of a family exceeds with probability 1 - `confidence` under the null.

    Args:
        covariance (`ndarray` of shape (m, m)): Covariance of the family's estimates.
        degrees_of_freedom (`float`): Of the t reference; infinite for the normal.
        confidence (`float`): Joint level of all intervals.
        seed (`int`): Seed of the 20,000 draws, whose Monte Carlo error is about 0.01.

    Returns:
        `float`: Critical value, between that of one test and Bonferroni's; nan for an empty family.

    Source: Hothorn, Bretz and Westfall (2008).

    Example:

    ```python
    >>> round(simultaneous_critical_value(np.eye(2), math.inf, 0.95, seed=0), 1)  # two independent tests: 2.236
    2.2

    ```
    """
    if not len(covariance):
        return math.nan
    one = critical_value(confidence, degrees_of_freedom)
    if len(covariance) == 1:
        return one
    scale = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).astype(np.float32)
    # Single precision suffices: Monte Carlo error far exceeds rounding.
    normal, spread = _draws(len(values), degrees_of_freedom, seed)
    drawn = root @ normal
    largest = np.abs(drawn, out=drawn).max(axis=0)
    return max(float(np.quantile(largest / spread, confidence)), one)


@lru_cache(maxsize=4)
def _draws(m: int, degrees_of_freedom: float, seed: int) -> tuple[NDArray[np.float32], Floats]:
    """Standard normal draws and the denominators of t, cached: they do not depend on the data."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((m, _DRAWS_OF_MAXIMA), dtype=np.float32)
    if math.isinf(degrees_of_freedom):
        return normal, np.ones(1)
    return normal, np.sqrt(rng.chisquare(degrees_of_freedom, _DRAWS_OF_MAXIMA) / degrees_of_freedom)


def wald_test(estimates: Floats, covariance: Floats, degrees_of_freedom: float) -> tuple[float, int, float]:
    """Test that several coefficients are all zero.

    Args:
        estimates (`ndarray` of shape (q,)): Coefficients.
        covariance (`ndarray` of shape (q, q)): Their covariance.
        degrees_of_freedom (`float`): Of the denominator; infinite for a chi-squared reference.

    Returns:
        `tuple[float, int, float]`: F statistic, numerator degrees of freedom (the covariance's rank) and p-value; nan without a
        coefficient or with a variance of 0.

    Example:

    ```python
    >>> statistic, q, p = wald_test(np.array([1.0, 2.0]), np.eye(2), math.inf)
    >>> statistic, q, round(p, 6)  # (1 + 4) / 2, and exp(-5 / 2)
    (2.5, 2, 0.082085)

    ```
    """
    if not len(estimates) or not np.isfinite(covariance).all():
        return math.nan, 0, math.nan
    scale = np.sqrt(np.diag(covariance))
    if not (scale > 0).all():
        return math.nan, 0, math.nan
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    solid = values > 1e-10 * values.max()
    q = int(solid.sum())
    statistic = float((((vectors.T @ (estimates / scale))[solid] ** 2) / values[solid]).sum() / q)
    p = (
        special.chdtrc(q, q * statistic)
        if math.isinf(degrees_of_freedom)
        else stats.f.sf(statistic, q, degrees_of_freedom)
    )
    return statistic, q, float(p)


class _Signs:
    """Rademacher signs of every cluster and draw, regenerated in each pass to bound memory."""

    def __init__(self, n_clusters: int, n_draws: int, seed: int) -> None:
        self.n_clusters, self.seed = n_clusters, seed
        self.all_patterns = n_clusters < 30 and 2**n_clusters <= n_draws
        self.n = 2**n_clusters if self.all_patterns else n_draws

    def __iter__(self) -> Iterator[tuple[slice, Floats]]:
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.n_clusters, _CLUSTERS_AT_ONCE):
            part = slice(start, min(start + _CLUSTERS_AT_ONCE, self.n_clusters))
            if self.all_patterns:
                bits = np.arange(self.n)[None, :] >> np.arange(self.n_clusters)[:, None] & 1
            else:
                bits = rng.integers(0, 2, (part.stop - part.start, self.n), dtype=np.int8)
            yield part, np.asarray(2.0 * bits - 1.0, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Bootstrap t statistics of one coefficient as functions of the tested value's distance from the estimate."""

    start: Floats
    slope: Floats
    constant: Floats
    linear: Floats
    square: Floats
    factor: float
    error: float

    def p_value(self, distance: float) -> float:
        linear, square = 2 * distance * self.linear, distance**2 * self.square
        squared = self.constant - linear + square
        squared[squared < _ROUNDING * (self.constant + np.abs(linear) + square)] = 0.0
        size = np.abs(self.start - distance * self.slope)
        # A draw with zero spread counts as extreme.
        limit = abs(distance) / self.error * np.sqrt(self.factor * squared)
        return float(np.mean(size >= limit * (1 - 1e-9)))

    def bound(self, side: int, level: float) -> float:
        """Distance on one side beyond which the test rejects."""
        inner, outer = 0.0, self.error
        while self.p_value(side * outer) > level:
            inner, outer = outer, 2 * outer
            if outer > 1e9 * self.error:
                return side * math.inf
        for _ in range(60):
            middle = (inner + outer) / 2
            inner, outer = (middle, outer) if self.p_value(side * middle) > level else (inner, middle)
        return side * outer


def _cluster_batches(clusters: Codes | None, n: int) -> Iterator[tuple[NDArray[np.int64] | slice, Codes | None]]:
    """Yield rows of whole clusters in batches, with clusters renumbered from 0 in each."""
    if clusters is None:
        for start in range(0, n, 16 * _CLUSTERS_AT_ONCE):
            yield slice(start, start + 16 * _CLUSTERS_AT_ONCE), None
        return
    order = np.argsort(clusters, kind="stable")
    n_clusters = int(clusters.max(initial=-1)) + 1
    starts = np.searchsorted(clusters[order], np.arange(n_clusters + 1))
    for first in range(0, n_clusters, _CLUSTERS_AT_ONCE):
        last = min(first + _CLUSTERS_AT_ONCE, n_clusters)
        part = order[starts[first] : starts[last]]
        yield part, clusters[part] - first


def _reduce_bias(q: Floats, scores: Floats, codes: Codes | None) -> tuple[Floats, Contrast, Contrast]:
    """Scores of bias-reduced residuals, and two functions of a contrast: each cluster's Satterthwaite terms."""
    if codes is None:
        left = 1.0 - (q**2).sum(axis=1)
        inverse = np.where(left > _FULL_LEVERAGE, 1 / np.where(left > _FULL_LEVERAGE, left, 1.0), 0.0)
        half = np.sqrt(inverse)[:, None]
        return scores * half, lambda c: q * (q @ c)[:, None] * half, lambda c: (q @ c) ** 2 * inverse
    n_clusters, rank = len(scores), q.shape[1]
    # (I - Q Q')^(-1/2) of a cluster's rows acts on their k columns as a function of Q'Q, which is small.
    grams = np.empty((n_clusters, rank, rank))
    for j in range(rank):
        grams[:, :, j] = cluster_scores(q, q[:, j], codes)
    shares, vectors = np.linalg.eigh(grams)
    left = 1.0 - shares
    inverse = np.where(left > _FULL_LEVERAGE, 1 / np.where(left > _FULL_LEVERAGE, left, 1.0), 0.0)
    half = np.sqrt(inverse)

    def rotate(c: Floats) -> Floats:
        return np.asarray(np.einsum("gij,i->gj", vectors, c), dtype=np.float64)

    adjusted = np.einsum("gij,gj->gi", vectors, half * np.einsum("gij,gi->gj", vectors, scores))
    return (
        adjusted,
        lambda c: np.einsum("gij,gj->gi", vectors, half * shares * rotate(c)),
        lambda c: (inverse * shares * rotate(c) ** 2).sum(axis=1),
    )

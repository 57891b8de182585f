"""Tests of least squares beyond t: wild cluster bootstrap, joint tests and max-t intervals.

Every quantity is a sum over clusters of k-dimensional terms: time grows with the number of rows, memory does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from seal_datasets.estimate.inputs import Codes, Floats
from seal_datasets.estimate.linear import Solution, cluster_factor, cluster_scores

# Differences below this share of their terms are rounding.
_ROUNDING = 1e-12
_CLUSTERS_AT_ONCE = 4096
_DRAWS_OF_MAXIMA = 20_000
# From this many degrees of freedom the draws of t are those of the normal, to 1e-3.
_NEARLY_NORMAL = 2000.0
_FEW = 30.0
_LARGEST_EXPONENT = 700.0
_RADEMACHER = np.array([-1.0, 1.0])
_WEBB = np.sqrt(np.array([1.5, 1.0, 0.5, 0.5, 1.0, 1.5])) * np.array([-1, -1, -1, 1, 1, 1])
_FEWEST_FOR_SIGNS = 12


@dataclass(frozen=True, slots=True)
class WildBootstrap:
    """Wild cluster bootstrap of each coefficient.

    Numbers are nan for a coefficient without a test, and for all where so few clusters leave no p-value below 1 - confidence.

    Attributes:
        p_values (`ndarray` of shape (k,)): Two-sided p-values of no effect, the null imposed.
        low (`ndarray` of shape (k,)): Lower ends of the intervals.
        high (`ndarray` of shape (k,)): Upper ends of the intervals.
        n_draws (`int`): Draws; if there are at most as many patterns of weights as requested draws, all patterns.
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
    """Test each coefficient with random weights on whole clusters' restricted residuals, and invert the tests.

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
        seed (`int`): Seed of the random weights.

    Returns:
        `WildBootstrap`: p-values and intervals.

    Source: Cameron, Gelbach and Miller (2008), null imposed, Rademacher signs; Webb (2023), six points for fewer than 12
    clusters; MacKinnon, Nielsen and Webb (2023). The p-value is (1 + b) / (1 + B), or b / B over all patterns, of which the
    data are one. Restricted residuals are linear in the tested value, so one set of draws serves all values.
    """
    q = rows @ solution.root
    scores = cluster_scores(q, residuals, clusters)
    n_clusters = len(scores)
    weights = _Weights(n_clusters, n_draws, seed)
    factor = cluster_factor(n_clusters, n, solution.rank + absorbed)
    k = len(coefficients)
    p_values, low, high = np.full(k, np.nan), np.full(k, np.nan), np.full(k, np.nan)
    if weights.smallest_p_value > 1 - confidence:
        return WildBootstrap(p_values, low, high, weights.n)
    moved = np.zeros((scores.shape[1], weights.n))
    for part, draw in weights:
        moved += scores[part].T @ draw
    for j in np.flatnonzero(np.isfinite(coefficients) & (errors > 0)):
        c = solution.root[j]
        slope = cluster_scores(q, q @ c, clusters) / (c @ c)
        slope_moved = np.zeros_like(moved)
        for part, draw in weights:
            slope_moved += slope[part].T @ draw
        # Each draw's squared error is quadratic in the distance of the tested value from the estimate.
        constant, linear, square = np.zeros(weights.n), np.zeros(weights.n), np.zeros(weights.n)
        weight = c @ c
        for part, draw in weights:
            a = draw * (scores[part] @ c)[:, None] - weight * (slope[part] @ moved)
            b = draw * (slope[part] @ c)[:, None] - weight * (slope[part] @ slope_moved)
            constant += (a**2).sum(axis=0)
            linear += (a * b).sum(axis=0)
            square += (b**2).sum(axis=0)
        drawn = _Drawn(
            c @ moved, c @ slope_moved, constant, linear, square, factor, float(errors[j]), weights.all_patterns
        )
        p_values[j] = drawn.p_value(-float(coefficients[j]))
        low[j] = coefficients[j] + drawn.bound(-1, 1 - confidence)
        high[j] = coefficients[j] + drawn.bound(1, 1 - confidence)
    return WildBootstrap(p_values, low, high, weights.n)


def simultaneous_critical_values(covariance: Floats, degrees: Floats, confidence: float, seed: int) -> Floats:
    """Critical values of a family of t tests that all hold at once with probability `confidence` under the null.

    Each estimate has the t reference of its single interval. Estimates are correlated; their errors are drawn
    independently, as those of rare features are.

    Args:
        covariance (`ndarray` of shape (m, m)): Covariance of the family's estimates.
        degrees (`ndarray` of shape (m,)): Degrees of freedom of each estimate; infinite for the normal.
        confidence (`float`): Joint level of all intervals.
        seed (`int`): Seed of the 20,000 draws, whose Monte Carlo error is about 0.01.

    Returns:
        `ndarray` of shape (m,): Critical values, each between that of one test and Bonferroni's.

    Source: Hothorn, Bretz and Westfall (2008), with one degree of freedom per test; Wallace (1959), whose normal equivalent
        of t makes the tests of a family comparable.

    Example:

    ```python
    >>> values = simultaneous_critical_values(np.eye(2), np.array([math.inf, 5.0]), 0.95, seed=0)
    >>> bool((abs(values / [2.236, 3.152] - 1) < 0.02).all())  # t at the level 1 - sqrt(0.95) of two independent tests
    True

    ```
    """
    m = len(covariance)
    if not m:
        return np.empty(0)
    one = special.stdtrit(degrees, 0.5 + confidence / 2)
    if m == 1:
        return np.asarray(one)
    scale = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).astype(np.float32)
    # Single precision suffices: Monte Carlo error far exceeds rounding.
    drawn = root @ _normals(m, seed)
    np.multiply(drawn, drawn, out=drawn)
    rng, normals = np.random.default_rng([seed, m]), _normals(m, seed + 1)
    for j in np.flatnonzero(degrees < _NEARLY_NORMAL):
        freedom = float(degrees[j])
        if freedom < _FEW:
            drawn[j] /= rng.chisquare(freedom, _DRAWS_OF_MAXIMA) / freedom
        else:
            # Wilson and Hilferty (1931): to 1e-4 here, at a tenth of the time.
            drawn[j] /= (1 - 2 / (9 * freedom) + math.sqrt(2 / (9 * freedom)) * normals[j]) ** 3
        drawn[j] = _normal_equivalent(drawn[j], freedom)
    largest = float(np.quantile(drawn.max(axis=0), confidence))
    bonferroni = special.stdtrit(degrees, 1 - (1 - confidence) / (2 * m))
    return np.clip(np.array([_squared_t(largest, each) for each in degrees]) ** 0.5, one, bonferroni)


@lru_cache(maxsize=4)
def _normals(m: int, seed: int) -> NDArray[np.float32]:
    """Standard normal draws, cached: they do not depend on the data."""
    return np.random.default_rng(seed).standard_normal((m, _DRAWS_OF_MAXIMA), dtype=np.float32)


def _normal_equivalent(squared: NDArray[np.float32], freedom: float) -> NDArray[np.float32]:
    """Squared t turned into the square of a standard normal, nearly."""
    factor = freedom * ((8 * freedom + 1) / (8 * freedom + 3)) ** 2
    return np.asarray(factor * np.log1p(squared / freedom), dtype=np.float32)


def _squared_t(squared: float, freedom: float) -> float:
    """The inverse of `_normal_equivalent`."""
    if math.isinf(freedom):
        return squared
    factor = freedom * ((8 * freedom + 1) / (8 * freedom + 3)) ** 2
    exponent = squared / factor
    return freedom * math.expm1(exponent) if exponent < _LARGEST_EXPONENT else math.inf


def joint_test(
    estimates: Floats, covariance: Floats, freedom: float, bias_reduced: bool
) -> tuple[float, tuple[float, float], float]:
    """Test that several coefficients are all zero, by F or by AHT.

    Args:
        estimates (`ndarray` of shape (q,)): Coefficients.
        covariance (`ndarray` of shape (q, q)): Their covariance.
        freedom (`float`): Of the F denominator, or the eta of `seal_datasets.estimate.bias_reduced.joint_freedom`.
        bias_reduced (`bool`): Whether the covariance is CR2, so that the statistic is a Hotelling's T squared.

    Returns:
        `tuple[float, tuple[float, float], float]`: F statistic, its degrees of freedom, and p-value; nan without a
        coefficient, with a variance of 0, or with fewer degrees of freedom than coefficients.

    Source: Pustejovsky and Tipton (2018), section 3.2.

    Example: one coefficient is a t test.

    ```python
    >>> statistic, freedom, p = joint_test(np.array([2.0]), np.eye(1), 7.0, True)
    >>> round(statistic, 6), freedom, round(p, 4)
    (4.0, (1.0, 7.0), 0.0856)

    ```
    """
    statistic, q, p = wald_test(estimates, covariance, math.inf if bias_reduced else freedom)
    if not bias_reduced or math.isnan(statistic):
        return statistic, (float(q), freedom), p
    left = freedom - q + 1
    if not left > 0:
        return math.nan, (float(q), math.nan), math.nan
    statistic *= left / freedom
    return statistic, (float(q), left), float(stats.f.sf(statistic, q, left))


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
    # A variance of 0 may be rounded below it.
    scale = np.sqrt(np.maximum(np.diag(covariance), 0.0))
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


class _Weights:
    """Random weights of every cluster and draw, regenerated in each pass to bound memory.

    Rademacher's signs, or Webb's six points where the signs would have few patterns. If there are at most as many patterns as
    requested draws, each pattern once.
    """

    def __init__(self, n_clusters: int, n_draws: int, seed: int) -> None:
        self.n_clusters, self.seed = n_clusters, seed
        self.points = _WEBB if n_clusters < _FEWEST_FOR_SIGNS else _RADEMACHER
        self.all_patterns = n_clusters < 30 and len(self.points) ** n_clusters <= n_draws
        self.n = len(self.points) ** n_clusters if self.all_patterns else n_draws

    @property
    def smallest_p_value(self) -> float:
        """The least p-value that data could have: weights that are equal in all clusters repeat the observed statistic."""
        repeats = float(len(self.points) ** (1.0 - self.n_clusters))
        return float(repeats if self.all_patterns else max(repeats, 1 / (self.n + 1)))

    def __iter__(self) -> Iterator[tuple[slice, Floats]]:
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.n_clusters, _CLUSTERS_AT_ONCE):
            part = slice(start, min(start + _CLUSTERS_AT_ONCE, self.n_clusters))
            if self.all_patterns:
                size = len(self.points)
                choice = np.arange(self.n)[None, :] // size ** np.arange(self.n_clusters)[:, None] % size
            else:
                choice = rng.integers(0, len(self.points), (part.stop - part.start, self.n), dtype=np.int8)
            yield part, self.points[choice]


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
    all_patterns: bool

    def p_value(self, distance: float) -> float:
        linear, square = 2 * distance * self.linear, distance**2 * self.square
        squared = self.constant - linear + square
        squared[squared < _ROUNDING * (self.constant + np.abs(linear) + square)] = 0.0
        size = np.abs(self.start - distance * self.slope)
        # A draw with zero spread counts as extreme.
        limit = abs(distance) / self.error * np.sqrt(self.factor * squared)
        extreme = int((size >= limit * (1 - 1e-9)).sum())
        return extreme / len(size) if self.all_patterns else (1 + extreme) / (1 + len(size))

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

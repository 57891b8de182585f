"""Least squares with clustered errors on designs that may be rank-deficient. Arrays only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seal_datasets.estimate.inputs import Bools, Codes, Floats

# Singular values of unit columns; float32 sums that should cancel leave about 1e-7.
_RANK_TOLERANCE = 1e-6
_LOADING_TOLERANCE = 1e-9
# Largest residual, over the outcome's scale, of a fit that leaves only rounding.
PERFECT = 1e-12


@dataclass(frozen=True, slots=True)
class LinearFit:
    """A least-squares fit.

    Attributes:
        coefficients (`ndarray` of shape (k,)): nan where not identified.
        covariance (`ndarray` of shape (k, k)): Clustered; nan where not identified or where there are too few clusters.
        identified (`ndarray` of shape (k,)): Whether a coefficient is determined by the data.
        rank (`int`): Rank of the design.
        n_clusters (`int`): Clusters the errors are summed over.
        residual_size (`float`): Largest absolute residual over the outcome's scale; 0 for a perfect fit.
    """

    coefficients: Floats
    covariance: Floats
    identified: Bools
    rank: int
    n_clusters: int
    residual_size: float


def group_sums(values: Floats, codes: Codes, n_groups: int) -> Floats:
    """Sum the rows of each group.

    Args:
        values (`ndarray` of shape (n, k)): Rows.
        codes (`ndarray` of shape (n,)): Group of each row, 0 to `n_groups` - 1.
        n_groups (`int`): Number of groups.

    Returns:
        `ndarray` of shape (n_groups, k): Sums.
    """
    columns = [np.bincount(codes, weights=values[:, column], minlength=n_groups) for column in range(values.shape[1])]
    return np.column_stack(columns) if columns else np.empty((n_groups, 0))


def demean(values: Floats, codes: Codes) -> Floats:
    """Subtract each group's mean: the within transformation, exact for groups of any size.

    Args:
        values (`ndarray` of shape (n, k)): Rows.
        codes (`ndarray` of shape (n,)): Group of each row.

    Returns:
        `ndarray` of shape (n, k): Deviations; columns that are constant within every group are exactly 0.
    """
    n_groups = int(codes.max()) + 1
    # Taking a group's first row off beforehand keeps constants exactly 0, which a mean of equal floats need not.
    first = np.zeros(n_groups, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    shifted = values - values[first][codes]
    means = group_sums(shifted, codes, n_groups) / np.bincount(codes, minlength=n_groups)[:, None]
    return shifted - means[codes]


def constant_columns(values: Floats) -> Bools:
    """Which columns hold one value throughout.

    Args:
        values (`ndarray` of shape (n, k)): Columns.

    Returns:
        `ndarray` of shape (k,): True for a constant column.
    """
    return ~np.asarray((values != values[:1]).any(axis=0), dtype=bool)


def differing(values: Floats) -> Codes:
    """How many entries of each column differ from the column's commonest value.

    Args:
        values (`ndarray` of shape (n, k)): Columns.

    Returns:
        `ndarray` of shape (k,): Counts; 0 for a constant column.

    Example:

    ```python
    >>> differing(np.array([[0.0, 5.0], [0.0, 5.0], [1.0, 5.0]])).tolist()
    [1, 0]

    ```
    """
    commonest = [np.unique(column, return_counts=True)[1].max(initial=0) for column in values.T]
    return len(values) - np.array(commonest, dtype=np.int64)


def null_loadings(design: Floats) -> tuple[Bools, int]:
    """Which columns take part in an exact linear dependence.

    Args:
        design (`ndarray` of shape (n, k)): The design matrix.

    Returns:
        `tuple[ndarray, int]`: True for each column whose coefficient is not determined, and the rank.
    """
    _, singular, vectors, scale = _factor(design)
    return _loaded(singular, vectors, scale), len(singular[_solid(singular)])


def fit_linear(
    design: Floats, outcome: Floats, clusters: Codes, *, small_sample: bool = True, absorbed: int = 0
) -> LinearFit:
    """Ordinary least squares with a cluster-robust (CRV1) covariance.

    Args:
        design (`ndarray` of shape (n, k)): Regressors, an intercept included where one is wanted.
        outcome (`ndarray` of shape (n,)): Outcome.
        clusters (`ndarray` of shape (n,)): Cluster codes, 0 to G - 1.
        small_sample (`bool`, defaults to `True`): Multiply by G / (G - 1) * (n - 1) / (n - rank - absorbed).
        absorbed (`int`, defaults to 0): Parameters taken out of the design beforehand that count as fitted.

    Returns:
        `LinearFit`: The fit. With every row its own cluster the covariance is HC1.

    Source: Liang and Zeger (1986); the factor is Stata's.
    """
    n, k = design.shape
    left, singular, vectors, scale = _factor(design)
    unidentified, solid = _loaded(singular, vectors, scale), _solid(singular)
    rank = int(solid.sum())
    # Minimum-norm solution by singular values: a Gram matrix would square the condition number.
    inverse = vectors[solid].T / singular[solid]
    safe = np.where(scale > 0, scale, 1.0)
    coefficients = inverse @ (left[:, solid].T @ outcome) / safe
    residuals = outcome - design @ coefficients
    size = float(np.abs(outcome).max(initial=0.0))
    residual_size = float(np.abs(residuals).max(initial=0.0)) / size if size else 0.0
    n_clusters = int(clusters.max()) + 1
    covariance = np.full((k, k), np.nan)
    if n_clusters > 1 and n > rank + absorbed:
        influence = group_sums(left[:, solid] * residuals[:, None], clusters, n_clusters) @ inverse.T / safe
        covariance = influence.T @ influence
        covariance *= n_clusters / (n_clusters - 1) * (n - 1) / (n - rank - absorbed) if small_sample else 1.0
    coefficients = np.where(unidentified, math.nan, coefficients)
    covariance[unidentified, :] = np.nan
    covariance[:, unidentified] = np.nan
    return LinearFit(coefficients, covariance, ~unidentified, rank, n_clusters, residual_size)


def variance_inflation(design: Floats) -> Floats:
    """Variance inflation factor of each column of a centred design: 1 / (1 - R^2) on the other columns.

    Args:
        design (`ndarray` of shape (n, k)): Columns with mean 0.

    Returns:
        `ndarray` of shape (k,): 1 for a column uncorrelated with the rest; nan for one that does not vary or is an
        exact combination of others.
    """
    _, singular, vectors, scale = _factor(design)
    solid = _solid(singular)
    # The diagonal of the inverse correlation matrix, from the factors of the scaled columns.
    factors = ((vectors[solid] / singular[solid, None]) ** 2).sum(axis=0)
    return np.where(_loaded(singular, vectors, scale), np.nan, factors)


def condition_number(design: Floats) -> float:
    """Ratio of the largest to the smallest singular value of the columns scaled to unit length (Belsley et al., 1980)."""
    _, singular, _, scale = _factor(design)
    if not (scale > 0).any():
        return math.nan
    alive = singular[: int((scale > 0).sum())]
    complete = len(alive) == (scale > 0).sum() and bool(_solid(alive).all())
    return float(alive[0] / alive[-1]) if complete else math.inf


def _factor(design: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Singular value decomposition of the columns at unit length, and their lengths (0 for a column of zeros)."""
    scale = np.sqrt((design**2).sum(axis=0))
    left, singular, vectors = np.linalg.svd(design / np.where(scale > 0, scale, 1.0), full_matrices=False)
    return left, singular, vectors, scale


def _solid(singular: Floats) -> Bools:
    return np.asarray(singular > _RANK_TOLERANCE * singular.max(initial=0.0), dtype=bool)


def _loaded(singular: Floats, vectors: Floats, scale: Floats) -> Bools:
    """Columns outside the row space: a unit vector is in it exactly where the column is determined."""
    kept = vectors[_solid(singular)]
    outside = 1.0 - (kept**2).sum(axis=0)
    return np.asarray((scale == 0) | (outside > _LOADING_TOLERANCE), dtype=bool)

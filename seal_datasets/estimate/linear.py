"""Least squares on designs that may be rank-deficient, with clustered errors. Arrays only.

A design enters as the triangle R of its QR factors, computed block by block. Triangles of parts merge into that of the
whole, so rows may stream; unlike a Gram matrix, a triangle keeps the design's condition number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from seal_datasets.estimate.inputs import Bools, Codes, Floats

# Relative singular values of unit columns that count as 0; float32 sums that should cancel leave about 1e-7.
RANK_TOLERANCE = 1e-6
_LOADING_TOLERANCE = 1e-9
_OUTSIDE = 1e-8
# Largest residual, over the outcome's scale, that counts as rounding.
PERFECT = 1e-12
# Error of a difference, over the errors of both estimates or in units near 1, that counts as rounding.
SAME = 1e-9
# Above this ratio of a scaled Gram matrix' eigenvalues, its Cholesky factor is exact to about 1e-12.
_WELL_CONDITIONED = 1e-4
# Rows per block: 40 columns of doubles fit the cache.
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Solution:
    """Least-squares solution from the triangle of a design and its outcomes.

    Attributes:
        coefficients (`ndarray` of shape (k, m)): Minimum-norm least squares, for residuals.
        root (`ndarray` of shape (k, rank)): A root of the Gram matrix' pseudo-inverse: the design times it is orthonormal.
        identified (`ndarray` of shape (k,)): Whether a coefficient is determined by the data.
        rank (`int`): Rank of the design.
        lengths (`ndarray` of shape (k,)): Length of each column of the design; 1 for a column of zeros.
    """

    coefficients: Floats
    root: Floats
    identified: Bools
    rank: int
    lengths: Floats

    @property
    def bread(self) -> Floats:
        """Pseudo-inverse of the Gram matrix, of shape (k, k)."""
        return np.asarray(self.root @ self.root.T)


def one_blas_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread, because blocks are too small for threads to pay off.

    With another process on the same cores, two threads took 20 to 100 times as long as one.
    """
    limited: AbstractContextManager[object] = _blas().limit(limits=1, user_api="blas")
    return limited


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def triangle(*columns: Floats, above: Floats | None = None) -> Floats:
    """Compute the triangular QR factor of columns side by side, optionally stacked below an earlier triangle.

    Args:
        *columns (`ndarray` of shape (n,) or (n, j)): Columns, k in all.
        above (`ndarray` of shape (j, k), *optional*): Triangle of other rows.

    Returns:
        `ndarray` of shape (at most k, k): R with R'R equal to the rows' Gram matrix.

    Source: Demmel et al. (2012), communication-avoiding QR.

    Example:

    ```python
    >>> rows = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> r = triangle(rows[1:], above=triangle(rows[:1]))
    >>> np.allclose(r.T @ r, rows.T @ rows)
    True

    ```
    """
    starts = range(0, len(columns[0]), _BLOCK)

    def blocks() -> Iterator[Floats]:
        return (np.column_stack([column[i : i + _BLOCK] for column in columns]) for i in starts)

    factor = _cholesky(np.asarray(sum(block.T @ block for block in blocks()))) if len(starts) > 1 else None
    parts = [np.linalg.qr(block, mode="r") for block in blocks()] if factor is None else [factor]
    return np.asarray(np.linalg.qr(np.vstack([*([] if above is None else [above]), *parts]), mode="r"))


def _cholesky(gram: Floats) -> Floats | None:
    """The triangle from the Gram matrix, four times as fast as QR; `None` for columns too near dependence for its precision."""
    scale = np.sqrt(np.diag(gram))
    if not (scale > 0).all():
        return None
    values = np.linalg.eigvalsh(gram / np.outer(scale, scale))
    if values[0] < _WELL_CONDITIONED * values[-1]:
        return None
    return np.asarray(np.linalg.cholesky(gram / np.outer(scale, scale)).T * scale)


def solve(r: Floats, k: int) -> Solution:
    """Solve for the coefficients of a triangle's last columns on its first k.

    Args:
        r (`ndarray` of shape (j, k + m)): Triangle of the design and the outcomes beside it.
        k (`int`): Columns of the design.

    Returns:
        `Solution`: Coefficients and the root of their covariance.
    """
    left, singular, vectors, scale = _factor(r[:, :k])
    solid = _solid(singular)
    safe = np.where(scale > 0, scale, 1.0)
    inverse = vectors[solid].T / singular[solid] / safe[:, None]
    coefficients = inverse @ (left[:, solid].T @ r[:, k:])
    return Solution(coefficients, inverse, ~_loaded(singular, vectors, scale), int(solid.sum()), safe)


def cluster_scores(rows: Floats, residuals: Floats, clusters: Codes | None) -> Floats:
    """Sum rows times residuals over each cluster.

    Args:
        rows (`ndarray` of shape (n, k)): The design.
        residuals (`ndarray` of shape (n,)): Residuals.
        clusters (`ndarray` of shape (n,), *optional*): Codes; each row is its own cluster when omitted.

    Returns:
        `ndarray` of shape (G, k): Scores.
    """
    products = rows * residuals[:, None]
    return products if clusters is None else group_sums(products, clusters, int(clusters.max(initial=-1)) + 1)


def score_products(
    rows: Floats, outcomes: Floats, coefficients: Floats, clusters: Codes | None
) -> tuple[Floats, Floats]:
    """Sum products of scores over clusters, within and between outcomes: the meat of the sandwich.

    Args:
        rows (`ndarray` of shape (n, k)): The design.
        outcomes (`ndarray` of shape (n, m)): Outcomes.
        coefficients (`ndarray` of shape (k, m)): Coefficients of each outcome.
        clusters (`ndarray` of shape (n,), *optional*): Codes; each row is its own cluster when omitted.

    Returns:
        `tuple[ndarray, ndarray]`: Sums of s_i s_j' for outcomes i and j, of shape (m, m, k, k); and each outcome's
        largest absolute residual.
    """
    (n, k), m = rows.shape, outcomes.shape[1]
    meat, largest = np.zeros((m, m, k, k)), np.zeros(m)
    if clusters is not None:
        residuals = outcomes - rows @ coefficients
        scores = [cluster_scores(rows, residual, clusters) for residual in residuals.T]
        meat = np.array([[one.T @ other for other in scores] for one in scores]).reshape(m, m, k, k)
        return meat, np.abs(residuals).max(axis=0, initial=0.0)
    for start in range(0, n, _BLOCK):
        # Residuals and scores are computed while the block is in the cache.
        block = rows[start : start + _BLOCK]
        residuals = outcomes[start : start + _BLOCK] - block @ coefficients
        largest = np.maximum(largest, np.abs(residuals).max(axis=0))
        scores = [block * residual[:, None] for residual in residuals.T]
        for i, one in enumerate(scores):
            for j, other in enumerate(scores[: i + 1]):
                meat[i, j] += one.T @ other
    for i in range(m):
        meat[:i, i] = meat[i, :i]
    return meat, largest


def group_sums(values: Floats, codes: Codes, n_groups: int) -> Floats:
    """Sum the rows of each group.

    Args:
        values (`ndarray` of shape (n, k)): Rows.
        codes (`ndarray` of shape (n,)): Group of each row, 0 to `n_groups` - 1.
        n_groups (`int`): Number of groups.

    Returns:
        `ndarray` of shape (n_groups, k): Sums.
    """
    starts = np.arange(len(codes) + 1)
    membership = sparse.csr_array((np.ones(len(codes)), codes, starts), shape=(len(codes), n_groups))
    return np.asarray(membership.T @ values, dtype=np.float64)


def demean(values: Floats, codes: Codes) -> Floats:
    """Subtract each group's mean: the within transformation, exact for groups of any size.

    Args:
        values (`ndarray` of shape (n, k)): Rows.
        codes (`ndarray` of shape (n,)): Group of each row.

    Returns:
        `ndarray` of shape (n, k): Deviations; columns that are constant within every group are exactly 0.
    """
    n_groups = int(codes.max()) + 1
    # Subtracting a group's first row keeps constants exactly 0; a mean of equal floats may be rounded.
    shifted = values[first_rows(codes, n_groups)[codes]]
    np.subtract(values, shifted, out=shifted)
    means = group_sums(shifted, codes, n_groups) / np.bincount(codes, minlength=n_groups)[:, None]
    for start in range(0, len(shifted), _BLOCK):  # so that no third array of all rows is needed
        shifted[start : start + _BLOCK] -= means[codes[start : start + _BLOCK]]
    return shifted


def first_rows(codes: Codes, n_groups: int) -> Codes:
    """Find the first row of each group.

    Args:
        codes (`ndarray` of shape (n,)): Group of each row, 0 to `n_groups` - 1.
        n_groups (`int`): Number of groups, each with a row.

    Returns:
        `ndarray` of shape (n_groups,): Row numbers.
    """
    first = np.zeros(n_groups, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return first


def constant_columns(values: Floats) -> Bools:
    """Flag columns with a single value.

    Args:
        values (`ndarray` of shape (n, k)): Columns.

    Returns:
        `ndarray` of shape (k,): True for a constant column.
    """
    return ~np.asarray((values != values[:1]).any(axis=0), dtype=bool)


def nonzero_counts(values: Floats) -> Codes:
    """Count the nonzero entries of each column.

    Args:
        values (`ndarray` of shape (n, k)): Columns.

    Returns:
        `ndarray` of shape (k,): Counts.
    """
    counts = np.zeros(values.shape[1])
    for start in range(0, len(values), _BLOCK):
        # A product with ones is exact and several times as fast as a sum of booleans over short rows.
        block = (values[start : start + _BLOCK] != 0).astype(np.float32)
        counts += np.ones(len(block), dtype=np.float32) @ block
    return counts.astype(np.int64)


def differing(values: Floats, counts: Floats | None = None) -> Codes:
    """Count the entries of each column that differ from its most common value.

    Args:
        values (`ndarray` of shape (n, k)): Columns.
        counts (`ndarray` of shape (n,), *optional*): Multiplicity of each row; 1 when omitted.

    Returns:
        `ndarray` of shape (k,): Counts; 0 for a constant column.

    Example:

    ```python
    >>> differing(np.array([[0.0, 5.0], [0.0, 5.0], [1.0, 5.0]])).tolist()
    [1, 0]

    ```
    """
    if not len(values):
        return np.zeros(values.shape[1], dtype=np.int64)
    counts = np.ones(len(values)) if counts is None else counts
    low, high = (counts @ (values == extreme) for extreme in (values.min(axis=0), values.max(axis=0)))
    commonest = np.maximum(low, high)
    for column in np.flatnonzero(low + high < counts.sum()):
        commonest[column] = np.bincount(pd.factorize(values[:, column])[0], weights=counts).max()
    return np.asarray(np.rint(counts.sum() - commonest), dtype=np.int64)


def null_loadings(design: Floats) -> tuple[Bools, int]:
    """Flag columns that take part in an exact linear dependence.

    Args:
        design (`ndarray` of shape (n, k)): The design matrix.

    Returns:
        `tuple[ndarray, int]`: True for each column whose coefficient is not determined, and the rank.
    """
    _, singular, vectors, scale = _factor(design)
    return _loaded(singular, vectors, scale), len(singular[_solid(singular)])


def determined(design: Floats, weights: Floats) -> bool:
    """Whether the data determine a weighted sum of coefficients, such as the intercept of uncentred columns.

    Args:
        design (`ndarray` of shape (n, k)): The design matrix, or its triangle.
        weights (`ndarray` of shape (k,)): Weight of each coefficient.

    Returns:
        `bool`: True unless the sum changes along an exact linear dependence.

    Example: two equal columns determine the sum of their coefficients, not the difference.

    ```python
    >>> twice = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    >>> determined(twice, np.array([1.0, 1.0])), determined(twice, np.array([1.0, -1.0]))
    (True, False)

    ```
    """
    _, singular, vectors, scale = _factor(design)
    if ((scale == 0) & (weights != 0)).any():
        return False
    scaled = weights / np.where(scale > 0, scale, 1.0)
    # Columns outside every dependence are excluded: their rounding would count next to a large weight.
    undetermined = np.where(_loaded(singular, vectors, scale), scaled, 0.0)
    kept = vectors[_solid(singular)]
    outside = undetermined - kept.T @ (kept @ undetermined)
    largest = max(np.abs(undetermined).max(), abs(scaled[0]))
    return bool(np.abs(outside).max(initial=0.0) <= _OUTSIDE * largest)


def rounded_variances(bread: Floats, size: float) -> Floats:
    """Upper limits of variances that are rounding, as left by scores that cancel within clusters.

    Args:
        bread (`ndarray` of shape (k, k)): Inverse of the design's Gram matrix.
        size (`float`): The outcome's largest absolute value.

    Returns:
        `ndarray` of shape (k,): Variances.
    """
    return np.asarray((PERFECT * size) ** 2 * np.abs(np.diag(bread)))


def cluster_factor(n_clusters: int, n: int, n_parameters: int) -> float:
    """The small-sample factor of clustered errors: G / (G - 1) * (n - 1) / (n - parameters)."""
    return n_clusters / (n_clusters - 1) * (n - 1) / (n - n_parameters)


def variance_inflation(design: Floats) -> Floats:
    """Compute the variance inflation factor of each column of a centred design: 1 / (1 - R^2) on the others.

    Args:
        design (`ndarray` of shape (n, k)): Columns with mean 0.

    Returns:
        `ndarray` of shape (k,): 1 for a column uncorrelated with the rest; nan for a constant column or an exact
        combination of others.
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
    return np.asarray(singular > RANK_TOLERANCE * singular.max(initial=0.0), dtype=bool)


def _loaded(singular: Floats, vectors: Floats, scale: Floats) -> Bools:
    """Undetermined columns: those whose unit vector lies outside the row space."""
    kept = vectors[_solid(singular)]
    outside = 1.0 - (kept**2).sum(axis=0)
    return np.asarray((scale == 0) | (outside > _LOADING_TOLERANCE), dtype=bool)

"""Bias-reduced clustered errors of least squares (CR2), with Satterthwaite and AHT degrees of freedom. Arrays only.

Every quantity is a sum over clusters, so a design may stream in parts that hold whole clusters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from seal_datasets.estimate.inputs import Codes, Floats
from seal_datasets.estimate.linear import Solution

# A cluster with leverage this near 1 is fitted exactly: its residuals carry no information on the error.
# Rounding on a nearly collinear design leaves up to 1e-10.
_FULL_LEVERAGE = 1e-8
# A coefficient whose variance rests on clusters with full leverage for more than this share has no error.
_LOST = 1e-6
# Differences below this share of their terms are rounding.
_ROUNDING = 1e-10
# Up to this many clusters every cross term between clusters is computed. Beyond it, clusters with a smaller leverage than
# _LIGHT enter by their trace: critical values of t move by less than 1e-3 of themselves, and usually by 1e-6.
_EXACT_UP_TO = 50_000
_LIGHT = 1e-3
# Below this condition number single precision gives the leverage of a light row: errors of estimates move by 1e-7 at most.
_WELL_CONDITIONED = 30.0
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class TurnedClusters:
    """Clusters with p rows each, in the eigenvectors of each cluster's leverage.

    Attributes:
        rows (`ndarray` of shape (g, p, r)): Orthonormal coordinates of the design; rows of a cluster are orthogonal.
        residuals (`ndarray` of shape (g, p, m)): Residuals of each outcome.
        leverage (`ndarray` of shape (g, p)): Eigenvalues of each cluster's leverage: squared lengths of the rows.
        codes (`ndarray` of shape (g,)): Codes of the clusters.
    """

    rows: Floats
    residuals: Floats
    leverage: Floats
    codes: Codes

    def inverse(self) -> Floats:
        """1 / (1 - leverage) of shape (g, p); 0 for rows that are fitted exactly."""
        left = 1.0 - self.leverage
        solid = left > _FULL_LEVERAGE
        return np.where(solid, 1 / np.where(solid, left, 1.0), 0.0)


class BiasReduced:
    """Sums for CR2 covariances of several outcomes and for the degrees of freedom of each coefficient.

    Args:
        solution (`Solution`): The fit, with k coefficients of m outcomes.
        n_clusters (`int`): Clusters of the whole design.

    Source: Bell and McCaffrey (2002); Pustejovsky and Tipton (2018), whose Theorem 2 allows absorbed effects to be ignored.

    Example: the error of a mean is s / sqrt(n), with n - 1 degrees of freedom.

    ```python
    >>> from seal_datasets.estimate.linear import solve, triangle
    >>> x, y = np.ones((4, 1)), np.array([[0.0], [1.0], [2.0], [5.0]])
    >>> sums = BiasReduced(solve(triangle(x, y), 1), 4)
    >>> sums.add(x, y, None)
    >>> round(float(sums.covariance()[0, 0, 0, 0]), 6), round(float(y.var(ddof=1) / 4), 6), sums.freedom().round(6).tolist()
    (1.166667, 1.166667, [3.0])

    ```
    """

    def __init__(self, solution: Solution, n_clusters: int) -> None:
        k, rank = solution.root.shape
        m = solution.coefficients.shape[1]
        self.solution = solution
        self.limit = 0.0 if n_clusters <= _EXACT_UP_TO else _LIGHT
        self.largest = np.zeros(m)
        self._meat = np.zeros((m, m, rank, rank))
        self._upper = np.triu_indices(rank)
        self._lost, self._light = np.zeros(k), np.zeros(k)
        # Sums whose difference, and whose total, are the spread of the diagonal.
        self._diagonal = np.zeros((2, k))
        self._products = np.zeros((len(self._upper[0]), k))
        # Meat of light rows, in the design's own columns.
        self._plain = np.zeros((m, m, k, k))
        root = solution.root * solution.lengths[:, None]
        self._unit_bread = (root @ root.T).astype(np.float32)
        well = rank == k and np.linalg.norm(root, 2) * math.sqrt(k) < _WELL_CONDITIONED
        self._single = bool(self.limit) and well

    def add(self, rows: Floats, outcomes: Floats, clusters: Codes | None) -> None:
        """Add a part of the design that holds whole clusters.

        Args:
            rows (`ndarray` of shape (n, k)): The design, possibly with fixed effects within clusters removed.
            outcomes (`ndarray` of shape (n, m)): Outcomes.
            clusters (`ndarray` of shape (n,), *optional*): Codes; each row is its own cluster when omitted.
        """
        if self._single and clusters is None:
            starts = range(0, len(rows), _BLOCK)
            heavy = [self._add_light_rows(rows[i : i + _BLOCK], outcomes[i : i + _BLOCK]) + i for i in starts]
            left = np.concatenate([np.empty(0, dtype=np.int64), *heavy])
            rows, outcomes = rows[left], outcomes[left]
        for part in _turn(rows, outcomes, clusters, self.solution):
            self._add_turned(part)

    def covariance(self) -> Floats:
        """Covariances of the k coefficients within and between the m outcomes, of shape (m, m, k, k)."""
        root, bread = self.solution.root, self.solution.bread
        return np.asarray(root @ self._meat @ root.T + bread @ self._plain @ bread)

    def freedom(self) -> Floats:
        """Satterthwaite degrees of freedom of each coefficient; nan without information on its variance."""
        root = self.solution.root
        variance = (root**2).sum(axis=1)
        products, first = self._products.copy(), self._upper[0] == self._upper[1]
        products[first] += self._light / max(root.shape[1], 1)
        together = 2 * (products**2).sum(axis=0) - (products[first] ** 2).sum(axis=0)
        less, size = self._diagonal
        spread, own = less + together, variance - self._lost
        known = (self._lost <= _LOST * variance) & (variance > 0) & (spread > _ROUNDING * (size + together))
        with np.errstate(invalid="ignore", divide="ignore"):
            # At least 1, which rounding may miss.
            return np.where(known, np.maximum(own**2 / spread, 1.0), math.nan)

    def _add_turned(self, part: TurnedClusters) -> None:
        inverse = part.inverse()
        slopes = part.rows @ self.solution.root.T
        full = inverse == 0
        if full.any():
            self._lost += (slopes[full] ** 2).sum(axis=0)
        residuals = part.residuals * np.sqrt(inverse)[:, :, None]
        self.largest = np.maximum(self.largest, np.abs(part.residuals).max(axis=(0, 1), initial=0.0))
        if part.leverage.shape[1] == 1:
            _add_products(self._meat, part.rows[:, 0], residuals[:, 0])
            self._add_single_rows(part.rows[:, 0], slopes[:, 0], part.leverage[:, 0], inverse[:, 0])
        else:
            scores = np.einsum("gpr,gpm->mgr", part.rows, residuals)
            self._meat += np.einsum("igr,jgs->ijrs", scores, scores, optimize=True)
            self._add_several_rows(part, slopes, inverse)

    def _add_light_rows(self, block: Floats, outcomes: Floats) -> Codes:
        """Add single rows of little leverage, which is computed in single precision, and return the others' numbers."""
        lengths = self.solution.lengths
        unit = np.empty(block.shape, dtype=np.float32)
        # Scaled before the cast: single precision ends at 1e38.
        np.multiply(block, 1 / lengths, out=unit, casting="same_kind")
        slopes = unit @ self._unit_bread
        leverage = np.einsum("ij,ij->i", unit, slopes).astype(np.float64)
        residuals = outcomes - block @ self.solution.coefficients
        heavy = np.flatnonzero(leverage > 0.9 * _LIGHT)
        leverage[heavy], slopes[heavy], residuals[heavy] = 0.0, 0.0, 0.0
        self.largest = np.maximum(self.largest, np.abs(residuals).max(axis=0, initial=0.0))
        inverse = 1 / (1 - leverage)
        np.multiply(slopes, slopes, out=slopes)
        self._light += (leverage * inverse).astype(np.float32) @ slopes / lengths**2
        np.multiply(slopes, slopes, out=slopes)
        weights = inverse**2 * np.array([1 - 2 * leverage, 1 + 2 * leverage])
        self._diagonal += weights.astype(np.float32) @ slopes / lengths**4
        residuals *= np.sqrt(inverse)[:, None]
        _add_products(self._plain, block, residuals)
        return heavy

    def _add_single_rows(self, q: Floats, slopes: Floats, leverage: Floats, inverse: Floats) -> None:
        squares = slopes**2
        weights = inverse**2 * np.array([1 - 2 * leverage, 1 + 2 * leverage])
        self._diagonal += weights @ squares**2
        heavy = np.flatnonzero(leverage > self.limit)
        if self.limit:
            self._light += np.where(leverage > self.limit, 0.0, leverage * inverse) @ squares
        if heavy.size:
            q = q[heavy]
            self._products += (q[:, self._upper[0]] * q[:, self._upper[1]]).T @ (squares[heavy] * inverse[heavy, None])

    def _add_several_rows(self, part: TurnedClusters, slopes: Floats, inverse: Floats) -> None:
        squares = slopes**2
        own = np.einsum("gp,gpk->gk", inverse, squares)
        shared = np.einsum("gp,gpk->gk", inverse * part.leverage, squares)
        self._diagonal += [(own**2 - 2 * own * shared).sum(axis=0), (own**2 + 2 * own * shared).sum(axis=0)]
        heavy = part.leverage.max(axis=1, initial=0.0) > self.limit
        self._light += shared[~heavy].sum(axis=0)
        for start in range(0, int(heavy.sum()), _BLOCK):
            rows = np.flatnonzero(heavy)[start : start + _BLOCK]
            moved = np.einsum("gpr,gpk->kgr", part.rows[rows] * np.sqrt(inverse[rows])[:, :, None], slopes[rows])
            for j, each in enumerate(moved):
                self._products[:, j] += (each.T @ each)[self._upper]


def cr2(rows: Floats, residuals: Floats, clusters: Codes | None, solution: Solution) -> tuple[Floats, Floats]:
    """Compute the CR2 covariance of one fit from its residuals, and its Satterthwaite degrees of freedom.

    Args:
        rows (`ndarray` of shape (n, k)): The design, weighted where the fit was.
        residuals (`ndarray` of shape (n,)): Residuals.
        clusters (`ndarray` of shape (n,), *optional*): Codes; each row is its own cluster when omitted.
        solution (`Solution`): The fit.

    Returns:
        `tuple[ndarray, ndarray]`: Covariance of shape (k, k), and degrees of freedom of each coefficient.

    Source: as `BiasReduced`.

    Example:

    ```python
    >>> from seal_datasets.estimate.linear import solve, triangle
    >>> x, y = np.ones((4, 1)), np.array([0.0, 1.0, 2.0, 5.0])
    >>> covariance, freedom = cr2(x, y - 2.0, None, solve(triangle(x, y), 1))  # a mean: s^2 / n with n - 1
    >>> round(float(covariance[0, 0]), 6), round(float(y.var(ddof=1) / 4), 6), round(float(freedom[0]), 6)
    (1.166667, 1.166667, 3.0)

    ```
    """
    n_clusters = len(rows) if clusters is None else int(clusters.max(initial=-1)) + 1
    sums = BiasReduced(replace(solution, coefficients=np.zeros((rows.shape[1], 1))), n_clusters)
    sums.add(rows, residuals[:, None], clusters)
    return sums.covariance()[0, 0], sums.freedom()


def cluster_influences(rows: Floats, outcomes: Floats, clusters: Codes | None, solution: Solution) -> Floats:
    """Each cluster's influence on the coefficients, with the adjustment of CR2: sums of squares are the CR2 variances.

    Args:
        rows (`ndarray` of shape (n, k)): The design.
        outcomes (`ndarray` of shape (n, m)): Outcomes.
        clusters (`ndarray` of shape (n,), *optional*): Codes from 0; each row is its own cluster when omitted.
        solution (`Solution`): The fit of all outcomes.

    Returns:
        `ndarray` of shape (m, G, k): Influences.

    Source: as `BiasReduced`.
    """
    n_clusters = len(rows) if clusters is None else int(clusters.max(initial=-1)) + 1
    influences = np.empty((outcomes.shape[1], n_clusters, len(solution.root)))
    for part in _turn(rows, outcomes, clusters, solution):
        scores = np.einsum("gpr,gpm->mgr", part.rows, part.residuals * np.sqrt(part.inverse())[:, :, None])
        influences[:, part.codes] = scores @ solution.root.T
    return influences


def joint_freedom(rows: Floats, clusters: Codes | None, solution: Solution, members: Codes) -> float:
    """Degrees of freedom of the AHT test that several coefficients are all zero.

    Args:
        rows (`ndarray` of shape (n, k)): The design.
        clusters (`ndarray` of shape (n,), *optional*): Codes; each row is its own cluster when omitted.
        solution (`Solution`): The fit.
        members (`ndarray` of shape (q,)): Coefficients tested, each with a variance.

    Returns:
        `float`: The eta of Hotelling's T squared; that of `BiasReduced.freedom` for one coefficient. nan where the
        coefficients depend on each other linearly.

    Source: Pustejovsky and Tipton (2018), section 3.2; Zhang (2012).
    """
    q, rank = len(members), solution.root.shape[1]
    contrast = solution.root[members]
    contrast = contrast / np.sqrt((contrast**2).sum(axis=1))[:, None]
    values, vectors = np.linalg.eigh(contrast @ contrast.T)
    if values[0] <= _ROUNDING * values[-1]:
        return math.nan
    contrast = (vectors / np.sqrt(values)) @ vectors.T @ contrast
    n_clusters = len(rows) if clusters is None else int(clusters.max(initial=-1)) + 1
    limit = 0.0 if n_clusters <= _EXACT_UP_TO else _LIGHT
    total, light, cross = 0.0, np.zeros((q, q)), np.zeros((rank * q, rank * q))
    for part in _turn(rows, np.zeros((len(rows), solution.coefficients.shape[1])), clusters, solution):
        inverse, slopes = part.inverse(), part.rows @ contrast.T
        own = np.einsum("gp,gps,gpt->gst", inverse, slopes, slopes)
        shared = np.einsum("gp,gps,gpt->gst", inverse * part.leverage, slopes, slopes)
        traces = np.trace(own, axis1=1, axis2=2), np.trace(shared, axis1=1, axis2=2)
        total += float((traces[0] ** 2 - 2 * traces[0] * traces[1]).sum() + (own**2 - 2 * own * shared).sum())
        heavy = part.leverage.max(axis=1, initial=0.0) > limit
        light += shared[~heavy].sum(axis=0)
        halves = part.rows[heavy] * np.sqrt(inverse[heavy])[:, :, None]
        moved = np.einsum("gpr,gps->grs", halves, slopes[heavy]).reshape(-1, rank * q)
        cross += moved.T @ moved
    by_pair = cross.reshape(rank, q, rank, q) + np.einsum("st,ab->asbt", light / rank, np.eye(rank))
    total += float((by_pair**2).sum() + (by_pair * by_pair.transpose(2, 1, 0, 3)).sum())
    return q * (q + 1) / total if total > 0 else math.nan


def _add_products(meat: Floats, rows: Floats, residuals: Floats) -> None:
    """Add sums of products of scores, within and between outcomes."""
    scores = [rows * residual[:, None] for residual in residuals.T]
    for i, one in enumerate(scores):
        for j, other in enumerate(scores[: i + 1]):
            product = one.T @ other
            meat[i, j] += product
            if j < i:
                meat[j, i] += product.T


def _turn(rows: Floats, outcomes: Floats, clusters: Codes | None, solution: Solution) -> Iterator[TurnedClusters]:
    """Yield clusters in blocks of equal size."""
    root, coefficients = solution.root, solution.coefficients
    if clusters is None:
        for start in range(0, len(rows), _BLOCK):
            # Residuals are computed while the block is in the cache.
            block = rows[start : start + _BLOCK]
            codes = np.arange(start, start + len(block))
            yield _single_rows(block @ root, outcomes[start : start + _BLOCK] - block @ coefficients, codes)
        return
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters)
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 0]):
        chosen = np.flatnonzero(sizes == size)
        step = max(4 * _BLOCK // int(size), 1)
        for first in range(0, len(chosen), step):
            codes = chosen[first : first + step]
            part = order[starts[codes, None] + np.arange(size)]
            flat = part.ravel()
            block = rows[flat]
            q, residuals = block @ root, outcomes[flat] - block @ coefficients
            if size == 1:
                yield _single_rows(q, residuals, codes)
            else:
                yield _eigenrows(q.reshape(*part.shape, -1), residuals.reshape(*part.shape, -1), codes)


def _single_rows(q: Floats, residuals: Floats, codes: Codes) -> TurnedClusters:
    return TurnedClusters(q[:, None], residuals[:, None], np.einsum("ij,ij->i", q, q)[:, None], codes)


def _eigenrows(q: Floats, residuals: Floats, codes: Codes) -> TurnedClusters:
    """Turn each cluster's rows into its eigenvectors, of the smaller of its two Gram matrices."""
    if q.shape[1] <= q.shape[2]:
        values, vectors = _eigen(q @ q.transpose(0, 2, 1))
        turn = vectors.transpose(0, 2, 1)
        return TurnedClusters(turn @ q, turn @ residuals, np.maximum(values, 0.0), codes)
    values, vectors = np.linalg.eigh(q.transpose(0, 2, 1) @ q)
    lengths = np.sqrt(np.maximum(values, 0.0))[:, :, None]
    turn = vectors.transpose(0, 2, 1)
    scores = turn @ (q.transpose(0, 2, 1) @ residuals)
    solid = lengths > 0
    return TurnedClusters(
        turn * lengths, np.where(solid, scores / np.where(solid, lengths, 1.0), 0.0), lengths[:, :, 0] ** 2, codes
    )


def _eigen(gram: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues in rising order, and eigenvectors in columns, of symmetric matrices; those of two rows in closed form."""
    if gram.shape[1] != 2:
        return np.linalg.eigh(gram)
    first, second, off = gram[:, 0, 0], gram[:, 1, 1], gram[:, 0, 1]
    centre, radius = (first + second) / 2, np.hypot((first - second) / 2, off)
    angle = np.arctan2(2 * off, first - second) / 2
    cosine, sine = np.cos(angle), np.sin(angle)
    vectors = np.stack([np.stack([-sine, cosine], axis=1), np.stack([cosine, sine], axis=1)], axis=2)
    return np.stack([centre - radius, centre + radius], axis=1), vectors

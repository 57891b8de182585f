"""Well-conditioned coordinates of a design, whatever its columns' units, and the map back. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from seal_datasets.estimate.inputs import Bools, Floats
from seal_datasets.estimate.linear import triangle

# Rows per block: 40 columns of doubles fit the cache.
_BLOCK = 4096
# From this smallest diagonal entry of a unit triangle the Cholesky factor is exact to about 1e-12; below it QR is used.
_CHOLESKY_IS_EXACT = 1e-2
# A diagonal entry of a unit triangle below this is rounding.
_SINGULAR = 1e-11


@dataclass(frozen=True, slots=True)
class Centred:
    """A design with centred columns after a constant first one; unchanged if its first column varies.

    Attributes:
        rows (`ndarray` of shape (p, k)): Centred rows.
        centre (`ndarray` of shape (k,)): Subtracted means; 0 for the first column.
        first (`float`): Value of the first column if constant, else 0.
        triangle (`ndarray` of shape (j, k)): Triangle of the centred rows, each with its multiplicity.
    """

    rows: Floats
    centre: Floats
    first: float
    triangle: Floats

    def basis(self, columns: Bools | None = None) -> Basis:
        """Compute orthonormal coordinates of the column space.

        Args:
            columns (`ndarray` of shape (k,), *optional*): Independent columns to use; all when omitted.

        Returns:
            `Basis`: The coordinates.
        """
        if columns is None or columns.all():
            rows, centre, r = self.rows, self.centre, self.triangle
        else:
            rows, centre = self.rows[:, columns], self.centre[columns]
            r = np.asarray(np.linalg.qr(self.triangle[:, columns], mode="r"))
        scale = np.sqrt((r**2).sum(axis=0))
        turn = np.asarray(linalg.solve_triangular(r / scale, np.eye(len(scale)))) / scale[:, None]
        back = turn.copy()
        if self.first:
            back[0] -= centre @ turn / self.first
        return Basis(rows @ turn, centre, turn, back)


@dataclass(frozen=True, slots=True)
class Basis:
    """Orthonormal coordinates of a design's column space.

    Attributes:
        rows (`ndarray` of shape (p, k)): The design's rows in these coordinates; orthonormal over the whole sample.
        centre (`ndarray` of shape (k,)): Subtracted from the design's columns.
        turn (`ndarray` of shape (k, k)): Maps the centred design to the rows.
        back (`ndarray` of shape (k, k)): Maps coefficients of the rows to those of the design.
    """

    rows: Floats
    centre: Floats
    turn: Floats
    back: Floats


def centred(x: Floats, totals: Floats) -> Centred:
    """Centre a design's columns if its first column is constant.

    Args:
        x (`ndarray` of shape (p, k)): The design.
        totals (`ndarray` of shape (p,)): Multiplicity of each row.

    Returns:
        `Centred`: The centred design; a constant column is exactly 0.

    Example: orthonormal rows, and the map back to the design.

    ```python
    >>> x = np.column_stack([np.ones(4), [1e6 + 1, 1e6 + 2, 1e6 + 3, 1e6 + 6]])
    >>> basis = centred(x, np.ones(4)).basis()
    >>> np.allclose(basis.rows.T @ basis.rows, np.eye(2)), np.allclose(x @ basis.back, basis.rows)
    (True, True)

    ```
    """
    root = np.sqrt(totals)[:, None]
    first = float(x[0, 0])
    if first == 0 or (x[:, 0] != first).any():
        return Centred(x, np.zeros(x.shape[1]), 0.0, triangle(x * root))
    # Subtracting the first row keeps constants exactly 0; a mean of equal floats may be rounded.
    rows = x - x[0]
    mean = totals @ rows / totals.sum()
    rows -= mean
    rows[:, 0] = first
    centre = x[0] + mean
    centre[0] = 0.0
    return Centred(rows, centre, first, triangle(rows if (totals == 1).all() else rows * root))


def weighted_gram(x: Floats, weight: Floats) -> Floats:
    """Compute X'WX in blocks that fit the cache.

    Args:
        x (`ndarray` of shape (n, k)): Rows.
        weight (`ndarray` of shape (n,)): Weights, not negative.

    Returns:
        `ndarray` of shape (k, k): The Gram matrix.
    """
    gram, root = np.zeros((x.shape[1], x.shape[1])), np.sqrt(weight)
    for start in range(0, len(x), _BLOCK):
        part = x[start : start + _BLOCK] * root[start : start + _BLOCK, None]
        gram += part.T @ part
    return gram


def inverse_root(x: Floats, weight: Floats) -> Floats | None:
    """Compute a triangular root of the inverse of X'WX.

    Args:
        x (`ndarray` of shape (n, k)): Rows.
        weight (`ndarray` of shape (n,)): Weights, not negative.

    Returns:
        `ndarray` of shape (k, k), *optional*: T with T T' equal to the inverse; `None` where X'WX is singular.

    Example:

    ```python
    >>> root = inverse_root(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([1.0, 4.0]))
    >>> np.allclose(root @ root.T, np.linalg.inv([[5.0, 4.0], [4.0, 4.0]]))
    True

    ```
    """
    gram = weighted_gram(x, weight)
    scale = np.sqrt(np.diag(gram))
    if not (scale > 0).all() or not np.isfinite(gram).all():
        return None
    try:
        upper = np.asarray(np.linalg.cholesky(gram / np.outer(scale, scale)).T)
    except np.linalg.LinAlgError:
        upper = np.zeros_like(gram)
    if np.diag(upper).min() < _CHOLESKY_IS_EXACT:
        upper = np.asarray(np.linalg.qr(x * np.sqrt(weight)[:, None] / scale, mode="r"))
    if len(upper) < len(gram) or np.abs(np.diag(upper)).min() < _SINGULAR:
        return None
    return np.asarray(linalg.solve_triangular(upper, np.eye(len(gram))) / scale[:, None], dtype=np.float64)

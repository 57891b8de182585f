"""Adjusted p-values: what remains of a finding when many were looked for."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from seal_datasets.errors import DataError

Adjustment = Literal["bonferroni", "holm", "bh"]


def adjust_p(p_values: NDArray[np.float64], method: Adjustment) -> NDArray[np.float64]:
    """Adjust a family of p-values; nan entries are not part of the family.

    Args:
        p_values (`ndarray` of shape (k,)): Raw p-values, nan where there was no test.
        method (`"bonferroni"`, `"holm"` or `"bh"`): The paper's, its uniform improvement, or the false discovery rate.

    Returns:
        `ndarray` of shape (k,): Adjusted p-values, nan where there was no test.

    Raises:
        DataError: The method is unknown.

    Source: Holm (1979); Benjamini and Hochberg (1995).

    Example:

    ```python
    >>> adjust_p(np.array([0.01, 0.04, 0.03]), "holm").round(3).tolist()  # 3*0.01, then max(2*0.03, ...), then 0.04
    [0.03, 0.06, 0.06]

    ```
    """
    if method not in get_args(Adjustment):
        raise DataError(f"adjust must be one of {list(get_args(Adjustment))}, got {method!r}")
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    if not tested.size:
        return adjusted
    order = tested[np.argsort(p_values[tested], kind="stable")]
    raw, m = p_values[order], len(order)
    if method == "bonferroni":
        scaled = raw * m
    elif method == "holm":
        scaled = np.maximum.accumulate(raw * np.arange(m, 0, -1))
    else:
        scaled = np.minimum.accumulate((raw * m / np.arange(1, m + 1))[::-1])[::-1]
    adjusted[order] = np.minimum(scaled, 1.0)
    return adjusted

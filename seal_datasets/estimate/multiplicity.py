"""Adjustment of p-values for multiple tests."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from seal_datasets.estimate.inputs import one_of

Adjustment = Literal["bonferroni", "holm", "bh"]


def adjust_p(p_values: NDArray[np.float64], method: Adjustment) -> NDArray[np.float64]:
    """Adjust a family of p-values; nan entries are not part of the family.

    Args:
        p_values (`ndarray` of shape (k,)): Raw p-values, nan for missing tests.
        method (`"bonferroni"`, `"holm"` or `"bh"`): `bonferroni` as in the paper, its uniform improvement `holm`, or
            the false discovery rate by `bh`.

    Returns:
        `ndarray` of shape (k,): Adjusted p-values, nan for missing tests.

    Raises:
        DataError: The method is unknown.

    Source: Holm (1979); Benjamini and Hochberg (1995).

    Example:

    ```python
    >>> adjust_p(np.array([0.01, 0.04, 0.03]), "holm").round(3).tolist()  # 3*0.01, then max(2*0.03, ...), then 0.04
    [0.03, 0.06, 0.06]

    ```
    """
    one_of(method, "adjust", get_args(Adjustment))
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    if not tested.size:
        return adjusted
    raw = p_values[tested]
    if method == "holm":
        # Not by multipletests, whose Holm runs the garbage collector: 20 ms or more per call, in bootstraps and fits.
        order = np.argsort(raw, kind="stable")
        steps = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
        adjusted[tested[order]] = np.minimum(steps, 1.0)
    else:
        adjusted[tested] = multipletests(raw, method={"bonferroni": "bonferroni", "bh": "fdr_bh"}[method])[1]
    return adjusted

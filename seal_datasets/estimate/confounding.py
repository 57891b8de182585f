"""How strong an unmeasured confounder would have to be to undo an association."""

from __future__ import annotations

import numpy as np

from seal_datasets.estimate.inputs import Floats


def robustness_value(partial_f2: Floats) -> Floats:
    """Share of residual variance, of outcome and of feature, that a confounder must explain to bring a coefficient to 0.

    Args:
        partial_f2 (`ndarray` of shape (k,)): Cohen's partial f squared of each coefficient. It is the classical t squared over
            its degrees of freedom.

    Returns:
        `ndarray` of shape (k,): From 0 (any confounder would do) to 1; nan stays nan.

    Source: Cinelli and Hazlett (2020), JRSS B 82, Eq. (17) with q = 1.

    Example: their study of Darfur, where t is 4.18 with 783 degrees of freedom.

    ```python
    >>> round(float(robustness_value(np.array([4.18**2 / 783]))[0]), 3)
    0.139

    ```
    """
    f = np.sqrt(np.asarray(partial_f2, dtype=np.float64))
    # (sqrt(f^4 + 4 f^2) - f^2) / 2 without a difference, which would cancel for large f.
    return np.asarray(2 * f / (np.hypot(f, 2.0) + f), dtype=np.float64)

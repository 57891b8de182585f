"""Average marginal effects of a logit over all observations, by the delta method. Arrays only."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from seal_datasets.estimate.inputs import Floats

_BLOCK = 4096


def marginal_effects(
    x: Floats, coefficients: Floats, linear: Floats, share: Floats, covariance: Floats, binary: Floats
) -> tuple[Floats, Floats]:
    """Compute the mean change of the probability by each column: from 0 to 1 where binary, else per unit.

    Args:
        x (`ndarray` of shape (p, k)): Rows, centred or not; the first column is the intercept.
        coefficients (`ndarray` of shape (k,)): Log-odds.
        linear (`ndarray` of shape (p,)): Log-odds of each row.
        share (`ndarray` of shape (p,)): Share of all observations with each row. Observations without a row have a
            probability of 0 or 1 whatever the columns hold, and no effect.
        covariance (`ndarray` of shape (k, k)): Covariance of the coefficients.
        binary (`ndarray` of shape (k,)): For a column of two values one unit apart the lower one; nan for others.

    Returns:
        `tuple[ndarray, ndarray]`: Effects and standard errors, of shape (k,).

    Source: Greene (2018), section 17.3.2; Correia, Guimaraes and Zylkin (2021) for separated observations.

    Example: a 2 x 2 table, whose effect is a difference of shares.

    ```python
    >>> x, linear = np.array([[1.0, 0.0], [1.0, 1.0]]), np.log([1 / 4, 3.0])
    >>> beta = np.array([linear[0], linear[1] - linear[0]])
    >>> effects, _ = marginal_effects(x, beta, linear, np.array([5 / 9, 4 / 9]), np.eye(2), np.array([np.nan, 0.0]))
    >>> round(float(effects[1]), 6)  # 3/4 - 1/5
    0.55

    ```
    """
    k = x.shape[1]
    discrete = np.flatnonzero(~np.isnan(binary))
    effects, gradients, own = np.zeros(k), np.zeros((k, k)), np.zeros(k)
    for start in range(0, len(x), _BLOCK):
        rows, eta, weight = x[start : start + _BLOCK], linear[start : start + _BLOCK], share[start : start + _BLOCK]
        p = expit(eta)
        slope = p * (1 - p)
        effects += weight @ slope * coefficients
        # Column j of `change` holds each row's derivative of its effect by its log-odds.
        change = (weight * slope * (1 - 2 * p))[:, None] * coefficients
        own += weight @ slope
        if discrete.size:
            beta, is_one = coefficients[discrete], rows[:, discrete] > binary[discrete] + 0.5
            other = expit(eta[:, None] + np.where(is_one, -beta, beta))
            sign = np.where(is_one, 1.0, -1.0)
            effects[discrete] += weight @ (sign * (p[:, None] - other)) - weight @ slope * beta
            other *= 1 - other
            change[:, discrete] = weight[:, None] * sign * (slope[:, None] - other)
            # A row that moves to the column's other value moves by a unit: +1 for 0, -1 for 1.
            own[discrete] += weight @ other - weight @ slope
        gradients += rows.T @ change
    gradients[np.arange(k), np.arange(k)] += own
    variances = np.einsum("ij,ik,kj->j", gradients, covariance, gradients)
    return effects, np.sqrt(np.maximum(variances, 0.0))

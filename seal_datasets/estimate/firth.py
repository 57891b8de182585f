"""Firth's penalised logistic regression on patterns: finite estimates where maximum likelihood has none. Arrays only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from seal_datasets.estimate.inputs import Bools, Floats

_MAX_STEPS = 200
_LONGEST_STEP = 5.0
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class FirthFit:
    """A penalised fit; the arrays have shape (k,), nan for coefficients that were not profiled.

    Attributes:
        coefficients (`ndarray` of shape (k,)): Log-odds.
        covariance (`ndarray` of shape (k, k)): Inverse information.
        p_values (`ndarray` of shape (k,)): Of the penalised likelihood ratio test.
        low (`ndarray` of shape (k,)): Lower ends of the profile intervals.
        high (`ndarray` of shape (k,)): Upper ends of the profile intervals.
    """

    coefficients: Floats
    covariance: Floats
    p_values: Floats
    low: Floats
    high: Floats


def fit_firth(x: Floats, successes: Floats, totals: Floats, *, profiled: Bools, confidence: float) -> FirthFit:
    """Maximise the likelihood times the root of the information's determinant.

    Args:
        x (`ndarray` of shape (n, k)): Distinct rows of a design of full rank.
        successes (`ndarray` of shape (n,)): Successes at each.
        totals (`ndarray` of shape (n,)): Observations at each.
        profiled (`ndarray` of shape (k,)): Coefficients to test and to give an interval.
        confidence (`float`): Level of the intervals.

    Returns:
        `FirthFit`: The fit.

    Source: Firth (1993); Heinze and Schemper (2002), whose profile intervals and tests these are.

    Example: one group all successes, 3 of 3, the other 1 of 3: each cell gains half a count, as in Haldane's odds ratio.

    ```python
    >>> x = np.array([[1.0, 0.0], [1.0, 1.0]])
    >>> totals = np.array([3.0, 3.0])
    >>> fit = fit_firth(x, np.array([1.0, 3.0]), totals, profiled=np.array([False, True]), confidence=0.95)
    >>> round(float(np.exp(fit.coefficients[1])), 6), round(3.5 / 0.5 / (1.5 / 2.5), 6)
    (11.666667, 11.666667)

    ```
    """
    k = x.shape[1]
    beta, reached, information = _maximise(x, successes, totals, np.zeros(k), np.ones(k, dtype=bool))
    covariance = np.asarray(np.linalg.inv(information), dtype=np.float64)
    p_values, low, high = np.full(k, np.nan), np.full(k, np.nan), np.full(k, np.nan)
    drop = float(special.chdtri(1, 1 - confidence)) / 2
    for j in np.flatnonzero(profiled):

        def profile(value: float, j: int = int(j)) -> float:
            free = np.arange(k) != j
            start = beta.copy()
            # Where the others go to first order when this one is held: along the information's ridge.
            start += covariance[:, j] / covariance[j, j] * (value - beta[j])
            start[j] = value
            return _maximise(x, successes, totals, start, free)[1] - reached

        p_values[j] = special.chdtrc(1, max(-2 * profile(0.0), 0.0))
        error = math.sqrt(covariance[j, j])
        low[j], high[j] = (_bound(profile, float(beta[j]), side * error, drop) for side in (-1, 1))
    return FirthFit(beta, covariance, p_values, low, high)


def _bound(profile: Callable[[float], float], estimate: float, step: float, drop: float) -> float:
    """Where the profile has fallen by the drop, to one side."""
    inner, outer = estimate, estimate + 2 * step
    while profile(outer) > -drop:
        inner, outer = outer, outer + 2 * (outer - estimate)
        if abs(outer - estimate) > 1e4 * abs(step):
            return math.copysign(math.inf, step)
    return float(optimize.brentq(lambda value: profile(value) + drop, inner, outer, xtol=1e-8, rtol=1e-10))


def _maximise(x: Floats, successes: Floats, totals: Floats, beta: Floats, free: Bools) -> tuple[Floats, float, Floats]:
    """Newton's method with bounded steps and step halving on the free coefficients."""
    value, fitted, information = _penalised(x, successes, totals, beta)
    for _ in range(_MAX_STEPS):
        weight = totals * fitted * (1 - fitted)
        root = np.linalg.cholesky(np.linalg.inv(information))
        hat = weight * ((x @ root) ** 2).sum(axis=1)
        score = (successes - totals * fitted + hat * (0.5 - fitted)) @ x
        step = np.zeros_like(beta)
        step[free] = np.linalg.solve(information[np.ix_(free, free)], score[free])
        length = float(np.abs(step).max())
        if length < _TOLERANCE:
            break
        step *= min(1.0, _LONGEST_STEP / length)
        for halving in range(30):
            proposed = beta + step * 0.5**halving
            reached, moved, curved = _penalised(x, successes, totals, proposed)
            if reached >= value - 1e-12 * abs(value):
                break
        beta, value, fitted, information = proposed, reached, moved, curved
    return beta, value, information


def _penalised(x: Floats, successes: Floats, totals: Floats, beta: Floats) -> tuple[float, Floats, Floats]:
    """Penalised log-likelihood, fitted probabilities and information."""
    linear = x @ beta
    fitted = special.expit(linear)
    information = (x * (totals * fitted * (1 - fitted))[:, None]).T @ x
    sign, determinant = np.linalg.slogdet(information)
    likelihood = float(successes @ linear - totals @ np.logaddexp(0.0, linear))
    return (likelihood + determinant / 2 if sign > 0 else -math.inf), fitted, information

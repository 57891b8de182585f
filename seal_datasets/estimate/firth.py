"""Firth's penalised logistic regression on patterns, finite under separation. Arrays only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy import optimize, special

from seal_datasets.estimate.basis import Basis, centred, inverse_root
from seal_datasets.estimate.design_effect import ClusteredOutcome
from seal_datasets.estimate.inputs import Bools, Floats
from seal_datasets.estimate.intervals import critical_value, two_sided_p

_MAX_STEPS = 200
_MAX_HALVINGS = 30
# Largest root mean square change of the log-odds in one step.
_LONGEST_STEP = 5.0
_LEAST_DAMPING = 0.1
# Step lengths in standard errors: at convergence, at that of a profile, whose value then is off by their square, and where only
# rounding prevents an increase.
_TOLERANCE = 1e-9
_TOLERANCE_OF_PROFILE = 1e-6
_ROUNDING = 1e-5
# Effective clusters less 1 below which clustered tests are withheld: hardly any outcome could reject.
LEAST_FREEDOM = 1.5
# Standard errors from the estimate at which the search for an interval's end begins and stops.
_FIRST_BOUND = 2.0
_LAST_BOUND = 100.0


@dataclass(frozen=True, slots=True)
class FirthFit:
    """A penalised fit; tests and intervals are nan for coefficients that were not profiled.

    Every number is nan if the fit does not converge.

    Attributes:
        coefficients (`ndarray` of shape (k,)): Log-odds.
        covariance (`ndarray` of shape (k, k)): Inverse information; with clusters the variances are times design effects.
        freedom (`ndarray` of shape (k,)): Degrees of freedom of the tests' denominators; infinite without clusters.
        p_values (`ndarray` of shape (k,)): Of the penalised likelihood ratio test.
        low (`ndarray` of shape (k,)): Lower ends of the profile intervals.
        high (`ndarray` of shape (k,)): Upper ends of the profile intervals.
        converged (`ndarray` of shape (k,)): Whether each requested number of a coefficient was found.
    """

    coefficients: Floats
    covariance: Floats
    freedom: Floats
    p_values: Floats
    low: Floats
    high: Floats
    converged: Bools


def fit_firth(
    x: Floats,
    successes: Floats,
    totals: Floats,
    *,
    profiled: Bools,
    confidence: float,
    clustered: ClusteredOutcome | None = None,
) -> FirthFit:
    """Maximise the likelihood times the root of the information's determinant.

    Args:
        x (`ndarray` of shape (n, k)): Distinct rows of a design of full rank.
        successes (`ndarray` of shape (n,)): Successes of each row.
        totals (`ndarray` of shape (n,)): Observations of each row.
        profiled (`ndarray` of shape (k,)): Coefficients that get a test and an interval.
        confidence (`float`): Level of the intervals.
        clustered (`ClusteredOutcome`, *optional*): Single outcomes in clusters. Each likelihood ratio is divided by its
            design effect and referred to F; observations are independent when omitted.

    Returns:
        `FirthFit`: The fit.

    The fit runs on centred, orthonormal columns, which changes the determinant by a constant; all numbers are mapped back.
    Where the information is singular the likelihood is -inf, and a step is halved.

    Source: Firth (1993); Heinze and Schemper (2002), whose profile intervals and tests these are; Rao and Scott (1984) for
    clusters.

    Example: with 3 of 3 successes against 1 of 3, each cell gains half a count, as in Haldane's odds ratio.

    ```python
    >>> x = np.array([[1.0, 0.0], [1.0, 1.0]])
    >>> totals = np.array([3.0, 3.0])
    >>> fit = fit_firth(x, np.array([1.0, 3.0]), totals, profiled=np.array([False, True]), confidence=0.95)
    >>> round(float(np.exp(fit.coefficients[1])), 6), round(3.5 / 0.5 / (1.5 / 2.5), 6)
    (11.666667, 11.666667)

    ```
    """
    likelihood = _Likelihood(centred(x, totals).basis(), successes, totals)
    k = x.shape[1]
    tests = np.full((3, k), np.nan)
    freedom = np.full(k, np.inf)
    top = likelihood.maximise(np.zeros(k))
    if not top.converged or top.root is None:
        nan = np.full(k, np.nan)
        return FirthFit(nan, np.full((k, k), np.nan), nan, tests[0], tests[1], tests[2], np.zeros(k, dtype=bool))
    root = likelihood.basis.back @ top.root
    coefficients, covariance = likelihood.basis.back @ top.beta, root @ root.T
    effects, untested = np.ones(k), np.zeros(k, dtype=bool)
    for j in np.flatnonzero(profiled):
        error = math.sqrt(covariance[j, j])
        if clustered is not None:
            effects[j], freedom[j] = likelihood.design_effect(top, int(j), error, clustered)
            untested[j] = freedom[j] < LEAST_FREEDOM
            if not freedom[j] >= LEAST_FREEDOM:
                continue
        profile = likelihood.profile(top, int(j), error)
        ratio = max(-2 * profile(-float(coefficients[j]) / error), 0.0) / effects[j]
        tests[0, j] = two_sided_p(np.array([math.sqrt(ratio)]), float(freedom[j]))[0]
        drop = effects[j] * critical_value(confidence, float(freedom[j])) ** 2 / 2
        for side, row in ((-1, 1), (1, 2)):
            away = _find_bound(profile, side, drop)
            if clustered is not None and math.isnan(away):
                # Few clusters ask for ends so far out that the fit may fail there.
                away = math.inf
            tests[row, j] = coefficients[j] + side * error * away
    converged = ~(profiled & np.isnan(tests).any(axis=0) & ~untested)
    scale = np.sqrt(effects)
    p_values, low, high = tests
    return FirthFit(coefficients, covariance * np.outer(scale, scale), freedom, p_values, low, high, converged)


def _find_bound(profile: Callable[[float], float], side: int, drop: float) -> float:
    """Distance in standard errors at which the profile has fallen by `drop` on one side; nan if not found."""
    inner, outer = 0.0, _FIRST_BOUND
    while (fallen := profile(side * outer)) > -drop:
        inner, outer = outer, 3 * outer
        if outer > _LAST_BOUND:
            return math.inf
    for _ in range(_MAX_HALVINGS):
        # The profile is undefined where the information is singular; the drop lies nearer.
        if fallen != -math.inf:
            break
        middle = (inner + outer) / 2
        if (reached := profile(side * middle)) > -drop:
            inner = middle
        else:
            outer, fallen = middle, reached
    if not math.isfinite(fallen):
        return math.nan
    try:
        return float(optimize.brentq(lambda away: profile(side * away) + drop, inner, outer, xtol=1e-7, rtol=1e-8))
    except ValueError:
        return math.nan


@dataclass(frozen=True, slots=True)
class _Point:
    """Coefficients in the basis, and the likelihood there."""

    beta: Floats
    value: float
    fitted: Floats
    weight: Floats
    root: Floats | None
    converged: bool = False


@dataclass(frozen=True, slots=True)
class _Likelihood:
    """The penalised likelihood in the coordinates of a basis."""

    basis: Basis
    successes: Floats
    totals: Floats

    def at(self, beta: Floats) -> _Point:
        """Evaluate the likelihood; -inf where the information is singular."""
        linear = self.basis.rows @ beta
        fitted = special.expit(linear)
        weight = self.totals * fitted * special.expit(-linear)
        root = inverse_root(self.basis.rows, weight)
        if root is None:
            return _Point(beta, -math.inf, fitted, weight, None)
        # The root is triangular, so its diagonal gives the determinant.
        value = self.successes @ linear - self.totals @ np.logaddexp(0.0, linear) - np.log(np.abs(np.diag(root))).sum()
        return _Point(beta, float(value), fitted, weight, root)

    def maximise(self, start: Floats, held: Floats | None = None) -> _Point:
        """Maximise by Newton's method with bounded steps and step halving.

        Args:
            start (`ndarray` of shape (k,)): Start values.
            held (`ndarray` of shape (k,), *optional*): A combination of coefficients to hold fixed.

        Returns:
            `_Point`: The maximum; `converged` is false where no step increases the likelihood further.
        """
        point, length, damping, careful = self.at(start), math.inf, 1.0, False
        step, slope = np.zeros_like(start), 0.0
        for _ in range(_MAX_STEPS):
            root = point.root
            if root is None:
                return point
            score, hat = self._score(point, root)
            # The last step overshot: its direction now leads down. Two such steps could alternate forever.
            if (now := float(score @ step)) < -slope / 2:
                if careful and slope > now:
                    damping = max(damping * slope / (slope - now), _LEAST_DAMPING)
                careful = True
            if careful:
                root = self._penalised_root(point, hat, root)
            # In standard errors, so that steps do not depend on the columns' units.
            move = root.T @ score
            if held is not None:
                across = root.T @ held
                move -= across * (across @ move / (across @ across))
            length = math.sqrt(float(move @ move))
            if length < (_TOLERANCE if held is None else _TOLERANCE_OF_PROFILE):
                break
            higher = self._climb(point, damping * (root @ move))
            if higher is None:
                break
            step = higher.beta - point.beta
            point, slope = higher, float(score @ step)
        return replace(point, converged=length < _ROUNDING)

    def _score(self, point: _Point, root: Floats) -> tuple[Floats, Floats]:
        """The penalised score, and the patterns' leverages."""
        hat = point.weight * ((self.basis.rows @ root) ** 2).sum(axis=1)
        residuals = self.successes - self.totals * point.fitted + hat * (0.5 - point.fitted)
        return residuals @ self.basis.rows, hat

    def _penalised_root(self, point: _Point, hat: Floats, root: Floats) -> Floats:
        """A root of the inverse penalised information, whose steps rarely overshoot.

        The penalty acts like extra observations, as many as the leverage, half of them successes.
        """
        penalised = inverse_root(self.basis.rows, point.weight * (1 + hat / self.totals))
        return root if penalised is None else penalised

    def _climb(self, point: _Point, step: Floats) -> _Point | None:
        """Halve a step until the likelihood does not fall; `None` if it always does."""
        # The basis is orthonormal: this is the root mean square change of the log-odds.
        length = math.sqrt(float(step @ step / self.totals.sum()))
        step = step * min(1.0, _LONGEST_STEP / length)
        for halving in range(_MAX_HALVINGS):
            proposed = self.at(point.beta + step * 0.5**halving)
            if proposed.value >= point.value - 1e-12 * (1 + abs(point.value)):
                return proposed
        return None

    def profile(self, top: _Point, j: int, error: float) -> Callable[[float], float]:
        """Profile likelihood of a coefficient, relative to the maximum.

        Args:
            top (`_Point`): The maximum.
            j (`int`): Position of the coefficient in the design.
            error (`float`): Its standard error.

        Returns:
            `Callable`: Function of the distance in standard errors; nan if the other coefficients do not converge, -inf if
            they cannot be fitted.
        """
        known = {0.0: top}

        def highest(away: float) -> float:
            near = min(known, key=lambda distance: abs(distance - away))
            point = self.highest(known[near], j, error, away - near)
            if point.root is None:
                return -math.inf
            if point.converged:
                known[away] = point
            return point.value - top.value if point.converged else math.nan

        return cache(highest)

    def highest(self, near: _Point, j: int, error: float, away: float) -> _Point:
        """The maximum with a coefficient held at some standard errors from its value at another maximum."""
        held = self.basis.back[j]
        assert near.root is not None
        # To first order the other coefficients move along the information's ridge when this one is held.
        ridge = near.root @ (near.root.T @ held)
        point = self.maximise(near.beta + away * error / float(held @ ridge) * ridge, held)
        if point.root is None:
            least = held / float(held @ held)
            point = self.maximise(least * (float(held @ near.beta) + away * error), held)
        return point

    def design_effect(self, top: _Point, j: int, error: float, clustered: ClusteredOutcome) -> tuple[float, float]:
        """Design effect of a coefficient's score where it is 0, and its degrees of freedom; nan if the fit fails there."""
        held = self.basis.back[j]
        null = self.highest(top, j, error, -float(held @ top.beta) / error)
        if null.root is None or not null.converged:
            return math.nan, math.nan
        return clustered.design_effect(null.fitted, self.basis.rows @ (null.root @ (null.root.T @ held)))

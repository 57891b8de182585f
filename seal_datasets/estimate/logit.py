"""Logistic regression on grouped rows, with detection of separation. Arrays only.

Binary and ordinal features have few distinct patterns, so time grows with patterns, not rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import linprog
from scipy.special import expit

from seal_datasets.estimate.basis import Basis, Centred, centred, inverse_root
from seal_datasets.estimate.bias_reduced import cr2
from seal_datasets.estimate.design_effect import ClusteredOutcome
from seal_datasets.estimate.firth import FirthFit, fit_firth
from seal_datasets.estimate.inputs import Bools, Codes, Floats
from seal_datasets.estimate.linear import RANK_TOLERANCE, Solution, determined, first_rows, null_loadings
from seal_datasets.estimate.marginal_effects import marginal_effects

_MAX_STEPS = 60
_SCORE_TOLERANCE = 1e-10
# A separated row with a linear predictor below 15 would leave a score of at least exp(-15). A converged fit without
# predictors above 15 is therefore free of separation, and needs no search for it.
_SURELY_FINITE = 15.0
# Clustered variances below this share of the likelihood's are rounding of scores that cancel.
CANCELLED = 1e-16
_ROUNDING = 1e-12
# Above the solver's feasibility tolerance of 1e-7, on columns scaled to 1.
_SEPARATION_TOLERANCE = 1e-6
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class LogitFit:
    """A logistic fit on the rows that are not separated.

    Attributes:
        coefficients (`ndarray` of shape (k,)): Log-odds; nan where not identified or separated.
        covariance (`ndarray` of shape (k, k)): Inverse information, or the clustered CR2 covariance.
        freedom (`ndarray` of shape (k,)): Satterthwaite degrees of freedom; infinite without clusters, nan for the intercept.
        separated (`ndarray` of shape (k,)): Features that predict the outcome perfectly.
        identified (`ndarray` of shape (k,)): Whether a coefficient is determined and finite.
        kept (`ndarray` of shape (n,)): Rows in the fit; the others are perfectly predicted.
        probabilities (`ndarray` of shape (n,)): Fitted; nan for rows outside the fit.
        effects (`ndarray` of shape (k,)): Average marginal effects over all rows, from 0 to 1 for columns of these two values;
            nan where not identified or separated.
        effect_errors (`ndarray` of shape (k,)): Their standard errors, by the delta method.
        firth (`FirthFit`, *optional*): The penalised fit, if requested or needed; nan for dependent columns.
        converged (`bool`): Whether maximum likelihood converged; if not, all coefficients are nan.
    """

    coefficients: Floats
    covariance: Floats
    freedom: Floats
    separated: Bools
    identified: Bools
    kept: Bools
    probabilities: Floats
    effects: Floats
    effect_errors: Floats
    firth: FirthFit | None
    converged: bool


@dataclass(frozen=True, slots=True)
class Patterns:
    """The distinct rows of a design; rarely a row occurs twice.

    Attributes:
        x (`ndarray` of shape (p, k)): Rows.
        totals (`ndarray` of shape (p,)): Number of rows of the design with each pattern.
        inverse (`ndarray` of shape (n,)): Pattern of each row of the design.
    """

    x: Floats
    totals: Floats
    inverse: Codes


def find_patterns(design: Floats) -> Patterns:
    """Find the distinct rows of a design.

    Args:
        design (`ndarray` of shape (n, k)): The design.

    Returns:
        `Patterns`: Distinct rows and their positions.

    Example:

    ```python
    >>> patterns = find_patterns(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]]))
    >>> patterns.totals.tolist(), patterns.inverse.tolist()
    ([2.0, 1.0], [0, 1, 0])

    ```
    """
    # Equal rows have equal random sums up to rounding, which may only miss a merge. Rows with equal sums are compared,
    # because a difference far below a column's largest value leaves the sum unchanged.
    sums = design @ (np.random.default_rng(0).normal(size=design.shape[1]) / _sizes(design))
    inverse = pd.factorize(sums)[0].astype(np.int64)
    x = design[first_rows(inverse, int(inverse.max()) + 1)]
    blocks = (slice(start, start + _BLOCK) for start in range(0, len(design), _BLOCK))
    if any((design[block] != x[inverse[block]]).any() for block in blocks):
        x, inverse = design, np.arange(len(design))
    return Patterns(x, np.bincount(inverse).astype(np.float64), inverse)


def _sizes(design: Floats) -> Floats:
    """Largest absolute value of each column, 1 for a column of zeros."""
    sizes = np.maximum(design.max(axis=0), -design.min(axis=0))
    return np.where(sizes > 0, sizes, 1.0)


def fit_logit(
    design: Floats,
    outcome: Bools,
    clusters: Codes | None = None,
    *,
    patterns: Patterns | None = None,
    penalised: bool = False,
    confidence: float = 0.95,
) -> LogitFit:
    """Fit a logistic regression by maximum likelihood.

    Features that separate the outcome have infinite coefficients and are reported as separated. The rows they predict
    perfectly are excluded, and the other rows give the limit of the maximum-likelihood fit. Firth's penalised fit of all
    rows, with profile intervals, gives finite estimates of the separated features; with clusters its likelihood ratios are
    divided by design effects.

    Args:
        design (`ndarray` of shape (n, k)): Regressors; the first column is the intercept.
        outcome (`ndarray` of shape (n,)): Outcome.
        clusters (`ndarray` of shape (n,), *optional*): Cluster codes for a CR2 covariance of the working regression;
            inverse information when omitted.
        patterns (`Patterns`, *optional*): Patterns of the design, if already known.
        penalised (`bool`, defaults to `False`): Whether to fit every coefficient by Firth's method, not only separated ones.
        confidence (`float`, defaults to 0.95): Level of the profile intervals.

    Returns:
        `LogitFit`: The fit.

    Source: Albert and Anderson (1984) on separation, Konis (2007) on its detection by linear programming, Correia,
    Guimaraes and Zylkin (2021) on the limit; Bell and McCaffrey (2002) and Pustejovsky and Tipton (2018) on CR2.
    """
    patterns = find_patterns(design) if patterns is None else patterns
    x, totals, inverse = patterns.x, patterns.totals, patterns.inverse
    successes = np.bincount(inverse, weights=outcome).astype(np.float64)
    whole = centred(x, totals)
    fit, separated, kept = _fit_patterns(whole, successes, totals), np.zeros(x.shape[1], dtype=bool), totals > 0
    if fit is None or np.abs(fit.linear).max() > _SURELY_FINITE:
        separated, kept = _find_separation(x, successes, totals)
        fit = _fit_patterns(centred(x[kept], totals[kept]), successes[kept], totals[kept]) if kept.any() else None
    wanted = ~_unidentified(whole) if penalised else separated
    clustered = None if clusters is None else ClusteredOutcome(outcome, inverse, clusters)
    firth = _fit_penalised(whole, x, successes, totals, wanted, confidence, clustered) if wanted.any() else None
    del whole  # of as many rows as the design
    if fit is None:
        return _empty_fit(len(separated), separated, kept[inverse], firth, converged=not kept.any())
    probabilities = np.full(len(x), np.nan)
    probabilities[kept] = expit(fit.linear)
    rows, columns = kept[inverse], (x if kept.all() else x[kept])[:, fit.columns] - fit.basis.centre
    covariance, freedom = fit.likelihood_covariance(), np.full(len(fit.root), np.inf)
    if clusters is not None:
        positions = (np.cumsum(kept) - 1)[inverse[rows]]
        covariance, freedom = _clustered(fit, columns, totals[kept], positions, outcome[rows], clusters[rows])
    effects = _effects(fit, columns, totals[kept] / totals.sum(), covariance)
    by_column = np.array([freedom, *effects])
    return _map_back(fit, covariance, by_column, separated, rows, probabilities[inverse], firth)


def _empty_fit(k: int, separated: Bools, kept: Bools, firth: FirthFit | None, *, converged: bool) -> LogitFit:
    """A fit without numbers: every row is separated, or Newton's method does not converge."""
    nothing = np.full(k, np.nan)
    return LogitFit(
        coefficients=nothing,
        covariance=np.full((k, k), np.nan),
        freedom=nothing,
        separated=separated,
        identified=np.zeros(k, dtype=bool),
        kept=kept,
        probabilities=np.full(len(kept), np.nan),
        effects=nothing,
        effect_errors=nothing,
        firth=firth,
        converged=converged,
    )


def _clustered(
    fit: _PatternFit, columns: Floats, totals: Floats, positions: Codes, outcome: Bools, clusters: Codes
) -> tuple[Floats, Floats]:
    """CR2 covariance of the centred columns' coefficients, and its degrees of freedom; nan for fewer than two clusters."""
    codes = np.asarray(pd.factorize(clusters)[0], dtype=np.int64)
    n_clusters, k = int(codes.max()) + 1, columns.shape[1]
    if n_clusters < 2 or len(outcome) <= k:
        return np.full((k, k), np.nan), np.full(k, np.nan)
    # The information is that of least squares on the columns times the root of p (1 - p), whose residuals are (y - p) / root.
    half = np.exp(fit.linear / 2)
    rows = columns / (half + 1 / half)[:, None]
    lengths = np.sqrt(totals @ rows**2)
    residuals = np.where(outcome, (1 / half)[positions], -half[positions])
    solution = Solution(np.zeros((k, 1)), fit.basis.turn @ fit.root, np.ones(k, dtype=bool), k, lengths)
    covariance, freedom = cr2(rows[positions], residuals, None if n_clusters == len(codes) else codes, solution)
    # Scores that cancel leave rounding, not a tiny error.
    cancelled = np.diag(covariance) <= CANCELLED * np.diag(fit.likelihood_covariance())
    covariance[cancelled[:, None] | cancelled] = 0.0
    return covariance, freedom


def _effects(fit: _PatternFit, columns: Floats, share: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Average marginal effects of the independent columns, and their errors."""
    low, high = columns.min(axis=0), columns.max(axis=0)
    # Centring may round the two values.
    two = (np.abs(low + fit.basis.centre) < _ROUNDING) & (np.abs(high + fit.basis.centre - 1) < _ROUNDING)
    two[two] = ((columns[:, two] == low[two]) | (columns[:, two] == high[two])).all(axis=0)
    return marginal_effects(columns, fit.coefficients, fit.linear, share, covariance, np.where(two, low, np.nan))


def _map_back(
    fit: _PatternFit,
    covariance: Floats,
    by_column: Floats,
    separated: Bools,
    kept: Bools,
    probabilities: Floats,
    firth: FirthFit | None,
) -> LogitFit:
    """Map the fit from the independent centred columns to the design's coefficients."""
    identified = ~(fit.unidentified | separated)
    k, used = len(identified), identified[fit.columns]
    back = np.eye(len(used))
    if fit.first:
        back[0] -= fit.basis.centre / fit.first
    covariance = back @ covariance @ back.T
    wide = np.full((4, k), np.nan)
    wide[:, identified] = np.vstack([back @ fit.coefficients, by_column])[:, used]
    square = np.full((k, k), np.nan)
    square[np.ix_(identified, identified)] = covariance[np.ix_(used, used)]
    return LogitFit(
        coefficients=wide[0],
        covariance=square,
        freedom=wide[1],
        separated=separated,
        identified=identified,
        kept=kept,
        probabilities=probabilities,
        effects=wide[2],
        effect_errors=wide[3],
        firth=firth,
        converged=True,
    )


def _fit_penalised(
    whole: Centred,
    x: Floats,
    successes: Floats,
    totals: Floats,
    wanted: Bools,
    confidence: float,
    clustered: ClusteredOutcome | None,
) -> FirthFit:
    """Firth's fit of the independent columns, with nan for the others."""
    columns = _independent(whole.triangle)
    profiled = wanted[columns]
    profiled[0] = False
    fit = fit_firth(x[:, columns], successes, totals, profiled=profiled, confidence=confidence, clustered=clustered)
    k = x.shape[1]
    covariance = np.full((k, k), np.nan)
    covariance[np.ix_(columns, columns)] = fit.covariance
    one = np.full((5, k), np.nan)
    one[:, columns] = fit.coefficients, fit.freedom, fit.p_values, fit.low, fit.high
    one[:, ~wanted] = np.nan
    converged = np.ones(k, dtype=bool)
    converged[columns] = fit.converged | ~wanted[columns]
    coefficients, freedom, p_values, low, high = one
    return FirthFit(coefficients, covariance, freedom, p_values, low, high, converged)


@dataclass(frozen=True, slots=True)
class _PatternFit:
    """Coefficients in the coordinates of a basis, the log-odds, and a root of the inverse information."""

    beta: Floats
    linear: Floats
    root: Floats
    basis: Basis
    columns: Bools
    unidentified: Bools
    first: float

    @property
    def coefficients(self) -> Floats:
        """Coefficients of the independent centred columns."""
        return np.asarray(self.basis.turn @ self.beta)

    def likelihood_covariance(self) -> Floats:
        """Inverse information of the independent centred columns."""
        root = self.basis.turn @ self.root
        return np.asarray(root @ root.T)


def _fit_patterns(design: Centred, successes: Floats, totals: Floats) -> _PatternFit | None:
    """Maximum likelihood on the independent columns; `None` if Newton's method does not converge."""
    columns = _independent(design.triangle)
    basis = design.basis(columns)
    maximum = newton(basis.rows, successes, totals)
    if maximum is None:
        return None
    maps = replace(basis, rows=basis.rows[:0].copy())  # its rows are as many as the patterns, and have served
    return _PatternFit(*maximum, maps, columns, _unidentified(design), design.first)


def _unidentified(design: Centred) -> Bools:
    """Columns with undetermined coefficients; the intercept is that of the uncentred columns."""
    loaded, _ = null_loadings(design.triangle)
    if design.first:
        loaded[0] = not determined(design.triangle, np.r_[1.0, -design.centre[1:] / design.first])
    return loaded


def newton(x: Floats, successes: Floats, totals: Floats) -> tuple[Floats, Floats, Floats] | None:
    """Newton's method with step halving on orthonormal rows: coefficients, log-odds, root of the coefficients' variance."""
    beta = np.zeros(x.shape[1])
    linear = np.zeros(len(x))
    value = _log_likelihood(linear, successes, totals)
    for _ in range(_MAX_STEPS):
        fitted = expit(linear)
        root = inverse_root(x, totals * fitted * expit(-linear))
        if root is None:
            return None
        # In standard errors, so that convergence does not depend on the columns' units.
        move = root.T @ ((successes - totals * fitted) @ x)
        if float(move @ move) < _SCORE_TOLERANCE**2 * totals.sum():
            return beta, linear, root
        step = root @ move
        for halving in range(30):
            proposed = beta + step * 0.5**halving
            moved = x @ proposed
            reached = _log_likelihood(moved, successes, totals)
            if reached >= value - 1e-12 * abs(value):
                break
        beta, linear, value = proposed, moved, reached
    return None


def _log_likelihood(linear: Floats, successes: Floats, totals: Floats) -> float:
    return float(successes @ linear - totals @ (np.maximum(linear, 0.0) + np.log1p(np.exp(-np.abs(linear)))))


def _independent(r: Floats) -> Bools:
    """Choose a maximal set of linearly independent columns, earlier ones first."""
    kept = np.zeros(r.shape[1], dtype=bool)
    basis = np.empty((len(r), 0))
    for column in range(r.shape[1]):
        vector = r[:, [column]]
        size = math.sqrt(float((vector**2).sum()))
        rest = vector - basis @ (basis.T @ vector)
        rest -= basis @ (basis.T @ rest)
        left = math.sqrt(float((rest**2).sum()))
        if size > 0 and left > RANK_TOLERANCE * size:
            kept[column] = True
            basis = np.hstack([basis, rest / left])
    return kept


def _find_separation(x: Floats, successes: Floats, totals: Floats) -> tuple[Bools, Bools]:
    """Find columns with infinite coefficients, and patterns that are not perfectly predicted."""
    separated = np.zeros(x.shape[1], dtype=bool)
    kept = np.ones(len(x), dtype=bool)
    while kept.any():
        scaled = _scale_columns(x[kept])
        won, lost = successes[kept] > 0, successes[kept] < totals[kept]
        predicted, moved = _separating_direction(np.concatenate([scaled[won], -scaled[lost]]))
        if not predicted.any():
            break
        moved[0] &= bool(not moved[1:].any())
        separated |= moved
        part = np.flatnonzero(kept)
        kept[np.concatenate([part[won], part[lost]])[predicted]] = False
    return separated, kept


def _separating_direction(signed: Floats) -> tuple[Bools, Bools]:
    """Rows that a direction predicts perfectly without mispredicting another, and the columns it uses."""
    # Maximise the total of signed scores under all >= 0: positive only if a direction separates the outcome.
    optimum = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=(-1, 1), method="highs")
    if optimum.x is None:  # the fit that follows then converges, or its numbers are `not_converged`
        return np.zeros(len(signed), dtype=bool), np.zeros(signed.shape[1], dtype=bool)
    scores = signed @ np.asarray(optimum.x, dtype=np.float64)
    # The shortest direction with these scores, because the solver may add any combination of dependent columns.
    direction = np.linalg.lstsq(signed, scores, rcond=_SEPARATION_TOLERANCE)[0]
    return (
        np.asarray(scores > _SEPARATION_TOLERANCE, dtype=bool),
        np.asarray(np.abs(direction) > _SEPARATION_TOLERANCE, dtype=bool),
    )


def _scale_columns(x: Floats) -> Floats:
    """Scale columns to [-1, 1] around their middle, the intercept to 1; the column space stays the same."""
    middle = (x.max(axis=0) + x.min(axis=0)) / 2
    reach = (x.max(axis=0) - x.min(axis=0)) / 2
    varies = reach > 1e-9 * np.abs(middle)
    scaled = np.where(varies, (x - middle) / np.where(varies, reach, 1.0), 0.0)
    scaled[:, 0] = 1.0
    return scaled

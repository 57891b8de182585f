"""Logistic regression on grouped rows, with separation found before fitting. Arrays only.

Binary and ordinal features take few distinct patterns, so the work goes with patterns, not rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from seal_datasets.estimate.inputs import Bools, Codes, Floats
from seal_datasets.estimate.linear import group_sums, null_loadings

_MAX_STEPS = 60
_SCORE_TOLERANCE = 1e-10
# Above the solver's feasibility tolerance of 1e-7, on columns scaled to 1.
_SEPARATION_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class LogitFit:
    """A logistic fit on the rows that separation leaves.

    Attributes:
        coefficients (`ndarray` of shape (k,)): Log-odds; nan where not identified or separated.
        covariance (`ndarray` of shape (k, k)): Inverse information, or the clustered sandwich.
        separated (`ndarray` of shape (k,)): Features along which the outcome is perfectly predicted.
        identified (`ndarray` of shape (k,)): Whether a coefficient is determined and finite.
        kept (`ndarray` of shape (n,)): Rows the fit rests on; the others are perfectly predicted.
        probabilities (`ndarray` of shape (n,)): Fitted, nan for rows set aside.
    """

    coefficients: Floats
    covariance: Floats
    separated: Bools
    identified: Bools
    kept: Bools
    probabilities: Floats


def fit_logit(design: Floats, outcome: Bools, clusters: Codes | None = None) -> LogitFit:
    """Maximum likelihood for a binary outcome.

    Where features separate the outcome, their coefficients are infinite. They are reported as such, the rows they predict
    perfectly are set aside, and the rest is fitted: the limit of the maximum-likelihood fit.

    Args:
        design (`ndarray` of shape (n, k)): Regressors; the first column is the intercept.
        outcome (`ndarray` of shape (n,)): Outcome.
        clusters (`ndarray` of shape (n,), *optional*): Cluster codes for a sandwich with factor
            G / (G - 1) * (n - 1) / (n - k); inverse information when omitted.

    Returns:
        `LogitFit`: The fit.

    Source: Albert and Anderson (1984) on separation, Konis (2007) on its detection by linear programming, Correia,
    Guimaraes and Zylkin (2021) on the limit.
    """
    patterns, inverse, counts = np.unique(
        np.column_stack([design, outcome]), axis=0, return_inverse=True, return_counts=True
    )
    inverse = inverse.reshape(-1)
    x, y, weight = patterns[:, :-1], patterns[:, -1], counts.astype(float)
    separated, kept = _separation(x, y)
    unidentified = (
        null_loadings(x[kept] * np.sqrt(weight[kept])[:, None])[0] if kept.any() else np.ones(x.shape[1], bool)
    )
    columns = _independent(x[kept], weight[kept])
    coefficients = np.full(x.shape[1], np.nan)
    covariance = np.full((x.shape[1], x.shape[1]), np.nan)
    probabilities = np.full(len(x), np.nan)
    if columns.any():
        beta, information = _newton(x[kept][:, columns], y[kept], weight[kept])
        probabilities[kept] = _logistic(x[kept][:, columns] @ beta)
        coefficients[columns] = beta
        covariance[np.ix_(columns, columns)] = np.linalg.inv(information)
    rows = kept[inverse]
    fitted = probabilities[inverse]
    if clusters is not None and columns.any():
        covariance[np.ix_(columns, columns)] = _sandwich(
            covariance[np.ix_(columns, columns)], design[rows][:, columns], (outcome - fitted)[rows], clusters[rows]
        )
    identified = ~(unidentified | separated)
    coefficients[~identified] = np.nan
    covariance[~identified, :] = np.nan
    covariance[:, ~identified] = np.nan
    return LogitFit(coefficients, covariance, separated, identified, rows, fitted)


def _newton(x: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Newton's method with step halving, on a design of full rank and an outcome that is not separated."""
    beta = np.zeros(x.shape[1])
    value = _log_likelihood(x, y, weight, beta)
    information = np.zeros((x.shape[1], x.shape[1]))
    for _ in range(_MAX_STEPS):
        fitted = _logistic(x @ beta)
        score = x.T @ (weight * (y - fitted))
        information = (x * (weight * fitted * (1 - fitted))[:, None]).T @ x
        step = np.linalg.solve(information, score)
        if float(score @ step) < _SCORE_TOLERANCE**2 * weight.sum():
            break
        for halving in range(30):
            proposed = beta + step * 0.5**halving
            reached = _log_likelihood(x, y, weight, proposed)
            if reached >= value - 1e-12 * abs(value):
                break
        beta, value = proposed, reached
    return beta, information


def _logistic(linear: Floats) -> Floats:
    return np.where(linear >= 0, 1 / (1 + np.exp(-np.abs(linear))), 1 - 1 / (1 + np.exp(-np.abs(linear))))


def _log_likelihood(x: Floats, y: Floats, weight: Floats, beta: Floats) -> float:
    linear = x @ beta
    return float(weight @ (y * linear - np.logaddexp(0.0, linear)))


def _sandwich(bread: Floats, x: Floats, residuals: Floats, clusters: Codes) -> Floats:
    codes = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    n_clusters, (n, k) = int(codes.max()) + 1, x.shape
    if n_clusters < 2 or n <= k:
        return np.full_like(bread, np.nan)
    scores = group_sums(x * residuals[:, None], codes, n_clusters)
    factor = n_clusters / (n_clusters - 1) * (n - 1) / (n - k)
    return np.asarray(bread @ (scores.T @ scores) @ bread * factor)


def _independent(x: Floats, weight: Floats) -> Bools:
    """A largest set of linearly independent columns, earlier ones preferred."""
    kept = np.zeros(x.shape[1], dtype=bool)
    root = np.sqrt(weight)[:, None]
    basis = np.empty((len(x), 0))
    for column in range(x.shape[1]):
        vector = x[:, [column]] * root
        size = math.sqrt(float((vector**2).sum()))
        rest = vector - basis @ (basis.T @ vector)
        rest -= basis @ (basis.T @ rest)
        left = math.sqrt(float((rest**2).sum()))
        if size > 0 and left > 1e-7 * size:
            kept[column] = True
            basis = np.hstack([basis, rest / left])
    return kept


def _separation(x: Floats, y: Floats) -> tuple[Bools, Bools]:
    """Columns with infinite coefficients, and the patterns that are not perfectly predicted."""
    separated = np.zeros(x.shape[1], dtype=bool)
    kept = np.ones(len(x), dtype=bool)
    while kept.any():
        scaled = _standardised(x[kept])
        predicted, moved = _separating_direction(scaled * np.where(y[kept] == 1, 1.0, -1.0)[:, None])
        if not predicted.any():
            break
        moved[0] &= bool(not moved[1:].any())
        separated |= moved
        kept[np.flatnonzero(kept)[predicted]] = False
    return separated, kept


def _separating_direction(signed: Floats) -> tuple[Bools, Bools]:
    """Rows that some direction predicts perfectly while it speaks against no row, and the columns it needs."""
    # The largest total of signed scores that are all >= 0: positive only where a direction separates the outcome.
    found = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=(-1, 1), method="highs")
    if found.x is None:
        raise RuntimeError(f"the search for separation failed: {found.message}")
    scores = signed @ np.asarray(found.x, dtype=np.float64)
    # The shortest direction with these scores: the solver is free to move along columns that cancel out.
    direction = np.linalg.lstsq(signed, scores, rcond=_SEPARATION_TOLERANCE)[0]
    return (
        np.asarray(scores > _SEPARATION_TOLERANCE, dtype=bool),
        np.asarray(np.abs(direction) > _SEPARATION_TOLERANCE, dtype=bool),
    )


def _standardised(x: Floats) -> Floats:
    """The same column space with the intercept first: other columns from their middle, at most 1 in size."""
    middle = (x.max(axis=0) + x.min(axis=0)) / 2
    reach = (x.max(axis=0) - x.min(axis=0)) / 2
    varies = reach > 1e-9 * np.abs(middle)
    scaled = np.where(varies, (x - middle) / np.where(varies, reach, 1.0), 0.0)
    scaled[:, 0] = 1.0
    return scaled

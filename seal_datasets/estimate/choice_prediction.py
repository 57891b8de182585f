"""Prediction of the chosen response of a pair from features."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit

from seal_datasets.estimate.bias_reduced import BiasReduced
from seal_datasets.estimate.clustered_share import clustered_share
from seal_datasets.estimate.inputs import Codes, Floats
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.linear import rounded_variances, solve, triangle
from seal_datasets.estimate.logit import find_patterns
from seal_datasets.estimate.result import Result

_MAX_STEPS = 60
_STEP_TOLERANCE = 1e-9
# Log-odds below which a model prefers neither response: coefficients that cancel out leave rounding.
_TIE = 1e-6


@dataclass(frozen=True, slots=True)
class ChoicePrediction(Result):
    """How well features alone predict which response of a pair was chosen.

    Attributes:
        features (`str`): `spoilers`, `targets` or `both`.
        n_features (`int`): Number of features.
        accuracy (`float`): Share of correct predictions, each from the folds before the pair's own; a prompt's pairs are in
            one fold. A tie counts half, so chance accuracy is 0.5.
        std_error (`float`): Clustered by prompt (CR2), with the folds fixed.
        confidence_interval (`tuple[float, float]`): Wilson's interval of the accuracy, clustered by prompt.
        n_predicted (`int`): Pairs in the accuracy: those of the first fold have none before them.
        n_ties (`int`): Predicted pairs without a preference, such as those whose responses do not differ in any feature.
        pseudo_r2 (`float`): McFadden's 1 - log-likelihood / (-n log 2), in sample.
        status (`str`): `ok`, or the reason for missing numbers: `too_few_clusters` (fewer prompts than folds, or only one
            predicted); `no_residual_variation` (all predictions are correct, all are wrong, or all are ties, so the error is
            undefined).
    """

    features: str
    n_features: int
    accuracy: float
    std_error: float
    confidence_interval: Interval
    n_predicted: int
    n_ties: int
    pseudo_r2: float
    status: str


def choice_slopes(design: Floats, y: Floats, clusters: Codes) -> tuple[Floats, Floats, Floats]:
    """Last coefficient of least squares of each column of y, with clustered (CR2) errors and degrees of freedom.

    Args:
        design (`ndarray` of shape (n, c)): Regressors, with root mean squares near 1.
        y (`ndarray` of shape (n, m)): Outcomes.
        clusters (`ndarray` of shape (n,)): Cluster codes from 0.

    Returns:
        `tuple[ndarray, ndarray, ndarray]`: Coefficients, errors and degrees of freedom of shape (m,); nan where undefined.
    """
    (n, c), m = design.shape, y.shape[1]
    undefined, n_clusters = np.full(m, math.nan), int(clusters.max(initial=-1)) + 1
    if not n:
        return undefined, undefined, undefined
    solution = solve(triangle(design, y), c)
    if not solution.identified[-1]:
        return undefined, undefined, undefined
    slopes = solution.coefficients[-1]
    if n_clusters < 2 or n <= c:
        return slopes, undefined, undefined
    sums = BiasReduced(solution, n_clusters)
    sums.add(design, y, None if n_clusters == n else clusters)
    variances = sums.covariance()[np.arange(m), np.arange(m), -1, -1]
    # Residuals that cancel leave rounding, which must not become a tiny error.
    rounding = np.array([rounded_variances(solution.bread, size)[-1] for size in np.abs(y).max(axis=0)])
    errors = np.sqrt(np.where(variances > rounding, variances, math.nan))
    return slopes, errors, np.full(m, sums.freedom()[-1])


def predict_choices(
    differences: Floats, n_spoilers: int, clusters: Codes, folds: Codes, n_folds: int, confidence: float
) -> tuple[ChoicePrediction, ...]:
    """Predict choices from spoilers, from targets and from both, each fold from those before it.

    In cross-validation each of two pairs helps to predict the other. That nearly doubles the variance of the accuracy where
    nothing can be predicted.

    Args:
        differences (`ndarray` of shape (n, k)): Chosen minus rejected features, spoilers first.
        n_spoilers (`int`): Number of spoilers.
        clusters (`ndarray` of shape (n,)): Cluster code of each pair.
        folds (`ndarray` of shape (G,)): Fold of each cluster.
        n_folds (`int`): Number of folds.
        confidence (`float`): Level of the intervals.

    Returns:
        `tuple[ChoicePrediction, ...]`: For spoilers; with targets also for these and for both.

    Source: Blum, Kalai and Langford (1999), progressive validation; Bengio and Grandvalet (2004) on cross-validation.
    """
    patterns = find_patterns(differences)
    n, k, n_clusters, fold = *differences.shape, len(folds), folds[clusters]
    counts = np.bincount(patterns.inverse * n_folds + fold, minlength=len(patterns.x) * n_folds).reshape(-1, n_folds)
    later = fold > 0
    blocks = {"spoilers": slice(n_spoilers), "targets": slice(n_spoilers, k), "both": slice(k)}
    predictions = []
    for name in blocks if k > n_spoilers else ("spoilers",):
        x = _scale_columns(patterns.x[:, blocks[name]], patterns.totals)
        whole = _fit_choice_logit(x, patterns.totals, np.zeros(x.shape[1]))
        log_likelihood = float(patterns.totals @ log_expit(x @ whole))
        share, ties, status = (
            clustered_share(np.empty(0), np.empty(0, dtype=np.int64), confidence),
            0,
            "too_few_clusters",
        )
        if n_clusters >= n_folds:
            before = np.cumsum(counts, axis=1)[:, :-1]
            log_odds = np.column_stack([x @ _fit_choice_logit(x, weight, whole) for weight in before.T])
            hits = np.where(np.abs(log_odds) < _TIE, 0.5, log_odds > 0)
            share = clustered_share(hits[patterns.inverse[later], fold[later] - 1], clusters[later], confidence)
            ties = int(counts[:, 1:][hits == 0.5].sum())
            if len(np.unique(clusters[later])) > 1:
                status = "no_residual_variation" if math.isnan(share.std_error) else "ok"
        predictions.append(
            ChoicePrediction(
                features=name,
                n_features=x.shape[1],
                accuracy=share.value,
                std_error=share.std_error,
                confidence_interval=share.interval if ties < share.n else (math.nan, math.nan),
                n_predicted=share.n,
                n_ties=ties,
                pseudo_r2=1 + log_likelihood / (n * math.log(2)),
                status=status,
            )
        )
    return tuple(predictions)


def _scale_columns(x: Floats, weight: Floats) -> Floats:
    """Columns divided by their root mean squares; columns of zeros stay zero."""
    size = np.sqrt(weight @ x**2 / weight.sum())
    return x / np.where(size > 0, size, 1.0)


def _fit_choice_logit(x: Floats, weight: Floats, start: Floats) -> Floats:
    """Coefficients of P(chosen) = logistic(x b), by Newton's method with step halving.

    Args:
        x (`ndarray` of shape (p, k)): Chosen minus rejected features.
        weight (`ndarray` of shape (p,)): Number of pairs with each row.
        start (`ndarray` of shape (k,)): Starting values.

    Returns:
        `ndarray` of shape (k,): Coefficients; finite also where features separate or depend on each other.

    Source: Greenland and Mansournia (2015) on log-F priors, which add pairs to the data.
    """
    beta, log_odds = start, x @ start
    value = _penalised_likelihood(log_odds, weight, beta)
    for _ in range(_MAX_STEPS):
        against = expit(-log_odds)
        score = x.T @ (weight * against) + 0.5 - expit(beta)
        root = x * np.sqrt(weight * against * (1 - against))[:, None]
        step = np.linalg.solve(root.T @ root + np.diag(expit(beta) * expit(-beta)), score)
        for halving in range(30):
            proposed = beta + step * 0.5**halving
            log_odds = x @ proposed
            reached = _penalised_likelihood(log_odds, weight, proposed)
            if reached >= value - 1e-12 * abs(value):
                break
        beta, value = proposed, reached
        if float(score @ step) < _STEP_TOLERANCE * weight.sum():
            break
    return beta


def _penalised_likelihood(log_odds: Floats, weight: Floats, beta: Floats) -> float:
    """The log-likelihood, with half a pair for and half a pair against each feature."""
    return float(weight @ log_expit(log_odds) + 0.5 * (log_expit(beta) + log_expit(-beta)).sum())

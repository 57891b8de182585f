"""Two conditional logits on the same differences of features: of human choices, and of a model's probabilities of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit

from seal_datasets.estimate.bias_reduced import cr2
from seal_datasets.estimate.choice_probability import ChoiceProbability, clustered_errors
from seal_datasets.estimate.inputs import Bools, Codes, Floats
from seal_datasets.estimate.linear import SAME, null_loadings, rounded_variances, solve, triangle

_MAX_STEPS = 60
_STEP_TOLERANCE = 1e-12
# Variance of a certain choice in the score regression; without it, products overflow.
_SATURATED = 1e-12


@dataclass(frozen=True, slots=True)
class AmplificationFit:
    """Both fits and their difference; every array has shape (k,).

    Attributes:
        asked (`ndarray`): Coefficients of the human choices.
        asked_errors (`ndarray`): Their clustered errors.
        given (`ndarray`): Coefficients of the model's probabilities.
        given_errors (`ndarray`): Their clustered errors, with the calibration's uncertainty.
        errors (`ndarray`): Errors of given - asked, by the joint covariance.
        score_estimates (`ndarray`): One step from the model's probabilities towards the difference.
        score_errors (`ndarray`): Their CR2 errors.
        freedom (`ndarray`): Satterthwaite degrees of freedom.
        identified (`ndarray`): Whether a feature is no exact combination of others.
    """

    asked: Floats
    asked_errors: Floats
    given: Floats
    given_errors: Floats
    errors: Floats
    score_estimates: Floats
    score_errors: Floats
    freedom: Floats
    identified: Bools


def no_fit(k: int) -> AmplificationFit:
    """A fit without numbers, for margins that have no calibration."""
    nothing = np.full(k, math.nan)
    return AmplificationFit(
        nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, np.zeros(k, dtype=bool)
    )


def fit_amplification(differences: Floats, choice: ChoiceProbability, clusters: Codes) -> AmplificationFit:
    """Fit both logits, their joint errors and the score regression.

    Args:
        differences (`ndarray` of shape (n, k)): Chosen minus rejected features; a column of zeros has no
            numbers.
        choice (`ChoiceProbability`): The model's probability of each choice.
        clusters (`ndarray` of shape (n,)): Cluster codes from 0.

    Returns:
        `AmplificationFit`: The fits.

    Source: McFadden (1974) for the conditional logit; Papke and Wooldridge (1996) for a fractional outcome; Newey and
        McFadden (1994) for errors of estimates that rest on estimates.
    """
    varies = (differences != 0).any(axis=0)
    if not varies.any():
        return no_fit(len(varies))
    n, p = len(differences), choice.probabilities
    size = np.sqrt((differences[:, varies] ** 2).mean(axis=0))
    x = differences[:, varies] / size
    human, model = fit_choice_logit(x, np.ones(n)), fit_choice_logit(x, p)
    human_bread, model_bread = (np.linalg.inv(_information(x, beta)) for beta in (human, model))
    human_influence = x * expit(-(x @ human))[:, None] @ human_bread
    # The probabilities change with the calibration's slopes, which the choices determine.
    turn = x.T @ (choice.columns * (p * (1 - p))[:, None])
    model_influence = (x * (p - expit(x @ model))[:, None] + choice.influence @ turn.T) @ model_bread
    influences = (human_influence, model_influence, model_influence - human_influence)
    errors = [np.sqrt(np.diag(clustered_errors(influence, clusters))) / size for influence in influences]
    # Margins that follow from the features alone, or prompts that do not differ, leave rounding and not a tiny error.
    errors[2] = np.where(errors[2] * size <= SAME, 0.0, errors[2])
    score = _score_regression(x, choice.columns, choice.probabilities, clusters)
    # Where the margin is a combination of the features, the score has no test; the errors have their freedom all the same.
    freedom = score[2]
    if np.isnan(freedom).any():
        alone = _score_regression(x, choice.columns[:, :0], choice.probabilities, clusters)[2]
        freedom = np.where(np.isnan(freedom), alone, freedom)
    loaded, _ = null_loadings(triangle(x))
    identified = np.zeros(len(varies), dtype=bool)
    identified[varies] = ~loaded

    def wide(values: Floats) -> Floats:
        spread = np.full(len(varies), math.nan)
        spread[varies] = values
        return spread

    return AmplificationFit(
        asked=wide(human / size),
        asked_errors=wide(errors[0]),
        given=wide(model / size),
        given_errors=wide(errors[1]),
        errors=wide(errors[2]),
        score_estimates=wide(score[0] / size),
        score_errors=wide(score[1] / size),
        freedom=wide(freedom),
        identified=identified,
    )


def fit_choice_logit(x: Floats, outcome: Floats) -> Floats:
    """Coefficients of P(chosen) = expit(x b), without intercept, by Newton's method with step halving.

    Args:
        x (`ndarray` of shape (n, k)): Chosen minus rejected features, with root mean squares of 1.
        outcome (`ndarray` of shape (n,)): 1 for a choice, or its probability.

    Returns:
        `ndarray` of shape (k,): Coefficients; finite also where features separate or depend on each other. They depend on the
            outcome through `outcome @ x` alone, so equal sums give equal coefficients.

    Source: Greenland and Mansournia (2015) on log-F(1, 1) priors, which add half a pair for and half against each feature.
    """
    beta, target = np.zeros(x.shape[1]), outcome @ x
    linear = x @ beta
    value = _likelihood(beta, linear, target)
    for _ in range(_MAX_STEPS):
        score = target - expit(linear) @ x + 0.5 - expit(beta)
        step = np.linalg.solve(_information(x, beta), score)
        for halving in range(30):
            proposed = beta + step * 0.5**halving
            linear = x @ proposed
            reached = _likelihood(proposed, linear, target)
            if reached >= value - 1e-12 * abs(value):
                break
        beta, value = proposed, reached
        if float(score @ step) < _STEP_TOLERANCE * len(x):
            break
    return beta


def _likelihood(beta: Floats, linear: Floats, target: Floats) -> float:
    prior = 0.5 * (log_expit(beta) + log_expit(-beta)).sum()
    return float(target @ beta + log_expit(-linear).sum() + prior)


def _information(x: Floats, beta: Floats) -> Floats:
    p = expit(x @ beta)
    root = x * np.sqrt(p * (1 - p))[:, None]
    return np.asarray(root.T @ root + np.diag(expit(beta) * expit(-beta)))


def _score_regression(x: Floats, columns: Floats, p: Floats, clusters: Codes) -> tuple[Floats, Floats, Floats]:
    """Probability minus choice, regressed on the differences and the calibration's columns: estimates, errors, freedom."""
    k = x.shape[1]
    undefined = np.full(k, math.nan)
    weight = np.sqrt(np.maximum(p * (1 - p), _SATURATED))
    rows = np.hstack([x, columns / np.abs(columns).max(axis=0, initial=0.0)]) * weight[:, None]
    outcome = (p - 1) / weight
    if clusters.max() < 1 or len(x) <= rows.shape[1]:
        return undefined, undefined, undefined
    solution = solve(triangle(rows, outcome), rows.shape[1])
    estimates = solution.coefficients[:, 0]
    covariance, freedom = cr2(rows, outcome - rows @ estimates, clusters, solution)
    variances = np.diag(covariance)
    rounding = rounded_variances(solution.bread, float(np.abs(outcome).max()))
    errors = np.sqrt(np.where(variances > rounding, variances, 0.0))
    known = solution.identified[:k]
    return (
        np.where(known, estimates[:k], math.nan),
        np.where(known & (errors[:k] > 0), errors[:k], math.nan),
        np.where(freedom[:k] > 0, freedom[:k], math.nan),
    )

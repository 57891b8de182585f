"""Logits from many labels and few gold ones: the labels' score, corrected by that of gold labels less that of their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special
from scipy.special import expit

from seal_datasets.estimate.gold_pairs import GoldPairs
from seal_datasets.estimate.inputs import Floats
from seal_datasets.estimate.intervals import Interval, two_sided_p
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p

# Coefficients of columns of size 1 beyond this are those of a separated feature.
_LARGEST = 30.0


@dataclass(frozen=True, slots=True)
class CorrectedLogit:
    """A corrected logit.

    Attributes:
        coefficients (`ndarray` of shape (k,)): Log-odds; nan without a solution.
        influence (`ndarray` of shape (G, k)): Each prompt's influence on them.
        bread (`ndarray` of shape (k, k)): Inverse of the corrected information.
        status (`str`): `ok` or `not_converged`.
    """

    coefficients: Floats
    influence: Floats
    bread: Floats
    status: str


def corrected_logit(
    pairs: GoldPairs, by_label: Floats, by_truth: Floats, outcome: Floats, *, prior: float = 0.0
) -> CorrectedLogit:
    """Solve the corrected score equations of a logit.

    Args:
        pairs (`GoldPairs`): The pairs.
        by_label (`ndarray` of shape (n, k)): The design by the labels; columns with root mean squares of about 1.
        by_truth (`ndarray` of shape (n, k)): The design with gold labels where there are any.
        outcome (`ndarray` of shape (n,)): 0, 1, or a probability between.
        prior (`float`, defaults to 0): Weight of a log-F(1, 1) prior on each coefficient.

    Returns:
        `CorrectedLogit`: The solution. Its score is not that of a likelihood, so it may have none.

    Source: Egami et al. (2023), arXiv 2306.04746, section 3, with prompts as units.
    """

    def residual(design: Floats, beta: Floats) -> Floats:
        return np.asarray(design * (outcome - expit(design @ beta))[:, None], dtype=np.float64)

    def score(beta: Floats) -> Floats:
        pull = prior * (0.5 - expit(beta))
        return pairs.total(residual(by_label, beta), residual(by_truth, beta)) + pull

    def information(beta: Floats) -> Floats:
        found = np.diag(prior * expit(beta) * expit(-beta))
        weights = pairs.drawn.weights[pairs.prompts]
        for design, weight in ((by_label, 1 - weights), (by_truth, weights)):
            p = expit(design @ beta)
            found = found + (design * (weight * p * (1 - p))[:, None]).T @ design
        return np.asarray(found, dtype=np.float64)

    def slope(beta: Floats) -> Floats:
        return -information(beta)

    k, n_groups = by_label.shape[1], len(pairs.drawn.weights)
    found = optimize.root(score, np.zeros(k), jac=slope)
    beta = np.asarray(found.x, dtype=np.float64)
    info = information(beta)
    if not found.success or np.abs(beta).max() > _LARGEST or np.linalg.eigvalsh(info)[0] <= 0:
        nothing = np.full((n_groups, k), math.nan)
        return CorrectedLogit(nothing[0], nothing, np.full((k, k), math.nan), "not_converged")
    bread: Floats = np.asarray(np.linalg.inv(info), dtype=np.float64)
    base, right = pairs.sums(residual(by_label, beta), residual(by_truth, beta))
    return CorrectedLogit(beta, pairs.drawn.influence(base, right) @ bread, bread, "ok")


@dataclass(frozen=True, slots=True)
class CorrectedTests:
    """Tests of corrected coefficients; arrays of shape (k,)."""

    errors: Floats
    p_values: Floats
    p_adjusted: Floats
    intervals: tuple[Interval, ...]
    statuses: tuple[str, ...]


def corrected_tests(
    estimates: Floats,
    influence: Floats,
    pairs: GoldPairs,
    *,
    constant: NDArray[np.bool_],
    status: str,
    adjust: Adjustment,
    confidence: float,
) -> CorrectedTests:
    """Errors, tests and intervals of corrected estimates from prompts' influence, by t with the gold prompts' freedom.

    Args:
        estimates (`ndarray` of shape (k,)): Corrected estimates.
        influence (`ndarray` of shape (G, k)): Each prompt's influence on them.
        pairs (`GoldPairs`): The pairs.
        constant (`ndarray` of shape (k,)): Features that do not vary.
        status (`str`): `ok`, or why there are no estimates.
        adjust (`Adjustment`): How p-values are adjusted.
        confidence (`float`): Level of the intervals.

    Returns:
        `CorrectedTests`: Numbers, and statuses of rows.
    """
    freedom = pairs.freedom
    why = pairs.drawn.withheld or ("too_few_clusters" if freedom <= 0 else status)
    factor = (freedom + 1) / freedom if freedom > 0 else math.nan
    known = ~constant & (why == "ok" or not why)
    errors = np.where(known, np.sqrt((influence**2).sum(axis=0) * factor), math.nan)
    errors = np.where(errors > 0, errors, math.nan)
    p_values = two_sided_p(np.where(known, estimates, math.nan) / errors, np.full(len(estimates), freedom))
    half = special.stdtrit(freedom, 0.5 + confidence / 2) * errors if freedom > 0 else errors * math.nan
    reason = why if why and why != "ok" else "no_residual_variation"
    statuses = np.where(constant, "not_identified", np.where(np.isnan(errors), reason, "ok"))
    intervals = tuple(zip((estimates - half).tolist(), (estimates + half).tolist(), strict=True))
    return CorrectedTests(errors, p_values, adjust_p(p_values, adjust), intervals, tuple(statuses.tolist()))

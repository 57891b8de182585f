"""Regression of a binary outcome on features: logit, Firth's penalised logit and linear probability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from seal_datasets.estimate.inference import POWER
from seal_datasets.estimate.inputs import Bools, Codes, Floats, confidence_level, group_codes, one_of, same_length
from seal_datasets.estimate.intervals import Interval, two_sided_p
from seal_datasets.estimate.least_squares import ClusterErrors, describe, fit_linear
from seal_datasets.estimate.linear import PERFECT, differing, one_blas_thread
from seal_datasets.estimate.logit import Patterns, find_patterns, fit_logit
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.result import Result

# Fields of a row that are plain floats.
_NUMBERS = (
    "coefficient",
    "odds_ratio",
    "average_marginal_effect",
    "average_marginal_effect_std_error",
    "std_error",
    "degrees_of_freedom",
    "p_value",
    "p_adjusted",
    "minimum_detectable_effect",
)
# Effective degrees of freedom below which a coefficient's variance is not known; rounding may miss one half.
LEAST_FREEDOM = 0.5 - 1e-6
Estimator = Literal["logit", "firth", "linear_probability"]


@dataclass(frozen=True, slots=True)
class BinaryRow(Result):
    """Estimates for one regressor of a binary outcome.

    Attributes:
        coefficient (`float`): Log-odds; change in probability under `linear_probability`.
        odds_ratio (`float`): exp of the coefficient, inf beyond 1e308; nan under `linear_probability`.
        average_marginal_effect (`float`): Mean over all pairs of the change in probability from 0 to 1, or per unit for
            regressors with other values; nan under `firth`.
        average_marginal_effect_std_error (`float`): Its standard error, by the delta method.
        std_error (`float`): Standard error of the coefficient.
        degrees_of_freedom (`float`): Of the t reference: Satterthwaite's, or the effective number of clusters less 1 for
            `firth`; infinite for logits without groups.
        p_value (`float`): Two-sided.
        p_adjusted (`float`): Adjusted within the regression.
        confidence_interval (`tuple[float, float]`): Interval of the coefficient, not adjusted.
        minimum_detectable_effect (`float`): Smallest coefficient detected at 80 % power at the family's Bonferroni level
            (Bloom, 1995); nan under `firth`.
        method (`str`): What gave the test and the interval: `maximum_likelihood` and `least_squares` (t); `firth` (penalised
            likelihood ratio and profile interval), which is used under separation; `firth_clustered` (the same over the
            design effect of the clusters).
        status (`str`): `ok`; `separated` (the regressor determines the outcome, and the likelihood estimate is infinite);
            `collinear`; `not_identified` (does not vary); `one_class` (all pairs have the same outcome);
            `too_few_clusters` or `too_few_pairs` (an estimate without an error);
            `no_residual_variation` (a linear fit without residuals);
            `too_little_information` (the clusters do not determine the error);
            `not_converged` (no maximum or no interval bound was reached; such numbers are nan).
    """

    coefficient: float
    odds_ratio: float
    average_marginal_effect: float
    average_marginal_effect_std_error: float
    std_error: float
    degrees_of_freedom: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    minimum_detectable_effect: float
    method: str
    status: str


@dataclass(frozen=True, slots=True)
class BinaryRegression:
    """A binary regression: by regressor, the fields of `BinaryRow` in `rows` and discordant pairs in `discordant`."""

    rows: tuple[dict[str, Any], ...]
    discordant: Codes
    intercept: float
    n_separated: int
    covariance: str
    family_size: int
    family: str
    status: str


@dataclass(frozen=True, slots=True)
class BinarySettings:
    """How a binary outcome is regressed.

    Attributes:
        estimator (`Estimator`): Estimator.
        adjust (`Adjustment`): How p-values are adjusted.
        confidence (`float`): Level of the intervals.
        min_discordant (`int`): Rows off a regressor's commonest value that its numbers need. A regressor with fewer
            stays in the regression as a control.
        errors (`ClusterErrors`): Errors of `linear_probability`.
    """

    estimator: Estimator
    adjust: Adjustment
    confidence: float
    min_discordant: int
    errors: ClusterErrors = "cr2"

    def __post_init__(self) -> None:
        one_of(self.estimator, "estimator", get_args(Estimator))
        describe(self.errors, by_prompt=True)
        confidence_level(self.confidence)


def binary_regression(
    outcome: Bools,
    regressors: Sequence[Floats],
    groups: Sequence[Any] | NDArray[Any] | None,
    settings: BinarySettings,
) -> BinaryRegression:
    """Regress a binary outcome on regressors and an intercept, by logit or as a linear probability.

    Args:
        outcome (`ndarray` of shape (n,)): Outcome.
        regressors (sequence of `ndarray` of shape (n, j)): Blocks of regressors without the intercept, k in all.
        groups (sequence of shape (n,), *optional*): Clusters.
        settings (`BinarySettings`): Estimator and options.

    Returns:
        `BinaryRegression`: One entry per regressor.

    Raises:
        DataError: The groups do not fit.
    """
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(aligned=outcome, groups=codes)
    design = np.empty((len(outcome), 1 + sum(block.shape[1] for block in regressors)))
    design[:, 0] = 1.0
    np.concatenate(regressors, axis=1, out=design[:, 1:])
    patterns = find_patterns(design)
    k, discordant = design.shape[1] - 1, differing(patterns.x[:, 1:], patterns.totals)
    if outcome.all() or not outcome.any():
        adjust_p(np.empty(0), settings.adjust)
        none = dict.fromkeys(_NUMBERS, math.nan)
        row = {**none, "confidence_interval": (math.nan, math.nan), "method": "none", "status": "one_class"}
        return BinaryRegression((row,) * k, discordant, math.nan, 0, "none", 0, "no tests", "one_class")
    with one_blas_thread():
        if settings.estimator == "linear_probability":
            fit = _fit_linear_probability(design, outcome, codes, settings)
        else:
            design = patterns.x  # of fewer rows, and the whole can go
            penalised = settings.estimator == "firth"
            fit = _fit_logit(design, outcome, codes, patterns, penalised, settings.confidence)
    constant = discordant == 0
    rare = ~constant & (discordant < settings.min_discordant)
    withheld = constant | rare | fit.uninformed
    numbers = {name: np.where(withheld, np.nan, getattr(fit, name)) for name in _NUMBERS if hasattr(fit, name)}
    p_values = numbers["p_value"]
    size = int((~np.isnan(p_values)).sum())
    numbers["p_adjusted"] = adjust_p(p_values, settings.adjust)
    freedom = numbers["degrees_of_freedom"]
    level = special.stdtrit(freedom, 1 - (1 - settings.confidence) / (2 * max(size, 1))) + special.stdtrit(
        freedom, POWER
    )
    numbers["minimum_detectable_effect"] = np.where(fit.by_likelihood, level * numbers["std_error"], np.nan)
    low, high = (np.where(withheld, np.nan, bounds) for bounds in (fit.low, fit.high))
    rows = tuple(
        {
            **{name: float(values[i]) for name, values in numbers.items()},
            "confidence_interval": (float(low[i]), float(high[i])),
            "method": fit.method if fit.by_likelihood[i] else fit.penalised_method,
            "status": _status(fit, i, bool(constant[i]), bool(rare[i])),
        }
        for i in range(k)
    )
    return BinaryRegression(
        rows,
        discordant,
        intercept=fit.intercept,
        n_separated=fit.n_separated,
        covariance=fit.covariance,
        family_size=size,
        family=f"the {size} coefficient(s) of this regression that have a test",
        status="ok",
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    """Estimates of any estimator; arrays have shape (k,), without the intercept."""

    coefficient: Floats
    std_error: Floats
    degrees_of_freedom: Floats
    p_value: Floats
    low: Floats
    high: Floats
    odds_ratio: Floats
    average_marginal_effect: Floats
    average_marginal_effect_std_error: Floats
    separated: Bools
    by_likelihood: Bools
    converged: Bools
    uninformed: Bools
    intercept: float
    n_separated: int
    covariance: str
    method: str
    penalised_method: str
    few: str


def _fit_logit(
    design: Floats, outcome: Bools, codes: Codes | None, patterns: Patterns, penalised: bool, confidence: float
) -> _Fit:
    fit = fit_logit(design, outcome, codes, patterns=patterns, penalised=penalised, confidence=confidence)
    effects, effect_errors = fit.effects[1:].copy(), fit.effect_errors[1:]
    coefficients, errors = fit.coefficients[1:].copy(), np.sqrt(np.diag(fit.covariance))[1:]
    freedom = fit.freedom[1:].copy()
    errors = np.where(errors > 0, errors, np.nan)
    effect_errors = np.where((effect_errors > 0) & ~np.isnan(errors), effect_errors, np.nan)
    p_values = two_sided_p(coefficients / errors, freedom)
    half = special.stdtrit(freedom, 0.5 + confidence / 2) * errors
    low, high = coefficients - half, coefficients + half
    by_firth, converged = np.zeros(len(errors), dtype=bool), np.full(len(errors), fit.converged)
    if fit.firth is not None:
        by_firth = ~np.isnan(fit.firth.coefficients[1:]) | ~fit.firth.converged[1:]
        converged = np.where(by_firth, fit.firth.converged[1:], converged)
        penalised_errors = np.sqrt(np.diag(fit.firth.covariance))[1:]
        for estimates, penalised_estimates in (
            (coefficients, fit.firth.coefficients[1:]),
            (errors, penalised_errors),
            (freedom, fit.firth.freedom[1:]),
            (p_values, fit.firth.p_values[1:]),
            (low, fit.firth.low[1:]),
            (high, fit.firth.high[1:]),
        ):
            estimates[by_firth] = penalised_estimates[by_firth]
        effects[by_firth], effect_errors[by_firth] = np.nan, np.nan
    # With fewer than two clusters no coefficient has degrees of freedom, which is another status.
    uninformed = np.zeros(len(errors), dtype=bool)
    if (np.nan_to_num(freedom) > 0).any():
        untested = np.where(by_firth, np.isnan(p_values), ~(np.nan_to_num(freedom) >= LEAST_FREEDOM))
        uninformed = converged & ~np.isnan(coefficients) & untested
    covariance = "inverse information" if codes is None else describe("cr2", by_prompt=True)
    if penalised:
        covariance = "penalised likelihood: inverse information, profile intervals and ratio tests"
        covariance += "" if codes is None else ", over design effects of the prompts"
    return _Fit(
        coefficient=coefficients,
        std_error=errors,
        degrees_of_freedom=np.where(np.isnan(errors), np.nan, freedom),
        p_value=p_values,
        low=low,
        high=high,
        odds_ratio=_odds(coefficients),
        average_marginal_effect=effects,
        average_marginal_effect_std_error=effect_errors,
        separated=fit.separated[1:],
        by_likelihood=~by_firth,
        converged=converged,
        uninformed=uninformed,
        intercept=float(fit.coefficients[0]),
        n_separated=int((~fit.kept).sum()),
        covariance=covariance,
        method="maximum_likelihood",
        penalised_method="firth" if codes is None else "firth_clustered",
        few="too_few_pairs" if codes is None else "too_few_clusters",
    )


def _fit_linear_probability(design: Floats, outcome: Bools, codes: Codes | None, settings: BinarySettings) -> _Fit:
    clusters: Codes = np.arange(len(outcome)) if codes is None else codes
    fit = fit_linear(design, outcome.astype(float), clusters, errors=settings.errors)
    # Residuals of a perfect fit are rounding; errors from them would make every p-value 0.
    perfect = fit.residual_size < PERFECT
    errors = np.full(design.shape[1] - 1, np.nan) if perfect else np.sqrt(np.diag(fit.covariance)[1:])
    degrees, coefficients = fit.degrees[1:], fit.coefficients[1:]
    errors = np.where((errors > 0) & (degrees > 0), errors, np.nan)
    half = special.stdtrit(degrees, 0.5 + settings.confidence / 2) * errors
    few = "too_few_pairs" if codes is None else "too_few_clusters"
    return _Fit(
        coefficient=coefficients,
        std_error=errors,
        degrees_of_freedom=degrees,
        p_value=two_sided_p(coefficients / errors, degrees),
        low=coefficients - half,
        high=coefficients + half,
        odds_ratio=np.full(len(errors), np.nan),
        average_marginal_effect=coefficients,
        average_marginal_effect_std_error=errors,
        separated=np.zeros(len(errors), dtype=bool),
        by_likelihood=np.ones(len(errors), dtype=bool),
        converged=np.ones(len(errors), dtype=bool),
        uninformed=fit.uninformed(0.5)[1:],
        intercept=float(fit.coefficients[0]),
        n_separated=0,
        covariance=describe(settings.errors, by_prompt=codes is not None),
        method="least_squares",
        penalised_method="none",
        few="no_residual_variation" if fit.n_clusters > 1 else few,
    )


def _status(fit: _Fit, i: int, constant: bool, rare: bool) -> str:
    if constant:
        return "not_identified"
    if rare:
        return "too_few_discordant"
    if fit.uninformed[i]:
        return "too_little_information"
    if not fit.converged[i]:
        return "not_converged"
    if fit.separated[i]:
        return "separated"
    if math.isnan(fit.coefficient[i]):
        return "collinear"
    return fit.few if math.isnan(fit.std_error[i]) else "ok"


def _odds(coefficients: Floats) -> Floats:
    """Odds ratios; inf where they are too large for a float."""
    with np.errstate(over="ignore"):
        return np.exp(coefficients)

"""Drivers of misalignment (SEAL, Eq. 3), and the binary regression that robustness (Eq. 4) shares with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    confidence_level,
    group_codes,
    indicator,
    matrix,
    same_length,
    unique_names,
)
from seal_datasets.estimate.intervals import Interval, critical_value, two_sided_p
from seal_datasets.estimate.linear import PERFECT, constant_columns, differing, fit_linear
from seal_datasets.estimate.logit import LogitFit, fit_logit
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.result import Result

Estimator = Literal["logit", "linear_probability"]


@dataclass(frozen=True, slots=True)
class BinaryRow(Result):
    """One regressor of a binary outcome.

    Attributes:
        coefficient (`float`): Log-odds, or change in probability under `linear_probability`.
        odds_ratio (`float`): exp of the coefficient; nan under `linear_probability`.
        average_marginal_effect (`float`): Mean over pairs of the change in probability per unit.
        average_marginal_effect_std_error (`float`): By the delta method.
        std_error (`float`): Of the coefficient.
        p_value (`float`): Two-sided, normal reference.
        p_adjusted (`float`): Adjusted within the regression.
        confidence_interval (`tuple[float, float]`): Of the coefficient, not adjusted.
        status (`str`): `ok`; `separated` (the outcome follows from it: the estimate is infinite); `collinear`;
            `not_identified` (does not vary); `one_class` (every pair has the same outcome); `too_few_clusters` or
            `too_few_pairs` (an estimate without an error); `no_residual_variation` (a linear fit without any error).
    """

    coefficient: float
    odds_ratio: float
    average_marginal_effect: float
    average_marginal_effect_std_error: float
    std_error: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    status: str


@dataclass(frozen=True, slots=True)
class BinaryRegression:
    """A binary regression; the arrays of shape (k,) are fields of `BinaryRow`, by regressor."""

    coefficients: Floats
    odds_ratios: Floats
    effects: Floats
    effect_errors: Floats
    errors: Floats
    p_values: Floats
    p_adjusted: Floats
    intervals: tuple[Interval, ...]
    statuses: tuple[str, ...]
    intercept: float
    n_separated: int
    covariance: str
    family_size: int
    status: str


@dataclass(frozen=True, slots=True)
class Driver(BinaryRow):
    """One feature of one side as a driver: positive log-odds go with alignment, negative ones with misalignment.

    The other fields are as in `BinaryRow`; the status may also be `too_few_discordant`.

    Attributes:
        feature (`str`): Name.
        side (`str`): `chosen` or `rejected`.
        n_discordant (`int`): Pairs whose value is not the commonest one.
    """

    feature: str
    side: str
    n_discordant: int


@dataclass(frozen=True, slots=True)
class MisalignmentDrivers(Result):
    """A regression of alignment on the features of both sides.

    Attributes:
        drivers (`tuple[Driver, ...]`): One row per side and feature.
        intercept (`float`): Log-odds (or probability) of alignment with every feature 0.
        n_pairs (`int`): Pairs.
        n_aligned (`int`): Pairs the model is aligned on.
        n_separated (`int`): Pairs that separated features predict perfectly; the finite estimates rest on the others.
        estimator (`str`): `logit` or `linear_probability`.
        covariance (`str`): How errors are computed.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Tests adjusted for.
        status (`str`): `ok`, or `one_class`.
    """

    drivers: tuple[Driver, ...]
    intercept: float
    n_pairs: int
    n_aligned: int
    n_separated: int
    estimator: str
    covariance: str
    adjust: str
    family_size: int
    status: str


def misalignment_drivers(
    aligned: ArrayLike,
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    estimator: Estimator = "logit",
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_discordant: int = 2,
) -> MisalignmentDrivers:
    """Estimate which features, on which side, go with a reward model's agreement with human choices.

    Args:
        aligned (array-like of shape (n,)): Whether the model is aligned on each pair.
        chosen_features (array-like of shape (n, k)): Features of the chosen responses.
        rejected_features (array-like of shape (n, k)): Features of the rejected responses.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by.
        estimator (`"logit"` or `"linear_probability"`): The equation, or what the published figures used.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted within the regression.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_discordant (`int`, defaults to 2): Pairs in which a feature must differ from its commonest value for its
            numbers to be given.

    Returns:
        `MisalignmentDrivers`: Log-odds of *alignment*, odds ratios and average marginal effects side by side.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, `aligned` is not true or false, or a name is repeated.

    Source: SEAL, Eq. (3).

    Example:

    ```python
    >>> aligned = [1, 1, 1, 0, 1, 0, 0, 0]
    >>> polite = [[1], [1], [1], [1], [0], [0], [0], [0]]
    >>> fit = misalignment_drivers(aligned, polite, [[0]] * 8, ["polite"])
    >>> round(fit.drivers[0].odds_ratio, 6)  # (3/1) / (1/3)
    9.0
    >>> fit.drivers[1].status
    'not_identified'

    ```
    """
    names = unique_names(feature_names)
    outcome = indicator(aligned, "aligned")
    n = len(outcome)
    chosen = matrix(chosen_features, "chosen_features", n, len(names))
    rejected = matrix(rejected_features, "rejected_features", n, len(names))
    regressors = np.hstack([chosen, rejected])
    discordant = differing(regressors)
    few = (discordant > 0) & (discordant < min_discordant)
    fit = binary_regression(outcome, regressors, groups, estimator, adjust, confidence, few=few)
    labels = [(name, side) for side in ("chosen", "rejected") for name in names]
    return MisalignmentDrivers(
        tuple(
            Driver(
                coefficient=float(fit.coefficients[i]),
                odds_ratio=float(fit.odds_ratios[i]),
                average_marginal_effect=float(fit.effects[i]),
                average_marginal_effect_std_error=float(fit.effect_errors[i]),
                std_error=float(fit.errors[i]),
                p_value=float(fit.p_values[i]),
                p_adjusted=float(fit.p_adjusted[i]),
                confidence_interval=fit.intervals[i],
                status=fit.statuses[i],
                feature=name,
                side=side,
                n_discordant=int(discordant[i]),
            )
            for i, (name, side) in enumerate(labels)
        ),
        fit.intercept,
        n,
        int(outcome.sum()),
        fit.n_separated,
        estimator,
        fit.covariance,
        adjust,
        fit.family_size,
        fit.status,
    )


def binary_regression(
    outcome: Bools,
    regressors: Floats,
    groups: Sequence[Any] | NDArray[Any] | None,
    estimator: Estimator,
    adjust: Adjustment,
    confidence: float,
    *,
    few: Bools | None = None,
) -> BinaryRegression:
    """Regress a binary outcome on regressors and an intercept, by logit or as a linear probability.

    Args:
        outcome (`ndarray` of shape (n,)): Outcome.
        regressors (`ndarray` of shape (n, k)): Regressors without the intercept.
        groups (sequence of shape (n,), *optional*): Clusters.
        estimator (`Estimator`): How to fit.
        adjust (`Adjustment`): How p-values are adjusted.
        confidence (`float`): Level of the intervals.
        few (`ndarray` of shape (k,), *optional*): Regressors that vary too little for their numbers to be given; they
            stay in as controls.

    Returns:
        `BinaryRegression`: One entry per regressor.

    Raises:
        DataError: An option is unknown or the groups do not fit.
    """
    if estimator not in get_args(Estimator):
        raise DataError(f"estimator must be one of {list(get_args(Estimator))}, got {estimator!r}")
    confidence_level(confidence)
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(aligned=outcome, groups=codes)
    k = regressors.shape[1]
    if outcome.all() or not outcome.any():
        adjust_p(np.empty(0), adjust)
        none, nowhere = np.full(k, np.nan), ((math.nan, math.nan),) * k
        statuses = ("one_class",) * k
        return BinaryRegression(
            none, none, none, none, none, none, none, nowhere, statuses, math.nan, 0, "none", 0, "one_class"
        )
    design = np.column_stack([np.ones(len(outcome)), regressors])
    fit = _logit(design, outcome, codes) if estimator == "logit" else _linear_probability(design, outcome, codes)
    withheld = np.zeros(k, dtype=bool) if few is None else few
    coefficients, odds_ratios, effects, effect_errors, errors = (
        np.where(withheld, np.nan, each)
        for each in (fit.coefficients[1:], fit.odds_ratios, fit.effects, fit.effect_errors, fit.errors)
    )
    errors = np.where(errors > 0, errors, np.nan)
    p_values = two_sided_p(coefficients / errors, math.inf)
    half = critical_value(confidence, math.inf) * errors
    low, high = coefficients - half, coefficients + half
    constant = constant_columns(regressors)
    return BinaryRegression(
        coefficients=coefficients,
        odds_ratios=odds_ratios,
        effects=effects,
        effect_errors=effect_errors,
        errors=errors,
        p_values=p_values,
        p_adjusted=adjust_p(p_values, adjust),
        intervals=tuple((float(low[i]), float(high[i])) for i in range(k)),
        statuses=tuple(
            "too_few_discordant"
            if withheld[i]
            else _status(bool(constant[i]), bool(fit.separated[i]), float(coefficients[i]), float(errors[i]), fit.few)
            for i in range(k)
        ),
        intercept=float(fit.coefficients[0]),
        n_separated=fit.n_separated,
        covariance=fit.covariance,
        family_size=int((~np.isnan(p_values)).sum()),
        status="ok",
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    """What the two estimators have in common; `coefficients` start with the intercept, the other arrays do not."""

    coefficients: Floats
    errors: Floats
    odds_ratios: Floats
    effects: Floats
    effect_errors: Floats
    separated: Bools
    n_separated: int
    covariance: str
    few: str


def _logit(design: Floats, outcome: Bools, codes: Codes | None) -> _Fit:
    fit = fit_logit(design, outcome, codes)
    effects, effect_errors = _marginal_effects(fit)
    return _Fit(
        coefficients=fit.coefficients,
        errors=np.sqrt(np.diag(fit.covariance))[1:],
        odds_ratios=np.exp(fit.coefficients[1:]),
        effects=effects,
        effect_errors=effect_errors,
        separated=fit.separated[1:],
        n_separated=int((~fit.kept).sum()),
        covariance="inverse information" if codes is None else "clustered by prompt (sandwich)",
        few="too_few_pairs" if codes is None else "too_few_clusters",
    )


def _linear_probability(design: Floats, outcome: Bools, codes: Codes | None) -> _Fit:
    clusters: Codes = np.arange(len(outcome)) if codes is None else codes
    fit = fit_linear(design, outcome.astype(float), clusters)
    # A perfect fit leaves rounding where its errors should be; they would make every p-value 0.
    perfect = fit.residual_size < PERFECT
    errors = np.full(design.shape[1] - 1, np.nan) if perfect else np.sqrt(np.diag(fit.covariance))[1:]
    few = "too_few_pairs" if codes is None else "too_few_clusters"
    return _Fit(
        coefficients=fit.coefficients,
        errors=errors,
        odds_ratios=np.full(len(errors), np.nan),
        effects=fit.coefficients[1:],
        effect_errors=errors,
        separated=np.zeros(len(errors), dtype=bool),
        n_separated=0,
        covariance="each pair its own cluster (HC1)" if codes is None else "clustered by prompt (CRV1)",
        few="no_residual_variation" if perfect and fit.n_clusters > 1 else few,
    )


def _status(constant: bool, separated: bool, coefficient: float, error: float, few: str) -> str:
    if constant:
        return "not_identified"
    if separated:
        return "separated"
    if math.isnan(coefficient):
        return "collinear"
    return few if math.isnan(error) else "ok"


def _marginal_effects(fit: LogitFit) -> tuple[Floats, Floats]:
    """Average of p (1 - p) beta over the fitted rows, and its delta-method error."""
    used = fit.identified
    effects, errors = np.full(len(used), np.nan), np.full(len(used), np.nan)
    if used.any() and fit.kept.any():
        beta = fit.coefficients[used]
        effects[used] = fit.slope * beta
        # d/d beta_j of mean(p (1 - p)) beta_i = mean(p (1 - p)) [i = j] + beta_i mean(p (1 - p)(1 - 2 p) x_j)
        jacobian = fit.slope * np.eye(len(beta)) + np.outer(beta, fit.slope_gradient[used])
        variances = np.diag(jacobian @ fit.covariance[np.ix_(used, used)] @ jacobian.T)
        errors[used] = np.sqrt(np.maximum(variances, 0.0))
    return effects[1:], errors[1:]

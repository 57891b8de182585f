"""Feature imprint (SEAL, Eqs. 1 and 2): what a reward model pays for a feature, prompt by prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import (
    Codes,
    Floats,
    confidence_level,
    finite,
    group_codes,
    matrix,
    same_length,
    unique_names,
)
from seal_datasets.estimate.intervals import Interval, critical_value, two_sided_p
from seal_datasets.estimate.linear import (
    PERFECT,
    LinearFit,
    condition_number,
    constant_columns,
    demean,
    differing,
    fit_linear,
    variance_inflation,
)
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.result import Result

Effects = Literal["fixed", "pooled"]


@dataclass(frozen=True, slots=True)
class ImprintRow(Result):
    """The imprint of one feature.

    Attributes:
        feature (`str`): Name.
        coefficient (`float`): Reward points between a text with the feature and one without, the others held fixed.
        std_error (`float`): Clustered by prompt.
        p_value (`float`): Two-sided.
        p_adjusted (`float`): Adjusted within this regression.
        confidence_interval (`tuple[float, float]`): Around the coefficient, not adjusted.
        n_discordant (`int`): Prompts within which the feature differs: what the estimate rests on.
        vif (`float`): Variance inflation factor, within prompts under fixed effects.
        status (`str`): `ok`; `not_identified` (never differs within a prompt); `collinear` (an exact combination of other
            features); `too_few_discordant`; `too_few_clusters`; `no_residual_variation` (no error to measure).
    """

    feature: str
    coefficient: float
    std_error: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    n_discordant: int
    vif: float
    status: str


@dataclass(frozen=True, slots=True)
class FeatureImprint(Result):
    """A regression of rewards on features.

    Attributes:
        imprint (`tuple[ImprintRow, ...]`): One row per feature, in the order given.
        n_texts (`int`): Texts.
        n_groups (`int`): Prompts, those with a single text included.
        n_singletons (`int`): Prompts with a single text; prompt effects absorb them, so they are not used.
        degrees_of_freedom (`float`): Of the t reference: clusters used, less one.
        effects (`str`): `fixed` or `pooled`.
        covariance (`str`): How errors are computed.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Tests adjusted for.
        condition_number (`float`): Of the scaled design; above 30 the features are hard to tell apart.
    """

    imprint: tuple[ImprintRow, ...]
    n_texts: int
    n_groups: int
    n_singletons: int
    degrees_of_freedom: float
    effects: str
    covariance: str
    adjust: str
    family_size: int
    condition_number: float


@dataclass(frozen=True, slots=True)
class ShiftImprintRow(Result):
    """The imprint of one feature of one side on the reward shift, in degrees; fields as in `ImprintRow`.

    Only `n_discordant` differs: it counts the pairs whose value is not the commonest one.
    """

    feature: str
    side: str
    coefficient: float
    std_error: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    n_discordant: int
    status: str


@dataclass(frozen=True, slots=True)
class ShiftImprint(Result):
    """A regression of reward shifts on the features of both sides.

    Attributes:
        imprint (`tuple[ShiftImprintRow, ...]`): One row per side and feature.
        intercept (`float`): Shift in degrees with every feature 0; nan without an intercept.
        n_pairs (`int`): Pairs with an angle.
        n_undefined (`int`): Pairs without one, left out.
        covariance (`str`): How errors are computed.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Tests adjusted for.
    """

    imprint: tuple[ShiftImprintRow, ...]
    intercept: float
    n_pairs: int
    n_undefined: int
    covariance: str
    adjust: str
    family_size: int


@dataclass(frozen=True, slots=True)
class Inference:
    """Numbers of a fit, ready to be laid out in rows; every array has shape (k,)."""

    coefficients: Floats
    errors: Floats
    p_values: Floats
    p_adjusted: Floats
    low: Floats
    high: Floats
    statuses: list[str]


def feature_imprint(
    rewards: ArrayLike,
    features: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    feature_names: Sequence[str],
    *,
    effects: Effects = "fixed",
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_discordant: int = 2,
) -> FeatureImprint:
    """Estimate how many reward points each feature is worth between responses to the same prompt.

    With prompt effects absorbed, only what differs between responses to one prompt counts: a prompt that draws high rewards
    whatever the response does not pass for a feature's doing. The change that training made is this function on
    `post_rewards - pre_rewards`: coefficients are differences and their errors allow for the two models' covariance.

    Args:
        rewards (array-like of shape (n,)): One reward per text.
        features (array-like of shape (n, k)): Values of the features of each text.
        groups (sequence of shape (n,)): Prompt id of each text, the fixed effect and the cluster.
        feature_names (`Sequence[str]`): The k names.
        effects (`"fixed"` or `"pooled"`): Prompt effects, or one intercept for all as in the published figures.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted within the regression.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_discordant (`int`, defaults to 2): Prompts in which a feature must differ for its numbers to be given.

    Returns:
        `FeatureImprint`: One row per feature. A number that is not determined is nan, with a status.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, a group is missing or a name is repeated.

    Source: SEAL, Eq. (1). Errors are CRV1 by prompt with factor G/(G-1) * (n-1)/(n-k-1), k the rank of the features, as
    in reghdfe, fixest and pyfixest; n leaves out prompts with a single text.

    Example:

    ```python
    >>> fit = feature_imprint(
    ...     rewards=[3.0, 1.0, 7.0, 6.0, 2.0, 2.0], features=[[1], [0], [1], [0], [0], [0]],
    ...     groups=["p", "p", "q", "q", "s", "s"], feature_names=["polite"],
    ... )
    >>> fit.imprint[0].coefficient, fit.imprint[0].n_discordant  # differences 2 and 1 where politeness differs
    (1.5, 2)

    ```
    """
    if effects not in get_args(Effects):
        raise DataError(f"effects must be one of {list(get_args(Effects))}, got {effects!r}")
    confidence_level(confidence)
    names = unique_names(feature_names)
    y = finite(rewards, "rewards")
    codes = group_codes(groups, "groups")
    n = same_length(rewards=y, groups=codes)
    x = matrix(features, "features", n, len(names))
    sizes = np.bincount(codes)
    within = demean(x, codes)
    discordant = _discordant(within, codes)
    if effects == "fixed":
        used = sizes[codes] > 1
        part = np.unique(codes[used], return_inverse=True)[1].reshape(-1).astype(np.int64)
        design, outcome = within[used], demean(y[used][:, None], part)[:, 0] if used.any() else y[used]
        centred = design
    else:
        part = codes
        design, outcome = np.column_stack([np.ones(n), x]), y
        centred = demean(x, np.zeros(n, dtype=np.int64))
    # Prompt effects are nested in the clusters and count as the one intercept they stand in for.
    absorbed = 1 if effects == "fixed" else 0
    fit = fit_linear(design, outcome, part, absorbed=absorbed) if len(outcome) else _nothing(len(names))
    few = (discordant > 0) & (discordant < min_discordant) if effects == "fixed" else np.zeros(len(names), dtype=bool)
    constant = discordant == 0 if effects == "fixed" else constant_columns(x)
    inference = infer(fit, slice(-len(names), None), constant, few, fit.n_clusters - 1, adjust, confidence)
    factors = variance_inflation(centred) if len(centred) else np.full(len(names), np.nan)
    rows = tuple(
        ImprintRow(
            feature=name,
            coefficient=float(inference.coefficients[i]),
            std_error=float(inference.errors[i]),
            p_value=float(inference.p_values[i]),
            p_adjusted=float(inference.p_adjusted[i]),
            confidence_interval=(float(inference.low[i]), float(inference.high[i])),
            n_discordant=int(discordant[i]),
            vif=float(factors[i]),
            status=inference.statuses[i],
        )
        for i, name in enumerate(names)
    )
    return FeatureImprint(
        rows,
        n,
        len(sizes),
        int((sizes == 1).sum()),
        float(max(fit.n_clusters - 1, 0)),
        effects,
        "clustered by prompt (CRV1)",
        adjust,
        int((~np.isnan(inference.p_values)).sum()),
        condition_number(centred) if len(centred) else math.nan,
    )


def shift_imprint(
    angles: ArrayLike,
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    intercept: bool = True,
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_discordant: int = 2,
) -> ShiftImprint:
    """Estimate which features of which side go with a turn of the reward vector.

    Args:
        angles (array-like of shape (n,)): Signed reward shifts in degrees; nan (no direction) is left out and counted.
        chosen_features (array-like of shape (n, k)): Features of the chosen responses.
        rejected_features (array-like of shape (n, k)): Features of the rejected responses.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by; each pair is its own cluster when omitted.
        intercept (`bool`, defaults to `True`): Whether to include one; the paper's equation has none, its code has.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted within the regression.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_discordant (`int`, defaults to 2): Pairs in which a feature must differ from its commonest value for its
            numbers to be given; on one pair alone an estimate fits that pair and its error means nothing.

    Returns:
        `ShiftImprint`: Degrees per feature and side.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, or a name is repeated.

    Source: SEAL, Eq. (2).

    Example:

    ```python
    >>> fit = shift_imprint([10.0, 0.0, 15.0, 5.0], [[1], [0], [1], [0]], [[0], [0], [1], [1]], ["polite"])
    >>> [(row.side, round(row.coefficient, 6)) for row in fit.imprint]
    [('chosen', 10.0), ('rejected', 5.0)]

    ```
    """
    confidence_level(confidence)
    names = unique_names(feature_names)
    y = finite(angles, "angles", allow_nan=True)
    n = len(y)
    chosen = matrix(chosen_features, "chosen_features", n, len(names))
    rejected = matrix(rejected_features, "rejected_features", n, len(names))
    codes = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(angles=y, groups=codes)
    known = ~np.isnan(y)
    x = np.hstack([chosen, rejected])[known]
    design = np.column_stack([np.ones(len(x)), x]) if intercept else x
    part = np.unique(codes[known], return_inverse=True)[1].reshape(-1).astype(np.int64)
    fit = fit_linear(design, y[known], part) if known.any() else _nothing(design.shape[1])
    constant = constant_columns(x if intercept else np.vstack([np.zeros_like(x[:1]), x]))
    discordant = differing(x)
    few = (discordant > 0) & (discordant < min_discordant)
    inference = infer(fit, slice(-2 * len(names), None), constant, few, fit.n_clusters - 1, adjust, confidence)
    rows = tuple(
        ShiftImprintRow(
            feature=name,
            side=side,
            coefficient=float(inference.coefficients[i]),
            std_error=float(inference.errors[i]),
            p_value=float(inference.p_values[i]),
            p_adjusted=float(inference.p_adjusted[i]),
            confidence_interval=(float(inference.low[i]), float(inference.high[i])),
            n_discordant=int(discordant[i]),
            status=inference.statuses[i],
        )
        for i, (side, name) in enumerate((side, name) for side in ("chosen", "rejected") for name in names)
    )
    return ShiftImprint(
        rows,
        float(fit.coefficients[0]) if intercept else math.nan,
        int(known.sum()),
        int((~known).sum()),
        "each pair its own cluster (HC1)" if groups is None else "clustered by prompt (CRV1)",
        adjust,
        int((~np.isnan(inference.p_values)).sum()),
    )


def infer(
    fit: LinearFit,
    columns: slice,
    constant: NDArray[np.bool_],
    few: NDArray[np.bool_],
    degrees_of_freedom: float,
    adjust: Adjustment,
    confidence: float,
) -> Inference:
    """Tests, intervals and a status for the columns of a linear fit.

    Args:
        fit (`LinearFit`): The fit.
        columns (`slice`): The k columns to report, without the intercept.
        constant (`ndarray` of shape (k,)): Features that do not vary.
        few (`ndarray` of shape (k,)): Features that vary in too few prompts; they stay in as controls, without numbers.
        degrees_of_freedom (`float`): Of the t reference.
        adjust (`Adjustment`): How p-values are adjusted.
        confidence (`float`): Level of the intervals.

    Returns:
        `Inference`: The numbers.
    """
    coefficients = np.where(few, np.nan, fit.coefficients[columns])
    variances = np.where(few, np.nan, np.diag(fit.covariance)[columns])
    perfect = fit.residual_size < PERFECT
    errors = np.full(len(variances), np.nan) if perfect else np.sqrt(np.maximum(variances, 0.0))
    errors = np.where(errors > 0, errors, np.nan)
    statistics = coefficients / errors
    p_values = two_sided_p(statistics, degrees_of_freedom)
    half = critical_value(confidence, degrees_of_freedom) * errors if degrees_of_freedom > 0 else errors * np.nan
    statuses = []
    for i, value in enumerate(coefficients):
        if constant[i]:
            statuses.append("not_identified")
        elif few[i]:
            statuses.append("too_few_discordant")
        elif np.isnan(value):
            statuses.append("collinear")
        elif not np.isnan(errors[i]):
            statuses.append("ok")
        else:
            statuses.append("no_residual_variation" if perfect and fit.n_clusters > 1 else "too_few_clusters")
    adjusted = adjust_p(p_values, adjust)
    return Inference(coefficients, errors, p_values, adjusted, coefficients - half, coefficients + half, statuses)


def _discordant(within: Floats, codes: Codes) -> Codes:
    """In how many groups each feature varies."""
    counts = []
    for column in range(within.shape[1]):
        varying = np.unique(codes[within[:, column] != 0])
        counts.append(len(varying))
    return np.array(counts, dtype=np.int64)


def _nothing(k: int) -> LinearFit:
    """The fit of no rows."""
    return LinearFit(np.full(k, np.nan), np.full((k, k), np.nan), np.zeros(k, dtype=bool), 0, 0, 0.0)

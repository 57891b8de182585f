"""Imprint on the reward shift (SEAL, Eq. 2): association of each side's features with the rotation of the reward vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from seal_datasets.estimate.inference import Inference, infer
from seal_datasets.estimate.inputs import (
    Codes,
    Floats,
    confidence_level,
    finite,
    group_codes,
    least_information,
    matrix,
    same_length,
    unique_names,
    without_vanishing,
)
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.least_squares import ClusterErrors, describe, fit_linear
from seal_datasets.estimate.linear import PERFECT, constant_columns, differing
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.result import Result

_FAMILY = "the coefficients of both sides in this regression that have a test"


@dataclass(frozen=True, slots=True)
class ShiftImprintRow(Result):
    """The imprint of one feature of one side on the reward shift, in degrees; fields as in `ImprintRow`.

    Only `n_discordant` differs: it counts pairs whose value differs from the most common one.
    """

    feature: str
    side: str
    coefficient: float
    std_error: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    degrees_of_freedom: float
    minimum_detectable_effect: float
    n_discordant: int
    status: str


@dataclass(frozen=True, slots=True)
class ShiftImprint(Result):
    """A regression of reward shifts on the features of both sides.

    Attributes:
        imprint (`tuple[ShiftImprintRow, ...]`): One row per side and feature.
        intercept (`float`): Shift in degrees if every feature is 0; nan without an intercept.
        n_pairs (`int`): Pairs with an angle.
        n_undefined (`int`): Pairs with an undefined angle, excluded.
        covariance (`str`): How errors are computed.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Number of tests adjusted for.
        family (`str`): These tests, in words.
        status (`str`): `ok`, or the reason for missing numbers.
    """

    imprint: tuple[ShiftImprintRow, ...]
    intercept: float
    n_pairs: int
    n_undefined: int
    covariance: str
    adjust: str
    family_size: int
    family: str
    status: str


def shift_imprint(
    angles: ArrayLike,
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    intercept: bool = True,
    errors: ClusterErrors = "cr2",
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_information: float = 1.0,
) -> ShiftImprint:
    """Regress the rotation of the reward vector on the features of both sides.

    Args:
        angles (array-like of shape (n,)): Signed reward shifts in degrees, raw or centred; nan marks an undefined angle. The
            change of each pair's margin may stand in their place, and coefficients are then in its unit.
        chosen_features (array-like of shape (n, k)): Features of the chosen responses.
        rejected_features (array-like of shape (n, k)): Features of the rejected responses.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by; each pair is its own cluster when omitted.
        intercept (`bool`, defaults to `True`): Whether to include one; the paper's code does, its equation does not.
        errors (`"cr2"` or `"crv1"`): Bias-reduced with each coefficient's own degrees of freedom, or CRV1.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted within the regression.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_information (`float`, defaults to 1.0): Effective degrees of freedom that a feature needs to get numbers.

    Returns:
        `ShiftImprint`: Degrees per feature and side.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, or a name is repeated.

    Source: SEAL, Eq. (2); errors as in `feature_imprint`. Raw angles turn with the arbitrary zero of each model's rewards, so
    that a coefficient may change its sign; neither centred angles nor margins do. Angles near 180 and -180 degrees are far
    apart here although their directions are not.

    Example:

    ```python
    >>> fit = shift_imprint([10.0, 0.0, 15.0, 5.0], [[1], [0], [1], [0]], [[0], [0], [1], [1]], ["polite"])
    >>> [(row.side, round(row.coefficient, 6)) for row in fit.imprint]
    [('chosen', 10.0), ('rejected', 5.0)]

    ```
    """
    confidence_level(confidence)
    names = unique_names(feature_names)
    y = without_vanishing(finite(angles, "angles", allow_nan=True), "angles")
    n = len(y)
    chosen = matrix(chosen_features, "chosen_features", n, len(names))
    rejected = matrix(rejected_features, "rejected_features", n, len(names))
    codes = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(angles=y, groups=codes)
    known = ~np.isnan(y)
    covariance = describe(errors, by_prompt=groups is not None)
    least_information(min_information)
    if not known.any():
        return ShiftImprint(
            _empty_rows(names), math.nan, 0, n, covariance, adjust, 0, _FAMILY, "every angle is undefined"
        )
    design = np.hstack([np.ones((n, int(intercept))), chosen, rejected])
    design = design if known.all() else design[known]
    x = design[:, int(intercept) :]
    fit = fit_linear(design, y[known], pd.factorize(codes[known])[0], errors=errors)
    perfect, discordant = fit.residual_size < PERFECT, differing(x)
    inference = infer(
        fit.coefficients[int(intercept) :],
        np.full(x.shape[1], math.nan) if perfect else np.sqrt(np.diag(fit.covariance)[int(intercept) :]),
        fit.degrees[int(intercept) :],
        constant=constant_columns(x if intercept else np.vstack([np.zeros_like(x[:1]), x])),
        uninformed=fit.uninformed(min_information)[int(intercept) :],
        why_no_error="no_residual_variation" if fit.n_clusters > 1 else "too_few_clusters",
        adjust=adjust,
        confidence=confidence,
    )
    return ShiftImprint(
        _shift_rows(names, inference, fit.degrees[int(intercept) :], discordant),
        float(fit.coefficients[0]) if intercept else math.nan,
        int(known.sum()),
        int((~known).sum()),
        covariance,
        adjust,
        inference.family_size,
        _FAMILY,
        "ok",
    )


def _empty_rows(names: tuple[str, ...]) -> tuple[ShiftImprintRow, ...]:
    """Rows without numbers, of data without a defined angle."""
    nan = math.nan
    return tuple(
        ShiftImprintRow(name, side, nan, nan, nan, nan, (nan, nan), nan, nan, 0, "not_identified")
        for side in ("chosen", "rejected")
        for name in names
    )


def _shift_rows(
    names: tuple[str, ...], inference: Inference, degrees: Floats, discordant: Codes
) -> tuple[ShiftImprintRow, ...]:
    return tuple(
        ShiftImprintRow(
            feature=name,
            side=side,
            coefficient=float(inference.coefficients[i]),
            std_error=float(inference.errors[i]),
            p_value=float(inference.p_values[i]),
            p_adjusted=float(inference.p_adjusted[i]),
            confidence_interval=(float(inference.low[i]), float(inference.high[i])),
            degrees_of_freedom=float(degrees[i]),
            minimum_detectable_effect=float(inference.detectable[i]),
            n_discordant=int(discordant[i]),
            status=inference.statuses[i],
        )
        for i, (side, name) in enumerate((side, name) for side in ("chosen", "rejected") for name in names)
    )

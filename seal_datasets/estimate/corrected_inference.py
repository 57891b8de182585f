"""Results, intervals and statuses of imprints that are corrected for wrong labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    finite,
    group_codes,
    matrix,
    same_length,
    unique_names,
)
from seal_datasets.estimate.intervals import Interval, two_sided_p
from seal_datasets.estimate.linear import group_sums, rounded_variances
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.result import Result

# Eigenvalues of a scaled Gram matrix below this share of the largest count as 0.
_SINGULAR = 1e-10


@dataclass(frozen=True, slots=True)
class CorrectedRow(Result):
    """The naive and the corrected imprint of one feature.

    Attributes:
        feature (`str`): Name.
        naive_coefficient (`float`): From the labels, uncorrected.
        coefficient (`float`): Corrected.
        std_error (`float`): Clustered by prompt; includes the sampling error of the gold labels.
        degrees_of_freedom (`float`): Of the t reference: effective gold prompts, or effective prompts in which the labels
            differ if these are fewer, less one.
        p_value (`float`): Two-sided.
        p_adjusted (`float`): Adjusted within the regression.
        confidence_interval (`tuple[float, float]`): Values that the test does not reject (Fieller, 1954), so not symmetric.
        status (`str`): `ok`, or the reason for a missing number: `not_identified`, `collinear`, `no_residual_variation`,
            `too_few_clusters`, `too_few_gold_prompts`, `gold_not_random`, or `no_variance_left`. The last means that the
            variance within prompts less that of errors is negative, or cannot be told from 0.
    """

    feature: str
    naive_coefficient: float
    coefficient: float
    std_error: float
    degrees_of_freedom: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    status: str


@dataclass(frozen=True, slots=True)
class CorrectedImprint(Result):
    """Imprints corrected for wrong labels.

    Attributes:
        imprint (`tuple[CorrectedRow, ...]`): One row per feature.
        method (`str`): The correction.
        n_prompts (`int`): Prompts with at least two texts.
        n_gold_prompts (`int`): Those with gold labels for every text and feature.
        n_partial_prompts (`int`): Prompts with some gold labels only; these are not used as gold.
        balance_p_value (`float`): Test that gold prompts are a random draw, from rewards, labels and numbers of texts; nan
            where no prompt, or every one, is gold.
        warnings (`tuple[str, ...]`): What limits the correction.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Tests adjusted for.
    """

    imprint: tuple[CorrectedRow, ...]
    method: str
    n_prompts: int
    n_gold_prompts: int
    n_partial_prompts: int
    balance_p_value: float
    warnings: tuple[str, ...]
    adjust: str
    family_size: int


@dataclass(frozen=True, slots=True)
class Correction:
    """Naive and corrected coefficients, each array of shape (k,), and what they rest on.

    Attributes:
        naive, coefficients: Estimates; nan where a feature is not identified.
        varies: Whether a feature differs within a prompt.
        slope: The feature's corrected sum of squares within prompts, net of the other features.
        moments (`ndarray` of shape (3, k)): Variance of slope times coefficient, its covariance with the slope, and the
            slope's variance.
        rounding: Size of `moments[0]` that is rounding.
        freedom: Degrees of freedom of the variances.
        withheld (`str`): Why every row is withheld, or empty.
    """

    naive: Floats
    coefficients: Floats
    varies: Bools
    slope: Floats
    moments: Floats
    rounding: Floats
    freedom: Floats
    withheld: str


@dataclass(frozen=True, slots=True)
class Scores:
    """Products of prompts, from which a correction and its error follow.

    Attributes:
        rows (`ndarray` of shape (n, k)): Features within prompts.
        outcome (`ndarray` of shape (n,)): Rewards within prompts.
        codes (`ndarray` of shape (n,)): Prompts.
        n_groups (`int`): Number of prompts.
        excess (`ndarray` of shape (n, k), *optional*): Expected squares that are error, to subtract.
    """

    rows: Floats
    outcome: Floats
    codes: Codes
    n_groups: int
    excess: Floats | None = None

    def moments(self, beta: Floats, directions: Floats) -> tuple[Floats, Floats]:
        """Each prompt's score in k directions at given coefficients, and its slope, both of shape (n_groups, k)."""
        along = self.rows @ directions
        residuals = self.outcome - self.rows @ beta
        scores, slopes = along * residuals[:, None], along**2
        if self.excess is not None:
            scores += (self.excess * beta) @ directions
            slopes -= self.excess @ directions**2
        return group_sums(scores, self.codes, self.n_groups), group_sums(slopes, self.codes, self.n_groups)


def effective_number(weights: Floats) -> Floats:
    """Effective number of entries in each column of weights of at least 0: (sum w)^2 / sum w^2; 0 if all are 0."""
    largest = weights.max(axis=0, initial=0.0)
    weights = weights / np.where(largest > 0, largest, 1.0)  # so that squares neither overflow nor vanish
    total, squares = weights.sum(axis=0), (weights**2).sum(axis=0)
    return np.asarray(np.where(squares > 0, total**2 / np.where(squares > 0, squares, 1.0), 0.0), dtype=np.float64)


def directions_of(bread: Floats, identified: Bools) -> Floats:
    """Combination of the columns that is each feature net of the others, by column; nan where it is not identified."""
    diagonal = np.where(identified & (np.diag(bread) != 0), np.diag(bread), np.nan)
    return np.asarray(bread / diagonal, dtype=np.float64)


def labels_freedom(within: Floats, codes: Codes) -> Floats:
    """Effective prompts in which each label differs, net of the other labels, less one.

    Args:
        within (`ndarray` of shape (n, k)): Labels less their prompt's mean.
        codes (`ndarray` of shape (n,)): Prompt of each text.

    Returns:
        `ndarray` of shape (k,): Degrees of freedom; at most 0 where labels differ in fewer than two prompts.
    """
    directions = directions_of(*invert_rates(within.T @ within))
    return effective_number(np.nan_to_num(group_sums((within @ directions) ** 2, codes, int(codes.max()) + 1))) - 1


def variances(scores: Floats, slopes: Floats, bread: Floats, outcome: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """`Correction.moments` from prompts' influences, and the size of its first row that is rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(freedom > 0, (freedom + 1) / freedom, np.nan)
        moments = np.array([(scores**2).sum(axis=0), (scores * slopes).sum(axis=0), (slopes**2).sum(axis=0)]) * factor
        rounding = rounded_variances(bread, float(np.abs(outcome).max(initial=0.0))) / np.diag(bread) ** 2
    return moments, rounding


def invert_rates(gram: Floats) -> tuple[Floats, Bools]:
    """Pseudo-inverse of a Gram matrix, and which coefficients it determines."""
    scale = np.sqrt(np.abs(np.diag(gram)))
    safe = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(safe, safe))
    solid = np.abs(values) > _SINGULAR * np.abs(values).max(initial=0.0)
    bread = (vectors[:, solid] / values[solid]) @ vectors[:, solid].T / np.outer(safe, safe)
    outside = 1 - (vectors[:, solid] ** 2).sum(axis=1)
    return bread, np.asarray((scale > 0) & (outside < 1e-6), dtype=bool)


def indefinite(gram: Floats) -> bool:
    """Whether a corrected Gram matrix has an eigenvalue below 0 by more than rounding."""
    scale = np.sqrt(np.abs(np.diag(gram)))
    safe = np.where(scale > 0, scale, 1.0)
    values = np.linalg.eigvalsh(gram / np.outer(safe, safe))
    return bool(values[0] < -_SINGULAR * np.abs(values).max())


def check_labelled_texts(
    rewards: ArrayLike, features: ArrayLike, groups: Sequence[Any] | NDArray[Any], feature_names: Sequence[str]
) -> tuple[Floats, Floats, Codes, tuple[str, ...]]:
    """Check labelled texts, and return rewards, features, prompt codes and names."""
    names = unique_names(feature_names)
    y, codes = finite(rewards, "rewards"), group_codes(groups, "groups")
    n = same_length(rewards=y, groups=codes)
    return y, matrix(features, "features", n, len(names)), codes, names


def corrected_rows(
    names: tuple[str, ...], correction: Correction, adjust: Adjustment, confidence: float
) -> tuple[tuple[CorrectedRow, ...], int]:
    """Add tests, intervals and statuses to a correction.

    Args:
        names (`tuple[str, ...]`): The k features.
        correction (`Correction`): Estimates.
        adjust (`Adjustment`): How p-values are adjusted.
        confidence (`float`): Level of the intervals.

    Returns:
        `tuple[tuple[CorrectedRow, ...], int]`: Rows, and the number of tests.

    Source: Fieller (1954): a value b is kept where slope * (coefficient - b) is not extreme beside its error at b.
    """
    freedom, slope, beta = correction.freedom, correction.slope, correction.coefficients
    own, cross, square = correction.moments
    # With hardly more than no freedom the critical value, and with it the bend, is beyond numbers: nothing is known.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        known = (freedom > 0) & (own > np.fmax(correction.rounding, 0.0))
        reach = special.stdtrit(np.where(freedom > 0, freedom, np.nan), 0.5 + confidence / 2)
        # Roots of slope^2 d^2 = reach^2 (own - 2 cross d + square d^2) for the distance d from the estimate.
        bend = slope**2 - reach**2 * square
        lost = (slope <= 0) | (known & ~(bend > 0))
        middle, half = -(reach**2) * cross / bend, reach**2 * own / bend
        spread = np.sqrt(middle**2 + half)
        at_zero = own + 2 * cross * beta + square * beta**2
        p_values = two_sided_p(slope * beta / np.sqrt(at_zero), freedom)
    statuses = np.select(
        [
            ~correction.varies,
            np.full(len(names), bool(correction.withheld)),
            np.isnan(beta),
            lost,
            ~(freedom > 0),
            ~known,
        ],
        [
            "not_identified",
            correction.withheld,
            "collinear",
            "no_variance_left",
            "too_few_clusters",
            "no_residual_variation",
        ],
        "ok",
    )
    ok = statuses == "ok"
    beta = np.where(ok | np.isin(statuses, ["too_few_clusters", "no_residual_variation"]), beta, np.nan)
    p_values = np.where(ok, p_values, np.nan)
    p_adjusted = adjust_p(p_values, adjust)
    rows = tuple(
        CorrectedRow(
            name,
            float(correction.naive[i]) if correction.varies[i] else math.nan,
            float(beta[i]),
            math.sqrt(own[i]) / float(slope[i]) if ok[i] else math.nan,
            float(freedom[i]) if ok[i] else math.nan,
            float(p_values[i]),
            float(p_adjusted[i]),
            (float(beta[i] + middle[i] - spread[i]), float(beta[i] + middle[i] + spread[i]))
            if ok[i]
            else (math.nan, math.nan),
            str(statuses[i]),
        )
        for i, name in enumerate(names)
    )
    return rows, int(ok.sum())

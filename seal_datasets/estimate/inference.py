"""Tests, intervals and statuses from the coefficients and errors of one regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from seal_datasets.estimate.inputs import Bools, Floats
from seal_datasets.estimate.intervals import two_sided_p
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p

POWER = 0.8


@dataclass(frozen=True, slots=True)
class Inference:
    """Numbers of a fit, one per row of its result; every array has shape (k,)."""

    coefficients: Floats
    errors: Floats
    p_values: Floats
    p_adjusted: Floats
    low: Floats
    high: Floats
    detectable: Floats
    statuses: list[str]

    @property
    def family_size(self) -> int:
        """Number of tests."""
        return int((~np.isnan(self.p_values)).sum())


def infer(
    coefficients: Floats,
    errors: Floats,
    degrees_of_freedom: Floats | float,
    *,
    constant: Bools,
    uninformed: Bools,
    why_no_error: str,
    adjust: Adjustment,
    confidence: float,
) -> Inference:
    """Compute tests, intervals and a status for each coefficient.

    Args:
        coefficients (`ndarray` of shape (k,)): Estimates; nan where a feature is an exact combination of others.
        errors (`ndarray` of shape (k,)): Standard errors; nan or 0 where undefined.
        degrees_of_freedom (`ndarray` of shape (k,) or `float`): Of the t reference; nan where the variance is not known.
        constant (`ndarray` of shape (k,)): Features that do not vary.
        uninformed (`ndarray` of shape (k,)): Features with too little information; they are controls without numbers.
        why_no_error (`str`): Status of an estimate without an error.
        adjust (`Adjustment`): How p-values are adjusted.
        confidence (`float`): Level of the intervals.

    Returns:
        `Inference`: The numbers. The detectable effect is at 80 % power, at the family's Bonferroni level.
    """
    coefficients = np.where(uninformed | constant, np.nan, coefficients)
    freedom = np.broadcast_to(np.asarray(degrees_of_freedom, dtype=np.float64), coefficients.shape)
    errors = np.where((errors > 0) & (freedom > 0) & ~np.isnan(coefficients), errors, np.nan)
    p_values = two_sided_p(coefficients / errors, freedom)
    half = special.stdtrit(freedom, 0.5 + confidence / 2) * errors
    tests = int((~np.isnan(p_values)).sum())
    statuses = np.select(
        [constant, uninformed, np.isnan(coefficients), np.isnan(freedom), np.isnan(errors)],
        ["not_identified", "too_little_information", "collinear", "too_little_information", why_no_error],
        "ok",
    )
    return Inference(
        coefficients,
        errors,
        p_values,
        adjust_p(p_values, adjust),
        coefficients - half,
        coefficients + half,
        detectable_effect(errors, freedom, tests, confidence),
        statuses.tolist(),
    )


def detectable_effect(errors: Floats, degrees_of_freedom: Floats, n_tests: int, confidence: float = 0.95) -> Floats:
    """Smallest effect that a two-sided test finds at 80 % power, at the Bonferroni level of its family.

    Args:
        errors (`ndarray` of shape (k,)): Standard errors.
        degrees_of_freedom (`ndarray` of shape (k,)): Of the t reference.
        n_tests (`int`): Tests of the family.
        confidence (`float`, defaults to 0.95): One minus the family's level.

    Returns:
        `ndarray` of shape (k,): Effects; nan without an error.

    Source: Bloom (1995).
    """
    level = special.stdtrit(degrees_of_freedom, 1 - (1 - confidence) / (2 * max(n_tests, 1)))
    return np.asarray((level + special.stdtrit(degrees_of_freedom, POWER)) * errors, dtype=np.float64)

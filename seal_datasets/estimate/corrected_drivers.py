"""Drivers of misalignment (SEAL, Eq. 3) from many labels and few gold ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.estimate.corrected_logit import corrected_logit, corrected_tests
from seal_datasets.estimate.gold_pairs import gold_pairs
from seal_datasets.estimate.inputs import confidence_level, indicator, unique_names, whole_number
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class CorrectedDriver(Result):
    """One feature of one side.

    Attributes:
        feature (`str`): Name.
        side (`str`): `chosen` or `rejected`.
        coefficient (`float`): Corrected log-odds of alignment.
        std_error (`float`): Clustered by prompt; includes the sampling error of the gold labels.
        degrees_of_freedom (`float`): Effective gold prompts, less one.
        p_value (`float`): Two-sided.
        p_adjusted (`float`): Adjusted within the regression.
        confidence_interval (`tuple[float, float]`): Not adjusted.
        n_discordant (`int`): Pairs whose label is not the commonest one.
        status (`str`): `ok`; `not_identified`; `too_few_discordant`; `not_converged`; or why a correction is withheld, as in
            `CorrectedRow`.
    """

    feature: str
    side: str
    coefficient: float
    std_error: float
    degrees_of_freedom: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    n_discordant: int
    status: str


@dataclass(frozen=True, slots=True)
class CorrectedDrivers(Result):
    """A corrected regression of alignment on the features of both sides.

    Attributes:
        drivers (`tuple[CorrectedDriver, ...]`): One row per side and feature.
        n_pairs (`int`): Pairs.
        n_gold_prompts (`int`): Prompts with gold labels for every text and feature.
        balance_p_value (`float`): As in `CorrectedImprint`.
        adjust (`str`): How p-values are adjusted.
        status (`str`): `ok`, or why there are no estimates.
    """

    drivers: tuple[CorrectedDriver, ...]
    n_pairs: int
    n_gold_prompts: int
    balance_p_value: float
    adjust: str
    status: str


def corrected_drivers(
    aligned: ArrayLike,
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    chosen_gold: ArrayLike,
    rejected_gold: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    gold_probability: ArrayLike | None = None,
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_discordant: int = 2,
) -> CorrectedDrivers:
    """Estimate the drivers of misalignment without assumptions about the labels' errors.

    Args:
        aligned (array-like of shape (n,)): Whether the model is aligned on each pair.
        chosen_features (array-like of shape (n, k)): Labels of the chosen responses.
        rejected_features (array-like of shape (n, k)): Labels of the rejected responses.
        chosen_gold (array-like of shape (n, k)): Gold labels of the chosen responses; nan where missing.
        rejected_gold (array-like of shape (n, k)): Gold labels of the rejected responses; nan where missing.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids; each pair is its own prompt when omitted.
        gold_probability (array-like of shape (n,), *optional*): As for `corrected_imprint`, of each pair's prompt.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_discordant (`int`, defaults to 2): Fewest pairs off a label's commonest value; features with fewer are left out.

    Returns:
        `CorrectedDrivers`: Log-odds of alignment.

    Raises:
        DataError: As for `misalignment_drivers` and `corrected_imprint`.

    Source: SEAL, Eq. (3), by design-based supervised learning (Egami et al., 2023, arXiv 2306.04746).

    Example: with gold labels for all pairs, the labels do not matter.

    ```python
    >>> aligned, gold = [1, 1, 1, 0, 1, 0, 0, 0] * 5, [[1], [1], [1], [1], [0], [0], [0], [0]] * 5
    >>> labels, nothing = [[0], [1]] * 20, [[0]] * 40
    >>> fit = corrected_drivers(aligned, labels, nothing, gold, nothing, ["polite"])
    >>> round(float(np.exp(fit.drivers[0].coefficient)), 3)
    9.0

    ```
    """
    confidence_level(confidence)
    names, outcome = unique_names(feature_names), indicator(aligned, "aligned").astype(float)
    whole_number(min_discordant, "min_discordant")
    pairs = gold_pairs(
        (outcome, np.zeros(len(outcome))),
        (chosen_features, rejected_features),
        (chosen_gold, rejected_gold),
        names,
        groups,
        gold_probability,
    )
    designs = [np.hstack(sides) for sides in (pairs.labels, pairs.truth)]
    discordant = np.array([len(column) - np.unique(column, return_counts=True)[1].max() for column in designs[0].T])
    constant = np.array(
        [np.ptp(np.concatenate([design[:, i] for design in designs])) == 0 for i in range(2 * len(names))]
    )
    used = np.flatnonzero(~constant & (discordant >= min_discordant))
    size = np.sqrt((designs[0][:, used] ** 2).mean(axis=0))
    size = np.where(size > 0, size, 1.0)
    by_label, by_truth = (np.column_stack([np.ones(len(outcome)), design[:, used] / size]) for design in designs)
    one_class = outcome.min() == outcome.max()
    estimates, influence = (
        np.full(len(constant), math.nan),
        np.full((len(pairs.drawn.weights), len(constant)), math.nan),
    )
    status = "one_class" if one_class else "ok"
    if not one_class:
        fit = corrected_logit(pairs, by_label, by_truth, outcome)
        estimates[used], influence[:, used] = fit.coefficients[1:] / size, fit.influence[:, 1:] / size
        status = fit.status
    tests = corrected_tests(
        estimates, influence, pairs, constant=constant, status=status, adjust=adjust, confidence=confidence
    )
    labels = [(name, side) for side in ("chosen", "rejected") for name in names]
    return CorrectedDrivers(
        tuple(
            CorrectedDriver(
                feature=name,
                side=side,
                coefficient=float(estimates[i]) if tests.statuses[i] == "ok" else math.nan,
                std_error=float(tests.errors[i]),
                degrees_of_freedom=pairs.freedom if tests.statuses[i] == "ok" else math.nan,
                p_value=float(tests.p_values[i]),
                p_adjusted=float(tests.p_adjusted[i]),
                confidence_interval=tests.intervals[i],
                n_discordant=int(discordant[i]),
                status="too_few_discordant" if not constant[i] and i not in used else tests.statuses[i],
            )
            for i, (name, side) in enumerate(labels)
        ),
        len(outcome),
        int(pairs.drawn.is_gold.sum()),
        pairs.drawn.balance,
        adjust,
        pairs.drawn.withheld or status,
    )

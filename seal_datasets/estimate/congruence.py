"""Accuracy where a feature favours the chosen response, the rejected one, or neither."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.estimate.clustered_share import clustered_share
from seal_datasets.estimate.inputs import Bools, Codes, Floats, confidence_level, whole_number
from seal_datasets.estimate.intervals import Interval, critical_value, two_sided_p
from seal_datasets.estimate.least_squares import clustered_difference
from seal_datasets.estimate.linear import PERFECT
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.pair_accuracy import RankedPairs, ranked_pairs
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class PartAccuracy:
    """Accuracy on some pairs.

    Attributes:
        accuracy (`float`): Share of pairs ranked as humans chose; a tie counts half. nan without pairs.
        confidence_interval (`tuple[float, float]`): Clustered, within [0, 1]; nan for fewer than two prompts.
        n (`int`): Pairs.
    """

    accuracy: float
    confidence_interval: Interval
    n: int


@dataclass(frozen=True, slots=True)
class CongruenceRow:
    """Accuracy by what one feature favours.

    Attributes:
        feature (`str`): Name.
        congruent (`PartAccuracy`): Pairs whose chosen response has more of the feature.
        incongruent (`PartAccuracy`): Pairs whose rejected response has more.
        neutral (`PartAccuracy`): Pairs whose responses have as much.
        gap (`float`): Accuracy on congruent minus on incongruent pairs; above 0 where the model follows the feature.
        std_error (`float`): Of the gap, clustered (CR2).
        degrees_of_freedom (`float`): Satterthwaite's; few where few prompts carry information.
        p_value (`float`): Two-sided test of no gap.
        p_adjusted (`float`): Adjusted over the features.
        confidence_interval (`tuple[float, float]`): Interval of the gap, not adjusted.
        status (`str`): `ok`; `no_congruent` or `no_incongruent` (no such pairs); `too_few_discordant` (fewer pairs than
            `min_discordant` of either kind); `too_few_clusters`; `no_residual_variation` (accuracies without variation).
    """

    feature: str
    congruent: PartAccuracy
    incongruent: PartAccuracy
    neutral: PartAccuracy
    gap: float
    std_error: float
    degrees_of_freedom: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    status: str


@dataclass(frozen=True, slots=True)
class CongruentAccuracy(Result):
    """Accuracy by what each feature favours.

    Attributes:
        features (`tuple[CongruenceRow, ...]`): One row per feature.
        accuracy (`PartAccuracy`): On all pairs.
        n_pairs (`int`): Pairs.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Number of adjusted tests.
        family (`str`): Tests that are adjusted together.
    """

    features: tuple[CongruenceRow, ...]
    accuracy: PartAccuracy
    n_pairs: int
    adjust: str
    family_size: int
    family: str


def congruent_accuracy(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    tie_band: float = 0.0,
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
    min_discordant: int = 2,
) -> CongruentAccuracy:
    """Measure a reward model's accuracy where a feature favours the chosen response, the rejected one, or neither.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.
        chosen_features (array-like of shape (n, k)): Features of the chosen responses.
        rejected_features (array-like of shape (n, k)): Features of the rejected responses.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by; each pair is its own cluster when omitted.
        tie_band (`float`, defaults to 0.0): Rewards that differ by at most this are a tie.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted over the features.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_discordant (`int`, defaults to 2): Fewest congruent, and fewest incongruent, pairs that give a gap numbers.

    Returns:
        `CongruentAccuracy`: A model that ignores a feature that humans like has a gap too, where the feature goes with
            what it does reward: the gap is an association.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, or an option is not valid.

    Source: McCoy, Pavlick and Linzen (2019) on accuracy where a heuristic is right and where it is wrong.

    Example:

    ```python
    >>> result = congruent_accuracy([2, 2, 0, 1], [1, 1, 1, 0], [[1], [1], [0], [0]], [[0], [0], [1], [1]], ["long"])
    >>> row = result.features[0]
    >>> row.congruent.accuracy, row.incongruent.accuracy, row.gap
    (1.0, 0.5, 0.5)

    ```
    """
    confidence_level(confidence)
    whole_number(min_discordant, "min_discordant")
    pairs = ranked_pairs(
        (chosen_rewards, rejected_rewards), (chosen_features, rejected_features), feature_names, groups, tie_band
    )
    rows = [_row(pairs, column, confidence, min_discordant) for column in range(len(pairs.names))]
    p_values = np.array([row.p_value for row in rows])
    adjusted = adjust_p(p_values, adjust)
    return CongruentAccuracy(
        features=tuple(replace(row, p_adjusted=float(p)) for row, p in zip(rows, adjusted, strict=True)),
        accuracy=_part(pairs, np.ones(len(pairs.correct), dtype=bool), confidence),
        n_pairs=len(pairs.correct),
        adjust=adjust,
        family_size=int((~np.isnan(p_values)).sum()),
        family="the gaps of all features that have a test",
    )


def _row(pairs: RankedPairs, column: int, confidence: float, min_discordant: int) -> CongruenceRow:
    difference = pairs.differences[:, column]
    congruent, incongruent = difference > 0, difference < 0
    parts = [_part(pairs, rows, confidence) for rows in (congruent, incongruent, difference == 0)]
    error, freedom, status = math.nan, math.nan, "ok"
    fewest = min(parts[0].n, parts[1].n)
    if fewest == 0:
        status = "no_congruent" if parts[0].n == 0 else "no_incongruent"
    elif fewest < min_discordant:
        status = "too_few_discordant"
    else:
        error, freedom, status = _gap_error(pairs.correct, congruent, congruent | incongruent, pairs.clusters)
    gap = math.nan if fewest == 0 or status == "too_few_discordant" else parts[0].accuracy - parts[1].accuracy
    half = critical_value(confidence, freedom) * error
    p_value = float(two_sided_p(np.array([gap / error]), freedom)[0])
    # A difference of two shares lies within [-1, 1].
    interval = (float(np.maximum(gap - half, -1.0)), float(np.minimum(gap + half, 1.0)))
    return CongruenceRow(
        feature=pairs.names[column],
        congruent=parts[0],
        incongruent=parts[1],
        neutral=parts[2],
        gap=gap,
        std_error=error,
        degrees_of_freedom=freedom,
        p_value=p_value,
        p_adjusted=math.nan,
        confidence_interval=interval,
        status=status,
    )


def _part(pairs: RankedPairs, rows: Bools, confidence: float) -> PartAccuracy:
    share = clustered_share(pairs.correct[rows], pairs.clusters[rows], confidence)
    return PartAccuracy(share.value, share.interval, share.n)


def _gap_error(correct: Floats, congruent: Bools, used: Bools, clusters: Codes) -> tuple[float, float, str]:
    """Error and degrees of freedom of the difference of two accuracies, and a status."""
    if len(np.unique(clusters[used])) < 2:
        return math.nan, math.nan, "too_few_clusters"
    error, freedom = clustered_difference(correct[used], congruent[used], clusters[used])
    if not error > PERFECT or not freedom > 0:
        return math.nan, math.nan, "no_residual_variation"
    return error, freedom, "ok"

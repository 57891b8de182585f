"""Rulers: what one feature alone scores as a judge of the same pairs, and how a reward model compares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.estimate.clustered_share import Mean, clustered_mean, clustered_share
from seal_datasets.estimate.inputs import confidence_level, whole_number
from seal_datasets.estimate.intervals import Interval, critical_value, two_sided_p
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.pair_accuracy import RankedPairs, ranked_pairs, ranking
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class Ruler:
    """One feature as a judge.

    Attributes:
        feature (`str`): Name.
        prefers (`str`): `more` or `less` of the feature, whichever is right more often on these pairs.
        accuracy (`float`): Share of pairs that it ranks as humans chose; a pair without a difference counts half.
        confidence_interval (`tuple[float, float]`): Clustered, within [0, 1].
        n_discordant (`int`): Pairs whose responses differ in the feature.
        difference (`float`): The model's accuracy minus the ruler's, on the same pairs.
        difference_std_error (`float`): Clustered (CR2), of the paired difference.
        difference_interval (`tuple[float, float]`): Interval of the difference, not adjusted.
        p_value (`float`): Two-sided test that both are equally accurate.
        p_adjusted (`float`): Adjusted over the rulers.
        status (`str`): `ok`; `not_identified` (the feature never differs); `too_few_discordant`; `too_few_clusters`;
            `no_residual_variation` (model and ruler agree on every pair).
    """

    feature: str
    prefers: str
    accuracy: float
    confidence_interval: Interval
    n_discordant: int
    difference: float
    difference_std_error: float
    difference_interval: Interval
    p_value: float
    p_adjusted: float
    status: str


@dataclass(frozen=True, slots=True)
class BestRuler:
    """The most accurate ruler, chosen on the same pairs.

    Attributes:
        feature (`str`): Name.
        accuracy (`float`): Its accuracy; being the largest of several, it flatters the ruler.
        difference (`float`): The model's accuracy minus this.
        difference_interval (`tuple[float, float]`): Allows for the choice: its lower bound is the lowest of all rulers, its
            upper bound the lowest of bounds that hold for all rulers at once (Bonferroni).
        p_value (`float`): Where the model is more accurate, that it is not more accurate than every ruler; where it is
            less accurate, that no ruler is more accurate, with Bonferroni.
        n_rulers (`int`): Rulers to choose from.
    """

    feature: str
    accuracy: float
    difference: float
    difference_interval: Interval
    p_value: float
    n_rulers: int


@dataclass(frozen=True, slots=True)
class RulerAccuracy(Result):
    """The model's accuracy beside that of each ruler.

    Attributes:
        accuracy (`float`): The model's; a tie counts half.
        confidence_interval (`tuple[float, float]`): Clustered, within [0, 1].
        rulers (`tuple[Ruler, ...]`): One per feature.
        best (`BestRuler`, *optional*): The most accurate one; `None` where no ruler has a test.
        n_pairs (`int`): Pairs.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Number of adjusted tests.
        family (`str`): Tests that are adjusted together.
    """

    accuracy: float
    confidence_interval: Interval
    rulers: tuple[Ruler, ...]
    best: BestRuler | None
    n_pairs: int
    adjust: str
    family_size: int
    family: str


def ruler_accuracy(
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
) -> RulerAccuracy:
    """Compare a reward model's accuracy with that of each feature alone on the same pairs.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.
        chosen_features (array-like of shape (n, k)): Features of the chosen responses.
        rejected_features (array-like of shape (n, k)): Features of the rejected responses.
        feature_names (`Sequence[str]`): The k names, such as those of length and other surface features.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by; each pair is its own cluster when omitted.
        tie_band (`float`, defaults to 0.0): Rewards that differ by at most this are a tie.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted over the rulers.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_discordant (`int`, defaults to 2): Fewest pairs that differ in a feature that make it a ruler.

    Returns:
        `RulerAccuracy`: A ruler may prefer more or less of its feature. Choosing this on the same pairs leaves intervals and
            tests at their level; choosing the best of several does not, and `best` allows for it.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, or an option is not valid.

    Source: Berger (1982) on intersection-union tests, for `best`.

    Example:

    ```python
    >>> long = ([[3], [3], [1], [3]], [[1], [1], [3], [1]])
    >>> result = ruler_accuracy([2, 2, 2, 0], [1, 1, 1, 1], *long, ["length"])
    >>> result.accuracy, result.rulers[0].prefers, result.rulers[0].accuracy, result.rulers[0].difference
    (0.75, 'more', 0.75, 0.0)

    ```
    """
    confidence_level(confidence)
    whole_number(min_discordant, "min_discordant")
    pairs = ranked_pairs(
        (chosen_rewards, rejected_rewards), (chosen_features, rejected_features), feature_names, groups, tie_band
    )
    found = [_ruler(pairs, column, confidence, min_discordant) for column in range(len(pairs.names))]
    p_values = np.array([ruler.p_value for ruler, _ in found])
    adjusted = adjust_p(p_values, adjust)
    model = clustered_share(pairs.correct, pairs.clusters, confidence)
    return RulerAccuracy(
        accuracy=model.value,
        confidence_interval=model.interval,
        rulers=tuple(replace(ruler, p_adjusted=float(p)) for (ruler, _), p in zip(found, adjusted, strict=True)),
        best=_best([(ruler, gap) for ruler, gap in found if ruler.status == "ok"], confidence),
        n_pairs=len(pairs.correct),
        adjust=adjust,
        family_size=int((~np.isnan(p_values)).sum()),
        family="the differences of all rulers that have a test",
    )


def _ruler(pairs: RankedPairs, column: int, confidence: float, min_discordant: int) -> tuple[Ruler, Mean]:
    """A ruler, and the mean difference of the model's accuracy and its own."""
    right = ranking(pairs.differences[:, column])
    prefers = "more" if right.mean() >= 0.5 else "less"
    right = right if prefers == "more" else 1 - right
    share = clustered_share(right, pairs.clusters, confidence)
    n_discordant = int((pairs.differences[:, column] != 0).sum())
    gap = clustered_mean(pairs.correct - right, pairs.clusters, confidence)
    status = "ok"
    if n_discordant == 0:
        status = "not_identified"
    elif n_discordant < min_discordant:
        status = "too_few_discordant"
    elif math.isnan(gap.std_error):
        status = "too_few_clusters" if math.isnan(share.interval[0]) else "no_residual_variation"
    if status != "ok":
        nothing = (math.nan, math.nan)
        gap = replace(gap, std_error=math.nan, interval=nothing)
        if status in ("not_identified", "too_few_discordant"):
            share, gap = replace(share, value=math.nan, interval=nothing), replace(gap, value=math.nan)
    return Ruler(
        feature=pairs.names[column],
        prefers=prefers,
        accuracy=share.value,
        confidence_interval=share.interval,
        n_discordant=n_discordant,
        difference=gap.value,
        difference_std_error=gap.std_error,
        difference_interval=_within(gap.interval),
        p_value=float(two_sided_p(np.array([gap.value / gap.std_error]), gap.freedom)[0]),
        p_adjusted=math.nan,
        status=status,
    ), gap


def _best(found: list[tuple[Ruler, Mean]], confidence: float) -> BestRuler | None:
    if not found:
        return None
    best, gap = min(found, key=lambda entry: entry[1].value)
    level = 1 - (1 - confidence) / len(found)
    low = min(each.interval[0] for _, each in found)
    high = min(each.value + critical_value(level, each.freedom) * each.std_error for _, each in found)
    if gap.value > 0:
        p = max(ruler.p_value for ruler, _ in found)
    else:
        p = min(len(found) * min(ruler.p_value for ruler, each in found if each.value <= 0), 1.0)
    return BestRuler(best.feature, best.accuracy, gap.value, _within((low, high)), p, len(found))


def _within(interval: Interval) -> Interval:
    """The interval of a difference of two shares, cut to [-1, 1]."""
    return float(np.maximum(interval[0], -1.0)), float(np.minimum(interval[1], 1.0))

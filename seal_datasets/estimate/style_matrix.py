"""Accuracy by the style of the correct and of the wrong response, as RM-Bench reports it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.clustered_share import clustered_share
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    confidence_level,
    group_codes,
    same_length,
    unique_names,
)
from seal_datasets.estimate.intervals import Interval, critical_value
from seal_datasets.estimate.least_squares import clustered_difference
from seal_datasets.estimate.raw_values import group_values
from seal_datasets.estimate.resistance import aligned_pairs
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class StyleAccuracy:
    """Accuracy on the pairs of some styles.

    Attributes:
        accuracy (`float`): Share of pairs whose chosen response has the strictly higher reward; nan without pairs.
        confidence_interval (`tuple[float, float]`): Wilson's, clustered where prompts were given.
        n (`int`): Pairs.
    """

    accuracy: float
    confidence_interval: Interval
    n: int


@dataclass(frozen=True, slots=True)
class StyleMatrix(Result):
    """Accuracy by style of both responses.

    Attributes:
        styles (`tuple[str, ...]`): The k styles, the plainest first.
        matrix (`tuple[tuple[StyleAccuracy, ...], ...]`): k rows, one for each style of the chosen response, of k styles of
            the rejected one.
        easy (`StyleAccuracy`): Pairs whose chosen response has the richer style.
        normal (`StyleAccuracy`): Pairs of one style.
        hard (`StyleAccuracy`): Pairs whose rejected response has the richer style.
        overall (`StyleAccuracy`): All pairs.
        style_gap (`float`): Accuracy on easy less that on hard pairs; above 0 where the model follows style.
        style_gap_interval (`tuple[float, float]`): Clustered (CR2); nan without an error.
    """

    styles: tuple[str, ...]
    matrix: tuple[tuple[StyleAccuracy, ...], ...]
    easy: StyleAccuracy
    normal: StyleAccuracy
    hard: StyleAccuracy
    overall: StyleAccuracy
    style_gap: float
    style_gap_interval: Interval


def style_matrix(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    chosen_styles: Sequence[str] | NDArray[Any],
    rejected_styles: Sequence[str] | NDArray[Any],
    styles: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> StyleMatrix:
    """Measure accuracy by the styles of a correct and a wrong response to one prompt.

    A tie counts as wrong. Where every prompt has every combination of styles, as in RM-Bench, the three numbers are the
    published means of cells: hard of the upper triangle, normal of the diagonal, easy of the lower one.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the correct responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the wrong responses.
        chosen_styles (sequence of shape (n,)): Style of each correct response.
        rejected_styles (sequence of shape (n,)): Style of each wrong response.
        styles (`Sequence[str]`): The k styles from the plainest to the richest; RM-Bench has concise, detailed as plain text,
            and detailed as Markdown.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster intervals by.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `StyleMatrix`: The matrix with its summaries.

    Raises:
        DataError: Lengths differ, a reward is not a finite number, or a style is not one of `styles`.

    Source: Liu et al. (2024), RM-Bench, `compute_accuracy` of THU-KEG/RM-Bench (2119ec5). The intervals and the gap are ours.

    Example:

    ```python
    >>> result = style_matrix(
    ...     chosen_rewards=[1.0, 1.0, 3.0, 3.0],
    ...     rejected_rewards=[0.0, 2.0, 0.0, 2.0],
    ...     chosen_styles=["plain", "plain", "rich", "rich"],
    ...     rejected_styles=["plain", "rich", "plain", "rich"],
    ...     styles=["plain", "rich"],
    ... )
    >>> result.easy.accuracy, result.normal.accuracy, result.hard.accuracy
    (1.0, 1.0, 0.0)

    ```
    """
    confidence_level(confidence)
    names = unique_names(styles, "styles")
    aligned = aligned_pairs(chosen_rewards, rejected_rewards)
    chosen = _positions(chosen_styles, "chosen_styles", names)
    rejected = _positions(rejected_styles, "rejected_styles", names)
    clusters: Codes = np.arange(len(aligned)) if groups is None else group_codes(groups, "groups")
    same_length(chosen_rewards=aligned, chosen_styles=chosen, rejected_styles=rejected, groups=clusters)
    values = aligned.astype(np.float64)

    def accuracy(rows: Bools) -> StyleAccuracy:
        share = clustered_share(values[rows], clusters[rows], confidence)
        return StyleAccuracy(share.value, share.interval, share.n)

    codes = range(len(names))
    easy, hard = chosen > rejected, chosen < rejected
    gap, interval = _gap(values, easy, hard, clusters, confidence)
    return StyleMatrix(
        styles=names,
        matrix=tuple(tuple(accuracy((chosen == i) & (rejected == j)) for j in codes) for i in codes),
        easy=accuracy(easy),
        normal=accuracy(chosen == rejected),
        hard=accuracy(hard),
        overall=accuracy(np.ones(len(values), dtype=bool)),
        style_gap=gap,
        style_gap_interval=interval,
    )


def _positions(given: Sequence[str] | NDArray[Any], argument: str, names: tuple[str, ...]) -> Codes:
    group_codes(given, argument)  # refuses missing entries
    values = group_values(given, argument)
    places = {name: place for place, name in enumerate(names)}
    positions = np.array([places.get(value, -1) for value in values.tolist()], dtype=np.int64)
    unknown = np.flatnonzero(positions < 0)
    if unknown.size:
        raise DataError(
            f"{argument} row {unknown[0]} is {values[unknown[0]]!r}; needed is one of the styles {list(names)}"
        )
    return positions


def _gap(values: Floats, easy: Bools, hard: Bools, clusters: Codes, confidence: float) -> tuple[float, Interval]:
    nothing = (math.nan, math.nan)
    if not easy.any() or not hard.any():
        return math.nan, nothing
    gap = float(values[easy].mean() - values[hard].mean())
    used = easy | hard
    error, freedom = clustered_difference(values[used], easy[used], clusters[used])
    if not error > 0 or not freedom > 0:
        return gap, nothing
    half = critical_value(confidence, freedom) * error
    return gap, (gap - half, gap + half)

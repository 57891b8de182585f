"""Memorisation gap: how much better a quantity looks on pairs that a model was trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import finite, number
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class MemorisationGap(Result):
    """A quantity on the pairs trained on, and on held-out pairs.

    Attributes:
        train (`float`): Estimate on the pairs that the model was trained on.
        heldout (`float`): Estimate on held-out pairs.
        gap (`float`): `train` minus `heldout`.
        confidence_interval (`tuple[float, float]`): Interval of the gap; nan where either estimate has none.
        status (`str`): `ok`, or `no_interval`.
    """

    train: float
    heldout: float
    gap: float
    confidence_interval: Interval
    status: str


def memorisation_gap(
    train: float, train_interval: Interval, heldout: float, heldout_interval: Interval
) -> MemorisationGap:
    """Compare a quantity on the pairs trained on with the same quantity on held-out pairs.

    Args:
        train (`float`): Estimate on the pairs that the model was trained on.
        train_interval (`tuple[float, float]`): Its interval.
        heldout (`float`): Estimate on held-out pairs, of other prompts.
        heldout_interval (`tuple[float, float]`): Its interval, at the same level.

    Returns:
        `MemorisationGap`: The gap, with an interval at the level of the two. Of two shares it stays within [-1, 1].

    Raises:
        DataError: An estimate is not a finite number, or an interval is not a lower and an upper bound.

    Source: Zou and Donner (2008), the recovery of variances from intervals that need not be symmetric.

    Example:

    ```python
    >>> gap = memorisation_gap(0.9, (0.85, 0.93), 0.6, (0.5, 0.7))
    >>> round(gap.gap, 3), [round(bound, 3) for bound in gap.confidence_interval]
    (0.3, [0.188, 0.404])

    ```
    """
    gap = number(train, "train") - number(heldout, "heldout")
    train_low, train_high = _bounds(train_interval, "train_interval")
    heldout_low, heldout_high = _bounds(heldout_interval, "heldout_interval")
    low = gap - math.hypot(train - train_low, heldout_high - heldout)
    high = gap + math.hypot(train_high - train, heldout - heldout_low)
    status = "no_interval" if math.isnan(low) or math.isnan(high) else "ok"
    return MemorisationGap(float(train), float(heldout), gap, (low, high), status)


def _bounds(interval: Interval, name: str) -> Interval:
    bounds = finite(interval, name, allow_nan=True).tolist()
    if len(bounds) != 2:
        raise DataError(f"{name} must hold two bounds, got {len(bounds)}")
    if bounds[0] > bounds[1]:
        raise DataError(f"{name} must hold the lower bound first, got {bounds[0]:g} and {bounds[1]:g}")
    return bounds[0], bounds[1]

"""Reward shift (SEAL, Definition 1): how far, and which way, training turned the reward vector of each pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import Codes, Floats, confidence_level, finite, group_codes, same_length
from seal_datasets.estimate.intervals import Interval, mean_interval
from seal_datasets.estimate.linear import PERFECT
from seal_datasets.estimate.result import Result

# Pairs at a time: the steps to an angle hold a dozen arrays.
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class AngleSummary(Result):
    """Signed angles between pre- and post-training reward vectors (chosen, rejected), in degrees.

    Attributes:
        mean_degrees (`float`): Mean signed shift.
        median_degrees (`float`): Median signed shift.
        mean_absolute_degrees (`float`): Mean of the paper's arccos, which has no sign.
        std_error (`float`): Of the mean signed shift; nan for fewer than two angles.
        confidence_interval (`tuple[float, float]`): Of the mean signed shift.
        circular_mean_degrees (`float`): Direction of the mean of the angles as unit vectors; unlike the linear mean it takes
            -179 and 179 degrees for neighbours.
        resultant_length (`float`): Length of that mean: 1 where all angles are equal, near 0 where they cancel out.
        circular_std_degrees (`float`): sqrt(-2 log(length)), in degrees.
        n_pairs (`int`): Pairs.
        n_undefined (`int`): Pairs with a zero vector, which has no direction; they have no angle.
        status (`str`): `ok`, or why the means are undefined.
    """

    mean_degrees: float
    median_degrees: float
    mean_absolute_degrees: float
    std_error: float
    confidence_interval: Interval
    circular_mean_degrees: float
    resultant_length: float
    circular_std_degrees: float
    n_pairs: int
    n_undefined: int
    status: str


@dataclass(frozen=True, slots=True)
class MarginShift(Result):
    """Change of the margin r(chosen) - r(rejected) by training, which no constant added to a model's rewards can move.

    Attributes:
        mean (`float`): Mean of post margin - pre margin, in points of reward.
        median (`float`): Median.
        std_error (`float`): Of the mean.
        confidence_interval (`tuple[float, float]`): Of the mean.
        standardised_mean (`float`): The same with each model's margins over their standard deviation (taken as known), which
            no change of a model's scale can move either; nan where margins do not vary.
        standardised_std_error (`float`): Of that mean.
    """

    mean: float
    median: float
    std_error: float
    confidence_interval: Interval
    standardised_mean: float
    standardised_std_error: float


@dataclass(frozen=True, slots=True)
class ShiftPart(Result):
    """Reward shift of some of the pairs, centred on the same reference as the whole."""

    raw: AngleSummary
    centred: AngleSummary
    margin: MarginShift


@dataclass(frozen=True, slots=True)
class RewardShift(AngleSummary):
    """Reward shift as in the paper, in the fields of `AngleSummary`, and without its dependence on the rewards' origin.

    Attributes:
        centred (`AngleSummary`): Angles after each model's mean reward over the reference set is taken off.
        margin (`MarginShift`): Change of the margin.
        reference (`str`): What the rewards are centred on.
        warning (`str`): Why the raw angle misleads; empty where it does not.
        by (`dict[str, ShiftPart]`): By the labels given as `by`.
        angles (`ndarray` of shape (n,)): Signed shift of each pair, nan where undefined.
        centred_angles (`ndarray` of shape (n,)): The same after centring.
    """

    centred: AngleSummary
    margin: MarginShift
    reference: str
    warning: str
    by: dict[str, ShiftPart]
    angles: Floats
    centred_angles: Floats

    def to_dict(self, *, angles: bool = False) -> dict[str, Any]:
        """JSON-ready values.

        Args:
            angles (`bool`, defaults to `False`): Whether to include the angles of every pair.
        """
        plain = Result.to_dict(self)
        return plain if angles else {k: v for k, v in plain.items() if k not in ("angles", "centred_angles")}


def reward_shift(
    pre_chosen_rewards: ArrayLike,
    pre_rejected_rewards: ArrayLike,
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    by: Sequence[Any] | NDArray[Any] | None = None,
    pre_reference_rewards: ArrayLike | None = None,
    reference_rewards: ArrayLike | None = None,
    confidence: float = 0.95,
) -> RewardShift:
    """Summarise how training turned the reward vectors.

    Args:
        pre_chosen_rewards (array-like of shape (n,)): Pre-training rewards of the chosen responses.
        pre_rejected_rewards (array-like of shape (n,)): Pre-training rewards of the rejected responses.
        chosen_rewards (array-like of shape (n,)): Post-training rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Post-training rewards of the rejected responses.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster errors by.
        by (sequence of shape (n,), *optional*): A label of each pair, such as its regime or the labeler's preference, to
            summarise by.
        pre_reference_rewards (array-like of shape (m,), *optional*): Pre-training rewards of a reference set to centre on;
            the texts of all pairs when omitted.
        reference_rewards (array-like of shape (m,), *optional*): Post-training rewards of the same texts.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `RewardShift`: Means with intervals, raw and centred, the margins' change, and the angles.

    Raises:
        DataError: Lengths differ, a reward is not a finite number, or only one model has reference rewards.

    Source: SEAL, Definition 1, with the sign its figures use, and Figure 4. Rewards of preference models are identified up
    to a constant, and adding one to a model's rewards moves the raw angle. Circular statistics: Mardia and Jupp (2000).

    Example:

    ```python
    >>> found = reward_shift([1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [2.0, -2.0])
    >>> found.angles.tolist()  # a quarter turn each way
    [90.0, -90.0]
    >>> found.margin.mean  # margins of 1 become -2 and 2
    -1.0

    ```
    """
    confidence_level(confidence)
    given = {
        "pre_chosen_rewards": pre_chosen_rewards,
        "pre_rejected_rewards": pre_rejected_rewards,
        "chosen_rewards": chosen_rewards,
        "rejected_rewards": rejected_rewards,
    }
    pre_chosen, pre_rejected, chosen, rejected = (finite(values, name) for name, values in given.items())
    n = same_length(
        pre_chosen_rewards=pre_chosen,
        pre_rejected_rewards=pre_rejected,
        chosen_rewards=chosen,
        rejected_rewards=rejected,
    )
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(chosen_rewards=chosen, groups=codes)
    if (pre_reference_rewards is None) != (reference_rewards is None):
        raise DataError("pre_reference_rewards and reference_rewards belong together; give both or neither")
    if reference_rewards is None or pre_reference_rewards is None:
        pre_origin, origin = ((a.mean() + b.mean()) / 2 for a, b in ((pre_chosen, pre_rejected), (chosen, rejected)))
        reference = f"the mean reward of the {2 * n:,} texts of all pairs, by model"
    else:
        references = (
            finite(pre_reference_rewards, "pre_reference_rewards"),
            finite(reference_rewards, "reference_rewards"),
        )
        same_length(pre_reference_rewards=references[0], reference_rewards=references[1])
        pre_origin, origin = (float(each.mean()) for each in references)
        reference = f"the mean reward of a reference set of {len(references[0]):,} texts, by model"
    angles = _angles(pre_chosen, pre_rejected, chosen, rejected)
    centred = _angles(pre_chosen, pre_rejected, chosen, rejected, pre_origin, origin)
    before, standardised = pre_chosen - pre_rejected, chosen - rejected
    change = standardised - before
    standardised /= _spread(standardised)
    before /= _spread(before)
    standardised -= before
    del before

    def part(rows: Any) -> ShiftPart:  # noqa: ANN401 - an index
        inside = None if codes is None else codes[rows]
        return ShiftPart(
            _summary(angles[rows], inside, confidence),
            _summary(centred[rows], inside, confidence),
            _margin(change[rows], standardised[rows], inside, confidence),
        )

    whole, parts = part(slice(None)), {}
    if by is not None:
        labels = pd.Series(list(by), dtype=object)
        if len(labels) != n:
            raise DataError(f"by has {len(labels)} labels for {n} pairs")
        if labels.isna().any():
            raise DataError(
                f"by row {int(labels.isna().to_numpy().argmax())} has no label; name those pairs, e.g. 'unknown'"
            )
        parts = {str(label): part(rows) for label, rows in labels.groupby(labels, sort=True).indices.items()}
    raw, moved = whole.raw, whole.centred
    warning = ""
    if raw.mean_degrees * moved.mean_degrees < 0:
        warning = (
            f"the mean shift is {raw.mean_degrees:+.2f} degrees raw and {moved.mean_degrees:+.2f} centred: its sign depends on "
            "the arbitrary origin of the rewards; read the margin shift"
        )
    return RewardShift(
        **{each.name: getattr(raw, each.name) for each in fields(AngleSummary)},
        centred=moved,
        margin=whole.margin,
        reference=reference,
        warning=warning,
        by=parts,
        angles=angles,
        centred_angles=centred,
    )


def reward_shift_angles(
    pre_chosen_rewards: ArrayLike,
    pre_rejected_rewards: ArrayLike,
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
) -> Floats:
    """The signed reward shift of each pair, in degrees, counter-clockwise positive.

    Args:
        pre_chosen_rewards (array-like of shape (n,)): Pre-training rewards of the chosen responses.
        pre_rejected_rewards (array-like of shape (n,)): Pre-training rewards of the rejected responses.
        chosen_rewards (array-like of shape (n,)): Post-training rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Post-training rewards of the rejected responses.

    Returns:
        `ndarray` of shape (n,): Degrees in (-180, 180]; nan where either vector is zero.

    Raises:
        DataError: Lengths differ or a reward is not a finite number.
    """
    given = {
        "pre_chosen_rewards": pre_chosen_rewards,
        "pre_rejected_rewards": pre_rejected_rewards,
        "chosen_rewards": chosen_rewards,
        "rejected_rewards": rejected_rewards,
    }
    arrays = {name: finite(values, name) for name, values in given.items()}
    same_length(**arrays)
    pre_chosen, pre_rejected, chosen, rejected = arrays.values()
    return _angles(pre_chosen, pre_rejected, chosen, rejected)


def _angles(
    pre_chosen: Floats,
    pre_rejected: Floats,
    chosen: Floats,
    rejected: Floats,
    pre_origin: float = 0.0,
    origin: float = 0.0,
) -> Floats:
    angles = np.empty(len(chosen))
    for start in range(0, len(chosen), _BLOCK):
        part = slice(start, start + _BLOCK)
        a, b = _unit(_away(pre_chosen[part], pre_origin), _away(pre_rejected[part], pre_origin))
        c, d = _unit(_away(chosen[part], origin), _away(rejected[part], origin))
        # atan2 of cross and dot stays exact where arccos of a rounded 1.0000000002 is nan.
        turned = np.degrees(np.arctan2(a * d - b * c, a * c + b * d))
        turned[turned == -180.0] = 180.0
        turned[((a == 0) & (b == 0)) | ((c == 0) & (d == 0))] = np.nan
        angles[part] = turned
    return angles


def _summary(angles: Floats, codes: Codes | None, confidence: float) -> AngleSummary:
    defined = ~np.isnan(angles)
    known = angles[defined] if not defined.all() else angles
    if not len(known):
        nan = math.nan
        status = "every pair has a zero reward vector"
        return AngleSummary(nan, nan, nan, nan, (nan, nan), nan, nan, nan, len(angles), len(angles), status)
    mean, error, interval = mean_interval(known, None if codes is None else codes[defined], confidence)
    parts = [np.radians(known[start : start + _BLOCK]) for start in range(0, len(known), _BLOCK)]
    x, y = (sum(float(turn(each).sum()) for each in parts) / len(known) for turn in (np.cos, np.sin))
    length = min(math.hypot(x, y), 1.0)
    # Directions that cancel out leave rounding, which points nowhere.
    cancelled = length < 1e-12
    return AngleSummary(
        mean,
        float(np.median(known)),
        float(np.abs(known).mean()),
        error,
        interval,
        math.nan if cancelled else math.degrees(math.atan2(y, x)),
        length,
        math.nan if cancelled else math.degrees(math.sqrt(-2 * math.log(length))),
        len(angles),
        len(angles) - len(known),
        "ok" if not math.isnan(error) else "one angle, or one prompt, has no standard error",
    )


def _margin(change: Floats, standardised: Floats, codes: Codes | None, confidence: float) -> MarginShift:
    mean, error, interval = mean_interval(change, codes, confidence)
    standard_mean, standard_error, _ = mean_interval(standardised, codes, confidence)
    return MarginShift(mean, float(np.median(change)), error, interval, standard_mean, standard_error)


def _spread(margins: Floats) -> float:
    """Standard deviation of margins, nan where they do not vary."""
    spread = float(margins.std(ddof=1)) if len(margins) > 1 else 0.0
    return spread if spread > 1e-12 * float(np.abs(margins).max(initial=0.0)) else math.nan


def _away(values: Floats, origin: float) -> Floats:
    """Distances from an origin; what a rounded mean leaves of equal values is 0."""
    away = values - origin
    if origin:
        away[np.abs(away) <= PERFECT * abs(origin)] = 0.0
    return away


def _unit(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Scale vectors by their larger entry, so that products neither overflow nor vanish."""
    size = np.maximum(np.abs(x), np.abs(y))
    size = np.where(size > 0, size, 1.0)
    return x / size, y / size

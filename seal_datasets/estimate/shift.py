"""Reward shift (SEAL, Definition 1): the signed angle by which training turned each pair's reward vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.clustered_share import clustered_mean
from seal_datasets.estimate.inputs import Codes, Floats, confidence_level, finite, group_codes, same_length
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.linear import PERFECT
from seal_datasets.estimate.raw_values import group_values
from seal_datasets.estimate.result import Result, as_json

# Pairs per block: an angle needs a dozen temporary arrays.
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class AngleSummary(Result):
    """Signed angles between pre- and post-training reward vectors (chosen, rejected), in degrees.

    Attributes:
        mean_degrees (`float`): Mean signed shift.
        median_degrees (`float`): Median signed shift.
        mean_absolute_degrees (`float`): Mean of the paper's arccos, which has no sign.
        std_error (`float`): Standard error of the mean signed shift; nan for fewer than two angles.
        confidence_interval (`tuple[float, float]`): Interval of the mean signed shift.
        circular_mean_degrees (`float`): Direction of the mean of the angles as unit vectors. Unlike for the linear mean,
            -179 and 179 degrees are neighbours.
        resultant_length (`float`): Length of that mean: 1 where all angles are equal, near 0 where they cancel out.
        circular_std_degrees (`float`): sqrt(-2 log(length)), in degrees.
        n_pairs (`int`): Number of pairs.
        n_undefined (`int`): Pairs with a zero vector, which have no angle.
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
    """Change of the margin r(chosen) - r(rejected) by training; constants added to a model's rewards do not affect it.

    Attributes:
        mean (`float`): Mean of post margin - pre margin, in points of reward.
        median (`float`): Median.
        std_error (`float`): Standard error of the mean.
        confidence_interval (`tuple[float, float]`): Interval of the mean.
        standardised_mean (`float`): Mean after each model's margins are divided by their standard deviation (treated as
            known). A model's scale does not affect it; nan where margins do not vary.
        standardised_std_error (`float`): Standard error of the standardised mean.
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
    """Reward shift as in the paper (the fields of `AngleSummary`), and two measures that do not depend on the origin.

    Attributes:
        centred (`AngleSummary`): Angles after subtraction of each model's mean reward over the reference set.
        margin (`MarginShift`): Change of the margin.
        reference (`str`): Reference set that the rewards are centred on.
        warning (`str`): Set if raw and centred means differ in sign; otherwise empty.
        by (`dict[str, ShiftPart]`): Shift by the labels given as `by`.
        angles (`ndarray` of shape (n,)): Signed shift of each pair, nan where undefined.
        centred_angles (`ndarray` of shape (n,)): The same after centring.
        standardised_changes (`ndarray` of shape (n,)): Change of each pair's margin, each model's margins divided by their
            standard deviation; nan where margins do not vary.
    """

    centred: AngleSummary
    margin: MarginShift
    reference: str
    warning: str
    by: dict[str, ShiftPart]
    angles: Floats
    centred_angles: Floats
    standardised_changes: Floats

    def to_dict(self, *, angles: bool = False) -> dict[str, Any]:
        """JSON-ready values.

        Args:
            angles (`bool`, defaults to `False`): Whether to include the angles and changes of every pair.
        """
        by_pair = () if angles else ("angles", "centred_angles", "standardised_changes")
        # Millions of numbers that are left out are not turned into objects first.
        return {field.name: as_json(getattr(self, field.name)) for field in fields(self) if field.name not in by_pair}


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
    """Summarise the angles by which training turned the reward vectors.

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
        `RewardShift`: Means with intervals, raw and centred, the change of the margin, and the angles.

    Raises:
        DataError: Lengths differ, a reward is not a finite number, or only one model has reference rewards.

    Source: SEAL, Definition 1, with the sign of its figures, and Figure 4. Rewards of preference models are identified up
    to a constant, and such a constant changes the raw angle. Circular statistics: Mardia and Jupp (2000).

    Example:

    ```python
    >>> result = reward_shift([1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [2.0, -2.0])
    >>> result.angles.tolist()  # a quarter turn each way
    [90.0, -90.0]
    >>> result.margin.mean  # margins of 1 become -2 and 2
    -1.0

    ```
    """
    confidence_level(confidence)
    rewards = _check_rewards(pre_chosen_rewards, pre_rejected_rewards, chosen_rewards, rejected_rewards)
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(chosen_rewards=rewards.chosen, groups=codes)
    pre_origin, origin, reference = _origins(rewards, pre_reference_rewards, reference_rewards)
    shifts = _Shifts(
        _angles(rewards), _angles(rewards, pre_origin, origin), *_margin_changes(rewards), codes, confidence
    )
    whole = shifts.summarise(slice(None))
    rows_by_label = {} if by is None else _rows_by_label(by, len(rewards.chosen))
    raw, centred = whole.raw.mean_degrees, whole.centred.mean_degrees
    warning = ""
    if raw * centred < 0:
        warning = (
            f"the mean shift is {raw:+.2f} degrees raw and {centred:+.2f} centred: its sign depends on "
            "the arbitrary origin of the rewards; read the margin shift"
        )
    return RewardShift(
        **{field.name: getattr(whole.raw, field.name) for field in fields(AngleSummary)},
        centred=whole.centred,
        margin=whole.margin,
        reference=reference,
        warning=warning,
        by={label: shifts.summarise(rows) for label, rows in rows_by_label.items()},
        angles=shifts.angles,
        centred_angles=shifts.centred_angles,
        standardised_changes=shifts.standardised_changes,
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
    return _angles(_check_rewards(pre_chosen_rewards, pre_rejected_rewards, chosen_rewards, rejected_rewards))


class _Rewards(NamedTuple):
    """Rewards of both responses by both models; arrays have shape (n,)."""

    pre_chosen: Floats
    pre_rejected: Floats
    chosen: Floats
    rejected: Floats


class _Shifts(NamedTuple):
    """Angles and changes of the margin by pair, with what their summaries need."""

    angles: Floats
    centred_angles: Floats
    margin_changes: Floats
    standardised_changes: Floats
    codes: Codes | None
    confidence: float

    def summarise(self, rows: NDArray[np.intp] | slice) -> ShiftPart:
        """Summaries of the pairs in the given rows."""
        codes = None if self.codes is None else self.codes[rows]
        return ShiftPart(
            _summarise_angles(self.angles[rows], codes, self.confidence),
            _summarise_angles(self.centred_angles[rows], codes, self.confidence),
            _summarise_margins(self.margin_changes[rows], self.standardised_changes[rows], codes, self.confidence),
        )


def _check_rewards(pre_chosen: ArrayLike, pre_rejected: ArrayLike, chosen: ArrayLike, rejected: ArrayLike) -> _Rewards:
    """The four rewards as finite numbers of equal length."""
    arrays = {
        name: finite(values, name)
        for name, values in (
            ("pre_chosen_rewards", pre_chosen),
            ("pre_rejected_rewards", pre_rejected),
            ("chosen_rewards", chosen),
            ("rejected_rewards", rejected),
        )
    }
    same_length(**arrays)
    return _Rewards(*arrays.values())


def _origins(
    rewards: _Rewards, pre_reference: ArrayLike | None, reference: ArrayLike | None
) -> tuple[float, float, str]:
    """Mean reward of each model over the reference set, and the set's description."""
    if (pre_reference is None) != (reference is None):
        raise DataError("pre_reference_rewards and reference_rewards belong together; give both or neither")
    if pre_reference is None or reference is None:
        pre_origin = float((rewards.pre_chosen.mean() + rewards.pre_rejected.mean()) / 2)
        origin = float((rewards.chosen.mean() + rewards.rejected.mean()) / 2)
        return pre_origin, origin, f"the mean reward of the {2 * len(rewards.chosen):,} texts of all pairs, by model"
    before, after = finite(pre_reference, "pre_reference_rewards"), finite(reference, "reference_rewards")
    n = same_length(pre_reference_rewards=before, reference_rewards=after)
    return float(before.mean()), float(after.mean()), f"the mean reward of a reference set of {n:,} texts, by model"


def _margin_changes(rewards: _Rewards) -> tuple[Floats, Floats]:
    """Post margin minus pre margin, in points of reward and in standard deviations of each model's margins."""
    before, after = rewards.pre_chosen - rewards.pre_rejected, rewards.chosen - rewards.rejected
    change = after - before
    # In place, because each array may hold millions of pairs.
    after /= _spread(after)
    before /= _spread(before)
    after -= before
    return change, after


def _rows_by_label(by: Sequence[Any] | NDArray[Any], n: int) -> dict[str, NDArray[np.intp]]:
    """Rows of each label, in the labels' order."""
    labels = pd.Series(group_values(by, "by"))
    if len(labels) != n:
        raise DataError(f"by has {len(labels)} labels for {n} pairs")
    if labels.isna().any():
        row = int(labels.isna().to_numpy().argmax())
        raise DataError(f"by row {row} has no label; name those pairs, e.g. 'unknown'")
    group_codes(by, "by")
    rows_by_label = labels.groupby(labels, sort=True).indices
    return {str(label): np.asarray(rows, dtype=np.intp) for label, rows in rows_by_label.items()}


def _angles(rewards: _Rewards, pre_origin: float = 0.0, origin: float = 0.0) -> Floats:
    """Signed angle of each pair around the origins, in degrees."""
    angles = np.empty(len(rewards.chosen))
    for start in range(0, len(angles), _BLOCK):
        part = slice(start, start + _BLOCK)
        a, b = _scale(_centre(rewards.pre_chosen[part], pre_origin), _centre(rewards.pre_rejected[part], pre_origin))
        c, d = _scale(_centre(rewards.chosen[part], origin), _centre(rewards.rejected[part], origin))
        # atan2 of cross and dot product stays exact where arccos of a rounded 1.0000000002 is nan.
        turned = np.degrees(np.arctan2(a * d - b * c, a * c + b * d))
        turned[turned == -180.0] = 180.0
        turned[((a == 0) & (b == 0)) | ((c == 0) & (d == 0))] = np.nan
        angles[part] = turned
    return angles


def _summarise_angles(angles: Floats, codes: Codes | None, confidence: float) -> AngleSummary:
    defined = ~np.isnan(angles)
    known = angles[defined] if not defined.all() else angles
    if not len(known):
        nan = math.nan
        status = "every pair has a zero reward vector"
        return AngleSummary(nan, nan, nan, nan, (nan, nan), nan, nan, nan, len(angles), len(angles), status)
    mean = clustered_mean(known, None if codes is None else codes[defined], confidence)
    blocks = [np.radians(known[start : start + _BLOCK]) for start in range(0, len(known), _BLOCK)]
    x, y = (sum(float(component(block).sum()) for block in blocks) / len(known) for component in (np.cos, np.sin))
    length = min(math.hypot(x, y), 1.0)
    # Directions that cancel out leave rounding, which has no direction.
    cancelled = length < 1e-12
    return AngleSummary(
        mean_degrees=mean.value,
        median_degrees=float(np.median(known)),
        mean_absolute_degrees=float(np.abs(known).mean()),
        std_error=mean.std_error,
        confidence_interval=mean.interval,
        circular_mean_degrees=math.nan if cancelled else math.degrees(math.atan2(y, x)),
        resultant_length=length,
        circular_std_degrees=math.nan if cancelled else math.degrees(math.sqrt(-2 * math.log(length))),
        n_pairs=len(angles),
        n_undefined=len(angles) - len(known),
        status="ok" if not math.isnan(mean.std_error) else "no standard error: one angle or prompt, or no variation",
    )


def _summarise_margins(change: Floats, standardised: Floats, codes: Codes | None, confidence: float) -> MarginShift:
    mean, scaled = clustered_mean(change, codes, confidence), clustered_mean(standardised, codes, confidence)
    median = float(np.median(change))
    return MarginShift(mean.value, median, mean.std_error, mean.interval, scaled.value, scaled.std_error)


def _spread(margins: Floats) -> float:
    """Standard deviation of margins, nan where they do not vary."""
    spread = float(margins.std(ddof=1)) if len(margins) > 1 else 0.0
    return spread if spread > 1e-12 * float(np.abs(margins).max(initial=0.0)) else math.nan


def _centre(values: Floats, origin: float) -> Floats:
    """Values minus an origin; differences within rounding of the origin are 0."""
    centred = values - origin
    if origin:
        centred[np.abs(centred) <= PERFECT * abs(origin)] = 0.0
    return centred


def _scale(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Scale vectors by their larger entry, so that products neither overflow nor vanish."""
    size = np.maximum(np.abs(x), np.abs(y))
    size = np.where(size > 0, size, 1.0)
    return x / size, y / size

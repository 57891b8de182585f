"""Reward shift (SEAL, Definition 1): how far, and which way, training turned the reward vector of each pair."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seal_datasets.estimate.inputs import Floats, confidence_level, finite, same_length
from seal_datasets.estimate.intervals import Interval, critical_value
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class RewardShift(Result):
    """Signed angles between pre- and post-training reward vectors (chosen, rejected), in degrees.

    Attributes:
        mean_degrees (`float`): Mean signed shift.
        median_degrees (`float`): Median signed shift.
        mean_absolute_degrees (`float`): Mean of the paper's arccos, which has no sign.
        std_error (`float`): Of the mean signed shift; nan for fewer than two angles.
        confidence_interval (`tuple[float, float]`): Of the mean signed shift.
        n_pairs (`int`): Pairs.
        n_undefined (`int`): Pairs with a zero vector, which has no direction; they have no angle.
        status (`str`): `ok`, or why the means are undefined.
        angles (`ndarray` of shape (n,)): Signed shift of each pair, nan where undefined.
    """

    mean_degrees: float
    median_degrees: float
    mean_absolute_degrees: float
    std_error: float
    confidence_interval: Interval
    n_pairs: int
    n_undefined: int
    status: str
    angles: Floats

    def to_dict(self, *, angles: bool = False) -> dict[str, Any]:
        """JSON-ready values.

        Args:
            angles (`bool`, defaults to `False`): Whether to include the angle of every pair.
        """
        plain = Result.to_dict(self)
        return plain if angles else {name: value for name, value in plain.items() if name != "angles"}


def reward_shift(
    pre_chosen_rewards: ArrayLike,
    pre_rejected_rewards: ArrayLike,
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    *,
    confidence: float = 0.95,
) -> RewardShift:
    """Summarise how training turned the reward vectors.

    Args:
        pre_chosen_rewards (array-like of shape (n,)): Pre-training rewards of the chosen responses.
        pre_rejected_rewards (array-like of shape (n,)): Pre-training rewards of the rejected responses.
        chosen_rewards (array-like of shape (n,)): Post-training rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Post-training rewards of the rejected responses.
        confidence (`float`, defaults to 0.95): Level of the interval.

    Returns:
        `RewardShift`: Means with interval, and the angles.

    Raises:
        DataError: Lengths differ or a reward is not a finite number.

    Source: SEAL, Definition 1, with the sign its figures use. The angle depends on the arbitrary origin of rewards:
    adding a constant to one model's rewards moves it.

    Example:

    ```python
    >>> reward_shift([1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [2.0, -2.0]).angles.tolist()  # a quarter turn each way
    [90.0, -90.0]

    ```
    """
    confidence_level(confidence)
    angles = reward_shift_angles(pre_chosen_rewards, pre_rejected_rewards, chosen_rewards, rejected_rewards)
    known = angles[~np.isnan(angles)]
    undefined = len(angles) - len(known)
    if not len(known):
        nothing = (math.nan, math.nan)
        status = "every pair has a zero reward vector"
        return RewardShift(math.nan, math.nan, math.nan, math.nan, nothing, len(angles), undefined, status, angles)
    mean = float(known.mean())
    error = float(known.std(ddof=1) / math.sqrt(len(known))) if len(known) > 1 else math.nan
    half = critical_value(confidence, len(known) - 1) * error if len(known) > 1 else math.nan
    return RewardShift(
        mean,
        float(np.median(known)),
        float(np.abs(known).mean()),
        error,
        (mean - half, mean + half),
        len(angles),
        undefined,
        "ok" if len(known) > 1 else "one angle has no standard error",
        angles,
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
    a, b = _unit(arrays["pre_chosen_rewards"], arrays["pre_rejected_rewards"])
    c, d = _unit(arrays["chosen_rewards"], arrays["rejected_rewards"])
    # atan2 of cross and dot stays exact where arccos of a rounded 1.0000000002 is nan.
    angles = np.degrees(np.arctan2(a * d - b * c, a * c + b * d))
    angles[angles == -180.0] = 180.0
    return np.where(((a == 0) & (b == 0)) | ((c == 0) & (d == 0)), np.nan, angles)


def _unit(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Scale vectors by their larger entry, so that products neither overflow nor vanish."""
    size = np.maximum(np.abs(x), np.abs(y))
    size = np.where(size > 0, size, 1.0)
    return x / size, y / size

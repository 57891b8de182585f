"""Alignment score, alignment resistance and alignment regimes (SEAL, section 2.2 and Table 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import Bools, confidence_level, finite, same_length
from seal_datasets.estimate.intervals import Interval, wilson
from seal_datasets.estimate.result import Result

REGIMES = ("stayed_aligned", "became_aligned", "stayed_misaligned", "reversed_alignment")
_BY_ALIGNMENT = np.array([["stayed_misaligned", "became_aligned"], ["reversed_alignment", "stayed_aligned"]])


@dataclass(frozen=True, slots=True)
class Regime(Result):
    """Pairs in one regime: how many, their share and its Wilson interval."""

    count: int
    share: float
    confidence_interval: Interval


@dataclass(frozen=True, slots=True)
class AlignmentResistance(Result):
    """How often a reward model prefers what humans chose, and how often it does not.

    Attributes:
        alignment_score (`float`): Share of pairs whose chosen response has the strictly higher reward.
        alignment_resistance (`float`): 1 - `alignment_score`.
        confidence_interval (`tuple[float, float]`): Wilson interval of the resistance.
        n_pairs (`int`): Pairs.
        n_ties (`int`): Pairs with equal rewards; they count as not aligned.
        pre_alignment_score (`float`, *optional*): Alignment score of the pre-training model.
        n_pre_ties (`int`, *optional*): Ties of the pre-training model.
        regimes (`dict[str, Regime]`, *optional*): The four regimes of Table 1.
    """

    alignment_score: float
    alignment_resistance: float
    confidence_interval: Interval
    n_pairs: int
    n_ties: int
    pre_alignment_score: float | None = None
    n_pre_ties: int | None = None
    regimes: dict[str, Regime] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; what needs pre-training rewards is there only if they were given."""
        return {name: value for name, value in Result.to_dict(self).items() if value is not None}


def alignment_resistance(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    *,
    pre_chosen_rewards: ArrayLike | None = None,
    pre_rejected_rewards: ArrayLike | None = None,
    confidence: float = 0.95,
) -> AlignmentResistance:
    """Measure on how large a share of the pairs a reward model fails to match human preferences.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.
        pre_chosen_rewards (array-like of shape (n,), *optional*): The same under the pre-training model.
        pre_rejected_rewards (array-like of shape (n,), *optional*): The same under the pre-training model.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `AlignmentResistance`: Scores with intervals; with pre-training rewards also the regimes.

    Raises:
        DataError: Lengths differ, a reward is not a finite number, or one pre-training argument comes without the other.

    Source: SEAL, section 2.2: delta_i = 1 where r(chosen) > r(rejected), strictly; a_- = 1 - mean(delta).

    Example:

    ```python
    >>> result = alignment_resistance([2.0, 0.0, 1.0, 3.0], [1.0, 1.0, 1.0, 0.0])
    >>> result.alignment_score, result.alignment_resistance, result.n_ties
    (0.5, 0.5, 1)

    ```
    """
    confidence_level(confidence)
    chosen, rejected = finite(chosen_rewards, "chosen_rewards"), finite(rejected_rewards, "rejected_rewards")
    n = same_length(chosen_rewards=chosen, rejected_rewards=rejected)
    aligned = int((chosen > rejected).sum())
    share = aligned / n
    base = (share, 1 - share, wilson(n - aligned, n, confidence=confidence), n, int((chosen == rejected).sum()))
    if pre_chosen_rewards is None and pre_rejected_rewards is None:
        return AlignmentResistance(*base)
    if pre_chosen_rewards is None or pre_rejected_rewards is None:
        raise DataError("pre_chosen_rewards and pre_rejected_rewards belong together; give both or neither")
    before = finite(pre_chosen_rewards, "pre_chosen_rewards"), finite(pre_rejected_rewards, "pre_rejected_rewards")
    same_length(chosen_rewards=chosen, pre_chosen_rewards=before[0], pre_rejected_rewards=before[1])
    regime = alignment_regimes(chosen, rejected, *before)
    counts = {name: int((regime == name).sum()) for name in REGIMES}
    return AlignmentResistance(
        *base,
        pre_alignment_score=float((before[0] > before[1]).mean()),
        n_pre_ties=int((before[0] == before[1]).sum()),
        regimes={name: Regime(k, k / n, wilson(k, n, confidence=confidence)) for name, k in counts.items()},
    )


def aligned_pairs(chosen_rewards: ArrayLike, rejected_rewards: ArrayLike) -> Bools:
    """Which pairs a model is aligned on: the chosen response has the strictly higher reward.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.

    Returns:
        `ndarray` of shape (n,): delta_i.

    Raises:
        DataError: Lengths differ or a reward is not a finite number.
    """
    chosen, rejected = finite(chosen_rewards, "chosen_rewards"), finite(rejected_rewards, "rejected_rewards")
    same_length(chosen_rewards=chosen, rejected_rewards=rejected)
    return chosen > rejected


def alignment_regimes(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    pre_chosen_rewards: ArrayLike,
    pre_rejected_rewards: ArrayLike,
) -> NDArray[np.str_]:
    """Name each pair's regime (Table 1): what training did to the model's agreement with the human choice.

    Args:
        chosen_rewards (array-like of shape (n,)): Post-training rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Post-training rewards of the rejected responses.
        pre_chosen_rewards (array-like of shape (n,)): Pre-training rewards of the chosen responses.
        pre_rejected_rewards (array-like of shape (n,)): Pre-training rewards of the rejected responses.

    Returns:
        `ndarray` of shape (n,): One of `REGIMES` for each pair.

    Raises:
        DataError: Lengths differ or a reward is not a finite number.
    """
    after = aligned_pairs(chosen_rewards, rejected_rewards)
    before = aligned_pairs(pre_chosen_rewards, pre_rejected_rewards)
    same_length(chosen_rewards=after, pre_chosen_rewards=before)
    return np.asarray(_BY_ALIGNMENT[before.astype(int), after.astype(int)], dtype=np.str_)


def rate(successes: int, n: int, confidence: float) -> tuple[float, Interval]:
    """A share and its Wilson interval; both nan for n = 0."""
    return (successes / n if n else math.nan), wilson(successes, n, confidence=confidence)

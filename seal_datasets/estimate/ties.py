"""Whether a model scores equally good answers alike and above every wrong one: the Ties score of RewardBench 2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.best_of_n import check_both_kinds
from seal_datasets.estimate.clustered_share import Mean, clustered_mean
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    confidence_level,
    finite,
    group_codes,
    indicator,
    same_length,
)
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.raw_values import group_values
from seal_datasets.estimate.result import Result

_WEIGHTS = {
    "tied_accuracy": 0.3,
    "reference_accuracy": 0.3,
    "preferred": 0.2,
    "preferred_hard": 0.2,
    "margin_score": 0.01,
}


@dataclass(frozen=True, slots=True)
class TiesScore(Result):
    """The Ties score of RewardBench 2 and its parts.

    An item is accurate where every correct answer has a higher reward than every wrong one. Its gap is the lowest correct
    reward minus the highest wrong one; its spread is the highest minus the lowest correct reward.

    Attributes:
        score (`float`): 0.3 tied accuracy + 0.3 reference accuracy + 0.2 preferred + 0.2 preferred hard + 0.01 margin score.
        confidence_interval (`tuple[float, float]`): By t over prompts.
        tied_accuracy (`float`): Share of accurate items with several correct answers.
        reference_accuracy (`float`): Share of accurate items with one correct answer.
        preferred (`float`): Share of prompts whose tied item has a larger gap than spread.
        preferred_hard (`float`): Share where also the reference item's gap is larger than the tied item's spread.
        margin_score (`float`): Mean of tanh(smaller gap / spread - 1); 0 where both are 0.
        n_tied (`int`): Tied items.
        n_reference (`int`): Reference items.
        n_both (`int`): Prompts with both, over which the last three parts are taken.
        status (`str`): `ok`; `too_few_clusters` or `no_residual_variation` (all prompts score alike), without an interval;
            `no_tied`, `no_reference` or `no_prompt_with_both`, without a score.
    """

    score: float
    confidence_interval: Interval
    tied_accuracy: float
    reference_accuracy: float
    preferred: float
    preferred_hard: float
    margin_score: float
    n_tied: int
    n_reference: int
    n_both: int
    status: str


def ties_score(
    rewards: ArrayLike,
    correct: ArrayLike,
    prompts: Sequence[Any] | NDArray[Any],
    reference: ArrayLike,
    *,
    confidence: float = 0.95,
) -> TiesScore:
    """Score a model on prompts with many correct answers, as RewardBench 2 scores its subset Ties.

    Each prompt comes in two items: a tied one with several correct answers, and a reference one with a single correct
    answer. RewardBench 2 names them `tied:7` and `ref:7`.

    Args:
        rewards (array-like of shape (n,)): Reward of each response.
        correct (array-like of shape (n,)): Whether each response is correct.
        prompts (sequence of shape (n,)): Prompt of each response, such as 7; both items of a prompt share it.
        reference (array-like of shape (n,)): Whether each response belongs to the reference item of its prompt.
        confidence (`float`, defaults to 0.95): Level of the interval.

    Returns:
        `TiesScore`: The score with its parts.

    Raises:
        DataError: Lengths differ, or a reward is not a finite number. An item has only correct or only incorrect responses,
            or a tied item has one correct response.

    Source: Malik et al. (2025), RewardBench 2; `process_single_model` of allenai/reward-bench (a009692). The interval is
    ours: the score is linear in the prompts' means.

    Example:

    ```python
    >>> result = ties_score(
    ...     rewards=[5, 4, 1, 4, 2],
    ...     correct=[1, 1, 0, 1, 0],
    ...     prompts=["colour"] * 5,
    ...     reference=[0, 0, 0, 1, 1],
    ... )
    >>> result.tied_accuracy, result.preferred, result.preferred_hard  # gaps 3 and 2, spread 1
    (1.0, 1.0, 1.0)
    >>> round(result.score, 4)  # 1 + 0.01 tanh(2 / 1 - 1)
    1.0076

    ```
    """
    confidence_level(confidence)
    scores, truth = finite(rewards, "rewards"), indicator(correct, "correct")
    codes, is_reference = group_codes(prompts, "prompts"), indicator(reference, "reference")
    same_length(rewards=scores, correct=truth, prompts=codes, reference=is_reference)
    check_both_kinds(truth, 2 * codes + is_reference, prompts, "prompts")
    tied = _gaps(scores, truth, codes, ~is_reference)
    single = _gaps(scores, truth, codes, is_reference)
    lone = np.flatnonzero((tied.n_correct == 1)[codes] & ~is_reference)
    if lone.size:
        prompt = group_values(prompts, "prompts")[lone[0]]
        raise DataError(
            f"prompts row {lone[0]} is {prompt!r}, whose tied item has one response that is correct; it needs several, or "
            "reference set to true"
        )
    smaller = np.minimum(single.gap, tied.gap)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(np.tanh(smaller / tied.spread - 1), nan=0.0)
    has_tied, has_reference = tied.n_correct > 0, single.n_correct > 0
    both = has_tied & has_reference
    parts = {
        "tied_accuracy": (has_tied, tied.gap > 0),
        "reference_accuracy": (has_reference, single.gap > 0),
        "preferred": (both, tied.gap > tied.spread),
        "preferred_hard": (both, smaller > tied.spread),
        "margin_score": (both, ratio),
    }
    means = {name: float(values[rows].mean()) if rows.any() else math.nan for name, (rows, values) in parts.items()}
    values = np.zeros(len(both))
    for name, weight in _WEIGHTS.items():
        rows, found = parts[name]
        # Each prompt's part in the mean: over all prompts these average to the score.
        shares = np.where(rows, found, 0.0) - np.where(rows, means[name], 0.0)
        values += weight * (means[name] + shares * len(rows) / max(int(rows.sum()), 1))
    mean = clustered_mean(values, None, confidence)
    n_tied, n_reference, n_both = int(has_tied.sum()), int(has_reference.sum()), int(both.sum())
    return TiesScore(
        score=mean.value,
        confidence_interval=mean.interval,
        tied_accuracy=means["tied_accuracy"],
        reference_accuracy=means["reference_accuracy"],
        preferred=means["preferred"],
        preferred_hard=means["preferred_hard"],
        margin_score=means["margin_score"],
        n_tied=n_tied,
        n_reference=n_reference,
        n_both=n_both,
        status=_status(mean, n_tied, n_reference, n_both),
    )


@dataclass(frozen=True, slots=True)
class _Gaps:
    """Of each prompt's item of one kind: lowest correct less highest wrong reward, spread and number of correct ones."""

    gap: Floats
    spread: Floats
    n_correct: Codes


def _gaps(scores: Floats, correct: Bools, codes: Codes, rows: Bools) -> _Gaps:
    n = int(codes.max()) + 1
    best, worst, wrong = np.full(n, -np.inf), np.full(n, np.inf), np.full(n, -np.inf)
    np.maximum.at(best, codes[rows & correct], scores[rows & correct])
    np.minimum.at(worst, codes[rows & correct], scores[rows & correct])
    np.maximum.at(wrong, codes[rows & ~correct], scores[rows & ~correct])
    n_correct = np.bincount(codes[rows & correct], minlength=n)
    known = n_correct > 0
    gap, spread = np.full(n, math.nan), np.full(n, math.nan)
    gap[known], spread[known] = worst[known] - wrong[known], best[known] - worst[known]
    return _Gaps(gap, spread, n_correct)


def _status(mean: Mean, n_tied: int, n_reference: int, n_both: int) -> str:
    if not n_tied:
        return "no_tied"
    if not n_reference:
        return "no_reference"
    if not n_both:
        return "no_prompt_with_both"
    if mean.n < 2:
        return "too_few_clusters"
    return "no_residual_variation" if math.isnan(mean.std_error) else "ok"

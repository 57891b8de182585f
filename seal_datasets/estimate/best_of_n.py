"""How often a model's best response to a prompt is a correct one, as RewardBench 2 scores it."""

from __future__ import annotations

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
    finite,
    group_codes,
    indicator,
    same_length,
)
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.linear import first_rows
from seal_datasets.estimate.raw_values import group_values
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class BestOfN(Result):
    """How often the response with the highest reward is correct.

    Attributes:
        accuracy (`float`): Mean credit of the items.
        confidence_interval (`tuple[float, float]`): Wilson's, clustered by prompt where prompts were given; nan for fewer
            than two prompts.
        chance (`float`): Expected accuracy of random rewards: mean share of correct responses.
        n_items (`int`): Items.
        n_responses (`int`): Responses of all items.
        n_tied (`int`): Items whose highest reward is shared by several responses.
        status (`str`): `ok`, or `too_few_clusters` (no interval).
    """

    accuracy: float
    confidence_interval: Interval
    chance: float
    n_items: int
    n_responses: int
    n_tied: int
    status: str


@dataclass(frozen=True, slots=True)
class ItemCredits:
    """Credit of each item, in order of first appearance.

    Attributes:
        credits (`ndarray` of shape (m,)): Correct responses among those with the highest reward, as a share.
        n_responses (`ndarray` of shape (m,)): Responses.
        n_correct (`ndarray` of shape (m,)): Correct responses.
        n_at_top (`ndarray` of shape (m,)): Responses with the highest reward.
        first_rows (`ndarray` of shape (m,)): Row of each item's first response.
    """

    credits: Floats
    n_responses: Codes
    n_correct: Codes
    n_at_top: Codes
    first_rows: Codes


def best_of_n_accuracy(
    rewards: ArrayLike,
    correct: ArrayLike,
    items: Sequence[Any] | NDArray[Any],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> BestOfN:
    """Measure how often the response with the highest reward is correct.

    An item is a prompt with its responses, as in a row of RewardBench 2. Where several responses share the highest reward,
    the item's credit is the share of correct ones among them.

    Args:
        rewards (array-like of shape (n,)): Reward of each response.
        correct (array-like of shape (n,)): Whether each response is correct.
        items (sequence of shape (n,)): Item of each response.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster the interval by, where items share prompts.
        confidence (`float`, defaults to 0.95): Level of the interval.

    Returns:
        `BestOfN`: Accuracy with its interval, beside chance.

    Raises:
        DataError: Lengths differ, or a reward is not a finite number. An item has only correct or only incorrect responses,
            or responses of several groups.

    Source: Malik et al. (2025), RewardBench 2; `reroll_and_score_dataset` of allenai/reward-bench (a009692):
    `1 / sum(scores == max)` if the correct response has the highest score, else 0.

    Example:

    ```python
    >>> result = best_of_n_accuracy([3, 1, 1, 0, 2, 2, 1, 0], [1, 0, 0, 0, 1, 0, 0, 0], ["p"] * 4 + ["q"] * 4)
    >>> result.accuracy, result.chance, result.n_tied  # 1 for p and 1/2 for q
    (0.75, 0.25, 1)

    ```
    """
    confidence_level(confidence)
    found = item_credits(rewards, correct, items)
    first = found.first_rows
    clusters: Codes = np.arange(len(first))
    if groups is not None:
        codes = group_codes(groups, "groups")
        _check_nested(codes, items)
        clusters = codes[first]
    share = clustered_share(found.credits, clusters, confidence)
    return BestOfN(
        accuracy=share.value,
        confidence_interval=share.interval,
        chance=float((found.n_correct / found.n_responses).mean()),
        n_items=len(first),
        n_responses=int(found.n_responses.sum()),
        n_tied=int((found.n_at_top > 1).sum()),
        status="ok" if len(np.unique(clusters)) > 1 else "too_few_clusters",
    )


def item_credits(rewards: ArrayLike, correct: ArrayLike, items: Sequence[Any] | NDArray[Any]) -> ItemCredits:
    """The credit of each item, as `best_of_n_accuracy` describes it.

    Args:
        rewards (array-like of shape (n,)): Reward of each response.
        correct (array-like of shape (n,)): Whether each response is correct.
        items (sequence of shape (n,)): Item of each response.

    Returns:
        `ItemCredits`: One entry for each item.

    Raises:
        DataError: As for `best_of_n_accuracy`.
    """
    scores, truth, codes = finite(rewards, "rewards"), indicator(correct, "correct"), group_codes(items, "items")
    same_length(rewards=scores, correct=truth, items=codes)
    check_both_kinds(truth, codes, items, "items")
    n_items = int(codes.max()) + 1
    top = np.full(n_items, -np.inf)
    np.maximum.at(top, codes, scores)
    at_top = scores == top[codes]
    n_at_top = np.bincount(codes[at_top], minlength=n_items)
    hits = np.bincount(codes[at_top & truth], minlength=n_items)
    n_correct = np.bincount(codes[truth], minlength=n_items)
    return ItemCredits(hits / n_at_top, np.bincount(codes), n_correct, n_at_top, first_rows(codes, n_items))


def check_both_kinds(correct: Bools, codes: Codes, items: Sequence[Any] | NDArray[Any], name: str) -> None:
    """Check that every item has a correct and an incorrect response.

    Args:
        correct (`ndarray` of shape (n,)): Whether each response is correct.
        codes (`ndarray` of shape (n,)): Code of each response's item.
        items (sequence of shape (n,)): The caller's argument.
        name (`str`): Its name, for messages.

    Raises:
        DataError: An item has one kind only.
    """
    sizes, n_correct = np.bincount(codes), np.bincount(codes, weights=correct)
    one_kind = (n_correct == 0) | (n_correct == sizes)
    rows = np.flatnonzero(one_kind[codes])
    if rows.size:
        missing = "incorrect" if correct[rows[0]] else "correct"
        raise DataError(
            f"{name} row {rows[0]} is {group_values(items, name)[rows[0]]!r}, which has no {missing} response by the argument "
            "correct; leave out the item, or give it a response of either kind"
        )


def _check_nested(groups: Codes, items: Sequence[Any] | NDArray[Any]) -> None:
    codes = group_codes(items, "items")
    same_length(items=codes, groups=groups)
    first = first_rows(codes, int(codes.max()) + 1)[codes]
    rows = np.flatnonzero(groups != groups[first])
    if rows.size:
        raise DataError(
            f"groups row {rows[0]} differs from row {first[rows[0]]}, which is of the same item; all responses of an item "
            "answer one prompt"
        )

import math

import numpy as np
import pytest

from seal_datasets.errors import DataError
from seal_datasets.estimate import best_of_n_accuracy, wilson
from seal_datasets.estimate.best_of_n import item_credits

# Rows of RewardBench 2: the first response is correct, the other three are wrong.
SCORES = [
    [4.0, 3.0, 2.0, 1.0],  # best: 1
    [2.0, 3.0, 1.0, 0.0],  # beaten: 0
    [3.0, 3.0, 1.0, 0.0],  # one tie at the top: 1/2
    [2.0, 2.0, 2.0, 2.0],  # all tied: 1/4
    [1.0, 2.0, 2.0, 0.0],  # tied wrong ones: 0
]


def flat(scores, n_correct=1):
    items = [f"item {row}" for row, each in enumerate(scores) for _ in each]
    correct = [place < n_correct for each in scores for place in range(len(each))]
    return [score for each in scores for score in each], correct, items


def test_a_table_worked_by_hand():
    result = best_of_n_accuracy(*flat(SCORES))
    assert result.accuracy == pytest.approx((1 + 0 + 1 / 2 + 1 / 4 + 0) / 5)
    assert (result.chance, result.n_items, result.n_responses, result.n_tied) == (0.25, 5, 20, 3)
    assert result.status == "ok"


@pytest.mark.parametrize("n_correct", [1, 2])
def test_credit_is_the_published_one_by_definition(n_correct):
    scores = np.random.default_rng(0).integers(0, 4, (200, 5)).astype(float).tolist()
    expected = [
        sum(score == max(each) for score in each[:n_correct]) / sum(score == max(each) for score in each)
        for each in scores
    ]
    assert item_credits(*flat(scores, n_correct)).credits == pytest.approx(expected)


def test_without_ties_and_shared_prompts_the_interval_is_wilsons():
    scores = np.random.default_rng(1).normal(size=(2000, 4)) + np.array([1, 0, 0, 0])
    result = best_of_n_accuracy(*flat(scores.tolist()))
    assert result.confidence_interval == pytest.approx(wilson(round(result.accuracy * 2000), 2000), abs=1e-3)


def test_the_order_of_responses_does_not_matter():
    rewards, correct, items = map(np.array, flat(SCORES))
    mixed = np.random.default_rng(2).permutation(len(rewards))
    first = best_of_n_accuracy(rewards, correct, items)
    second = best_of_n_accuracy(rewards[mixed], correct[mixed], items[mixed])
    assert first.accuracy == pytest.approx(second.accuracy)


def test_items_of_one_prompt_count_as_one_cluster():
    rewards, correct, items = flat(SCORES * 2)
    prompts = [f"prompt {row % 5}" for row in range(10) for _ in range(4)]
    twice = best_of_n_accuracy(rewards, correct, items, groups=prompts)
    once = best_of_n_accuracy(*flat(SCORES))
    assert twice.accuracy == pytest.approx(once.accuracy)
    (low, high), (alone_low, alone_high) = (
        twice.confidence_interval,
        best_of_n_accuracy(rewards, correct, items).confidence_interval,
    )
    assert high - low > 1.2 * (alone_high - alone_low)


def test_random_rewards_are_at_chance():
    scores = np.random.default_rng(3).normal(size=(20_000, 4)).tolist()
    result = best_of_n_accuracy(*flat(scores))
    assert result.accuracy == pytest.approx(result.chance, abs=0.01)


def test_one_item_has_no_interval():
    result = best_of_n_accuracy(*flat(SCORES[:1]))
    assert (result.accuracy, result.status) == (1.0, "too_few_clusters")
    assert math.isnan(result.confidence_interval[0])


def test_an_item_of_one_kind_is_named():
    with pytest.raises(DataError, match="items row 2 is 'q', which has no incorrect response by the argument correct"):
        best_of_n_accuracy([1, 0, 2, 3], [1, 0, 1, 1], ["p", "p", "q", "q"])
    with pytest.raises(DataError, match="items row 0 is 'p', which has no correct response"):
        best_of_n_accuracy([1, 0, 2, 3], [0, 0, 1, 0], ["p", "p", "q", "q"])


def test_an_item_of_two_prompts_is_refused():
    with pytest.raises(DataError, match="groups row 3 differs from row 2, which is of the same item"):
        best_of_n_accuracy([1, 0, 2, 3], [1, 0, 1, 0], ["p", "p", "q", "q"], groups=["a", "a", "a", "b"])

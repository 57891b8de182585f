import math

import numpy as np
import pytest

from seal_datasets.errors import DataError
from seal_datasets.estimate import ties_score
from seal_datasets.estimate.clustered_share import clustered_mean

# Prompt: rewards of the tied item's correct and wrong responses, and of the reference item's.
PROMPTS = {
    "a": ([5.0, 4.0], [1.0, 0.0], [4.0], [2.0, 1.0]),  # gaps 3 and 2, spread 1
    "b": ([6.0, 3.0], [2.0, 1.0], [1.0], [1.0, 0.0]),  # gaps 1 and 0, spread 3
}


def flat(prompts):
    rows = [
        (reward, correct, prompt, reference)
        for prompt, parts in prompts.items()
        for rewards, correct, reference in zip(parts, (1, 0, 1, 0), (0, 0, 1, 1), strict=True)
        for reward in rewards
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def test_two_prompts_worked_by_hand():
    result = ties_score(*flat(PROMPTS))
    # Tied: 3 > 0 and 1 > 0. Reference: 2 > 0, not 0 > 0. Preferred: 3 > 1, not 1 > 3. Hard: min(2, 3) > 1, not 0 > 3.
    assert (result.tied_accuracy, result.reference_accuracy) == (1.0, 0.5)
    assert (result.preferred, result.preferred_hard) == (0.5, 0.5)
    assert result.margin_score == pytest.approx((math.tanh(2 / 1 - 1) + math.tanh(0 / 3 - 1)) / 2)
    assert result.score == pytest.approx(0.3 * 1 + 0.3 * 0.5 + 0.2 * 0.5 + 0.2 * 0.5 + 0.01 * result.margin_score)
    assert (result.n_tied, result.n_reference, result.n_both, result.status) == (2, 2, 2, "ok")


def test_prompts_with_one_item_count_where_they_can():
    result = ties_score(*flat({**PROMPTS, "c": ([2.0, 1.0], [3.0], [], []), "d": ([], [], [1.0], [0.0])}))
    assert (result.tied_accuracy, result.reference_accuracy) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (result.preferred, result.n_tied, result.n_reference, result.n_both) == (0.5, 3, 3, 2)
    assert result.score == pytest.approx(0.3 * 2 / 3 + 0.3 * 2 / 3 + 0.1 + 0.1, abs=1e-9)  # tanh(1) + tanh(-1) = 0
    assert result.status == "ok"


@pytest.mark.parametrize(("wrong", "expected"), [([1.0], 1.0), ([3.0], -1.0), ([2.0], 0.0)])
def test_equal_correct_rewards_have_a_margin_score_by_the_sign_of_the_gap(wrong, expected):
    # The published code divides by the spread of 0: inf, -inf, and nan, which it sets to 0.
    result = ties_score(*flat({"a": ([2.0, 2.0], wrong, [9.0], [0.0])}))
    assert result.margin_score == expected


def test_the_interval_is_that_of_a_mean_over_prompts():
    rng = np.random.default_rng(0)
    prompts = {str(k): (*rng.normal(size=(2, 3)).tolist(), *rng.normal(size=(2, 1)).tolist()) for k in range(30)}
    single = [ties_score(*flat({name: parts})).score for name, parts in prompts.items()]
    result = ties_score(*flat(prompts))
    assert result.score == pytest.approx(np.mean(single))
    assert result.confidence_interval == pytest.approx(clustered_mean(np.array(single), None, 0.95).interval)


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        (([2.0, 1.0], [0.0], [], []), "no_reference"),
        (([], [], [1.0], [0.0]), "no_tied"),
        (([2.0, 1.0], [0.0], [1.0], [0.0]), "too_few_clusters"),
    ],
)
def test_what_is_missing_is_nan_with_a_status(parts, status):
    result = ties_score(*flat({"a": parts}))
    assert result.status == status
    assert math.isnan(result.score) == (status != "too_few_clusters")
    assert math.isnan(result.confidence_interval[0])


def test_no_prompt_with_both_items_has_no_score():
    result = ties_score(*flat({"a": ([2.0, 1.0], [0.0], [], []), "b": ([], [], [1.0], [0.0])}))
    assert (result.status, result.tied_accuracy) == ("no_prompt_with_both", 1.0)
    assert np.isnan([result.score, result.preferred, result.margin_score]).all()


def test_a_tied_item_needs_several_correct_responses():
    with pytest.raises(DataError, match="prompts row 2 is 'b', whose tied item has one response that is correct"):
        ties_score([1, 0, 1, 0], [1, 0, 1, 0], ["a", "a", "b", "b"], [1, 1, 0, 0])


def test_prompts_that_all_score_alike_have_no_interval():
    result = ties_score(*flat({name: ([5.0, 5.0], [1.0], [4.0], [2.0]) for name in "abc"}))
    assert (result.score, result.status) == (pytest.approx(1.01), "no_residual_variation")
    assert math.isnan(result.confidence_interval[0])

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from seal_datasets import estimate
from seal_datasets.synthetic import planted_pairs

REWARDS = st.lists(st.tuples(*[st.integers(-5, 5)] * 4), min_size=1, max_size=30).map(
    lambda rows: np.array(rows, dtype=float).T
)


def test_one_pair_of_each_regime_and_a_tie():
    # post: 2 > 1, 3 > 1, 0 < 1, 0 < 1, 1 = 1; pre: 1 > 0, 0 < 1, 0 < 1, 1 > 0, 2 = 2.
    found = estimate.alignment_resistance(
        [2, 3, 0, 0, 1], [1, 1, 1, 1, 1], pre_chosen_rewards=[1, 0, 0, 1, 2], pre_rejected_rewards=[0, 1, 1, 0, 2]
    )
    assert (found.alignment_score, found.n_pairs, found.n_ties) == (2 / 5, 5, 1)
    assert (found.pre_alignment_score, found.n_pre_ties) == (2 / 5, 1)
    assert {name: each.count for name, each in found.regimes.items()} == {
        "stayed_aligned": 1,
        "became_aligned": 1,
        "stayed_misaligned": 2,  # the tie is not alignment
        "reversed_alignment": 1,
    }


def test_regimes_by_pair():
    regimes = estimate.alignment_regimes([1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 1, 1, 0])
    assert regimes.tolist() == list(estimate.REGIMES)
    assert estimate.aligned_pairs([1.0, 1.0, 0.0], [0.0, 1.0, 1.0]).tolist() == [True, False, False]


def test_the_interval_is_statsmodels_wilson_of_the_resistance():
    found = estimate.alignment_resistance(
        [1] * 7 + [0] * 3, [0] * 7 + [1] * 3, pre_chosen_rewards=[1] * 10, pre_rejected_rewards=[0] * 10, confidence=0.9
    )
    expected = proportion_confint(3, 10, alpha=0.1, method="wilson")
    assert found.confidence_interval == pytest.approx(expected)
    assert found.regimes["reversed_alignment"].confidence_interval == pytest.approx(expected)
    assert found.regimes["reversed_alignment"].share == 0.3


@given(REWARDS)
def test_counts_and_scores_add_up(rewards):
    post, pre = rewards[:2], rewards[2:]
    found = estimate.alignment_resistance(*post, pre_chosen_rewards=pre[0], pre_rejected_rewards=pre[1])
    counts = {name: each.count for name, each in found.regimes.items()}
    n = found.n_pairs
    assert found.alignment_resistance == pytest.approx(1 - found.alignment_score, abs=0)
    assert sum(counts.values()) == n
    assert counts["stayed_aligned"] + counts["became_aligned"] == round(found.alignment_score * n)
    assert counts["stayed_aligned"] + counts["reversed_alignment"] == round(found.pre_alignment_score * n)


@given(REWARDS, st.randoms(use_true_random=False))
def test_only_the_order_of_rewards_counts_and_not_the_order_of_pairs(rewards, random):
    order = list(range(rewards.shape[1]))
    random.shuffle(order)
    post, pre = rewards[:2], rewards[2:]
    found = estimate.alignment_resistance(*post, pre_chosen_rewards=pre[0], pre_rejected_rewards=pre[1])
    monotone = estimate.alignment_resistance(
        *np.exp(post)[:, order],
        pre_chosen_rewards=pre[0][order] ** 3 - 7,
        pre_rejected_rewards=pre[1][order] ** 3 - 7,
    )
    assert monotone == found


@given(REWARDS)
def test_swapping_the_sides_turns_alignment_into_resistance_but_for_ties(rewards):
    found, swapped = estimate.alignment_resistance(*rewards[:2]), estimate.alignment_resistance(*rewards[1::-1])
    n = found.n_pairs
    assert round(found.alignment_score * n) + round(swapped.alignment_score * n) + found.n_ties == n


def test_to_dict_leaves_out_what_was_not_measured():
    found = estimate.alignment_resistance([1.0], [0.0]).to_dict()
    assert set(found) == {"alignment_score", "alignment_resistance", "confidence_interval", "n_pairs", "n_ties"}
    assert (found["alignment_score"], found["n_pairs"]) == (1.0, 1)


def test_planted_resistance_is_covered_95_times_in_100():
    # Without features a margin is the difference of two equal normals: resistance is 1/2 by symmetry; the shift of
    # 0.8 sqrt(2) in the chosen reward moves it to P(Z > 0.8) = 0.2118554.
    covered = []
    for seed in range(400):
        pairs = planted_pairs(150, imprint={"none": 0.0}, seed=seed)
        found = estimate.alignment_resistance(pairs.chosen_rewards + 0.8 * np.sqrt(2), pairs.rejected_rewards)
        covered.append(found.confidence_interval[0] <= 0.2118554 <= found.confidence_interval[1])
    assert 0.92 <= np.mean(covered) <= 0.98

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from seal_datasets import estimate
from seal_datasets.errors import DataError
from seal_datasets.estimate import aligned_pairs, alignment_resistance, resistance_trajectory
from seal_datasets.estimate.synthetic import planted_pairs

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


def test_the_interval_is_wilsons_of_the_resistance():
    found = estimate.alignment_resistance(
        [1] * 7 + [0] * 3, [0] * 7 + [1] * 3, pre_chosen_rewards=[1] * 10, pre_rejected_rewards=[0] * 10, confidence=0.9
    )
    expected = tuple(stats.binomtest(3, 10).proportion_ci(0.9, method="wilson"))
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
    assert replace(monotone, margins=(), change=None) == replace(found, margins=(), change=None)
    assert (monotone.change.n_lost, monotone.change.n_gained) == (found.change.n_lost, found.change.n_gained)


@given(REWARDS)
def test_swapping_the_sides_turns_alignment_into_resistance_but_for_ties(rewards):
    found, swapped = estimate.alignment_resistance(*rewards[:2]), estimate.alignment_resistance(*rewards[1::-1])
    n = found.n_pairs
    assert round(found.alignment_score * n) + round(swapped.alignment_score * n) + found.n_ties == n


def test_to_dict_leaves_out_what_was_not_measured():
    found = estimate.alignment_resistance([1.0], [0.0]).to_dict()
    assert set(found) == {
        *("alignment_score", "alignment_resistance", "confidence_interval", "n_pairs", "n_ties", "tie_band", "margins"),
    }
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


def _models(seed=0, n=300, size=5):
    """Margins of two models that share prompts of `size` pairs."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) // size
    common = rng.normal(size=n // size)[groups]
    return common + rng.normal(size=n), common + 0.5 + rng.normal(size=n), groups


@pytest.mark.parametrize("n", [20, 300])
def test_the_change_is_mcnemars(n):
    pre, post, _ = _models(n=n)
    zero = np.zeros(n)
    change = alignment_resistance(post, zero, pre_chosen_rewards=pre, pre_rejected_rewards=zero).change
    lost, gained = int(((pre > 0) & (post <= 0)).sum()), int(((pre <= 0) & (post > 0)).sum())
    exact = stats.binomtest(lost, lost + gained).pvalue
    assert change.p_value == pytest.approx(
        exact if n == 20 else stats.chi2.sf((lost - gained) ** 2 / (lost + gained), 1)
    )
    assert (change.n_lost, change.n_gained) == (lost, gained)
    assert change.change == pytest.approx((pre > 0).mean() - (post > 0).mean())
    assert change.test == ("McNemar, exact" if n == 20 else "McNemar, chi-squared")
    same = alignment_resistance(post, zero, pre_chosen_rewards=post, pre_rejected_rewards=zero).change
    assert math.isnan(same.p_value)
    assert same.change == 0


def test_published_regimes_give_mcnemars_statistic_and_their_shares():
    counts = {
        "became": (41_445, -1, 1),
        "stayed": (77_646, 1, 1),
        "misaligned": (27_644, -1, -1),
        "reversed": (14_065, 1, -1),
    }
    pre, post = (np.concatenate([np.full(n, side[i], float) for n, *side in counts.values()]) for i in (0, 1))
    found = alignment_resistance(post, 0 * post, pre_chosen_rewards=pre, pre_rejected_rewards=0 * pre)
    assert {name: each.count for name, each in found.regimes.items()} == {
        "stayed_aligned": 77_646,
        "became_aligned": 41_445,
        "stayed_misaligned": 27_644,
        "reversed_alignment": 14_065,
    }
    assert found.change.change == pytest.approx((14_065 - 41_445) / 160_800)
    assert found.change.p_value == stats.chi2.sf((41_445 - 14_065) ** 2 / (41_445 + 14_065), 1)


def test_an_interval_of_single_pairs_is_wilsons_and_of_prompts_is_wider():
    _, post, groups = _models(n=2000)
    zero = np.zeros(2000)
    plain = alignment_resistance(post, zero)
    alone = alignment_resistance(post, zero, groups=np.arange(2000))
    np.testing.assert_allclose(alone.confidence_interval, plain.confidence_interval, atol=2e-4)  # t in place of normal
    prompts = alignment_resistance(post, zero, groups=groups)
    assert np.ptp(prompts.confidence_interval) > 1.2 * np.ptp(plain.confidence_interval)
    one = alignment_resistance(post, zero, groups=zero)
    assert all(math.isnan(bound) for bound in one.confidence_interval)
    regimes = alignment_resistance(
        post, zero, pre_chosen_rewards=post[::-1], pre_rejected_rewards=zero, groups=groups
    ).regimes
    assert all(low < each.share < high for each in regimes.values() for low, high in [each.confidence_interval])


def test_clustered_intervals_and_tests_hold_their_level_where_plain_ones_do_not():
    covered, rejected = np.zeros(2), np.zeros(2)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(80), 6)
        pre, post = (2 * rng.normal(size=80)[groups] + rng.normal(size=480) for _ in range(2))
        arguments = {"pre_chosen_rewards": pre, "pre_rejected_rewards": 0 * pre}
        found = alignment_resistance(post, 0 * post, groups=groups, **arguments)
        plain = alignment_resistance(post, 0 * post, **arguments)
        covered += [low <= 0.5 <= high for low, high in (found.confidence_interval, plain.confidence_interval)]
        rejected += [found.change.p_value < 0.05, plain.change.p_value < 0.05]
    assert 0.91 <= covered[0] / 300 <= 0.98
    assert covered[1] / 300 < 0.8
    assert 0.02 <= rejected[0] / 300 <= 0.09
    assert rejected[1] / 300 > 0.15


def test_a_tie_band_takes_small_margins_for_ties():
    chosen, rejected = np.array([1.0, 0.1, -0.1, 0.0, -2.0]), np.zeros(5)
    found = alignment_resistance(chosen, rejected, tie_band=0.1)
    assert (found.alignment_score, found.n_ties, found.tie_band) == (0.2, 3, 0.1)
    assert alignment_resistance(chosen, rejected).n_ties == 1
    tiny = np.nextafter(0, 1)
    assert alignment_resistance([tiny], [0.0]).n_ties == 0
    with pytest.raises(DataError, match="tie_band must be a finite number of at least 0"):
        alignment_resistance(chosen, rejected, tie_band=-1)


def test_bins_of_the_margin_hold_every_pair_once_and_never_split_equal_margins():
    _, post, _ = _models(n=1000)
    post = np.round(post, 1)
    found = alignment_resistance(post, 0 * post)
    assert sum(each.n for each in found.margins) == 1000
    assert all(a.high < b.low for a, b in zip(found.margins, found.margins[1:], strict=False))
    lost = sum(each.n * each.resistance for each in found.margins)
    assert lost == pytest.approx(1000 * found.alignment_resistance)
    each = found.margins[3]
    inside = (np.abs(post) >= each.low) & (np.abs(post) <= each.high)
    assert each.resistance == pytest.approx((post[inside] <= 0).mean())


def test_resistance_beyond_label_noise():
    # A model wrong on 10 % of true preferences, 20 % of recorded choices slips: 0.1 * 0.8 + 0.9 * 0.2 = 0.26 observed.
    rng = np.random.default_rng(0)
    wrong, slip = rng.random(200_000) < 0.1, rng.random(200_000) < 0.2
    found = alignment_resistance(np.where(wrong ^ slip, -1.0, 1.0), np.zeros(200_000), label_noise=0.2)
    assert found.alignment_resistance == pytest.approx(0.26, abs=0.005)
    assert found.noise_aware.resistance == pytest.approx(0.1, abs=0.01)
    low, high = found.noise_aware.confidence_interval
    assert low < 0.1 < high
    none = alignment_resistance([1.0, -1.0], [0.0, 0.0], label_noise=0.0).noise_aware
    assert none.resistance == 0.5
    below = alignment_resistance([1.0, 1.0], [0.0, 0.0], label_noise=0.2).noise_aware
    assert below.resistance == pytest.approx(-1 / 3)
    assert below.status.startswith("outside [0, 1]")
    with pytest.raises(DataError, match="label_noise is the share"):
        alignment_resistance([1.0], [0.0], label_noise=0.5)


def test_trajectories_are_pairs_of_models_and_cochrans_q():
    pre, post, groups = _models()
    middle = (pre + post) / 2
    found = resistance_trajectory({"pre": pre, "middle": middle, "post": post})
    assert list(found.changes) == ["middle - pre", "post - middle", "post - pre"]
    direct = alignment_resistance(post, 0 * post, pre_chosen_rewards=pre, pre_rejected_rewards=0 * pre)
    assert found.changes["post - pre"] == direct.change
    assert found.models["post"].alignment_resistance == direct.alignment_resistance
    # Cochran's Q is Friedman's statistic of binary data.
    reference = stats.friedmanchisquare(pre > 0, middle > 0, post > 0)
    assert found.any_change_p_value == pytest.approx(reference.pvalue)
    raw = sorted(each.p_value for each in found.changes.values())
    assert found.p_adjusted[min(found.changes, key=lambda name: found.changes[name].p_value)] == pytest.approx(
        3 * raw[0]
    )
    assert resistance_trajectory({"a": pre, "b": post}, groups=groups).changes["b - a"].test == "clustered by prompt"
    assert math.isnan(resistance_trajectory({"a": post, "b": post}).any_change_p_value)
    alone = resistance_trajectory({"a": pre})
    assert alone.changes == {}
    assert math.isnan(alone.any_change_p_value)
    with pytest.raises(DataError, match="holds no model"):
        resistance_trajectory({})
    models = {"pre": pre, "middle": middle, "post": post}
    against = resistance_trajectory(models, baseline="post")
    assert list(against.changes) == ["pre - post", "middle - post", "middle - pre"]
    assert against.changes["pre - post"].change == -found.changes["post - pre"].change
    assert against.any_change_p_value == found.any_change_p_value


def test_aligned_pairs_beyond_a_tie_band_are_those_of_the_score():
    chosen, rejected = np.array([1.0, 2.0, 0.0, 5.0]), np.array([0.5, 0.5, 1.0, 5.0])
    assert aligned_pairs(chosen, rejected, tie_band=1.0).tolist() == [False, True, False, False]
    assert aligned_pairs(chosen, rejected).tolist() == [True, True, False, False]
    score = alignment_resistance(chosen, rejected, tie_band=1.0).alignment_score
    assert aligned_pairs(chosen, rejected, tie_band=1.0).mean() == score


def test_any_change_of_models_is_tested_over_prompts():
    # Two models: T-squared over prompts is the square of the paired t of the prompts' sums.
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(30), 4)
    pre, post = rng.normal(size=(2, 120)) + rng.normal(size=30)[groups]
    found = resistance_trajectory({"a": pre, "b": post}, groups=groups)
    sums = np.bincount(groups, weights=(post > 0).astype(float) - (pre > 0))
    assert found.any_change_p_value == pytest.approx(stats.ttest_1samp(sums, 0).pvalue)
    # A model that repeats another one adds no contrast.
    again = resistance_trajectory({"a": pre, "b": pre, "c": post}, groups=groups)
    assert again.any_change_p_value == pytest.approx(found.any_change_p_value)
    assert math.isnan(resistance_trajectory({"a": pre, "b": post}, groups=np.zeros(120)).any_change_p_value)


def test_any_change_holds_its_level_with_prompts_of_eight():
    rejected = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(40), 8)
        models = {name: 2 * rng.normal(size=40)[groups] + rng.normal(size=320) for name in "abcd"}
        rejected += resistance_trajectory(models, groups=groups).any_change_p_value < 0.05
    assert rejected / 400 <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 400)


def test_a_change_that_is_the_same_in_every_prompt_has_no_joint_test():
    # Of three pairs of each prompt one is gained: rounding of prompts' sums is no variance.
    groups = np.repeat(np.arange(10), 3)
    first, second = np.tile([1.0, -1.0, -1.0], 10), np.tile([1.0, 1.0, -1.0], 10)
    assert math.isnan(resistance_trajectory({"a": first, "b": second}, groups=groups).any_change_p_value)
    # Nor where a third model varies between prompts: a test of its change alone would leave out the first.
    third = np.where(np.arange(30) % 7 == 0, -second, second)
    models = {"a": first, "b": second, "c": third}
    assert math.isnan(resistance_trajectory(models, groups=groups).any_change_p_value)


def test_names_of_models_are_told_apart_as_texts():
    with pytest.raises(DataError, match="margins holds 1 more than once"):
        resistance_trajectory({1: [1.0, -1.0], "1": [1.0, 1.0]})
    with pytest.raises(DataError, match="baseline is 'x'; the models are 1, 2"):
        resistance_trajectory({1: [1.0, -1.0], 2: [1.0, 1.0]}, baseline="x")

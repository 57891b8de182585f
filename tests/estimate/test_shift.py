import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from seal_datasets import estimate
from seal_datasets.errors import DataError
from seal_datasets.estimate import reward_shift

AMOUNT = st.one_of(st.just(0.0), st.floats(0.01, 100), st.floats(-100, -0.01))
REWARDS = st.lists(st.tuples(*[AMOUNT] * 4), min_size=1, max_size=20).map(lambda rows: np.array(rows).T)
FEATURES = (np.random.default_rng(1).random((60, 4)) < 0.5).astype(float)
ANGLES = 5 + FEATURES @ [10.0, -4.0, 3.0, 0.0] + np.random.default_rng(2).normal(size=60)
GROUPS = np.arange(60) // 3


def test_quarter_half_and_eighth_turns():
    pre_chosen, pre_rejected = [1, 1, 1, 0, 1], [0, 0, 0, 2, 0]
    chosen, rejected = [0, 0, -3, -1, 1], [1, -1, 0, 0, 1]
    angles = estimate.reward_shift_angles(pre_chosen, pre_rejected, chosen, rejected)
    assert angles == pytest.approx([90, -90, 180, 90, 45])


def test_the_summary_by_hand():
    # Angles 90, -90, 0 and none: mean 0, median 0, mean size 60, sd sqrt((8100 + 8100) / 2) = 90.
    found = estimate.reward_shift([1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 5, 1], [1, -1, 0, 1])
    assert (found.mean_degrees, found.median_degrees) == pytest.approx((0, 0))
    assert found.mean_absolute_degrees == pytest.approx(60)
    assert found.std_error == pytest.approx(90 / math.sqrt(3))
    assert (found.n_pairs, found.n_undefined, found.status) == (4, 1, "ok")
    assert np.isnan(found.angles).tolist() == [False, False, False, True]


def test_the_interval_is_statsmodels_t_interval():
    pre, post = np.random.default_rng(0).normal(size=(2, 2, 30))
    found = estimate.reward_shift(*pre, *post, confidence=0.9)
    expected = DescrStatsW(found.angles)
    assert found.mean_degrees == pytest.approx(expected.mean)
    assert found.confidence_interval == pytest.approx(expected.tconfint_mean(alpha=0.1))


@given(REWARDS)
def test_identical_models_do_not_turn(rewards):
    angles = estimate.reward_shift_angles(*rewards[:2], *rewards[:2])
    zero = (rewards[:2] == 0).all(axis=0)
    assert np.isnan(angles).tolist() == zero.tolist()
    assert np.abs(angles[~zero]).max(initial=0) < 1e-12


@given(REWARDS)
def test_exchanging_pre_and_post_turns_the_sign(rewards):
    there, back = (estimate.reward_shift_angles(*each) for each in (rewards, rewards[[2, 3, 0, 1]]))
    half_turn = there == 180
    np.testing.assert_allclose(back[~half_turn], -there[~half_turn], atol=1e-10)
    assert (back[half_turn] == 180).all()


@given(REWARDS, st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_positive_rescaling_of_either_model_changes_nothing(rewards, a, b):
    there = estimate.reward_shift_angles(*rewards)
    scaled = estimate.reward_shift_angles(*(a * rewards[:2]), *(b * rewards[2:]))
    # A half turn may come out as 180 or, by rounding, as just above -180: compare on the circle.
    np.testing.assert_allclose(np.exp(1j * np.radians(scaled)), np.exp(1j * np.radians(there)), atol=1e-10)


@given(REWARDS)
def test_the_size_of_the_angle_is_the_papers_arccos(rewards):
    angles = estimate.reward_shift_angles(*rewards)
    known = ~np.isnan(angles)
    pre, post = rewards[:2, known], rewards[2:, known]
    cosine = (pre * post).sum(axis=0) / np.hypot(*pre) / np.hypot(*post)
    np.testing.assert_allclose(np.cos(np.radians(np.abs(angles[known]))), cosine, atol=1e-10)


def test_huge_and_tiny_rewards_have_an_angle():
    angles = estimate.reward_shift_angles([1e49, 1e-300], [1e49, 0], [0, 1e-300], [1e49, 1e-300])
    assert angles == pytest.approx([45, 45])


def test_too_little_to_summarise_is_nan_with_a_status():
    nothing = estimate.reward_shift([0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0])
    assert math.isnan(nothing.mean_degrees)
    assert (nothing.n_undefined, nothing.status) == (2, "every pair has a zero reward vector")
    one = estimate.reward_shift([1.0], [0.0], [0.0], [1.0])
    assert one.mean_degrees == pytest.approx(90)
    assert math.isnan(one.std_error)
    assert all(math.isnan(bound) for bound in one.confidence_interval)
    assert one.status == "no standard error: one angle or prompt, or no variation"


def test_json_has_the_angles_only_on_request():
    found = estimate.reward_shift([1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 0.0])
    assert "angles" not in found.to_dict()
    assert found.to_dict(angles=True)["angles"] == [pytest.approx(45), None]
    assert found.to_dict()["std_error"] is None


@pytest.mark.parametrize("intercept", [True, False])
def test_shift_imprint_is_statsmodels_ols(intercept):
    design = sm.add_constant(FEATURES) if intercept else FEATURES
    found = estimate.shift_imprint(
        ANGLES, FEATURES[:, :2], FEATURES[:, 2:], ["helpful", "honest"], intercept=intercept, errors="crv1"
    )
    reference = sm.OLS(ANGLES, design).fit(cov_type="HC1", use_t=True)
    skip = int(intercept)
    assert [(row.side, row.feature) for row in found.imprint] == [
        ("chosen", "helpful"),
        ("chosen", "honest"),
        ("rejected", "helpful"),
        ("rejected", "honest"),
    ]
    np.testing.assert_allclose([row.coefficient for row in found.imprint], reference.params[skip:], rtol=1e-8)
    np.testing.assert_allclose([row.std_error for row in found.imprint], reference.bse[skip:], rtol=1e-8)
    assert found.intercept == pytest.approx(reference.params[0] if intercept else math.nan, nan_ok=True)


def test_clustered_shift_imprint_is_statsmodels_ols():
    found = estimate.shift_imprint(
        ANGLES, FEATURES[:, :2], FEATURES[:, 2:], ["helpful", "honest"], groups=GROUPS, adjust="holm", errors="crv1"
    )
    reference = sm.OLS(ANGLES, sm.add_constant(FEATURES)).fit(
        cov_type="cluster", cov_kwds={"groups": GROUPS}, use_t=True
    )
    np.testing.assert_allclose([row.std_error for row in found.imprint], reference.bse[1:], rtol=1e-8)
    # statsmodels takes t with G - 1 degrees of freedom too.
    np.testing.assert_allclose([row.p_value for row in found.imprint], reference.pvalues[1:], rtol=1e-6)
    np.testing.assert_allclose([row.confidence_interval for row in found.imprint], reference.conf_int()[1:], rtol=1e-6)
    assert found.family_size == 4


def test_shift_imprint_leaves_pairs_without_an_angle_out():
    with_gap = np.append(ANGLES, math.nan)
    features = np.vstack([FEATURES, np.ones(4)])
    found = estimate.shift_imprint(with_gap, features[:, :2], features[:, 2:], ["a", "b"])
    assert found.imprint == estimate.shift_imprint(ANGLES, FEATURES[:, :2], FEATURES[:, 2:], ["a", "b"]).imprint
    assert (found.n_pairs, found.n_undefined) == (60, 1)


def test_one_odd_pair_makes_no_finding():
    rng = np.random.default_rng(4)
    angles, common = rng.normal(scale=10, size=100), rng.integers(0, 2, size=100)
    odd = np.eye(1, 100)[0]
    angles[0] = 120
    fit = estimate.shift_imprint(angles, np.column_stack([common, odd]), np.zeros((100, 2)), ["common", "odd"])
    assert (fit.imprint[0].status, fit.imprint[1].status) == ("ok", "too_little_information")
    assert fit.imprint[1].n_discordant == 1
    assert math.isnan(fit.imprint[1].coefficient)
    shown = estimate.shift_imprint(
        angles, np.column_stack([common, odd]), np.zeros((100, 2)), ["common", "odd"], min_information=0
    )
    # The pair fits itself: an estimate, and no error.
    assert shown.imprint[1].status == "too_little_information"
    assert math.isfinite(shown.imprint[1].coefficient)
    assert math.isnan(shown.imprint[1].std_error)
    assert shown.imprint[0].coefficient == fit.imprint[0].coefficient


def test_shift_imprint_statuses():
    chosen = np.column_stack([FEATURES[:, 0], np.full(60, 0.1), FEATURES[:, 1], FEATURES[:, 1]])
    rejected = np.column_stack([FEATURES[:, 2], np.zeros(60), FEATURES[:, 3], 1 - FEATURES[:, 0]])
    found = estimate.shift_imprint(ANGLES, chosen, rejected, list("abcd"))
    assert [row.status for row in found.imprint] == [
        *("collinear", "not_identified", "collinear", "collinear"),
        *("ok", "not_identified", "ok", "collinear"),
    ]
    for row in found.imprint:
        assert math.isnan(row.coefficient) == (row.status != "ok")
    one_cluster = estimate.shift_imprint(ANGLES, chosen, rejected, list("abcd"), groups=np.zeros(60, int))
    assert one_cluster.imprint[4].status == "too_few_clusters"
    assert math.isnan(one_cluster.imprint[4].std_error)
    nothing = estimate.shift_imprint([math.nan] * 60, chosen, rejected, list("abcd"))
    assert (nothing.n_pairs, nothing.family_size) == (0, 0)
    assert all(math.isnan(row.coefficient) and row.status != "ok" for row in nothing.imprint)


def _rewards(seed=0, n=400):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(4, n)) + np.array([[1.0], [0.5], [2.0], [-0.5]])


def test_circular_statistics_are_scipys():
    found = reward_shift(*_rewards())
    radians = np.radians(found.angles)
    expected = math.degrees(stats.circmean(radians, high=math.pi, low=-math.pi))
    assert found.circular_mean_degrees == pytest.approx(expected)
    assert found.circular_std_degrees == pytest.approx(math.degrees(stats.circstd(radians)))
    assert found.resultant_length == pytest.approx(1 - stats.circvar(radians))
    # -179 and 179 degrees are neighbours at 180, not at 0.
    turn = np.radians([-179.0, 179.0])
    near = reward_shift([1, 1], [0, 0], np.cos(turn), np.sin(turn))
    assert near.mean_degrees == pytest.approx(0, abs=1e-9)
    assert abs(near.circular_mean_degrees) == pytest.approx(180)
    opposite = reward_shift([1, 1], [0, 0], [0, 0], [1, -1])
    assert opposite.resultant_length == pytest.approx(0, abs=1e-12)
    assert math.isnan(opposite.circular_mean_degrees)


@settings(max_examples=30)
@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.1, 10))
def test_origin_and_scale_move_what_they_may(pre_origin, origin, scale):
    pre_chosen, pre_rejected, chosen, rejected = _rewards()
    before = reward_shift(pre_chosen, pre_rejected, chosen, rejected)
    moved = reward_shift(pre_chosen + pre_origin, pre_rejected + pre_origin, chosen + origin, rejected + origin)
    np.testing.assert_allclose(moved.centred_angles, before.centred_angles, atol=1e-6)
    assert moved.margin.mean == pytest.approx(before.margin.mean)
    scaled = reward_shift(pre_chosen, pre_rejected, scale * chosen, scale * rejected)
    np.testing.assert_allclose(scaled.angles, before.angles, atol=1e-9)
    np.testing.assert_allclose(scaled.centred_angles, before.centred_angles, atol=1e-9)
    assert scaled.margin.standardised_mean == pytest.approx(before.margin.standardised_mean)


def test_the_notes_example_of_an_origin_that_changes_the_sign():
    # Pre (1, 1/2), post (2, -1/2): -40.6 degrees; 10 points more after training: +11.8 degrees, the margin unchanged.
    at = {add: reward_shift([1.0], [0.5], [2.0 + add], [-0.5 + add]) for add in (0, 1, 3, 10)}
    assert [round(found.mean_degrees, 1) + 0.0 for found in at.values()] == [-40.6, -17.1, 0.0, 11.8]
    assert {found.margin.mean for found in at.values()} == {2.0}
    pre_chosen, pre_rejected, chosen, rejected = _rewards()
    warned = 0
    for add in (-1000, -3, 0, 3, 1000):
        found = reward_shift(pre_chosen, pre_rejected, chosen + add, rejected + add)
        assert (found.warning != "") == (found.mean_degrees * found.centred.mean_degrees < 0)
        assert found.to_dict()["warning"] == found.warning
        warned += found.warning.startswith("the mean shift is ")
    assert 0 < warned < 5


def test_centring_on_a_stated_reference_set():
    rewards = _rewards()
    pre, post = np.array([0.5, 1.5]), np.array([1.0, 5.0])
    found = reward_shift(*rewards, pre_reference_rewards=pre, reference_rewards=post)
    by_hand = reward_shift(*(rewards - np.array([[1.0], [1.0], [3.0], [3.0]])))
    np.testing.assert_allclose(found.centred_angles, by_hand.angles)
    assert "reference set of 2 texts" in found.reference
    assert "800 texts of all pairs" in reward_shift(*rewards).reference
    with pytest.raises(DataError, match="belong together"):
        reward_shift(*rewards, reference_rewards=post)


def test_clustered_errors_are_an_intercept_only_regression_by_prompt():
    rewards, groups = _rewards(), np.arange(400) // 5
    found = reward_shift(*rewards, groups=groups)
    reference = sm.OLS(found.angles, np.ones(400)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    # Stata's factor without its (n - 1) / (n - 1).
    assert found.std_error == pytest.approx(reference.bse[0] * math.sqrt(80 / 79))
    change = found.margin
    reference = sm.OLS(rewards[2] - rewards[3] - rewards[0] + rewards[1], np.ones(400)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    assert change.std_error == pytest.approx(reference.bse[0] * math.sqrt(80 / 79))


def test_clustered_intervals_cover_where_plain_ones_do_not():
    covered = {"plain": 0, "clustered": 0}
    groups = np.repeat(np.arange(60), 6)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        common = rng.normal(size=60)[groups]
        post = common + 0.3 * rng.normal(size=360)
        arguments = (np.ones(360), np.zeros(360), post, np.zeros(360))
        for name, prompts in (("plain", None), ("clustered", groups)):
            low, high = reward_shift(*arguments, groups=prompts).margin.confidence_interval
            covered[name] += low <= -1.0 <= high
    assert 0.92 <= covered["clustered"] / 300 <= 0.98
    assert covered["plain"] / 300 < 0.75


def test_parts_are_the_pairs_with_each_label_centred_as_the_whole():
    rewards, groups = _rewards(), np.arange(400) // 5
    labels = np.where(np.arange(400) % 3 == 0, "stayed_aligned", "became_aligned")
    found = reward_shift(*rewards, groups=groups, by=labels)
    assert list(found.by) == ["became_aligned", "stayed_aligned"]
    rows = labels == "stayed_aligned"
    alone = reward_shift(*rewards[:, rows], groups=groups[rows])
    part = found.by["stayed_aligned"]
    assert part.raw.mean_degrees == pytest.approx(alone.mean_degrees)
    assert part.raw.std_error == pytest.approx(alone.std_error)
    assert part.centred.mean_degrees == pytest.approx(found.centred_angles[rows].mean())
    assert sum(each.raw.n_pairs for each in found.by.values()) == 400
    with pytest.raises(DataError, match="by row 2 has no label"):
        reward_shift(*rewards[:, :4], by=["a", "b", None, "a"])
    with pytest.raises(DataError, match="by has 3 labels for 4 pairs"):
        reward_shift(*rewards[:, :4], by=["a", "b", "a"])


@pytest.mark.parametrize("n", [3, 7, 10, 99])
def test_equal_rewards_are_zero_vectors_from_their_mean(n):
    same = np.full(n, 0.1)
    found = reward_shift(same, same, np.arange(n) + 0.5, -np.arange(n) - 0.25)
    assert found.centred.n_undefined == n

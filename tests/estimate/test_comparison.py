import math

import numpy as np
import pytest
from scipy import stats

from seal_datasets.errors import DataError
from seal_datasets.estimate import compare_estimates, feature_imprint
from seal_datasets.estimate.comparison import (
    compare_standardised_imprints,
    estimate_from_interval,
    standardised_estimate,
)
from seal_datasets.estimate.synthetic import planted_pairs


def test_three_estimates_by_hand():
    found = compare_estimates(["A", "B", "C"], [0.0, 3.0, 4.0], [3.0, 4.0, math.nan])
    first = found.differences[0]
    assert (first.earlier, first.later, first.difference, first.std_error) == ("A", "B", 3.0, 5.0)  # 3-4-5 triangle
    assert first.p_value == pytest.approx(2 * stats.norm.sf(0.6))
    assert first.confidence_interval == pytest.approx((3 - 1.959964 * 5, 3 + 1.959964 * 5), abs=1e-5)
    # C has no error: differences, but no tests.
    assert [row.difference for row in found.differences] == [3.0, 4.0, 1.0]
    assert [math.isnan(row.p_value) for row in found.differences] == [False, True, True]
    assert (found.family_size, found.degrees_of_freedom) == (1, 1)
    assert found.to_dict()["differences"][1]["p_adjusted"] is None


def test_of_two_the_joint_test_is_the_test_of_the_difference():
    found = compare_estimates(["A", "B"], [1.0, 1.7], [0.2, 0.3])
    assert found.p_value == pytest.approx(found.differences[0].p_value)
    assert found.statistic == pytest.approx(0.7**2 / (0.2**2 + 0.3**2))


def test_the_mean_of_equal_errors_is_that_of_a_t_test_and_predicts_as_one_more_number():
    values = np.array([1.0, 2.0, 6.0, 4.0])
    found = compare_estimates(list("ABCD"), values, np.full(4, 0.01)).random_effects
    expected = stats.ttest_1samp(values, 0.0)
    assert found.estimate == pytest.approx(values.mean())
    assert found.confidence_interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-4)
    # Where errors vanish, one more number is predicted by t; draws that take mean and spread apart are somewhat wider.
    half = stats.t.ppf(0.975, 3) * values.std(ddof=1) * math.sqrt(1 + 1 / 4)
    low, high = found.prediction_interval
    assert 1 < (high - low) / (2 * half) < 1.3
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.2)


def test_equal_estimates_keep_the_error_of_their_weights():
    found = compare_estimates(["A", "B"], [1.0, 1.0], [0.3, 0.4]).random_effects
    assert (found.spread, found.std_error) == (0.0, pytest.approx(1 / math.sqrt(1 / 0.09 + 1 / 0.16)))
    assert all(map(math.isnan, found.prediction_interval))  # two say nothing of the spread
    alone = compare_estimates(["A", "B"], [1.0, 1.0], [0.3, math.nan]).random_effects
    assert (alone.n, math.isnan(alone.estimate)) == (1, True)


@pytest.mark.parametrize(("n", "spread"), [(3, 0.0), (5, 1.0), (10, 0.5), (10, 3.0)])
def test_the_mean_of_audits_is_covered_and_one_more_predicted(n, spread):
    rng = np.random.default_rng(n)
    covered, predicted = [], []
    for _ in range(300):
        errors = rng.uniform(0.5, 1.5, n)
        values = rng.normal(2.0, spread, n) + errors * rng.normal(size=n)
        found = compare_estimates([f"a{i}" for i in range(n)], values, errors).random_effects
        covered.append(found.confidence_interval[0] <= 2.0 <= found.confidence_interval[1])
        predicted.append(found.prediction_interval[0] <= rng.normal(2.0, spread) <= found.prediction_interval[1])
    assert np.mean(covered) > 0.92
    assert np.mean(predicted) > 0.92


def test_order_and_scale_change_nothing_but_sign_and_unit():
    there = compare_estimates(["A", "B"], [1.0, 1.7], [0.2, 0.3]).differences[0]
    back = compare_estimates(["B", "A"], [17.0, 10.0], [3.0, 2.0]).differences[0]
    assert (back.difference, back.p_value) == (pytest.approx(-10 * there.difference), pytest.approx(there.p_value))


def test_adjustment_is_over_all_differences():
    found = compare_estimates(["A", "B", "C"], [0.0, 1.0, 3.0], [0.5, 0.5, 0.5], adjust="bonferroni")
    assert [row.p_adjusted for row in found.differences] == [min(1.0, 3 * row.p_value) for row in found.differences]


def test_planted_differences_are_found_and_equal_ones_only_as_often_as_they_should():
    rejected = {"equal": 0, "different": 0}
    for seed in range(200):
        fits = []
        for offset, strength in enumerate((1.0, 1.0, 2.2)):
            pairs = planted_pairs(150, imprint={"helpful": strength, "honest": 0.5}, seed=3 * seed + offset)
            fits.append(feature_imprint(pairs.rewards, pairs.features, pairs.groups, pairs.feature_names).imprint[0])
        found = compare_estimates(["A", "B", "C"], [row.coefficient for row in fits], [row.std_error for row in fits])
        rejected["equal"] += found.differences[0].p_value < 0.05
        rejected["different"] += found.differences[1].p_value < 0.05
    assert 0.01 <= rejected["equal"] / 200 <= 0.10  # 0.05 and two binomial standard errors
    assert rejected["different"] / 200 > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["A"], [1.0], [1.0]), "at least two"),
        ((["A", "B"], [1.0], [1.0]), "as many of each"),
        ((["A", "A"], [1.0, 2.0], [1.0, 1.0]), "A"),
        ((["A", "B"], [1.0, 2.0], [1.0, -1.0]), "std_errors row 1 is -1"),
        ((["A", "B"], [1.0, np.inf], [1.0, 1.0]), "finite"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        compare_estimates(*arguments)


def test_a_standardised_imprint_keeps_the_z_of_the_imprint():
    scaled = standardised_estimate(-4.0, 2.0, -0.2)
    assert scaled.std_error == pytest.approx(0.1)
    assert scaled.estimate / scaled.std_error == pytest.approx(-4.0 / 2.0)
    assert scaled.confidence_interval == pytest.approx((-0.2 - 0.1959964, -0.2 + 0.1959964))
    wide = standardised_estimate(-4.0, 2.0, -0.2, confidence=0.99).confidence_interval
    assert wide[1] - wide[0] == pytest.approx(2 * stats.norm.ppf(0.995) * 0.1)
    with pytest.raises(DataError, match="coefficient is 0"):
        standardised_estimate(0.0, 1.0, 0.0)


def test_an_interval_gives_its_standard_error_back():
    half = stats.norm.ppf(0.975) * 0.03
    read = estimate_from_interval(0.4, (0.4 - half, 0.4 + half))
    assert read.std_error == pytest.approx(0.03)
    assert read.confidence_interval == (0.4 - half, 0.4 + half)
    unknown = estimate_from_interval(0.4, (math.nan, math.nan)).to_dict()
    assert unknown == {"estimate": 0.4, "std_error": None, "confidence_interval": [None, None]}


def test_paired_differences_are_those_of_standardised_imprints_whatever_the_unit():
    pairs = planted_pairs(80, imprint={"helpful": 1.0, "honest": 0.5}, seed=1)
    other = planted_pairs(80, imprint={"helpful": 2.0, "honest": 0.5}, seed=1)
    rows, scaled = (
        compare_standardised_imprints(
            pairs.rewards, unit * np.asarray(other.rewards), pairs.features, pairs.groups, pairs.feature_names
        )
        for unit in (1.0, 7.0)
    )
    earlier, later = (
        feature_imprint(rewards, pairs.features, pairs.groups, pairs.feature_names).imprint
        for rewards in (pairs.rewards, other.rewards)
    )
    assert [row.feature for row in rows] == list(pairs.feature_names)
    for row, again, one, two in zip(rows, scaled, earlier, later, strict=True):
        assert row.difference == pytest.approx(two.standardised - one.standardised)
        assert (again.difference, again.p_value) == (pytest.approx(row.difference), pytest.approx(row.p_value))


def test_features_and_rewards_that_do_not_vary_within_prompts_have_no_paired_difference():
    groups, features = ["p", "p", "q", "q", "s", "s"], np.array([[1, 1], [0, 1], [1, 0], [0, 0], [0, 1], [1, 1]])
    rewards, later = [1.0, 0.0, 2.0, 0.0, 3.0, 1.0], [0.0, 1.0, 3.0, 0.0, 1.0, 1.0]
    rows = compare_standardised_imprints(rewards, later, features, groups, ["polite", "prompt_only"])
    assert [row.feature for row in rows] == ["polite"]
    assert compare_standardised_imprints(rewards, [1.0] * 6, features, groups, ["polite", "prompt_only"]) == ()
    assert compare_standardised_imprints(rewards, later, features[:, 1:], groups, ["prompt_only"]) == ()

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from seal_datasets.estimate import group_differences, wilson
from seal_datasets.estimate.clustered_share import clustered_mean


def test_means_of_a_table_worked_by_hand():
    result = group_differences([1, 0, 1, 1, 0, 0], ["b", "b", "b", "b", "a", "a"])
    assert [(row.group, row.mean, row.n, row.n_clusters) for row in result.groups] == [
        ("b", 0.75, 4, 4),
        ("a", 0.0, 2, 2),
    ]
    assert {row.status for row in result.groups} == {"too_few_clusters"}
    assert (result.status, result.n_tested) == ("too_few_groups", 0)
    assert math.isnan(result.p_value)


def test_independent_shares_give_pearsons_chi_squared():
    rng = np.random.default_rng(0)
    by = rng.integers(0, 4, 4000)
    values = rng.random(4000) < np.array([0.5, 0.52, 0.48, 0.55])[by]
    table = [[(values & (by == group)).sum(), (~values & (by == group)).sum()] for group in range(4)]
    expected = stats.chi2_contingency(table, correction=False)
    result = group_differences(values, by)
    assert result.test == "Rao-Scott"
    assert result.statistic * 3 == pytest.approx(expected.statistic, rel=0.03)
    assert result.p_value == pytest.approx(expected.pvalue, rel=0.1)
    assert result.groups[0].confidence_interval == pytest.approx(wilson(*table_row(table, by, result)), abs=1e-3)


def table_row(table, by, result):
    group = int(result.groups[0].group)
    return table[group][0], int((by == group).sum())


def test_two_independent_means_give_welchs_statistic():
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1, 40), rng.normal(0.5, 3, 25)
    result = group_differences(np.r_[first, second], ["a"] * 40 + ["b"] * 25)
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert (result.test, result.statistic) == ("AHT", pytest.approx(expected.statistic**2))
    assert result.groups[1].confidence_interval == pytest.approx(clustered_mean(second, None, 0.95).interval)


def test_equal_variances_and_sizes_give_nearly_the_analysis_of_variance():
    rng = np.random.default_rng(2)
    parts = rng.normal([[0.0], [0.1], [0.2], [0.1]], size=(4, 200))
    result = group_differences(parts.ravel(), np.repeat(list("abcd"), 200))
    assert result.p_value == pytest.approx(stats.f_oneway(*parts).pvalue, abs=0.02)


@pytest.mark.parametrize("is_share", [True, False])
def test_repeating_each_pair_within_its_prompt_adds_no_evidence(is_share):
    rng = np.random.default_rng(3)
    by = np.repeat(np.arange(3), 100)
    values = (rng.random(300) < 0.6 + 0.1 * by).astype(float) if is_share else rng.normal(size=300) + 0.2 * by
    once = group_differences(values, by)
    many = group_differences(np.repeat(values, 8), np.repeat(by, 8), groups=np.repeat(np.arange(300), 8))
    assert many.p_value == pytest.approx(once.p_value, rel=0.15)
    ignored = group_differences(np.repeat(values, 8), np.repeat(by, 8))
    assert ignored.p_value < once.p_value / 50


@pytest.mark.parametrize("is_share", [True, False])
def test_the_order_of_groups_does_not_matter(is_share):
    rng = np.random.default_rng(4)
    by, groups = rng.integers(0, 5, 400), np.repeat(np.arange(100), 4)
    values = rng.random(400) < 0.7 if is_share else rng.normal(size=400)
    order = rng.permutation(400)
    first = group_differences(values, by, groups=groups)
    second = group_differences(values[order], (7 - by)[order], groups=groups[order])
    assert (first.statistic, first.p_value) == (pytest.approx(second.statistic), pytest.approx(second.p_value))


def test_truth_values_and_a_scale_do_not_change_a_test_of_means():
    rng = np.random.default_rng(5)
    values, by = rng.normal(size=200), rng.integers(0, 3, 200)
    first, second = group_differences(values, by), group_differences(1000 * values + 5, by)
    assert first.p_value == pytest.approx(second.p_value)


def test_a_group_of_few_prompts_is_described_but_not_tested():
    rng = np.random.default_rng(6)
    by = np.array(["a"] * 100 + ["b"] * 100 + ["c"] * 9)
    values = np.r_[rng.random(200) < 0.5, np.ones(9)]
    result = group_differences(values, by)
    assert [row.status for row in result.groups] == ["ok", "ok", "too_few_clusters"]
    assert result.groups[2].mean == 1.0
    assert result.groups[2].confidence_interval[0] < 0.8
    assert (result.n_tested, result.p_value) == (2, pytest.approx(group_differences(values[:200], by[:200]).p_value))


def test_planted_differences_are_found_and_a_share_of_one_is_one():
    result = group_differences(np.r_[np.ones(60), np.arange(60) % 2], ["easy"] * 60 + ["hard"] * 60)
    assert result.groups[0].mean == 1.0
    assert result.p_value < 1e-6


@pytest.mark.parametrize("values", [np.ones(40), np.zeros(40), np.full(40, 7.3)])
def test_without_variation_there_is_no_test(values):
    result = group_differences(values, ["a"] * 20 + ["b"] * 20)
    assert (result.status, math.isnan(result.p_value)) == ("no_variation", True)


def test_groups_within_prompts_are_compared_within_them():
    rng = np.random.default_rng(7)
    groups, by = np.repeat(np.arange(50), 2), np.tile(["a", "b"], 50)
    values = 10 * rng.normal(size=50)[groups] + 0.1 * rng.normal(size=100) + 0.2 * (by == "b")
    assert group_differences(values, by, groups=groups).p_value < 1e-6
    assert group_differences(values, by).p_value > 0.5


def test_equal_shares_are_rejected_in_one_of_twenty_draws():
    rng = np.random.default_rng(8)
    by = np.repeat(np.arange(4), [100, 50, 20, 10])
    p = []
    for _ in range(300):
        groups = np.repeat(np.arange(180), rng.integers(1, 5, 180))
        values = rng.random(len(groups)) < rng.beta(7, 3, 180)[groups]
        p.append(group_differences(values, by[groups], groups=groups).p_value)
    assert np.mean(np.array(p) < 0.05) < 0.09  # 0.05 and three standard errors


def test_groups_that_are_alike_in_every_prompt_do_not_differ():
    # Each prompt has one of two right in either group, so nothing varies between prompts.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = group_differences([1, 0] * 40, ["a", "a", "b", "b"] * 20, groups=np.repeat(np.arange(20), 4))
    assert (result.statistic, result.p_value, result.status) == (0.0, 1.0, "ok")

import math

import numpy as np
import pytest
from scipy import stats

from seal_datasets.estimate.bias_reduced import cr2
from seal_datasets.estimate.clustered_share import clustered_mean, clustered_share
from seal_datasets.estimate.intervals import wilson
from seal_datasets.estimate.linear import solve, triangle


def test_a_mean_of_independent_numbers_is_students():
    values = np.random.default_rng(0).normal(size=30)
    mean = clustered_mean(values, np.arange(30), 0.95)
    expected = stats.ttest_1samp(values, 0.0)
    assert (mean.value, mean.std_error) == pytest.approx((values.mean(), values.std(ddof=1) / math.sqrt(30)))
    assert mean.freedom == pytest.approx(29)
    assert mean.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_errors_of_uneven_prompts_are_those_of_cr2():
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(60), rng.integers(1, 9, 60))
    values, ones = rng.normal(size=len(clusters)), np.ones((len(clusters), 1))
    mean = clustered_mean(values, clusters, 0.95)
    variance, freedom = cr2(ones, values - values.mean(), clusters, solve(triangle(ones, values), 1))
    assert (mean.std_error**2, mean.freedom) == pytest.approx((variance[0, 0], freedom[0]))


def test_without_clusters_each_number_is_its_own():
    values = np.random.default_rng(2).normal(size=30)
    alone, single = clustered_mean(values, None, 0.95), clustered_mean(values, np.arange(30), 0.95)
    assert (alone.std_error, alone.freedom, *alone.interval) == pytest.approx(
        (single.std_error, single.freedom, *single.interval)
    )


def test_deviations_that_cancel_within_clusters_leave_no_error():
    # Each cluster holds one of three: sums within clusters are 0 but for rounding.
    mean = clustered_mean(np.tile([1.0, 0.0, 0.0], 7), np.repeat(np.arange(7), 3), 0.95)
    assert mean.value == pytest.approx(1 / 3)
    assert np.isnan([mean.std_error, *mean.interval]).all()


def test_a_share_of_many_independent_pairs_is_near_wilsons():
    values = (np.arange(4000) % 5 == 0).astype(float)
    share = clustered_share(values, np.arange(4000), 0.95)
    assert share.interval == pytest.approx(wilson(800, 4000), abs=1e-4)


@pytest.mark.parametrize("values", [[0.0] * 6, [1.0] * 6])
def test_intervals_at_the_edge_are_neither_a_point_nor_beyond_it(values):
    low, high = clustered_share(np.array(values), np.array([0, 0, 1, 1, 2, 2]), 0.95).interval
    assert 0 <= low < high <= 1
    assert high - low > 0.3  # three prompts, not six pairs


def test_one_cluster_has_no_interval():
    share = clustered_share(np.array([1.0, 0.0]), np.zeros(2, dtype=int), 0.95)
    assert share.value == 0.5
    assert all(map(math.isnan, share.interval))


def test_prompts_of_eight_copies_are_covered_like_prompts():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 8)
    covered = []
    for _ in range(200):
        low, high = clustered_share((rng.random(40) < 0.2).astype(float)[clusters], clusters, 0.95).interval
        covered.append(low <= 0.2 <= high)
    assert np.mean(covered) > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 200)

"""Memorisation gap: the difference of a quantity on pairs trained on and on held-out pairs."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from seal_datasets.errors import DataError
from seal_datasets.estimate import memorisation_gap


def test_of_symmetric_intervals_it_is_the_root_of_the_sum_of_squares():
    gap = memorisation_gap(1.0, (0.7, 1.3), 0.2, (-0.2, 0.6))
    assert gap.gap == pytest.approx(0.8)
    assert gap.confidence_interval == pytest.approx((0.3, 1.3))
    assert gap.status == "ok"


@pytest.mark.parametrize(("seen", "unseen"), [((45, 50), (20, 40)), ((50, 50), (0, 40)), ((0, 30), (0, 20))])
def test_of_two_shares_it_is_newcombes_interval(seen, unseen):
    intervals = [proportion_confint(*part, method="wilson") for part in (seen, unseen)]
    gap = memorisation_gap(seen[0] / seen[1], intervals[0], unseen[0] / unseen[1], intervals[1])
    expected = confint_proportions_2indep(*seen, *unseen, method="newcomb")
    assert gap.confidence_interval == pytest.approx(expected, abs=1e-12)
    assert -1 <= gap.confidence_interval[0] <= gap.confidence_interval[1] <= 1


def test_without_an_interval_of_either_part_there_is_none():
    gap = memorisation_gap(0.5, (math.nan, math.nan), 0.4, (0.3, 0.5))
    assert gap.gap == pytest.approx(0.1)
    assert gap.status == "no_interval"
    assert all(map(math.isnan, gap.confidence_interval))


def test_it_covers_the_true_difference_of_two_small_samples():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1000):
        parts = [rng.normal(0.4, 1.0, 30), rng.normal(0.1, 2.0, 12)]
        intervals = [stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x)) for x in parts]
        low, high = memorisation_gap(parts[0].mean(), intervals[0], parts[1].mean(), intervals[1]).confidence_interval
        covered.append(low < 0.3 < high)
    assert 0.93 < np.mean(covered) < 0.98


def test_an_unknown_bound_leaves_the_other_and_bounds_in_the_wrong_order_are_refused():
    gap = memorisation_gap(0.5, (0.4, None), 0.4, (0.3, 0.5))
    assert gap.status == "no_interval"
    assert gap.confidence_interval[0] == pytest.approx(0.1 - math.hypot(0.1, 0.1))
    with pytest.raises(DataError, match=r"heldout_interval must hold the lower bound first, got 0.5 and 0.3"):
        memorisation_gap(0.5, (0.4, 0.6), 0.4, (0.5, 0.3))

import math

import numpy as np
import pytest
from scipy import stats

from seal_datasets.errors import DataError
from seal_datasets.estimate import compare_estimates, feature_imprint
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
        ((["A", "B"], [1.0], [1.0]), "as many"),
        ((["A", "A"], [1.0, 2.0], [1.0, 1.0]), "A"),
        ((["A", "B"], [1.0, 2.0], [1.0, -1.0]), "no error negative"),
        ((["A", "B"], [1.0, np.inf], [1.0, 1.0]), "finite"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        compare_estimates(*arguments)

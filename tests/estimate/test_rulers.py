import math

import numpy as np
import pytest
from scipy import stats

from seal_datasets.errors import DataError
from seal_datasets.estimate import ruler_accuracy


def world(n, seed, model=0.5, rulers=(0.5, 0.5, 0.5)):
    """Model and rulers that are right with given probabilities; prompts of 1-8 pairs share part of their luck."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n), rng.integers(1, 9, n))[:n]
    shape = (n, 1 + len(rulers))
    luck = np.where(rng.random(shape) < 0.5, rng.random((groups.max() + 1, shape[1]))[groups], rng.random(shape))
    right = np.where(luck < np.array([model, *rulers]), 1.0, -1.0)
    return right[:, 0], right[:, 1:], groups


def compare(margin, features, groups, **options):
    names = [f"f{column}" for column in range(features.shape[1])]
    return ruler_accuracy(margin, 0 * margin, features, 0 * features, names, groups=groups, **options)


def test_a_ruler_by_hand():
    # The model is right in 3 of 4; length in 2, with one tie: (2 + 0.5) / 4.
    result = ruler_accuracy([1, 1, 1, 0], [0, 0, 0, 1], [[2], [2], [1], [1]], [[1], [1], [1], [2]], ["length"])
    (row,) = result.rulers
    assert (result.accuracy, row.accuracy, row.prefers, row.n_discordant) == (0.75, 0.625, "more", 3)
    assert row.difference == pytest.approx(0.125)
    assert (result.best.feature, result.best.p_value) == ("length", row.p_value)


def test_less_of_a_feature_is_the_same_ruler():
    margin, features, groups = world(200, 0, 0.7, (0.65,))
    one, other = (compare(margin, sign * features, groups).rulers[0] for sign in (1, -1))
    assert (one.prefers, other.prefers) == ("more", "less")
    assert (one.accuracy, one.p_value) == pytest.approx((other.accuracy, other.p_value))


def test_of_independent_pairs_the_difference_is_the_paired_t_test():
    margin, features, _ = world(300, 1, 0.7, (0.6,))
    row = compare(margin, features, None).rulers[0]
    expected = stats.ttest_rel((margin > 0).astype(float), (features[:, 0] > 0).astype(float))
    assert row.p_value == pytest.approx(expected.pvalue)
    assert row.difference_interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_a_model_that_is_better_than_every_ruler_is_found_and_one_that_is_worse_than_one():
    better = compare(*world(4000, 2, 0.75, (0.6, 0.3, 0.5))).best
    assert (better.feature, better.n_rulers) == ("f1", 3)
    assert better.difference == pytest.approx(0.05, abs=0.03)
    assert better.difference_interval[0] > 0
    worse = compare(*world(4000, 3, 0.6, (0.8, 0.3, 0.5))).best
    assert worse.p_value < 0.01
    assert worse.difference_interval[1] < 0


@pytest.mark.parametrize("level", [0.5, 0.65])
def test_equal_accuracy_is_rejected_no_more_often_than_it_should(level):
    single, best, covered = [], [], []
    for seed in range(150):
        result = compare(*world(200, seed, level, (level, 0.5, 0.5)))
        single.append(result.rulers[0].p_value < 0.05)
        best.append(result.best.p_value < 0.05)
        covered.append(result.best.difference_interval[0] <= 0 <= result.best.difference_interval[1])
    # 150 draws at 5 %: three standard errors are 5.3 points.
    assert np.mean(single) < 0.103
    assert np.mean(best) < 0.103
    assert np.mean(covered) > 0.897


@pytest.mark.parametrize(
    ("features", "options", "status"),
    [
        ([0, 0, 0, 0], {}, "not_identified"),
        ([1, 0, 0, 0], {}, "too_few_discordant"),
        ([1, 1, -1, 1], {"groups": [0, 0, 0, 0]}, "too_few_clusters"),
        ([1, 1, 1, -1], {}, "no_residual_variation"),
    ],
)
def test_what_has_no_number_has_a_status(features, options, status):
    result = ruler_accuracy([1, 1, 1, 0], [0, 0, 0, 1], [[f] for f in features], [[0]] * 4, ["f"], **options)
    assert result.rulers[0].status == status
    assert math.isnan(result.rulers[0].p_value)
    assert result.best is None


def test_bad_input_is_named():
    with pytest.raises(DataError, match="tie_band must be a finite number of at least 0, got -1"):
        ruler_accuracy([1.0], [0.0], [[1]], [[0]], ["f"], tie_band=-1)
    with pytest.raises(DataError, match="differ in length"):
        ruler_accuracy([1.0], [0.0], [[1]], [[0]], ["f"], groups=["a", "b"])

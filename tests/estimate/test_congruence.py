import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from seal_datasets.errors import DataError
from seal_datasets.estimate import congruent_accuracy


def world(n, seed, follows=0.0):
    """Choices by quality alone; the reward adds `follows` for the feature. Prompts of 1-8 pairs share part of both."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n), rng.integers(1, 9, n))[:n]
    shared = rng.normal(size=(2, groups.max() + 1))[:, groups]
    quality, feature = shared + rng.normal(size=(2, n))
    feature = np.sign(feature) * (rng.random(n) < 0.7)
    sign = np.where(rng.random(n) < expit(quality), 1, -1)
    return sign * (quality + follows * feature), (sign * feature)[:, None], groups


def gap_of(margin, feature, groups, **options):
    zero = np.zeros_like
    return congruent_accuracy(margin, zero(margin), feature, zero(feature), ["f"], groups=groups, **options).features[0]


def test_accuracy_by_what_the_feature_favours_by_hand():
    # Congruent: right, right, tie. Incongruent: right, wrong. Neutral: wrong.
    result = congruent_accuracy(
        [1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 1, 1], [[1], [1], [1], [0], [0], [1]], [[0], [0], [0], [1], [1], [1]], ["f"]
    )
    row = result.features[0]
    parts = [(part.accuracy, part.n) for part in (row.congruent, row.incongruent, row.neutral)]
    assert parts == [(pytest.approx(2.5 / 3), 3), (0.5, 2), (0.0, 1)]
    assert row.gap == pytest.approx(2.5 / 3 - 0.5)
    assert result.accuracy.accuracy == pytest.approx(3.5 / 6)


def test_a_feature_of_the_opposite_sign_has_the_opposite_gap():
    margin, feature, groups = world(300, 0, follows=1.0)
    one, other = gap_of(margin, feature, groups), gap_of(margin, -feature, groups)
    assert other.gap == pytest.approx(-one.gap)
    assert other.p_value == pytest.approx(one.p_value)
    assert (other.congruent, other.incongruent) == (one.incongruent, one.congruent)


def test_of_independent_pairs_the_gap_is_welchs_test():
    margin, feature, _ = world(200, 1)
    row = gap_of(margin, feature, None)
    correct, side = (margin > 0).astype(float), feature[:, 0]
    welch = stats.ttest_ind(correct[side > 0], correct[side < 0], equal_var=False)
    assert row.gap / row.std_error == pytest.approx(welch.statistic)
    # Welch takes the degrees of freedom from the observed variances, Satterthwaite's take equal ones.
    assert row.degrees_of_freedom == pytest.approx(welch.df, rel=0.1)
    assert row.confidence_interval == pytest.approx(tuple(welch.confidence_interval(0.95)), abs=1e-3)


def test_a_reward_for_a_spoiler_shows_as_a_gap():
    row = gap_of(*world(4000, 2, follows=1.0))
    assert row.gap > 0.2
    assert row.p_value < 1e-6


def test_without_a_reward_for_the_spoiler_a_gap_is_rare():
    p_values = [gap_of(*world(200, seed)).p_value for seed in range(150)]
    # 150 draws at 5 %: three standard errors are 5.3 points.
    assert np.mean(np.array(p_values) < 0.05) < 0.103


def test_a_feature_in_few_pairs_is_not_called_more_often_than_it_should():
    found = []
    for seed in range(150):
        margin, feature, groups = world(400, seed)
        rare = np.where(np.arange(400)[:, None] % 60 == 0, np.where(feature == 0, 1.0, feature), 0.0)
        found.append(gap_of(margin, rare, groups))
    called = [row.p_value < 0.05 for row in found if row.status == "ok"]
    assert len(called) > 75
    assert np.mean(called) < 0.103


@pytest.mark.parametrize(
    ("features", "options", "status"),
    [
        ([1, 1, 1, 1], {}, "no_incongruent"),
        ([-1, -1, 0, 0], {}, "no_congruent"),
        ([1, 1, 1, -1], {}, "too_few_discordant"),
        ([1, 1, -1, -1], {"groups": [0, 0, 0, 0]}, "too_few_clusters"),
        ([1, 1, -1, -1], {}, "no_residual_variation"),
    ],
)
def test_what_has_no_number_has_a_status(features, options, status):
    row = congruent_accuracy([1, 1, 0, 0], [0, 0, 1, 1], [[f] for f in features], [[0]] * 4, ["f"], **options).features[
        0
    ]
    assert row.status == status
    assert math.isnan(row.p_value)


def test_bad_input_is_named():
    with pytest.raises(DataError, match="tie_band must be a finite number of at least 0, got nan"):
        congruent_accuracy([1.0], [0.0], [[1]], [[0]], ["f"], tie_band=math.nan)
    with pytest.raises(DataError, match="rejected_features row 0 has 2"):
        congruent_accuracy([1.0], [0.0], [[1]], [[0, 1]], ["f"])
    with pytest.raises(DataError, match="adjust must be one of"):
        congruent_accuracy([1.0], [0.0], [[1]], [[0]], ["f"], adjust="none")

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from seal_datasets.errors import DataError
from seal_datasets.estimate import reward_calibration
from seal_datasets.estimate.choice_probability import choice_probability, clustered_errors


def drawn(n, temperature, seed, prompts=True):
    """Margins with choices of probability expit(margin / temperature); pairs of a prompt share luck."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n), rng.integers(1, 9, n))[:n] if prompts else np.arange(n)
    margin = 1.5 * rng.normal(size=n)
    luck = np.where(rng.random(n) < 0.5, rng.random(groups.max() + 1)[groups], rng.random(n))
    return np.where(luck < expit(margin / temperature), margin, -margin), groups


def test_three_of_four_by_hand():
    result = reward_calibration([2.0] * 4, [0.0] * 3 + [4.0])
    p = 1 / (1 + math.exp(-2))
    assert result.temperature == pytest.approx(2 / math.log(3))  # log-odds of 3 to 1 at a margin of 2
    assert result.brier == pytest.approx((3 * (1 - p) ** 2 + p**2) / 4)
    assert result.log_loss == pytest.approx(-(3 * math.log(p) + math.log(1 - p)) / 4)
    assert result.log_loss_at_temperature == pytest.approx(-(3 * math.log(0.75) + math.log(0.25)) / 4)
    assert result.calibration_error.observed == pytest.approx(p - 0.75)
    (only,) = result.curve
    assert (only.probability, only.accuracy, only.n) == (pytest.approx(p), 0.75, 4)


def test_the_side_that_is_named_first_changes_the_sign_of_the_slope_only():
    margin, groups = drawn(400, 1.5, 0)
    first = reward_calibration(margin, np.zeros(400), groups=groups)
    assert reward_calibration(margin + 5, np.full(400, 5.0), groups=groups).slope == pytest.approx(first.slope)
    # A model with the opposite rewards has no positive temperature, and promises what it does not keep.
    opposite = reward_calibration(-margin, np.zeros(400), groups=groups)
    assert (opposite.temperature_status, math.isnan(opposite.temperature)) == ("no_better_than_chance", True)
    assert opposite.brier == pytest.approx(np.mean(expit(margin) ** 2))


def test_margins_of_another_scale_have_another_temperature_and_the_same_loss_at_it():
    margin, groups = drawn(500, 1.0, 1)
    one, three = (reward_calibration(scale * margin, np.zeros(500), groups=groups) for scale in (1.0, 3.0))
    assert three.temperature == pytest.approx(3 * one.temperature)
    assert three.log_loss_at_temperature == pytest.approx(one.log_loss_at_temperature)


def test_slope_and_error_are_those_of_statsmodels():
    margin, groups = drawn(600, 1.3, 2)
    fit = sm.Logit(np.ones(600), margin[:, None]).fit(
        disp=0, cov_type="cluster", cov_kwds={"groups": groups}, use_t=False
    )
    result = reward_calibration(margin, np.zeros(600), groups=groups)
    assert result.slope == pytest.approx(fit.params[0], rel=1e-6)
    influence = choice_probability(margin, "temperature").influence
    crv1 = math.sqrt(clustered_errors(influence, groups)[0, 0])
    assert crv1 == pytest.approx(fit.bse[0], rel=1e-6)
    assert crv1 < result.slope_std_error < 1.2 * crv1  # CR2 is a little wider


def test_bins_of_independent_pairs_are_scikit_learns():
    calibration_curve = pytest.importorskip("sklearn.calibration").calibration_curve
    margin, _ = drawn(1000, 1.5, 3, prompts=False)
    truth, promised = calibration_curve(margin > 0, expit(np.abs(margin)), n_bins=10, strategy="quantile")
    curve = reward_calibration(margin, np.zeros(1000)).curve
    assert [part.accuracy for part in curve] == pytest.approx(truth, abs=0.02)  # a pair on an edge may change bins
    assert [part.probability for part in curve] == pytest.approx(promised, abs=0.01)


def test_planted_temperatures_come_back():
    for temperature in (0.5, 1.0, 2.0):
        result = reward_calibration(drawn(20_000, temperature, 4)[0], np.zeros(20_000))
        assert result.temperature == pytest.approx(temperature, rel=0.1)
        assert (result.calibration_error.p_value < 0.01) == (temperature != 1.0)


def test_a_calibrated_model_is_called_uncalibrated_no_more_often_than_it_should():
    worlds = [drawn(300, 1.0, seed) for seed in range(150)]
    results = [reward_calibration(margin, 0 * margin, groups=groups) for margin, groups in worlds]
    # 150 draws at 5 %: three standard errors are 5.3 points.
    assert np.mean([result.slope_p_value < 0.05 for result in results]) < 0.103
    assert np.mean([result.calibration_error.p_value < 0.05 for result in results]) < 0.103
    assert all(result.calibration_error.interval[0] >= 0 for result in results)


@pytest.mark.parametrize(
    ("margin", "groups", "temperature_status", "status"),
    [
        ([1.0, 2.0, 0.0], None, "perfect_ranking", "ok"),
        ([0.0, 0.0, 0.0], None, "no_margins", "ok"),
        ([-1.0, -2.0, 1.0], None, "no_better_than_chance", "ok"),
        ([3.0, -1.0, 1.0], ["a", "a", "a"], "too_few_clusters", "too_few_clusters"),
        ([1.0, -1e-5, 0.0], None, "too_little_information", "ok"),
        ([1e50, -1e49, 1e50], None, "ok", "ok"),
        ([3e-200, -1e-200, 2e-200], None, "ok", "ok"),
    ],
)
def test_what_has_no_number_has_a_status(margin, groups, temperature_status, status):
    result = reward_calibration(margin, np.zeros(3), groups=groups)
    assert (result.temperature_status, result.status) == (temperature_status, status)
    assert 0 <= result.brier <= 1
    assert result.log_loss >= 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0, 2.0]), "differ in length"),
        (([1.0, math.nan], [1.0, 2.0]), "the first in row 1"),
        (([1.0, 2.0], [1.0, 2.0], {"n_bins": 0}), "n_bins must be a whole number of at least 1, got 0"),
        (([1.0, 2.0], [1.0, 2.0], {"n_bins": 2.5}), "n_bins must be a whole number"),
        (([1.0, 2.0], [1.0, 2.0], {"groups": ["a"]}), "groups has 1"),
        (([1.0, 2.0], [1.0, 2.0], {"confidence": 1.0}), "confidence"),
    ],
)
def test_bad_input_is_named(arguments, message):
    options = arguments[2] if len(arguments) > 2 else {}
    with pytest.raises(DataError, match=message):
        reward_calibration(*arguments[:2], **options)


def test_scores_that_cancel_within_prompts_leave_no_error_of_the_slope():
    # Every prompt ranks three of four pairs right.
    result = reward_calibration([2.0] * 40, ([0.0] * 3 + [4.0]) * 10, groups=np.repeat(np.arange(10), 4))
    assert result.temperature == pytest.approx(2 / math.log(3))
    assert result.temperature_status == "no_residual_variation"
    assert np.isnan([result.slope_std_error, result.slope_p_value, *result.temperature_interval]).all()

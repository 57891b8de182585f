import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from seal_datasets.errors import DataError
from seal_datasets.estimate.calibration import calibrate_probabilities, implied_rates


def planted(n=20_000, slope=0.4, intercept=-0.7, seed=0):
    rng = np.random.default_rng(seed)
    p = special.expit(3 * rng.normal(size=n))
    return p, rng.random(n) < special.expit(intercept + slope * special.logit(p))


def test_planted_calibration_is_recovered():
    found = calibrate_probabilities(*planted())
    assert found.slope == pytest.approx(0.4, abs=0.03)
    assert found.intercept == pytest.approx(-0.7, abs=0.06)
    p, truth = planted(seed=1)
    calibrated = found.apply(p)
    for low in np.arange(0.1, 0.6, 0.1):
        part = (calibrated >= low) & (calibrated < low + 0.1)
        assert truth[part].mean() == pytest.approx(calibrated[part].mean(), abs=0.03)
    assert found.brier_calibrated < min(found.brier, found.brier_constant)


def test_at_large_n_it_is_the_logistic_regression_of_another_library():
    p, truth = planted()
    fit = LogisticRegression(C=np.inf).fit(special.logit(p)[:, None], truth)
    found = calibrate_probabilities(p, truth)
    assert found.slope == pytest.approx(fit.coef_[0, 0], rel=1e-2)
    assert found.intercept == pytest.approx(fit.intercept_[0], rel=1e-2)
    assert found.auc == pytest.approx(roc_auc_score(truth, p))
    assert found.brier == pytest.approx(brier_score_loss(truth, p))


def test_noise_is_calibrated_to_the_base_rate_and_gains_nothing():
    rng = np.random.default_rng(2)
    found = calibrate_probabilities(rng.random(3000), rng.random(3000) < 0.3)
    np.testing.assert_allclose(found.apply([0.05, 0.95]), 0.3, atol=0.06)
    assert found.brier_calibrated == pytest.approx(found.brier_constant, abs=0.003)


def test_texts_of_a_prompt_do_not_test_what_they_taught():
    """All texts of a prompt share one probability and one truth: only held-out prompts show that it is noise."""
    rng = np.random.default_rng(3)
    prompts = np.repeat(np.arange(40), 50)
    p, truth = rng.random(40)[prompts], (rng.random(40) < 0.5)[prompts]
    assert (
        calibrate_probabilities(p, truth, groups=prompts).brier_calibrated
        > calibrate_probabilities(p, truth).brier_calibrated
    )


def test_too_few_gold_labels_are_nan_with_the_reason():
    found = calibrate_probabilities([0.9, 0.8, 0.1] * 3, [1, 1, 0] * 3)
    assert math.isnan(found.slope)
    assert found.status == "fewer than 5 texts whose gold label is no"
    assert np.isnan(found.apply([0.5])).all()


def test_no_text_with_both_is_a_reason():
    found = calibrate_probabilities([], [])
    assert (found.n, found.status) == (0, "no text has both a probability and a gold label")
    assert np.isnan([found.slope, found.auc, found.brier, *found.apply([0.5])]).all()


def test_bad_input_is_named():
    with pytest.raises(DataError, match=r"1 value.*outside.*row 1: 1\.5"):
        calibrate_probabilities([0.5, 1.5], [0, 1])
    with pytest.raises(DataError, match="gold"):
        calibrate_probabilities([0.5, 0.5], [0, 2])
    with pytest.raises(DataError):
        calibrate_probabilities([0.5], [0, 1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_implied_rates_are_shares(p):
    for rate in implied_rates(p):
        assert math.isnan(rate) or 0 <= rate <= 1 + 1e-12


def test_implied_rates_are_the_true_ones_when_probabilities_are_calibrated():
    p, truth = planted(slope=1.0, intercept=0.0)
    sensitivity, specificity = implied_rates(p)
    assert sensitivity == pytest.approx((p >= 0.5)[truth].mean(), abs=0.01)
    assert specificity == pytest.approx((p < 0.5)[~truth].mean(), abs=0.01)


@pytest.mark.parametrize("p", [[0.7] * 20, [0.0, 1e-9] * 10])
def test_one_probability_throughout_has_no_slope(p):
    # 1e-9 and 0 are cut to the same 1e-6.
    found = calibrate_probabilities(p, [1, 1, 0, 0] * 5)
    assert np.isnan([found.slope, found.intercept, found.brier_calibrated]).all()
    assert found.status == "all texts have one probability, which leaves the slope undefined"

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from seal_datasets.errors import DataError
from seal_datasets.estimate import amplification
from seal_datasets.estimate.amplification_fit import fit_choice_logit


def world(n, seed, spoiler=0.0, omitted=1.5, scale=1.0, rare=None):
    """Margins, differences and prompts; choices follow a utility of which about half lies outside the features.

    Rewards are the utility times `scale`, and `spoiler` for the first feature, which people do not ask for. Pairs of a
    prompt (1-8) share part of everything. With `rare`, the first feature differs in that many prompts.
    """
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n), rng.integers(1, 9, n))[:n]
    shared = rng.normal(size=(groups.max() + 1, 4))[groups]
    latent = 0.6 * shared + 0.8 * rng.normal(size=(n, 4))
    x = np.column_stack([(latent[:, :2] > 0) - (rng.random((n, 2)) < 0.5).astype(float), latent[:, 2]])
    if rare is not None:
        x[:, 0] = np.where(groups < rare, np.where(rng.random(n) < 0.5, 1.0, -1.0), 0.0)
    utility = 0.8 * x[:, 1] + 0.5 * x[:, 2] + omitted * latent[:, 3]
    luck = np.where(rng.random(n) < 0.4, rng.random(groups.max() + 1)[groups], rng.random(n))
    sign = np.where(luck < expit(utility), 1.0, -1.0)
    return sign * scale * (utility + spoiler * x[:, 0]), sign[:, None] * x, groups


def amplify(margin, x, groups, **options):
    names = ["spoiler", "kind", "helpful"][: x.shape[1]]
    return amplification(margin, 0 * margin, x, 0 * x, names, groups=groups, **options)


def test_three_of_four_by_hand():
    chosen = np.array([[1.0]] * 3000 + [[0.0]] * 1000)
    margin = np.where(chosen[:, 0] == 1, 2.0, -2.0)
    row = amplification(margin, 0 * margin, chosen, 1 - chosen, ["long"], calibration="none").features[0]
    # log(3000.5 / 1000.5) of the choices; the model's share of the long response is expit(2), with half a pair each.
    assert row.asked == pytest.approx(math.log(3), abs=1e-3)
    assert row.given == pytest.approx(2.0, abs=1e-2)
    # The error of a log-odds is 1 / sqrt(n p (1 - p)); the model's probabilities do not vary.
    assert row.std_error == pytest.approx(1 / math.sqrt(4000 * 0.75 * 0.25), rel=1e-2)


def test_a_reward_that_is_calibrated_to_the_only_feature_is_never_an_amplification():
    _, x, groups = world(400, 0)
    # The margin is the feature times 3: a temperature makes the model's probability the logit's.
    result = amplify(3 * x[:, 1], x[:, [1]], groups)
    row = result.features[0]
    assert row.given == pytest.approx(row.asked, rel=1e-9)
    # Given less asked is rounding, and so is its error.
    assert (row.amplification, row.status) == (pytest.approx(0.0, abs=1e-9), "no_residual_variation")
    assert np.isnan([row.std_error, row.p_value, row.score_p_value, *row.confidence_interval]).all()
    assert result.family_size == 0


def test_the_side_and_the_scale_of_rewards_do_not_matter():
    margin, x, groups = world(500, 1, spoiler=0.5)
    one, scaled = amplify(margin, x, groups), amplify(1000 * margin + 0.0, x, groups)
    for first, second in zip(one.features, scaled.features, strict=True):
        assert second.amplification == pytest.approx(first.amplification, rel=1e-6)
        assert second.p_value == pytest.approx(first.p_value, rel=1e-6)
    assert scaled.temperature == pytest.approx(1000 * one.temperature)
    halved = amplify(margin, x / 2, groups)
    assert halved.features[0].amplification == pytest.approx(2 * one.features[0].amplification, rel=1e-6)


def test_both_fits_are_the_binomial_regressions_of_statsmodels():
    margin, x, _ = world(3000, 2)
    scale = np.sqrt((x**2).mean(axis=0))
    for outcome in (np.ones(3000), expit(margin)):
        with np.errstate(all="ignore"):
            expected = sm.GLM(outcome, x, family=sm.families.Binomial()).fit().params
        # The priors weigh as much as one pair a feature, of 3,000.
        assert fit_choice_logit(x / scale, outcome) / scale == pytest.approx(expected, abs=5e-3)


def test_errors_are_those_of_the_jackknife_by_prompt():
    margin, x, groups = world(250, 3, spoiler=0.5)
    found = amplify(margin, x, groups)
    left_out = [
        [row.amplification for row in amplify(margin[groups != g], x[groups != g], groups[groups != g]).features]
        for g in range(groups.max() + 1)
    ]
    n = len(left_out)
    jackknife = np.sqrt((n - 1) / n * ((np.array(left_out) - np.mean(left_out, axis=0)) ** 2).sum(axis=0))
    assert [row.std_error for row in found.features] == pytest.approx(jackknife, rel=0.1)


@pytest.mark.parametrize("calibration", ["temperature", "curve", "none"])
def test_a_planted_spoiler_is_recovered(calibration):
    margin, x, groups = world(20_000, 4, spoiler=0.6, omitted=0.0)
    spoiler, kind, helpful = amplify(margin, x, groups, calibration=calibration).features
    # Without utility outside the features, expit(margin) is the logit of the utility plus 0.6 for the spoiler. A
    # calibration divides all of it by a temperature, so what people asked for is given a little less of.
    temperature = 1.0 if calibration == "none" else amplify(margin, x, groups).temperature
    assert spoiler.amplification == pytest.approx(0.6 / temperature, abs=0.06)
    assert kind.amplification == pytest.approx(0.8 / temperature - 0.8, abs=0.09)
    assert helpful.amplification == pytest.approx(0.5 / temperature - 0.5, abs=0.06)
    assert spoiler.p_adjusted < 1e-6
    if calibration == "none":  # elsewhere the margin is a combination of the features
        assert spoiler.score_estimate == pytest.approx(spoiler.amplification, abs=0.15)


@pytest.mark.parametrize("calibration", ["temperature", "curve", "none"])
def test_the_human_utility_as_reward_is_no_amplification_though_half_of_it_is_outside_the_features(calibration):
    rejected = {"wald": [], "score": []}
    for seed in range(150):
        scale = 1.0 if calibration == "none" else 2.0
        for row in amplify(*world(300, seed, scale=scale), calibration=calibration).features:
            rejected["wald"].append(row.p_value < 0.05)
            rejected["score"].append(row.score_p_value < 0.05)
    # 450 tests at 5 %, three to a draw: three standard errors are 3.1 points, were they independent.
    assert np.mean(rejected["wald"]) < 0.085
    assert np.mean(rejected["score"]) < 0.085


@pytest.mark.parametrize("rare", [2, 5, 10])
def test_a_feature_in_few_prompts_is_not_called_more_often_than_it_should(rare):
    rows = [amplify(*world(300, seed, rare=rare)).features[0] for seed in range(150)]
    assert np.mean([row.p_value < 0.05 for row in rows]) < 0.103
    assert np.median([row.degrees_of_freedom for row in rows]) < rare + 1


@pytest.mark.parametrize(
    ("margin", "x", "groups", "statuses"),
    [
        ([1, 2, 1, 3], [[1], [1], [-1], [1]], None, ["perfect_ranking"]),
        ([0, 0, 0, 0], [[1], [1], [-1], [1]], None, ["no_margins"]),
        ([-1, -2, -1, 3], [[1], [1], [-1], [1]], None, ["no_better_than_chance"]),
        ([1, 2, -1, 3], [[0], [0], [0], [0]], None, ["not_identified"]),
        ([1, 2, -1, 3], [[1], [0], [0], [0]], None, ["too_little_information"]),
        ([1, 2, -1, 3], [[1, 2], [1, 2], [-1, -2], [1, 2]], None, ["collinear", "collinear"]),
        ([1, 2, -1, 3], [[1], [1], [-1], [1]], [0, 0, 0, 0], ["too_few_clusters"]),
    ],
)
def test_what_has_no_number_has_a_status(margin, x, groups, statuses):
    result = amplify(np.array(margin, dtype=float), np.array(x, dtype=float), groups)
    assert [row.status for row in result.features] == statuses
    assert all(math.isnan(row.p_value) for row in result.features)
    assert result.family_size == 0


@pytest.mark.parametrize("calibration", ["temperature", "curve", "none"])
@pytest.mark.parametrize("size", [1e-60, 1e4, 1e30, 1e49])
def test_rewards_of_any_size_give_numbers_or_a_status(calibration, size):
    margin, x, groups = world(60, 5)
    result = amplify(size * margin, x, groups, calibration=calibration)
    assert all(row.status == "ok" and math.isfinite(row.std_error) for row in result.features)


def test_bad_input_is_named():
    with pytest.raises(DataError, match=r"calibration must be one of \['temperature', 'curve', 'none'\], got 'platt'"):
        amplify(np.ones(2), np.ones((2, 1)), None, calibration="platt")
    with pytest.raises(DataError, match="chosen_features has shape"):
        amplification([1.0], [0.0], np.ones((1, 2)), [[0]], ["f"])

import math

import numpy as np
import pandas as pd
import pyfixest
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from seal_datasets.errors import DataError
from seal_datasets.estimate import feature_imprint
from seal_datasets.synthetic import planted_pairs

PAIRS = planted_pairs(120, imprint={"helpful": 1.5, "honest": -0.5, "long": 0.0}, n_prompts=40, seed=3)
ROWS = (PAIRS.rewards, PAIRS.features, PAIRS.groups, PAIRS.feature_names)


def _column(fit, name):
    return np.array([getattr(row, name) for row in fit.imprint])


def test_two_prompts_by_hand():
    # Within prompts x is +-1/2; the rewards' differences are 2 and 1: beta = (1 + 1/2) / 1 = 1.5.
    fit = feature_imprint([3.0, 1.0, 7.0, 6.0], [[1], [0], [1], [0]], ["p", "p", "q", "q"], ["polite"])
    row = fit.imprint[0]
    assert row.coefficient == pytest.approx(1.5)
    # Scores of the prompts are +-1/4, bread 1: 2 / 16 * G/(G-1) * (n-1)/(n-k-1) = 1/8 * 2 * 3/2 = 3/8.
    assert row.std_error == pytest.approx(math.sqrt(3 / 8))
    # t = sqrt(6) with one degree of freedom: p = 1 - 2 atan(sqrt(6)) / pi, and the 97.5 % point is tan(0.475 pi).
    assert row.p_value == pytest.approx(1 - 2 * math.atan(math.sqrt(6)) / math.pi)
    half = math.sqrt(3 / 8) * math.tan(0.475 * math.pi)
    assert row.confidence_interval == pytest.approx((1.5 - half, 1.5 + half))
    assert (row.n_discordant, row.vif, row.status) == (2, pytest.approx(1.0), "ok")
    assert (fit.n_texts, fit.n_groups, fit.n_singletons, fit.degrees_of_freedom) == (4, 2, 0, 1)


@pytest.mark.parametrize("prompts_per_cluster", [None, 40])
def test_is_pyfixest(prompts_per_cluster):
    pairs = planted_pairs(120, imprint={"x1": 1.5, "x2": -0.5}, n_prompts=prompts_per_cluster, seed=5)
    frame = pd.DataFrame(pairs.features, columns=["x1", "x2"]).assign(y=pairs.rewards, prompt=pairs.groups)
    reference = pyfixest.feols("y ~ x1 + x2 | prompt", data=frame, vcov={"CRV1": "prompt"})
    fit = feature_imprint(pairs.rewards, pairs.features, pairs.groups, ["x1", "x2"])
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.coef(), rtol=1e-6)
    np.testing.assert_allclose(_column(fit, "std_error"), reference.se(), rtol=1e-6)
    np.testing.assert_allclose(_column(fit, "p_value"), reference.pvalue(), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(_column(fit, "confidence_interval"), reference.confint(), rtol=1e-6)


def test_pooled_is_statsmodels_clustered_ols():
    fit = feature_imprint(*ROWS, effects="pooled")
    reference = sm.OLS(PAIRS.rewards, sm.add_constant(PAIRS.features)).fit(
        cov_type="cluster", cov_kwds={"groups": PAIRS.groups}, use_t=True
    )
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.params[1:], rtol=1e-8)
    np.testing.assert_allclose(_column(fit, "std_error"), reference.bse[1:], rtol=1e-8)
    np.testing.assert_allclose(_column(fit, "p_value"), reference.pvalues[1:], rtol=1e-6, atol=1e-14)


def test_pair_effects_are_least_squares_on_differences_without_intercept():
    pairs = planted_pairs(80, imprint={"helpful": 1.0, "honest": 0.5}, seed=7)
    fit = feature_imprint(pairs.rewards, pairs.features, pairs.groups, pairs.feature_names)
    x, y = pairs.chosen_features - pairs.rejected_features, pairs.chosen_rewards - pairs.rejected_rewards
    reference = sm.OLS(y, x).fit(cov_type="HC0")
    # Same influence of each pair; the factor counts 160 texts where HC1 would count 80 pairs.
    factor = math.sqrt(80 / 79 * 159 / 157)
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.params, rtol=1e-8)
    np.testing.assert_allclose(_column(fit, "std_error"), reference.bse * factor, rtol=1e-8)
    assert _column(fit, "n_discordant").tolist() == (x != 0).sum(axis=0).tolist()


def test_the_change_by_training_is_the_difference_of_the_imprints():
    post, pre = (
        feature_imprint(rewards, PAIRS.features, PAIRS.groups, PAIRS.feature_names)
        for rewards in (PAIRS.rewards, PAIRS.pre_rewards)
    )
    change = feature_imprint(PAIRS.rewards - PAIRS.pre_rewards, *ROWS[1:])
    np.testing.assert_allclose(
        _column(change, "coefficient"), _column(post, "coefficient") - _column(pre, "coefficient"), rtol=1e-8
    )


@settings(max_examples=40)
@given(st.floats(0.01, 100), st.floats(-100, 100), st.randoms(use_true_random=False))
def test_rescaled_rewards_shifted_prompts_and_another_order(scale, shift, random):
    order = list(range(len(PAIRS.rewards)))
    random.shuffle(order)
    moved = scale * PAIRS.rewards + shift * PAIRS.groups
    fit = feature_imprint(moved[order], PAIRS.features[order], PAIRS.groups[order], PAIRS.feature_names)
    reference = feature_imprint(*ROWS)
    for name in ("coefficient", "std_error", "confidence_interval"):
        np.testing.assert_allclose(_column(fit, name), scale * _column(reference, name), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(_column(fit, "p_value"), _column(reference, "p_value"), rtol=1e-5, atol=1e-12)


def test_a_prompt_with_one_text_counts_for_nothing_under_prompt_effects():
    alone = feature_imprint(
        np.append(PAIRS.rewards, 1e6), np.vstack([PAIRS.features, [1, 1, 1]]), [*PAIRS.groups, -1], PAIRS.feature_names
    )
    assert alone.n_singletons == 1
    assert alone.n_groups == 41
    assert alone.imprint == feature_imprint(*ROWS).imprint


def test_statuses_are_never_a_number():
    # prompt-level: no variation within; twice and its double: an exact combination; rare: one prompt only.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 2)
    twice, free = rng.normal(size=60), rng.normal(size=60)
    rare = np.zeros(60)
    rare[0] = 1
    x = np.column_stack([groups % 2, twice, 2 * twice, rare, free])
    fit = feature_imprint(rng.normal(size=60), x, groups, ["topic", "a", "b", "rare", "free"])
    assert [row.status for row in fit.imprint] == [
        *("not_identified", "collinear", "collinear", "too_few_discordant", "ok"),
    ]
    assert np.isnan(_column(fit, "coefficient")).tolist() == [True, True, True, True, False]
    assert np.isnan(_column(fit, "std_error")).tolist() == [True, True, True, True, False]
    assert np.isnan(_column(fit, "p_adjusted")).tolist() == [True, True, True, True, False]
    assert _column(fit, "n_discordant").tolist() == [0, 30, 30, 1, 30]
    assert fit.family_size == 1
    assert fit.imprint[4].p_adjusted == fit.imprint[4].p_value
    shown = feature_imprint(rng.normal(size=60), x, groups, ["topic", "a", "b", "rare", "free"], min_discordant=1)
    assert math.isfinite(shown.imprint[3].coefficient)
    assert fit.to_dict()["imprint"][0]["coefficient"] is None


def test_too_rare_a_feature_stays_in_as_a_control():
    x = PAIRS.features.copy()
    x[:, 2] = 0
    x[0, 2] = 1
    fit = feature_imprint(PAIRS.rewards, x, PAIRS.groups, PAIRS.feature_names)
    shown = feature_imprint(PAIRS.rewards, x, PAIRS.groups, PAIRS.feature_names, min_discordant=1)
    assert [row.status for row in fit.imprint] == ["ok", "ok", "too_few_discordant"]
    assert _column(fit, "coefficient")[:2].tolist() == _column(shown, "coefficient")[:2].tolist()


def test_one_prompt_has_no_error():
    fit = feature_imprint([3.0, 1.0, 2.0], [[1], [0], [0]], ["p"] * 3, ["polite"], min_discordant=1)
    assert fit.imprint[0].coefficient == pytest.approx(1.5)
    assert fit.imprint[0].status == "too_few_clusters"
    assert math.isnan(fit.imprint[0].std_error)
    assert fit.family_size == 0


def test_a_perfect_fit_has_no_error_to_measure():
    fit = feature_imprint([1.0, 0.0, 3.0, 2.0], [[1], [0], [1], [0]], ["p", "p", "q", "q"], ["polite"])
    assert fit.imprint[0].coefficient == pytest.approx(1.0)
    assert fit.imprint[0].status == "no_residual_variation"
    assert math.isnan(fit.imprint[0].p_value)


def test_only_single_texts_identify_nothing():
    fit = feature_imprint([1.0, 2.0], [[1], [0]], ["p", "q"], ["polite"])
    assert (fit.imprint[0].status, fit.n_singletons, fit.degrees_of_freedom) == ("not_identified", 2, 0)
    assert math.isnan(fit.imprint[0].coefficient)


def test_pooled_calls_a_constant_not_identified_and_keeps_a_prompt_level_feature():
    x = np.column_stack([np.full(240, 0.1), PAIRS.groups % 2, PAIRS.features[:, 0]])
    fit = feature_imprint(PAIRS.rewards, x, PAIRS.groups, ["constant", "topic", "helpful"], effects="pooled")
    assert [row.status for row in fit.imprint] == ["not_identified", "ok", "ok"]
    assert math.isnan(fit.imprint[0].vif)


def test_prompt_effects_take_out_what_pooling_leaves_in():
    # Prompts with high rewards draw more of the feature: pooled least squares credits it with their level.
    pairs = planted_pairs(4000, imprint={"helpful": 1.0}, prompt_effect=3.0, seed=1)
    arguments = (pairs.rewards, pairs.features, pairs.groups, pairs.feature_names)
    fixed, pooled = feature_imprint(*arguments).imprint[0], feature_imprint(*arguments, effects="pooled").imprint[0]
    assert abs(fixed.coefficient - 1.0) < 4 * fixed.std_error < 0.2
    assert pooled.coefficient - 1.0 > 10 * pooled.std_error


def test_planted_imprints_are_covered_95_times_in_100():
    truth = {"helpful": 1.5, "honest": -0.5}
    covered, estimates = [], []
    for seed in range(300):
        pairs = planted_pairs(120, imprint=truth, n_prompts=60, seed=seed)
        fit = feature_imprint(pairs.rewards, pairs.features, pairs.groups, pairs.feature_names)
        estimates.append(_column(fit, "coefficient"))
        covered += [
            row.confidence_interval[0] <= truth[row.feature] <= row.confidence_interval[1] for row in fit.imprint
        ]
    assert 0.92 <= np.mean(covered) <= 0.98
    standard = np.std(estimates, axis=0, ddof=1) / math.sqrt(300)
    assert (np.abs(np.mean(estimates, axis=0) - [1.5, -0.5]) < 4 * standard).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"imprint": {}},
        {"n_pairs": 0},
        {"n_prompts": 11},
        {"n_prompts": 0},
        {"pre_imprint": {"honest": 1.0}},
    ],
)
def test_planted_pairs_say_what_is_wrong(arguments):
    with pytest.raises(DataError, match=r"needed are at least one feature|pre_imprint names honest"):
        planted_pairs(**{"n_pairs": 10, "imprint": {"helpful": 1.0}, "seed": 0} | arguments)


def test_planted_pairs_without_noise_are_the_equation():
    pairs = planted_pairs(30, imprint={"a": 2.0, "b": 1.0}, pre_imprint={"b": -1.0}, n_prompts=7, noise=0.0, seed=4)
    change = pairs.rewards - pairs.pre_rewards
    np.testing.assert_allclose(change, pairs.features @ [2.0, 2.0], atol=1e-12)
    assert pairs.groups.tolist() == [*pairs.prompts, *pairs.prompts]
    assert set(pairs.prompts) == set(range(7))
    assert pairs.rewards[:30].tolist() == pairs.chosen_rewards.tolist()
    assert pairs.pre_rewards[30:].tolist() == pairs.pre_rejected_rewards.tolist()

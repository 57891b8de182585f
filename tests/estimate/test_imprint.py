import math
import warnings

import numpy as np
import pandas as pd
import pyfixest
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from linearmodels.panel import PanelOLS
from statsmodels.stats.outliers_influence import variance_inflation_factor

from seal_datasets.errors import DataError
from seal_datasets.estimate import Texts, feature_imprint, imprint_trajectory, streamed_imprint
from seal_datasets.estimate.synthetic import planted_pairs

PAIRS = planted_pairs(120, imprint={"helpful": 1.5, "honest": -0.5, "long": 0.0}, n_prompts=40, seed=3)
ROWS = (PAIRS.rewards, PAIRS.features, PAIRS.groups, PAIRS.feature_names)


def _column(fit, name):
    return np.array([getattr(row, name) for row in fit.imprint])


def test_two_prompts_by_hand():
    # Within prompts x is +-1/2; the rewards' differences are 2 and 1: beta = (1 + 1/2) / 1 = 1.5.
    fit = feature_imprint([3.0, 1.0, 7.0, 6.0], [[1], [0], [1], [0]], ["p", "p", "q", "q"], ["polite"])
    row = fit.imprint[0]
    assert row.coefficient == pytest.approx(1.5)
    # The error of a mean of two, s / sqrt(2) with s^2 = 1/2: CR2 is that of the differences' mean.
    assert row.std_error == pytest.approx(1 / 2)
    # t = 3 with one degree of freedom: p = 1 - 2 atan(3) / pi, and the 97.5 % point is tan(0.475 pi).
    assert row.p_value == pytest.approx(1 - 2 * math.atan(3) / math.pi)
    half = math.tan(0.475 * math.pi) / 2
    assert row.confidence_interval == pytest.approx((1.5 - half, 1.5 + half))
    assert (row.n_discordant, row.vif, row.status) == (2, pytest.approx(1.0), "ok")
    assert row.degrees_of_freedom == pytest.approx(1)
    assert (fit.n_texts, fit.n_groups, fit.n_singletons, fit.n_clusters) == (4, 2, 0, 2)
    # CRV1: scores of the prompts are +-1/4, bread 1: 2 / 16 * G/(G-1) * (n-1)/(n-k-1) = 1/8 * 2 * 3/2 = 3/8.
    plain = feature_imprint([3.0, 1.0, 7.0, 6.0], [[1], [0], [1], [0]], ["p", "p", "q", "q"], ["polite"], errors="crv1")
    assert plain.imprint[0].std_error == pytest.approx(math.sqrt(3 / 8))


@pytest.mark.parametrize("prompts_per_cluster", [None, 40])
def test_is_pyfixest(prompts_per_cluster):
    pairs = planted_pairs(120, imprint={"x1": 1.5, "x2": -0.5}, n_prompts=prompts_per_cluster, seed=5)
    frame = pd.DataFrame(pairs.features, columns=["x1", "x2"]).assign(y=pairs.rewards, prompt=pairs.groups)
    reference = pyfixest.feols("y ~ x1 + x2 | prompt", data=frame, vcov={"CRV1": "prompt"})
    fit = feature_imprint(pairs.rewards, pairs.features, pairs.groups, ["x1", "x2"], errors="crv1")
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.coef(), rtol=1e-6)
    np.testing.assert_allclose(_column(fit, "std_error"), reference.se(), rtol=1e-6)
    np.testing.assert_allclose(_column(fit, "p_value"), reference.pvalue(), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(_column(fit, "confidence_interval"), reference.confint(), rtol=1e-6)


def test_pooled_is_statsmodels_clustered_ols():
    fit = feature_imprint(*ROWS, effects="pooled", errors="crv1")
    reference = sm.OLS(PAIRS.rewards, sm.add_constant(PAIRS.features)).fit(
        cov_type="cluster", cov_kwds={"groups": PAIRS.groups}, use_t=True
    )
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.params[1:], rtol=1e-8)
    np.testing.assert_allclose(_column(fit, "std_error"), reference.bse[1:], rtol=1e-8)
    np.testing.assert_allclose(_column(fit, "p_value"), reference.pvalues[1:], rtol=1e-6, atol=1e-14)


def test_pair_effects_are_least_squares_on_differences_without_intercept():
    pairs = planted_pairs(80, imprint={"helpful": 1.0, "honest": 0.5}, seed=7)
    fit = feature_imprint(pairs.rewards, pairs.features, pairs.groups, pairs.feature_names, errors="crv1")
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
        *("not_identified", "collinear", "collinear", "too_little_information", "ok"),
    ]
    assert np.isnan(_column(fit, "coefficient")).tolist() == [True, True, True, True, False]
    assert np.isnan(_column(fit, "std_error")).tolist() == [True, True, True, True, False]
    assert np.isnan(_column(fit, "p_adjusted")).tolist() == [True, True, True, True, False]
    assert _column(fit, "n_discordant").tolist() == [0, 30, 30, 1, 30]
    assert fit.family_size == 1
    assert fit.imprint[4].p_adjusted == fit.imprint[4].p_value
    shown = feature_imprint(rng.normal(size=60), x, groups, ["topic", "a", "b", "rare", "free"], min_information=0)
    assert math.isfinite(shown.imprint[3].coefficient)
    assert fit.to_dict()["imprint"][0]["coefficient"] is None


def test_too_rare_a_feature_stays_in_as_a_control():
    x = PAIRS.features.copy()
    x[:, 2] = 0
    x[0, 2] = 1
    fit = feature_imprint(PAIRS.rewards, x, PAIRS.groups, PAIRS.feature_names)
    shown = feature_imprint(PAIRS.rewards, x, PAIRS.groups, PAIRS.feature_names, min_information=0)
    assert [row.status for row in fit.imprint] == ["ok", "ok", "too_little_information"]
    assert _column(fit, "coefficient")[:2].tolist() == _column(shown, "coefficient")[:2].tolist()


def test_one_prompt_has_no_error():
    fit = feature_imprint([3.0, 1.0, 2.0], [[1], [0], [0]], ["p"] * 3, ["polite"], min_information=0)
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
    assert (fit.imprint[0].status, fit.n_singletons, fit.n_clusters) == ("not_identified", 2, 0)
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


def _frame(pairs, names):
    return pd.DataFrame(pairs.features, columns=names).assign(y=pairs.rewards, prompt=pairs.groups)


def test_hc1_is_pyfixest():
    pairs = planted_pairs(120, imprint={"x1": 1.5, "x2": -0.5}, n_prompts=40, seed=5)
    reference = pyfixest.feols("y ~ x1 + x2 | prompt", data=_frame(pairs, ["x1", "x2"]), vcov="HC1")
    fit = feature_imprint(pairs.rewards, pairs.features, pairs.groups, ["x1", "x2"], errors="hc1")
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.coef(), rtol=1e-8)
    np.testing.assert_allclose(_column(fit, "std_error"), reference.se(), rtol=1e-6)


def test_is_linearmodels():
    # PanelOLS counts neither the absorbed effects nor the intercept they stand in for when effects are nested in clusters.
    pairs = planted_pairs(90, imprint={"x1": 1.5, "x2": -0.5}, n_prompts=30, seed=8)
    frame = _frame(pairs, ["x1", "x2"]).assign(time=np.arange(180)).set_index(["prompt", "time"])
    reference = PanelOLS(frame["y"], frame[["x1", "x2"]], entity_effects=True).fit(
        cov_type="clustered", cluster_entity=True, group_debias=True, count_effects=False
    )
    fit = feature_imprint(pairs.rewards, pairs.features, pairs.groups, ["x1", "x2"], errors="crv1")
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.params, rtol=1e-8)
    ratio = _column(fit, "std_error") / reference.std_errors.to_numpy()
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-8)
    assert abs(ratio[0] - 1) < 0.01


def test_coarser_clusters_are_pyfixest():
    pairs = planted_pairs(120, imprint={"x1": 1.5, "x2": -0.5}, n_prompts=60, seed=6)
    frame = _frame(pairs, ["x1", "x2"]).assign(source=pairs.groups % 12)
    reference = pyfixest.feols("y ~ x1 + x2 | prompt", data=frame, vcov={"CRV1": "source"})
    fit = feature_imprint(
        pairs.rewards, pairs.features, pairs.groups, ["x1", "x2"], clusters=pairs.groups % 12, errors="crv1"
    )
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.coef(), rtol=1e-8)
    assert fit.imprint[0].degrees_of_freedom == fit.n_clusters - 1 == 11
    assert fit.covariance == "clustered by the clusters given (CRV1)"
    # fixest counts the effects of prompts, which are not the clusters, unless told that they are nested in them.
    ratio = _column(fit, "std_error") / reference.se().to_numpy()
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
    with pytest.raises(DataError, match=r"clusters must hold whole prompts, but row 60 "):
        feature_imprint(pairs.rewards, pairs.features, pairs.groups, ["x1", "x2"], clusters=np.arange(240) // 60)


@pytest.mark.parametrize("errors", ["cr2", "wild"])
def test_other_errors_change_errors_only(errors):
    plain, fit = (feature_imprint(*ROWS, errors=each, n_bootstrap=199) for each in ("crv1", errors))
    np.testing.assert_allclose(_column(fit, "coefficient"), _column(plain, "coefficient"), rtol=1e-12)
    np.testing.assert_allclose(_column(fit, "confidence_interval"), _column(plain, "confidence_interval"), atol=0.15)
    assert (_column(fit, "p_value") != _column(plain, "p_value")).all()
    assert errors[:3] in fit.covariance.lower().replace("bias-reduced (cr2)", "cr2")
    if errors == "cr2":
        assert (_column(fit, "degrees_of_freedom") < 39).all()


def test_simultaneous_intervals_hold_more_than_single_ones_and_less_than_bonferroni():
    fit = feature_imprint(*ROWS)
    bonferroni = feature_imprint(*ROWS, confidence=1 - 0.05 / 3)
    width, one, three = (
        np.ptp(_column(*each), axis=1)
        for each in ((fit, "simultaneous_interval"), (fit, "confidence_interval"), (bonferroni, "confidence_interval"))
    )
    assert (one < width).all()
    assert (width < three * 1.01).all()


def test_standardised_imprints_do_not_depend_on_units():
    fit = feature_imprint(*ROWS)
    moved = feature_imprint(100 * PAIRS.rewards, PAIRS.features * [1, 10, 0.1], PAIRS.groups, PAIRS.feature_names)
    np.testing.assert_allclose(_column(moved, "standardised"), _column(fit, "standardised"), rtol=1e-8)
    frame = (
        pd.DataFrame(np.column_stack([PAIRS.features, PAIRS.rewards]))
        .groupby(PAIRS.groups)
        .transform(lambda c: c - c.mean())
    )
    deviations = frame.std().to_numpy()
    expected = _column(fit, "coefficient") * deviations[:3] / deviations[3]
    np.testing.assert_allclose(_column(fit, "standardised"), expected, rtol=1e-8)


def test_a_block_of_one_is_its_t_test_and_blocks_are_adjusted():
    fit = feature_imprint(*ROWS, blocks={"kind": ["helpful"], "rest": ["honest", "long"]}, adjust="holm", errors="crv1")
    kind, rest = fit.blocks
    assert kind.p_value == pytest.approx(fit.imprint[0].p_value)
    assert rest.degrees_of_freedom == (2.0, 39.0)
    assert rest.p_adjusted == pytest.approx(max(rest.p_value, 2 * kind.p_value))
    pairs = planted_pairs(120, imprint={"helpful": 1.5, "honest": -0.5, "long": 0.0}, n_prompts=40, seed=3)
    frame = _frame(pairs, list(pairs.feature_names))
    reference = pyfixest.feols("y ~ helpful + honest + long | prompt", data=frame, vcov={"CRV1": "prompt"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wald = reference.wald_test(R=np.array([[0.0, 1, 0], [0, 0, 1]]), distribution="chi2")
    assert rest.statistic == pytest.approx(float(wald["statistic"]) / 2, rel=1e-6)
    with pytest.raises(DataError, match=r"blocks\['kind'\] names short"):
        feature_imprint(*ROWS, blocks={"kind": ["short"]})


def test_the_papers_rule_drops_the_largest_factor_first_and_computes_anew():
    rng = np.random.default_rng(2)
    a, b, c, d = rng.normal(size=(4, 240))
    x = np.column_stack([a, a + 0.1 * b, a + 0.3 * d, c])
    fit = feature_imprint(PAIRS.rewards, x, PAIRS.groups, ["a", "b", "c", "d"], max_vif=5)
    within = pd.DataFrame(x, columns=list("abcd")).groupby(PAIRS.groups).transform(lambda each: each - each.mean())
    expected, left = [], within
    while True:
        factors = {name: variance_inflation_factor(left.to_numpy(), i) for i, name in enumerate(left)}
        worst = max(factors, key=factors.get)
        if factors[worst] <= 5:
            break
        expected.append(worst)
        left = left.drop(columns=worst)
    assert [name for name, _ in fit.dropped] == expected
    assert {row.feature for row in fit.imprint if row.status == "dropped_vif"} == set(expected)
    alone = feature_imprint(PAIRS.rewards, x[:, [list("abcd").index(n) for n in left]], PAIRS.groups, list(left))
    kept = [row.coefficient for row in fit.imprint if row.status == "ok"]
    np.testing.assert_allclose(kept, _column(alone, "coefficient"), rtol=1e-8)
    with pytest.raises(DataError, match="max_vif must be larger than 1"):
        feature_imprint(*ROWS, max_vif=0.5)


def test_minimum_detectable_effects_are_found_four_times_in_five():
    # The planted imprint is the detectable one; the test at the family's Bonferroni level should find it in 80 % of draws.
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, size=(400, 3)).astype(float)
    groups, noise = np.tile(np.arange(200), 2), rng.normal(size=(400, 400))
    detectable = feature_imprint(noise[0], x, groups, ["a", "b", "c"]).imprint[0].minimum_detectable_effect
    effect = np.mean(
        [feature_imprint(each, x, groups, ["a", "b", "c"]).imprint[0].minimum_detectable_effect for each in noise[:40]]
    )
    assert detectable == pytest.approx(effect, rel=0.3)
    found = [
        feature_imprint(each + effect * x[:, 0], x, groups, ["a", "b", "c"]).imprint[0].p_adjusted < 0.05
        for each in noise
    ]
    assert 0.74 < np.mean(found) < 0.86


CHECKPOINTS = {
    "pre": PAIRS.pre_rewards,
    "middle": 0.5 * (PAIRS.pre_rewards + PAIRS.rewards) + np.sin(PAIRS.rewards),
    "post": PAIRS.rewards,
}


def test_trajectory_is_each_model_alone_and_changes_are_regressions_of_differences():
    found = imprint_trajectory(CHECKPOINTS, *ROWS[1:])
    assert list(found.models) == ["pre", "middle", "post"]
    assert list(found.changes) == ["middle - pre", "post - middle", "post - pre"]
    for name, rewards in CHECKPOINTS.items():
        alone = feature_imprint(rewards, *ROWS[1:])
        for field in ("coefficient", "std_error", "p_adjusted", "vif", "simultaneous_interval"):
            np.testing.assert_allclose(_column(found.models[name], field), _column(alone, field), rtol=1e-8)
    alone = feature_imprint(PAIRS.rewards - PAIRS.pre_rewards, *ROWS[1:])
    np.testing.assert_allclose(
        _column(found.changes["post - pre"], "std_error"), _column(alone, "std_error"), rtol=1e-8
    )
    pair = imprint_trajectory({name: CHECKPOINTS[name] for name in ("pre", "post")}, *ROWS[1:])
    # With two models the joint test of any change is the test of the one change.
    changes = [each.p_value for each in pair.any_change]
    np.testing.assert_allclose(changes, _column(pair.changes["post - pre"], "p_value"), rtol=1e-8)


def test_a_single_model_has_an_imprint_and_no_changes():
    found = imprint_trajectory({"post": PAIRS.rewards}, *ROWS[1:])
    assert found.models["post"] == feature_imprint(PAIRS.rewards, *ROWS[1:])
    assert found.changes == {}
    assert all(math.isnan(each.p_value) for each in found.any_change)


def test_every_model_is_compared_with_a_baseline():
    found = imprint_trajectory(CHECKPOINTS, *ROWS[1:], baseline="middle")
    assert list(found.changes) == ["pre - middle", "post - middle", "post - pre"]
    steps = imprint_trajectory(CHECKPOINTS, *ROWS[1:])
    for name, sign in (("post - middle", 1), ("post - pre", 1)):
        np.testing.assert_allclose(
            _column(found.changes[name], "coefficient"), sign * _column(steps.changes[name], "coefficient"), rtol=1e-9
        )
    np.testing.assert_allclose(
        _column(found.changes["pre - middle"], "coefficient"),
        -_column(steps.changes["middle - pre"], "coefficient"),
        rtol=1e-9,
    )
    # Differences from the baseline span the same changes as steps between neighbours.
    np.testing.assert_allclose(
        [each.statistic for each in found.any_change], [each.statistic for each in steps.any_change], rtol=1e-6
    )
    with pytest.raises(DataError, match=r"baseline is 'before'; the models are pre, middle, post"):
        imprint_trajectory(CHECKPOINTS, *ROWS[1:], baseline="before")


def test_joint_tests_of_change_keep_their_level():
    rejected = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x, groups = rng.integers(0, 2, size=(300, 2)).astype(float), np.arange(300) // 4
        common = x[:, 0] + rng.normal(size=300)
        rewards = {str(i): common + rng.normal(size=300) for i in range(4)}
        found = imprint_trajectory(rewards, x, groups, ["a", "b"])
        rejected += [each.p_value < 0.05 for each in found.any_change]
        # Hotelling's T squared of three changes: the denominator has the degrees of freedom of one test, less two.
        single = found.changes["1 - 0"].imprint[0].degrees_of_freedom
        assert found.any_change[0].degrees_of_freedom == (3.0, pytest.approx(single - 2))
    assert 0.03 < np.mean(rejected) < 0.08


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(0, 99))
def test_shards_and_the_whole_give_the_same_numbers(n_shards, seed):
    shard = np.random.default_rng(seed).integers(0, n_shards, 41)[PAIRS.groups]
    rewards = np.column_stack(list(CHECKPOINTS.values()))
    parts = [
        Texts(rewards[shard == i], PAIRS.features[shard == i], PAIRS.groups[shard == i]) for i in set(shard.tolist())
    ]
    whole = imprint_trajectory(CHECKPOINTS, *ROWS[1:])
    found = streamed_imprint(parts, list(CHECKPOINTS), PAIRS.feature_names)
    for name, fit in {**found.models, **found.changes}.items():
        reference = (whole.models | whole.changes)[name]
        for field in ("coefficient", "std_error", "p_value", "vif", "n_discordant", "degrees_of_freedom"):
            np.testing.assert_allclose(_column(fit, field), _column(reference, field), rtol=1e-8, atol=1e-14)
        assert (fit.n_texts, fit.n_groups, fit.family_size) == (240, 40, 3)
    np.testing.assert_allclose(
        [each.statistic for each in found.any_change], [each.statistic for each in whole.any_change], rtol=1e-6
    )


def test_streams_say_what_they_need():
    part = Texts(PAIRS.rewards[:, None].repeat(2, axis=1), PAIRS.features, PAIRS.groups)
    with pytest.raises(DataError, match="parts is an iterator, which can be read only once"):
        streamed_imprint(iter([part]), ["pre", "post"], PAIRS.feature_names)
    with pytest.raises(DataError, match="name at least two"):
        streamed_imprint([part], ["post"], PAIRS.feature_names)
    with pytest.raises(DataError, match="there are no texts"):
        streamed_imprint([], ["pre", "post"], PAIRS.feature_names)


def test_duplicated_rows_leave_clustered_errors_unchanged():
    # Each prompt's scores double and the bread halves; only the factor (n - 1) / (n - k - 1) sees the doubled n.
    fit = feature_imprint(*ROWS, errors="crv1")
    twice = feature_imprint(
        np.tile(PAIRS.rewards, 2),
        np.tile(PAIRS.features, (2, 1)),
        np.tile(PAIRS.groups, 2),
        PAIRS.feature_names,
        errors="crv1",
    )
    factor = math.sqrt((479 / 476) / (239 / 236))
    np.testing.assert_allclose(_column(twice, "coefficient"), _column(fit, "coefficient"), rtol=1e-8)
    np.testing.assert_allclose(_column(twice, "std_error"), factor * _column(fit, "std_error"), rtol=1e-8)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_swapping_chosen_and_rejected_changes_nothing_when_rewards_go_along(seed):
    swap = np.random.default_rng(seed).random(120) < 0.5
    order = np.where(np.concatenate([swap, swap]), (np.arange(240) + 120) % 240, np.arange(240))
    fit, reference = feature_imprint(PAIRS.rewards[order], PAIRS.features[order], *ROWS[2:]), feature_imprint(*ROWS)
    np.testing.assert_allclose(_column(fit, "coefficient"), _column(reference, "coefficient"), rtol=1e-8)
    np.testing.assert_allclose(_column(fit, "std_error"), _column(reference, "std_error"), rtol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_of_two_features_with_one_factor_the_last_is_dropped_whatever_the_rounding(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=60)
    b = 3 * a + 0.1 * rng.normal(size=60)
    fit = feature_imprint(rng.normal(size=60), np.column_stack([a, b]), np.arange(60) // 2, ["a", "b"], max_vif=5)
    assert [row.status for row in fit.imprint] == ["ok", "dropped_vif"]


def test_scores_that_cancel_within_prompts_leave_no_error():
    # Every prompt holds the same four texts with the same rewards, in other places.
    x, y = np.tile([0.0, 0.0, 1.0, 1.0], 9), np.tile([0.1, 0.4, 0.5, 1.1], 9)
    row = feature_imprint(y, x[:, None], np.repeat(np.arange(9), 4), ["a"]).imprint[0]
    assert (row.coefficient, row.status) == (pytest.approx(0.55), "no_residual_variation")
    assert np.isnan([row.std_error, row.p_value]).all()


def test_any_name_of_a_model_will_do_that_differs_from_the_others():
    found = imprint_trajectory({"groups": PAIRS.pre_rewards, 2: PAIRS.rewards}, *ROWS[1:], clusters=PAIRS.groups // 2)
    assert list(found.models) == ["groups", "2"]
    assert all("the clusters given" in fit.covariance for fit in (found.models | found.changes).values())
    with pytest.raises(DataError, match="rewards holds 1 more than once; names must be distinct"):
        imprint_trajectory({1: PAIRS.pre_rewards, "1": PAIRS.rewards}, *ROWS[1:])

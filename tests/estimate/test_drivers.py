import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seal_datasets.estimate import misalignment_drivers

NAMES = ["helpful", "honest"]
TRUTH = np.array([0.4, 0.9, -0.6, -0.8, 0.5])  # intercept, chosen helpful, chosen honest, rejected helpful, honest


def _draw(seed, n=300):
    rng = np.random.default_rng(seed)
    x = (rng.random((n, 4)) < 0.5).astype(float)
    aligned = rng.random(n) < 1 / (1 + np.exp(-(TRUTH[0] + x @ TRUTH[1:])))
    return aligned, x, rng.integers(0, n // 5, n)


def _fit(aligned, x, **options):
    return misalignment_drivers(aligned, x[:, :2], x[:, 2:], NAMES, **options)


def _column(fit, name):
    return np.array([getattr(row, name) for row in fit.drivers])


def test_a_two_by_two_table():
    # Aligned 3 of 4 with the feature in the chosen text, 1 of 5 without: odds 3 against 1/4.
    fit = misalignment_drivers([1, 1, 1, 0, 1, 0, 0, 0, 0], [[1]] * 4 + [[0]] * 5, [[0]] * 9, ["polite"])
    row = fit.drivers[0]
    assert (row.feature, row.side, row.status) == ("polite", "chosen", "ok")
    assert row.odds_ratio == pytest.approx(12)
    assert row.coefficient == pytest.approx(math.log(12))
    assert row.std_error == pytest.approx(math.sqrt(1 / 3 + 1 + 1 + 1 / 4))
    assert fit.intercept == pytest.approx(math.log(1 / 4))
    assert row.average_marginal_effect == pytest.approx(3 / 4 - 1 / 5)
    assert (fit.n_pairs, fit.n_aligned, fit.n_separated, fit.family_size) == (9, 4, 0, 1)


def test_the_linear_probability_is_a_difference_of_shares():
    fit = misalignment_drivers(
        [1, 1, 1, 0, 1, 0, 0, 0, 0], [[1]] * 4 + [[0]] * 5, [[0]] * 9, ["polite"], estimator="linear_probability"
    )
    row = fit.drivers[0]
    assert row.coefficient == pytest.approx(3 / 4 - 1 / 5)
    # HC2 of a difference of means is Welch's error: s^2 / n of each side, (3/16 * 4/3) / 4 + (4/25 * 5/4) / 5.
    assert row.std_error == pytest.approx(math.sqrt(1 / 16 + 1 / 25))
    # Satterthwaite at equal variances: (1/4 + 1/5)^2 / ((1/4)^2 / 3 + (1/5)^2 / 4).
    assert row.degrees_of_freedom == pytest.approx((1 / 4 + 1 / 5) ** 2 / ((1 / 4) ** 2 / 3 + (1 / 5) ** 2 / 4))
    assert row.average_marginal_effect == row.coefficient
    assert row.average_marginal_effect_std_error == row.std_error
    assert math.isnan(row.odds_ratio)


def test_the_logit_and_its_marginal_effects_are_statsmodels():
    aligned, x, _ = _draw(0)
    reference = sm.Logit(aligned.astype(float), sm.add_constant(x)).fit(disp=0, tol=1e-12)
    fit = _fit(aligned, x, confidence=0.9)
    assert fit.intercept == pytest.approx(reference.params[0], rel=1e-7)
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.params[1:], rtol=1e-7)
    np.testing.assert_allclose(_column(fit, "odds_ratio"), np.exp(reference.params[1:]), rtol=1e-7)
    np.testing.assert_allclose(_column(fit, "std_error"), reference.bse[1:], rtol=1e-6)
    np.testing.assert_allclose(_column(fit, "p_value"), reference.pvalues[1:], rtol=1e-6)
    np.testing.assert_allclose(_column(fit, "confidence_interval"), reference.conf_int(0.1)[1:], rtol=1e-6)
    effects = reference.get_margeff(dummy=True)
    np.testing.assert_allclose(_column(fit, "average_marginal_effect"), effects.margeff, rtol=1e-6)
    np.testing.assert_allclose(_column(fit, "average_marginal_effect_std_error"), effects.margeff_se, rtol=1e-6)


def test_a_clustered_logit_refers_to_t_with_its_own_degrees_of_freedom():
    aligned, x, prompts = _draw(0)
    fit = _fit(aligned, x, groups=prompts)
    reference = sm.Logit(aligned.astype(float), sm.add_constant(x)).fit(disp=0, tol=1e-12)
    for row, coefficient in zip(fit.drivers, reference.params[1:], strict=True):
        t, freedom = coefficient / row.std_error, row.degrees_of_freedom
        assert row.method == "maximum_likelihood"
        assert 1 < freedom < len(np.unique(prompts))
        assert row.p_value == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-6)
        half = stats.t.ppf(0.975, freedom) * row.std_error
        assert row.confidence_interval == pytest.approx((coefficient - half, coefficient + half), rel=1e-6)


def _prompts_of_eight(seed, n_prompts=40, carriers=5, share=0.8):
    """A true null: pairs of a prompt share luck, and a feature is in a few prompts."""
    rng = np.random.default_rng(seed)
    prompts = np.repeat(np.arange(n_prompts), 8)
    luck = np.where(rng.random(len(prompts)) < 0.7, rng.random(n_prompts)[prompts], rng.random(len(prompts)))
    chosen = np.isin(prompts, rng.choice(n_prompts, carriers, replace=False)).astype(float)
    return luck < share, chosen[:, None], prompts


@pytest.mark.parametrize("estimator", ["logit", "firth"])
def test_separated_rows_keep_the_level_in_prompts_of_eight(estimator):
    rejected, separated = [], []
    for seed in range(120):
        aligned, chosen, prompts = _prompts_of_eight(seed, carriers=3, share=0.9)
        row = misalignment_drivers(
            aligned, chosen, np.zeros_like(chosen), ["a"], groups=prompts, estimator=estimator
        ).drivers[0]
        rejected.append(row.p_value < 0.05)
        if row.status == "separated":
            separated.append(row)
    assert len(separated) > 25
    assert np.mean(rejected) <= 0.08
    assert {row.method for row in separated} == {"firth_clustered"}


def test_a_feature_in_two_prompts_that_separates_is_withheld():
    aligned, chosen, prompts = _prompts_of_eight(0, carriers=2)
    aligned = aligned | (chosen[:, 0] == 1)
    row = misalignment_drivers(aligned, chosen, np.zeros_like(chosen), ["a"], groups=prompts).drivers[0]
    assert row.status == "too_little_information"
    assert np.isnan([row.coefficient, row.p_value, *row.confidence_interval]).all()


@pytest.mark.parametrize("clustered", [False, True])
def test_the_linear_probability_is_statsmodels_ols(clustered):
    aligned, x, prompts = _draw(1)
    kind = {"cov_type": "cluster", "cov_kwds": {"groups": prompts}} if clustered else {"cov_type": "HC1"}
    reference = sm.OLS(aligned.astype(float), sm.add_constant(x)).fit(use_t=True, **kind)
    fit = _fit(aligned, x, groups=prompts if clustered else None, estimator="linear_probability", errors="crv1")
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.params[1:], rtol=1e-8)
    np.testing.assert_allclose(_column(fit, "std_error"), reference.bse[1:], rtol=1e-8)
    # statsmodels takes t with n - k degrees of freedom for HC1, ours with the clusters less one.
    np.testing.assert_allclose(_column(fit, "p_value"), reference.pvalues[1:], rtol=1e-6 if clustered else 0.02)


@pytest.mark.parametrize("estimator", ["logit", "linear_probability"])
def test_swapping_the_sides_swaps_the_rows_and_turns_the_sign(estimator):
    aligned, x, prompts = _draw(2)
    fit = _fit(aligned, x, groups=prompts, estimator=estimator)
    swapped = _fit(~aligned, x[:, [2, 3, 0, 1]], groups=prompts, estimator=estimator)
    np.testing.assert_allclose(_column(swapped, "coefficient")[[2, 3, 0, 1]], -_column(fit, "coefficient"), rtol=1e-7)
    np.testing.assert_allclose(_column(swapped, "std_error")[[2, 3, 0, 1]], _column(fit, "std_error"), rtol=1e-7)


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_the_order_of_pairs_does_not_matter(random):
    aligned, x, prompts = _draw(3, n=120)
    order = list(range(120))
    random.shuffle(order)
    fit, moved = _fit(aligned, x, groups=prompts), _fit(aligned[order], x[order], groups=prompts[order])
    for name in ("coefficient", "std_error", "average_marginal_effect", "average_marginal_effect_std_error"):
        np.testing.assert_allclose(_column(moved, name), _column(fit, name), rtol=1e-7)


def test_statuses_are_never_a_number():
    aligned, x, _ = _draw(4)
    rare = np.zeros(300)
    rare[np.flatnonzero(aligned)[:5]] = 1
    chosen = np.column_stack([x[:, 0], x[:, 0], np.full(300, 0.1)])
    rejected = np.column_stack([rare, x[:, 1], x[:, 2]])
    fit = misalignment_drivers(aligned, chosen, rejected, ["a", "b", "c"])
    assert [row.status for row in fit.drivers] == [
        *("collinear", "collinear", "not_identified"),
        *("separated", "ok", "ok"),
    ]
    for name in ("coefficient", "odds_ratio", "std_error", "p_value", "p_adjusted", "average_marginal_effect"):
        # Firth's fit answers the separated one, for which there is no marginal effect.
        answered = name == "average_marginal_effect"
        assert np.isnan(_column(fit, name)).tolist() == [True] * 3 + [answered] + [False] * 2
    assert (fit.n_separated, fit.family_size, fit.status) == (5, 3, "ok")
    assert [row.method for row in fit.drivers[3:]] == ["firth", "maximum_likelihood", "maximum_likelihood"]
    np.testing.assert_allclose(_column(fit, "p_adjusted")[4:], np.minimum(1, 3 * _column(fit, "p_value")[4:]))
    assert fit.to_dict()["drivers"][2]["odds_ratio"] is None


@pytest.mark.parametrize("estimator", ["logit", "linear_probability"])
@pytest.mark.parametrize("value", [0, 1])
def test_one_class_says_so(estimator, value):
    fit = misalignment_drivers([value] * 3, [[1], [0], [1]], [[0], [0], [1]], ["polite"], estimator=estimator)
    assert (fit.status, [row.status for row in fit.drivers]) == ("one_class", ["one_class"] * 2)
    assert np.isnan(_column(fit, "coefficient")).all()
    assert math.isnan(fit.intercept)
    assert (fit.n_aligned, fit.family_size) == (3 * value, 0)


@pytest.mark.parametrize("estimator", ["logit", "linear_probability"])
def test_one_cluster_has_an_estimate_without_an_error(estimator):
    aligned, x, _ = _draw(5)
    fit = _fit(aligned, x, groups=["p"] * 300, estimator=estimator)
    assert [row.status for row in fit.drivers] == ["too_few_clusters"] * 4
    assert np.isfinite(_column(fit, "coefficient")).all()
    assert np.isnan(_column(fit, "std_error")).all()
    assert fit.family_size == 0


def test_a_perfect_linear_fit_has_no_error_to_measure():
    fit = misalignment_drivers(
        [1, 1, 0, 0], [[1], [1], [0], [0]], [[1], [0], [1], [0]], ["polite"], estimator="linear_probability"
    )
    assert [row.status for row in fit.drivers] == ["no_residual_variation"] * 2
    assert fit.drivers[0].coefficient == pytest.approx(1.0)
    assert np.isnan(_column(fit, "p_value")).all()


def test_as_many_coefficients_as_pairs_have_no_error():
    fit = misalignment_drivers(
        [1, 0, 1], [[1], [0], [0]], [[0], [1], [0]], ["polite"], estimator="linear_probability", min_discordant=1
    )
    assert [row.status for row in fit.drivers] == ["no_residual_variation"] * 2


def test_a_feature_of_too_few_pairs_stays_in_as_a_control_without_numbers():
    rng = np.random.default_rng(5)
    aligned, common = rng.integers(0, 2, size=200), rng.integers(0, 2, size=200)
    rare = np.zeros(200)
    rare[np.flatnonzero(aligned == 1)[:2]], rare[np.flatnonzero(aligned == 0)[0]] = 1, 1
    features, none = np.column_stack([common, rare]), np.zeros((200, 2))
    for estimator in ("logit", "linear_probability"):
        arguments = (aligned, features, none, ["common", "rare"])
        every = misalignment_drivers(*arguments, estimator=estimator)
        strict = misalignment_drivers(*arguments, estimator=estimator, min_discordant=4)
        assert strict.drivers[0].coefficient == every.drivers[0].coefficient
        assert (every.drivers[1].n_discordant, every.drivers[1].status) == (3, "ok")
        assert strict.drivers[1].status == "too_few_discordant"
        assert np.isnan([strict.drivers[1].coefficient, strict.drivers[1].p_value, strict.drivers[1].std_error]).all()
        assert (every.family_size, strict.family_size) == (2, 1)


def test_planted_drivers_are_covered_95_times_in_100():
    covered, estimates = [], []
    for seed in range(200):
        aligned, x, _ = _draw(seed, n=500)
        fit = _fit(aligned, x)
        low, high = _column(fit, "confidence_interval").T
        covered += ((low <= TRUTH[1:]) & (TRUTH[1:] <= high)).tolist()
        estimates.append(_column(fit, "coefficient"))
    assert 0.92 <= np.mean(covered) <= 0.98
    standard = np.std(estimates, axis=0, ddof=1) / math.sqrt(200)
    # Maximum likelihood is biased away from 0 by about k / n: 5 / 500 of the coefficient.
    allowed = 4 * standard + 0.02 * np.abs(TRUTH[1:])
    assert (np.abs(np.mean(estimates, axis=0) - TRUTH[1:]) < allowed).all()


@pytest.mark.parametrize("estimator", ["logit", "firth"])
def test_a_fit_that_does_not_converge_is_a_status_and_no_error(estimator, monkeypatch):
    monkeypatch.setattr("seal_datasets.estimate.firth._MAX_STEPS", 1)
    x = np.array([[1, 0], [1, 1], [1, 0], [1, 1], [0, 0], [0, 1], [0, 1], [0, 0]])
    y = [1, 1, 1, 1, 0, 1, 0, 1]
    fit = misalignment_drivers(y, x[:, :1], x[:, 1:], ["a"], estimator=estimator)
    row = fit.drivers[0]
    assert (row.status, row.method) == ("not_converged", "firth")
    assert np.isnan([row.coefficient, row.std_error, row.p_value, *row.confidence_interval]).all()

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from seal_datasets.estimate.logit import find_patterns, fit_logit


def _data(seed=0, n=400, n_clusters=40):
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, n_clusters, n)
    x = np.column_stack([np.ones(n), rng.integers(0, 2, n), rng.normal(size=n), rng.integers(-1, 2, n)])
    linear = x @ np.array([0.3, 1.0, -0.7, 0.4]) + 0.5 * rng.normal(size=n_clusters)[clusters]
    return x, rng.random(n) < 1 / (1 + np.exp(-linear)), clusters


def _design(*columns):
    return np.column_stack([np.ones(len(columns[0])), *columns]).astype(float)


def test_a_two_by_two_table():
    # 3 of 4 where x = 1, 1 of 5 where x = 0: log(3) - log(1/4) = log 12; variance 1/3 + 1/1 + 1/1 + 1/4.
    x, y = _design([1] * 4 + [0] * 5), np.array([1, 1, 1, 0, 1, 0, 0, 0, 0], bool)
    fit = fit_logit(x, y)
    assert fit.coefficients == pytest.approx([math.log(1 / 4), math.log(12)])
    assert fit.covariance[1, 1] == pytest.approx(1 / 3 + 1 + 1 + 1 / 4)
    assert fit.probabilities == pytest.approx([0.75] * 4 + [0.2] * 5)


def test_is_statsmodels_logit():
    x, y, _ = _data()
    fit, reference = fit_logit(x, y), sm.Logit(y.astype(float), x).fit(disp=0, tol=1e-12)
    np.testing.assert_allclose(fit.coefficients, reference.params, rtol=1e-7)
    np.testing.assert_allclose(fit.covariance, reference.cov_params(), rtol=1e-6, atol=1e-10)


def test_clustered_is_cr2_by_its_definition_and_scales_to_the_sandwich_of_statsmodels():
    x, y, clusters = _data()
    fit = fit_logit(x, y, clusters)
    p = fit.probabilities
    # Bell and McCaffrey (2002) on the working regression, with identity within clusters.
    rows, residuals = x * np.sqrt(p * (1 - p))[:, None], (y - p) / np.sqrt(p * (1 - p))
    bread = np.linalg.inv(rows.T @ rows)
    hat = rows @ bread @ rows.T
    influence, plain = [], []
    for g in np.unique(clusters):
        own = clusters == g
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - hat[np.ix_(own, own)])
        adjust = vectors / np.sqrt(values) @ vectors.T
        influence.append(bread @ rows[own].T @ adjust @ (np.eye(len(y)) - hat)[own])
        plain.append(bread @ rows[own].T @ residuals[own])
    parts = np.array([each @ residuals for each in influence])
    np.testing.assert_allclose(fit.covariance, parts.T @ parts, rtol=1e-6, atol=1e-12)
    for j in (1, 2):
        spread = np.array([each[j] for each in influence])
        gram = spread @ spread.T
        assert fit.freedom[j] == pytest.approx(np.trace(gram) ** 2 / (gram**2).sum(), rel=1e-6)
    reference = sm.Logit(y.astype(float), x).fit(disp=0, tol=1e-12, cov_type="cluster", cov_kwds={"groups": clusters})
    n_clusters, (n, k) = len(plain), x.shape
    factor = n_clusters / (n_clusters - 1) * (n - 1) / (n - k)
    np.testing.assert_allclose(factor * np.array(plain).T @ plain, reference.cov_params(), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("clustered", [False, True])
def test_marginal_effects_are_those_of_statsmodels_with_the_same_covariance(clustered):
    x, y, clusters = _data()
    x[:, 1] = x[:, 1] > 0.3
    fit = fit_logit(x, y, clusters if clustered else None)
    reference = sm.Logit(y.astype(float), x).fit(disp=0, tol=1e-12)
    reference._results.cov_params_default = fit.covariance
    effects = reference.get_margeff(dummy=True)
    np.testing.assert_allclose(fit.effects[1:], effects.margeff, rtol=1e-6)
    np.testing.assert_allclose(fit.effect_errors[1:], effects.margeff_se, rtol=1e-6)


def test_marginal_effects_are_means_over_all_rows_where_a_feature_separates_some():
    # 3 of 4 with the feature and 1 of 5 without; three rows of a second feature, all 1, whose probability is 1 either way.
    x = _design([1] * 4 + [0] * 5 + [1, 0, 0], [0] * 9 + [1] * 3)
    fit = fit_logit(x, np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1], bool))
    assert fit.separated.tolist() == [False, False, True]
    assert fit.effects[1] == pytest.approx((3 / 4 - 1 / 5) * 9 / 12)
    # Shares of independent groups: 3/16 / 4 + 4/25 / 5, over the same rows.
    assert fit.effect_errors[1] == pytest.approx(np.sqrt(3 / 64 + 4 / 125) * 9 / 12)
    assert np.isnan([fit.effects[2], fit.effect_errors[2]]).all()


def test_a_separated_feature_leaves_the_others_as_they_are_without_its_rows():
    x, y, _ = _data()
    rare = np.zeros(len(y))
    rare[np.flatnonzero(y)[:7]] = 1
    fit, rest = fit_logit(np.column_stack([x, rare]), y), fit_logit(x[rare == 0], y[rare == 0])
    assert fit.separated.tolist() == [False, False, False, False, True]
    assert math.isnan(fit.coefficients[4])
    assert (~fit.kept).sum() == 7
    np.testing.assert_allclose(fit.coefficients[:4], rest.coefficients, rtol=1e-7)
    np.testing.assert_allclose(fit.covariance[:4, :4], rest.covariance, rtol=1e-7)


def test_the_limit_of_the_likelihood_is_what_a_large_coefficient_gives():
    x, y, _ = _data()
    rare = np.zeros(len(y))
    rare[np.flatnonzero(y)[:7]] = 1
    offset = sm.GLM(y.astype(float), x, family=sm.families.Binomial(), offset=30 * rare).fit(tol=1e-12)
    np.testing.assert_allclose(fit_logit(np.column_stack([x, rare]), y).coefficients[:4], offset.params, rtol=1e-5)


def test_columns_that_cancel_out_are_collinear_beside_a_separated_one():
    x, y, _ = _data()
    rare = np.zeros(len(y))
    rare[np.flatnonzero(y)[:7]] = 1
    fit = fit_logit(np.column_stack([x, rare, x[:, 1], np.full(len(y), 5.0)]), y)
    assert fit.separated.tolist() == [False, False, False, False, True, False, False]
    assert fit.identified.tolist() == [False, False, True, True, False, False, False]


@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (0, 1e-9), (0, 1e9), (1e6, 1)])
def test_separation_is_seen_whatever_the_units(offset, scale):
    x = np.array([1.0, 2, 3, 4, 5, 6]) * scale + offset
    fit = fit_logit(_design(x), np.array([0, 0, 0, 1, 1, 1], bool))
    assert fit.separated[1]
    assert np.isnan(fit.coefficients).all()
    assert not fit.kept.any()


@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (0, 1e-6), (0, 1e6), (1e4, 1)])
def test_overlap_is_fitted_whatever_the_units(offset, scale):
    x, y = np.array([1.0, 2, 3, 4, 5, 6]), np.array([0, 0, 1, 0, 1, 1], bool)
    fit = fit_logit(_design(x * scale + offset), y)
    reference = sm.Logit(y.astype(float), _design(x)).fit(disp=0, tol=1e-12)
    assert fit.coefficients[1] * scale == pytest.approx(reference.params[1], rel=1e-6)
    assert fit.covariance[1, 1] * scale**2 == pytest.approx(reference.cov_params()[1, 1], rel=1e-5)


def test_quasi_separation_by_two_features_together():
    # y = 1 exactly where a or b: neither alone separates, their sum does, but for the rows with neither.
    a, b = np.array([1, 1, 0, 0, 0, 0]), np.array([0, 0, 1, 1, 0, 0])
    fit = fit_logit(_design(a, b), np.array([1, 1, 1, 1, 0, 1], bool))
    assert fit.separated.tolist() == [False, True, True]
    assert fit.coefficients[0] == pytest.approx(0.0)
    assert fit.kept.tolist() == [False] * 4 + [True] * 2


def test_one_cluster_has_no_sandwich():
    x, y, _ = _data()
    fit = fit_logit(x, y, np.zeros(len(y), int))
    assert np.isfinite(fit.coefficients).all()
    assert np.isnan(fit.covariance).all()


UNITS = [(0, 1e-6), (0, 1e6), (1e3, 1), (1e3, 1e-6), (-1e3, 1e6), (1e6, 1), (1e7, 1)]


@pytest.mark.parametrize(("shift", "scale"), UNITS)
@pytest.mark.parametrize("clustered", [False, True])
def test_a_shift_changes_the_intercept_only_and_a_scale_its_coefficient_only(shift, scale, clustered):
    x, y, clusters = _data()
    # In steps of 1/1024, so that a shifted column still holds the same digits.
    x[:, 2] = np.round(x[:, 2] * 1024) / 1024
    moved = x.copy()
    moved[:, 2] = (x[:, 2] + shift) * scale
    plain, other = (fit_logit(each, y, clusters if clustered else None) for each in (x, moved))
    units = np.array([1, scale, 1])
    assert other.identified.all()
    np.testing.assert_allclose(other.coefficients[1:] * units, plain.coefficients[1:], rtol=1e-7)
    np.testing.assert_allclose(other.covariance[1:, 1:] * np.outer(units, units), plain.covariance[1:, 1:], rtol=1e-6)
    np.testing.assert_allclose(other.probabilities, plain.probabilities, rtol=1e-8)
    intercept = plain.coefficients[0] - shift * plain.coefficients[2]
    assert other.coefficients[0] == pytest.approx(intercept, rel=1e-6)
    np.testing.assert_allclose(other.freedom[1:], plain.freedom[1:], rtol=1e-6)
    np.testing.assert_allclose(other.effects[1:] * units, plain.effects[1:], rtol=1e-6)
    np.testing.assert_allclose(other.effect_errors[1:] * units, plain.effect_errors[1:], rtol=1e-6)


@pytest.mark.parametrize(("shift", "scale"), UNITS)
def test_separation_beside_other_columns_in_any_units(shift, scale):
    x, y, _ = _data()
    rare = np.zeros(len(y))
    rare[np.flatnonzero(y)[:7]] = 1
    moved = (np.round(x[:, 2] * 1024) / 1024 + shift) * scale
    fit = fit_logit(np.column_stack([x[:, :2], moved, rare]), y, penalised=True)
    assert fit.separated.tolist() == [False, False, False, True]
    assert fit.firth.converged.all()
    assert np.isfinite([fit.firth.coefficients[1:], fit.firth.low[1:], fit.firth.high[1:]]).all()


@given(st.integers(0, 10**6), st.floats(-1e3, 1e3), st.sampled_from([1e-6, -1.0, 7.0, 1e6]))
@settings(max_examples=40, deadline=None)
def test_units_do_not_change_what_is_separated_or_identified(seed, shift, scale):
    rng = np.random.default_rng(seed)
    x = _design(rng.integers(-2, 3, 25), rng.integers(0, 2, 25), rng.integers(0, 2, 25) == 0)
    y, moved = rng.random(25) < 0.4, x.copy()
    moved[:, 1] = (x[:, 1] + shift) * scale
    plain, other = fit_logit(x, y), fit_logit(moved, y)
    assert plain.separated[1:].tolist() == other.separated[1:].tolist()
    assert plain.identified[1:].tolist() == other.identified[1:].tolist()
    np.testing.assert_allclose(other.coefficients[1] * scale, plain.coefficients[1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(other.probabilities, plain.probabilities, rtol=1e-6)


def test_dummies_that_add_up_leave_the_intercept_open_and_a_pair_of_equal_columns_does_not():
    x, y, _ = _data()
    big = x[:, [2]] + 1e5
    dummies = fit_logit(np.column_stack([x[:, :2], 1 - x[:, 1], big]), y)
    twice = fit_logit(np.column_stack([x[:, :2], x[:, 1], big]), y)
    assert dummies.identified.tolist() == [False, False, False, True]
    assert twice.identified.tolist() == [True, False, False, True]


def test_nearly_collinear_columns_are_fitted_in_other_coordinates():
    x, y, clusters = _data()
    close = x.copy()
    close[:, 3] = x[:, 1] + 1e-5 * x[:, 3]
    plain, other = fit_logit(x, y, clusters), fit_logit(close, y, clusters)
    assert other.identified.all()
    assert other.coefficients[3] * 1e-5 == pytest.approx(plain.coefficients[3], rel=1e-6)
    assert other.covariance[3, 3] * 1e-10 == pytest.approx(plain.covariance[3, 3], rel=1e-6)


def test_scores_that_cancel_within_clusters_leave_no_error():
    # Every cluster holds the same 3 of 7 and 5 of 7: nothing differs between clusters but rounding.
    one = np.array([0] * 7 + [1] * 7)
    y = np.array(([1] * 3 + [0] * 4 + [1] * 5 + [0] * 2) * 9, bool)
    fit = fit_logit(_design(np.tile(one, 9)), y, np.repeat(np.arange(9), 14))
    assert np.isfinite(fit.coefficients).all()
    assert (fit.covariance == 0).all()


def test_rows_are_told_apart_beside_a_column_of_large_numbers():
    large = np.repeat([1e17, 2e17], 20)
    small = np.tile([0.0, 1.0], 20)
    assert len(find_patterns(_design(large, small)).x) == 4


def test_a_fit_without_a_maximum_is_told(monkeypatch):
    x, y, _ = _data()
    monkeypatch.setattr("seal_datasets.estimate.logit._MAX_STEPS", 1)
    fit = fit_logit(x, y)
    assert not fit.converged
    assert not fit.separated.any()
    assert np.isnan(fit.coefficients).all()
    monkeypatch.undo()
    assert fit_logit(x, y).converged


def test_distinct_rows_are_never_merged():
    # Beside 1e17 the random sum of a row cannot tell 0 from 1.
    x = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1e17], [1.0, 0.0]])
    patterns = find_patterns(x)
    np.testing.assert_array_equal(patterns.x[patterns.inverse], x)

import math

import numpy as np
import pytest
import statsmodels.api as sm

from seal_datasets.estimate.logit import fit_logit


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


def test_clustered_is_statsmodels_clustered():
    x, y, clusters = _data()
    fit = fit_logit(x, y, clusters)
    reference = sm.Logit(y.astype(float), x).fit(disp=0, tol=1e-12, cov_type="cluster", cov_kwds={"groups": clusters})
    np.testing.assert_allclose(fit.covariance, reference.cov_params(), rtol=1e-6, atol=1e-10)


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

import math

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.outliers_influence import variance_inflation_factor

from seal_datasets.estimate.least_squares import fit_linear
from seal_datasets.estimate.linear import (
    condition_number,
    constant_columns,
    demean,
    group_sums,
    null_loadings,
    variance_inflation,
)


def _data(seed=0, n=200, n_clusters=25):
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, n_clusters, n)
    x = np.column_stack([np.ones(n), rng.normal(size=n), rng.integers(0, 2, n), rng.normal(size=n) * 1000])
    y = x @ np.array([1.0, 2.0, -1.0, 0.01]) + rng.normal(size=n_clusters)[clusters] + rng.normal(size=n) * x[:, 2]
    return x, y, clusters


def test_a_line_through_three_points():
    # y = 0, 1, 5 at x = 0, 1, 2: slope 5/2, intercept -1/2, residuals 1/2, -1, 1/2.
    fit = fit_linear(np.array([[1.0, 0], [1, 1], [1, 2]]), np.array([0.0, 1, 5]), np.arange(3), errors="crv1")
    assert fit.coefficients == pytest.approx([-0.5, 2.5])
    assert fit.residual_size == pytest.approx(1 / 5)
    # HC1 of the slope: sum((x - 1)^2 e^2) / (sum (x - 1)^2)^2 * n / (n - k) = (1/4 + 1/4) / 4 * 3.
    assert fit.covariance[1, 1] == pytest.approx(0.375)


def test_each_row_a_cluster_is_statsmodels_hc1_or_hc2():
    x, y, _ = _data()
    fit, reference = fit_linear(x, y, np.arange(len(y)), errors="crv1"), sm.OLS(y, x).fit(cov_type="HC1")
    np.testing.assert_allclose(fit.coefficients, reference.params, rtol=1e-8)
    np.testing.assert_allclose(fit.covariance, reference.cov_params(), rtol=1e-6)
    fit, reference = fit_linear(x, y, np.arange(len(y))), sm.OLS(y, x).fit(cov_type="HC2")
    np.testing.assert_allclose(fit.covariance, reference.cov_params(), rtol=1e-6)


def test_clusters_are_statsmodels_clusters():
    x, y, clusters = _data()
    reference = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    fit = fit_linear(x, y, clusters, errors="crv1")
    np.testing.assert_allclose(fit.covariance, reference.cov_params(), rtol=1e-6)


def test_an_exact_combination_has_no_coefficient_and_leaves_the_others_alone():
    x, y, clusters = _data()
    fit, rest = fit_linear(np.column_stack([x, x[:, 1] + x[:, 2]]), y, clusters), fit_linear(x, y, clusters)
    assert np.isnan(fit.coefficients).tolist() == [False, True, True, False, True]
    assert fit.rank == 4
    np.testing.assert_allclose(fit.coefficients[[0, 3]], rest.coefficients[[0, 3]], rtol=1e-8)
    np.testing.assert_allclose(np.diag(fit.covariance)[[0, 3]], np.diag(rest.covariance)[[0, 3]], rtol=1e-8)


def test_a_column_far_from_zero_is_not_taken_for_the_intercept():
    x, y, clusters = _data()
    moved = x.copy()
    moved[:, 1] += 1e5
    fit, reference = fit_linear(moved, y, clusters), fit_linear(x, y, clusters)
    np.testing.assert_allclose(fit.coefficients[1:], reference.coefficients[1:], rtol=1e-6)
    np.testing.assert_allclose(np.diag(fit.covariance)[1:], np.diag(reference.covariance)[1:], rtol=1e-6)


def test_one_cluster_or_no_spare_row_has_no_covariance():
    x, y, _ = _data()
    assert np.isnan(fit_linear(x, y, np.zeros(len(y), int)).covariance).all()
    assert np.isnan(fit_linear(x[:4], y[:4], np.arange(4)).covariance).all()


def test_demean_takes_each_groups_mean_off_and_leaves_constants_exactly_zero():
    values = np.array([[1.0, 0.1], [3.0, 0.1], [5.0, 0.7], [0.0, 0.1]])
    found = demean(values, np.array([0, 0, 1, 0]))
    np.testing.assert_allclose(found[:, 0], [-1 / 3, 5 / 3, 0, -4 / 3])
    assert found[:, 1].tolist() == [0.0, 0.0, 0.0, 0.0]
    assert group_sums(values, np.array([0, 0, 2, 0]), 3)[:, 0].tolist() == [4.0, 0.0, 5.0]


def test_null_loadings_and_constants():
    x = np.array([[1.0, 0, 0, 2], [1, 1, 0, 2], [1, 0, 0, 2]])
    loaded, rank = null_loadings(x)
    assert loaded.tolist() == [True, False, True, True]
    assert rank == 2
    assert constant_columns(x).tolist() == [True, False, True, True]


def test_variance_inflation_is_statsmodels():
    x, _, _ = _data()
    x[:, 3] += 800 * x[:, 1]
    centred = x[:, 1:] - x[:, 1:].mean(axis=0)
    expected = [variance_inflation_factor(centred, column) for column in range(3)]
    np.testing.assert_allclose(variance_inflation(centred), expected, rtol=1e-8)
    found = variance_inflation(np.column_stack([centred, centred[:, 0], np.zeros(len(x))]))
    assert np.isnan(found).tolist() == [True, False, False, True, True]


def test_condition_number_of_unit_columns():
    # Correlation c = 3/5: singular values sqrt(1 + c) and sqrt(1 - c), so the ratio is sqrt(1.6 / 0.4) = 2.
    assert condition_number(np.array([[1.0, 3.0], [0.0, 4.0]])) == pytest.approx(2.0)
    assert condition_number(np.array([[1.0, 2.0], [1.0, 2.0]])) == math.inf
    assert math.isnan(condition_number(np.zeros((2, 2))))

import math
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from wildboottest.wildboottest import wildboottest

from seal_datasets.estimate.covariance import cr2, simultaneous_critical_value, wald_test, wild_bootstrap
from seal_datasets.estimate.intervals import critical_value
from seal_datasets.estimate.linear import fit_linear, solve, triangle


def _data(seed=0, sizes=(1, 2, 3, 4, 5, 6, 7, 8), k=3):
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    n = len(clusters)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, k - 1)) + rng.normal(size=len(sizes))[clusters, None]])
    y = x @ rng.normal(size=k) + rng.normal(size=len(sizes))[clusters] + rng.normal(size=n)
    return x, y, clusters


def _fit(x, y):
    solution = solve(triangle(x, y), x.shape[1])
    return solution, y - x @ solution.coefficients[:, 0]


def _cr2_by_definition(x, residuals, clusters):
    """Bell and McCaffrey with every n by n matrix written out."""
    n, k = x.shape
    bread = np.linalg.inv(x.T @ x)
    left = np.eye(n) - x @ bread @ x.T
    meat, columns = np.zeros((k, k)), [[] for _ in range(k)]
    for g in np.unique(clusters):
        rows = np.flatnonzero(clusters == g)
        values, vectors = np.linalg.eigh(left[np.ix_(rows, rows)])
        half = np.array([1 / math.sqrt(v) if v > 1e-10 else 0.0 for v in values])
        adjust = vectors * half @ vectors.T
        score = x[rows].T @ adjust @ residuals[rows]
        meat += np.outer(score, score)
        for j in range(k):
            columns[j].append(left[:, rows] @ adjust @ x[rows] @ bread[:, j])
    freedom = []
    for each in columns:
        values = np.linalg.eigvalsh(np.column_stack(each).T @ np.column_stack(each))
        freedom.append(values.sum() ** 2 / (values**2).sum())
    return bread @ meat @ bread, np.array(freedom)


@pytest.mark.parametrize("sizes", [(1, 2, 3, 4, 5, 6, 7, 8), (2,) * 12, (1,) * 20])
def test_cr2_is_its_definition(sizes):
    x, y, clusters = _data(1, sizes)
    solution, residuals = _fit(x, y)
    covariance, freedom = cr2(x, residuals, None if max(sizes) == 1 else clusters, solution)
    expected, expected_freedom = _cr2_by_definition(x, residuals, clusters)
    np.testing.assert_allclose(covariance, expected, rtol=1e-9)
    np.testing.assert_allclose(freedom, expected_freedom, rtol=1e-9)


def test_cr2_with_single_rows_is_hc2_and_its_two_sample_case_is_welch():
    # With one dummy, Bell and McCaffrey's test is Welch's with Welch's degrees of freedom at equal variances.
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(12), np.arange(12) < 4])
    y = rng.normal(size=12)
    solution, residuals = _fit(x, y)
    covariance, freedom = cr2(x, residuals, None, solution)
    a, b = y[:4], y[4:]
    assert covariance[1, 1] == pytest.approx(a.var(ddof=1) / 4 + b.var(ddof=1) / 8)
    # Satterthwaite at equal variances: (1/4 + 1/8)^2 / ((1/4)^2 / 3 + (1/8)^2 / 7).
    assert freedom[1] == pytest.approx((1 / 4 + 1 / 8) ** 2 / ((1 / 4) ** 2 / 3 + (1 / 8) ** 2 / 7))


def test_a_cluster_that_is_fitted_exactly_counts_for_nothing():
    x, y, clusters = _data(2)
    x = np.column_stack([x, clusters == 0])
    solution, residuals = _fit(x, y)
    covariance, freedom = cr2(x, residuals, clusters, solution)
    expected, expected_freedom = _cr2_by_definition(x, residuals, clusters)
    np.testing.assert_allclose(covariance[:3, :3], expected[:3, :3], rtol=1e-8)
    np.testing.assert_allclose(freedom[:3], expected_freedom[:3], rtol=1e-6)


def _bootstrap(x, y, clusters, n_draws=1000, seed=0):
    fit = fit_linear(x, y, clusters)
    solution, residuals = _fit(x, y)
    errors = np.sqrt(np.diag(fit.covariance))
    return (
        fit,
        errors,
        wild_bootstrap(
            x,
            residuals,
            clusters,
            solution,
            fit.coefficients,
            errors,
            n=len(y),
            absorbed=0,
            n_draws=n_draws,
            confidence=0.95,
            seed=seed,
        ),
    )


def _bootstrap_by_definition(x, y, clusters, j, null=0.0):
    """Every sign pattern, a regression each."""
    n_clusters = clusters.max() + 1
    others = np.delete(x, j, axis=1)
    restricted = others @ np.linalg.lstsq(others, y - null * x[:, j])[0] + null * x[:, j]
    fit = fit_linear(x, y, clusters)
    observed = abs(fit.coefficients[j] - null) / math.sqrt(fit.covariance[j, j])
    extreme = 0
    for pattern in range(2**n_clusters):
        signs = 2.0 * (pattern >> np.arange(n_clusters) & 1) - 1
        drawn = fit_linear(x, restricted + signs[clusters] * (y - restricted), clusters)
        extreme += abs(drawn.coefficients[j] - null) / math.sqrt(drawn.covariance[j, j]) >= observed * (1 - 1e-9)
    return extreme / 2**n_clusters


def test_wild_bootstrap_is_its_definition_over_all_sign_patterns():
    x, y, clusters = _data(4, (2, 3, 4, 5, 6, 3, 4))
    _, _, found = _bootstrap(x, y, clusters)
    assert found.n_draws == 2**7
    for j in range(3):
        assert found.p_values[j] == pytest.approx(_bootstrap_by_definition(x, y, clusters, j))


def test_wild_intervals_end_where_the_test_begins_to_reject():
    x, y, clusters = _data(5, (2, 3, 4, 5, 6, 3, 4, 3))
    _, errors, found = _bootstrap(x, y, clusters)
    for j in (1, 2):
        for end, side in ((found.low[j], -1), (found.high[j], 1)):
            inside, outside = end - side * 0.01 * errors[j], end + side * 0.01 * errors[j]
            assert _bootstrap_by_definition(x, y, clusters, j, inside) > 0.05
            assert _bootstrap_by_definition(x, y, clusters, j, outside) <= 0.05 + 1e-12


def test_wild_bootstrap_is_wildboottest():
    x, y, clusters = _data(6, (2, 3, 4, 5, 6, 3, 4, 5, 4, 3))
    _, _, found = _bootstrap(x, y, clusters, n_draws=1024)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = wildboottest(sm.OLS(y, x), param="x1", B=1024, cluster=clusters, seed=1, show=False)
    # It counts draws strictly beyond the statistic, so patterns that give the statistic itself are not among them.
    assert found.p_values[1] == pytest.approx(float(reference["p-value"].iloc[0]), abs=4.5 / 1024)


def test_many_clusters_draw_at_random_and_near_the_t_test():
    x, y, clusters = _data(7, (3,) * 300)
    fit, errors, found = _bootstrap(x, y, clusters, n_draws=1999)
    _, _, again = _bootstrap(x, y, clusters, n_draws=1999)
    assert found.n_draws == 1999
    assert (found.p_values == again.p_values).all()
    half = 1.968 * errors
    np.testing.assert_allclose(found.low, fit.coefficients - half, atol=float(0.15 * errors.max()))
    np.testing.assert_allclose(found.high, fit.coefficients + half, atol=float(0.15 * errors.max()))


def test_simultaneous_values_between_one_test_and_bonferroni():
    one, bonferroni = critical_value(0.95, 30), critical_value(1 - 0.05 / 10, 30)
    correlated = 0.8 * np.ones((10, 10)) + 0.2 * np.eye(10)
    assert one < simultaneous_critical_value(correlated, 30, 0.95, 0) < bonferroni
    assert simultaneous_critical_value(np.ones((4, 4)), math.inf, 0.95, 0) == pytest.approx(1.96, abs=0.02)
    # Independent: 1 - (1 - p)^10 = 0.05.
    independent = stats.norm.ppf(0.5 + 0.95 ** (1 / 10) / 2)
    assert simultaneous_critical_value(np.eye(10), math.inf, 0.95, 1) == pytest.approx(independent, abs=0.02)
    # Dunnett and Sobel's bivariate t with 10 degrees of freedom, correlation 0.5: P(max |t| <= c) = 0.95.
    covariance = np.array([[1.0, 0.5], [0.5, 1.0]])
    c = simultaneous_critical_value(covariance, 10, 0.95, 2)
    inside = stats.multivariate_t(shape=covariance, df=10, seed=0)
    box = inside.cdf([c, c]) - inside.cdf([c, -c]) - inside.cdf([-c, c]) + inside.cdf([-c, -c])
    assert box == pytest.approx(0.95, abs=0.003)
    assert math.isnan(simultaneous_critical_value(np.empty((0, 0)), 5, 0.95, 0))


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_wald_does_not_depend_on_the_units(seed, q):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(q, q)) + 3 * np.eye(q)
    estimates, turn = rng.normal(size=q), rng.normal(size=(q, q)) + 3 * np.eye(q)
    if min(np.linalg.cond(root), np.linalg.cond(turn)) > 50 or max(np.linalg.cond(root), np.linalg.cond(turn)) > 50:
        return
    first = wald_test(estimates, root @ root.T, 20)
    second = wald_test(turn @ estimates, turn @ root @ root.T @ turn.T, 20)
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_wald_of_one_is_the_squared_t_test_and_of_nothing_is_nothing():
    statistic, q, p = wald_test(np.array([2.0]), np.array([[1.0]]), 7)
    assert (statistic, q) == (pytest.approx(4.0), 1)
    assert p == pytest.approx(2 * stats.t.sf(2, 7))
    assert math.isnan(wald_test(np.empty(0), np.empty((0, 0)), 7)[2])
    assert math.isnan(wald_test(np.zeros(1), np.zeros((1, 1)), 7)[2])

import math
import warnings
from itertools import product

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from wildboottest.wildboottest import wildboottest

from seal_datasets.estimate.covariance import joint_test, simultaneous_critical_values, wald_test, wild_bootstrap
from seal_datasets.estimate.intervals import critical_value
from seal_datasets.estimate.least_squares import fit_linear
from seal_datasets.estimate.linear import solve, triangle


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


def _bootstrap(x, y, clusters, n_draws=1000, seed=0):
    fit = fit_linear(x, y, clusters, errors="crv1")
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


WEBB = [side * math.sqrt(size) for size in (0.5, 1, 1.5) for side in (-1, 1)]


def _bootstrap_by_definition(x, y, clusters, j, points, null=0.0):
    """Every pattern of weights, a regression each."""
    others = np.delete(x, j, axis=1)
    restricted = others @ np.linalg.lstsq(others, y - null * x[:, j])[0] + null * x[:, j]
    fit = fit_linear(x, y, clusters, errors="crv1")
    observed = abs(fit.coefficients[j] - null) / math.sqrt(fit.covariance[j, j])
    patterns = list(product(points, repeat=int(clusters.max()) + 1))
    extreme = 0
    for weights in patterns:
        drawn = fit_linear(x, restricted + np.array(weights)[clusters] * (y - restricted), clusters, errors="crv1")
        extreme += abs(drawn.coefficients[j] - null) / math.sqrt(drawn.covariance[j, j]) >= observed * (1 - 1e-9)
    return extreme / len(patterns)


def test_wild_bootstrap_of_few_clusters_is_its_definition_over_all_of_webbs_patterns():
    x, y, clusters = _data(4, (6, 4, 5), k=2)
    _, _, found = _bootstrap(x, y, clusters)
    assert found.n_draws == 6**3
    for j in range(2):
        assert found.p_values[j] == pytest.approx(_bootstrap_by_definition(x, y, clusters, j, WEBB))


def test_wild_bootstrap_of_twelve_clusters_is_its_definition_over_all_sign_patterns():
    x, y, clusters = _data(9, (2, 1) * 6, k=2)
    _, _, found = _bootstrap(x, y, clusters, n_draws=2**12)
    assert found.n_draws == 2**12
    assert found.p_values[1] == pytest.approx(_bootstrap_by_definition(x, y, clusters, 1, (-1, 1)))


def test_wild_intervals_end_where_the_test_begins_to_reject():
    x, y, clusters = _data(5, (6, 4, 5), k=2)
    _, errors, found = _bootstrap(x, y, clusters)
    for end, side in ((found.low[1], -1), (found.high[1], 1)):
        assert math.isfinite(end)
        inside, outside = end - side * 0.01 * errors[1], end + side * 0.01 * errors[1]
        assert _bootstrap_by_definition(x, y, clusters, 1, WEBB, inside) > 0.05
        assert _bootstrap_by_definition(x, y, clusters, 1, WEBB, outside) <= 0.05 + 1e-12


def test_two_clusters_can_reject_nothing_and_have_no_numbers():
    # Six patterns of 36 repeat the statistic: no p-value is below 1/6.
    x, y, clusters = _data(5, (6, 9), k=2)
    _, _, found = _bootstrap(x, y, clusters)
    assert np.isnan([found.p_values, found.low, found.high]).all()


def test_draws_at_random_never_give_a_p_value_of_zero():
    x, _, clusters = _data(7, (3,) * 60)
    y = 50 * x[:, 1] + np.random.default_rng(0).normal(size=len(x))
    _, _, found = _bootstrap(x, y, clusters, n_draws=199)
    assert found.p_values[1] == pytest.approx(1 / 200)


@pytest.mark.parametrize(("sizes", "kind"), [((2, 3, 4, 5, 6, 3, 4, 5, 4, 3), "webb"), ((3,) * 20, "rademacher")])
def test_wild_bootstrap_is_wildboottest(sizes, kind):
    x, y, clusters = _data(6, sizes)
    _, _, found = _bootstrap(x, y, clusters, n_draws=9999)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = wildboottest(
            sm.OLS(y, x), param="x1", B=9999, cluster=clusters, weights_type=kind, seed=1, show=False
        )
    # Both draw at random: three standard errors of a difference of shares.
    expected = float(reference["p-value"].iloc[0])
    assert found.p_values[1] == pytest.approx(expected, abs=3 * math.sqrt(2 * 0.25 / 9999))


def test_many_clusters_draw_at_random_and_near_the_t_test():
    x, y, clusters = _data(7, (3,) * 300)
    fit, errors, found = _bootstrap(x, y, clusters, n_draws=1999)
    _, _, again = _bootstrap(x, y, clusters, n_draws=1999)
    assert found.n_draws == 1999
    assert (found.p_values == again.p_values).all()
    half = 1.968 * errors
    np.testing.assert_allclose(found.low, fit.coefficients - half, atol=float(0.15 * errors.max()))
    np.testing.assert_allclose(found.high, fit.coefficients + half, atol=float(0.15 * errors.max()))


def _same(m, freedom):
    return np.full(m, float(freedom))


def test_simultaneous_values_between_one_test_and_bonferroni():
    one, bonferroni = critical_value(0.95, 30), critical_value(1 - 0.05 / 10, 30)
    correlated = 0.8 * np.ones((10, 10)) + 0.2 * np.eye(10)
    values = simultaneous_critical_values(correlated, _same(10, 30), 0.95, 0)
    assert (one < values).all()
    assert (values < bonferroni).all()
    same = simultaneous_critical_values(np.ones((4, 4)), _same(4, math.inf), 0.95, 0)
    np.testing.assert_allclose(same, 1.96, atol=0.02)
    assert not len(simultaneous_critical_values(np.empty((0, 0)), np.empty(0), 0.95, 0))


@pytest.mark.parametrize("degrees", [[math.inf] * 10, [5, 50], [3, 8, 2500, math.inf], [1.5, 40]])
def test_simultaneous_values_of_independent_tests_are_sidaks(degrees):
    # Independent: (1 - level)^m = 0.95. Each has its own t reference; a common one would be too narrow for the first.
    degrees = np.array(degrees, dtype=float)
    level = 1 - 0.95 ** (1 / len(degrees))
    expected = np.where(np.isinf(degrees), stats.norm.isf(level / 2), stats.t.isf(level / 2, np.minimum(degrees, 1e9)))
    found = simultaneous_critical_values(np.eye(len(degrees)), degrees, 0.95, 1)
    # Monte Carlo error, and of the normal equivalent at the fewest degrees of freedom.
    np.testing.assert_allclose(found, expected, rtol=0.03 if degrees.min() > 2 else 0.12)
    held = (1 - 2 * stats.t.sf(found, np.minimum(degrees, 1e9))).prod()
    assert held == pytest.approx(0.95, abs=0.005)


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
    assert math.isnan(wald_test(np.ones(1), np.full((1, 1), -1e-20), 7)[2])


def test_aht_is_hotellings_test():
    # Of a mean vector from n normal draws: T squared with n - 1 degrees of freedom, F = T^2 (n - q) / (q (n - 1)).
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(12, 3)) + 0.5
    mean, covariance = draws.mean(axis=0), np.cov(draws.T) / 12
    statistic, freedom, p = joint_test(mean, covariance, 11, True)
    squared = mean @ np.linalg.solve(covariance, mean)
    assert (statistic, freedom) == (pytest.approx(squared * 9 / 33), (3.0, 9))
    assert p == pytest.approx(stats.f.sf(squared * 9 / 33, 3, 9))
    assert math.isnan(joint_test(mean, covariance, 2.0, True)[2])

import math

import numpy as np
import pytest
from firthmodels import FirthLogisticRegression
from scipy import optimize, stats

from seal_datasets.estimate.firth import fit_firth


def _rows(x, successes, totals):
    """Patterns written out as rows."""
    wins = np.repeat(x, successes.astype(int), axis=0)
    losses = np.repeat(x, (totals - successes).astype(int), axis=0)
    return np.vstack([wins, losses]), np.r_[np.ones(len(wins)), np.zeros(len(losses))]


def _patterns(seed=0, separated=True):
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(12), rng.integers(0, 2, 12), rng.integers(-1, 2, 12), rng.integers(0, 2, 12)]).astype(
        float
    )
    x, index = np.unique(x, axis=0, return_index=True)
    totals = rng.integers(1, 6, len(index)).astype(float)
    successes = rng.binomial(totals.astype(int), 0.5).astype(float)
    if separated:
        successes = np.where(x[:, 1] == 1, totals, successes)
    return x, successes, totals


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("separated", [True, False])
def test_is_firthmodels(seed, separated):
    x, successes, totals = _patterns(seed, separated)
    rows, outcome = _rows(x, successes, totals)
    profiled = np.array([False, True, True, True])
    fit = fit_firth(x, successes, totals, profiled=profiled, confidence=0.95)
    reference = FirthLogisticRegression(backend="numpy", xtol=1e-6, gtol=1e-6, max_iter=500).fit(rows[:, 1:], outcome)
    np.testing.assert_allclose(fit.coefficients, np.r_[reference.intercept_, reference.coef_], atol=1e-5)
    reference.lrt()
    np.testing.assert_allclose(fit.p_values[1:], reference.lrt_pvalues_[:3], atol=1e-6)
    intervals = reference.conf_int(alpha=0.05, method="pl", max_iter=500, tol=1e-6)[:3]
    np.testing.assert_allclose(np.column_stack([fit.low, fit.high])[1:], intervals, atol=1e-4)


def test_two_groups_are_haldanes_odds_ratio_and_intervals_end_at_the_chi_squared_drop():
    x, totals, successes = np.array([[1.0, 0], [1, 1]]), np.array([20.0, 10.0]), np.array([8.0, 10.0])
    fit = fit_firth(x, successes, totals, profiled=np.array([False, True]), confidence=0.9)
    assert fit.coefficients[1] == pytest.approx(math.log(10.5 / 0.5 / (8.5 / 12.5)))

    def profile(slope):
        def penalised(intercept):
            p = 1 / (1 + np.exp(-(intercept + slope * x[:, 1])))
            information = (x * (totals * p * (1 - p))[:, None]).T @ x
            return -(
                successes @ np.log(p) + (totals - successes) @ np.log1p(-p) + 0.5 * math.log(np.linalg.det(information))
            )

        return -optimize.minimize_scalar(penalised, bounds=(-10, 10), method="bounded", options={"xatol": 1e-10}).fun

    top, drop = profile(fit.coefficients[1]), stats.chi2.ppf(0.9, 1) / 2
    assert profile(fit.low[1]) == pytest.approx(top - drop, abs=1e-6)
    assert profile(fit.high[1]) == pytest.approx(top - drop, abs=1e-6)
    assert fit.p_values[1] == pytest.approx(stats.chi2.sf(2 * (top - profile(0.0)), 1), abs=1e-8)
    assert np.isnan([fit.p_values[0], fit.low[0], fit.high[0]]).all()


def test_profile_intervals_cover_a_rare_feature():
    covered = []
    x = np.array([[1.0, 0], [1, 1]])
    truth = np.array([-0.5, 1.0])
    for seed in range(400):
        totals = np.array([60.0, 8.0])
        successes = np.random.default_rng(seed).binomial(totals.astype(int), 1 / (1 + np.exp(-x @ truth))).astype(float)
        fit = fit_firth(x, successes, totals, profiled=np.array([False, True]), confidence=0.95)
        covered.append(fit.low[1] <= truth[1] <= fit.high[1])
    assert 0.92 <= np.mean(covered) <= 0.985

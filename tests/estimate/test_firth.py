import math

import numpy as np
import pytest
from firthmodels import FirthLogisticRegression
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

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


def _slope(x, y):
    design = np.column_stack([np.ones(len(x)), x]).astype(float)
    profiled = np.arange(design.shape[1]) > 0
    return fit_firth(design, np.array(y, float), np.ones(len(y)), profiled=profiled, confidence=0.95)


SEPARATED = [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("outcome", [SEPARATED, [0, 0, 1, 0, 1, 1]])
@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1.0, 1e6, 1e9])
@pytest.mark.parametrize("shift", [0.0, 1e3, -1e6])
def test_units_only_scale_a_coefficient(outcome, scale, shift):
    x = np.array([1.0, 2, 3, 4, 5, 6])
    plain, moved = _slope(x, outcome), _slope((x + shift) * scale, outcome)
    assert moved.converged.all()
    for mine, theirs in ((plain.coefficients, moved.coefficients), (plain.low, moved.low), (plain.high, moved.high)):
        assert theirs[1] * scale == pytest.approx(mine[1], rel=1e-7)
    assert moved.covariance[1, 1] * scale**2 == pytest.approx(plain.covariance[1, 1], rel=1e-7)
    assert moved.p_values[1] == pytest.approx(plain.p_values[1], rel=1e-6)
    intercept = plain.coefficients[0] - shift * plain.coefficients[1]
    assert moved.coefficients[0] == pytest.approx(intercept, rel=1e-7, abs=1e-7)


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 1), st.booleans()), min_size=6, max_size=30),
    st.floats(-1e4, 1e4),
    st.sampled_from([1e-6, 1e-3, -1.0, 20.0, 1e6]),
)
@settings(max_examples=60, deadline=None)
def test_a_shift_changes_the_intercept_only_and_a_scale_its_coefficient_only(rows, shift, scale):
    x, y = np.array([row[:2] for row in rows], float), [row[2] for row in rows]
    assume(np.linalg.matrix_rank(np.column_stack([np.ones(len(x)), x])) == 3)
    plain, moved = _slope(x, y), _slope(np.column_stack([(x[:, 0] + shift) * scale, x[:, 1]]), y)
    np.testing.assert_allclose(moved.coefficients[1:] * [scale, 1], plain.coefficients[1:], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(moved.p_values[1:], plain.p_values[1:], rtol=1e-5, atol=1e-6)
    ends = (
        (moved.low, moved.high)
        if scale > 0
        else (np.r_[0, moved.high[1], moved.low[2]], [0, moved.low[1], moved.high[2]])
    )
    np.testing.assert_allclose(ends[0][1] * scale, plain.low[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ends[1][1] * scale, plain.high[1], rtol=1e-5, atol=1e-5)


def test_nearly_collinear_columns_answer_as_in_other_coordinates():
    # b differs from a by 1e-5: the same column space as a and the difference.
    rng = np.random.default_rng(0)
    a, difference = rng.integers(0, 2, 60).astype(float), rng.integers(0, 2, 60).astype(float)
    y = rng.random(60) < 0.2 + 0.6 * a
    plain = _slope(np.column_stack([a, difference]), y)
    close = _slope(np.column_stack([a, a + 1e-5 * difference]), y)
    assert close.converged.all()
    assert close.coefficients[2] * 1e-5 == pytest.approx(plain.coefficients[2], rel=1e-6)
    assert close.coefficients[1] + close.coefficients[2] == pytest.approx(plain.coefficients[1], abs=1e-5)
    assert [close.low[2] * 1e-5, close.high[2] * 1e-5] == pytest.approx([plain.low[2], plain.high[2]], rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_steps_that_go_too_far_do_not_alternate_for_ever(seed):
    # Rare features on single patterns: plain Fisher steps jump back and forth over the maximum.
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(200), rng.random((200, 12)) < 0.03]).astype(float)
    x = x[:, np.r_[True, x[:, 1:].any(axis=0)]]
    assert np.linalg.matrix_rank(x) == x.shape[1]
    y = (rng.random(200) < 0.5).astype(float)
    fit = fit_firth(x, y, np.ones(200), profiled=np.zeros(x.shape[1], bool), confidence=0.95)
    p = special.expit(x @ fit.coefficients)
    root = x * np.sqrt(p * (1 - p))[:, None]
    hat = np.einsum("ij,jk,ik->i", root, np.linalg.inv(root.T @ root), root)
    assert fit.converged.all()
    assert np.abs(x.T @ (y - p + hat * (0.5 - p))).max() < 1e-7


def test_a_row_far_out_is_stepped_back_from():
    # A thousand spreads away, first steps leave no information at all.
    x = np.r_[np.linspace(-1, 1, 20), 3e4]
    fit = _slope(x, np.r_[np.tile([0, 1], 10), 1])
    assert fit.converged.all()
    assert fit.low[1] < fit.coefficients[1] < fit.high[1]


def test_an_intercept_is_profiled_too():
    x = np.array([[1.0, 1e3], [1.0, 1e3 + 1]])
    fit = fit_firth(x, np.array([3.0, 8.0]), np.array([10.0, 10.0]), profiled=np.array([True, True]), confidence=0.95)
    assert fit.low[0] < fit.coefficients[0] < fit.high[0]
    assert fit.converged.all()


def test_a_fit_that_does_not_converge_has_no_numbers(monkeypatch):
    monkeypatch.setattr("seal_datasets.estimate.firth._MAX_STEPS", 1)
    fit = _slope([1, 2, 3, 4, 5, 6], SEPARATED)
    assert not fit.converged.any()
    assert np.isnan([*fit.coefficients, *fit.low, *fit.high, *fit.p_values, *fit.covariance.ravel()]).all()


def test_an_interval_without_an_end_is_not_converged(monkeypatch):
    monkeypatch.setattr("seal_datasets.estimate.firth._find_bound", lambda *_: math.nan)
    fit = _slope([1, 2, 3, 4, 5, 6], SEPARATED)
    assert fit.converged.tolist() == [True, False]
    assert np.isfinite(fit.coefficients).all()

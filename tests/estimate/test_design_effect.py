import numpy as np
import pytest

from seal_datasets.estimate.design_effect import ClusteredOutcome
from seal_datasets.estimate.firth import fit_firth


def _pairs(seed=0, n_prompts=30, copies=1):
    rng = np.random.default_rng(seed)
    pattern = rng.integers(0, 4, n_prompts)
    outcome = rng.random(n_prompts) < 0.6
    return np.repeat(outcome, copies), np.repeat(pattern, copies), np.repeat(np.arange(n_prompts), copies)


def _direction(pattern):
    centred = np.arange(4) - pattern.mean()
    return centred / len(pattern)


def test_copies_of_a_pair_add_nothing():
    # Eight copies have 8 times the variance of independent pairs.
    outcome, pattern, clusters = _pairs(copies=8)
    effect, freedom = ClusteredOutcome(outcome, pattern, clusters).design_effect(np.full(4, 0.6), _direction(pattern))
    assert effect == pytest.approx(8, rel=0.3)
    own = (_direction(pattern)[pattern[::8]]) ** 2
    assert freedom == pytest.approx(own.sum() ** 2 / (own**2).sum() - 1)


def test_independent_pairs_have_no_design_effect_below_one():
    for seed in range(20):
        outcome, pattern, clusters = _pairs(seed)
        effect, _ = ClusteredOutcome(outcome, pattern, clusters).design_effect(np.full(4, 0.6), _direction(pattern))
        assert 1 <= effect < 2


def test_a_likelihood_ratio_is_divided_by_the_design_effect_and_referred_to_t():
    x = np.array([[1.0, 0.0], [1.0, 1.0]])
    pattern = np.repeat([0, 1], 40)
    clusters = np.repeat(np.arange(10), 8)
    outcome = np.r_[np.tile([1, 1, 1, 0], 10), np.ones(40)].astype(bool)
    successes, totals = np.bincount(pattern, weights=outcome), np.array([40.0, 40.0])
    options = {"profiled": np.array([False, True]), "confidence": 0.95}
    plain = fit_firth(x, successes, totals, **options)
    wide = fit_firth(x, successes, totals, **options, clustered=ClusteredOutcome(outcome, pattern, clusters))
    assert wide.coefficients[1] == plain.coefficients[1]
    # Ten prompts of eight pairs with equal weight: nine degrees of freedom.
    assert wide.freedom[1] == pytest.approx(9)
    assert wide.p_values[1] > plain.p_values[1]
    assert wide.low[1] < plain.low[1]
    assert wide.high[1] > plain.high[1]

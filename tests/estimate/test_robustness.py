import math

import numpy as np
import pytest
import statsmodels.api as sm

from seal_datasets.errors import DataError
from seal_datasets.estimate import alignment_robustness, misalignment_drivers

NAMES = ["coherent", "sentiment"]


def _draw(seed=0, n=400):
    rng = np.random.default_rng(seed)
    flips = rng.integers(-2, 3, (n, 4))
    lost = rng.random(n) < 1 / (1 + np.exp(-(-1.5 + (flips[:, 1] > 0) - 0.7 * (flips[:, 2] < 0))))
    before = rng.random(n) < 0.8
    return before, before & ~lost, flips, rng.integers(0, n // 4, n)


def _column(fit, name):
    return np.array([getattr(row, name) for row in fit.scores])


def _indicators(flips):
    columns = [flips[:, [0]], flips[:, [1]], flips[:, [2]], flips[:, [3]]]
    return np.hstack([np.hstack([column > 0, column < 0]) for column in columns]).astype(float)


def test_the_outcome_is_aligned_before_and_not_after():
    # Lost: pair 0 and 1. Kept: 2. Never aligned: 3. Gained: 4.
    fit = alignment_robustness([1, 1, 1, 0, 0], [0, 0, 1, 0, 1], [[1], [0], [1], [0], [0]], [[0]] * 5, ["polite"])
    assert (fit.n_pairs, fit.n_misaligned_by_rewriting) == (5, 2)
    assert (fit.alignment_before, fit.alignment_after) == (3 / 5, 2 / 5)
    # 1 of 2 with the flip, 1 of 3 without: odds 1 against 1/2.
    assert fit.scores[0].odds_ratio == pytest.approx(2)
    assert fit.scores[0].std_error == pytest.approx(math.sqrt(1 + 1 + 1 + 1 / 2))


def test_each_flip_has_two_directions_and_counts_by_its_sign():
    before, after, flips, _ = _draw()
    fit = alignment_robustness(before, after, flips[:, :2], flips[:, 2:], NAMES)
    assert [(row.side, row.feature, row.direction) for row in fit.scores] == [
        (side, feature, direction) for side in ("chosen", "rejected") for feature in NAMES for direction in "+-"
    ]
    assert _column(fit, "n_flips").tolist() == _indicators(flips).sum(axis=0).tolist()
    clipped = alignment_robustness(before, after, np.sign(flips[:, :2]), np.sign(flips[:, 2:]), NAMES)
    assert clipped == fit


def test_is_statsmodels_logit_on_the_indicators():
    before, after, flips, _ = _draw(1)
    outcome = (before & ~after).astype(float)
    reference = sm.Logit(outcome, sm.add_constant(_indicators(flips))).fit(disp=0, tol=1e-12)
    fit = alignment_robustness(before, after, flips[:, :2], flips[:, 2:], NAMES)
    np.testing.assert_allclose(_column(fit, "coefficient"), reference.params[1:], rtol=1e-6)
    np.testing.assert_allclose(_column(fit, "std_error"), reference.bse[1:], rtol=1e-6)
    effects = reference.get_margeff(dummy=True)
    np.testing.assert_allclose(_column(fit, "average_marginal_effect"), effects.margeff, rtol=1e-6)
    np.testing.assert_allclose(_column(fit, "average_marginal_effect_std_error"), effects.margeff_se, rtol=1e-6)


@pytest.mark.parametrize("estimator", ["logit", "linear_probability"])
def test_exchanging_original_and_rewritten_texts_exchanges_the_directions(estimator):
    before, after, flips, _ = _draw(2)
    lost = before & ~after
    n = len(lost)
    fit, turned = (
        alignment_robustness(np.ones(n), ~lost, each[:, :2], each[:, 2:], NAMES, estimator=estimator)
        for each in (flips, -flips)
    )
    exchanged = [1, 0, 3, 2, 5, 4, 7, 6]
    np.testing.assert_allclose(_column(turned, "coefficient")[exchanged], _column(fit, "coefficient"), rtol=1e-7)
    drivers = misalignment_drivers(
        ~lost, _indicators(flips)[:, :4], _indicators(flips)[:, 4:], list("abcd"), estimator=estimator
    )
    np.testing.assert_allclose([-row.coefficient for row in drivers.drivers], _column(fit, "coefficient"), rtol=1e-7)


def test_statuses_are_never_a_number():
    # "+" in the chosen text: 2 flips, both lost (separated); "-": none (not identified).
    chosen = [[1], [1], [0], [0], [0], [0]]
    fit = alignment_robustness([1] * 6, [0, 0, 0, 1, 1, 0], chosen, [[0]] * 6, ["polite"])
    assert [row.status for row in fit.scores] == ["separated", *["not_identified"] * 3]
    assert _column(fit, "n_flips").tolist() == [2, 0, 0, 0]
    assert np.isnan(_column(fit, "coefficient")).tolist() == [False, True, True, True]
    # Firth's: half a count to each cell, 2 of 2 lost with the flip and 2 of 4 without.
    assert fit.scores[0].odds_ratio == pytest.approx((2.5 / 0.5) / (2.5 / 2.5))
    assert (fit.scores[0].method, fit.n_separated, fit.family_size) == ("firth", 2, 1)
    few = alignment_robustness([1] * 6, [0, 0, 0, 1, 1, 0], chosen, [[0]] * 6, ["polite"], min_flips=3)
    assert few.scores[0].status == "too_few_discordant"
    assert np.isnan(_column(few, "coefficient")).all()
    none = alignment_robustness([1] * 6, [1] * 6, chosen, [[0]] * 6, ["polite"])
    assert (none.status, {row.status for row in none.scores}) == ("one_class", {"one_class"})
    assert (none.n_misaligned_by_rewriting, none.scores[0].n_flips) == (0, 2)
    assert none.to_dict()["scores"][0]["coefficient"] is None


def test_pairs_whose_targets_changed_are_left_out_and_counted():
    before, after, flips, _ = _draw(3)
    changed = np.arange(len(before)) % 5 == 0
    groups = np.arange(len(before)) // 3
    fit = alignment_robustness(before, after, flips[:, :2], flips[:, 2:], NAMES, groups=groups, targets_changed=changed)
    part = alignment_robustness(
        before[~changed], after[~changed], flips[~changed, :2], flips[~changed, 2:], NAMES, groups=groups[~changed]
    )
    assert fit.scores == part.scores
    assert fit.alignment_before == part.alignment_before
    assert (fit.n_pairs, fit.n_left_out, part.n_left_out) == (int((~changed).sum()), int(changed.sum()), 0)
    with pytest.raises(DataError, match="targets_changed is true for all 6 pairs"):
        alignment_robustness([1] * 6, [0, 1] * 3, [[0]] * 6, [[0]] * 6, ["polite"], targets_changed=[1] * 6)


def _null_of_aligned_pairs(seed, n=600):
    """Flips in 60 % of aligned pairs and in 20 % of others; a pair loses alignment with probability 0.2, flip or not."""
    rng = np.random.default_rng(seed)
    before = rng.random(n) < 0.7
    flips = (rng.random((n, 1)) < np.where(before, 0.6, 0.2)[:, None]).astype(float)
    return before, before & (rng.random(n) >= 0.2), flips, np.zeros((n, 1))


def test_a_flip_that_is_commoner_among_aligned_pairs_scores_jointly_and_not_conditionally():
    rejected = {"all": [], "aligned": []}
    for seed in range(60):
        for among, found in rejected.items():
            row = alignment_robustness(*_null_of_aligned_pairs(seed), ["warm"], among=among).scores[0]
            found.append(row.p_value < 0.05)
    assert np.mean(rejected["all"]) > 0.4
    assert np.mean(rejected["aligned"]) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 60)


def test_among_aligned_pairs_is_the_regression_on_these_pairs():
    before, after, flips, prompts = _draw(3)
    arguments = (flips[:, :2], flips[:, 2:], NAMES)
    fit = alignment_robustness(before, after, *arguments, groups=prompts, among="aligned")
    part = alignment_robustness(
        before[before], after[before], flips[before, :2], flips[before, 2:], NAMES, groups=prompts[before]
    )
    assert fit.scores == part.scores
    assert (fit.n_pairs, fit.n_left_out, fit.among) == (before.sum(), 0, "aligned")
    assert (fit.alignment_before, fit.alignment_after) == (before.mean(), after.mean())
    with pytest.raises(DataError, match="aligned is false for every pair"):
        alignment_robustness([0, 0], [1, 0], [[1], [0]], [[0], [0]], ["warm"], among="aligned")
    with pytest.raises(DataError, match=r"among must be one of \['all', 'aligned'\], got 'chosen'"):
        alignment_robustness(before, after, *arguments, among="chosen")

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from seal_datasets.errors import DataError
from seal_datasets.estimate.intervals import clustered_wilson, critical_value, two_sided_p, wilson
from seal_datasets.estimate.multiplicity import adjust_p

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), [(0, 1), (0, 10), (1, 10), (5, 10), (10, 10), (41_445, 160_800)])
def test_wilson_is_scipys(successes, n, confidence):
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence=confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_one_success_in_one_solves_the_score_equation():
    # (1 - p)^2 = z^2 p (1 - p) gives p = 1 or p = 1 / (1 + z^2).
    z = stats.norm.ppf(0.975)
    assert wilson(1, 1) == pytest.approx((1 / (1 + z**2), 1.0))
    assert all(math.isnan(bound) for bound in wilson(0, 0))


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(counts):
    successes, n = counts
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_critical_values_and_p_values_are_scipys():
    assert critical_value(0.95, 7) == pytest.approx(stats.t.ppf(0.975, 7))
    assert critical_value(0.9, math.inf) == pytest.approx(stats.norm.ppf(0.95))
    statistics = np.array([-2.5, 0.0, 1.0, math.nan])
    np.testing.assert_allclose(two_sided_p(statistics, 4), 2 * stats.t.sf(np.abs(statistics), 4), rtol=1e-10)
    np.testing.assert_allclose(two_sided_p(statistics, math.inf), 2 * stats.norm.sf(np.abs(statistics)), rtol=1e-10)


@given(p_values=P_VALUES)
def test_bh_is_scipys(p_values):
    np.testing.assert_allclose(adjust_p(p_values, "bh"), stats.false_discovery_control(p_values), atol=1e-12)


@given(p_values=P_VALUES)
def test_holm_is_the_largest_step_up_to_each_p_value(p_values):
    # Of k hypotheses a p-value competes with those that are not smaller; ties share the largest step.
    ranks = stats.rankdata(p_values, method="ordinal")
    steps = p_values * (len(p_values) + 1 - ranks)
    expected = [min(1.0, max(steps[p_values <= p])) for p in p_values]
    np.testing.assert_allclose(adjust_p(p_values, "holm"), expected, atol=1e-12)


def test_adjusted_p_values_by_hand():
    p_values = np.array([0.03, 0.01, 0.2, 0.04])
    np.testing.assert_allclose(adjust_p(p_values, "bonferroni"), [0.12, 0.04, 0.8, 0.16])
    # In order 4*0.01, 3*0.03, 2*0.04 (not below the step before), 1*0.2.
    np.testing.assert_allclose(adjust_p(p_values, "holm"), [0.09, 0.04, 0.2, 0.09])
    # In order 4/1*0.01, 4/2*0.03, 4/3*0.04, 4/4*0.2, each not above the next: 0.06 becomes 0.16/3.
    np.testing.assert_allclose(adjust_p(p_values, "bh"), [0.16 / 3, 0.04, 0.2, 0.16 / 3])


@pytest.mark.parametrize("method", ["bonferroni", "holm", "bh"])
def test_what_was_not_tested_is_not_in_the_family(method):
    found = adjust_p(np.array([0.01, math.nan, 0.2, math.nan]), method)
    assert np.isnan(found).tolist() == [False, True, False, True]
    assert found[[0, 2]].tolist() == adjust_p(np.array([0.01, 0.2]), method).tolist()
    assert np.isnan(adjust_p(np.array([math.nan]), method)).all()


@given(P_VALUES)
def test_holm_is_never_weaker_than_bonferroni_nor_bh_than_holm(p_values):
    raw, bh, holm, bonferroni = p_values, *(adjust_p(p_values, each) for each in ("bh", "holm", "bonferroni"))
    assert (raw <= bh + 1e-15).all()
    assert (bh <= holm + 1e-15).all()
    assert (holm <= bonferroni + 1e-15).all()


def test_an_unknown_adjustment_is_named():
    with pytest.raises(DataError, match=r"adjust must be one of .*bonferroni.*got 'sidak'"):
        adjust_p(np.array([0.1]), "sidak")


# Shares of clustered rows -------------------------------------------------------------------------------------------------


def test_a_clustered_wilson_by_hand():
    # Four prompts of one pair, two successes: sums of -1/2 and 1/2, each squared and divided by 1 - 1/4 gives 4/3 in all. That
    # over 4 * 1/4 is a design effect of 4/3, so three effective pairs; t has min(4, 3 * 4) - 1 = 3 degrees of freedom.
    z, t = stats.norm.ppf(0.975), stats.t.ppf(0.975, 3)
    n = 3 * (z / t) ** 2
    middle, half = 0.5, z * math.sqrt(0.25 / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    found = clustered_wilson(np.array([True, True, False, False]), np.arange(4), 0.95)
    np.testing.assert_allclose(found, (middle - half, middle + half))


def test_rows_that_repeat_their_prompt_add_nothing():
    rng = np.random.default_rng(0)
    once = rng.random(30) < 0.3
    np.testing.assert_allclose(
        clustered_wilson(np.repeat(once, 8), np.repeat(np.arange(30), 8), 0.95),
        clustered_wilson(once, np.arange(30), 0.95),
    )


@pytest.mark.parametrize("successes", [0, 5, 6])
def test_bounds_stay_within_zero_and_one_and_are_no_point(successes):
    low, high = clustered_wilson(np.arange(6) < successes, np.arange(6), 0.95)
    assert 0.0 <= low < high <= 1.0
    low, high = clustered_wilson(np.repeat(np.arange(6) < successes, 4), np.repeat(np.arange(6), 4), 0.95)
    assert 0.0 <= low < high <= 1.0
    assert np.isnan(clustered_wilson(np.ones(3, bool), np.zeros(3, int), 0.95)).all()


@pytest.mark.parametrize(
    ("n_prompts", "sizes"), [(10, [8]), (15, [1, 1, 1, 8]), (40, [8]), (40, [1, 2, 3, 4, 5, 6, 7, 8])]
)
@pytest.mark.parametrize("share", [0.5, 0.1, 0.03])
@pytest.mark.parametrize("within", [0.0, 0.5, 1.0])  # correlation of the pairs of a prompt
def test_coverage_of_planted_shares_with_few_and_uneven_prompts(n_prompts, sizes, share, within):
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        codes = np.repeat(np.arange(n_prompts), rng.choice(sizes, n_prompts))
        if within in (0.0, 1.0):
            levels = np.full(n_prompts, share) if within == 0.0 else (rng.random(n_prompts) < share).astype(float)
        else:
            scale = (1 - within) / within
            levels = rng.beta(share * scale, (1 - share) * scale, n_prompts)
        low, high = clustered_wilson(rng.random(len(codes)) < levels[codes], codes, 0.95)
        covered += low <= share <= high
    assert covered / 300 >= 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / 300)

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from seal_datasets.estimate import label_accuracy, labeler_agreement, labeler_preference
from tests.estimate.cr2_by_definition import cr2_by_definition, freedom_by_definition, joint_by_definition

LABELS = st.lists(st.lists(st.integers(-1, 1), min_size=4, max_size=4), min_size=1, max_size=30).map(np.array)


def test_the_first_target_decides_and_the_next_only_at_a_tie():
    chosen = [[1, 0], [0, 1], [1, 1], [1, 0], [0, 0]]
    rejected = [[0, 1], [1, 0], [1, 0], [1, 1], [0, 0]]
    assert labeler_preference(chosen, rejected).tolist() == [
        *("chosen", "rejected", "chosen", "rejected", "indifferent")
    ]


@given(LABELS)
def test_preference_is_the_order_of_tuples(labels):
    found = labeler_preference(labels[:, :2], labels[:, 2:])
    for row, name in zip(labels.tolist(), found, strict=True):
        chosen, rejected = tuple(row[:2]), tuple(row[2:])
        assert name == ("chosen" if chosen > rejected else "rejected" if chosen < rejected else "indifferent")


@given(LABELS, st.data())
def test_regimes_split_the_preferences(labels, data):
    n = len(labels)
    post, pre = (data.draw(st.lists(st.booleans(), min_size=n, max_size=n)) for _ in range(2))
    found = labeler_agreement(labels[:, :2], labels[:, 2:], ["a", "b"], aligned=post, pre_aligned=pre)
    assert sum(each.n + each.n_indifferent for each in found.regimes.values()) == found.n_pairs == n
    assert sum(found.preference.values()) == n
    assert found.overall.n == found.preference["chosen"] + found.preference["rejected"]
    agreeing = sum(round(each.agreement_rate * each.n) for each in found.regimes.values() if each.n)
    assert agreeing == found.preference["chosen"]
    swapped = labeler_agreement(labels[:, 2:], labels[:, :2], ["a", "b"])
    assert swapped.preference["chosen"] == found.preference["rejected"]


def test_rates_by_regime_and_their_wilson_intervals():
    chosen, rejected = [[1], [1], [0], [1], [1]], [[0], [0], [1], [1], [0]]
    found = labeler_agreement(
        chosen, rejected, ["harmless"], aligned=[1, 1, 1, 1, 0], pre_aligned=[1, 1, 1, 0, 0], confidence=0.9
    )
    assert found.targets == ("harmless",)
    assert found.overall.agreement_rate == 3 / 4
    assert (found.overall.n, found.overall.n_indifferent) == (4, 1)
    assert found.overall.confidence_interval == pytest.approx(
        tuple(stats.binomtest(3, 4).proportion_ci(0.9, method="wilson"))
    )
    rates = {name: (each.agreement_rate, each.n, each.n_indifferent) for name, each in found.regimes.items()}
    assert rates["stayed_aligned"] == (2 / 3, 3, 0)
    assert rates["stayed_misaligned"] == (1.0, 1, 0)
    assert rates["became_aligned"][1:] == (0, 1)
    assert math.isnan(rates["became_aligned"][0])
    assert rates["reversed_alignment"][1:] == (0, 0)
    assert found.to_dict()["regimes"]["became_aligned"]["agreement_rate"] is None


def test_without_alignment_there_are_no_regimes():
    assert labeler_agreement([[1]], [[0]], ["harmless"]).regimes == {}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_kappa_is_statsmodels(seed):
    rng = np.random.default_rng(seed)
    gold = rng.integers(-1, 2, 50)
    labels = np.where(rng.random(50) < 0.7, gold, rng.integers(-1, 2, 50))
    table = np.array([[((labels == a) & (gold == b)).sum() for b in (-1, 0, 1)] for a in (-1, 0, 1)])
    found = label_accuracy(labels, gold)
    assert found.kappa == pytest.approx(cohens_kappa(table).kappa, abs=1e-12)
    assert found.agreement == np.trace(table) / 50
    assert found.majority_share == table.sum(axis=0).max() / 50
    interval = stats.binomtest(int(np.trace(table)), 50).proportion_ci(method="wilson")
    assert found.confidence_interval == pytest.approx(tuple(interval))


def test_kappa_of_a_constant_and_of_nothing_is_undefined():
    constant = label_accuracy([1, 1], [1, 1])
    assert (constant.agreement, constant.majority_share) == (1.0, 1.0)
    assert math.isnan(constant.kappa)
    assert "undefined" in constant.status
    nothing = label_accuracy([], [])
    assert (nothing.n, nothing.status) == (0, "no text has both labels")
    assert math.isnan(nothing.agreement)
    # Always answering 1 agrees half the time, as chance does.
    assert label_accuracy([1, 1], [0, 1]).kappa == 0.0


def _published():
    """Table 1 as pairs: one target, labels 1 over 0 for c, 0 over 1 for r, equal for indifferent."""
    table = {
        (1, 1): (58_350, 16_531, 2_765),
        (0, 1): (29_154, 9_065, 3_226),
        (0, 0): (22_907, 1_623, 3_114),
        (1, 0): (11_106, 1_410, 1_549),
    }
    chosen, rejected, before, after = [], [], [], []
    for (pre, post), (indifferent, c, r) in table.items():
        for n, (has_c, has_r) in ((c, (1, 0)), (r, (0, 1)), (indifferent, (1, 1))):
            chosen += [has_c] * n
            rejected += [has_r] * n
            before += [pre] * n
            after += [post] * n
    return [np.array(each, float) for each in (chosen, rejected, before, after)]


def test_published_regimes_differ_by_chi_squared_and_z():
    chosen, rejected, before, after = _published()
    found = labeler_agreement(chosen[:, None], rejected[:, None], ["harmless"], aligned=after, pre_aligned=before)
    counts = np.array([[16_531, 9_065, 1_623, 1_410], [2_765, 3_226, 3_114, 1_549]])
    over_all, *two = found.tests
    reference = stats.chi2_contingency(counts, correction=False)
    assert over_all.statistic == pytest.approx(reference.statistic)
    assert over_all.p_value == pytest.approx(reference.pvalue)
    # The squared z of two shares is the chi-squared statistic of their table; the first share is the larger one.
    table = stats.chi2_contingency(counts[:, :2], correction=False)
    assert two[0].regimes == ("stayed_aligned", "became_aligned")
    assert (two[0].statistic, two[0].p_value) == (
        pytest.approx(math.sqrt(table.statistic)),
        pytest.approx(table.pvalue),
    )
    assert len(two) == 6
    assert two[0].p_adjusted >= two[0].p_value
    rates = [each.agreement_rate for each in found.regimes.values()]
    np.testing.assert_allclose(rates, counts[0] / counts.sum(axis=0))


def test_clustered_tests_are_cr2_regressions_on_regimes():
    rng = np.random.default_rng(0)
    groups, aligned, before = np.arange(160) // 4, rng.integers(0, 2, 160), rng.integers(0, 2, 160)
    chosen = rng.integers(0, 2, 160)
    found = labeler_agreement(
        chosen[:, None], 1 - chosen[:, None], ["harmless"], aligned=aligned, pre_aligned=before, groups=groups
    )
    regimes = 2 * before + aligned
    names = {"stayed_misaligned": 0, "became_aligned": 1, "reversed_alignment": 2, "stayed_aligned": 3}
    two = found.tests[1]
    first, second = (regimes == names[name] for name in two.regimes)
    used = first | second
    x, y = np.column_stack([np.ones(used.sum()), first[used]]), chosen[used].astype(float)
    covariance, influence = cr2_by_definition(x, y, np.unique(groups[used], return_inverse=True)[1])
    statistic = (chosen[first].mean() - chosen[second].mean()) / math.sqrt(covariance[1, 1])
    assert two.statistic == pytest.approx(statistic)
    freedom = freedom_by_definition(influence)[1]
    assert two.p_value == pytest.approx(2 * stats.t.sf(abs(statistic), freedom))
    x = np.column_stack([np.ones(160), *(regimes == code for code in (1, 2, 3))])
    covariance, influence = cr2_by_definition(x, chosen.astype(float), groups)
    eta = joint_by_definition(influence[1:], np.einsum("sng,tng->st", influence[1:], influence[1:]))
    rates = np.linalg.lstsq(x, chosen.astype(float), rcond=None)[0][1:]
    wald = rates @ np.linalg.solve(covariance[1:, 1:], rates)
    over_all = found.tests[0]
    assert over_all.statistic == pytest.approx((eta - 2) / (3 * eta) * wald)
    assert over_all.p_value == pytest.approx(stats.f.sf(over_all.statistic, 3, eta - 2))


def test_a_handful_of_clustered_pairs_gives_a_test_or_none_without_a_warning():
    chosen = np.array([1, 1, 0, 0])
    for groups in ([0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 1, 2]):
        for seed in range(20):
            rng = np.random.default_rng(seed)
            labels = rng.permutation(chosen)[:, None]
            aligned, before = rng.integers(0, 2, (2, 4))
            found = labeler_agreement(
                labels, 1 - labels, ["harmless"], aligned=aligned, pre_aligned=before, groups=groups
            )
            assert all(math.isnan(test.p_value) or 0 <= test.p_value <= 1 for test in found.tests)


def test_clustered_tests_keep_the_level_where_pairs_of_a_prompt_agree():
    rejected = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(40), 8)
        level, aligned = rng.random(40)[groups], rng.random(40)[groups] < 0.5
        chosen = (np.where(rng.random(320) < 0.7, level, rng.random(320)) < 0.6).astype(int)
        tests = labeler_agreement(
            chosen[:, None], 1 - chosen[:, None], ["harmless"], aligned=aligned, groups=groups
        ).tests
        rejected.append([test.p_value < 0.05 for test in tests])
    # 5 % and three Monte Carlo errors of 1.5 points.
    assert max(np.mean(rejected, axis=0)) < 0.097


def test_two_regimes_are_compared_by_chi_squared_and_by_z():
    # Of 4 pairs 3 agree, of 6 pairs 2: pooled 1/2, z = (3/4 - 1/3) / sqrt(1/4 (1/4 + 1/6)).
    chosen = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])
    found = labeler_agreement(chosen[:, None], 1 - chosen[:, None], ["harmless"], aligned=[1] * 4 + [0] * 6)
    z = (3 / 4 - 1 / 3) / math.sqrt((1 / 4 + 1 / 6) / 4)
    over_all, two = found.tests
    assert (over_all.statistic, over_all.p_value) == (pytest.approx(z**2), pytest.approx(stats.chi2.sf(z**2, 1)))
    assert (two.statistic, two.p_value) == (pytest.approx(z), pytest.approx(2 * stats.norm.sf(z)))


def test_tests_between_regimes_without_pairs_or_without_variation_are_undefined():
    found = labeler_agreement([[1], [1]], [[0], [0]], ["harmless"], aligned=[1, 1])
    assert np.isnan([each.p_value for each in found.tests]).all()
    assert labeler_agreement([[1]], [[0]], ["harmless"]).tests == ()


def test_memory_grows_with_texts_and_not_with_texts_times_classes_squared():
    """50,000 texts of 30 classes: a table of texts by cells would take 360 MB."""
    import tracemalloc

    rng = np.random.default_rng(0)
    gold = rng.integers(0, 30, 50_000)
    labels = np.where(rng.random(50_000) < 0.6, gold, rng.integers(0, 30, 50_000))
    tracemalloc.start()
    found = label_accuracy(labels, gold, groups=rng.integers(0, 20_000, 50_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.kappa_interval[0] < found.kappa < found.kappa_interval[1]
    assert peak < 100e6


def test_the_interval_of_kappa_depends_neither_on_the_order_of_rows_nor_on_the_codes_of_prompts():
    rng = np.random.default_rng(1)
    gold = rng.integers(0, 3, 300)
    labels, prompts = np.where(rng.random(300) < 0.7, gold, rng.integers(0, 3, 300)), np.arange(300) // 3
    expected = label_accuracy(labels, gold, groups=prompts).kappa_interval
    order = rng.permutation(300)
    found = label_accuracy(labels[order], gold[order], groups=2 * prompts[order] + 5).kappa_interval
    assert found == pytest.approx(expected, abs=1e-12)
    assert expected != pytest.approx(label_accuracy(labels, gold).kappa_interval, abs=1e-3)  # prompts matter


def test_where_every_choice_agrees_no_test_is_made_of_rounding():
    rng = np.random.default_rng(0)
    aligned, before, groups = rng.random(60) < 0.5, rng.random(60) < 0.5, rng.integers(0, 17, 60)
    ones = np.ones((60, 1))
    found = labeler_agreement(ones, 0 * ones, ["harmless"], aligned=aligned, pre_aligned=before, groups=groups)
    assert np.isnan([[each.statistic, each.p_value] for each in found.tests]).all()


@pytest.mark.parametrize("uneven", [False, True])
def test_labels_that_are_all_the_wrong_way_round_have_a_kappa_of_minus_one_and_an_interval(uneven):
    gold = np.tile([0, 1], 20)
    groups = np.repeat(np.arange(12), [2, 2, 3, 3, 3, 3, *[4] * 6]) if uneven else None
    found = label_accuracy(1 - gold, gold, groups=groups)
    low, high = found.kappa_interval
    assert (found.kappa, low) == (-1.0, -1.0)
    assert -1 < high < 0

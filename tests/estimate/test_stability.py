import math

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from seal_datasets import estimate
from seal_datasets.errors import DataError
from seal_datasets.estimate import labeler_stability


def _labels(seed=0, n=200, r=3, k=3, missing=0.1):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    labels = np.where(rng.random((n, r)) < 0.7, truth[:, None], rng.integers(0, k, (n, r))).astype(float)
    labels[rng.random((n, r)) < missing] = np.nan
    return labels


NAMES = ["a", "b", "c"]


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
@pytest.mark.parametrize("values", [(0, 1, 2), (-1, 0, 5)])
def test_alpha_is_krippendorffs(level, values):
    labels = _labels()
    coded = np.where(np.isnan(labels), np.nan, np.array(values, float)[np.nan_to_num(labels).astype(int)])
    found = labeler_stability(coded, NAMES, level=level, n_bootstrap=10)
    reference = krippendorff.alpha(reliability_data=coded.T, level_of_measurement=level)
    assert found.alpha == pytest.approx(reference, abs=1e-9)
    assert found.n_pairable == int((~np.isnan(coded)).sum(axis=1).__gt__(1).sum())
    assert found.n_missing == {name: int(np.isnan(coded[:, i]).sum()) for i, name in enumerate(NAMES)}


def test_kappas_are_scikit_learns_over_rows_with_both_labels():
    labels = _labels()
    found = labeler_stability(labels, NAMES, level="ordinal", n_bootstrap=10)
    for pair in found.pairs:
        columns = labels[:, [NAMES.index(name) for name in pair.labelers]]
        a, b = columns[~np.isnan(columns).any(axis=1)].T
        assert pair.n == len(a)
        assert pair.agreement == pytest.approx((a == b).mean())
        assert pair.kappa == pytest.approx(cohen_kappa_score(a, b))
        assert pair.weighted_kappa == pytest.approx(cohen_kappa_score(a, b, weights="quadratic"))
        for label in (0, 1, 2):
            met = 2 * ((a == label) & (b == label)).sum() / ((a == label).sum() + (b == label).sum())
            assert pair.class_agreement[str(label)] == pytest.approx(met)


def test_skewed_prevalence_by_hand():
    # 118 both yes, 5 and 2 split, 0 both no: kappa is below 0 at 94 % agreement, AC1 is not.
    labels = [[1, 1]] * 118 + [[1, 0]] * 5 + [[0, 1]] * 2
    pair = labeler_stability(labels, ["a", "b"], n_bootstrap=200).pairs[0]
    share = 118 / 125
    yes = (123 / 125 + 120 / 125) / 2
    assert pair.agreement == pytest.approx(share)
    assert pair.kappa == pytest.approx((share - (123 * 120 + 2 * 5) / 125**2) / (1 - (123 * 120 + 2 * 5) / 125**2))
    assert pair.kappa < 0
    assert pair.ac1 == pytest.approx((share - 2 * yes * (1 - yes)) / (1 - 2 * yes * (1 - yes)))
    assert pair.prevalence_index == pytest.approx(118 / 125)
    assert pair.bias_index == pytest.approx(3 / 125)
    assert pair.class_agreement == {"0": 0.0, "1": pytest.approx(2 * 118 / 243)}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_order_of_labelers_names_of_classes_and_order_of_rows_do_not_matter(seed):
    labels = _labels(seed, n=40)
    found = labeler_stability(labels, NAMES, n_bootstrap=5)
    turned = labeler_stability(labels[::-1, ::-1], NAMES[::-1], n_bootstrap=5)
    renamed = labeler_stability(10 - 3 * labels, NAMES, n_bootstrap=5)
    for other in (turned, renamed):
        assert other.alpha == pytest.approx(found.alpha)
        assert sorted(pair.kappa for pair in other.pairs) == pytest.approx(sorted(pair.kappa for pair in found.pairs))


def test_full_agreement_is_one_and_one_label_throughout_is_undefined():
    same = np.repeat(np.arange(20)[:, None] % 2, 2, axis=1)
    found = labeler_stability(same, ["a", "b"])
    assert (found.alpha, found.pairs[0].kappa, found.pairs[0].ac1, found.status) == (1.0, 1.0, 1.0, "ok")
    constant = labeler_stability(np.ones((20, 2)), ["a", "b"])
    assert math.isnan(constant.alpha)
    assert math.isnan(constant.pairs[0].kappa)
    assert constant.pairs[0].status.startswith("both give one and the same label")
    assert constant.status.startswith("no row has two labels, or all")
    assert constant.pairs[0].agreement == 1.0
    apart = labeler_stability([[1, np.nan], [np.nan, 0]], ["a", "b"])
    assert (apart.pairs[0].n, apart.pairs[0].status) == (0, "no row has both labels")


def test_intervals_by_prompt_cover_where_rows_taken_alone_do_not():
    covered = np.zeros(2)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), 5)
        first = rng.integers(0, 2, 300)
        # Whole prompts are clear or unclear: labelers agree on 95 % or on 55 % of their texts.
        sure = np.where(rng.random(60) < 0.5, 0.98, 0.42)[groups]
        labels = np.column_stack([first, np.where(rng.random(300) < sure, first, 1 - first)])
        for i, given_groups in enumerate((groups, None)):
            low, high = (
                labeler_stability(labels, ["a", "b"], groups=given_groups, n_bootstrap=300).pairs[0].agreement_interval
            )
            covered[i] += low <= 0.7 <= high
    assert 0.9 <= covered[0] / 200 <= 0.98
    assert covered[1] < covered[0] - 8


def _rare(seed, n_prompts=60, prevalence=0.03, same=0.6):
    """Two labels that agree beyond chance by `same`; the second copies the first that often, and is drawn anew else."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_prompts), rng.integers(1, 9, n_prompts))
    n = len(groups)

    def share(p):
        return np.where(rng.random(n) < 0.5, rng.random(n_prompts)[groups], rng.random(n)) < p

    first = share(prevalence)
    return np.column_stack([first, np.where(share(same), first, share(prevalence))]).astype(float), groups


def test_kappa_of_rare_labels_is_covered_or_withheld_with_a_status():
    covered, withheld = [], 0
    for seed in range(200):
        labels, groups = _rare(seed)
        (pair,) = labeler_stability(labels, ["a", "b"], groups=groups, n_bootstrap=2).pairs
        low, high = pair.kappa_interval
        assert (pair.status == "ok") == (not math.isnan(low))
        if math.isnan(low):
            withheld += 1
            assert pair.status == "too_few_prompts" or math.isnan(pair.kappa)
        else:
            assert -1 <= low < high <= 1
            covered.append(low <= 0.6 <= high)
    assert 10 < withheld < 150
    assert np.mean(covered) >= 0.93


def test_the_interval_of_kappa_is_the_asymptotic_one_where_rows_are_many():
    rng = np.random.default_rng(0)
    first = rng.random(20_000) < 0.3
    labels = np.column_stack([first, np.where(rng.random(20_000) < 0.8, first, rng.random(20_000) < 0.3)]).astype(float)
    (pair,) = labeler_stability(labels, ["a", "b"], n_bootstrap=2).pairs
    table = np.histogram2d(*labels.T, bins=2)[0]
    reference = cohens_kappa(table)
    assert pair.kappa_interval == pytest.approx((reference.kappa_low, reference.kappa_upp), abs=2e-4)


def test_full_agreement_has_an_interval_and_no_point():
    (pair,) = labeler_stability(np.repeat(np.arange(20)[:, None] % 2, 2, axis=1), ["a", "b"]).pairs
    # Ten of twenty rows hold the rarer label: Wilson's lower bound of 10 of 10 by t with 9 degrees of freedom, from 0 to 1.
    low, high = pair.kappa_interval
    assert high == 1.0
    assert 0 < low < 0.6


def test_bad_input_is_named():
    with pytest.raises(DataError, match="needs two labelers"):
        labeler_stability([[1]], ["a"])
    with pytest.raises(DataError, match="level must be one of"):
        labeler_stability([[1, 1]], ["a", "b"], level="ratio")
    with pytest.raises(DataError, match="labels hold 60 distinct values"):
        labeler_stability(np.arange(60.0).reshape(30, 2), ["a", "b"])
    with pytest.raises(DataError, match="first in row 1, column 0: inf"):
        labeler_stability([[1.0, 1.0], [np.inf, 1.0]], ["a", "b"])


def test_against_gold_labels_kappa_has_the_same_interval_as_between_labelers():
    rng = np.random.default_rng(5)
    gold = rng.integers(0, 2, 200).astype(float)
    given = np.where(rng.random(200) < 0.2, 1 - gold, gold)
    groups = np.arange(200) // 3
    pair = estimate.labeler_stability(np.column_stack([given, gold]), ["a", "b"], groups=groups).pairs[0]
    found = estimate.label_accuracy(given, gold, groups=groups)
    assert (found.kappa, *found.kappa_interval) == pytest.approx((pair.kappa, *pair.kappa_interval))
    assert np.isnan(estimate.label_accuracy([1, 0, 1], [1, 0, 0]).kappa_interval).all()


def test_large_codes_of_classes_are_told_apart():
    labels = [[1234567, 1234567], [1234568, 1234568], [1234567, 1234568]]
    (pair,) = labeler_stability(labels, ["a", "b"], n_bootstrap=2).pairs
    assert pair.class_agreement == {"1234567": pytest.approx(2 / 3), "1234568": pytest.approx(2 / 3)}

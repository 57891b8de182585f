"""How often a feature is on the chosen side: by hand, by symmetry, and on planted data."""

import numpy as np
import pytest

from seal_datasets.estimate import spoiler_balance
from seal_datasets.estimate.side_shares import side_shares


def shares(differences, **options):
    table = np.asarray(differences, dtype=float).reshape(len(differences), -1)
    names = [f"f{i}" for i in range(table.shape[1])]
    options = {"min_discordant": 2, "clusters": np.arange(len(table)), **options}
    return side_shares(table, names, options.pop("clusters"), **options)


def test_pairs_that_differ_are_counted_and_missing_labels_are_not():
    # Of five known pairs four differ, three of them with more on the chosen side.
    [row] = shares([2.0, 1.0, 1.0, -3.0, 0.0, np.nan])
    assert (row.share_chosen, row.n_discordant, row.n_pairs, row.status) == (0.75, 4, 5, "ok")


def test_swapping_the_sides_turns_the_share_and_keeps_the_test():
    differences = np.random.default_rng(0).integers(-1, 2, 200)
    [one], [other] = shares(differences), shares(-differences)
    assert one.share_chosen == pytest.approx(1 - other.share_chosen)
    assert one.confidence_interval == pytest.approx(tuple(1 - bound for bound in reversed(other.confidence_interval)))
    assert one.p_value == pytest.approx(other.p_value)


def test_the_test_is_that_of_the_means_of_signs_where_every_pair_differs():
    signs = np.sign(np.random.default_rng(1).normal(0.2, 1, 300))
    groups = np.arange(300) // 3
    [row] = shares(signs, clusters=groups)
    [other] = spoiler_balance((signs > 0)[:, None], (signs < 0)[:, None], ["f0"], groups=groups).spoilers
    assert row.p_value == pytest.approx(other.p_value)
    assert row.share_chosen == pytest.approx(other.share_more_in_chosen)


def test_three_copies_of_each_pair_are_no_more_evidence():
    differences = np.random.default_rng(2).choice([-1, 1], 60, p=[0.35, 0.65])
    [once], [copied] = shares(differences), shares(np.repeat(differences, 3), clusters=np.repeat(np.arange(60), 3))
    assert copied.p_value == pytest.approx(once.p_value)


@pytest.mark.parametrize(
    ("differences", "status"),
    [([0.0, 0.0], "no_discordant"), ([1.0, 0.0], "too_few_discordant"), ([1.0, 1.0, 1.0], "no_residual_variation")],
)
def test_without_a_test_there_is_a_reason(differences, status):
    [row] = shares(differences)
    assert (row.status, np.isnan(row.p_value)) == (status, True)


def test_pairs_of_one_prompt_have_no_test():
    [row] = shares([1.0, -1.0, 1.0], clusters=np.zeros(3))
    assert row.status == "too_few_clusters"


def test_a_balanced_feature_is_found_in_one_of_twenty_draws_and_a_planted_one_is_found():
    rng = np.random.default_rng(3)
    balanced = shares(rng.choice([-1, 1], (200, 400)))
    assert 0.02 < np.mean([row.p_value < 0.05 for row in balanced]) < 0.08
    planted = shares(rng.choice([-1, 1], (200, 50), p=[0.35, 0.65]))
    assert np.mean([row.p_value < 0.05 for row in planted]) > 0.9
    assert np.mean([low <= 0.65 <= high for low, high in (row.confidence_interval for row in planted)]) > 0.85

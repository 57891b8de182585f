"""Ranks of models and their intervals."""

import numpy as np
import pytest

from seal_datasets.errors import DataError
from seal_datasets.estimate import alignment_resistance, rank_models, resistance_trajectory


def _margins(shares, n_prompts, rng, size=2):
    """Margins of models that are aligned with these probabilities, alike within prompts."""
    common = rng.normal(size=n_prompts).repeat(size)
    noise = {name: 0.6 * common + 0.8 * rng.normal(size=n_prompts * size) for name in shares}
    thresholds = {name: np.quantile(rng.normal(size=200_000), 1 - share) for name, share in shares.items()}
    return {name: noise[name] - thresholds[name] for name in shares}, np.arange(n_prompts).repeat(size)


def test_by_hand():
    # b is right wherever a is and on 20 pairs more; c is right where a is not, and only there.
    a = np.array([1.0] * 20 + [-1.0] * 40)
    b = np.array([1.0] * 40 + [-1.0] * 20)
    found = rank_models({"a": a, "b": b, "c": a})
    assert [row.model for row in found.ranking] == ["b", "a", "c"]
    assert [row.rank for row in found.ranking] == [1, 2, 2]
    assert [row.rank_interval for row in found.ranking] == [(1, 1), (2, 3), (2, 3)]
    assert found.ranking[0].better_than == ("a", "c")
    assert found.ranking[1].alignment_resistance == pytest.approx(2 / 3)


def test_a_difference_is_that_of_the_trajectory_and_of_a_pair_of_models():
    margins, groups = _margins({"a": 0.6, "b": 0.7, "c": 0.72}, 80, np.random.default_rng(0))
    found = rank_models(margins, groups=groups)
    assert found.differences == {
        name: resistance_trajectory(margins, groups=groups, baseline="a").changes[name]
        for name in ("b - a", "c - a", "c - b")
    }
    zeros = np.zeros(160)
    pair = alignment_resistance(
        margins["b"], zeros, pre_chosen_rewards=margins["a"], pre_rejected_rewards=zeros, groups=groups
    )
    assert found.differences["b - a"] == pair.change


def test_two_models_have_ranks_apart_where_their_test_at_half_the_level_says_so():
    rng = np.random.default_rng(1)
    for share in (0.5, 0.6, 0.7, 0.8):
        margins, groups = _margins({"a": 0.5, "b": share}, 60, rng)
        found = rank_models(margins, groups=groups)
        apart = found.ranking[0].rank_interval == (1, 1)
        # Both one-sided tests of two models are a family of two.
        assert apart == (found.differences["b - a"].p_value < 0.05)


def test_intervals_hold_the_ranks_of_models_that_are_equal_and_of_those_that_are_not():
    rng = np.random.default_rng(2)
    shares = {"a": 0.6, "b": 0.6, "c": 0.6, "d": 0.85}
    held, best = [], []
    for _ in range(200):
        margins, groups = _margins(shares, 150, rng)
        intervals = {row.model: row.rank_interval for row in rank_models(margins, groups=groups).ranking}
        held.append(all(intervals[name] == (2, 4) for name in "abc") and intervals["d"] == (1, 1))
        best.append(intervals["d"] == (1, 1))
    assert np.mean(best) > 0.95  # 25 points apart
    assert np.mean(held) > 0.93


def test_models_that_agree_on_every_pair_share_all_ranks():
    a = np.array([1.0, -1.0] * 30)
    assert [row.rank_interval for row in rank_models({"x": a, "y": 3 * a}).ranking] == [(1, 2), (1, 2)]


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ({"a": [1.0]}, "name two or more"),
        ({"a": [1.0], "b": [1.0, 2.0]}, "has 1, margins"),
        ([1.0], "margins is a list"),
        ({"a": [1.0, float("nan")], "b": [1.0, 2.0]}, r"margins\['a'\]"),
    ],
)
def test_bad_margins(margins, message):
    with pytest.raises(DataError, match=message):
        rank_models(margins)

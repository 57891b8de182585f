import math

import numpy as np
import pytest

from seal_datasets.errors import DataError
from seal_datasets.estimate import style_matrix

STYLES = ["concise", "detailed", "markdown"]


def flat(chosen, rejected):
    """Every chosen response against every rejected one of a prompt."""
    chosen, rejected = np.array(chosen, dtype=float), np.array(rejected, dtype=float)
    n, k = chosen.shape
    names = np.array(STYLES[:k])
    return (
        np.repeat(chosen, k, axis=1).ravel(),
        np.tile(rejected, k).ravel(),
        np.tile(np.repeat(names, k), n),
        np.tile(names, k * n),
        names.tolist(),
    )


def accuracies(result):
    return [[cell.accuracy for cell in row] for row in result.matrix]


def test_two_prompts_worked_by_hand():
    result = style_matrix(*flat([[1, 2, 3], [3, 3, 3]], [[0, 2, 2.5], [1, 4, 2]]))
    # First prompt: 1 > 0; 2 > 0, and 2 > 2 is a tie; 3 > 0, 2, 2.5. Second prompt: each row is 3 > 1, not 4, 2.
    assert accuracies(result) == [[1.0, 0.0, 0.5], [1.0, 0.0, 0.5], [1.0, 0.5, 1.0]]
    assert result.hard.accuracy == pytest.approx((0.0 + 0.5 + 0.5) / 3)  # upper triangle
    assert result.normal.accuracy == pytest.approx((1.0 + 0.0 + 1.0) / 3)  # diagonal
    assert result.easy.accuracy == pytest.approx((1.0 + 1.0 + 0.5) / 3)  # lower triangle
    assert result.style_gap == pytest.approx(5 / 6 - 1 / 3)
    assert (result.easy.n, result.normal.n, result.hard.n, result.overall.n) == (6, 6, 6, 18)


def test_the_published_definition_by_triangles():
    rng = np.random.default_rng(0)
    chosen, rejected = rng.integers(0, 5, (2, 300, 3))
    wins = (chosen[:, :, None] > rejected[:, None, :]).mean(axis=0)
    result = style_matrix(*flat(chosen, rejected))
    assert np.array(accuracies(result)) == pytest.approx(wins)
    assert result.hard.accuracy == pytest.approx(np.triu(wins, 1).sum() / 3)
    assert result.normal.accuracy == pytest.approx(np.diag(wins).mean())
    assert result.easy.accuracy == pytest.approx(np.tril(wins, -1).sum() / 3)
    assert result.overall.accuracy == pytest.approx(
        (result.hard.accuracy + result.normal.accuracy + result.easy.accuracy) / 3
    )


def test_a_model_that_follows_style_alone_has_the_largest_gap():
    result = style_matrix(*flat([[1, 2, 3]] * 20, [[1, 2, 3]] * 20), groups=np.repeat(np.arange(20), 9))
    assert (result.easy.accuracy, result.normal.accuracy, result.hard.accuracy, result.style_gap) == (
        1.0,
        0.0,
        0.0,
        1.0,
    )
    assert math.isnan(result.style_gap_interval[0])  # no pair disagrees, so there is no error


def test_prompts_make_intervals_wider():
    rng = np.random.default_rng(1)
    level = rng.normal(size=(100, 1))
    pairs = flat(rng.normal(size=(100, 3)) / 3 + level, rng.normal(size=(100, 3)) / 3)
    alone = style_matrix(*pairs)
    clustered = style_matrix(*pairs, groups=np.repeat(np.arange(100), 9))
    for name in ("easy", "normal", "hard", "overall"):
        low, high = getattr(clustered, name).confidence_interval
        other_low, other_high = getattr(alone, name).confidence_interval
        assert high - low > 1.2 * (other_high - other_low)


def test_one_style_has_neither_easy_nor_hard_pairs():
    result = style_matrix([1.0, 2.0], [0.0, 3.0], ["a", "a"], ["a", "a"], ["a", "b"])
    assert (result.normal.accuracy, result.easy.n, result.matrix[1][1].n) == (0.5, 0, 0)
    assert np.isnan([result.easy.accuracy, result.style_gap, result.matrix[0][1].accuracy]).all()


def test_an_unknown_style_is_named():
    with pytest.raises(DataError, match=r"rejected_styles row 1 is 'd'; needed is one of the styles \['a', 'b'\]"):
        style_matrix([1.0, 2.0], [0.0, 3.0], ["a", "a"], ["a", "d"], ["a", "b"])

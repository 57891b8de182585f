import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_datasets.data import verdicts
from seal_datasets.data.formats import Spelling
from seal_datasets.data.verdicts import compare, responses_of
from seal_datasets.errors import DataError

SCORED = Spelling("scored", ("responses",), ("prompt",), scores=("scores",))
RANKED = Spelling("ranked", ("responses",), ("prompt",), winner="winner")


def test_the_examples_in_the_docstrings_run():
    result = doctest.testmod(verdicts)
    assert (result.attempted >= 2, result.failed) == (True, 0)


@given(st.lists(st.none() | st.sampled_from([0, 1, 2, 0.5, float("nan"), float("inf")]), max_size=6))
def test_every_two_judged_responses_make_a_pair_or_a_tie(scores):
    found = compare({"responses": ["x"] * len(scores), "scores": scores}, SCORED)
    judged = [score for score in scores if score is not None and score == score]
    assert found.n_unjudged == len(scores) - len(judged)
    assert len(found.pairs) + found.n_tied == len(judged) * (len(judged) - 1) // 2
    assert all(scores[better] > scores[worse] for better, worse in found.pairs)


@pytest.mark.parametrize("winner", [1, 1.0, "1"])
def test_a_winner_beats_each_of_the_others(winner):
    found = compare({"responses": ["a", "b", "c"], "winner": winner}, RANKED)
    assert found == ([(1, 0), (1, 2)], 0, 0)


def test_a_tie_makes_no_pair_and_a_missing_winner_none_either():
    assert compare({"responses": ["a", "b", "c"], "winner": "Tie"}, RANKED) == ([], 3, 0)  # three ways to pick two
    assert compare({"responses": ["a", "b", "c"], "winner": None}, RANKED) == ([], 0, 3)
    assert compare({"responses": ["a", "b"], "winner": float("nan")}, RANKED) == ([], 0, 2)
    assert compare({"responses": None, "winner": None}, RANKED) == ([], 0, 0)
    assert compare({"responses": ["a"], "winner": 0}, RANKED) == ([], 0, 0)


@pytest.mark.parametrize("winner", [2, -1, True, "c", 0.5, "model_a"])
def test_a_winner_that_is_none_of_the_responses_is_refused(winner):
    with pytest.raises(DataError, match=r"column 'winner' holds .* for 2 responses; needed is one of '0', '1', 'tie'"):
        compare({"responses": ["a", "b"], "winner": winner}, RANKED)


def test_scores_must_be_numbers_one_for_each_response():
    with pytest.raises(DataError, match="holds 1 scores for 2 responses"):
        compare({"responses": ["a", "b"], "scores": [1]}, SCORED)
    with pytest.raises(DataError, match=r"holds str \('good'\); needed are numbers"):
        compare({"responses": ["a", "b"], "scores": [1, "good"]}, SCORED)
    with pytest.raises(DataError, match="column 'responses' holds str"):
        compare({"responses": "a", "scores": [1]}, SCORED)
    assert compare({"responses": ["a", "b"], "scores": None}, SCORED) == ([], 0, 2)


def test_the_sign_of_a_preference_tells_and_zero_is_a_tie():
    spelling = Spelling("signed", ("one", "two"), ("prompt",), preference="strength")
    row = {"prompt": "Q", "one": "a", "two": "b"}
    assert compare(row | {"strength": -1}, spelling) == ([(0, 1)], 0, 0)
    assert compare(row | {"strength": 0.5}, spelling) == ([(1, 0)], 0, 0)
    assert compare(row | {"strength": 0}, spelling) == ([], 1, 0)
    assert compare(row | {"strength": None}, spelling) == ([], 0, 2)
    with pytest.raises(DataError, match=r"column 'strength' holds str \('much'\); needed are numbers"):
        compare(row | {"strength": "much"}, spelling)


def test_numbers_may_be_written_as_text():
    row = {"responses": ["a", "b", "c"], "scores": ["2", "10", "N/A"]}
    assert compare(row, SCORED) == ([(1, 0)], 0, 1)  # as texts, "2" would beat "10"


def test_the_lower_rank_wins():
    ranked = Spelling("ranks", ("responses",), ("prompt",), scores=("ranks",), low_wins=True)
    assert compare({"responses": ["a", "b", "c"], "ranks": [3, 1, 1]}, ranked) == ([(1, 0), (2, 0)], 1, 0)


def test_a_preference_around_a_middle_and_its_other_ties():
    spelling = Spelling("farm", ("one", "two"), ("prompt",), preference="p", middle=1.5, ties=(0.0,))
    row = {"prompt": "Q", "one": "a", "two": "b"}
    assert compare(row | {"p": 1}, spelling) == ([(0, 1)], 0, 0)
    assert compare(row | {"p": "2"}, spelling) == ([(1, 0)], 0, 0)
    assert [compare(row | {"p": value}, spelling) for value in (0, 1.5)] == [([], 1, 0)] * 2


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((1, 0, 0), ([(0, 1)], 0, 0)),
        (("0", "1", "0"), ([(1, 0)], 0, 0)),
        ((False, False, True), ([], 1, 0)),
        ((1, 1, 0), ([], 1, 0)),
        ((0, 0, 0), ([], 0, 2)),
        ((1.0, 0.0, float("nan")), ([(0, 1)], 0, 0)),
        ((float("nan"), None, "nan"), ([], 0, 2)),
    ],
)
def test_one_column_of_zeros_and_ones_for_each_outcome(flags, expected):
    spelling = Spelling("flags", ("one", "two"), ("prompt",), winner_flags=("a", "b", "tie"))
    row = {"prompt": "Q", "one": "x", "two": "y"} | dict(zip(("a", "b", "tie"), flags, strict=True))
    assert compare(row, spelling) == expected


def test_lists_of_correct_and_wrong_texts_are_compared_crosswise():
    spelling = Spelling("lists", ("chosen", "rejected"), ("prompt",), authors=(("models",),))
    row = {"prompt": "Q", "chosen": ["2", "3"], "rejected": ["4", "6"], "models": ["m", "n", "o", "p"]}
    # Two right answers tie with each other; each beats both wrong ones.
    assert compare(row, spelling) == ([(0, 2), (0, 3), (1, 2), (1, 3)], 1, 0)
    assert responses_of(row, spelling).authors == ["m", "n", "o", "p"]
    assert responses_of(row | {"models": ["m"]}, spelling).authors == [None] * 4

import doctest
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_datasets import schema
from seal_datasets.data import formats
from seal_datasets.data.dialogue import parse_dialogue
from seal_datasets.data.formats import FORMAT_NEEDS, SPELLINGS, Spelling, compare, detect, field
from seal_datasets.data.pairs import PROBLEMS, UNUSABLE, prompt_digest, row_pairs
from seal_datasets.errors import DataError

SCORED = Spelling(("responses",), prompt="prompt", scores=("scores",))
RANKED = Spelling(("responses",), prompt="prompt", winner="winner")
EXPLICIT = Spelling(("chosen", "rejected"), prompt="prompt")
IMPLICIT = Spelling(("chosen", "rejected"))


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def only_pair(row, spelling):
    (pair,) = row_pairs(row, spelling)
    return pair


def test_the_examples_in_the_docstrings_run():
    result = doctest.testmod(formats)
    assert (result.attempted >= 2, result.failed) == (True, 0)


def test_every_spelling_is_reachable():
    # An earlier spelling whose columns are a subset of a later one's would always be taken in its place.
    for position, later in enumerate(SPELLINGS):
        for earlier in SPELLINGS[:position]:
            assert not set(earlier.columns) <= set(later.columns), (earlier, later)


def test_unusable_problems_are_problems_and_formats_are_described():
    assert set(PROBLEMS) > UNUSABLE
    assert set(FORMAT_NEEDS) == set(get_args(formats.PairFormat))


# Which response is better ----------------------------------------------------------------------------------------------


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


REAL_ROWS = [
    (("prompt", "chosen", "rejected"), {"prompt": "Q", "chosen": "good", "rejected": "bad"}),
    (("question", "chosen", "rejected"), {"question": "Q", "chosen": "good", "rejected": "bad"}),
    (("instruction", "chosen_response"), {"instruction": "Q", "chosen_response": "good", "rejected_response": "bad"}),
    (("better_response_id",), {"prompt": "Q", "response_0": "bad", "response_1": "good", "better_response_id": 1}),
    (("response_a", "winner"), {"prompt": "Q", "response_a": "good", "response_b": "bad", "winner": "model_a"}),
    (("human_ref_A",), {"history": "Q", "human_ref_A": "good", "human_ref_B": "bad", "labels": 1}),
    (("human_ref_A",), {"history": "Q", "human_ref_A": "bad", "human_ref_B": "good", "labels": 0}),
    (
        ("answer_0", "score_0"),
        {"question": {"full_text": "Q"}, "answer_0": "bad", "answer_1": "good", "score_0": -1.0, "score_1": 1.0},
    ),
    (
        ("summaries", "choice"),
        {"info": {"post": "Q"}, "summaries": [{"text": "good"}, {"text": "bad"}], "choice": 0},
    ),
    (("summaries", "choice"), {"info": {"post": "Q"}, "summaries": {"text": ["bad", "good"]}, "choice": 1}),
    (("responses", "ratings"), {"prompt": "Q", "responses": ["bad", "good"], "ratings": [1, 5]}),
    (("completions", "scores"), {"prompt": "Q", "completions": ["good", "bad"], "scores": [0.5, 0.1]}),
    (
        ("overall_preference",),
        {"context": [user("Q")], "response1": "good", "response2": "bad", "overall_preference": -3},
    ),
    (
        ("overall_preference",),
        {"context": [user("Q")], "response1": "bad", "response2": "good", "overall_preference": 1},
    ),
    (("preference_strength",), {"prompt": "Q", "response_1": "bad", "response_2": "good", "preference_strength": 2}),
    (("helpfulness",), {"prompt": "Q", "response": ["bad", "good"], "helpfulness": [1, 4]}),  # gathered rows
    (
        ("summaries", "choice"),
        {"info": {"post": None, "article": "Q"}, "summaries": [{"text": "good"}, {"text": "bad"}], "choice": 0},
    ),
    (
        ("instruction", "completions"),
        {
            "instruction": "Q",
            "completions": [
                {"response": "bad", "fine-grained_score": 2.25, "overall_score": 10.0},
                {"response": "good", "fine-grained_score": 4.5, "overall_score": 8.0},
            ],
        },
    ),
    (
        ("response_a", "preference"),
        {"prompt": "Q", "response_a": {"text": "bad"}, "response_b": {"text": "good"}, "preference": "b"},
    ),
    (
        ("conversation_a",),
        {"conversation_a": [user("Q"), assistant("bad")], "conversation_b": [user("Q"), assistant("good")]}
        | {"winner": "model_b"},
    ),
]


@pytest.mark.parametrize(("columns", "row"), REAL_ROWS, ids=lambda value: "-".join(value)[:40])
def test_rows_in_the_columns_of_real_datasets_are_read(columns, row):
    spelling = next(each for each in SPELLINGS if set(each.columns) <= set(row))
    assert set(columns) <= set(spelling.columns)
    pair = only_pair(row, detect(row, spelling)[1])
    assert (pair[schema.CHOSEN], pair[schema.REJECTED]) == ("good", "bad")
    assert pair[schema.CONVERSATION] == [user("Q")]
    assert pair[schema.PROMPT_ID] == prompt_digest([user("Q")])
    assert pair[schema.PROBLEMS] == []


def test_the_sign_of_a_preference_tells_and_zero_is_a_tie():
    spelling = Spelling(("one", "two"), prompt="prompt", preference="strength")
    row = {"prompt": "Q", "one": "a", "two": "b"}
    assert compare(row | {"strength": -1}, spelling) == ([(0, 1)], 0, 0)
    assert compare(row | {"strength": 0.5}, spelling) == ([(1, 0)], 0, 0)
    assert compare(row | {"strength": 0}, spelling) == ([], 1, 0)
    assert compare(row | {"strength": None}, spelling) == ([], 0, 2)
    with pytest.raises(DataError, match=r"column 'strength' holds str \('much'\); needed are numbers"):
        compare(row | {"strength": "much"}, spelling)


def test_responses_that_repeat_the_prompt_are_split_after_it():
    spelling = next(each for each in SPELLINGS if each.repeats_prompt)
    row = {"prompt": "<user>Q<bot>", "text_chosen": "<user>Q<bot>good<end>", "text_rejected": "<user>Q<bot>bad<end>"}
    format, to_read = detect(row, spelling)
    pair = only_pair(row, to_read)
    assert (format, pair["prompt"], pair["chosen"], pair["rejected"]) == (
        "standard",
        "<user>Q<bot>",
        "good<end>",
        "bad<end>",
    )
    assert pair["problems"] == []
    # A text that does not begin with the prompt is kept whole and named, not cut at a guess.
    pair = only_pair(row | {"text_rejected": "bad<end>"}, to_read)
    assert (pair["rejected"], pair["problems"]) == ("bad<end>", ["missing_prompt"])
    assert only_pair(row | {"text_rejected": None}, to_read)["problems"] == ["missing_rejected"]
    assert only_pair(row | {"prompt": None}, to_read)["problems"] == ["missing_prompt"]


def test_a_path_into_something_else_is_refused():
    assert field({"info": None}, "info.post") is None
    with pytest.raises(DataError, match=r"column 'info' holds str \('x'\); needed is a structure with 'info.post'"):
        field({"info": "x"}, "info.post")


# Where the prompt ends -------------------------------------------------------------------------------------------------

DIALOGUE = "\n\nHuman: Hi\n\nAssistant: Hello"
TURNS = [user("Hi"), assistant("Hello")]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"chosen": DIALOGUE, "rejected": DIALOGUE}, "dialogue"),
        ({"prompt": "Hi", "chosen": "Hello", "rejected": "No"}, "standard"),
        ({"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " Hello", "rejected": " No"}, "standard"),
        ({"prompt": "Hi", "chosen": DIALOGUE, "rejected": DIALOGUE}, "dialogue"),  # the prompt is repeated beside it
        ({"prompt": "Hi", "chosen": "Write\n\nAssistant: x", "rejected": "No"}, "standard"),  # a quote in a response
        ({"prompt": [user("Hi")], "chosen": [assistant("Hello")], "rejected": [assistant("No")]}, "conversational"),
        ({"prompt": "Hi", "chosen": [assistant("Hello")], "rejected": [assistant("No")]}, "conversational"),
        ({"chosen": TURNS, "rejected": TURNS}, "conversational_implicit"),
        ({"prompt": "Hi", "chosen": TURNS, "rejected": TURNS}, "conversational_implicit"),  # as in UltraFeedback
        ({"prompt": [user("Hi")], "chosen": TURNS, "rejected": TURNS}, "conversational_implicit"),
    ],
)
def test_the_format_is_told_by_columns_and_types(row, found):
    spelling = next(each for each in SPELLINGS if set(each.columns) <= set(row))
    format, to_read = detect(row, spelling)
    assert format == found
    assert (to_read.prompt is None) == (found in ("dialogue", "conversational_implicit"))
    assert only_pair(row, to_read)[schema.CONVERSATION] == [user("Hi")]


def test_a_prompt_that_could_only_be_guessed_is_refused():
    with pytest.raises(DataError, match="the end of the prompt is unknown"):
        detect({"chosen": "I think so", "rejected": "I don't"}, IMPLICIT)
    with pytest.raises(DataError, match=r"column 'chosen' holds int \('3'\); needed is text or a list of messages"):
        detect({"chosen": 3, "rejected": 4}, IMPLICIT)


def test_the_same_prompt_has_the_same_id_in_every_form():
    rows = [
        ({"chosen": DIALOGUE, "rejected": DIALOGUE}, IMPLICIT),
        ({"chosen": TURNS, "rejected": TURNS}, IMPLICIT),
        ({"prompt": "Hi", "chosen": "a", "rejected": "b"}, EXPLICIT),
        ({"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": "a", "rejected": "b"}, EXPLICIT),
        ({"prompt": [user("Hi")], "chosen": "a", "rejected": "b"}, EXPLICIT),
    ]
    # Two blake2b of 8 bytes are 16 hexadecimal digits.
    assert {only_pair(*each)[schema.PROMPT_ID] for each in rows} == {prompt_digest([user("Hi")])}
    assert len(prompt_digest([user("Hi")])) == 16
    assert prompt_digest([user("Hi")]) != prompt_digest([assistant("Hi")]) != prompt_digest([user("H"), user("i")])


def test_texts_are_kept_verbatim_and_conversations_rendered():
    pair = only_pair({"prompt": " Hi \n", "chosen": " a\n", "rejected": "\tb"}, EXPLICIT)
    assert (pair[schema.PROMPT], pair[schema.CHOSEN], pair[schema.REJECTED]) == (" Hi \n", " a\n", "\tb")
    turns = [{"role": "system", "content": "Be kind."}, user("Hi"), assistant("Hello"), user("Why?")]
    pair = only_pair({"chosen": [*turns, assistant("a")], "rejected": [*turns, assistant("b")]}, IMPLICIT)
    assert pair[schema.PROMPT] == "Be kind.\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?"
    assert pair[schema.CONVERSATION] == turns == parse_dialogue(pair[schema.PROMPT])


def test_turns_before_the_last_belong_to_the_prompt():
    row = {
        "prompt": [user("Hi")],
        "chosen": [assistant("Hello"), user("Why?"), assistant("a")],
        "rejected": [assistant("b")],
    }
    pair = only_pair(row, EXPLICIT)
    assert pair[schema.CONVERSATION] == [user("Hi"), assistant("Hello"), user("Why?")]
    assert pair[schema.REJECTED_CONVERSATION] == [user("Hi")]
    assert pair[schema.PROBLEMS] == ["prompts_differ"]


@pytest.mark.parametrize(("system", "turns"), [("Be kind.", 2), ("", 1), (None, 1)])
def test_a_system_column_stands_before_the_prompt(system, turns):
    spelling = Spelling(("chosen", "rejected"), prompt="question", system="system")
    pair = only_pair({"system": system, "question": "Hi", "chosen": "a", "rejected": "b"}, spelling)
    assert pair[schema.CONVERSATION] == [{"role": "system", "content": "Be kind."}, user("Hi")][-turns:]
    assert pair[schema.PROMPT] == ("Be kind.\n\nHuman: Hi" if turns == 2 else "Hi")
    as_turns = only_pair({"system": system, "question": [user("Hi")], "chosen": "a", "rejected": "b"}, spelling)
    assert as_turns[schema.CONVERSATION] == pair[schema.CONVERSATION]


def test_a_system_turn_in_the_prompt_goes_before_a_system_column():
    spelling = Spelling(("chosen", "rejected"), prompt="question", system="system")
    turns = [{"role": "system", "content": "Own."}, user("Hi")]
    pair = only_pair({"system": "Other.", "question": turns, "chosen": "a", "rejected": "b"}, spelling)
    assert pair[schema.CONVERSATION] == turns


# What is wrong with a row ----------------------------------------------------------------------------------------------


def dialogue(*turns):
    return "".join(f"\n\n{'Human' if index % 2 == 0 else 'Assistant'}: {turn}" for index, turn in enumerate(turns))


@pytest.mark.parametrize(
    ("chosen", "rejected", "problems"),
    [
        (dialogue("Hi", "a"), dialogue("Hi", "b"), []),
        (None, dialogue("Hi", "b"), ["missing_chosen"]),
        (dialogue("Hi", "a"), None, ["missing_rejected"]),
        (None, None, ["missing_prompt", "missing_chosen", "missing_rejected"]),
        (dialogue("Hi"), dialogue("Hi", "b"), ["no_assistant_turn"]),
        (dialogue("Hi"), "b", ["missing_prompt", "no_assistant_turn"]),
        (dialogue("Hi", "a"), dialogue("Ho", "b"), ["prompts_differ"]),
        (dialogue("Hi", ""), dialogue("Hi", "b"), ["empty_chosen"]),
        (dialogue("Hi", "a"), dialogue("Hi", " \n"), ["empty_rejected"]),
        (dialogue("Hi", "a"), dialogue("Hi", "a"), ["identical_responses"]),
        (dialogue("Hi", "a", "more"), dialogue("Hi", "b"), ["human_turn_in_response"]),
        ("\n\nAssistant: a", "\n\nAssistant: b", ["missing_prompt"]),
        (dialogue("Hi", "a"), dialogue("Hi", 'He said "Assistant: b"'), []),
    ],
)
def test_problems_of_dialogues_are_named(chosen, rejected, problems):
    pair = only_pair({"chosen": chosen, "rejected": rejected}, IMPLICIT)
    assert pair[schema.PROBLEMS] == problems
    assert (pair[schema.PROMPT_ID] is None) == ("missing_prompt" in problems)


@pytest.mark.parametrize(
    ("row", "problems"),
    [
        ({"prompt": None, "chosen": "a", "rejected": "b"}, ["missing_prompt"]),
        ({"prompt": " \n", "chosen": "a", "rejected": "b"}, ["missing_prompt"]),
        ({"prompt": [], "chosen": [assistant("a")], "rejected": [assistant("b")]}, ["missing_prompt"]),
        ({"prompt": [user(None)], "chosen": [assistant("a")], "rejected": [assistant("b")]}, ["missing_prompt"]),
        ({"prompt": [user("Hi")], "chosen": [assistant(None)], "rejected": [assistant("b")]}, ["missing_chosen"]),
        ({"prompt": [user("Hi")], "chosen": [assistant("a")], "rejected": []}, ["no_assistant_turn"]),
        ({"prompt": [user("Hi")], "chosen": [assistant("a")], "rejected": [user("b")]}, ["no_assistant_turn"]),
        ({"prompt": "Hi", "chosen": "", "rejected": ""}, ["empty_chosen", "empty_rejected", "identical_responses"]),
    ],
)
def test_problems_of_rows_with_a_prompt_are_named(row, problems):
    assert only_pair(row, EXPLICIT)[schema.PROBLEMS] == problems


def test_a_side_whose_own_prompt_is_unknown_is_not_lent_the_other_ones():
    row = {"chosen": [user(None), assistant("a")], "rejected": [user("Hi"), assistant("b")]}
    pair = only_pair(row, IMPLICIT)
    assert "missing_prompt" in pair[schema.PROBLEMS]
    assert pair[schema.PROMPT] is None
    pair = only_pair({"chosen": row["rejected"], "rejected": row["chosen"]}, IMPLICIT)
    assert pair[schema.PROBLEMS] == ["missing_prompt"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (3, "column 'chosen' holds int"),
        ([{"from": "gpt", "value": "a"}], r"an item with the keys \['from', 'value'\]; needed are messages"),
        (["a"], r"column 'chosen' holds str \('a'\); needed are messages"),
        ([{"role": "assistant", "content": [{"type": "text"}]}], "needed is text in both"),
        ([{"role": "tool", "content": "x"}, assistant("a")], "role 'tool'"),
    ],
)
def test_a_cell_of_a_wrong_type_is_refused(cell, message):
    with pytest.raises(DataError, match=message):
        row_pairs({"prompt": [user("Hi")], "chosen": cell, "rejected": [assistant("b")]}, EXPLICIT)


def test_a_forced_format_takes_no_other_type():
    row = {"prompt": "Hi", "chosen": "a", "rejected": "b"}
    with pytest.raises(DataError, match="needed is a list of messages"):
        row_pairs(row, EXPLICIT, as_messages=True)
    with pytest.raises(DataError, match="needed is text"):
        row_pairs(row | {"chosen": [assistant("a")]}, EXPLICIT, as_messages=False)


texts = st.lists(st.sampled_from(["\n\nHuman:", "\n\nAssistant:", " ", "\n", "Hi", "é"]), max_size=6).map("".join)


@given(texts | st.none(), texts | st.none())
def test_nothing_of_a_dialogue_is_lost(chosen, rejected):
    pair = only_pair({"chosen": chosen, "rejected": rejected}, IMPLICIT)
    prompts = {
        "chosen": pair[schema.PROMPT],
        "rejected": pair[schema.PROMPT] if pair[schema.REJECTED_PROMPT] is None else pair[schema.REJECTED_PROMPT],
    }
    for side, text in (("chosen", chosen), ("rejected", rejected)):
        if pair[side] is None:
            assert pair[f"unsplit_{side}"] == text
        else:
            assert prompts[side] + "\n\nAssistant:" + pair[side] == text
            assert pair[f"unsplit_{side}"] is None


@given(texts | st.none(), texts | st.none())
def test_swapping_the_sides_swaps_the_columns(chosen, rejected):
    swap = {"missing_chosen": "missing_rejected", "empty_chosen": "empty_rejected"}
    swap |= {there: here for here, there in swap.items()}
    one = only_pair({"chosen": chosen, "rejected": rejected}, IMPLICIT)
    other = only_pair({"chosen": rejected, "rejected": chosen}, IMPLICIT)
    assert (one["chosen"], one["rejected"]) == (other["rejected"], other["chosen"])
    assert {swap.get(name, name) for name in one[schema.PROBLEMS]} == set(other[schema.PROBLEMS])

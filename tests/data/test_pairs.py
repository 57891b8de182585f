import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_datasets import schema
from seal_datasets.data import cells, problems, prompts
from seal_datasets.data.cells import field
from seal_datasets.data.dialogue import parse_dialogue
from seal_datasets.data.formats import SPELLINGS, PromptColumns, Spelling
from seal_datasets.data.pairs import Reader, prompt_digest, row_format, row_pairs
from seal_datasets.errors import DataError
from tests.turns import assistant, user

EXPLICIT = Spelling("explicit", ("chosen", "rejected"), ("prompt",))
IMPLICIT = Spelling("implicit", ("chosen", "rejected"))


def only_pair(row, spelling, **settings):
    (pair,) = row_pairs(row, Reader((spelling,), **settings))
    return pair


def test_the_examples_in_the_docstrings_run():
    for module in (cells, problems, prompts):
        result = doctest.testmod(module)
        assert (result.attempted >= 1, result.failed) == (True, 0)


def test_responses_that_repeat_the_prompt_are_split_after_it():
    spelling = next(each for each in SPELLINGS if each.repeats_prompt)
    row = {"prompt": "<user>Q<bot>", "text_chosen": "<user>Q<bot>good<end>", "text_rejected": "<user>Q<bot>bad<end>"}
    format, to_read = row_format(row, Reader((spelling,))), spelling
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
    spelling = next(each for each in SPELLINGS if each.fits(set(row)))
    assert row_format(row, Reader((spelling,))) == found
    assert only_pair(row, spelling)[schema.CONVERSATION] == [user("Hi")]


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
    spelling = Spelling("question", ("chosen", "rejected"), ("question",))
    parts = PromptColumns(system=("system",))
    pair = only_pair({"system": system, "question": "Hi", "chosen": "a", "rejected": "b"}, spelling, parts=parts)
    assert pair[schema.CONVERSATION] == [{"role": "system", "content": "Be kind."}, user("Hi")][-turns:]
    assert pair[schema.PROMPT] == ("Be kind.\n\nHuman: Hi" if turns == 2 else "Hi")
    row = {"system": system, "question": [user("Hi")], "chosen": "a", "rejected": "b"}
    as_turns = only_pair(row, spelling, parts=parts)
    assert as_turns[schema.CONVERSATION] == pair[schema.CONVERSATION]


def test_a_system_turn_in_the_prompt_goes_before_a_system_column():
    spelling = Spelling("question", ("chosen", "rejected"), ("question",))
    turns = [{"role": "system", "content": "Own."}, user("Hi")]
    row = {"system": "Other.", "question": turns, "chosen": "a", "rejected": "b"}
    pair = only_pair(row, spelling, parts=PromptColumns(system=("system",)))
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
        ([{"speaker": "x", "says": "a"}], r"an item with the keys \['says', 'speaker'\]; needed are messages"),
        ([3], r"column 'chosen' holds int \('3'\); needed are messages"),
        ([{"role": "assistant", "content": 3}], "content int .*; needed is text"),
        ([{"role": 3, "content": "a"}], "role int .*; needed is text"),
        ({"role": ["user"], "content": ["a", "b"]}, "lists of different lengths"),
    ],
)
def test_a_cell_of_a_wrong_type_is_refused(cell, message):
    with pytest.raises(DataError, match=message):
        only_pair({"prompt": [user("Hi")], "chosen": cell, "rejected": [assistant("b")]}, EXPLICIT)


def test_a_forced_format_takes_no_other_type():
    row = {"prompt": "Hi", "chosen": "a", "rejected": "b"}
    with pytest.raises(DataError, match="needed is a list of messages"):
        only_pair(row, EXPLICIT, as_messages=True)
    with pytest.raises(DataError, match="needed is text"):
        only_pair(row | {"chosen": [assistant("a")]}, EXPLICIT, as_messages=False)


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


def test_a_prompt_without_any_turn_is_missing():
    row = {"prompt": "\n\nAssistant:", "chosen": "a", "rejected": "b", "system": "Be brief."}
    for parts in (PromptColumns(), PromptColumns(system=("system",))):
        pair = only_pair(row, EXPLICIT, parts=parts)
        assert (pair["conversation"], pair["prompt_id"], pair["problems"]) == (None, None, ["missing_prompt"])

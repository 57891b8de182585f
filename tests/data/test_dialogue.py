import doctest
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_datasets.data import dialogue
from seal_datasets.data.dialogue import (
    ASSISTANT_MARKER,
    HUMAN_MARKER,
    is_dialogue,
    parse_dialogue,
    render_dialogue,
    split_dialogue,
)
from seal_datasets.errors import DataError

# Newlines, colons and the speakers' names are frequent, so that near-markers such as "\nAssistant:" come up.
fragments = st.lists(st.sampled_from(["\n", "\n\n", ":", " ", "Human", "Assistant", "é", "text"]) | st.text(max_size=5))
texts = fragments.map("".join)
contents = texts.filter(lambda text: HUMAN_MARKER not in text and ASSISTANT_MARKER not in text)


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(dialogue).attempted >= 3
    assert doctest.testmod(dialogue).failed == 0


@given(texts, texts)
def test_prompt_marker_and_response_make_the_text_again(before, after):
    text = before + ASSISTANT_MARKER + after
    prompt, response = split_dialogue(text)
    assert prompt + ASSISTANT_MARKER + response == text


@given(texts, contents)
def test_the_split_is_at_the_last_marker(before, response):
    assert split_dialogue(before + ASSISTANT_MARKER + response) == (before, response)


@given(contents)
def test_a_text_without_an_assistant_turn_is_refused(text):
    with pytest.raises(DataError, match="Assistant"):
        split_dialogue(text)


def test_the_word_assistant_inside_a_line_is_no_turn():
    text = "\n\nHuman: Hi\n\nAssistant: He wrote:\nAssistant: none"
    assert split_dialogue(text) == ("\n\nHuman: Hi", " He wrote:\nAssistant: none")


def test_turns_are_read_with_their_roles_and_without_the_single_space():
    text = "\n\nHuman: Hi\n\nAssistant:  Hello\n\nHuman:Why?\n\nAssistant:"
    assert parse_dialogue(text) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": " Hello"},  # two spaces: one belongs to the marker, one to the text
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": ""},
    ]


def test_text_before_the_first_marker_is_a_system_message_unless_blank():
    assert parse_dialogue(" \n\n\nHuman: Hi") == [{"role": "user", "content": "Hi"}]
    assert parse_dialogue("Be brief.\n\nHuman: Hi")[0] == {"role": "system", "content": "Be brief."}


@given(
    contents.filter(lambda text: text.strip() and not text.lstrip().startswith("Human:")) | st.none(),
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), contents), min_size=1),
)
def test_rendered_turns_are_read_back(system, turns):
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages += [{"role": role, "content": content} for role, content in turns]
    assert parse_dialogue(render_dialogue(messages)) == messages


def test_turns_of_other_roles_are_rendered_with_their_names():
    turns = [{"role": "user", "content": "Hi"}, {"role": "tool", "content": "3 C"}, {"role": "system", "content": "x"}]
    assert render_dialogue(turns) == "\n\nHuman: Hi\n\nTool: 3 C\n\nSystem: x"


@pytest.mark.parametrize("between", ["\n\n", "\n", "\n \n"])
@pytest.mark.parametrize("before", ["", "\n", " "])
def test_a_dialogue_that_lost_its_blank_lines_has_the_same_turns(before, between):
    text = f"{before}Human: Hi{between}Assistant: Hello!{between}Human: Why, Assistant: why?{between}Assistant: So."
    prompt, response = split_dialogue(text)
    assert response == " So."
    assert [turn["content"] for turn in parse_dialogue(prompt)] == ["Hi", "Hello!", "Why, Assistant: why?"]


def test_a_text_that_only_quotes_a_dialogue_is_none():
    assert not is_dialogue("He said:\nHuman: Hi\nAssistant: Hello!")
    assert not is_dialogue("Human: Hi")
    assert is_dialogue("Human: Hi\nAssistant:")


def test_a_long_run_of_blank_lines_is_searched_once():
    # Seconds grew with the square of the run: these would have taken some minutes.
    text = "Human: Hi" + "\n \n" * 50_000 + "there"
    before = time.monotonic()
    assert not is_dialogue(text)
    assert parse_dialogue(text) == [{"role": "user", "content": text.removeprefix("Human: ")}]
    assert time.monotonic() - before < 10


def test_blanks_before_a_turn_of_a_text_without_blank_lines_are_kept_up_to_the_line_break():
    text = "Human: Hi \t\n \nAssistant: Hello \r\nHuman: Why?"
    assert [turn["content"] for turn in parse_dialogue(text)] == ["Hi \t", "Hello \r", "Why?"]
    assert split_dialogue(text) == ("Human: Hi \t", " Hello \r\nHuman: Why?")

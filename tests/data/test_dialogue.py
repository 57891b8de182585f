import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_datasets.data import dialogue
from seal_datasets.data.dialogue import ASSISTANT_MARKER, HUMAN_MARKER, parse_dialogue, render_dialogue, split_dialogue
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
    contents.filter(str.strip) | st.none(),
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), contents), min_size=1),
)
def test_rendered_turns_are_read_back(system, turns):
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages += [{"role": role, "content": content} for role, content in turns]
    assert parse_dialogue(render_dialogue(messages)) == messages


@pytest.mark.parametrize("turns", [["tool"], ["user", "system"]])
def test_a_turn_that_cannot_be_shown_is_refused(turns):
    with pytest.raises(DataError, match=f"message {len(turns) - 1} has role '{turns[-1]}'"):
        render_dialogue([{"role": role, "content": "x"} for role in turns])

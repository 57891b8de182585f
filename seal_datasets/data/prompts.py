"""Compose the prompt of a row from its columns: a system message, earlier turns, the prompt itself, and what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from seal_datasets.data.cells import Row, Turn, field, holds_turns, is_text_list, kind_of, read_turns, turns_of_texts
from seal_datasets.data.dialogue import Message, has_turns, parse_dialogue, render_dialogue
from seal_datasets.data.formats import PROMPTS, PromptColumns, Spelling
from seal_datasets.errors import DataError


class Prompt(NamedTuple):
    """A prompt as text and as turns (null where it is unknown), its problems, and whether the text is made of the turns."""

    text: str | None
    conversation: list[Message] | None
    problems: tuple[str, ...] = ()
    rendered: bool = False


NO_PROMPT = Prompt(None, None)


@lru_cache(maxsize=2)  # both sides of a pair usually have one prompt; nothing changes its turns
def text_prompt(text: str) -> Prompt:
    """A text as a prompt: the turns at its markers, without a trailing empty assistant turn; else one user turn."""
    if not text.strip():
        return Prompt(text, None)
    if not has_turns(text):
        return Prompt(text, [{"role": "user", "content": text}])
    turns = parse_dialogue(text)
    if turns[-1]["role"] == "assistant" and not turns[-1]["content"].strip():
        turns = turns[:-1]
    return Prompt(text, turns or None)


def turns_prompt(turns: Sequence[Turn]) -> Prompt:
    """Turns as a prompt; unknown if there are none, or one has no text."""
    problems = tuple(dict.fromkeys(problem for turn in turns for problem in turn.problems))
    messages: list[Message] = [
        {"role": turn.role, "content": turn.content} for turn in turns if turn.content is not None
    ]
    if not turns or len(messages) < len(turns):
        return Prompt(None, None, problems)
    return Prompt(render_dialogue(messages), messages, problems, rendered=True)


def as_turns(prompt: Prompt) -> list[Turn]:
    """The turns of a prompt, with its problems at the first."""
    turns = [Turn(message["role"], message["content"]) for message in prompt.conversation or []]
    return [turns[0]._replace(problems=prompt.problems), *turns[1:]] if turns else []


def with_system(prompt: Prompt, system: list[Turn]) -> Prompt:
    """A prompt after a system message; its own system message goes before."""
    if not system or prompt.conversation is None or prompt.conversation[0]["role"] == "system":
        return prompt
    return turns_prompt([*system, *as_turns(prompt)])


def system_turns(row: Row, parts: PromptColumns) -> list[Turn]:
    """The system message of a row: the first of its columns that is not blank."""
    for name in parts.system:
        system = row.get(name)
        if system is not None and not isinstance(system, str):
            raise DataError(f"column {name!r} holds {kind_of(system)}; needed is text")
        if system and system.strip():
            return [Turn("system", system)]
    return []


def read_prompt(row: Row, spelling: Spelling, parts: PromptColumns) -> Prompt:
    r"""Read the prompt of a row.

    Args:
        row (`Mapping[str, Any]`): A row.
        spelling (`Spelling`): Its prompt columns; the first that is not null counts.
        parts (`PromptColumns`): Columns beside the prompt that belong to it.

    Returns:
        `Prompt`: System message, earlier turns, the text of the prompt, and, after line breaks, what follows it.

    Raises:
        DataError: A cell holds neither text nor turns.

    Example:

    ```python
    >>> parts = PromptColumns(system=("system",), later=("input",))
    >>> row = {"system": "Be brief.", "instruction": "Translate.", "input": "Good night."}
    >>> read_prompt(row, Spelling("alpaca", ("chosen", "rejected"), ("instruction",)), parts).conversation
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Translate.\nGood night.'}]

    ```
    """
    name = next((name for name in spelling.prompt if field(row, name) is not None), None)
    if name is None:
        return NO_PROMPT
    value = field(row, name)
    system = system_turns(row, parts)
    if is_text_list(value):
        assert isinstance(value, list)
        return with_system(text_prompt(value[0]) if len(value) == 1 else turns_prompt(turns_of_texts(value)), system)
    if holds_turns(value):
        return with_system(turns_prompt(read_turns(value, name)), system)
    if not isinstance(value, str):
        raise DataError(f"column {name!r} holds {kind_of(value)}; needed is text or a list of messages")
    if name not in PROMPTS:
        return with_system(text_prompt(value), system)
    prompt = text_prompt(_joined(row, name, value, parts))
    earlier = [turn for part in parts.earlier if part != name for turn in _earlier_turns(row.get(part), part)]
    return with_system(
        turns_prompt([*earlier, *as_turns(prompt)]) if earlier and prompt.conversation else prompt, system
    )


def _joined(row: Row, name: str, text: str, parts: PromptColumns) -> str:
    """The text of the prompt column and of the parts that follow it, unless a rendered prompt holds them already."""
    joined = text
    for part in parts.later:
        value = row.get(part)
        if part == name or value is None:
            continue
        following = "\n".join(item for item in value if item) if is_text_list(value) else value
        if not isinstance(following, str):
            raise DataError(f"column {part!r} holds {kind_of(value)}; needed is text")
        if following.strip() and (name == "instruction" or following not in text):
            joined = f"{joined}\n{following}" if joined.strip() else following
    return joined


def _earlier_turns(value: object, name: str) -> list[Turn]:
    """Turns before the prompt: messages, [question, answer] pairs, alternating texts, or a dialogue as text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    if isinstance(value, str):
        return as_turns(text_prompt(value))
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        return [turn for pair in value for turn in turns_of_texts(pair)]
    if isinstance(value, list) and is_text_list(value):
        return turns_of_texts(value, first="user" if len(value) % 2 == 0 else "assistant")
    return read_turns(value, name)

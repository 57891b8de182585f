r"""Dialogues written as one text, in the form of Anthropic's hh-rlhf: `"\n\nHuman: ...\n\nAssistant: ..."`.

Plain strings in, plain strings out. A dialogue is split at its last assistant marker only. The word "Assistant:" inside a
line is text. A text without a marker is rejected, because any other split would be a guess. A dialogue that lost its blank
lines begins with "Human:"; a line that begins with a speaker is then a turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

from seal_datasets.errors import DataError

HUMAN_MARKER = "\n\nHuman:"
ASSISTANT_MARKER = "\n\nAssistant:"

_MARKER_OF_ROLE = {"user": HUMAN_MARKER, "assistant": ASSISTANT_MARKER}
_ROLE_OF_SPEAKER = {"Human": "user", "Assistant": "assistant"}
_START = re.compile(r"\s*Human:")
_TURN = re.compile("\n\n(Human|Assistant):")
# The blanks of the line before are matched too, so that a long run of blanks is searched once and not from each of its lines.
_LINE_TURN = re.compile(r"(?<!\s)([^\S\n]*)\n\s*(Human|Assistant):")


class Message(TypedDict):
    """One turn: the speaker (`system`, `user` or `assistant`) and the text."""

    role: str
    content: str


def has_turns(text: str) -> bool:
    """Whether a text is written as a dialogue: it begins with "Human:", or has a turn after a blank line."""
    return HUMAN_MARKER in text or ASSISTANT_MARKER in text or _START.match(text) is not None


def is_dialogue(text: str) -> bool:
    """Whether a text is a dialogue with an assistant turn, so that its prompt and response can be told apart."""
    return ASSISTANT_MARKER in text or any(
        mark.speaker == "Assistant" for mark in _marks(text, _lost_blank_lines(text))
    )


class _Mark(NamedTuple):
    """Who speaks in a turn, and where the marker of the turn begins and ends."""

    speaker: str
    start: int
    end: int


def _lost_blank_lines(text: str) -> bool:
    return _START.match(text) is not None and HUMAN_MARKER not in text and ASSISTANT_MARKER not in text


def _marks(text: str, by_line: bool) -> list[_Mark]:
    if by_line:
        return [_Mark(match[2], match.end(1), match.end()) for match in _LINE_TURN.finditer(text)]
    return [_Mark(match[1], match.start(), match.end()) for match in _TURN.finditer(text)]


def split_dialogue(text: str) -> tuple[str, str]:
    r"""Split a dialogue into its prompt and the response, so that two responses can be compared at equal prompts.

    Args:
        text (`str`): A whole dialogue that ends in an assistant turn.

    Returns:
        `tuple[str, str]`: The text before the last `"\n\nAssistant:"` and the text after it, both verbatim (a
        response usually begins with a space). `prompt + "\n\nAssistant:" + response` restores the text, unless it lost
        its blank lines.

    Raises:
        DataError: The text has no assistant turn.

    Source:
        The format of hh-rlhf (Bai et al. 2022), whose annotators judged the last assistant turn.

    Example:

    ```python
    >>> split_dialogue("\n\nHuman: Hi\n\nAssistant: Hello!")
    ('\n\nHuman: Hi', ' Hello!')

    ```
    """
    prompt, marker, response = text.rpartition(ASSISTANT_MARKER)
    if marker:
        return prompt, response
    marks = [mark for mark in _marks(text, _lost_blank_lines(text)) if mark.speaker == "Assistant"]
    if not marks:
        raise DataError(
            f"a dialogue needs a line {ASSISTANT_MARKER!r} before its response, and this one has none: it begins "
            f"{text[:60]!r}; give the prompt in its own column, or remove this row"
        )
    return text[: marks[-1].start], text[marks[-1].end :]


def parse_dialogue(prompt: str) -> list[Message]:
    r"""Parse a dialogue into the turns that a chat template needs.

    Args:
        prompt (`str`): A dialogue, or its part before the response.

    Returns:
        `list[Message]`: One message per marker, without the single space after it. Text before the first marker becomes
        a system message unless it is blank.

    Example:

    ```python
    >>> parse_dialogue("Be brief.\n\nHuman: Hi")
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Hi'}]

    ```
    """
    marked = f"\n\n{prompt.lstrip()}" if _START.match(prompt) else prompt
    marks = _marks(marked, _lost_blank_lines(prompt))
    ends = [*(mark.start for mark in marks), len(marked)]
    before = marked[: ends[0]]
    messages: list[Message] = [{"role": "system", "content": before}] if before.strip() else []
    for mark, end in zip(marks, ends[1:], strict=True):
        messages.append({"role": _ROLE_OF_SPEAKER[mark.speaker], "content": marked[mark.end : end].removeprefix(" ")})
    return messages


def render_dialogue(messages: Sequence[Message]) -> str:
    r"""Write turns as one text; `parse_dialogue` restores turns of `user` and `assistant` if no content contains a marker.

    Args:
        messages (`Sequence[Message]`): Turns; a `system` turn may stand first.

    Returns:
        `str`: `"\n\nHuman: "` or `"\n\nAssistant: "` before each turn; a system message at the start stands as plain text,
        and a turn of any other role has the role's name, as in `"\n\nTool: "`.

    Example:

    ```python
    >>> render_dialogue([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}])
    '\n\nHuman: Hi\n\nAssistant: Hello!'

    ```
    """
    parts = []
    for position, message in enumerate(messages):
        if message["role"] == "system" and position == 0:
            parts.append(message["content"])
        else:
            marker = _MARKER_OF_ROLE.get(message["role"], f"\n\n{message['role'].capitalize()}:")
            parts.append(f"{marker} {message['content']}")
    return "".join(parts)

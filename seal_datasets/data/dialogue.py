r"""Dialogues written as one text, in the form of Anthropic's hh-rlhf: `"\n\nHuman: ...\n\nAssistant: ..."`.

Plain strings in, plain strings out. A dialogue is split at its last assistant marker only. The word "Assistant:" inside a
line is text. A text without a marker is rejected, because any other split would be a guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypedDict

from seal_datasets.errors import DataError

HUMAN_MARKER = "\n\nHuman:"
ASSISTANT_MARKER = "\n\nAssistant:"

_MARKER_OF_ROLE = {"user": HUMAN_MARKER, "assistant": ASSISTANT_MARKER}
_ROLE_OF_SPEAKER = {"Human": "user", "Assistant": "assistant"}
_TURN = re.compile("\n\n(Human|Assistant):")


class Message(TypedDict):
    """One turn: the speaker (`system`, `user` or `assistant`) and the text."""

    role: str
    content: str


def split_dialogue(text: str) -> tuple[str, str]:
    r"""Split a dialogue into its prompt and the response, so that two responses can be compared at equal prompts.

    Args:
        text (`str`): A whole dialogue that ends in an assistant turn.

    Returns:
        `tuple[str, str]`: The text before the last `"\n\nAssistant:"` and the text after it, both verbatim (a
        response usually begins with a space). `prompt + "\n\nAssistant:" + response` restores the text.

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
    if not marker:
        raise DataError(
            f"a dialogue needs a line {ASSISTANT_MARKER!r} before its response, and this one has none: it begins "
            f"{text[:60]!r}; give the prompt in its own column, or remove this row"
        )
    return prompt, response


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
    before, *turns = _TURN.split(prompt)
    messages: list[Message] = [{"role": "system", "content": before}] if before.strip() else []
    for speaker, content in zip(turns[::2], turns[1::2], strict=True):
        messages.append({"role": _ROLE_OF_SPEAKER[speaker], "content": content.removeprefix(" ")})
    return messages


def render_dialogue(messages: Sequence[Message]) -> str:
    r"""Write turns as one text; `parse_dialogue` restores them if no content contains a marker.

    Args:
        messages (`Sequence[Message]`): Turns of `user` and `assistant`, with at most one `system` turn before them.

    Returns:
        `str`: `"\n\nHuman: "` or `"\n\nAssistant: "` before each turn; the system message stands first, as plain text.

    Raises:
        DataError: A role is not one of these, or a system message is not the first.

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
        elif message["role"] in _MARKER_OF_ROLE:
            parts.append(f"{_MARKER_OF_ROLE[message['role']]} {message['content']}")
        else:
            raise DataError(
                f"message {position} has role {message['role']!r}; a dialogue has turns of 'user' and 'assistant', "
                "after at most one 'system' message at its start. Remove or merge the other turns"
            )
    return "".join(parts)

r"""Dialogues written as one text, in the form of Anthropic's hh-rlhf: `"\n\nHuman: ...\n\nAssistant: ..."`.

Plain strings in, plain strings out. The split is at the last assistant marker and nowhere else: the word "Assistant:"
inside a line is text, and a text without a marker is refused, because any other place to cut it would be a guess.
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
    """One turn: who speaks (`system`, `user` or `assistant`) and what is said."""

    role: str
    content: str


def split_dialogue(text: str) -> tuple[str, str]:
    r"""Cut a dialogue into the prompt and the response to it, so that two responses can be compared at equal prompts.

    Args:
        text (`str`): A whole dialogue that ends in an assistant turn.

    Returns:
        `tuple[str, str]`: Everything before the last `"\n\nAssistant:"` and everything after it, both verbatim (a
        response usually begins with a space). `prompt + "\n\nAssistant:" + response` is the text again.

    Raises:
        DataError: The text has no assistant turn.

    Source:
        The form of the texts is that of hh-rlhf (Bai et al. 2022); their last assistant turn is what was judged.

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
            f"{text[:60]!r}; give the prompt in a column of its own, or leave this row out"
        )
    return prompt, response


def parse_dialogue(prompt: str) -> list[Message]:
    r"""Read the turns of a dialogue, as a chat template needs them.

    Args:
        prompt (`str`): A dialogue, or the part of one before the response.

    Returns:
        `list[Message]`: One message per marker, without the single space after it; text before the first marker, unless
        blank, is a system message.

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
    r"""Write turns as one text; `parse_dialogue` reads them back where no content holds a marker of its own.

    Args:
        messages (`Sequence[Message]`): Turns of `user` and `assistant`, after at most one of `system`.

    Returns:
        `str`: `"\n\nHuman: "` or `"\n\nAssistant: "` before each turn, the system message as plain text in front.

    Raises:
        DataError: A role that this form cannot show, or a system message that is not the first.

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
                "after at most one 'system' message at its start. Leave out or merge the other turns"
            )
    return "".join(parts)

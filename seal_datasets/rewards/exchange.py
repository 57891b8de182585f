"""One text to score: a prompt and a response to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seal_datasets import schema

Conversation = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One text to score: the prompt as text and as turns, and the response to it."""

    prompt: str
    conversation: Conversation
    response: str


def exchange(row: dict[str, Any], side: schema.Side) -> Exchange | None:
    """The text of one side of a pair, under its own prompt; `None` where a part is missing."""
    prompt, conversation = row[schema.PROMPT], row[schema.CONVERSATION]
    if side == "rejected" and row[schema.REJECTED_PROMPT] is not None:
        prompt, conversation = row[schema.REJECTED_PROMPT], row[schema.REJECTED_CONVERSATION]
    if prompt is None or row[side] is None:
        return None
    return Exchange(prompt, conversation, row[side])

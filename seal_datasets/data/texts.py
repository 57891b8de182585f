"""One text of a pair: a prompt and a response, as a labeler or a reward model takes it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.data.transform import Batch
from seal_datasets.errors import DataError


def known_ids(
    pairs: Dataset, pair_ids: Collection[str], *, of: str | None = None, where: str = "the table"
) -> frozenset[str]:
    """Check that pair ids are in a table.

    Args:
        pairs (`Dataset`): Canonical pairs.
        pair_ids (`Collection[str]`): The ids.
        of (`str`, *optional*): Where the ids come from, for the message.
        where (`str`, defaults to `"the table"`): What the pairs are, for the message.

    Returns:
        `frozenset[str]`: The ids.

    Raises:
        DataError: An id is not in the table.

    Example:

    ```python
    >>> sorted(known_ids(Dataset.from_dict({"pair_id": ["a", "b"]}), ["b", "a", "b"]))
    ['a', 'b']

    ```
    """
    known = frozenset(pairs[schema.PAIR_ID])
    if unknown := [pair_id for pair_id in pair_ids if pair_id not in known]:
        raise DataError(
            f"{len(unknown):,} of the {len(pair_ids):,} pair ids{f' of {of}' if of else ''} are not in {where}; the first is "
            f"{unknown[0]!r}"
        )
    return frozenset(pair_ids)


def pair_text(batch: Batch, row: int, side: schema.Side) -> Text | tuple[str, str]:
    """The text of one side of a pair for a language model, or the reason and detail why there is none."""
    prompt, response = batch[schema.PROMPT][row], batch[side][row]
    if side == "rejected" and batch[schema.REJECTED_PROMPT][row] is not None:
        prompt = batch[schema.REJECTED_PROMPT][row]
    if prompt is None or response is None:
        return "no_text", "the pair has no text on this side"
    if not response.strip():
        return "empty_response", "there is nothing to label"
    return Text(prompt, response)


@dataclass(frozen=True, slots=True)
class Text:
    """What a labeler is shown: the prompt of a pair and one of its responses."""

    prompt: str
    response: str


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

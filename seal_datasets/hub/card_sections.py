"""A card that somebody may have written: our part lies between markers, and only that part and our own keys change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from huggingface_hub import DatasetCard, ModelCard

from seal_datasets.errors import DataError

CARD = "README.md"

_FRONT = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def put_section(text: str, name: str, section: str) -> str:
    """Put a section between its markers, in place of what is there; at the end where there are none.

    Args:
        text (`str`): The card without its front matter.
        name (`str`): Name of the section.
        section (`str`): Its Markdown.

    Returns:
        `str`: The card.

    Raises:
        DataError: One marker is there without the other, or a marker is there twice.

    Example:

    ```python
    >>> card = put_section("Mine.", "report", "Ours.")
    >>> print(put_section(card + "Mine too.", "report", "Ours, again."))
    Mine.
    <BLANKLINE>
    <!-- seal:begin report -->
    Ours, again.
    <!-- seal:end report -->
    Mine too.

    ```
    """
    begin, end = f"<!-- seal:begin {name} -->", f"<!-- seal:end {name} -->"
    block = f"{begin}\n{section.strip()}\n{end}"
    counts = text.count(begin), text.count(end)
    if counts == (0, 0):
        before = text.rstrip()
        return f"{before}\n\n{block}\n" if before else f"{block}\n"
    if counts != (1, 1) or text.index(begin) > text.index(end):
        raise DataError(
            f"the card has the marker {begin!r} {counts[0]} times and {end!r} {counts[1]} times; needed is one of each, in "
            "this order, or none: mend the card, or take both out"
        )
    return text[: text.index(begin)] + block + text[text.index(end) + len(end) :]


def split_card(card: str) -> tuple[dict[str, Any], str]:
    """Front matter and text of a card.

    Args:
        card (`str`): The whole card.

    Returns:
        `tuple[dict, str]`: Its keys, and its text as it is.

    Raises:
        DataError: The front matter is not YAML, or holds no keys.
    """
    found = _FRONT.match(card)
    if found is None:
        return {}, card
    try:
        keys = yaml.safe_load(found.group(1)) or {}
    except yaml.YAMLError as error:
        raise DataError(f"the front matter of the card is not YAML ({error}); mend it first") from error
    if not isinstance(keys, dict):
        raise DataError("the front matter of the card holds no keys; mend it first")
    return keys, card[found.end() :]


def join_card(card: str, keys: Mapping[str, Any], text: str, *, repo_type: str) -> str:
    """A card with these keys and this text; its front matter stays as it was written where no key changed.

    Args:
        card (`str`): The card as it was.
        keys (`Mapping[str, Any]`): All keys it is to have.
        text (`str`): Its text.
        repo_type (`str`): `dataset` or `model`.

    Returns:
        `str`: The card, which `huggingface_hub` can read.

    Raises:
        DataError: `huggingface_hub` cannot read it.
    """
    found = _FRONT.match(card)
    if found is not None and split_card(card)[0] == dict(keys):
        front = found.group(0)
    else:
        front = f"---\n{yaml.safe_dump(dict(keys), sort_keys=False, allow_unicode=True)}---\n\n"
        text = text.lstrip("\n")
    joined = front + text
    try:
        (ModelCard if repo_type == "model" else DatasetCard)(joined)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"the card would not be one that the Hub can read ({error}); mend its front matter") from error
    return joined


def with_tags(keys: Mapping[str, Any], tags: tuple[str, ...]) -> dict[str, Any]:
    """Keys of a card with more tags, those it has first."""
    present = keys.get("tags") or []
    present = [present] if isinstance(present, str) else list(present)
    return {**keys, "tags": [*present, *(tag for tag in tags if tag not in present)]}

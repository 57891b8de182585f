"""Updates of a card on the Hub: only the section between our markers and our own keys change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from huggingface_hub import DatasetCard, ModelCard

from seal_datasets.errors import DataError

CARD = "README.md"

# The mark that ends the keys stands at the start of a line; a comment among them may end in dashes too.
_FRONT = re.compile(r"\A\s*---[ \t]*\r?\n(?:(.*?)\r?\n)??---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def put_section(text: str, name: str, section: str) -> str:
    """Replace the section between its markers; append it if the card has no markers.

    Args:
        text (`str`): The card without its front matter.
        name (`str`): Name of the section.
        section (`str`): Its Markdown.

    Returns:
        `str`: The card.

    Raises:
        DataError: A marker is missing its partner, or occurs twice.

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
            f"the card has the marker {begin!r} {counts[0]} times and {end!r} {counts[1]} times; it needs one of each, in "
            "this order, or none: mend the card, or remove both"
        )
    return text[: text.index(begin)] + block + text[text.index(end) + len(end) :]


def split_card(card: str) -> tuple[dict[str, Any], str]:
    """Split a card into front matter and text.

    Args:
        card (`str`): The whole card.

    Returns:
        `tuple[dict, str]`: Its keys, and its unchanged text.

    Raises:
        DataError: The front matter is not YAML, or holds no keys.
    """
    front_matter = _FRONT.match(card)
    if front_matter is None:
        return {}, card
    try:
        keys = yaml.safe_load(front_matter.group(1) or "") or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"the front matter of the card is not YAML ({error}); mend it first") from error
    if not isinstance(keys, dict):
        raise DataError("the front matter of the card holds no keys; mend it first")
    return keys, card[front_matter.end() :]


def join_card(card: str, keys: Mapping[str, Any], text: str, *, repo_type: str) -> str:
    """Join keys and text to a card; the front matter keeps its formatting if no key changed.

    Args:
        card (`str`): The card before the change.
        keys (`Mapping[str, Any]`): All keys of the new card.
        text (`str`): The new text.
        repo_type (`str`): `dataset` or `model`.

    Returns:
        `str`: The card.

    Raises:
        DataError: `huggingface_hub` cannot read it.
    """
    front_matter = _FRONT.match(card)
    if front_matter is not None and split_card(card)[0] == dict(keys):
        front = front_matter.group(0)
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
    """Add tags to the keys of a card, after its own tags."""
    present = [keys["tags"]] if isinstance(keys.get("tags"), str) else listed(keys, "tags", str)
    return {**keys, "tags": [*present, *(tag for tag in tags if tag not in present)]}


def listed(keys: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    """The items of a card's key, which somebody else may have written.

    Raises:
        DataError: The key holds something else than a list of this kind.
    """
    value = keys.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        needed = "texts" if kind is str else "keys with values"
        raise DataError(
            f"the card's key {name!r} holds {repr(value)[:80]}; needed is a list of {needed}: mend the card first"
        )
    return value

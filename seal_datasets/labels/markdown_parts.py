"""Count the Markdown constructs of a response; what a text cannot hold is not parsed for."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache, lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

# A line that may open a list item or heading, or underline one, at any depth of quotation.
_OPENING = r"[ \t>]*(?:[-+*#=]|\d{1,9}[.)])"
_FIRST_LINE, _LATER_LINE = re.compile(_OPENING), re.compile(r"[\r\n]" + _OPENING)
_MARKS = ("`", "**", "__")


@lru_cache(maxsize=1)
def markdown_parts(text: str) -> Counter[str]:
    r"""Count list items, headings, code and bold words of a text.

    Args:
        text (`str`): CommonMark.

    Returns:
        `Counter[str]`: Counts by type of token of `markdown-it`; those of other types are left out or too low.

    Example:

    ```python
    >>> sorted(markdown_parts("# Steps\n\n1. run `pip`\n2. **wait**").items())
    [('code_inline', 1), ('heading_open', 1), ('list_item_open', 2), ('strong_open', 1)]

    ```
    """
    text = text.strip()
    counts: Counter[str] = Counter()
    marked = any(mark in text for mark in _MARKS)
    if not (marked or "~~~" in text or _FIRST_LINE.match(text) or _LATER_LINE.search(text)):
        return counts
    parser = _parser()
    environment: dict[str, object] = {}  # references of the whole text, which inline text may name
    for token in parser.parse(text, environment):
        if token.type == "inline" and marked and any(mark in token.content for mark in _MARKS):
            parts: list[Token] = []
            parser.inline.parse(token.content, parser, environment, parts)
            counts.update(part.type for part in parts if part.type in ("code_inline", "strong_open"))
        elif token.type in ("list_item_open", "heading_open", "fence"):
            counts[token.type] += 1
    return counts


@cache
def _parser() -> MarkdownIt:
    """A parser that stops at blocks; inline text is parsed where it holds a mark."""
    return MarkdownIt("commonmark").disable(["inline", "text_join"])

"""A picture of a report: one specification, with the sentence, numbers and words that belong to it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture of a report.

    Attributes:
        name (`str`): Name of its files, without an ending.
        title (`str`): What it shows, as a sentence that its numbers support.
        lead (`str`): How to read it.
        note (`str`): n, intervals, and what they rest on.
        rows (`Sequence[Mapping[str, Any]]`): Its numbers, one mapping per row with the same keys.
        draw (`Callable[[int], altair.TopLevelMixin]`): The chart at a width in pixels.
    """

    name: str
    title: str
    lead: str
    note: str
    rows: Sequence[Mapping[str, Any]]
    draw: Callable[[int], alt.TopLevelMixin]

    @property
    def columns(self) -> list[str]:
        """Names of the columns of `rows`."""
        return list(self.rows[0]) if self.rows else []

    def to_csv(self) -> str:
        """The numbers as CSV."""
        return to_csv(self.rows)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def format_range(counts: Sequence[int]) -> str:
    """The least and the largest of some counts.

    Example:

    ```python
    >>> format_range([1200, 30]), format_range([7, 7])
    ('30 to 1,200', '7')

    ```
    """
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def list_names(names: Sequence[str]) -> str:
    """Some names as words.

    Example:

    ```python
    >>> list_names(["one", "two", "three"]), list_names(["one"])
    ('one, two and three', 'one')

    ```
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def link_to_pairs(feature: str) -> str | None:
    """Address of the page's pairs that differ in a feature; none for one answer of several, which is no column of the page.

    Example:

    ```python
    >>> link_to_pairs("polite"), link_to_pairs("topics: law")
    ('#differs=polite', None)

    ```
    """
    return None if ":" in feature else f"#differs={feature}"


def feature_title(name: str) -> str:
    """A feature's name in words.

    Example:

    ```python
    >>> feature_title("last_response_is_harmless"), feature_title("surface_log_tokens"), feature_title("topics")
    ('harmless', 'length (log tokens)', 'topics')

    ```
    """
    if name in _SURFACE:
        return _SURFACE[name]
    for start in ("last_response_is_", "last_response_", "surface_"):
        if name.startswith(start) and len(name) > len(start):
            return name[len(start) :].replace("_", " ")
    return name.replace("_", " ")


_SURFACE = {
    "surface_log_tokens": "length (log tokens)",
    "surface_list_items": "list items",
    "surface_has_code": "code",
    "surface_has_bold": "bold type",
    "surface_sentiment": "positive words",
}

"""A plan as a table for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seal_datasets.audit.planned import AuditPlan

_NOTHING = "-"
_UNKNOWN = "unknown"
_LEGEND = (
    "tokens, requests, dollars and time are of what is not cached; memory is that of table and weights, without libraries and "
    "batches, and its total is of what is held at the same time; + marks totals without the unknown parts"
)


def render_plan(plan: AuditPlan) -> str:
    """A row for each step and one for all, and below them the notes.

    Args:
        plan (`AuditPlan`): The plan.

    Returns:
        `str`: Lines of text.
    """
    rows = [["step", *("time" if column == "seconds" else column for column in _COLUMNS)]]
    rows += [[step.name, *(_show(column, getattr(step, column)) for column in _COLUMNS)] for step in plan.steps]
    summed = {column: (plan.total(column), plan.known_parts(column)) for column in _SUMMED}
    rows.append(["total", *(_show_total(column, *summed[column]) if column in summed else "" for column in _COLUMNS)])
    notes = [f"{step.name}: {note}" for step in plan.steps for note in step.notes]
    return "\n".join([*_align(rows), "", _LEGEND, *notes])


def format_seconds(seconds: float) -> str:
    """A time for people.

    Example:

    ```python
    >>> [format_seconds(each) for each in (0.04, 12.34, 600.0, 9000.0)]
    ['0.0 s', '12.3 s', '10.0 min', '2.5 h']

    ```
    """
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def format_bytes(size: float) -> str:
    """A size for people, in powers of 1000.

    Example:

    ```python
    >>> [format_bytes(each) for each in (12, 45_000, 1_200_000, 3.5e9)]
    ['12 B', '45.0 kB', '1.2 MB', '3.5 GB']

    ```
    """
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= power:
            return f"{size / power:,.1f} {unit}"
    return f"{size:.0f} B"


def _count(value: float) -> str:
    return f"{value:,.0f}"


_COLUMNS: dict[str, Callable[[float], str]] = {
    "pairs": _count,
    "texts": _count,
    "cached": _count,
    "tokens": _count,
    "requests": _count,
    "dollars": lambda value: f"${value:,.2f}",
    "seconds": format_seconds,
    "memory": format_bytes,
    "disk": format_bytes,
}
_SUMMED = ("tokens", "requests", "dollars", "seconds", "memory", "disk")


def _show(column: str, value: float | None) -> str:
    if value is None:
        return _NOTHING
    return _UNKNOWN if math.isnan(value) else _COLUMNS[column](value)


def _show_total(column: str, total: float | None, known: Sequence[float]) -> str:
    if total is None or not math.isnan(total):
        return _show(column, total)
    return f"{_show(column, sum(known))}+" if known else _UNKNOWN


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column at the left, numbers at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines

"""The plan of an audit: what each step will do and cost, as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_NOTHING = "-"
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of an audit.

    In every number, `None` means that the step has none, and nan that it is unknown; `notes` says why.

    Attributes:
        name (`str`): What is done.
        pairs (`float`, *optional*): Pairs of the step.
        texts (`float`, *optional*): Different texts.
        cached (`float`, *optional*): Of these, texts whose result is stored already.
        tokens (`float`, *optional*): Tokens of the texts that are left, both sent and written.
        requests (`float`, *optional*): Requests that are left.
        dollars (`float`, *optional*): Their cost.
        seconds (`float`, *optional*): Time that the step will take on this machine.
        memory (`float`, *optional*): Bytes of memory for its table or its weights.
        disk (`float`, *optional*): Bytes that it will add in the folder of the report.
        notes (`tuple[str, ...]`): How numbers were found, and why others are unknown.
    """

    name: str
    pairs: float | None = None
    texts: float | None = None
    cached: float | None = None
    tokens: float | None = None
    requests: float | None = None
    dollars: float | None = None
    seconds: float | None = None
    memory: float | None = None
    disk: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What an audit will do and cost.

    Attributes:
        steps (`tuple[PlannedStep, ...]`): In the order of the audit.

    Example:

    ```python
    >>> plan = AuditPlan((PlannedStep("load", pairs=2, seconds=0.5), PlannedStep("score rm", pairs=2, seconds=7200.0)))
    >>> plan.total("seconds"), plan["load"].pairs
    (7200.5, 2)

    ```
    """

    steps: tuple[PlannedStep, ...]

    def __getitem__(self, name: str) -> PlannedStep:
        """Return the step with a name.

        Raises:
            KeyError: No step has this name.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def total(self, column: str) -> float | None:
        """Sum over the steps of a column of `PlannedStep`; for memory, of what is held at the same time.

        Returns:
            `float`, *optional*: nan if a part of it is unknown, `None` if no step has it.
        """
        return _sum(self._summed(column))

    def _summed(self, column: str) -> list[float | None]:
        if column != "memory":
            return [getattr(step, column) for step in self.steps]
        held = {step.name: step.memory for step in self.steps}
        table, rewriting = held.pop("load", None), [held.pop(name, None) for name in ("rewrites", "label rewrites")]
        # All models stay open while rewrites are made; labels and training come before.
        models = [held.pop(name) for name in list(held) if name.startswith("score ")]
        phases = [*([size] for size in held.values()), *([*models, size] for size in rewriting), models]
        return [table, *max(phases, key=lambda phase: _known(phase))]

    def __str__(self) -> str:
        rows = [["step", *("time" if column == "seconds" else column for column in _COLUMNS)]]
        for step in self.steps:
            rows.append([step.name, *(_show(column, getattr(step, column)) for column in _COLUMNS)])
        totals = (_show_total(column, self._summed(column)) if column in _SUMMED else "" for column in _COLUMNS)
        rows.append(["total", *totals])
        notes = [f"{step.name}: {note}" for step in self.steps for note in step.notes]
        return "\n".join([*_align(rows), "", _LEGEND, *notes])


_LEGEND = (
    "tokens, requests, dollars and time are of what is not cached; memory is that of table and weights, without libraries and "
    "batches, and its total is of what is held at the same time; + marks totals without the unknown parts"
)


def sample_rows(n: int, at_most: int) -> list[int]:
    """Rows at equal distances.

    Args:
        n (`int`): Rows of the table.
        at_most (`int`): Rows to take.

    Returns:
        `list[int]`: Their numbers; all where there are no more.

    Example:

    ```python
    >>> sample_rows(9, 3), sample_rows(2, 3)
    ([0, 4, 8], [0, 1])

    ```
    """
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).round().astype(int)).tolist() if n else []


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


def _sum(values: Sequence[float | None]) -> float | None:
    given = [value for value in values if value is not None]
    return sum(given) if given else None


def _known(values: Sequence[float | None]) -> float:
    return sum(value for value in values if value is not None and not math.isnan(value))


def _show_total(column: str, values: Sequence[float | None]) -> str:
    total = _sum(values)
    if total is None or not math.isnan(total):
        return _show(column, total)
    return f"{_show(column, _known(values))}+"


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column at the left, numbers at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines

"""Numbers as text, and Markdown tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def figure_block(figures: Mapping[str, str], name: str) -> str:
    """A figure with its caption; empty where there is none."""
    return f"![{figures[name]}](figures/{name})\n\n*{figures[name]}*" if name in figures else ""


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")


def format_percent(value: float | None) -> str:
    """A share in percent."""
    return "–" if value is None else f"{100 * value:.1f} %"


def format_points(value: float | None) -> str:
    """A change of a share in percentage points."""
    return "–" if value is None else f"{100 * value + 0.0:+.1f}"


def format_number(value: float | None, digits: int = 2) -> str:
    """A number; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def format_rate(entry: Mapping[str, Any], key: str) -> str:
    """A share with its interval."""
    if entry.get(key) is None:
        return "–"
    low, high = entry["confidence_interval"]
    return f"{format_percent(entry[key])} ({100 * low:.1f}–{100 * high:.1f})"


def format_interval(interval: Sequence[float | None] | None) -> str:
    """An interval of a share."""
    if interval is None or interval[0] is None or interval[1] is None:
        return "–"
    return f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}"


def format_estimate(row: Mapping[str, Any], digits: int = 2) -> str:
    """A coefficient with its error, starred where it is significant."""
    if row["coefficient"] is None:
        return "–"
    if row["std_error"] is None:
        return f"{row['coefficient']:+.{digits}f}"
    star = "\\*" if is_significant(row) else ""
    return f"{row['coefficient']:+.{digits}f} ± {row['std_error']:.{digits}f}{star}"


def is_significant(row: Mapping[str, Any]) -> bool:
    """Whether an adjusted p-value is below 0.05."""
    return row["p_adjusted"] is not None and row["p_adjusted"] < 0.05

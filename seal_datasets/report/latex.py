"""A table of a report in LaTeX: booktabs, numbers with their intervals in brackets, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seal_datasets.escape import escape_latex
from seal_datasets.report.page.figure import feature_title

_LONGEST = 40
_NONE = "--"
_P_VALUES = ("p_value", "p_adjusted_or_q", "q", "q_value")
_TITLES = {
    "p_value": "p",
    "p_adjusted_or_q": "p adjusted or q",
    "q_value": "q",
    "n_discordant": "pairs that differ",
    "n": "n",
}


def to_latex(name: str, caption: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as a LaTeX table.

    Args:
        name (`str`): Its label is `tab:seal-<name>`.
        caption (`str`): Its caption, as plain text.
        rows (`Sequence[Mapping[str, Any]]`): One mapping per row with the same keys. `low` and `high` are bounds of the key
            before them and share its cell.

    Returns:
        `str`: A `table` environment, or a `longtable` of more than 40 rows.
    """
    import pandas as pd

    columns = [key for key in rows[0] if key not in ("low", "high")]
    names = list(rows[0])
    ranged = names[names.index("low") - 1] if "low" in names else None
    cells = {_title(key, key == ranged): _column(rows, key, key == ranged) for key in columns}
    long = len(rows) > _LONGEST
    style = pd.DataFrame(cells).style.hide(axis="index")
    table: str = style.to_latex(
        hrules=True,
        caption=escape_latex(caption),
        label=f"tab:seal-{name}",
        column_format="".join("r" if _is_number(rows, key) else "l" for key in columns),
        environment="longtable" if long else None,
        position_float=None if long else "centering",
    )
    packages = r"\usepackage{booktabs,longtable}" if long else r"\usepackage{booktabs}"
    return f"% {packages}\n{table}"


def _title(key: str, ranged: bool) -> str:
    title = escape_latex(_TITLES.get(key, key.replace("_", " ")))
    return f"{title} [95 \\% interval]" if ranged else title


def _is_number(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    return not any(isinstance(row[key], str) for row in rows)


def _column(rows: Sequence[Mapping[str, Any]], key: str, ranged: bool) -> list[str]:
    are_shares = all(0 <= row[key] <= 1 for row in rows if isinstance(row[key], float))
    digits = 3 if are_shares else 2
    found = []
    for row in rows:
        text = _p_value(row[key]) if key in _P_VALUES else _cell(row[key], digits)
        if key == "feature":
            text = escape_latex(feature_title(row[key]))
        if ranged and row["low"] is not None:
            high = "$\\infty$" if row["high"] is None else _cell(row["high"], digits)
            text = f"{text} [{_cell(row['low'], digits)}, {high}]"
        found.append(text)
    return found


def _p_value(value: float | None) -> str:
    return "$<$0.001" if value is not None and value < 0.001 else _cell(value, 3)


def _cell(value: object, digits: int) -> str:
    if value is None or value == "":
        return _NONE
    if isinstance(value, float):
        return f"{value:,.{digits}f}".replace("-", "$-$")
    return f"{value:,}" if isinstance(value, int) else escape_latex(str(value).replace("_", " "))

"""Render the Markdown templates of `hub_cards/`, in a sandbox, with every string escaped and every number formatted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from seal_datasets.errors import DataError
from seal_datasets.escape import escape_markdown, escape_yaml

_PACKAGE = Path(__file__).parent
# In a wheel the templates lie inside the package, in a checkout beside it.
_FOLDERS = (_PACKAGE / "hub_cards", _PACKAGE.parent / "hub_cards")
_NO_VALUE = "–"


def format_percent(value: float | None, *, missing: str = _NO_VALUE) -> str:
    """A share in percent.

    Args:
        value (`float`, *optional*): The share, from 0 to 1.
        missing (`str`, *optional*): Text for `None`.

    Returns:
        `str`: The percentage with one decimal.

    Example:

    ```python
    >>> format_percent(0.1176)
    '11.8 %'

    ```
    """
    return missing if value is None else f"{100 * value:.1f} %"


def format_points(value: float | None) -> str:
    """A change of a share, in percentage points with a sign."""
    return _NO_VALUE if value is None else f"{100 * value + 0.0:+.1f}"


def format_number(value: float | None, digits: int = 2, *, signed: bool = False, missing: str = _NO_VALUE) -> str:
    """A number with a fixed number of decimals.

    Args:
        value (`float`, *optional*): The number.
        digits (`int`, defaults to 2): Decimals.
        signed (`bool`, defaults to `False`): Whether to write the sign of a positive number.
        missing (`str`, *optional*): Text for `None`.

    Returns:
        `str`: The number.

    Example:

    ```python
    >>> format_number(1234.5, signed=True)
    '+1,234.50'

    ```
    """
    return missing if value is None else f"{value:{'+' if signed else ''},.{digits}f}"


def format_count(value: int) -> str:
    """A count, with commas between thousands."""
    return f"{value:,}"


def format_interval(interval: Sequence[float | None] | None) -> str:
    """The bounds of a share's interval, in percent."""
    if interval is None or interval[0] is None or interval[1] is None:
        return _NO_VALUE
    return f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}"


def format_rate(entry: Mapping[str, Any], key: str) -> str:
    """A share in percent with its interval.

    Args:
        entry (`Mapping[str, Any]`): Holds the share under `key`, and `confidence_interval`.
        key (`str`): Key of the share.

    Returns:
        `str`: Both.

    Example:

    ```python
    >>> format_rate({"share": 0.5, "confidence_interval": [0.25, 0.75]}, "share")
    '50.0 % (25.0–75.0)'

    ```
    """
    if entry.get(key) is None:
        return _NO_VALUE
    return f"{format_percent(entry[key])} ({format_interval(entry['confidence_interval'])})"


def is_significant(row: Mapping[str, Any]) -> bool:
    """Whether the adjusted p-value of an estimate is below 0.05."""
    return row["p_adjusted"] is not None and row["p_adjusted"] < 0.05


def render_card(template: str, **fields: object) -> str:
    """Render a template of `hub_cards/`.

    Every string is escaped, unless the template marks it `safe`. An empty section leaves one blank line.

    Args:
        template (`str`): File name in `hub_cards/`, e.g. `"dataset_card.md"`.
        **fields (`object`): Values of the names in the template; a missing name is an error.

    Returns:
        `str`: Markdown.

    Raises:
        DataError: The template does not exist.
        jinja2.UndefinedError: The template names a field that was not given.
    """
    if not any((folder / template).is_file() for folder in _FOLDERS):
        raise DataError(f"there is no card template {template!r} in {' or '.join(map(str, _FOLDERS))}")
    rendered = _environment().get_template(template).render(**fields)
    return re.sub(r"\n{3,}", "\n\n", rendered)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    """The sandbox, with compiled templates."""
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(_FOLDERS),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        # Results of macros are `Markup`, which `_finalize` leaves as they are.
        autoescape=True,
        finalize=_finalize,
    )
    environment.filters |= {
        "markdown": lambda text: Markup(escape_markdown(text)),
        "yaml": lambda text: Markup(escape_yaml(text)),
        "percent": _own(format_percent),
        "points": _own(format_points),
        "number": _own(format_number),
        "thousands": _own(format_count),
        "interval": _own(format_interval),
        "rate": _own(format_rate),
    }
    return environment


def _finalize(value: object) -> object:
    """Escape a plain string that a template shows."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return Markup(escape_markdown(value, names=True))


def _own(format_value: Callable[..., str]) -> Callable[..., Markup]:
    """A filter whose result holds figures only, such as a sign at its start, and is not escaped."""
    return lambda *values, **options: Markup(format_value(*values, **options))

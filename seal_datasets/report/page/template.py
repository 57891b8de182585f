"""The page's template, and how words, numbers and files become parts of it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

_FOLDER = Path(__file__).parent
_MINUS = re.compile(r"(?<![\w`-])-(?=\d)")


def page_template(name: str = "page.html") -> Template:
    """A template of the page, or of what a notebook shows; every string that it shows is escaped."""
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    environment.filters |= {"cell": _cell, "prose": prose}
    return environment.get_template(name)


def read_asset(name: str) -> str:
    """A style or script of the page."""
    return (_FOLDER / name).read_text("utf-8")


def policy_hash(content: str) -> str:
    """What a content-security policy calls a style or script that it allows."""
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode("ascii")


def prose(text: str) -> Markup:
    """A sentence with its `code` set as code, minus signs, and no break before a percent sign.

    Example:

    ```python
    >>> print(prose("below -0.5 in `a<b`"))
    below −0.5 in <code>a&lt;b</code>

    ```
    """
    parts = [str(escape(part)) for part in _MINUS.sub("−", text.replace(" %", "\u00a0%")).split("`")]
    return Markup("".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts)))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)

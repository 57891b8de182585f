"""Fill the card templates of `hub_cards/`. Templates run in a sandbox, and every outside string is made inert."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from seal_datasets.errors import DataError

_PACKAGE = Path(__file__).parent


def escape_markdown(text: str) -> str:
    r"""Make an outside string inert in Markdown, and in the HTML that Markdown becomes.

    Args:
        text (`str`): Any text.

    Returns:
        `str`: One line that shows as the text itself.

    Example:

    ```python
    >>> escape_markdown("<b>*x*</b>")
    '&lt;b&gt;\\*x\\*&lt;/b&gt;'

    ```
    """
    inert = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]!#|~])", r"\\\1", inert).replace("\n", " ")


def render_card(template: str, **fields: object) -> str:
    """Fill a card.

    Args:
        template (`str`): File name in `hub_cards/`, e.g. `"dataset_card.md"`.
        **fields (`object`): What the template names; a name that is missing is an error, not a blank.

    Returns:
        `str`: The card.

    Raises:
        DataError: There is no such template.
        jinja2.UndefinedError: The template names a field that was not given.
    """
    # In a wheel the templates lie inside the package, in a checkout beside it.
    folders = [_PACKAGE / "hub_cards", _PACKAGE.parent / "hub_cards"]
    if not any((folder / template).is_file() for folder in folders):
        raise DataError(f"there is no card template {template!r} in {' or '.join(map(str, folders))}")
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folders), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.filters["markdown"] = escape_markdown
    return environment.get_template(template).render(**fields)

"""For the reference: types of arguments without Markdown, and without the default that the signature shows."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ARGUMENT = re.compile(r"^(\s+\*{0,2}\w+) \((.+?)(?:, \*optional\*|, defaults to .*?)?\):", re.MULTILINE)


class DocstringTypes(Extension):
    """Rewrites `name (`type`, *optional*):` as `name (type):` before docstrings are parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:  # noqa: ANN401 - griffe passes what it knows
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = _ARGUMENT.sub(lambda found: _plain(found[1], found[2]), obj.docstring.value)


def _plain(name: str, kind: str) -> str:
    return f"{name} ({kind.replace('`', '')}):"

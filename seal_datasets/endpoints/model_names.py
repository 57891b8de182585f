"""Whether the model that answered is the one that was asked."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SNAPSHOT = re.compile(r"(-|@|:)(\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4}|00\d|latest)")


def is_asked_model(served: str, asked: str, names: Iterable[str] = ()) -> bool:
    """Whether a name in an answer is that of the model asked for.

    Args:
        served (`str`): Name in the answer.
        asked (`str`): Name in the request.
        names (`Iterable[str]`): Further names that the model has at the endpoint, as a user states them.

    Returns:
        `bool`: `True` for these names, and for a dated snapshot of one. Another alias or path needs the user's word.

    Example:

    ```python
    >>> is_asked_model("gpt-4o-2024-08-06", "gpt-4o"), is_asked_model("gpt-4o-mini", "gpt-4o")
    (True, False)
    >>> is_asked_model("/models/qwen3.gguf", "qwen3", ["/models/qwen3.gguf"])
    True

    ```
    """
    served = served.strip().casefold()
    for name in (asked, *names):
        name = name.strip().casefold()
        if served.startswith(name) and (served == name or _SNAPSHOT.fullmatch(served.removeprefix(name))):
            return True
    return False

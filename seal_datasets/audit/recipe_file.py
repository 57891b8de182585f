"""The form of a recipe: the options of a verb as YAML, without secrets, with local paths marked."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from seal_datasets.escape import shareable, show_invisible, without_secrets
from seal_datasets.version import __version__

RECIPE_VERSION = 1
ABOUT_KEYS = ("recipe", "verb", "made_with")
"""Keys of a recipe that are not options."""

_MAY_BE_PATHS = ("data", "out", "model", "gold", "taxonomy", "prices", "backbone", "similarity_model")
_PACKAGES = ("accelerate", "datasets", "numpy", "openai", "scipy", "torch", "transformers")


def render_recipe(
    verb: str, options: Mapping[str, Any], *, made_with: Mapping[str, str] | None = None, notes: Sequence[str] = ()
) -> str:
    """Write down the options of a verb.

    Args:
        verb (`str`): Its name.
        options (`Mapping[str, Any]`): Values by option, JSON-ready. Keys and passwords become stars.
        made_with (`Mapping[str, str]`, *optional*): What else the result depends on, such as a fingerprint of the data.
        notes (`Sequence[str]`): Lines for the reader.

    Returns:
        `str`: YAML that `seal VERB --config` reads.

    Example:

    ```python
    >>> print(render_recipe("audit", {"data": "/data/pairs.jsonl", "limit": 500}), end="")  # doctest: +ELLIPSIS
    # To run this again: seal audit --config recipe.yaml
    recipe: 1
    verb: audit
    made_with:
      seal_datasets: ...
    data: /data/pairs.jsonl  # a local path: give your own
    limit: 500

    ```
    """
    about = {"recipe": RECIPE_VERSION, "verb": verb, "made_with": {"seal_datasets": __version__, **(made_with or {})}}
    lines = [f"# To run this again: seal {verb} --config recipe.yaml"]
    lines += [f"# {show_invisible(' '.join(note.split()))}" for note in notes]
    for key, value in {**about, **options}.items():
        safe = without_secrets(value)
        entry = yaml.safe_dump({key: safe}, sort_keys=False, allow_unicode=False, width=2**31).rstrip("\n")
        lines.append(f"{entry}  # a local path: give your own" if key in _MAY_BE_PATHS and is_local(value) else entry)
    return "\n".join(lines) + "\n"


def is_local(value: object) -> bool:
    """Whether a value, or an entry of a list, holds a path of this machine.

    Args:
        value (`object`): Any value of an option.

    Returns:
        `bool`: True for a path that exists, and for one that begins like a path.
    """
    if isinstance(value, list):
        return any(map(is_local, value))
    if not isinstance(value, str) or "://" in value:
        return False
    parts = re.split("[@:=,]", value)
    return shareable(value) != without_secrets(value) or any(part and _exists(part) for part in (value, *parts))


def read_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that the numbers depend on."""
    installed = {distribution.metadata["Name"] for distribution in importlib.metadata.distributions()}
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES if name in installed}
    return {"python": platform.python_version(), **versions}


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long, or with a character that no path has
        return False

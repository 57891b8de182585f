"""The embedded preference set: 320 pairs written for this package, with gold labels and known annotation errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DEMO_NAME = "the embedded preference set"
DEMO_LICENSE = "mit"

_FOLDER = Path(__file__).parent


def demo_path() -> Path:
    """Return the path of the embedded preference set.

    Returns:
        `Path`: A jsonl file of dialogues with `gold_<feature>_<side>` columns, readable by `load_pairs`.

    Example:

    ```python
    >>> demo_path().name
    'pairs.jsonl'

    ```
    """
    return _FOLDER / "pairs.jsonl"


def demo_truth() -> dict[str, Any]:
    """Return what is true of the embedded preference set by construction.

    Returns:
        `dict[str, Any]`: The annotators' rule, the pairs in which they made errors, counts, and what their choices ask for.

    Example:

    ```python
    >>> len(demo_truth()["annotation_errors"])
    28

    ```
    """
    import yaml

    truth: dict[str, Any] = yaml.safe_load((_FOLDER / "truth.yaml").read_text("utf-8"))
    return truth

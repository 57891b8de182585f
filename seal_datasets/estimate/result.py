"""Frozen results that turn into plain JSON: `nan` becomes `None`, arrays become lists."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def as_json(value: Any) -> Any:  # noqa: ANN401 - any nesting of results, arrays and plain values
    """Turn a result, or any part of one, into values `json.dumps` takes.

    Args:
        value (`Any`): Dataclass, mapping, sequence, array, NumPy or Python scalar.

    Returns:
        `Any`: Plain dicts, lists, strings, bools, ints and floats; undefined numbers are `None`.

    Example:

    ```python
    >>> as_json({"share": np.float64("nan"), "counts": np.array([1, 2])})
    {'share': None, 'counts': [1, 2]}

    ```
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class Result:
    """Base of every estimate: knows how to become JSON."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """This result as JSON-ready values; undefined numbers are `None`."""
        plain: dict[str, Any] = as_json(self)
        return plain

"""Conversion of frozen results to plain JSON: `nan` and infinity become `None`, and arrays become lists."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def as_json(value: Any) -> Any:  # noqa: ANN401 - any nesting of results, arrays and plain values
    """Convert a result, or a part of one, to values that `json.dumps` accepts.

    Args:
        value (`Any`): Dataclass, mapping, sequence, array, NumPy or Python scalar.

    Returns:
        `Any`: Plain dicts, lists, strings, bools, ints and floats; undefined and infinite numbers are `None`.

    Example:

    ```python
    >>> as_json({"share": np.float64("nan"), "counts": np.array([1, 2])})
    {'share': None, 'counts': [1, 2]}

    ```
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class Result:
    """Base class of all estimates, with conversion to JSON."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """This result as JSON-ready values; undefined and infinite numbers are `None`."""
        plain: dict[str, Any] = as_json(self)
        return plain

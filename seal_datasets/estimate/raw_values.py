"""Conversion of what callers pass, of any library, to NumPy arrays, without a silent loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError

EXACT = 2**53
"""float64 holds every whole number up to this one."""

_PLAIN = {bool, float, int}
_FAMILIES = ((bool, (bool, np.bool_)), (int, (int, np.integer)), (float, (float, np.floating)), (str, (str,)))


def as_numbers(values: ArrayLike, name: str, *, allow_nan: bool) -> NDArray[np.float64]:
    """Numbers as float64.

    Args:
        values (array-like): Numbers in lists, or an array of NumPy, pandas, PyArrow or torch.
        name (`str`): Name of the argument, for messages.
        allow_nan (`bool`): Whether None and masked entries are nan.

    Returns:
        `ndarray`: The numbers; nan and infinite ones are left to the caller.

    Raises:
        DataError: An entry is not a real number, is masked, or is a whole number that floats skip.
            Rows are ragged or without order.
    """
    if not is_array(values):
        return _from_any_rows(as_rows(values, name), name, allow_nan)
    raw = as_array(values, name)
    if np.ma.is_masked(raw):
        if not allow_nan:
            row = np.argwhere(np.ma.getmaskarray(raw))[0, 0]
            raise DataError(f"{name} row {row} is masked; a number is needed")
        raw = np.ma.filled(raw.astype(np.float64), np.nan)
    if raw.dtype.kind in "biuf":
        return _exact_floats(np.asarray(raw), name)
    if raw.dtype.kind in "mM":
        raise DataError(f"{name} holds dates or durations ({raw.dtype}); numbers are needed")
    return _from_any_rows(as_rows(raw.tolist(), name), name, allow_nan)


def group_values(groups: Sequence[Any] | NDArray[Any], name: str) -> NDArray[Any]:
    """Groups as a one-dimensional array, of objects unless they were an array.

    Args:
        groups (sequence of shape (n,)): Group of each row.
        name (`str`): Name of the argument, for messages.

    Returns:
        `ndarray` of shape (n,): The groups.

    Raises:
        DataError: The argument is empty, not one-dimensional, without order, or partly masked.
    """
    array = as_array(groups, name) if is_array(groups) else np.asarray(as_rows(groups, name), dtype=object)
    if np.ma.is_masked(array):
        raise DataError(f"{name} row {np.argwhere(np.ma.getmaskarray(array))[0, 0]} is masked; every row needs a group")
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"{name} must be one value per row, got an array of shape {array.shape}")
    return np.asarray(array)


def check_one_kind(groups: NDArray[Any], name: str) -> None:
    """Refuse groups of several types, and entries that are arrays.

    Args:
        groups (`ndarray` of shape (n,)): Objects.
        name (`str`): Name of the argument, for messages.

    Raises:
        DataError: Groups are of two types; the message names a row of each.
    """
    first: dict[type, int] = {}
    for kind in set(map(type, groups)):
        row = next(index for index, entry in enumerate(groups) if type(entry) is kind)
        if is_array(groups[row]) and not isinstance(groups[row], np.generic):
            raise DataError(f"{name} row {row} is an array ({kind.__name__}); a group is a string or a number")
        family = next((each for each, members in _FAMILIES if issubclass(kind, members)), kind)
        first[family] = min(row, first.get(family, row))
    if len(first) > 1:
        (row, kind), (other, other_kind) = sorted((row, kind) for kind, row in first.items())[:2]
        raise DataError(
            f"{name} holds {groups[row]!r} ({kind.__name__}) in row {row} and {groups[other]!r} ({other_kind.__name__}) in row "
            f"{other}; give ids of one type"
        )


def is_array(values: object) -> bool:
    """Whether values are an array of NumPy or of a library that NumPy reads."""
    return hasattr(values, "__array__") and not isinstance(values, type)


def as_array(values: Any, name: str) -> NDArray[Any]:  # noqa: ANN401 - an array of any library
    """An array of any library as NumPy's, with its mask.

    Raises:
        DataError: NumPy cannot read it.
    """
    if isinstance(values, np.ndarray):
        return values
    try:
        if hasattr(values, "detach"):
            # A tensor of torch, which is not imported here: it may carry a gradient, and NumPy has no bfloat16.
            values = values.detach().cpu()
            values = values.double() if "float" in str(values.dtype) else values
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} ({type(values).__name__}) is not an array of numbers: {error}") from error


def as_rows(values: object, name: str) -> list[Any]:
    """Entries in their order.

    Raises:
        DataError: There is no order, or it is a single value.
    """
    if isinstance(values, (set, frozenset, Mapping)):
        raise DataError(f"{name} is a {type(values).__name__}, whose entries have no order or are keys; give a list")
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, bytearray)):
        raise DataError(f"{name} is {values!r} ({type(values).__name__}); one entry per row is needed")
    try:
        return list(values)
    except TypeError as error:
        raise DataError(f"{name} ({type(values).__name__}) cannot be read row by row: {error}") from error


def _from_any_rows(rows: list[Any], name: str, allow_nan: bool) -> NDArray[np.float64]:
    stacked = _stack_alike(rows)
    return _from_rows(rows, name, allow_nan) if stacked is None else _exact_floats(stacked, name)


def _from_rows(rows: list[Any], name: str, allow_nan: bool) -> NDArray[np.float64]:
    try:
        plain = _plain_numbers(rows)
    except OverflowError as error:
        raise DataError(f"{name} holds a number that is too large: {error}") from error
    if plain is not None:
        if np.abs(plain).max(initial=0.0) >= EXACT:
            _check_whole(rows, name)
        return plain
    if allow_nan:
        rows = [_nan_for_missing(row) for row in rows]
    for row, value in enumerate(rows):
        for entry in value if isinstance(value, (list, tuple)) else (value,):
            known = isinstance(entry, (int, float, np.integer, np.floating, np.bool_, np.ndarray))
            if entry is np.ma.masked or not known:
                raise DataError(f"{name} row {row} is {entry!r} ({type(entry).__name__}); a number is needed")
            if isinstance(entry, np.ndarray) and (np.ma.is_masked(entry) or entry.dtype.kind not in "biuf"):
                raise DataError(f"{name} row {row} is an array of {entry.dtype} or masked; real numbers are needed")
    _check_whole(rows, name)
    try:
        with np.errstate(over="ignore"):
            return np.asarray(rows, dtype=np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise DataError(f"{name} is not an array of numbers: {error}") from error


def _stack_alike(rows: list[Any]) -> NDArray[Any] | None:
    """Rows that are arrays of one shape and type, as a column of a table holds them; `None` for others."""
    first = rows[0] if rows else None
    if type(first) is not np.ndarray or first.ndim != 1 or first.dtype.kind not in "biuf":
        return None
    shape, kind = first.shape, first.dtype
    if any(type(row) is not np.ndarray or row.shape != shape or row.dtype is not kind for row in rows):
        return None
    return np.concatenate(rows).reshape(len(rows), -1)


def _exact_floats(raw: NDArray[Any], name: str) -> NDArray[np.float64]:
    """An array as float64, which must hold its whole numbers exactly."""
    if raw.dtype.kind in "iu" and raw.dtype.itemsize == 8 and raw.size and max(int(raw.max()), -int(raw.min())) > EXACT:
        place = np.argwhere((raw > EXACT) | (raw < -EXACT))[0]
        _refuse_rounding(name, int(place[0]), raw[tuple(place)])
    with np.errstate(over="ignore"):
        return raw.astype(np.float64, copy=False)


def _check_whole(rows: list[Any], name: str) -> None:
    for row, value in enumerate(rows):
        for entry in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(entry, (int, np.integer)) and abs(int(entry)) > EXACT:
                _refuse_rounding(name, row, entry)
            if isinstance(entry, np.ndarray) and entry.dtype.kind in "iu":
                _exact_floats(entry, f"{name} row {row}:")


def _refuse_rounding(name: str, row: int, value: object) -> None:
    raise DataError(
        f"{name} row {row} is the whole number {value}, beyond 2^53, where floats skip some; give a smaller number or a float"
    )


def _nan_for_missing(row: object) -> object:
    if isinstance(row, (list, tuple)):
        return [_nan_for_missing(entry) for entry in row]
    return math.nan if row is None or row is pd.NA or row is np.ma.masked else row


def _plain_numbers(rows: list[Any]) -> NDArray[np.float64] | None:
    """Rows of Python numbers as an array, four times faster than by NumPy; `None` for other rows."""
    kinds = set(map(type, rows))
    if rows and kinds <= _PLAIN:
        return np.fromiter(rows, np.float64, len(rows))
    if rows and kinds <= {list, tuple}:
        widths, cells = set(map(len, rows)), chain.from_iterable
        if len(widths) == 1 and set(map(type, cells(rows))) <= _PLAIN:
            width = widths.pop()
            return np.fromiter(cells(rows), np.float64, len(rows) * width).reshape(len(rows), width)
    return None

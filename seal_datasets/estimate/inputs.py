"""Checks and conversions of the estimators' input arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.raw_values import EXACT, as_numbers, as_rows, check_one_kind, group_values, is_array

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int64]

# Beyond the range of float32 by far. Products of up to six such numbers neither overflow nor vanish in float64.
LARGEST = 1e50
SMALLEST = 1e-50
_BLOCK = 4096


def finite(values: ArrayLike, name: str, *, allow_nan: bool = False) -> Floats:
    """A one-dimensional array of finite numbers.

    Args:
        values (array-like of shape (n,)): The caller's argument.
        name (`str`): Its name, for messages.
        allow_nan (`bool`, defaults to `False`): Whether nan is accepted as an undefined value.

    Returns:
        `ndarray` of shape (n,): The numbers as float64.

    Raises:
        DataError: The argument is empty or not one-dimensional, or an entry is not a finite number or beyond 1e50.
    """
    array = as_numbers(values, name, allow_nan=allow_nan)
    if array.ndim != 1:
        raise DataError(f"{name} must be one number per row, got an array of shape {array.shape}; pass a flat list")
    if array.size == 0:
        raise DataError(f"{name} is empty; at least one row is needed")
    if _all_finite(array):
        return _in_range(array, name)
    bad = np.flatnonzero(~(np.isfinite(array) | (np.isnan(array) if allow_nan else False)))
    if bad.size:
        raise DataError(
            f"{name} has {bad.size} value(s) that are not finite numbers, the first in row {bad[0]}: {array[bad[0]]}; "
            "remove those rows or give them a value"
        )
    return _in_range(array, name)


def matrix(values: ArrayLike, name: str, n_rows: int, n_columns: int, *, allow_nan: bool = False) -> Floats:
    """A two-dimensional array of finite numbers with the expected shape.

    Args:
        values (array-like of shape (n, k)): The caller's argument.
        name (`str`): Its name, for messages.
        n_rows (`int`): Rows needed.
        n_columns (`int`): Columns needed.
        allow_nan (`bool`, defaults to `False`): Whether nan is accepted as a missing value.

    Returns:
        `ndarray` of shape (n, k): The numbers as float64; those below 1e-50 in size beside larger ones are 0.

    Raises:
        DataError: Rows are ragged or the shape is wrong. An entry is not a finite number or beyond 1e50, or a column has only
            entries below 1e-50 in size.
    """
    if not is_array(values):
        values = as_rows(values, name)
        ragged = {type(row) for row in values} - {list, tuple} or {len(row) for row in values} != {n_columns}
        for index, row in enumerate(values if ragged else ()):
            width = len(row) if isinstance(row, (list, tuple, np.ndarray)) else None
            if width != n_columns:
                given = "a single value" if width is None else f"{width} value(s)"
                raise DataError(f"{name} row {index} has {given}, but {n_columns} feature name(s) were given")
    array = as_numbers(values, name, allow_nan=allow_nan)
    if array.shape != (n_rows, n_columns):
        raise DataError(f"{name} has shape {array.shape}, but ({n_rows}, {n_columns}) is needed: rows by feature names")
    if _ordinary(array):
        return array
    if _all_finite(array):
        return without_vanishing(_in_range(array, name), name)
    bad = np.argwhere(~(np.isfinite(array) | (np.isnan(array) if allow_nan else False)))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"{name} has {len(bad)} value(s) that are not finite numbers, the first in row {row}, column {column}: "
            f"{array[row, column]}; leave out rows with missing labels"
        )
    return without_vanishing(_in_range(array, name), name)


def without_vanishing(array: Floats, name: str) -> Floats:
    """The numbers, with 0 in place of those far below the rest of their column, whose products vanish.

    Args:
        array (`ndarray` of shape (n,) or (n, k)): Finite numbers; nan marks a missing one.
        name (`str`): Name of the argument, for messages.

    Returns:
        `ndarray` of the same shape: The numbers; those below 1e-50 in size are 0.

    Raises:
        DataError: A column holds only zeros and numbers below 1e-50 in size, so that its scale cannot be computed with.
    """
    vanishing = (np.abs(array) < SMALLEST) & (array != 0)
    if not vanishing.any():
        return array
    columns = array if array.ndim > 1 else array[:, None]
    largest = np.fmax.reduce(np.abs(columns), axis=0)
    lost = np.flatnonzero((largest > 0) & (largest < SMALLEST))
    if lost.size:
        row = int(np.flatnonzero(vanishing.reshape(columns.shape)[:, lost[0]])[0])
        where = f"row {row}, column {lost[0]}" if array.ndim > 1 else f"row {row}"
        raise DataError(
            f"{name} has only numbers below {SMALLEST:g} in size, the first in {where}: {columns[row, lost[0]]:g}; the "
            "statistics would vanish. Multiply the column by its scale, or correct the values"
        )
    return np.where(vanishing, 0.0, array)


def indicator(values: ArrayLike, name: str) -> Bools:
    """A one-dimensional array of truth values, from bools or from 0 and 1.

    Args:
        values (array-like of shape (n,)): The caller's argument.
        name (`str`): Its name, for messages.

    Returns:
        `ndarray` of shape (n,): The truth values.

    Raises:
        DataError: An entry is neither 0 nor 1.
    """
    array = finite(values, name)
    bad = np.flatnonzero((array != 0) & (array != 1))
    if bad.size:
        raise DataError(f"{name} must be true or false (1 or 0); row {bad[0]} is {array[bad[0]]:g}")
    return array.astype(bool)


def group_codes(groups: Sequence[Any] | NDArray[Any], name: str) -> Codes:
    """Number the groups 0, 1, ... in order of first appearance.

    Args:
        groups (sequence of shape (n,)): Group of each row, e.g. prompt ids; all strings or all whole numbers.
        name (`str`): Name of the argument, for messages.

    Returns:
        `ndarray` of shape (n,): Integer code of each row's group.

    Raises:
        DataError: A group is missing (None, nan or masked), or the argument is empty or not one-dimensional. Groups are of
            several types, so that 1, 1.0, True and "1" might be one group.
    """
    array = group_values(groups, name)
    try:
        codes = _number(array)
    except TypeError as error:
        raise DataError(f"{name} holds a value that cannot be a group: {error}; give strings or numbers") from error
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise DataError(f"{name} row {row} is {array[row]}; every row needs a group, such as its prompt's id")
    if array.dtype.kind == "f" and np.abs(array).max() >= EXACT:
        row = int(np.flatnonzero(np.abs(array) >= EXACT)[0])
        raise DataError(
            f"{name} row {row} is {array[row]!r}, a float beyond 2^53, where ids are rounded; give whole numbers or strings"
        )
    if array.dtype.kind == "O":
        check_one_kind(array, name)
    return codes


def _number(array: NDArray[Any]) -> Codes:
    """Codes in order of first appearance, without a hash table for whole numbers that increase."""
    half = len(array) // 2
    if array.dtype.kind in "iu":
        if (array[1:] > array[:-1]).all():
            return np.arange(len(array))
        # Chosen texts and then the rejected ones, as pairs are stacked.
        if len(array) == 2 * half and (array[:half] == array[half:]).all():
            return np.tile(_number(array[:half]), 2)
    return pd.factorize(array)[0].astype(np.int64)


def same_length(**arrays: Floats | Bools | Codes) -> int:
    """The common length of named arrays.

    Returns:
        `int`: Number of rows.

    Raises:
        DataError: The lengths differ; the message gives each.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError("arguments differ in length: " + ", ".join(f"{name} has {n}" for name, n in lengths.items()))
    return next(iter(lengths.values()))


def is_empty(values: object) -> bool:
    """Whether a caller's argument is a list or an array without entries; a single value is not."""
    return isinstance(values, Sized) and getattr(values, "shape", None) != () and len(values) == 0


def unique_names(names: Sequence[str], name: str = "feature_names") -> tuple[str, ...]:
    """Feature names as distinct strings.

    Raises:
        DataError: An entry is not a string, a name occurs twice, the list is empty or without order, or it is one string.
    """
    if isinstance(names, str):
        raise DataError(f"{name} is the text {names!r}; give a list of names, such as [{names!r}]")
    rows = as_rows(names, name)
    for index, entry in enumerate(rows):
        if not isinstance(entry, str):
            raise DataError(f"{name} entry {index} is {entry!r} ({type(entry).__name__}); a name is a string")
    listed = tuple(map(str, rows))
    repeated = sorted({entry for entry in listed if listed.count(entry) > 1})
    if repeated:
        raise DataError(f"{name} holds {', '.join(repeated)} more than once; names must be distinct")
    if not listed:
        raise DataError(f"{name} is empty; name at least one feature")
    return listed


def position_of(baseline: str | None, models: Sequence[str]) -> int | None:
    """Position of the model that the others are compared with; `None` without one.

    Raises:
        DataError: It is none of the models.
    """
    if baseline is None:
        return None
    if baseline not in models:
        raise DataError(f"baseline is {baseline!r:.60}; the models are {', '.join(map(str, models))}")
    return list(models).index(baseline)


def confidence_level(confidence: float) -> float:
    """A confidence level strictly between 0 and 1.

    Raises:
        DataError: It is not.
    """
    if not _is_number(confidence) or not 0 < confidence < 1:
        raise DataError(f"confidence must lie between 0 and 1, e.g. 0.95, got {confidence!r}")
    return confidence


def number(value: float, name: str, *, least: float = -math.inf) -> float:
    """A single finite number.

    Args:
        value (`float`): The caller's argument.
        name (`str`): Its name, for messages.
        least (`float`, *optional*): Smallest value allowed.

    Raises:
        DataError: It is not a number, not finite, or below `least`.
    """
    if not _is_number(value) or not least <= value < math.inf:
        floor = "" if least == -math.inf else f" of at least {least:g}"
        raise DataError(f"{name} must be a finite number{floor}, got {value!r}")
    return float(value)


def whole_number(value: int, name: str, *, least: int = 0) -> int:
    """A whole number, such as a number of draws or a seed.

    Args:
        value (`int`): The caller's argument.
        name (`str`): Its name, for messages.
        least (`int`, defaults to 0): Smallest value allowed.

    Raises:
        DataError: It is not a whole number, or below `least`.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise DataError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def one_of(value: str, name: str, options: Sequence[str]) -> str:
    """One of several words.

    Args:
        value (`str`): The caller's argument.
        name (`str`): Its name, for messages.
        options (`Sequence[str]`): The words, such as `get_args` of a `Literal`.

    Raises:
        DataError: It is another word.
    """
    if not isinstance(value, str) or value not in options:
        raise DataError(f"{name} must be one of {list(options)}, got {value!r}")
    return value


def least_information(min_information: float) -> float:
    """A floor on degrees of freedom.

    Raises:
        DataError: It is negative or not a number.
    """
    if not _is_number(min_information) or not 0 <= min_information < math.inf:
        raise DataError(
            f"min_information must be a number of degrees of freedom, at least 0, got {min_information!r}; 1 withholds only "
            "estimates without an error, 4 those that rest on a handful of prompts"
        )
    return min_information


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _ordinary(array: Floats) -> bool:
    """Whether every entry is finite and 0 or of ordinary size, in one pass over blocks that fit the cache."""
    for start in range(0, len(array), _BLOCK):
        size = np.abs(array[start : start + _BLOCK])
        # A comparison with nan is false.
        if not size.max(initial=0.0) <= LARGEST or ((size < SMALLEST) & (size > 0)).any():
            return False
    return True


def _all_finite(array: Floats) -> bool:
    """Whether the sum, a fast test, proves that every entry is finite."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()))


def _in_range(array: Floats, name: str) -> Floats:
    """The numbers, or an error where their products overflow."""
    if array.size and max(np.fmax.reduce(array, axis=None), -np.fmin.reduce(array, axis=None)) > LARGEST:
        place = np.argwhere(np.abs(array) > LARGEST)[0]
        where = f"row {place[0]}" + (f", column {place[1]}" if len(place) > 1 else "")
        raise DataError(
            f"{name} has numbers beyond {LARGEST:g}, the first in {where}: {array[tuple(place)]:g}; "
            "the statistics would overflow. Divide the column by its scale, or correct the value"
        )
    return array

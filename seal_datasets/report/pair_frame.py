"""Columns of a pairs table as arrays of numbers, and arrays as columns, without an object for each value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from datasets import Dataset
from numpy.typing import NDArray

from seal_datasets import schema
from seal_datasets.data.problems import UNUSABLE

REASONS = tuple(sorted(UNUSABLE))
"""Problems that exclude a pair from every estimate; a frame has the place of one of them for each pair, or -1."""


def read_frame(pairs: Dataset, names: Sequence[str]) -> pd.DataFrame:
    """Read columns of pairs for estimates.

    Args:
        pairs (`Dataset`): Canonical pairs.
        names (`Sequence[str]`): Columns to read.

    Returns:
        `DataFrame`: The columns. Prompts are whole numbers in order of first appearance, nan where there is none; problems are
        the place in `REASONS` of the last one that excludes the pair, -1 without one.

    Example:

    ```python
    >>> rows = {"prompt_id": ["b", "a", "b"], "problems": [[], ["missing_prompt"], ["tool_turn"]], "reward": [0.5, None, 1.0]}
    >>> read_frame(Dataset.from_dict(rows), list(rows)).to_dict("list")
    {'prompt_id': [0, 1, 0], 'problems': [-1, 1, -1], 'reward': [0.5, nan, 1.0]}

    ```
    """
    table = pairs.select_columns(list(names)).with_format("arrow")[:]
    made = {schema.PROMPT_ID: _number, schema.PROBLEMS: _last_reason}
    columns = {name: made[name](table[name]) for name in names if name in made}
    others = table.drop_columns(list(columns)).to_pandas(split_blocks=True)
    return pd.DataFrame({name: columns[name] if name in columns else others[name] for name in names}, copy=False)


def rows_of(frame: pd.DataFrame, used: NDArray[np.bool_]) -> pd.DataFrame:
    """Some of the rows, numbered anew; the frame itself where they are all, which saves a copy."""
    return frame if used.all() else frame[used].reset_index(drop=True)


def as_column(values: Sequence[Any] | NDArray[Any], used: NDArray[np.bool_]) -> pa.Array:
    """Values of some rows as a column of all.

    Args:
        values (sequence of shape (m,)): Values; nan and `None` are missing.
        used (`ndarray` of shape (n,)): Rows that the values belong to, m of them.

    Returns:
        `pyarrow.Array`: Of length n, null elsewhere.

    Example:

    ```python
    >>> as_column(np.array([1.5, np.nan]), np.array([True, False, True])).to_pylist()
    [1.5, None, None]

    ```
    """
    column = pa.array(values, from_pandas=True)
    if used.all():
        return column
    return column.take(pa.array(np.cumsum(used) - 1, mask=~used))


def _number(values: pa.ChunkedArray) -> NDArray[Any]:
    indices = values.dictionary_encode().combine_chunks().indices
    return np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.float64 if indices.null_count else np.int64)


def _last_reason(problems: pa.ChunkedArray) -> NDArray[np.int16]:
    reasons = np.full(len(problems), -1, dtype=np.int16)
    places = pc.index_in(pc.list_flatten(problems).cast(pa.string()), value_set=pa.array(REASONS, pa.string()))
    excluding = pc.is_valid(places)
    rows = pc.list_parent_indices(problems).filter(excluding)
    # Of several values for a row, the last one stays.
    reasons[rows.to_numpy()] = places.filter(excluding).to_numpy()
    return reasons

"""Apply a batch function to a pairs table as a versioned `datasets.map` transform.

`datasets` caches the result of `map` under a hash that includes an imported function by its name only. After an edit of
that function it would silently return stale rows. The cache key here is made from *provenance* and the input's own
fingerprint. Provenance is every value that decides the result: code version, model revision and settings.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import multiprocess  # type: ignore[import-untyped]
import pyarrow as pa  # type: ignore[import-untyped]
from datasets import Dataset, Features, IterableDataset, concatenate_datasets

Pairs = TypeVar("Pairs", Dataset, IterableDataset)
Batch = dict[str, list[Any]]

_ROWS_OF_PROCESS = 10_000


def map_batches(
    pairs: Pairs,
    function: Callable[[Batch], Batch],
    *,
    new_columns: Mapping[str, Any],
    provenance: Mapping[str, object],
    batch_size: int,
    desc: str,
    pure: bool = True,
) -> Pairs:
    """Add columns to a pairs table in batches, without reordering or dropping rows.

    Existing columns of the same names are replaced.

    Args:
        pairs (`Dataset` or `IterableDataset`): The table; a stream stays a stream.
        function (`Callable`): Takes a batch (column to list) and returns the new columns only.
        new_columns (`Mapping[str, Value]`): Types of the columns that `function` returns.
        provenance (`Mapping[str, object]`): Every value that decides the result; JSON-serializable.
        batch_size (`int`): Rows per call.
        desc (`str`): Text beside the progress bar.
        pure (`bool`, defaults to `True`): Whether rows and provenance alone decide the result, so that cached rows are reused
            and several processes share a long table; set it to `False` if an outside service decides.

    Returns:
        `Dataset` or `IterableDataset`: The table with the new columns on the right.

    Example:

    ```python
    >>> from datasets import Dataset, Value
    >>> pairs = Dataset.from_dict({"chosen": ["yes", "no"]})
    >>> longer = map_batches(
    ...     pairs,
    ...     lambda batch: {"length": [len(text) for text in batch["chosen"]]},
    ...     new_columns={"length": Value("int64")}, provenance={"version": 1}, batch_size=10, desc="Measuring",
    ... )
    >>> longer["length"][:]
    [3, 2]

    ```
    """
    overwritten = [name for name in new_columns if pairs.features and name in pairs.features]
    if overwritten:
        pairs = pairs.remove_columns(overwritten)
    features = Features({**pairs.features, **new_columns}) if pairs.features else None
    if isinstance(pairs, IterableDataset):
        return pairs.map(function, batched=True, batch_size=batch_size, features=features)
    if not len(pairs):  # `map` adds no columns to a table without rows
        return add_columns(pairs, {name: [] for name in new_columns}, Features(new_columns))
    key = json.dumps(["added", pairs._fingerprint, sorted(new_columns), dict(provenance)], sort_keys=True)
    fingerprint = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    # The other columns are not written again.
    added = pairs.map(
        function,
        batched=True,
        batch_size=batch_size,
        remove_columns=pairs.column_names,
        features=Features(new_columns),
        desc=desc,
        new_fingerprint=fingerprint,
        load_from_cache_file=pure,
        num_proc=n_processes(pairs) if pure else None,
    )
    return concatenate_datasets([pairs, added], axis=1)


def n_processes(pairs: Dataset) -> int | None:
    """How many processes share the rows of a table in `map`; none beside this one if that would not be faster.

    Args:
        pairs (`Dataset`): The table.

    Returns:
        `int`: As many as there are processors that this process may use, and at most one for `_ROWS_OF_PROCESS` rows; or `None`
        for a short table, one in memory, which would be copied, and where processes cannot be forked.
    """
    n = min(_processors(), len(pairs) // _ROWS_OF_PROCESS)
    method = multiprocess.get_start_method(allow_none=True) or multiprocess.get_all_start_methods()[0]
    can_fork = method == "fork" and not multiprocess.current_process().daemon
    return n if n > 1 and can_fork and pairs.cache_files else None


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def arrow_column(pairs: Dataset, name: str) -> pa.ChunkedArray:
    """A column as Arrow holds it, without an object for each value.

    Args:
        pairs (`Dataset`): A table.
        name (`str`): One of its columns.

    Returns:
        `pyarrow.ChunkedArray`: Its values in the order of the table.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> arrow_column(Dataset.from_dict({"length": [3, 2]}), "length").to_pylist()
    [3, 2]

    ```
    """
    return pairs.select_columns([name]).with_format("arrow")[:][name]


def add_columns(pairs: Dataset, columns: Mapping[str, Sequence[object] | pa.Array], types: Features) -> Dataset:
    """Add whole columns on the right of a table, replacing columns of the same names.

    Args:
        pairs (`Dataset`): The table.
        columns (`Mapping[str, Sequence]`): By column name, one value per row; Arrow arrays are taken as they are.
        types (`Features`): Types of these columns, in the order of the result.

    Returns:
        `Dataset`: The table with the columns.

    Example:

    ```python
    >>> from datasets import Dataset, Features, Value
    >>> pairs = Dataset.from_dict({"chosen": ["yes", "no"], "length": [0, 0]})
    >>> add_columns(pairs, {"length": [3, 2]}, Features({"length": Value("int64")}))["length"][:]
    [3, 2]

    ```
    """
    kept = pairs.remove_columns([name for name in types if name in pairs.column_names])
    if not len(pairs):  # `concatenate_datasets` drops tables without rows, and so their columns
        features = Features({**kept.features, **types})
        return Dataset.from_dict({name: [] for name in features}, features=features)
    added = Dataset.from_dict({name: columns[name] for name in types}, features=types)
    return concatenate_datasets([kept, added], axis=1)

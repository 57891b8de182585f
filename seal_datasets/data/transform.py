"""Apply a batch function to a pairs table as a versioned `datasets.map` transform.

`datasets` caches the result of `map` under a hash that includes an imported function by its name only. After an edit of
that function it would silently return stale rows. The cache key here is made from *provenance* and the input's own
fingerprint. Provenance is every value that decides the result: code version, model revision and settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from datasets import Dataset, Features, IterableDataset, concatenate_datasets

Pairs = TypeVar("Pairs", Dataset, IterableDataset)
Batch = dict[str, list[Any]]


def map_batches(
    pairs: Pairs,
    function: Callable[[Batch], Batch],
    *,
    new_columns: Mapping[str, Any],
    provenance: Mapping[str, object],
    batch_size: int,
    desc: str,
    reuse_cache: bool = True,
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
        reuse_cache (`bool`, defaults to `True`): Whether to use rows cached under the same provenance; set it to
            `False` if an outside service decides the result.

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
    key = json.dumps([pairs._fingerprint, sorted(new_columns), dict(provenance)], sort_keys=True)
    fingerprint = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    return pairs.map(
        function,
        batched=True,
        batch_size=batch_size,
        features=features,
        desc=desc,
        new_fingerprint=fingerprint,
        load_from_cache_file=reuse_cache,
    )


def add_columns(pairs: Dataset, columns: Mapping[str, Sequence[object]], types: Features) -> Dataset:
    """Add whole columns on the right of a table, replacing columns of the same names.

    Args:
        pairs (`Dataset`): The table.
        columns (`Mapping[str, Sequence]`): By column name, one value per row.
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

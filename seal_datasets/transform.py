"""Apply a batch function to a pairs table as a versioned `datasets.map` transform.

`datasets` caches the result of `map` under a hash that sees an imported function by its name only: after an edit,
stale rows come back without a word. So the cache key here is made from *provenance*, the values that decide the result
(code version, model revision, settings), and from the input's own fingerprint: what changes the result changes the key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from datasets import Dataset, Features, IterableDataset

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
    """Add columns to a pairs table, batch by batch, without reordering or dropping rows.

    Columns of the same names from an earlier run are replaced.

    Args:
        pairs (`Dataset` or `IterableDataset`): The table; a stream stays a stream.
        function (`Callable`): Takes a batch (column to list) and returns the new columns only.
        new_columns (`Mapping[str, Value]`): Types of the columns that `function` returns.
        provenance (`Mapping[str, object]`): Every value that decides the result; JSON-ready.
        batch_size (`int`): Rows per call.
        desc (`str`): Text beside the progress bar.
        reuse_cache (`bool`, defaults to `True`): Whether rows cached under the same provenance may be taken; not where
            an outside service decides the result.

    Returns:
        `Dataset` or `IterableDataset`: The table with the new columns at its right.

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
    if not len(pairs) and features is not None:  # `map` adds no columns to a table without rows
        return Dataset.from_dict({name: [] for name in features}, features=features)
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

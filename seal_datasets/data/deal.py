"""Deal the rows of a stream of Parquet files to processes: each reads row groups of its own, and knows their rows' numbers."""

from __future__ import annotations

from collections.abc import Sequence

import fsspec  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from datasets import IterableDataset

from seal_datasets.errors import DataError

Part = tuple[int, int]
"""Number of a run of row groups, from 0, and how many runs there are."""


class NotDealtError(DataError):
    """A stream that one process has to read for all."""


def deal_rows(rows: IterableDataset, files: Sequence[str], part: Part) -> tuple[IterableDataset, int]:
    """Take one of several runs of row groups, which follow one another and are about equally many.

    Args:
        rows (`IterableDataset`): A stream of all rows.
        files (`Sequence[str]`): The Parquet files that it reads, in order: paths, or addresses that `fsspec` knows.
        part (`Part`): The run.

    Returns:
        `tuple[IterableDataset, int]`: The rows of the run, and the number of its first row in the whole stream.

    Raises:
        NotDealtError: The stream is not one of Parquet files, or has fewer row groups than runs are wanted.
        DataError: There is no run of that number.

    Example:

    ```python
    >>> import pyarrow as pa
    >>> from datasets import load_dataset
    >>> path = str(getfixture("tmp_path") / "rows.parquet")
    >>> pq.write_table(pa.table({"n": range(10)}), path, row_group_size=3)
    >>> rows, first = deal_rows(load_dataset("parquet", data_files=path, split="train", streaming=True), [path], (1, 2))
    >>> [row["n"] for row in rows], first
    ([6, 7, 8, 9], 6)

    ```
    """
    index, n_parts = part
    if not 0 <= index < n_parts:
        raise DataError(f"there is no run {index} of {n_parts}; runs are numbered from 0")
    if not files or not hasattr(rows, "reshard"):
        raise NotDealtError("only a stream of Parquet files is dealt to processes")
    sizes = [size for file in files for size in _row_groups(file)]
    if len(sizes) < n_parts:
        raise NotDealtError(f"the stream has {len(sizes)} row groups, fewer than {n_parts} processes")
    groups = rows.reshard()
    if groups.num_shards != len(sizes):
        raise NotDealtError(f"the stream has {groups.num_shards} parts, and its files have {len(sizes)} row groups")
    # As `IterableDataset.shard` deals: the first runs have one group more where they cannot be equal.
    each, more = divmod(len(sizes), n_parts)
    start = each * index + min(index, more)
    return groups.shard(num_shards=n_parts, index=index, contiguous=True), sum(sizes[:start])


def _row_groups(file: str) -> list[int]:
    """Numbers of rows of a file's row groups, from its footer; none of a file without rows, which is not read."""
    with fsspec.open(file) as opened, pq.ParquetFile(opened) as parquet:
        about = parquet.metadata
        return [about.row_group(group).num_rows for group in range(about.num_row_groups if about.num_rows else 0)]

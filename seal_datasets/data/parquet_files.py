"""Check Parquet files before they are read: whole, with text that is text, and with column names that can be written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from seal_datasets.errors import DataError


def check_parquet(path: Path) -> pa.Schema:
    """Read a Parquet file once, and raise where it is cut, damaged, or holds text that is no UTF-8.

    Args:
        path (`Path`): The file.

    Returns:
        `pyarrow.Schema`: Its columns and their types.

    Raises:
        DataError: It cannot be read; the message names column and row where they are known.
    """
    n_rows = 0
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            for batch in file.iter_batches():
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    _check_column(path, name, column, n_rows)
                n_rows += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"{path} is not an intact Parquet file ({why}); copy or download it again") from error
    release_memory()
    if odd := [name for name in schema.names if "\0" in name]:
        raise DataError(f"{path}: the column name {odd[0]!r} holds a NUL character; rename the column")
    if repeated := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise DataError(f"{path}: the column {repeated[0]!r} is there twice; rename one of them")
    return schema


def release_memory() -> None:
    """Give back to the system what Arrow keeps of memory after reading a large file, for its next one."""
    pa.default_memory_pool().release_unused()


def _check_column(path: Path, name: str, column: pa.Array, before: int) -> None:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{path}: column {name!r}, in rows {before:,} to {before + len(column) - 1:,}, holds bytes that are not "
            f"{column.type} ({reason}); write the file again with text in UTF-8"
        ) from error

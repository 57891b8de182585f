"""Read local data files as rows, or report what is wrong with them and in which line.

JSON and CSV are read value by value. A loader that guesses types would turn a response "2020-01-01" into a timestamp and
a response "None" into a null. The rows are memory-mapped in the `datasets` cache, under the hash of the files' content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
from datasets import Dataset, IterableDataset, load_dataset
from datasets.exceptions import DatasetGenerationError

from seal_datasets.data.deal import NotDealtError, Part
from seal_datasets.data.parquet_files import check_parquet, release_memory
from seal_datasets.data.raw_files import sha256
from seal_datasets.data.row_file import cached_rows, streamed_rows
from seal_datasets.errors import DataError

_KINDS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


def file_kind(path: Path) -> str | None:
    """The format by the file's name: `json`, `csv` or `parquet`; `None` for any other."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    last = (suffixes[:-1] if zipped else suffixes)[-1:]
    kind = _KINDS.get(last[0] if last else "")
    return None if zipped and kind == "parquet" else kind


def load_files(
    paths: Sequence[Path], *, streaming: bool, part: Part | None = None
) -> tuple[Dataset | IterableDataset, str, tuple[str, ...]]:
    """Open data files as one dataset, the files in the given order.

    JSON and CSV files are checked as a whole before anything is returned, also when streaming. A stream is read once for its
    types and again for its rows.

    Args:
        paths (`Sequence[Path]`): `.jsonl`, `.ndjson`, `.json`, `.csv` and `.tsv` files, each also as `.gz`; or `.parquet`.
        streaming (`bool`): Whether to return an `IterableDataset`.
        part (`Part`, *optional*): What will be taken of the stream. Only for the first part, or without any, Parquet files are
            hashed and read as a whole first.

    Returns:
        `tuple[Dataset | IterableDataset, str, tuple[str, ...]]`: The rows, the SHA-256 of the file (of the files' hashes
        if there are several), and the columns that are stored as JSON text.

    Raises:
        DataError: A file is missing, unreadable, truncated, empty, or not in the format of its name.
        NotDealtError: A part is wanted of files that are no Parquet files.
    """
    kinds = {_checked_kind(path) for path in paths}
    if len(kinds) > 1:
        raise DataError(f"{paths[0].parent} mixes files of the kinds {sorted(kinds)}; give files of one kind")
    (kind,) = kinds
    if part is not None and kind != "parquet":
        raise NotDealtError("only a stream of Parquet files is dealt to processes")
    if part is not None and part[0] > 0:
        return _open_parquet(paths, streaming), "", ()
    hashes = [sha256(path) for path in paths]
    digest = hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    if kind == "parquet":
        return _load_parquet(paths, streaming), digest, ()
    rows, as_text = streamed_rows(paths, kind) if streaming else cached_rows(paths, kind, digest)
    return rows, digest, as_text


def _checked_kind(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"there is no file {path.absolute()}; check the path (relative to the current folder)")
    kind = file_kind(path)
    if kind is None:
        raise DataError(
            f"{path} is not a supported data file: give .jsonl, .ndjson, .json, .csv, .tsv (each also as .gz) or .parquet"
        )
    return kind


def _load_parquet(paths: Sequence[Path], streaming: bool) -> Dataset | IterableDataset:
    n_rows = 0
    for path in paths:
        check_parquet(path)
        with pa.parquet.ParquetFile(path) as file:
            n_rows += file.metadata.num_rows
    if n_rows == 0:
        raise DataError(f"{paths[0]} has columns but no rows; needed is at least one pair")
    rows = _open_parquet(paths, streaming)
    release_memory()
    return rows


def _open_parquet(paths: Sequence[Path], streaming: bool) -> Dataset | IterableDataset:
    try:
        # A reader of streams stumbles over files without rows.
        files = [str(path.absolute()) for path in paths if pa.parquet.read_metadata(path).num_rows]
        return load_dataset("parquet", data_files=files, split="train", streaming=streaming)
    except DatasetGenerationError as error:
        raise DataError(
            f"{paths[0]} is not an intact Parquet file ({error.__cause__}); copy or download it again"
        ) from error

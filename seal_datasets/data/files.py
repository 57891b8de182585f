"""Read local data files as rows, or report what is wrong with them and in which line.

JSON and CSV are read value by value. A loader that guesses types would turn a response "2020-01-01" into a timestamp and
a response "None" into a null. The rows are memory-mapped in the `datasets` cache, under the hash of the files' content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
from datasets import Dataset, Features, IterableDataset, Json, Value, load_dataset
from datasets.exceptions import DatasetGenerationError

from seal_datasets.data.csv_rows import cell_type, csv_rows, read_cell
from seal_datasets.data.formats import KNOWN_COLUMNS, TEXT_COLUMNS
from seal_datasets.data.json_rows import json_rows
from seal_datasets.data.parquet_files import check_parquet
from seal_datasets.data.raw_files import sha256
from seal_datasets.data.storage import unstorable
from seal_datasets.errors import DataError

READ_VERSION = "2"

Row = dict[str, Any]
_BATCH = 1000
_KINDS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


def file_kind(path: Path) -> str | None:
    """The format by the file's name: `json`, `csv` or `parquet`; `None` for any other."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    last = (suffixes[:-1] if zipped else suffixes)[-1:]
    kind = _KINDS.get(last[0] if last else "")
    return None if zipped and kind == "parquet" else kind


def load_files(paths: Sequence[Path], *, streaming: bool) -> tuple[Dataset | IterableDataset, str, tuple[str, ...]]:
    """Open data files as one dataset, the files in the given order.

    JSON and CSV files are checked as a whole before anything is returned, also when streaming. They are read once for their
    types and again for their rows.

    Args:
        paths (`Sequence[Path]`): `.jsonl`, `.ndjson`, `.json`, `.csv` and `.tsv` files, each also as `.gz`; or `.parquet`.
        streaming (`bool`): Whether to return an `IterableDataset`.

    Returns:
        `tuple[Dataset | IterableDataset, str, tuple[str, ...]]`: The rows, the SHA-256 of the file (of the files' hashes
        if there are several), and the columns that are stored as JSON text.

    Raises:
        DataError: A file is missing, unreadable, truncated, empty, or not in the format of its name.
    """
    kinds = {_checked_kind(path) for path in paths}
    if len(kinds) > 1:
        raise DataError(f"{paths[0].parent} mixes files of the kinds {sorted(kinds)}; give files of one kind")
    (kind,) = kinds
    hashes = [sha256(path) for path in paths]
    digest = hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    if kind == "parquet":
        return _load_parquet(paths, streaming), digest, ()
    features = _infer_features(paths, kind)
    as_json = tuple(name for name, type in features.items() if isinstance(type, Json))
    stored = Features({name: Value("string") if _only_kept(name, type) else type for name, type in features.items()})
    # Tuples, because `datasets` treats a list among a generator's arguments as a list of shards.
    settings = {
        "paths": tuple(str(path.absolute()) for path in paths),
        "kind": kind,
        "columns": tuple(features),
        "as_json": as_json,
        "cell_types": tuple(_dtype(stored[name]) for name in features) if kind == "csv" else (),
    }
    as_text = tuple(name for name in as_json if name not in KNOWN_COLUMNS)
    if streaming:
        rows = IterableDataset.from_generator(_generate_rows, features=stored, gen_kwargs=settings)
        return rows, digest, as_text
    content = json.dumps([digest, READ_VERSION, kind, str(stored)])
    fingerprint = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    return (
        Dataset.from_generator(_generate_rows, features=stored, gen_kwargs=settings, fingerprint=fingerprint),
        digest,
        as_text,
    )


def _dtype(kind: object) -> str:
    return str(kind.dtype) if isinstance(kind, Value) else ""


def _only_kept(name: str, kind: object) -> bool:
    return isinstance(kind, Json) and name not in KNOWN_COLUMNS


def _checked_kind(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"there is no file {path.absolute()}; check the path (relative to the current folder)")
    kind = file_kind(path)
    if kind is None:
        raise DataError(
            f"{path} is not a supported data file: give .jsonl, .ndjson, .json, .csv, .tsv (each also as .gz) or .parquet"
        )
    return kind


def _generate_rows(
    paths: tuple[str, ...], kind: str, columns: tuple[str, ...], as_json: tuple[str, ...], cell_types: tuple[str, ...]
) -> Iterator[Row]:
    for row in _located_rows(map(Path, paths), kind):
        values = {name: row.get(name) for name in columns}
        for name, dtype in zip(columns, cell_types, strict=bool(cell_types)):
            values[name] = read_cell(values[name], dtype)
        for name in as_json:
            # Encoded here: `Json` would keep a text that is JSON itself, such as "3", as the number.
            values[name] = None if values[name] is None else json.dumps(values[name], ensure_ascii=False)
        yield values


def _located_rows(paths: Iterable[Path], kind: str) -> Iterator[Row]:
    for path in paths:
        yield from csv_rows(path) if kind == "csv" else json_rows(path)


def _load_parquet(paths: Sequence[Path], streaming: bool) -> Dataset | IterableDataset:
    n_rows = 0
    for path in paths:
        check_parquet(path)
        with pa.parquet.ParquetFile(path) as file:
            n_rows += file.metadata.num_rows
    if n_rows == 0:
        raise DataError(f"{paths[0]} has columns but no rows; needed is at least one pair")
    try:
        files = [str(path.absolute()) for path in paths]
        return load_dataset("parquet", data_files=files, split="train", streaming=streaming)
    except DatasetGenerationError as error:
        raise DataError(
            f"{paths[0]} is not an intact Parquet file ({error.__cause__}); copy or download it again"
        ) from error


def _infer_features(paths: Sequence[Path], kind: str) -> Features:
    """Types of all columns over all rows; a column whose values no Arrow type holds is JSON."""
    types: dict[str, pa.DataType | None] = {}
    rows = _located_rows(paths, kind)
    n_rows = 0
    while batch := list(islice(rows, _BATCH)):
        n_rows += len(batch)
        for name in dict.fromkeys(name for row in batch for name in row):
            known = types.get(name, pa.null())
            values = [row.get(name) for row in batch]
            if kind == "csv":
                types[name] = pa.string() if name in TEXT_COLUMNS else cell_type(known, values)
            else:
                types[name] = None if known is None else _widen(known, values)
    if n_rows == 0:
        raise DataError(f"{paths[0]} is empty; needed is at least one row")
    fields = {name: type for name, type in types.items() if type is not None}
    features = Features.from_arrow_schema(pa.schema(fields.items()))
    return Features(
        {name: Json() if name not in fields or unstorable(features[name]) else features[name] for name in types}
    )


def _widen(known: pa.DataType, values: list[Any]) -> pa.DataType | None:
    """The type that holds values of a known type and these; `None` if there is none."""
    try:
        schemas = [pa.schema([("column", known)]), pa.schema([("column", pa.array(values).type)])]
        return pa.unify_schemas(schemas, promote_options="permissive").field("column").type
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return None

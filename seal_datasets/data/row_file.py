"""Rows of JSON and CSV files as one memory-mapped Arrow file in the cache of `datasets`, read and typed in one pass."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
from datasets import Dataset, Features, IterableDataset, Json, Split, config

from seal_datasets.atomic import replacing
from seal_datasets.data.csv_rows import csv_rows
from seal_datasets.data.formats import KNOWN_COLUMNS, TEXT_COLUMNS
from seal_datasets.data.json_rows import json_rows
from seal_datasets.data.row_types import Row, RowTypes
from seal_datasets.errors import DataError

READ_VERSION = "3"

_BATCH = 1000
_AS_TEXT = b"seal_datasets: columns stored as JSON text"


def cached_rows(paths: Sequence[Path], kind: str, digest: str) -> tuple[Dataset, tuple[str, ...]]:
    """Read files, or take what an earlier call read.

    Args:
        paths (`Sequence[Path]`): Files of one kind.
        kind (`str`): `json` or `csv`.
        digest (`str`): Hash of their content.

    Returns:
        `tuple[Dataset, tuple[str, ...]]`: The rows, and the columns that are stored as JSON text.

    Raises:
        DataError: A file is damaged or empty, or the cache cannot be written.
    """
    key = json.dumps([digest, READ_VERSION, kind, sorted(KNOWN_COLUMNS), sorted(TEXT_COLUMNS)])
    fingerprint = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    place = Path(config.HF_DATASETS_CACHE, "seal_datasets", fingerprint, "rows.arrow")
    if not place.is_file():
        with replacing(place) as unfinished:
            types = RowTypes(kind)
            if not _write_while_typing(unfinished, paths, kind, types):
                _write(unfinished, _batches(paths, kind), types)
    with pa.OSFile(str(place)) as file, pa.ipc.open_stream(file) as stream:
        as_text = tuple(json.loads(stream.schema.metadata[_AS_TEXT]))
    rows = Dataset.from_file(str(place), split=Split.TRAIN)
    rows._fingerprint = fingerprint
    return rows, as_text


def streamed_rows(paths: Sequence[Path], kind: str) -> tuple[IterableDataset, tuple[str, ...]]:
    """Read files once for their types, and again as a stream.

    Args:
        paths (`Sequence[Path]`): Files of one kind.
        kind (`str`): `json` or `csv`.

    Returns:
        `tuple[IterableDataset, tuple[str, ...]]`: The rows, and the columns that are stored as JSON text.

    Raises:
        DataError: A file is damaged or empty.
    """
    types = RowTypes(kind)
    for batch in _batches(paths, kind):
        types.widen(batch)
    # A tuple, because `datasets` treats a list among a generator's arguments as a list of shards.
    settings = {"paths": tuple(str(path.absolute()) for path in paths), "kind": kind, "types": types}
    return IterableDataset.from_generator(_generate_rows, features=types.stored, gen_kwargs=settings), types.as_text


def _generate_rows(paths: tuple[str, ...], kind: str, types: RowTypes) -> Iterator[Row]:
    for batch in _batches([Path(path) for path in paths], kind):
        columns = types.columns(batch)
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


def _batches(paths: Sequence[Path], kind: str) -> Iterator[list[Row]]:
    rows = (row for path in paths for row in (csv_rows(path) if kind == "csv" else json_rows(path)))
    batch = list(islice(rows, _BATCH))
    if not batch:
        raise DataError(f"{paths[0]} is empty; needed is at least one row")
    while batch:
        yield batch
        batch = list(islice(rows, _BATCH))


def _write_while_typing(place: Path, paths: Sequence[Path], kind: str, types: RowTypes) -> bool:
    """Write rows in the types of the first ones; whether these are the types of all rows, which are known then."""
    batches = _batches(paths, kind)
    first = next(batches)
    types.widen(first)

    def while_steady() -> Iterator[list[Row]]:
        yield first
        for batch in batches:
            if types.widen(batch):
                return
            yield batch

    written = RowTypes(kind)
    written.widen(first)
    _write(place, while_steady(), written)
    is_steady = bool(types.features == written.features)
    for batch in batches:
        types.widen(batch)
    return is_steady


def _write(place: Path, batches: Iterable[list[Row]], types: RowTypes) -> None:
    features = types.stored
    schema = features.arrow_schema
    schema = schema.with_metadata({**(schema.metadata or {}), _AS_TEXT: json.dumps(types.as_text).encode()})
    with pa.OSFile(str(place), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            columns = types.columns(batch)
            arrays = [_array(features, name, schema.field(name).type, values) for name, values in columns.items()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _array(features: Features, name: str, type: pa.DataType, values: list[Any]) -> pa.Array:
    if isinstance(features[name], Json):
        return pa.array(features.encode_column(values, name), type.storage_type).cast(type)
    try:
        return pa.array(values, type)
    except pa.ArrowException:  # a whole number that a column of fractions holds rounded
        return pa.array(features.encode_column(values, name), type)

"""Read a local data file as rows, or report what is wrong with it and in which line.

JSON and CSV are read value by value. A loader that guesses types would turn a response "2020-01-01" into a timestamp and
a response "None" into a null. The rows are memory-mapped in the `datasets` cache, under the hash of the file's content.
"""

from __future__ import annotations

import bisect
import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
from datasets import Dataset, Features, IterableDataset, load_dataset
from datasets.exceptions import DatasetGenerationError

from seal_datasets.errors import DataError

READ_VERSION = "1"

Row = dict[str, Any]
_BATCH = 1000


def file_kind(path: Path) -> str | None:
    """The format by the file's name: `json`, `csv` or `parquet`; `None` for any other."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    last = (suffixes[:-1] if zipped else suffixes)[-1:]
    kind = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}.get(last[0] if last else "")
    return None if zipped and kind == "parquet" else kind


def load_file(path: Path, *, text_columns: frozenset[str], streaming: bool) -> tuple[Dataset | IterableDataset, str]:
    """Open a data file as a dataset.

    A JSON or CSV file is checked as a whole before anything is returned, also when streaming. It is read once for its
    types and again for its rows.

    Args:
        path (`Path`): A `.jsonl`, `.json` or `.csv` file, each also as `.gz`, or a `.parquet` file.
        text_columns (`frozenset[str]`): CSV columns to read as text even if every cell looks like a number.
        streaming (`bool`): Whether to return an `IterableDataset`.

    Returns:
        `tuple[Dataset | IterableDataset, str]`: The rows in file order, and the SHA-256 of the file.

    Raises:
        DataError: The file is missing, unreadable, truncated, empty, not in the format of its name, or mixes types in a column.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path.absolute()}; check the path (relative to the current folder)")
    kind = file_kind(path)
    if kind is None:
        raise DataError(f"{path} is not a supported data file: give .jsonl, .json, .csv (each also as .gz) or .parquet")
    with _reading(path):
        digest = _sha256(path)
    if kind == "parquet":
        return _load_parquet(path, streaming), digest
    columns = text_columns if kind == "csv" else frozenset()
    features = _infer_features(path, kind, columns)
    # Tuples, because `datasets` treats a list among a generator's arguments as a list of shards.
    settings = {
        "path": str(path.absolute()),
        "kind": kind,
        "text_columns": tuple(sorted(columns)),
        "columns": tuple(features),
    }
    if streaming:
        return IterableDataset.from_generator(_generate_rows, features=features, gen_kwargs=settings), digest
    content = json.dumps([digest, READ_VERSION, kind, sorted(columns), str(features)])
    fingerprint = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    rows = Dataset.from_generator(_generate_rows, features=features, gen_kwargs=settings, fingerprint=fingerprint)
    return rows, digest


def _generate_rows(path: str, kind: str, text_columns: tuple[str, ...], columns: tuple[str, ...]) -> Iterator[Row]:
    for _, row in _located_rows(Path(path), kind, frozenset(text_columns)):
        yield {name: row.get(name) for name in columns}


def _located_rows(path: Path, kind: str, text_columns: frozenset[str]) -> Iterator[tuple[str, Row]]:
    return _csv_rows(path, text_columns) if kind == "csv" else _json_rows(path)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise DataError(f"{path} is truncated: its gzip stream ends too early; copy or download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not an intact gzip file ({error}); copy or download it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def _json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Rows of JSON Lines, a JSON array or an AnnotatedPairs object, each with its place in the file."""
    with _reading(path), _open(path) as file:
        started = False
        for number, line in enumerate(file, start=1):
            raw = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not raw.strip():
                continue
            if not started and raw.lstrip().startswith(b"["):
                yield from _array_rows(path, raw + file.read(), number)
                return
            if not started and (document := _annotated_pairs(raw, file)) is not None:
                yield from _comparison_rows(path, document)
                return
            started = True
            yield f"line {number}", _as_object(path, _parse_json(path, raw, number), f"line {number}")


def _annotated_pairs(first: bytes, file: BinaryIO) -> Row | None:
    """The document, if the file is an AnnotatedPairs document of Feedback Forensics; else `None`."""
    place = file.tell()
    try:
        document = json.loads(first)
    except ValueError:
        try:
            document = json.loads(first + file.read())
        except ValueError:
            document = None
        file.seek(place)
    return document if isinstance(document, dict) and {"annotators", "comparisons"} <= document.keys() else None


def _comparison_rows(path: Path, document: Row) -> Iterator[tuple[str, Row]]:
    """Comparisons with the default annotator's `preference`, and all annotations as one list."""
    try:
        default = document["metadata"]["default_annotator"]
        annotators = {
            key: annotator.get("name") or annotator.get("description")
            for key, annotator in document["annotators"].items()
        }
        for position, comparison in enumerate(document["comparisons"]):
            by_annotator = comparison["annotations"]
            annotations = [
                {
                    "annotator": annotators.get(key, key),
                    "pref": annotation.get("pref"),
                    "no_pref_reason": annotation.get("no_pref_reason"),
                }
                for key, annotation in by_annotator.items()
            ]
            preference = by_annotator.get(default, {}).get("pref")
            yield f"comparison {position}", {**comparison, "preference": preference, "annotations": annotations}
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} has 'annotators' and 'comparisons' but is not an AnnotatedPairs document of version 2 (wrong or missing: "
            f"{error}); export it again with Feedback Forensics"
        ) from error


def _array_rows(path: Path, raw: bytes, first_line: int) -> Iterator[tuple[str, Row]]:
    for position, value in enumerate(cast(list[object], _parse_json(path, raw, first_line))):
        place = f"item {position} of the array"
        yield place, _as_object(path, value, place)


def _parse_json(path: Path, raw: bytes, first_line: int) -> object:
    try:
        parsed: object = json.loads(raw.decode())
    except UnicodeDecodeError as error:
        line = first_line + raw.count(b"\n", 0, error.start)
        raise DataError(
            f"{path}, line {line}: not UTF-8 text ({error.reason}); save the file in UTF-8 encoding"
        ) from error
    except json.JSONDecodeError as error:
        is_truncated = error.pos >= len(error.doc.rstrip()) or "Unterminated" in error.msg
        raise DataError(
            f"{path}, line {first_line + error.lineno - 1}: not valid JSON ({error.msg}, column {error.colno}); needed "
            "is one JSON object per line, or one array of objects."
            + (" The text ends too early: is the file truncated?" if is_truncated else "")
        ) from error
    return parsed


def _as_object(path: Path, value: object, place: str) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{path}, {place}: found {type(value).__name__}, needed is an object like {{'chosen': ...}}")
    return value


def _csv_rows(path: Path, text_columns: frozenset[str]) -> Iterator[tuple[str, Row]]:
    table = _read_csv(path, text_columns)
    for batch in table.to_batches(max_chunksize=_BATCH):
        for row in batch.to_pylist():
            yield "", row


def _read_csv(path: Path, text_columns: frozenset[str]) -> pa.Table:
    """Read a CSV file: text stays text, an empty text cell stays `""`, and an empty number is null."""
    with _reading(path), _open(path) as file:
        raw = file.read()
    if not raw.strip():
        raise DataError(f"{path} is empty; needed is a header line and at least one row")
    _check_header(path, raw)
    try:
        return pa.csv.read_csv(
            io.BytesIO(raw),
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=min(len(raw) + 1, 2**31 - 1)),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(text_columns, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path} is not a valid CSV file: {str(error).splitlines()[0]}; needed are a header line, commas, and "
            "double quotes around cells with commas or line breaks, in UTF-8"
        ) from error


def _check_header(path: Path, raw: bytes) -> None:
    header = next(csv.reader(io.StringIO(raw.decode("utf-8-sig", errors="replace"))), [])
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{path} has more than one column named {repeated}; rename the columns so that names differ")


def _load_parquet(path: Path, streaming: bool) -> Dataset | IterableDataset:
    try:
        with pa.parquet.ParquetFile(path) as file:
            n_rows = file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is not an intact Parquet file ({str(error).splitlines()[0]}); copy or download it again"
        ) from error
    if n_rows == 0:
        raise DataError(f"{path} has columns but no rows; needed is at least one pair")
    try:
        return load_dataset("parquet", data_files=str(path.absolute()), split="train", streaming=streaming)
    except DatasetGenerationError as error:
        raise DataError(
            f"{path} is not an intact Parquet file ({error.__cause__}); copy or download it again"
        ) from error


def _infer_features(path: Path, kind: str, text_columns: frozenset[str]) -> Features:
    """Types of all columns over all rows; an error names the place where a column mixes types."""
    types: dict[str, pa.DataType] = {}
    rows = _located_rows(path, kind, text_columns)
    n_rows = 0
    while batch := list(islice(rows, _BATCH)):
        n_rows += len(batch)
        for name in dict.fromkeys(name for _, row in batch for name in row):
            values = [row.get(name) for _, row in batch]
            try:
                types[name] = _widen(types.get(name, pa.null()), values)
            except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
                raise _mixed_types_error(path, name, batch, types.get(name, pa.null())) from error
    if n_rows == 0:
        raise DataError(f"{path} is empty; needed is at least one row")
    return Features.from_arrow_schema(pa.schema(types.items()))


def _widen(known: pa.DataType, values: list[Any]) -> pa.DataType:
    schemas = [pa.schema([("column", known)]), pa.schema([("column", pa.array(values).type)])]
    return pa.unify_schemas(schemas, promote_options="permissive").field("column").type


def _mixed_types_error(path: Path, name: str, batch: list[tuple[str, Row]], known: pa.DataType) -> DataError:
    """The error about the first value of a batch whose type differs from those before it."""
    values = [row.get(name) for _, row in batch]
    first = bisect.bisect_left(range(len(values)), True, key=lambda end: _raises(_widen, known, values[: end + 1]))
    place, value = batch[first][0], values[first]
    before = known if first == 0 else _widen(known, values[:first])
    kind = f"found {type(value).__name__} ({str(value)[:40]!r})"
    if pa.types.is_null(before) or (isinstance(value, str) and pa.types.is_string(before)):
        return DataError(f"{path}, {place}, column {name!r}: {kind}, which cannot be stored as a number or as UTF-8")
    return DataError(
        f"{path}, {place}, column {name!r}: {kind}, but the rows before have {before}; give all rows of a column one "
        "type"
    )


def _raises(function: Callable[..., object], *arguments: object) -> bool:
    try:
        function(*arguments)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return True
    return False

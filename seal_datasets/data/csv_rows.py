"""Rows of a CSV file: text stays text, an empty text cell stays `""`, and an empty number is null."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]

from seal_datasets.data.raw_files import decode, encoding_of, open_bytes, reading
from seal_datasets.errors import DataError

_BATCH = 1000
_DELIMITERS = (",", ";", "\t", "|")
INDEX_COLUMN = "Unnamed: 0"  # as pandas names a column without a name


def csv_rows(path: Path, text_columns: Collection[str]) -> Iterator[dict[str, Any]]:
    """Read the rows of a CSV file.

    Args:
        path (`Path`): A file with a header line; cells are separated by commas, semicolons, tabs or bars, as the header shows.
        text_columns (`Collection[str]`): Columns to read as text even if every cell looks like a number.

    Yields:
        `dict[str, Any]`: Each row by column.

    Raises:
        DataError: The file is empty or not CSV; the message names the line.
    """
    with reading(path), open_bytes(path) as file:
        raw = file.read()
    text = decode(path, raw, encoding_of(raw[:4]))
    if not text.strip():
        raise DataError(f"{path} is empty; needed is a header line and at least one row")
    delimiter, header = _read_header(path, text)
    for batch in _read(path, text, delimiter, header, text_columns).to_batches(max_chunksize=_BATCH):
        yield from batch.to_pylist()


def _read_header(path: Path, text: str) -> tuple[str, list[str]]:
    """The delimiter that gives the header most columns, and the columns' names."""
    end = 1 + max(text.find("\n"), text.find("\r")) or len(text)
    headers = {sign: next(csv.reader(io.StringIO(text[:end]), delimiter=sign), []) for sign in _DELIMITERS}
    delimiter = max(headers, key=lambda sign: len(headers[sign]))
    header = [name or INDEX_COLUMN for name in headers[delimiter]]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{path} has more than one column named {repeated}; rename the columns so that names differ")
    return delimiter, header


def _read(path: Path, text: str, delimiter: str, header: list[str], text_columns: Collection[str]) -> pa.Table:
    raw = text.encode()
    try:
        return pa.csv.read_csv(
            io.BytesIO(raw),
            read_options=pa.csv.ReadOptions(
                use_threads=False, block_size=min(len(raw) + 1, 2**31 - 1), column_names=header, skip_rows=1
            ),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True, delimiter=delimiter),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(text_columns, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path} is not a valid CSV file: {str(error).splitlines()[0]}; needed are a header line, one sign between "
            "cells (a comma, semicolon or tab), and double quotes around cells with that sign or line breaks"
        ) from error

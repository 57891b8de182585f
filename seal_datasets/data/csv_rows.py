"""Rows of a CSV file: text stays text, an empty text cell stays `""`, and an empty number is null."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]

from seal_datasets.data.raw_files import encoding_of, not_text, open_bytes, reading
from seal_datasets.errors import DataError

_DELIMITERS = (",", ";", "\t", "|")
INDEX_COLUMN = "Unnamed: 0"  # as pandas names a column without a name
_MAX_CELL_CHARACTERS = 1 << 28

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")  # 007 is a name, and more digits than these fit no column
_FLOAT = re.compile(r"-?(?:(?:0|[1-9]\d{0,14})(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|nan|-?inf", re.IGNORECASE)
_BOOLEAN = re.compile("true|false", re.IGNORECASE)
# From the narrowest on; a column has the first type that all its cells have.
_TYPES = ((pa.bool_(), _BOOLEAN), (pa.int64(), _INTEGER), (pa.float64(), _FLOAT))


def csv_rows(path: Path) -> Iterator[dict[str, str]]:
    """Read the rows of a CSV file one after another, every cell as text.

    Args:
        path (`Path`): A file with a header line; cells are separated by commas, semicolons, tabs or bars, as the header shows.

    Yields:
        `dict[str, str]`: Each row by column.

    Raises:
        DataError: The file is empty or not CSV; the message names the line.
    """
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    with reading(path), open_bytes(path) as file:
        start = file.read(4)
        file.seek(0)
        lines = io.TextIOWrapper(file, encoding_of(start), newline="")
        try:
            number, first = next(((number, line) for number, line in enumerate(lines, 1) if line.strip()), (0, ""))
            if not first:
                raise DataError(f"{path} is empty; needed is a header line and at least one row")
            delimiter, header = _read_header(path, first)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            for cells in reader:
                if len(cells) not in (0, len(header)):
                    raise DataError(
                        f"{path} is not a valid CSV file: line {reader.line_num + number} has {len(cells)} cells, and the "
                        f"header has {len(header)}; put double quotes around cells with {delimiter!r} or line breaks"
                    )
                if cells:
                    yield dict(zip(header, cells, strict=True))
        except UnicodeDecodeError as error:
            raise _not_text(path) from error
        except csv.Error as error:
            raise DataError(
                f"{path} is not a valid CSV file ({error}); needed are a header line, one sign between cells (a comma, "
                "semicolon or tab), and double quotes around cells with that sign or line breaks"
            ) from error


def _not_text(path: Path) -> DataError:
    """The error that names the first line that is no text; the file is read again, line by line."""
    with open_bytes(path) as file:
        encoding = encoding_of(file.read(4))
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding if number == 1 else encoding.removesuffix("-sig"))
            except UnicodeDecodeError as error:
                return not_text(path, number, error)
    return DataError(f"{path} is not {encoding.upper()} text; save the file in UTF-8 encoding")


def _read_header(path: Path, line: str) -> tuple[str, list[str]]:
    """The delimiter that gives the header most columns, and the columns' names."""
    headers = {sign: next(csv.reader([line], delimiter=sign), []) for sign in _DELIMITERS}
    delimiter = max(headers, key=lambda sign: len(headers[sign]))
    header = [name.removeprefix("\ufeff") or INDEX_COLUMN for name in headers[delimiter]]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{path} has more than one column named {repeated}; rename the columns so that names differ")
    return delimiter, header


def cell_type(known: pa.DataType, cells: Sequence[str | None]) -> pa.DataType:
    """The narrowest type of a column after some more of its cells: bool, int64, float64 or text; null if all are empty."""
    filled = [cell for cell in cells if cell]
    if not filled or pa.types.is_string(known):
        return known
    for kind, pattern in _TYPES:
        if all(pattern.fullmatch(cell) for cell in filled):
            same = pa.types.is_null(known) or known == kind
            if same:
                return kind
            if {kind, known} == {pa.int64(), pa.float64()}:
                return pa.float64()
    return pa.string()


def read_cell(cell: str | None, kind: str) -> object:
    """The value of a cell in a column of a type; an empty cell is null unless the column is text."""
    if kind == "string":
        return cell
    if not cell:
        return None
    if kind == "bool":
        return cell.lower() == "true"
    return int(cell) if kind == "int64" else float(cell)

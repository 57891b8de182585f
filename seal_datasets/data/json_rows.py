"""Rows of a JSON file in any usual layout: lines, one array, objects one after another, or one table as a document."""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from seal_datasets.data.raw_files import encoding_of, not_text, open_bytes, reading
from seal_datasets.errors import DataError
from seal_datasets.escape import replace_half_characters

Row = dict[str, Any]

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ROW_LISTS = ("data", "rows", "examples")
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s,]*")
_LONGEST_TOKEN = len("-Infinity")
_CHUNK_BYTES = 1 << 20
_MAX_VALUE_CHARACTERS = 1 << 28


def json_rows(path: Path) -> Iterator[Row]:
    """Read the rows of a JSON file, a few at a time in memory.

    Args:
        path (`Path`): A file of JSON Lines, of one array, of objects one after another (also over several lines), or of one
            document: `{"data": [...]}`, a table of pandas' `to_json`, or AnnotatedPairs of Feedback Forensics.

    Yields:
        `dict[str, Any]`: Each row; half characters (lone surrogates) in its texts are replaced by U+FFFD.

    Raises:
        DataError: The file is not JSON, or a row is not an object; the message names the place.
    """
    with reading(path), open_bytes(path) as file:
        values = _Values(path, file)
        rows = (_row(path, value, values) for value in values)
        first = next(rows, None)
        if first is None:
            return
        second = None if values.is_array else next(rows, None)
        if second is None and not values.is_array:
            yield from _document_rows(path, first)
            return
        yield first
        if second is not None:
            yield second
        yield from rows


def in_whole_characters(value: object, text: str, start: int = 0, end: int = sys.maxsize) -> object:
    """A value decoded from a part of a JSON text, with U+FFFD for each lone surrogate, which no table can hold."""
    return _replaced(value) if _ESCAPED_SURROGATE.search(text, start, end) else value


class _Values:
    """The JSON values of a file one after another, out of an array if the file begins with one.

    Attributes:
        is_array (`bool`): Whether the values are items of an array.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.is_array = False
        self._path, self._file = path, file
        self._buffer, self._position, self._line = "", 0, 1
        self._start, self._count = 0, 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._has_more = True

    def __iter__(self) -> Iterator[object]:
        self._skip()
        if self._buffer.startswith("[", self._position):
            self.is_array = True
            self._position += 1
        while self._skip():
            if self.is_array and self._buffer[self._position] == "]":
                self._position += 1
                continue
            value, end = self._decode()
            self._start = self._position
            value = in_whole_characters(value, self._buffer, self._position, end)
            self._position, self._count = end, self._count + 1
            yield value

    @property
    def place(self) -> str:
        """Where the latest value is, for messages."""
        return f"item {self._count - 1} of the array" if self.is_array else f"line {self._line_of(self._start)}"

    def _skip(self) -> bool:
        """Go to the next value; whether there is one."""
        while True:
            match = _BETWEEN.match(self._buffer, self._position)
            self._position = match.end() if match else self._position
            if self._position < len(self._buffer):
                return True
            if not self._read(_CHUNK_BYTES):
                return False

    def _decode(self) -> tuple[object, int]:
        while True:
            try:
                return _DECODER.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                # What is read so far may end within a literal, a number or an escape, which is then said to be wrong.
                may_go_on = "Unterminated" in error.msg or error.pos >= len(self._buffer.rstrip()) - _LONGEST_TOKEN
                if may_go_on and len(self._buffer) > _MAX_VALUE_CHARACTERS:
                    line = self._line_of(self._position)
                    raise DataError(
                        f"{self._path}, line {line}: one value has more than {_MAX_VALUE_CHARACTERS:,} characters; "
                        "write one row a line (JSON Lines)"
                    ) from error
                # As much again as there is, so that a long value is not parsed over and over.
                if not (may_go_on and self._read(max(_CHUNK_BYTES, len(self._buffer)))):
                    raise self._not_json(error) from error
            except (ValueError, RecursionError) as error:
                line = self._line_of(self._position)
                raise DataError(
                    f"{self._path}, line {line}: JSON nested too deeply, or with too long a number ({error})"
                ) from error

    def _read(self, n_bytes: int) -> bool:
        """Read on behind the position; whether there was more."""
        raw = self._file.read(n_bytes) if self._has_more else b""
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder(encoding_of(raw[:4]))()
        self._line = self._line_of(self._position)
        self._buffer, self._position = self._buffer[self._position :], 0
        if not self._has_more:
            return False
        self._has_more = bool(raw)
        try:
            self._buffer += self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            line = self._line + self._buffer.count("\n") + error.object.count(b"\n", 0, error.start)
            raise not_text(self._path, line, error) from error
        return True

    def _line_of(self, position: int) -> int:
        return self._line + self._buffer.count("\n", 0, position)

    def _not_json(self, error: json.JSONDecodeError) -> DataError:
        is_truncated = error.pos >= len(self._buffer.rstrip()) or "Unterminated" in error.msg
        return DataError(
            f"{self._path}, line {self._line_of(error.pos)}: not valid JSON ({error.msg}, column {error.colno}); needed "
            "is one JSON object per line, or one array of objects."
            + (" The text ends too early: is the file truncated?" if is_truncated else "")
        )


def _replaced(value: object) -> object:
    if isinstance(value, str):
        return replace_half_characters(value)
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    if isinstance(value, dict):
        return {replace_half_characters(str(key)): _replaced(item) for key, item in value.items()}
    return value


def _row(path: Path, value: object, values: _Values) -> Row:
    if not isinstance(value, dict):
        raise DataError(
            f"{path}, {values.place}: found {type(value).__name__}, needed is an object like {{'chosen': ...}}"
        )
    return value


def _document_rows(path: Path, document: Row) -> Iterator[Row]:
    """Rows of the only object of a file: a table in one of its layouts, or one row."""
    if {"annotators", "comparisons"} <= document.keys():
        yield from _comparison_rows(path, document)
    elif _is_split_table(document):
        for values in document["data"]:
            yield dict(zip(document["columns"], values, strict=True))
    elif (name := next((name for name in _ROW_LISTS if _is_row_list(document.get(name))), None)) is not None:
        yield from (
            row["row"] if "row_idx" in row and isinstance(row.get("row"), dict) else row for row in document[name]
        )
    elif _is_indexed(document):
        yield from document.values()
    elif all(isinstance(column, dict) for column in document.values()) and all(map(_has_row_names, document.values())):
        for index in dict.fromkeys(index for column in document.values() for index in column):
            yield {name: column.get(index) for name, column in document.items()}
    else:
        yield document


def _is_row_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_split_table(document: Row) -> bool:
    columns, data = document.get("columns"), document.get("data")
    return (
        isinstance(columns, list)
        and isinstance(data, list)
        and all(isinstance(row, list) and len(row) == len(columns) for row in data)
    )


def _has_row_names(column: Mapping[str, object]) -> bool:
    return bool(column) and all(key.isdecimal() for key in column)


def _is_indexed(document: Row) -> bool:
    return _has_row_names(document) and all(isinstance(row, dict) for row in document.values())


def _comparison_rows(path: Path, document: Row) -> Iterator[Row]:
    """Comparisons with the default annotator's `preference`, and all annotations as one list."""
    try:
        default = document["metadata"]["default_annotator"]
        annotators = {
            key: annotator.get("name") or annotator.get("description")
            for key, annotator in document["annotators"].items()
        }
        for comparison in document["comparisons"]:
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
            yield {**comparison, "preference": preference, "annotations": annotations}
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} has 'annotators' and 'comparisons' but is not an AnnotatedPairs document of version 2 (wrong or missing: "
            f"{error}); export it again with Feedback Forensics"
        ) from error

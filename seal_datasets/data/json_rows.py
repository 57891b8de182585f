"""Rows of a JSON file in any usual layout: lines, one array, objects one after another, or one table as a document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from seal_datasets.data.problems import REPLACEMENT
from seal_datasets.data.raw_files import decode, encoding_of, open_bytes, reading
from seal_datasets.errors import DataError

Row = dict[str, Any]

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ROW_LISTS = ("data", "rows", "examples")
_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[\s,]*")


def json_rows(path: Path) -> Iterator[Row]:
    """Read the rows of a JSON file.

    Args:
        path (`Path`): A file of JSON Lines, of one array, of objects one after another (also over several lines), or of one
            document: `{"data": [...]}`, a table of pandas' `to_json`, or AnnotatedPairs of Feedback Forensics.

    Yields:
        `dict[str, Any]`: Each row; half characters (lone surrogates) in its texts are replaced by U+FFFD.

    Raises:
        DataError: The file is not JSON, or a row is not an object; the message names the place.
    """
    with reading(path), open_bytes(path) as file:
        encoding = encoding_of(file.read(4))
        file.seek(0)
        lines = _lines(path, file, encoding)
        number, line = next(((number, line) for number, line in lines if line.strip()), (0, ""))
        if not number:
            return
        try:
            first = None if line.lstrip().startswith("[") else _parse(line)
        except (ValueError, RecursionError):
            first = None
        if first is None:
            text = line + "".join(rest for _, rest in lines)
            yield from _whole_rows(path, text, number)
            return
        more = next(((at, rest) for at, rest in lines if rest.strip()), None)
        if more is None:
            yield from _document_rows(path, first, f"line {number}")
            return
        yield _row(path, first, f"line {number}")
        yield from _line_rows(path, *more, lines)


def _lines(path: Path, file: BinaryIO, encoding: str) -> Iterator[tuple[int, str]]:
    if encoding.startswith("utf-8"):
        for number, raw in enumerate(file, start=1):
            yield number, decode(path, raw, encoding if number == 1 else "utf-8", number)
    else:
        yield from enumerate(decode(path, file.read(), encoding).splitlines(keepends=True), start=1)


def _line_rows(path: Path, number: int, line: str, lines: Iterator[tuple[int, str]]) -> Iterator[Row]:
    """Rows of lines; from a line that is no JSON on, the rest of the file is read as objects one after another."""
    while True:
        if line.strip():
            try:
                parsed = _parse(line)
            except (ValueError, RecursionError) as error:
                yield from _rest_rows(path, line, number, lines, error)
                return
            yield _row(path, parsed, f"line {number}")
        try:
            number, line = next(lines)
        except StopIteration:
            return


def _rest_rows(
    path: Path, line: str, number: int, lines: Iterator[tuple[int, str]], error: ValueError | RecursionError
) -> Iterator[Row]:
    rest = line + "".join(text for _, text in lines)
    try:
        parsed = list(_objects(rest))
    except (ValueError, RecursionError):
        raise _not_json(path, number, error) from error
    for position, value in parsed:
        place = f"line {number + rest.count(chr(10), 0, position)}"
        yield _row(path, value, place)


def _whole_rows(path: Path, text: str, first_line: int) -> Iterator[Row]:
    """Rows of a text that is one array, one document, or objects one after another."""
    try:
        parsed = list(_objects(text))
    except (ValueError, RecursionError) as error:
        raise _not_json(path, first_line, error) from error
    if len(parsed) == 1 and isinstance(parsed[0][1], list):
        for position, value in enumerate(parsed[0][1]):
            yield _row(path, value, f"item {position} of the array")
    elif len(parsed) == 1:
        yield from _document_rows(path, parsed[0][1], f"line {first_line}")
    else:
        for position, value in parsed:
            yield _row(path, value, f"line {first_line + text.count(chr(10), 0, position)}")


def _objects(text: str) -> Iterator[tuple[int, object]]:
    """The JSON values of a text, one after another, each with its place."""
    match = _BLANK.match(text)
    position = match.end() if match else 0
    while position < len(text):
        value, end = _DECODER.raw_decode(text, position)
        yield position, _clean(value, text)
        match = _BLANK.match(text, end)
        position = match.end() if match else end


def _parse(text: str) -> object:
    return _clean(json.loads(text), text)


def _clean(value: object, text: str) -> object:
    """A parsed value with U+FFFD for each lone surrogate, which no table can hold."""
    return _replaced(value) if _ESCAPED_SURROGATE.search(text) else value


def _replaced(value: object) -> object:
    if isinstance(value, str):
        return _SURROGATE.sub(REPLACEMENT, value)
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    if isinstance(value, dict):
        return {_SURROGATE.sub(REPLACEMENT, str(key)): _replaced(item) for key, item in value.items()}
    return value


def _not_json(path: Path, first_line: int, error: ValueError | RecursionError) -> DataError:
    if not isinstance(error, json.JSONDecodeError):
        return DataError(f"{path}, line {first_line}: JSON nested too deeply, or with too long a number ({error})")
    is_truncated = error.pos >= len(error.doc.rstrip()) or "Unterminated" in error.msg
    return DataError(
        f"{path}, line {first_line + error.lineno - 1}: not valid JSON ({error.msg}, column {error.colno}); needed "
        "is one JSON object per line, or one array of objects."
        + (" The text ends too early: is the file truncated?" if is_truncated else "")
    )


def _row(path: Path, value: object, place: str) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{path}, {place}: found {type(value).__name__}, needed is an object like {{'chosen': ...}}")
    return value


def _document_rows(path: Path, value: object, place: str) -> Iterator[Row]:
    """Rows of the only object of a file: a table in one of its layouts, or one row."""
    document = _row(path, value, place)
    if {"annotators", "comparisons"} <= document.keys():
        yield from _comparison_rows(path, document)
    elif _is_split_table(document):
        for values in document["data"]:
            yield dict(zip(document["columns"], values, strict=True))
    elif (name := next((name for name in _ROW_LISTS if _is_row_list(document.get(name))), None)) is not None:
        for position, row in enumerate(document[name]):
            yield _row(path, row.get("row", row) if "row_idx" in row else row, f"item {position} of {name!r}")
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

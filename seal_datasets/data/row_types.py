"""The types of a file's columns over all of its rows, and values as those types store them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
from datasets import Features, Json, Value

from seal_datasets.data.csv_rows import cell_type, read_cell
from seal_datasets.data.formats import KNOWN_COLUMNS, TEXT_COLUMNS
from seal_datasets.data.storage import unstorable

Row = dict[str, Any]


class RowTypes:
    """Types of all columns over the rows seen so far; a column whose values no Arrow type holds is JSON.

    Args:
        kind (`str`): `csv`, whose cells are texts to be read, or `json`.

    Example:

    ```python
    >>> types = RowTypes("json")
    >>> types.widen([{"score": 1}]), types.widen([{"score": 2}]), types.widen([{"score": 0.5}])
    (True, False, True)
    >>> types.features
    {'score': Value('float64')}

    ```
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._types: dict[str, pa.DataType | None] = {}

    def widen(self, rows: list[Row]) -> bool:
        """Take in some more rows.

        Args:
            rows (`list[dict[str, Any]]`): Rows as they are read, each with any of the columns.

        Returns:
            `bool`: Whether a column is new or has another type than before.
        """
        before = dict(self._types)
        for name in dict.fromkeys(name for row in rows for name in row):
            known = self._types.get(name, pa.null())
            values = [row.get(name) for row in rows]
            if self._kind == "csv":
                self._types[name] = pa.string() if name in TEXT_COLUMNS else cell_type(known, values)
            else:
                self._types[name] = None if known is None else _widen(known, values)
        return self._types != before

    @property
    def features(self) -> Features:
        """Types of the columns in order of first appearance."""
        fields = {name: type for name, type in self._types.items() if type is not None}
        features = Features.from_arrow_schema(pa.schema(fields.items()))
        return Features(
            {
                name: Json() if name not in fields or unstorable(features[name]) else features[name]
                for name in self._types
            }
        )

    @property
    def stored(self) -> Features:
        """The same types, with text for JSON in columns that no pair is read from."""
        as_text = self.as_text
        return Features({name: Value("string") if name in as_text else type for name, type in self.features.items()})

    @property
    def as_text(self) -> tuple[str, ...]:
        """Columns that no pair is read from and that are stored as JSON text."""
        return tuple(
            name for name, type in self.features.items() if isinstance(type, Json) and name not in KNOWN_COLUMNS
        )

    def columns(self, rows: list[Row]) -> dict[str, list[Any]]:
        """Values of some rows by column, as they are stored."""
        return {
            name: self._stored_values(type, [row.get(name) for row in rows]) for name, type in self.features.items()
        }

    def _stored_values(self, type: object, values: list[Any]) -> list[Any]:
        if self._kind == "csv" and isinstance(type, Value):
            values = [read_cell(value, type.dtype) for value in values]
        if isinstance(type, Json):
            # Encoded here: `Json` would keep a text that is JSON itself, such as "3", as the number.
            return [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        return values


def _widen(known: pa.DataType, values: list[Any]) -> pa.DataType | None:
    """The type that holds values of a known type and these; `None` if there is none."""
    try:
        found = pa.array(values).type
        if found == known:
            return known
        schemas = [pa.schema([("column", known)]), pa.schema([("column", found)])]
        return pa.unify_schemas(schemas, promote_options="permissive").field("column").type
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return None

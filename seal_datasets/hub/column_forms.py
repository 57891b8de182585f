"""Published forms of a column of an audit's table: plain, class labels, members or failures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
from datasets import ClassLabel, List, Value

from seal_datasets import schema
from seal_datasets.errors import DataError

_FAILURES = List({"feature": Value("string"), "reason": Value("string"), "detail": Value("string")})


@dataclass(frozen=True, slots=True)
class PlainColumn:
    """A column published unchanged."""

    column: str
    type: Any

    @property
    def flat(self) -> dict[str, Any]:
        """Published columns and their types."""
        return {self.column: self.type}

    def flatten(self, values: pa.ChunkedArray) -> list[Any]:
        """The published columns of some rows."""
        return [values]

    def restore(self, flat: Sequence[pa.ChunkedArray]) -> Any:  # noqa: ANN401 - an Arrow array or a list
        """The column of published rows."""
        return flat[0]


@dataclass(frozen=True, slots=True)
class ClassColumn:
    """A column of few distinct words, published as class labels."""

    column: str
    words: tuple[str, ...]

    @property
    def type(self) -> Any:  # noqa: ANN401 - a type of datasets
        """Type of the column in the audit's table."""
        return Value("string")

    @property
    def flat(self) -> dict[str, Any]:
        """Published columns and their types."""
        return {self.column: ClassLabel(names=list(self.words))}

    def flatten(self, values: pa.ChunkedArray) -> list[Any]:
        """The published columns of some rows."""
        codes = {word: code for code, word in enumerate(self.words)}
        return [[None if word is None else codes[word] for word in values.to_pylist()]]

    def restore(self, flat: Sequence[pa.ChunkedArray]) -> list[str | None]:
        """The column of published rows."""
        codes = flat[0].to_pylist()
        for code in codes:
            if code is not None and not 0 <= code < len(self.words):
                raise DataError(
                    f"column {self.column!r} holds the class {code}, and its classes are 0 to {len(self.words) - 1}"
                )
        return [None if code is None else self.words[code] for code in codes]


@dataclass(frozen=True, slots=True)
class MemberColumns:
    """A column of lists of known words, published as one boolean column per word."""

    column: str
    members: tuple[str, ...]

    @property
    def type(self) -> Any:  # noqa: ANN401 - a type of datasets
        """Type of the column in the audit's table."""
        return List(Value("string"))

    @property
    def flat(self) -> dict[str, Any]:
        """Published columns and their types."""
        return {schema.member_column(self.column, member): Value("bool") for member in self.members}

    def flatten(self, values: pa.ChunkedArray) -> list[Any]:
        """The published columns of some rows."""
        rows = values.to_pylist()
        if unknown := {member for row in rows if row is not None for member in row} - set(self.members):
            raise DataError(f"column {self.column!r} holds {sorted(unknown)[:3]}, which are not among its known values")
        return [[None if row is None else member in row for row in rows] for member in self.members]

    def restore(self, flat: Sequence[pa.ChunkedArray]) -> list[list[str] | None]:
        """The column of published rows."""
        rows = zip(*(column.to_pylist() for column in flat), strict=True)
        return [
            None if row[0] is None else [member for member, held in zip(self.members, row, strict=True) if held]
            for row in rows
        ]


@dataclass(frozen=True, slots=True)
class FailureColumns:
    """Missing labels, published as one column of reasons per feature and, optionally, the details as JSON."""

    column: str
    flat_columns: tuple[tuple[str, str], ...]
    details: bool

    @property
    def type(self) -> Any:  # noqa: ANN401 - a type of datasets
        """Type of the column in the audit's table."""
        return _FAILURES

    @property
    def flat(self) -> dict[str, Any]:
        """Published columns and their types."""
        columns = {name: Value("string") for _, name in self.flat_columns}
        return {**columns, self.column: Value("string")} if self.details else columns

    def flatten(self, values: pa.ChunkedArray) -> list[Any]:
        """The published columns of some rows."""
        rows = values.to_pylist()
        reasons = [{failure["feature"]: failure["reason"] for failure in row or ()} for row in rows]
        columns: list[Any] = [[row.get(feature) for row in reasons] for feature, _ in self.flat_columns]
        if self.details:
            columns.append([None if row is None else json.dumps(row, ensure_ascii=False) for row in rows])
        return columns

    def restore(self, flat: Sequence[pa.ChunkedArray]) -> list[list[dict[str, Any]] | None]:
        """The column of published rows."""
        columns = [column.to_pylist() for column in flat]
        if self.details:
            return [None if row is None else json.loads(row) for row in columns[-1]]
        features = [feature for feature, _ in self.flat_columns]
        return [
            [
                {"feature": feature, "reason": reason, "detail": None}
                for feature, reason in zip(features, row, strict=True)
                if reason is not None
            ]
            for row in zip(*columns, strict=True)
        ]


ColumnForm = PlainColumn | ClassColumn | MemberColumns | FailureColumns

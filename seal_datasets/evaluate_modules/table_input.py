"""Whole tables as input of the `evaluate` modules, without evaluate's copy of every cell."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from datasets import Column, Dataset, Features
from numpy.typing import NDArray

from seal_datasets import schema
from seal_datasets.errors import DataError

Table: TypeAlias = Dataset | pd.DataFrame | pa.Table | Mapping[str, Any]
Columns: TypeAlias = Mapping[str, str | Sequence[str]]

_SIDE = "{side}"


class TableInput:
    """Let an `evaluate.Metric` take a whole table, or arrays without a copy of each cell.

    List it before `evaluate.Metric` among the bases. Values from `add`, `add_batch` or several processes still go through
    the files of `evaluate`, as Arrow columns instead of one Python object per cell.
    """

    num_process: int
    writer: Any
    data: Any
    selected_feature_format: Features

    def compute(self, *, dataset: Table | None = None, columns: Columns | None = None, **inputs: Any) -> Any:  # noqa: ANN401 - as evaluate
        """Compute the metric from arrays, from a table, or from values added before.

        Args:
            dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping of columns, *optional*): Table to take inputs from.
            columns (`Mapping[str, str or list of str]`, *optional*): Column of each input, or several that make up a matrix
                (and name its features). An input that is not named is taken from the column of its own name, if there
                is one. `{side}` in a column's name stands for chosen, then rejected: the table is taken once for each
                side, one below the other, which makes a table of pairs a table of texts.
            **inputs (*optional*): The metric's own inputs and options; they take precedence over the table's columns.

        Returns:
            `dict[str, Any]`: JSON-ready results; `None` on other processes than the first.

        Raises:
            DataError: A column is missing or has nulls, or an input is missing or invalid. Also, a table is given on several
                processes.
        """
        if dataset is None and columns is not None:
            raise DataError("columns= names columns of a table; give the table as dataset=")
        estimate: Any = self._compute  # type: ignore[attr-defined]
        signature = inspect.signature(estimate)
        # evaluate.combine hands these two to every module.
        inputs = {k: v for k, v in inputs.items() if v is not None or k not in ("predictions", "references")}
        unknown = sorted(set(inputs) - set(signature.parameters))
        if unknown:
            raise DataError(f"{', '.join(unknown)} is not taken; the inputs are {', '.join(signature.parameters)}")
        if dataset is not None and self.num_process > 1:
            raise DataError(
                f"a table is not gathered from {self.num_process} processes, and each would compute on its own; give each "
                "process's rows with add_batch, or the whole table to a metric on one process"
            )
        if dataset is not None:
            inputs = {**_from_table(dataset, columns or {}, signature, set(inputs)), **inputs}
        elif self.writer is not None or self.num_process > 1:
            return super().compute(**inputs)  # type: ignore[misc]
        needed = [
            name for name, parameter in signature.parameters.items() if parameter.default is inspect.Parameter.empty
        ]
        missing = [name for name in needed if inputs.get(name) is None]
        if missing:
            raise DataError(f"no {', '.join(missing)} given; needed are {', '.join(needed)}")
        return estimate(**{name: _plain(values) for name, values in inputs.items()})

    def add_batch(self, **batch: Any) -> None:  # noqa: ANN401 - as evaluate
        """Add values of a batch of rows, to be computed with later.

        Args:
            **batch (arrays of shape (n,) or (n, k)): Every input of the metric that `features` declares.

        Raises:
            ValueError: Lengths differ or values are of another type; `evaluate` writes the message.
        """
        names = self._feature_names()  # type: ignore[attr-defined]
        batch = {name: _plain(values) for name, values in batch.items() if name in names or values is not None}
        if self.writer is None and set(batch) == set(names):
            self.selected_feature_format = self.features  # type: ignore[attr-defined]
            self._init_writer()  # type: ignore[attr-defined]
        table = _as_arrow(batch, self.selected_feature_format) if set(batch) == set(names) else None
        if table is None:
            super().add_batch(**batch)  # type: ignore[misc]
        else:
            self.writer.write_table(table)

    def _finalize(self) -> None:
        super()._finalize()  # type: ignore[misc]
        if isinstance(self.data, Dataset):
            self.data = _Held({name: _column(self.data, name) for name in self.data.column_names})


class _Held(dict[str, Any]):
    """Columns as arrays, with the method of `Dataset` that evaluate calls."""

    def set_format(self, type: str | None) -> None:
        """Do nothing, because the columns are arrays."""


def _as_arrow(batch: Mapping[str, Any], features: Features) -> pa.Table | None:
    """A batch in the types of a metric's features; `None` for other types or unequal lengths."""
    try:
        columns = {
            name: _arrow_column(np.asarray(batch[name]), features.arrow_schema.field(name).type) for name in features
        }
        return pa.Table.from_pydict(columns, schema=features.arrow_schema)
    except (pa.ArrowException, ValueError, TypeError):
        return None


def _arrow_column(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    needed = 2 if pa.types.is_list(kind) or pa.types.is_large_list(kind) else 1
    if values.ndim != needed:
        raise ValueError(f"an array of shape {values.shape} is no column of {kind}")
    if needed == 1:
        return pa.array(values).cast(kind)
    flat = pa.array(values.reshape(-1)).cast(kind.value_type)
    return pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1], flat).cast(kind)


def _from_table(table: Table, columns: Columns, signature: inspect.Signature, given: set[str]) -> dict[str, Any]:
    """Read the inputs that a metric's signature names and that are not given already."""
    present = list(table.column_names if isinstance(table, (Dataset, pa.Table)) else table)
    unknown = sorted(set(columns) - set(signature.parameters))
    if unknown:
        raise DataError(f"columns= names {', '.join(unknown)}; the inputs are {', '.join(signature.parameters)}")
    # Arrays are required or default to None. The few options that do too, such as label_noise, refuse a column of their name.
    arrays = [
        name for name, parameter in signature.parameters.items() if parameter.default in (None, inspect.Parameter.empty)
    ]
    wanted = {name: name for name in arrays if name in present} | dict(columns)
    wanted = {name: column for name, column in wanted.items() if name not in given}
    listed = {name: [column] if isinstance(column, str) else list(column) for name, column in wanted.items()}
    sides = schema.SIDES if any(_SIDE in column for names in listed.values() for column in names) else ("",)
    absent = sorted(
        {n for names in listed.values() for column in names for n in _spelled(column, sides)} - set(present)
    )
    if absent:
        raise DataError(f"the table lacks {', '.join(absent)}; its columns are {', '.join(present)}")
    inputs: dict[str, Any] = {}
    for name, column in wanted.items():
        blocks = [
            _column(table, column.replace(_SIDE, side))
            if isinstance(column, str)
            else _matrix(table, name, [source.replace(_SIDE, side) for source in listed[name]])
            for side in sides
        ]
        inputs[name] = blocks[0] if len(blocks) == 1 else _stacked(blocks)
    for option in ("feature_names", "target_names", "labeler_names"):
        matrices = [names for name, names in listed.items() if not isinstance(wanted[name], str)]
        if option in signature.parameters and option not in given | set(inputs) and matrices:
            inputs[option] = [_feature_of(column) for column in matrices[0]]
    return inputs


def _matrix(table: Table, name: str, columns: Sequence[str]) -> NDArray[Any]:
    """Several columns side by side."""
    if not columns:
        raise DataError(f"columns= names no column for {name}; name one or more")
    parts = [_column(table, column) for column in columns]
    try:
        return np.column_stack(parts)
    except ValueError as error:
        raise DataError(
            f"{name} cannot be made of the columns {', '.join(columns)}: each needs the same rows, and equally many values in "
            f"each row ({error})"
        ) from error


def _spelled(column: str, sides: Sequence[str]) -> list[str]:
    return [column.replace(_SIDE, side) for side in sides]


def _stacked(blocks: Sequence[Any]) -> Any:  # noqa: ANN401 - arrays stay arrays, lists of lists stay lists
    return [row for block in blocks for row in block] if isinstance(blocks[0], list) else np.concatenate(blocks)


def _feature_of(column: str) -> str:
    """The feature of one of our feature columns, or the name of any other column."""
    ours = re.fullmatch(
        schema.feature_column("(.+)", "chosen").replace("chosen", r"(?:chosen|rejected|\{side\})"), column
    )
    return ours.group(1) if ours else column


def _column(table: Table, name: str) -> Any:  # noqa: ANN401 - an array, or lists where a cell holds several values
    if isinstance(table, Dataset):
        table = table.select_columns([name]).with_format("arrow")[:]
    if isinstance(table, pa.Table):
        return _from_arrow(table[name], name)
    if isinstance(table, pd.DataFrame):
        _refuse_nulls(table[name].isna().to_numpy(), name)
    return _plain(table[name])


def _from_arrow(column: pa.ChunkedArray, name: str) -> Any:  # noqa: ANN401
    if column.null_count:
        _refuse_nulls(pc.is_null(column).to_numpy(), name)
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return column.to_numpy()
    widths = pc.list_value_length(column).to_numpy()
    flat = pc.list_flatten(column)
    if len(widths) == 0 or (widths != widths[0]).any() or flat.null_count:
        return column.to_pylist()
    return flat.to_numpy().reshape(len(widths), widths[0])


def _refuse_nulls(is_null: NDArray[np.bool_], name: str) -> None:
    if is_null.any():
        raise DataError(
            f"column {name!r} has {is_null.sum()} row(s) without value, the first in row {is_null.argmax()}; leave them out"
        )


def _plain(values: Any) -> Any:  # noqa: ANN401 - options pass through, arrays of any library become NumPy's or lists
    if isinstance(values, np.ndarray):
        return values.tolist() if values.dtype == object else values
    if isinstance(values, Column):  # lazy: reading it value by value is a hundred times slower
        whole = isinstance(values.source, Dataset) and values.source.format["type"] is None
        return _column(values.source, values.column_name) if whole else values[:]
    if hasattr(values, "to_numpy"):
        return _plain(values.to_numpy())
    return values.tolist() if hasattr(values, "tolist") else values

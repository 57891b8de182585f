"""Read tables of pairs larger than memory in parts, each with whole prompts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.dataset as pads  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tqdm import tqdm  # type: ignore[import-untyped]

from seal_datasets import schema
from seal_datasets.errors import DataError
from seal_datasets.estimate import Texts

_MOST_PARTS = 500
_ROWS_AT_ONCE = 131_072


class PromptParts:
    """Iterate over the texts of a parquet table in parts, each with whole prompts.

    Memory grows with the size of a part, not of the table. Pairs go to parts by a hash of their prompt. Temporary files
    hold the parts until the context ends, with one byte per feature if values allow. Prompts that are not numbers are
    hashed to 64 bits. Among ten million prompts, a collision has a probability of 3 in a million.

    Args:
        files (`str`, `Path` or sequence of them): Parquet files, or a folder of them.
        rewards (`Sequence[str]`): Columns of rewards, one name per model, with `{side}` for chosen and rejected.
        features (`Sequence[str]`): Columns of features, numbers or truth values, with `{side}`.
        prompt (`str`, defaults to `"prompt_id"`): Column of prompt ids.
        pairs_per_part (`int`, defaults to 100,000): Approximate number of pairs in a part.
        progress (`bool`, defaults to `True`): Whether to show a progress bar.

    Raises:
        DataError: The table has no rows, a column is missing or not numeric, or a value is missing.

    Example:

    ```python
    >>> import tempfile
    >>> from seal_datasets.estimate import streamed_imprint
    >>> columns = {"prompt_id": ["p", "q"], "pre_chosen": [1.0, 4.0], "pre_rejected": [1.0, 2.0], "post_chosen": [3.0, 7.0]}
    >>> columns |= {"post_rejected": [1.0, 6.0], "polite_chosen": [True, True], "polite_rejected": [False, False]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame(columns).to_parquet(f"{folder}/pairs.parquet")
    ...     with PromptParts(folder, ["pre_{side}", "post_{side}"], ["polite_{side}"], progress=False) as parts:
    ...         trajectory = streamed_imprint(parts, ["pre", "post"], ["polite"])
    >>> round(trajectory.models["post"].imprint[0].coefficient, 6)
    1.5

    ```
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path],
        rewards: Sequence[str],
        features: Sequence[str],
        *,
        prompt: str = schema.PROMPT_ID,
        pairs_per_part: int = 100_000,
        progress: bool = True,
    ) -> None:
        self._n_models = len(rewards)
        names: dict[str, list[str]] = {
            side: [column.format(side=side) for column in (*rewards, *features)] for side in schema.SIDES
        }
        listed = [str(file) for file in files] if isinstance(files, (list, tuple)) else str(files)
        table = pads.dataset(listed, format="parquet")
        wanted = [prompt, *dict.fromkeys(name for side in schema.SIDES for name in names[side])]
        if missing := [name for name in wanted if name not in table.schema.names]:
            raise DataError(f"the table lacks {', '.join(missing)}; it has {', '.join(table.schema.names)}")
        _check_types(table.schema, wanted[1:])
        n = table.count_rows()
        if not n:
            raise DataError(f"{files} holds no rows; at least one pair is needed")
        self._folder = tempfile.TemporaryDirectory(prefix="seal-parts-")
        try:
            self._paths = [
                Path(self._folder.name) / f"{part}.npy" for part in range(min(-(-n // pairs_per_part), _MOST_PARTS))
            ]
            batches = table.to_batches(
                columns=wanted, batch_size=_ROWS_AT_ONCE, batch_readahead=1, fragment_readahead=1
            )
            with tqdm(total=n, desc="Splitting pairs into parts", unit="pair", disable=not progress) as bar:
                self._split(batches, prompt, names, bar)
        except BaseException:
            self._folder.cleanup()
            raise

    def __enter__(self) -> PromptParts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def __iter__(self) -> Iterator[Texts]:
        for path in self._paths:
            chunks: list[list[NDArray[Any]]] = []
            with path.open("rb") as file:
                while file.peek(1):
                    chunks.append([np.load(file, allow_pickle=False) for _ in range(5)])
            if chunks:
                prompts, *sides = (np.concatenate(arrays) for arrays in zip(*chunks, strict=True))
                yield Texts(
                    np.concatenate([sides[0], sides[2]]),
                    np.concatenate([sides[1], sides[3]]).astype(np.float64),
                    np.tile(prompts, 2),
                )

    def _split(self, batches: Iterator[Any], prompt: str, names: dict[str, list[str]], bar: Any) -> None:  # noqa: ANN401 - tqdm
        files: list[BinaryIO] = [path.open("wb") for path in self._paths]
        try:
            start = 0
            for batch in batches:
                _refuse_nulls(batch, start)
                prompts = _keys(batch.column(prompt))
                part = (prompts.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(33)) % np.uint64(
                    len(files)
                )
                order = np.argsort(part, kind="stable")
                ends = np.searchsorted(part[order], np.arange(len(files) + 1))
                arrays: list[NDArray[Any]] = [prompts[order]]
                for side in schema.SIDES:
                    rewards, features = names[side][: self._n_models], names[side][self._n_models :]
                    arrays += [_matrix(batch, rewards, start)[order], _compact(_matrix(batch, features, start)[order])]
                for file, first, last in zip(files, ends[:-1], ends[1:], strict=True):
                    if last > first:
                        for array in arrays:
                            np.save(file, array[first:last], allow_pickle=False)
                start += batch.num_rows
                bar.update(batch.num_rows)
        finally:
            for file in files:
                file.close()


def _check_types(table: Any, names: Sequence[str]) -> None:  # noqa: ANN401 - pyarrow has no types
    for name in names:
        kind = table.field(name).type
        if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise DataError(f"column {name!r} holds {kind}, it must hold numbers or truth values")


def _refuse_nulls(batch: Any, start: int) -> None:  # noqa: ANN401 - pyarrow has no types
    for name in batch.schema.names:
        column = batch.column(name)
        if column.null_count:
            row = start + int(np.flatnonzero(pc.is_null(column).to_numpy(zero_copy_only=False))[0])
            raise DataError(
                f"column {name!r} has missing values, first in row {row}; "
                "remove these rows and report their number, or fill them"
            )


def _keys(column: Any) -> NDArray[np.int64]:  # noqa: ANN401 - pyarrow has no types
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.int64)
    texts = column.cast(pa.string()).to_numpy(zero_copy_only=False)
    return pd.util.hash_array(texts, categorize=False).view(np.int64)


def _matrix(batch: Any, names: Sequence[str], start: int) -> NDArray[np.float64]:  # noqa: ANN401 - pyarrow has no types
    values = np.empty((batch.num_rows, len(names)))
    for i, name in enumerate(names):
        values[:, i] = batch.column(name).to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"column {names[column]!r} has values that are not finite, first in row {start + row}: "
            f"{values[row, column]}; remove these rows and report their number"
        )
    return values


def _compact(values: NDArray[np.float64]) -> NDArray[Any]:
    """The same values as one byte each, if all are small whole numbers."""
    with np.errstate(invalid="ignore"):
        small = values.astype(np.int8)
    return small if (small == values).all() else values

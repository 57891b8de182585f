"""The pairs of an audit as a page holds them: numbers as compressed typed blocks, and texts of all or of a sample."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from seal_datasets import schema
from seal_datasets.errors import DataError
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.audited_models import AuditedModels

TextsShown = Literal["all", "sample", "none"]

MOST_SAMPLED = 2000
"""Pairs whose texts a page holds when it holds a sample."""

MOST_PAIRS = 250_000
"""Pairs whose numbers a page holds; of more, a random sample."""

CRUDE = "surface_profanity"
"""The feature whose texts are hidden until asked for."""

_LONGEST = 20_000
_REGIMES = ("", "stayed_aligned", "became_aligned", "stayed_misaligned", "reversed_alignment")
_PARTITIONS = ("", "heldout", "train")
_SIDES = ("", "chosen", "rejected", "indifferent")


def used_pairs(path: Path, features: Sequence[Feature], models: AuditedModels) -> pd.DataFrame:
    """Read the pairs that a report speaks of, those with a margin: all, or a random sample of more than 250,000.

    Args:
        path (`Path`): The Parquet file of a finished audit; one row group of it is in memory at a time.
        features (`Sequence[Feature]`): The features.
        models (`AuditedModels`): The models.

    Returns:
        `pandas.DataFrame`: Ids, rewards, margins, regimes, partition, labels and prompts of used pairs; `row` is their place in
        the file.

    Raises:
        DataError: The file lacks the margins of the last model.
    """
    names = [schema.PAIR_ID, schema.PROMPT_ID, schema.margin_column(models.last)]
    names += [schema.reward_column(model, side) for model in models.names for side in schema.SIDES]
    names += [schema.regime_column(model) for model in models.names]
    names += [schema.PARTITION, schema.LABELER_PREFERENCE]
    names += [
        schema.feature_column(each.name, side) for each in features if each.type != "labels" for side in schema.SIDES
    ]
    file = pq.ParquetFile(path)
    present = [name for name in names if name in file.schema_arrow.names]
    if schema.margin_column(models.last) not in present:
        raise DataError(
            f"{path} lacks the column {schema.margin_column(models.last)!r}, which an audit writes; run `seal audit` again"
        )
    margins = file.read(columns=[schema.margin_column(models.last)]).column(0)
    rows = np.flatnonzero(margins.is_valid().to_numpy())
    if len(rows) > MOST_PAIRS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_PAIRS, replace=False))
    frame: pd.DataFrame = pa.concat_tables(_take(file, rows, present)).to_pandas()
    frame["row"] = rows
    return frame


def _take(file: pq.ParquetFile, rows: NDArray[np.int64], names: Sequence[str]) -> Iterator[pa.Table]:
    """Some rows of a Parquet file, by row group; at least one table, which may be empty."""
    start = 0
    yield file.schema_arrow.empty_table().select(list(names))
    for group in range(file.num_row_groups if len(rows) else 0):
        end = start + file.metadata.row_group(group).num_rows
        first, last = np.searchsorted(rows, [start, end])
        if last > first:
            yield file.read_row_group(group, columns=list(names)).select(list(names)).take(rows[first:last] - start)
        start = end


def pair_columns(used: pd.DataFrame, features: Sequence[Feature], models: AuditedModels) -> dict[str, Any]:
    """Turn used pairs into columns for a page.

    Args:
        used (`pandas.DataFrame`): From `used_pairs`.
        features (`Sequence[Feature]`): The features.
        models (`AuditedModels`): The models.

    Returns:
        `dict[str, Any]`: `n`, `ids`, and `columns` by name: a block of numbers, with words where they are codes.
    """
    blocks: dict[str, dict[str, Any]] = {}
    for model in models.names:
        for side in schema.SIDES:
            blocks[schema.reward_column(model, side)] = _numbers(used[schema.reward_column(model, side)])
    for model in models.names:
        if schema.regime_column(model) in used:
            blocks[schema.regime_column(model)] = _codes(used[schema.regime_column(model)], _REGIMES)
    for name, words in ((schema.PARTITION, _PARTITIONS), (schema.LABELER_PREFERENCE, _SIDES)):
        if name in used:
            blocks[name] = _codes(used[name], words)
    for feature in features:
        for column in (schema.feature_column(feature.name, side) for side in schema.SIDES):
            if column in used:
                blocks[column] = _numbers(used[column])
    blocks[schema.PROMPT_ID] = _block(pd.factorize(used[schema.PROMPT_ID])[0].astype("<i4"))
    ids = used[schema.PAIR_ID].astype(str).tolist()
    return {"n": len(used), "ids": _packed(ids), "columns": blocks}


def pair_texts(path: Path, used: pd.DataFrame, shown: TextsShown, strata: NDArray[Any]) -> dict[str, Any]:
    """Read the texts that a page shows, one row group at a time.

    Args:
        path (`Path`): The audit's Parquet file.
        used (`pandas.DataFrame`): From `used_pairs`.
        shown (`"all"`, `"sample"` or `"none"`): Which pairs' texts. A sample of few pairs is all of them.
        strata (`ndarray` of shape (n,)): Kind of each pair; a sample takes equal numbers of each where it can.

    Returns:
        `dict[str, Any]`: `rows` and packed `prompt`, `chosen`, `rejected` of these rows; no rows where the file has no texts.
    """
    names = (schema.PROMPT, *schema.SIDES)
    file = pq.ParquetFile(path)
    rows = np.arange(len(used))
    if shown == "none" or not has_texts(path):
        rows = rows[:0]
    elif shown == "sample":
        rows = sampled_rows(strata)
    texts: dict[str, list[str | None]] = {name: [] for name in names}
    for table in _take(file, used["row"].to_numpy()[rows], names) if len(rows) else ():
        for name in names:
            texts[name] += table[name].to_pylist()
    return packed_texts(rows, texts)


def packed_texts(rows: NDArray[np.int64], texts: Mapping[str, Sequence[str | None]]) -> dict[str, Any]:
    """Pack the texts of some rows for a page; very long ones are cut, and say so."""
    return {"rows": rows.tolist(), **{name: _packed([_shown(text) for text in each]) for name, each in texts.items()}}


def sampled_rows(strata: NDArray[Any]) -> NDArray[np.int64]:
    """Rows whose texts a page holds: all, or of more than 2,000 a sample with equal numbers of each kind where it can."""
    return np.arange(len(strata)) if len(strata) <= MOST_SAMPLED else _sample(strata)


def rows_of_file(path: Path, used: pd.DataFrame, n_texts: int) -> dict[str, Any] | None:
    """Where in the audit's Parquet file a page finds texts that it does not hold.

    Args:
        path (`Path`): The audit's Parquet file.
        used (`pandas.DataFrame`): From `used_pairs`.
        n_texts (`int`): Pairs whose texts the page holds.

    Returns:
        `dict[str, Any]`, *optional*: `n_rows` of the file, and `steps` from each used row to the next, which compress well;
        `None` where the page holds all texts, or the file none.
    """
    if n_texts == len(used) or not has_texts(path):
        return None
    steps = np.diff(used["row"].to_numpy(), prepend=0)
    return {"n_rows": pq.read_metadata(path).num_rows, "steps": _block(steps.astype("<i4"))}


def has_texts(path: Path) -> bool:
    """Whether an audit's Parquet file has the texts of its pairs."""
    return {schema.PROMPT, *schema.SIDES} <= set(pq.read_schema(path).names)


def _sample(strata: NDArray[Any]) -> NDArray[np.int64]:
    """Rows of a stratified sample, in their order."""
    order = np.random.default_rng(0).permutation(len(strata))
    place = pd.Series(strata[order]).groupby(strata[order]).cumcount().to_numpy()
    return np.sort(order[np.argsort(place, kind="stable")[:MOST_SAMPLED]])


def _shown(text: str | None) -> str | None:
    if text is None or len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}\n[cut here: {len(text) - _LONGEST:,} more characters]"


def _numbers(values: pd.Series[Any]) -> dict[str, Any]:
    """Numbers in the fewest bytes that hold them exactly; nan where there is none."""
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    small = np.nan_to_num(numbers, nan=-128.0)
    if (
        len(numbers)
        and ((small == np.round(small)) & (small >= -128) & (small < 128)).all()
        and (numbers != -128).all()
    ):
        return {**_block(small.astype(np.int8)), "missing": -128}
    single = numbers.astype("<f4")
    exact = np.array_equal(single.astype(np.float64), numbers, equal_nan=True)
    return _block(single if exact else numbers.astype("<f8"))


def _codes(values: pd.Series[Any], words: tuple[str, ...]) -> dict[str, Any]:
    codes = pd.Categorical(values, categories=words[1:]).codes + 1
    return {**_block(codes.astype(np.uint8)), "words": list(words)}


def _block(values: NDArray[Any]) -> dict[str, Any]:
    kind = {"<i4": "i4", "<f4": "f4", "<f8": "f8", "|i1": "i1", "|u1": "u1"}[values.dtype.newbyteorder("<").str]
    return {"kind": kind, "data": _compress(values.tobytes())}


def _packed(values: Sequence[str | None]) -> str:
    # Lone surrogates, which JSON may hold and UTF-8 may not, become escapes.
    return _compress(json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode("ascii"))


def _compress(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")


def resistant(used: pd.DataFrame, model: str, tie_band: float, *, heldout: bool) -> NDArray[np.bool_]:
    """Which pairs a model does not prefer as people do; of held-out pairs where the report speaks of these."""
    chosen, rejected = (used[schema.reward_column(model, side)].to_numpy(dtype=float) for side in schema.SIDES)
    found = chosen - rejected <= tie_band
    if heldout:
        found &= (used[schema.PARTITION] == "heldout").to_numpy()
    return np.asarray(found, dtype=np.bool_)


def has_crude_words(used: pd.DataFrame) -> NDArray[np.bool_]:
    """Which pairs have a response with crude words, as far as a column knows."""
    columns = [schema.feature_column(CRUDE, side) for side in schema.SIDES]
    known = [pd.to_numeric(used[name], errors="coerce").to_numpy(dtype=float) > 0 for name in columns if name in used]
    return np.asarray(np.any(known, axis=0) if known else np.zeros(len(used)), dtype=np.bool_)


def differences_of(used: pd.DataFrame, feature: str) -> NDArray[np.float64]:
    """How much more of a feature the chosen response has; nan where a label is missing."""
    chosen, rejected = (
        pd.to_numeric(used[schema.feature_column(feature, side)], errors="coerce").to_numpy(
            dtype=float, na_value=np.nan
        )
        for side in schema.SIDES
    )
    return np.asarray(chosen - rejected, dtype=np.float64)

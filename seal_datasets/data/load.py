"""Load preference pairs from the Hub, a file, a folder or a `datasets` object into one canonical table.

Every row of the source becomes a pair or is counted. A faulty row is kept and its fault named in `problems`; only
unreadable input is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from datasets import (
    Dataset,
    DatasetDict,
    Features,
    IterableDataset,
    IterableDatasetDict,
    List,
    Value,
    concatenate_datasets,
)

from seal_datasets import schema
from seal_datasets.data.deal import NotDealtError, Part, deal_rows
from seal_datasets.data.diagnosis import Diagnosis, ProblemCount, diagnose
from seal_datasets.data.formats import PairFormat
from seal_datasets.data.layout import Layout, find_layout, find_spellings
from seal_datasets.data.pairs import row_pairs, unreadable_pair
from seal_datasets.data.problems import PROBLEMS, UNUSABLE
from seal_datasets.data.sources import HubDataset, Source, open_source
from seal_datasets.data.storage import as_json_text, unstorable, with_media_undecoded
from seal_datasets.data.transform import arrow_column, n_processes
from seal_datasets.data.verdicts import compare
from seal_datasets.errors import DataError

__all__ = ["PROBLEMS", "UNUSABLE", "Diagnosis", "HubDataset", "PairFormat", "ProblemCount", "diagnose", "load_pairs"]

LOAD_VERSION = "5"
_ROW = "row of the source"

_TURNS = List({"role": Value("string"), "content": Value("string")})
PAIR_FEATURES = Features(
    {
        schema.PAIR_ID: Value("string"),
        schema.PROMPT_ID: Value("string"),
        schema.PROMPT: Value("string"),
        schema.CHOSEN: Value("string"),
        schema.REJECTED: Value("string"),
        schema.CONVERSATION: _TURNS,
        schema.REJECTED_PROMPT: Value("string"),
        schema.REJECTED_CONVERSATION: _TURNS,
        schema.PROBLEMS: List(Value("string")),
    }
)


def load_pairs(
    source: str | os.PathLike[str] | HubDataset | Dataset | IterableDataset | DatasetDict | IterableDatasetDict,
    *,
    split: str | None = None,
    format: PairFormat | Literal["auto"] = "auto",
    strict: bool = False,
    streaming: bool | Part = False,
    limit: int | None = None,
    seed: int | None = None,
) -> tuple[Dataset | IterableDataset, Diagnosis]:
    """Load preference pairs in one canonical form, and count their problems.

    A string is a local path if that path exists or if it looks like one (a data file's ending, `./`, `/`, `~`).
    Otherwise it is a dataset id on the Hub.

    Args:
        source (`str`, `PathLike`, `HubDataset`, `Dataset`, `IterableDataset` or a dict of the last two): One of:
            a Hub id, as `HubDataset` to choose a configuration or revision;
            a `.jsonl`, `.json` or `.csv` file (each also as `.gz`), or a `.parquet` file;
            a folder made by `save_to_disk`;
            or a `datasets` object.
        split (`str`, *optional*): Split to take; needed if there is more than one.
        format (`str`, defaults to `"auto"`): One of `PairFormat`; `"auto"` detects it from columns and types.
        strict (`bool`, defaults to `False`): Whether any problem in the data is an error; a stream raises it when
            the pair is read.
        streaming (`bool` or `tuple[int, int]`, defaults to `False`): Whether to return an `IterableDataset`, read on use. A
            number from 0 and a count take one of so many runs of a Parquet stream's row groups, with the ids of the whole.
            Files are checked as a whole for run 0 only.
        limit (`int`, *optional*): Number of source rows to take: the first ones, or with `seed` a random sample.
            Where each row holds one response, the number of prompts.
        seed (`int`, *optional*): Seed of the sample that `limit` takes; has no effect without `limit`.

    Returns:
        `tuple[Dataset | IterableDataset, Diagnosis]`: The pairs and the diagnosis. Pairs are in source order, with the
        canonical columns of `schema` and the source columns. A source column whose name is taken by a canonical one
        becomes `source_<name>`. The diagnosis of a stream has no counts; `diagnose` computes them.

    Raises:
        DataError: The source cannot be read, its columns or types fit no format, or it has no pairs; or `strict` is set
            and there is a problem. A `NotDealtError` where runs are wanted and the source has none.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> rows = {"prompt": ["Hi"], "chosen": ["Hello!"], "rejected": [""]}
    >>> pairs, diagnosis = load_pairs(Dataset.from_dict(rows))
    >>> pairs[0]["conversation"], pairs[0]["problems"]
    ([{'role': 'user', 'content': 'Hi'}], ['empty_rejected'])
    >>> diagnosis.format, diagnosis.n_pairs
    ('standard', 1)

    ```
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit must be at least 1, got {limit}")
    part = streaming if isinstance(streaming, tuple) else None
    opened = open_source(source, split=split, streaming=bool(streaming), part=part)
    rows = with_media_undecoded(opened.rows.with_format(None))
    if isinstance(rows, Dataset) and len(rows) == 0:
        raise DataError(f"the source has no rows; its columns are {rows.column_names}")
    features = _read_features(rows)
    if rows.features is None and not opened.parquet:
        rows = rows.map(partial(_fill, columns=tuple(features)))
    known = Diagnosis(source=opened.label, fingerprint=opened.fingerprint)
    if format == "canonical" or (format == "auto" and set(schema.CANONICAL_COLUMNS) <= set(features)):
        rows, _ = _deal(rows, opened, part, limit)
        pairs = _cast_canonical(_take_rows(rows, limit, seed)[0], features)
        known = replace(known, format="canonical")
        return (
            (pairs, known) if isinstance(pairs, IterableDataset) else (pairs, _complete_diagnosis(pairs, known, strict))
        )
    spellings = find_spellings(rows, features, format)
    rows = _gather_responses(rows, spellings[0].prompt[0]) if spellings[0].gathered else rows
    rows, row_numbers = _take_rows(rows, limit, seed)
    # Gathering changes types; a stream is never gathered, and its head need not be read again.
    layout = find_layout(rows, rows.features or features, format, spellings)
    rows, first_row = _deal(rows, opened, part, limit)
    if isinstance(rows, IterableDataset):
        return _stream_pairs(rows, layout, strict, first_row), _describe(known, layout, opened.as_json)
    pairs = _table_pairs(rows, layout, row_numbers)
    n_rows = sum(map(len, rows[layout.spelling.responses[0]])) if layout.spelling.gathered else len(rows)
    known = replace(_describe(known, layout, opened.as_json), n_rows=n_rows)
    known = _count_verdicts(known, rows, layout)
    if len(pairs) == 0:
        raise DataError(
            f"none of the {n_rows} rows makes a pair ({known.n_tied_responses} pairs of responses are tied, "
            f"{known.n_unjudged_responses} responses have no verdict); needed is a row with a preferred response"
        )
    known = replace(known, first_unreadable=_first_unreadable(pairs, rows, layout, row_numbers))
    return pairs.remove_columns(_ROW), _complete_diagnosis(pairs, known, strict)


def _take_rows(
    rows: Dataset | IterableDataset, limit: int | None, seed: int | None
) -> tuple[Dataset | IterableDataset, list[int] | None]:
    """The rows within `limit`, and their row numbers in the source unless they are the first ones."""
    if isinstance(rows, IterableDataset):
        if limit is not None and seed is not None:
            raise DataError(
                "a stream has no random sample; leave out seed to take its first rows, or leave out streaming"
            )
        return (rows if limit is None else rows.take(limit)), None
    if limit is None or limit >= len(rows):
        return rows, None
    if seed is None:
        return rows.select(range(limit)), None
    numbers = np.sort(np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)).tolist()
    return rows.select(numbers), numbers


def _deal(
    rows: Dataset | IterableDataset, opened: Source, part: Part | None, limit: int | None
) -> tuple[Dataset | IterableDataset, int]:
    """The rows of a part, and the number of its first row."""
    if part is None:
        return rows, 0
    if not isinstance(rows, IterableDataset) or limit is not None:
        raise NotDealtError("only a whole stream is dealt to processes; leave out limit, and set streaming")
    return deal_rows(rows, opened.parquet, part)


def _read_features(rows: Dataset | IterableDataset) -> Features:
    """Types of the source; a stream without stated types is typed by its first thousand rows."""
    if rows.features is not None:
        return rows.features
    head = list(rows.take(1000))
    if not head:
        raise DataError("the source has no rows")
    columns = dict.fromkeys(name for row in head for name in row)
    try:
        return Dataset.from_dict({name: [row.get(name) for row in head] for name in columns}).features
    except pa.ArrowException as error:
        raise DataError(
            f"the stream mixes types in one column ({error}); give it features that all rows fit"
        ) from error


def _fill(row: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    """A row of a stream without stated types, with null in the columns that it lacks."""
    return {name: row.get(name) for name in columns}


def _cast_canonical(rows: Dataset | IterableDataset, features: Features) -> Dataset | IterableDataset:
    """Restore the types of a table from `load_pairs`; a file may have lost those of empty columns."""
    missing = [column for column in schema.CANONICAL_COLUMNS if column not in features]
    if missing:
        raise DataError(f"format='canonical' needs the columns that load_pairs makes; {missing} are missing")
    wanted = Features({column: PAIR_FEATURES.get(column, features[column]) for column in features})
    return rows if rows.features == wanted else rows.cast(wanted)


def _gather_responses(rows: Dataset | IterableDataset, prompt: str) -> Dataset:
    """One row for each prompt, in order of first appearance; every other column becomes a list over its rows."""
    if isinstance(rows, IterableDataset):
        raise DataError(
            f"each row holds one response, and pairs need all rows of one {prompt!r}; load the dataset without streaming"
        )
    table = rows.with_format("arrow")[:]
    column = table[prompt]
    keys = column if pa.types.is_string(column.type) else pa.array(as_json_text(column.to_pylist()), pa.string())
    codes = pd.factorize(keys.to_pandas(), use_na_sentinel=False)[0]
    order = np.argsort(codes, kind="stable")
    bounds = pa.array(np.searchsorted(codes[order], np.arange(codes.max() + 2)), pa.int32())
    columns = {
        name: pa.ListArray.from_arrays(bounds, table[name].take(order).combine_chunks())
        for name in table.column_names
        if name != prompt
    }
    columns[prompt] = table[prompt].take(order[bounds.to_numpy()[:-1]])
    gathered = pa.table({name: columns[name] for name in table.column_names})
    key = f"gathered by {prompt}: {rows._fingerprint}"
    return Dataset(gathered, fingerprint=hashlib.blake2b(key.encode(), digest_size=16).hexdigest())


def _describe(known: Diagnosis, layout: Layout, as_json: tuple[str, ...]) -> Diagnosis:
    return replace(
        known,
        format=layout.format,
        form=layout.spelling.name,
        prompt_columns=layout.prompt_columns,
        columns_not_read=layout.not_read,
        columns_as_json=tuple(dict.fromkeys((*as_json, *_unstorable_columns(layout)))),
    )


def _stream_pairs(rows: IterableDataset, layout: Layout, strict: bool, first_row: int) -> IterableDataset:
    as_json = _unstorable_columns(layout)
    kept = {
        new: Value("string") if name in as_json else layout.features[name] for name, new in layout.kept_columns.items()
    }

    def make(batch: dict[str, list[Any]], indices: list[int]) -> dict[str, list[Any]]:
        numbered = [first_row + index for index in indices]
        columns = _make_pairs_batch(batch, numbered, layout=layout, row_numbers=None, strict=strict)
        numbers = columns.pop(_ROW)
        for name, new in layout.kept_columns.items():
            values = as_json_text(batch[name]) if name in as_json else batch[name]
            columns[new] = [values[number - numbered[0]] for number in numbers]
        return columns

    return rows.map(
        make,
        batched=True,
        with_indices=True,
        batch_size=500,
        remove_columns=list(layout.features),
        features=Features({**PAIR_FEATURES, **layout.added, **kept}),
    )


def _table_pairs(rows: Dataset, layout: Layout, row_numbers: list[int] | None) -> Dataset:
    """Canonical columns made of the columns that are read, beside the other columns, which are never decoded."""
    # The fingerprint of `datasets` includes imported functions by name only, so the version stands for the code.
    key = json.dumps([LOAD_VERSION, rows._fingerprint, layout.format, repr(layout)])
    read = rows.select_columns(list(layout.columns))
    features = Features({**PAIR_FEATURES, **layout.added, _ROW: Value("int64")})
    pairs = read.map(
        partial(_pairs_table, layout=layout, row_numbers=row_numbers, arrow_schema=features.arrow_schema),
        batched=True,
        with_indices=True,
        batch_size=500,
        remove_columns=list(layout.columns),
        features=features,
        new_fingerprint=hashlib.blake2b(key.encode(), digest_size=16).hexdigest(),
        num_proc=n_processes(read),
        desc="Pairs",
    )
    kept = rows.select_columns(list(layout.kept_columns)).rename_columns(
        {name: new for name, new in layout.kept_columns.items() if name != new}
    )
    for name in _unstorable_columns(layout):
        new = layout.kept_columns[name]
        texts = Dataset.from_dict({new: as_json_text(kept[new][:])}, features=Features({new: Value("string")}))
        kept = concatenate_datasets([kept.remove_columns(new), texts], axis=1) if len(kept.column_names) > 1 else texts
    if not layout.kept_columns:
        return pairs
    if len(pairs) == 0:
        return pairs
    numbers = arrow_column(pairs, _ROW).to_numpy()
    if not np.array_equal(numbers, np.arange(len(kept))):
        kept = kept.select(numbers)
    return concatenate_datasets([pairs, kept.select_columns(list(layout.kept_columns.values()))], axis=1)


def _unstorable_columns(layout: Layout) -> tuple[str, ...]:
    return tuple(name for name in layout.kept_columns if unstorable(layout.features[name]))


def _pairs_table(
    batch: dict[str, list[Any]],
    indices: list[int],
    *,
    layout: Layout,
    row_numbers: list[int] | None,
    arrow_schema: pa.Schema,
) -> pa.Table:
    columns = _make_pairs_batch(batch, indices, layout=layout, row_numbers=row_numbers, strict=False)
    return pa.table(columns, schema=arrow_schema)


def _make_pairs_batch(
    batch: dict[str, list[Any]], indices: list[int], *, layout: Layout, row_numbers: list[int] | None, strict: bool
) -> dict[str, list[Any]]:
    made: list[dict[str, Any]] = []
    for index, row in zip(indices, _rows_of(batch, layout), strict=True):
        number = index if row_numbers is None else row_numbers[index]
        for pair in _make_pairs(row, number, layout):
            if strict and pair[schema.PROBLEMS]:
                named = [f"{name} ({PROBLEMS[name]})" for name in pair[schema.PROBLEMS]]
                raise DataError(f"strict: pair {pair[schema.PAIR_ID]!r} has {', '.join(named)}")
            pair[_ROW] = index
            made.append(pair)
    return {column: [pair[column] for pair in made] for column in (*PAIR_FEATURES, *layout.added, _ROW)}


def _rows_of(batch: dict[str, list[Any]], layout: Layout) -> Iterator[dict[str, Any]]:
    cells = {name: layout.read_cells(name, batch[name]) for name in layout.columns}
    for values in zip(*cells.values(), strict=True):
        yield dict(zip(cells, values, strict=True))


def _make_pairs(row: dict[str, Any], number: int, layout: Layout) -> list[dict[str, Any]]:
    """Pairs of one row with their ids; a row that cannot be read is a pair with that problem."""
    row_id = _read_row_id(row, number)
    try:
        pairs = row_pairs(row, layout.reader)
    except DataError:
        pairs = [unreadable_pair()]
    for index, pair in enumerate(pairs):
        pair[schema.PAIR_ID] = row_id if len(pairs) == 1 else f"{row_id}.{index}"
        pair[schema.SOURCE_ROW] = row_id
        pair |= {schema.source_column(side): pair[f"unsplit_{side}"] for side in schema.SIDES}
    return pairs


def _read_row_id(row: dict[str, Any], number: int) -> str:
    if schema.PAIR_ID not in row:
        return str(number)
    given = row[schema.PAIR_ID]
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise DataError(
            f"row {number}: column 'pair_id' holds {given!r}; needed is text or a whole number in every row"
        )
    return str(given)


def _first_unreadable(pairs: Dataset, rows: Dataset, layout: Layout, row_numbers: list[int] | None) -> str | None:
    """The error of the first row that cannot be read; raised if no row can."""
    problems = arrow_column(pairs, schema.PROBLEMS)
    pair_of_problem = pc.list_parent_indices(problems)
    bad = pair_of_problem.filter(pc.equal(pc.list_flatten(problems), "unreadable_row"))
    if not len(bad):
        return None
    index = pairs[_ROW][bad[0].as_py()]
    batch = rows.select_columns(list(layout.columns)).select([index])[:]
    try:
        row_pairs(next(_rows_of(batch, layout)), layout.reader)
    except DataError as error:
        message = f"row {index if row_numbers is None else row_numbers[index]}: {error}"
        if len(bad) == len(pairs):
            raise DataError(message) from error
        return message
    return None


def _count_verdicts(known: Diagnosis, rows: Dataset, layout: Layout) -> Diagnosis:
    """Count rows without a pair, ties, and responses without a verdict."""
    without_pair, tied, unjudged = 0, 0, 0
    rows = rows if layout.has_verdicts else rows.select([])
    for batch in rows.select_columns(list(layout.columns)).iter(1000):
        for row in _rows_of(batch, layout):
            try:
                pairs, n_tied, n_unjudged = compare(row, layout.reader.spelling_of(row))
            except DataError:
                continue
            without_pair, tied, unjudged = without_pair + (not pairs), tied + n_tied, unjudged + n_unjudged
    return replace(known, n_rows_without_pair=without_pair, n_tied_responses=tied, n_unjudged_responses=unjudged)


def _complete_diagnosis(pairs: Dataset, known: Diagnosis, strict: bool) -> Diagnosis:
    counted = diagnose(pairs)
    if strict and counted.problems:
        lines = [
            f"  {name}: {problem.count}, first in pair {problem.first_pair_id!r} ({PROBLEMS[name]})"
            for name, problem in counted.problems.items()
        ]
        raise DataError("strict: the data has problems\n" + "\n".join(lines))
    return replace(
        known,
        n_rows=len(pairs) if known.n_rows is None else known.n_rows,
        n_pairs=counted.n_pairs,
        n_usable_pairs=counted.n_usable_pairs,
        n_prompts=counted.n_prompts,
        problems=counted.problems,
    )

"""Load preference pairs from the Hub, a file, a folder or a `datasets` object into one canonical table.

Every row of the source becomes a pair or is counted. A faulty row is kept and its fault named in `problems`; only
unreadable input is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
from datasets import Dataset, DatasetDict, Features, IterableDataset, IterableDatasetDict, List, Value

from seal_datasets import schema
from seal_datasets.data.diagnosis import Diagnosis, ProblemCount, diagnose
from seal_datasets.data.formats import (
    FORMAT_NEEDS,
    SPELLINGS,
    PairFormat,
    Row,
    Spelling,
    compare,
    detect,
    prompt_of,
    responses_of,
)
from seal_datasets.data.pairs import PROBLEMS, UNUSABLE, row_pairs
from seal_datasets.data.sources import HubDataset, open_source
from seal_datasets.errors import DataError

__all__ = ["PROBLEMS", "UNUSABLE", "Diagnosis", "HubDataset", "PairFormat", "ProblemCount", "diagnose", "load_pairs"]

LOAD_VERSION = "2"

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
_AS_MESSAGES: dict[PairFormat, bool] = {
    "dialogue": False,
    "standard": False,
    "conversational": True,
    "conversational_implicit": True,
}
_PROMPT_IN_RESPONSE: frozenset[PairFormat] = frozenset({"dialogue", "conversational_implicit"})


@dataclass(frozen=True, slots=True)
class _Layout:
    """How to read one source.

    Attributes:
        format (`str`): The format.
        spelling (`Spelling`): Where prompt, responses and verdict are.
        features (`Features`): Columns and types of the source.
        kept_columns (`dict[str, str]`): New name of each source column that is kept.
    """

    format: PairFormat
    spelling: Spelling
    features: Features
    kept_columns: dict[str, str]

    @property
    def output(self) -> Features:
        kept = {column: self.features[name] for name, column in self.kept_columns.items()}
        if self.format == "dialogue":
            kept |= {schema.source_column(side): Value("string") for side in schema.SIDES}
        return Features({**PAIR_FEATURES, **kept})


def load_pairs(
    source: str | os.PathLike[str] | HubDataset | Dataset | IterableDataset | DatasetDict | IterableDatasetDict,
    *,
    split: str | None = None,
    format: PairFormat | Literal["auto"] = "auto",
    strict: bool = False,
    streaming: bool = False,
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
        streaming (`bool`, defaults to `False`): Whether to return an `IterableDataset`, read on use.
        limit (`int`, *optional*): Number of source rows to take: the first ones, or with `seed` a random sample.
            Where each row holds one response, the number of prompts.
        seed (`int`, *optional*): Seed of the sample that `limit` takes; has no effect without `limit`.

    Returns:
        `tuple[Dataset | IterableDataset, Diagnosis]`: The pairs and the diagnosis. Pairs are in source order, with the
        canonical columns of `schema` and the source columns. A source column whose name is taken by a canonical one
        becomes `source_<name>`. The diagnosis of a stream has no counts; `diagnose` computes them.

    Raises:
        DataError: The source cannot be read, its columns or types fit no format, or it has no pairs; or `strict` is set
            and there is a problem.

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
    opened = open_source(source, split=split, streaming=streaming)
    rows = opened.rows.with_format(None)
    if isinstance(rows, Dataset) and len(rows) == 0:
        raise DataError(f"the source has no rows; its columns are {rows.column_names}")
    features = _read_features(rows)
    known = Diagnosis(source=opened.label, fingerprint=opened.fingerprint)
    if format == "canonical" or (format == "auto" and set(schema.CANONICAL_COLUMNS) <= set(features)):
        pairs = _cast_canonical(_take_rows(rows, limit, seed)[0], features)
        known = replace(known, format="canonical")
        return (
            (pairs, known) if isinstance(pairs, IterableDataset) else (pairs, _complete_diagnosis(pairs, known, strict))
        )
    spelling = _find_spelling(features, format)
    rows = _gather_responses(rows, str(spelling.prompt)) if spelling.gathered else rows
    rows, row_numbers = _take_rows(rows, limit, seed)
    layout = _find_layout(rows, _read_features(rows), format, spelling)
    pairs = _map_rows(rows, layout, row_numbers, strict)
    known = replace(known, format=layout.format)
    if isinstance(pairs, IterableDataset):
        return pairs, known
    n_rows = sum(map(len, rows[spelling.responses[0]])) if spelling.gathered else len(rows)
    known = _count_verdicts(replace(known, n_rows=n_rows), rows, layout.spelling)
    if len(pairs) == 0:
        raise DataError(
            f"none of the {n_rows} rows makes a pair ({known.n_tied_responses} pairs of responses are tied, "
            f"{known.n_unjudged_responses} responses have no verdict); needed is a row with a preferred response"
        )
    return pairs, _complete_diagnosis(pairs, known, strict)


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


def _read_features(rows: Dataset | IterableDataset) -> Features:
    """Types of the source; a stream without stated types is typed by its first thousand rows."""
    if rows.features is not None:
        return rows.features
    head = list(rows.take(1000))
    if not head:
        raise DataError("the source has no rows")
    try:
        return Dataset.from_list(head).features
    except pa.ArrowException as error:
        raise DataError(
            f"the stream mixes types in one column ({error}); give it features that all rows fit"
        ) from error


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
    codes = pd.factorize(table[prompt].to_pandas(), use_na_sentinel=False)[0]
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


def _find_spelling(features: Features, format: PairFormat | Literal["auto"]) -> Spelling:
    if format not in (*get_args(PairFormat), "auto"):
        raise DataError(f"format must be 'auto' or one of {list(get_args(PairFormat))}, got {format!r}")
    for spelling in SPELLINGS:
        if set(spelling.columns) <= set(features) and _fits_format(spelling, format):
            return spelling
    raise DataError(_describe_needed_columns(list(features), format))


def _find_layout(
    rows: Dataset | IterableDataset, features: Features, format: PairFormat | Literal["auto"], spelling: Spelling
) -> _Layout:
    if format == "auto" or format == "responses":
        detected, spelling = detect(_find_typical_row(rows, spelling), spelling)
    else:
        detected = format
        spelling = replace(spelling, prompt=None, system=None) if detected in _PROMPT_IN_RESPONSE else spelling
    return _Layout(detected, spelling, features, _name_kept_columns(features, detected, spelling))


def _fits_format(spelling: Spelling, format: PairFormat | Literal["auto"]) -> bool:
    if format == "auto":
        return True
    if format in ("standard", "conversational") and spelling.prompt is None:
        return False
    return spelling.is_judged == (format == "responses")


def _describe_needed_columns(columns: list[str], format: PairFormat | Literal["auto"]) -> str:
    needs = FORMAT_NEEDS.items() if format == "auto" else [(format, FORMAT_NEEDS[format])]
    listed = "\n".join(f"  {name}: {needed}" for name, needed in needs)
    return (
        f"the source has the columns {columns}, which make no preference pairs. Needed are the columns of one format "
        f"(rename yours with rename_column if they have other names):\n{listed}"
    )


def _find_typical_row(rows: Dataset | IterableDataset, spelling: Spelling) -> Row:
    """The first row without nulls in prompt and responses; if there is none, without nulls in the responses."""
    without_prompt = None
    for row in rows.select_columns(list(spelling.columns)):
        responses = responses_of(row, spelling)
        if not responses or any(response is None for response in responses):
            continue
        if spelling.prompt is None or prompt_of(row, spelling) is not None:
            return dict(row)
        without_prompt = without_prompt or dict(row)
    if without_prompt is None:
        raise DataError(f"no row has a value in all of {list(spelling.responses)}; needed is at least one whole pair")
    return without_prompt


def _name_kept_columns(features: Features, format: PairFormat, spelling: Spelling) -> dict[str, str]:
    """New name of each source column: its own, unless a canonical column of that name has other values."""
    same = {schema.CHOSEN, schema.REJECTED} if format in ("standard", "dialogue") else set()
    if spelling.prompt == schema.PROMPT and spelling.system is None and isinstance(features[schema.PROMPT], Value):
        same.add(schema.PROMPT)
    if not spelling.is_judged:
        same.add(schema.PAIR_ID)
    kept_columns = {
        column: schema.source_column(column) if column in schema.CANONICAL_COLUMNS else column
        for column in features
        if column not in same
    }
    taken = sorted(column for name, column in kept_columns.items() if column != name and column in features)
    if taken:
        raise DataError(f"the source has columns {taken}, whose names are needed for original values; rename them")
    return kept_columns


def _map_rows(
    rows: Dataset | IterableDataset, layout: _Layout, row_numbers: list[int] | None, strict: bool
) -> Dataset | IterableDataset:
    is_stream = isinstance(rows, IterableDataset)
    function = partial(_make_pairs_batch, layout=layout, row_numbers=row_numbers, strict=strict and is_stream)
    settings: dict[str, Any] = {
        "batched": True,
        "with_indices": True,
        "batch_size": 500,
        "remove_columns": list(layout.features),
        "features": layout.output,
    }
    if is_stream:
        return rows.map(function, **settings)
    # The fingerprint of `datasets` includes imported functions by name only, so the version stands for the code.
    key = json.dumps([LOAD_VERSION, rows._fingerprint, layout.format, repr(layout.spelling), repr(layout.kept_columns)])
    fingerprint = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    return rows.map(function, **settings, new_fingerprint=fingerprint, desc="Pairs")


def _make_pairs_batch(
    batch: dict[str, list[Any]], indices: list[int], *, layout: _Layout, row_numbers: list[int] | None, strict: bool
) -> dict[str, list[Any]]:
    cells = {name: batch[name] for name in layout.features}
    columns: dict[str, list[Any]] = {column: [] for column in layout.output}
    for position, index in enumerate(indices):
        row = {name: values[position] for name, values in cells.items()}
        number = index if row_numbers is None else row_numbers[index]
        for pair in _make_pairs(row, number, layout):
            if strict and pair[schema.PROBLEMS]:
                named = [f"{name} ({PROBLEMS[name]})" for name in pair[schema.PROBLEMS]]
                raise DataError(f"strict: pair {pair[schema.PAIR_ID]!r} has {', '.join(named)}")
            for column in columns:
                columns[column].append(pair[column])
    return columns


def _make_pairs(row: Row, number: int, layout: _Layout) -> list[dict[str, Any]]:
    """Pairs of one row with their ids and the kept source columns; errors name the row."""
    try:
        pairs = row_pairs(row, layout.spelling, as_messages=_AS_MESSAGES.get(layout.format))
        row_id = _read_row_id(row, number)
    except DataError as error:
        raise DataError(f"row {number}: {error}") from error
    for index, pair in enumerate(pairs):
        pair[schema.PAIR_ID] = row_id if len(pairs) == 1 else f"{row_id}.{index}"
        if layout.format == "dialogue":
            pair |= {schema.source_column(side): pair[f"unsplit_{side}"] for side in schema.SIDES}
        pair |= {column: row[name] for name, column in layout.kept_columns.items()}
    return pairs


def _read_row_id(row: Row, number: int) -> str:
    if schema.PAIR_ID not in row:
        return str(number)
    given = row[schema.PAIR_ID]
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise DataError(f"column 'pair_id' holds {given!r}; needed is text or a whole number in every row")
    return str(given)


def _count_verdicts(known: Diagnosis, rows: Dataset, spelling: Spelling) -> Diagnosis:
    """Count rows without a pair, ties, and responses without a verdict."""
    without_pair, tied, unjudged = 0, 0, 0
    if spelling.is_judged:
        for row in rows.select_columns(list(spelling.columns)):
            pairs, n_tied, n_unjudged = compare(row, spelling)
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

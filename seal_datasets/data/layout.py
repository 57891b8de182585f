"""Decide how the rows of a source are read, by its columns and by up to a thousand of its rows."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from datasets import ClassLabel, Dataset, Features, IterableDataset, Json, LargeList, List, Value

from seal_datasets import schema
from seal_datasets.data.cells import Row, field, is_text_list
from seal_datasets.data.formats import (
    EARLIER_PARTS,
    FORMAT_NEEDS,
    KNOWN_COLUMNS,
    LATER_PARTS,
    PROMPTS,
    SPELLINGS,
    SYSTEM_PARTS,
    PairFormat,
    PromptColumns,
    Spelling,
)
from seal_datasets.data.json_rows import in_whole_characters
from seal_datasets.data.pairs import Reader, row_format
from seal_datasets.data.verdicts import responses_of
from seal_datasets.errors import DataError

LOOKED_AT = 1000
Asked = PairFormat | Literal["auto"]

_AS_MESSAGES: dict[PairFormat, bool] = {
    "dialogue": False,
    "standard": False,
    "conversational": True,
    "conversational_implicit": True,
}
_WHOLE: frozenset[PairFormat] = frozenset({"dialogue", "conversational_implicit"})


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read one source.

    Attributes:
        format (`str`): The commonest form of the rows looked at.
        features (`Features`): Columns and types of the source.
        reader (`Reader`): How to read each row.
        columns (`tuple[str, ...]`): Columns that rows are read from.
        json_text (`frozenset[str]`): Those whose text is JSON of turns or texts.
        labels (`dict[str, ClassLabel]`): Those that hold the numbers of named classes.
        prompt_columns (`tuple[str, ...]`): Columns that the prompt is made of.
        not_read (`tuple[str, ...]`): Columns that no pair is read from.
        kept_columns (`dict[str, str]`): New name of each source column that is kept.
        added (`Features`): Columns beside the canonical ones: raw dialogues, authors, the form of each row, and places of
            the responses where a row looked at has more than two.
    """

    format: PairFormat
    features: Features
    reader: Reader
    columns: tuple[str, ...]
    json_text: frozenset[str]
    labels: dict[str, ClassLabel]
    prompt_columns: tuple[str, ...]
    not_read: tuple[str, ...]
    kept_columns: dict[str, str]
    added: Features

    @property
    def spelling(self) -> Spelling:
        """The first spelling, in which most rows are read."""
        return self.reader.spellings[0]

    @property
    def has_verdicts(self) -> bool:
        """Whether a row may have ties, no verdict, or several responses in one column."""
        columns = {name.split(".")[0] for spelling in self.reader.spellings for name in spelling.responses}
        # A list of structures is one response as turns, unless the spelling gives a verdict on its items.
        may_be_lists = [
            isinstance(kind, Json) or (isinstance(kind, List | LargeList) and not isinstance(kind.feature, dict))
            for kind in map(self.features.get, columns)
        ]
        judged = any(spelling.is_judged for spelling in self.reader.spellings)
        return judged or any(may_be_lists) or bool(columns & self.json_text)

    def read_cells(self, name: str, values: list[Any]) -> list[Any]:
        """The cells of a column with class names in place of numbers, and JSON text decoded."""
        if name in self.labels:
            label = self.labels[name]
            return [None if value is None or value < 0 else label.int2str(value) for value in values]
        if name not in self.json_text:
            return values
        return [_decoded(value) if isinstance(value, str) else value for value in values]


def find_spellings(rows: Dataset | IterableDataset, features: Features, format: Asked) -> tuple[Spelling, ...]:
    """The spellings that fit a source's columns, the best first.

    Args:
        rows (`Dataset` or `IterableDataset`): The source; rows tell the fields of columns that no one type holds.
        features (`Features`): Columns and types of the source.
        format (`str`): One of `PairFormat`, or `"auto"`.

    Returns:
        `tuple[Spelling, ...]`: At least one.

    Raises:
        DataError: The format is unknown, or no spelling fits.
    """
    if format not in (*get_args(PairFormat), "auto"):
        raise DataError(f"format must be 'auto' or one of {list(get_args(PairFormat))}, got {format!r}")
    paths = {*_column_paths(features), *_mixed_paths(rows, features)}
    fitting = [
        spelling.within(paths) for spelling in SPELLINGS if spelling.fits(paths) and _fits_format(spelling, format)
    ]
    if not fitting:
        raise DataError(_describe_needed_columns(list(features), format))
    return tuple(spelling for spelling in fitting if spelling.gathered == fitting[0].gathered)


def find_layout(
    rows: Dataset | IterableDataset, features: Features, format: Asked, spellings: tuple[Spelling, ...]
) -> Layout:
    """Decide how to read a source.

    Args:
        rows (`Dataset` or `IterableDataset`): The source.
        features (`Features`): Its columns and types.
        format (`str`): One of `PairFormat`, or `"auto"` to decide by the rows.
        spellings (`tuple[Spelling, ...]`): The spellings that fit its columns.

    Returns:
        `Layout`: The decision, by up to `LOOKED_AT` rows: evenly spaced ones of a table, the first ones of a stream.

    Raises:
        DataError: No row has responses, or none can be read.
    """
    forced = _forced(format)
    reader = Reader(
        spellings,
        _prompt_columns(features),
        as_messages=None if forced is None else _AS_MESSAGES.get(forced),
        whole=None if forced is None else forced in _WHOLE,
    )
    used = dict.fromkeys(name for spelling in spellings for name in spelling.columns)
    columns = tuple(name for name in (*used, *reader.parts.columns, schema.PAIR_ID) if name in features)
    columns = tuple(dict.fromkeys(columns))
    head = _look_at(rows, columns)
    labels = {name: features[name] for name in columns if isinstance(features[name], ClassLabel)}
    json_text = frozenset(name for name in columns if _is_json_text(row[name] for row in head))
    decoder = Layout("canonical", features, reader, columns, json_text, labels, (), (), {}, Features())
    cells = {name: decoder.read_cells(name, [row[name] for row in head]) for name in columns}
    head = [dict(zip(cells, values, strict=True)) for values in zip(*cells.values(), strict=True)]
    formats = _count_formats(head, reader, forced)
    commonest: PairFormat = "responses" if spellings[0].is_judged else formats.most_common(1)[0][0]
    prompts = _main_cells(head, reader)
    main = tuple(dict(prompts)) if set(formats) - _WHOLE else ()
    parts = reader.parts if set(main) & set(PROMPTS) else PromptColumns(reader.parts.system)
    prompt_columns = tuple(dict.fromkeys((*parts.system, *parts.earlier, *main, *parts.later)))
    kept = _name_kept_columns(features, head, reader, _Plain(formats, main, prompt_columns, json_text))
    unused_prompts = {path for spelling in spellings for path in spelling.prompt} - set(prompt_columns)
    read = {path.split(".")[0] for spelling in spellings for path in spelling.columns} - unused_prompts
    read |= {path.split(".")[0] for path in prompt_columns} | {schema.PAIR_ID}
    return Layout(
        forced or commonest,
        features,
        reader,
        columns,
        json_text,
        labels,
        prompt_columns,
        tuple(name for name in features if name not in read),
        kept,
        _added_columns(formats, reader, head, kept),
    )


def _forced(format: Asked) -> PairFormat | None:
    return None if format == "auto" or format == "responses" else format


@dataclass(frozen=True, slots=True)
class _Plain:
    """What decides whether a source column equals a canonical one."""

    formats: Counter[PairFormat]
    main: tuple[str, ...]
    prompt_columns: tuple[str, ...]
    json_text: frozenset[str]


def _column_paths(features: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, kind in features.items():
        yield prefix + name
        inner = kind.feature if isinstance(kind, List | LargeList) else kind
        if isinstance(inner, dict):
            yield from _column_paths(inner, f"{prefix}{name}.")


def _mixed_paths(rows: Dataset | IterableDataset, features: Features) -> Iterator[str]:
    """Fields of structures in columns of mixed values, by the rows looked at."""
    mixed = tuple(name for name, kind in features.items() if isinstance(kind, Json) and name in KNOWN_COLUMNS)
    for row in _look_at(rows, mixed) if mixed else ():
        for name, value in row.items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    yield from (f"{name}.{key}" for key in item)


def _fits_format(spelling: Spelling, format: Asked) -> bool:
    if format == "auto":
        return True
    if format in ("standard", "conversational") and not spelling.prompt:
        return False
    return spelling.is_judged == (format == "responses")


def _describe_needed_columns(columns: list[str], format: Asked) -> str:
    needs = FORMAT_NEEDS.items() if format == "auto" else [(format, FORMAT_NEEDS[format])]
    listed = "\n".join(f"  {name}: {needed}" for name, needed in needs)
    return (
        f"the source has the columns {columns}, which make no preference pairs. Needed are the columns of one format "
        f"(rename yours with rename_column if they have other names; docs/reference/forms.md lists all forms):\n{listed}"
    )


def _prompt_columns(features: Features) -> PromptColumns:
    """The columns beside a prompt that can be parts of it, by their types."""
    turns = [name for name in (*EARLIER_PARTS, *LATER_PARTS) if name in features and _holds_turns(features[name])]
    texts = [name for name in LATER_PARTS if name in features and _holds_text(features[name])]
    earlier = [name for name in EARLIER_PARTS if name in features and name not in turns and _holds_text(features[name])]
    system = [name for name in SYSTEM_PARTS if name in features and _is_text(features[name])]
    return PromptColumns(tuple(system), (*earlier, *turns), tuple(texts))


def _is_text(kind: object) -> bool:
    return isinstance(kind, Json) or (isinstance(kind, Value) and kind.dtype in ("string", "large_string", "null"))


def _holds_text(kind: object) -> bool:
    return _is_text(kind) or (isinstance(kind, List | LargeList) and _is_text(kind.feature))


def _holds_turns(kind: object) -> bool:
    """Whether a column holds turns, or [question, answer] pairs."""
    inner = kind.feature if isinstance(kind, List | LargeList) else kind
    if isinstance(inner, List | LargeList):
        return _is_text(inner.feature)
    return isinstance(inner, dict) and bool({"role", "from"} & inner.keys())


def _look_at(rows: Dataset | IterableDataset, columns: tuple[str, ...]) -> list[Row]:
    chosen = rows.select_columns(list(columns))
    if isinstance(chosen, IterableDataset):
        return [dict(row) for row in chosen.take(LOOKED_AT)]
    return list(chosen.select(np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).astype(int))))


def _is_json_text(values: Iterable[object]) -> bool:
    """Whether every text of a column is a JSON list of texts or turns, and there is one."""
    decoded = [_decoded(value) if isinstance(value, str) else None for value in values if value is not None]
    return bool(decoded) and all(
        isinstance(value, list) and (is_text_list(value) or all(isinstance(item, dict) for item in value)) and value
        for value in decoded
    )


def _decoded(text: str) -> object:
    if not text.lstrip().startswith("["):
        return text
    try:
        return in_whole_characters(json.loads(text), text)
    except (ValueError, RecursionError):
        return text


def _count_formats(head: list[Row], reader: Reader, forced: PairFormat | None) -> Counter[PairFormat]:
    formats: Counter[PairFormat] = Counter()
    n_whole, error = 0, None
    for row in head:
        try:
            format = row_format(row, reader)
            n_whole += all(field(row, name) is not None for name in reader.spelling_of(row).responses)
        except DataError as caught:
            error = error or caught
            continue
        if format is not None:
            formats[format] += 1
    if error is not None and not formats:
        raise error
    if not n_whole:
        names = list(reader.spellings[0].responses)
        raise DataError(f"no row has a value in all of {names}; needed is at least one whole pair")
    if formats or forced:
        return formats or Counter({forced or "standard": 1})
    raise DataError(
        "chosen and rejected are texts without a '\\n\\nAssistant:' turn, and there is no prompt column, so the end of "
        "the prompt is unknown (the common start of two texts may be part of the answers); "
        "give the prompt as a column 'prompt', or, if only these rows lack their turns, format='dialogue'"
    )


def _main_cells(head: list[Row], reader: Reader) -> list[tuple[str, object]]:
    """The prompt column that each readable row has its prompt in, and the cell."""
    cells = []
    for row in head:
        with contextlib.suppress(DataError):
            named = ((name, field(row, name)) for name in reader.spelling_of(row).prompt)
            cells += [cell for cell in named if cell[1] is not None][:1]
    return cells


def _name_kept_columns(features: Features, head: list[Row], reader: Reader, plain: _Plain) -> dict[str, str]:
    """New name of each source column: its own, unless a canonical column of that name has other values."""
    same: set[str] = {
        name
        for name in schema.SIDES
        if name in features and _is_text(features[name]) and not isinstance(features[name], Json)
    }
    same -= plain.json_text
    is_plain = plain.main == plain.prompt_columns == (schema.PROMPT,) and not set(plain.formats) & _WHOLE
    if is_plain and isinstance(features[schema.PROMPT], Value) and schema.PROMPT not in plain.json_text:
        same.add(schema.PROMPT)
    if not reader.spellings[0].is_judged and not any(is_text_list(row.get(schema.CHOSEN)) for row in head):
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


def _added_columns(formats: Counter[PairFormat], reader: Reader, head: list[Row], kept: dict[str, str]) -> Features:
    names: list[str] = []
    if formats["dialogue"] and set(schema.SIDES) <= set(reader.spellings[0].columns):
        names += [schema.source_column(side) for side in schema.SIDES]
    if any(spelling.authors for spelling in reader.spellings):
        names += [schema.author_column(side) for side in schema.SIDES]
    has_turns = any(isinstance(prompt, str) and "Human:" in prompt for _, prompt in _main_cells(head, reader))
    may_be_rendered = "standard" in formats and (has_turns or reader.parts.system or reader.parts.earlier)
    if set(formats) not in ({"dialogue"}, {"standard"}) or may_be_rendered:
        names.append(schema.SOURCE_FORMAT)
    kinds = dict.fromkeys(names, "string")
    if any(_n_responses(row, reader) > 2 for row in head):
        kinds |= {schema.SOURCE_ROW: "string"}
        kinds |= {schema.response_index_column(side): "int64" for side in schema.SIDES}
    return Features({name: Value(kind) for name, kind in kinds.items() if name not in kept.values()})


def _n_responses(row: Row, reader: Reader) -> int:
    with contextlib.suppress(DataError):
        return len(responses_of(row, reader.spelling_of(row)).cells)
    return 0

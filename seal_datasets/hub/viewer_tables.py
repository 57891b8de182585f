"""Split an audit's table into flat, typed tables for the dataset viewer, and restore it.

The wide table becomes four: `pairs` (texts, problems, regime, margins, the source's own columns), `labels` (features),
`rewards` and `rewrites`. All have the same rows in the same order and begin with `pair_id`. Words become `ClassLabel`; a
column of lists becomes one column per member. Tables are read and written in batches of a thousand rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from datasets import ClassLabel, Features, load_dataset

from seal_datasets import schema
from seal_datasets.data.hub_answers import first_line
from seal_datasets.data.parquet_files import check_parquet
from seal_datasets.data.problems import PROBLEMS
from seal_datasets.errors import DataError
from seal_datasets.estimate import REGIMES
from seal_datasets.hub.column_forms import ClassColumn, ColumnForm, FailureColumns, MemberColumns, PlainColumn
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.rewrites.sample import AXES

Config = Literal["pairs", "labels", "rewards", "rewrites"]
CONFIGS: tuple[Config, ...] = ("pairs", "labels", "rewards", "rewrites")

_ROWS = 1000
_SHARD_BYTES = 256 * 2**20

_TEXTS = (
    schema.PROMPT,
    schema.CHOSEN,
    schema.REJECTED,
    schema.CONVERSATION,
    schema.REJECTED_PROMPT,
    schema.REJECTED_CONVERSATION,
)
_PREFERENCES = ("chosen", "rejected", "indifferent")


def write_flat(
    table: Path, run: Mapping[str, Any], features: Sequence[Feature], out: Path, *, ids_only: bool = False
) -> dict[Config, list[Path]]:
    """Write an audit's table as flat tables in shards.

    Args:
        table (`Path`): `pairs.parquet` of an audit.
        run (`Mapping[str, Any]`): Its `run.json`.
        features (`Sequence[Feature]`): The features it used.
        out (`Path`): Folder for the shards, each table in a folder of its own.
        ids_only (`bool`, defaults to `False`): Leave out every column of the source, texts made from them, and
            details of failed labels, which may quote them.

    Returns:
        `dict[str, list[Path]]`: Table to its shards; tables without a column besides `pair_id` are not written.

    Raises:
        DataError: The table is not from an audit.
    """
    types = Features.from_arrow_schema(pq.read_schema(table))
    missing = [name for name in (schema.PAIR_ID, schema.PROMPT_ID, schema.PROBLEMS) if name not in types]
    if missing:
        raise DataError(f"{table} lacks {', '.join(missing)}; give the folder of a finished `seal audit`")
    forms = _forms(table, types, run, features, ids_only)
    writers = {
        config: _Shards(out / config, _flat_features(table_forms))
        for config, table_forms in forms.items()
        if len(table_forms) > 1
    }
    for batch in pq.ParquetFile(table).iter_batches(_ROWS):
        for config, writer in writers.items():
            arrays = [array for form in forms[config] for array in form.flatten(batch[form.column])]
            writer.write(dict(zip(writer.features, arrays, strict=True)))
    return {config: writer.close() for config, writer in writers.items()}


def restore_table(
    shards: Mapping[Config, Sequence[Path]], run: Mapping[str, Any], features: Sequence[Feature], out: Path
) -> None:
    """Write the table of an audit from its flat tables.

    Args:
        shards (`Mapping[str, Sequence[Path]]`): Table to its shards, in order.
        run (`Mapping[str, Any]`): The audit's `run.json`.
        features (`Sequence[Feature]`): The features it used.
        out (`Path`): Parquet file to write.

    Raises:
        DataError: The tables do not match each other, or hold what no audit writes.
    """
    try:
        _restore(shards, run, features, out)
    except DataError:
        raise
    except (pa.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"the published tables are not those of an audit ({first_line(error)}); publish them again"
        ) from error


def _restore(
    shards: Mapping[Config, Sequence[Path]], run: Mapping[str, Any], features: Sequence[Feature], out: Path
) -> None:
    schemas = {config: [check_parquet(path) for path in paths] for config, paths in shards.items() if paths}
    types = {config: Features.from_arrow_schema(each[0]) for config, each in schemas.items()}
    if "pairs" not in types:
        raise DataError("the published audit has no table 'pairs'")
    forms = _published_forms(types, run, features)
    restored = Features({form.column: form.type for table_forms in forms.values() for form in table_forms})
    with pq.ParquetWriter(out, restored.arrow_schema) as writer:
        for batches in zip(*(_batches(shards[config]) for config in forms), strict=True):
            ids = {tuple(batch[schema.PAIR_ID].to_pylist()) for batch in batches}
            if len(ids) > 1:
                raise DataError("the published tables do not have the same pairs in the same order; publish them again")
            columns: dict[str, Any] = {}
            for table_forms, batch in zip(forms.values(), batches, strict=True):
                for form in table_forms:
                    columns[form.column] = form.restore([batch[name] for name in form.flat])
            writer.write_table(_arrow(columns, restored))


def _forms(
    table: Path, types: Features, run: Mapping[str, Any], features: Sequence[Feature], ids_only: bool
) -> dict[Config, list[ColumnForm]]:
    """Table and published form of each column of an audit's table."""
    homes = _homes(run, features)
    regimes = dict.fromkeys(map(schema.regime_column, run["models"]), tuple(REGIMES))
    known = {**regimes, schema.LABELER_PREFERENCE: _PREFERENCES}
    words = _words(table, known, [name for name, (_, kind) in homes.items() if kind == "words" and name in types])
    forms: dict[Config, list[ColumnForm]] = {
        config: [PlainColumn(schema.PAIR_ID, types[schema.PAIR_ID])] for config in CONFIGS
    }
    own_gold = run["settings"].get("gold") is not None
    for name in types:
        if name == schema.PAIR_ID:
            continue
        config, kind = homes.get(name, ("pairs", "source"))
        if ids_only and (kind in ("source", "text") or (kind.startswith("gold") and not own_gold)):
            continue
        form = _form(name, kind, types[name], words, features, details=not ids_only)
        forms[config].append(form)
    flat = [name for table_forms in forms.values() for form in table_forms[1:] for name in form.flat]
    if repeated := {name for name in flat if flat.count(name) > 1}:
        raise DataError(
            f"columns of the source have the names of published columns: {sorted(repeated)}; rename them in the source"
        )
    return forms


def _published_forms(
    types: Mapping[Config, Features], run: Mapping[str, Any], features: Sequence[Feature]
) -> dict[Config, list[ColumnForm]]:
    """Forms of the columns of published tables, by table."""
    homes = _homes(run, features)
    forms: dict[Config, list[ColumnForm]] = {}
    for config, flat in types.items():
        forms[config] = []
        left = {name: None for name in flat if config == "pairs" or name != schema.PAIR_ID}
        for name, (home, kind) in homes.items():
            words = {name: tuple(flat[name].names)} if isinstance(flat.get(name), ClassLabel) else {}
            if kind == "problems":  # another version may have other problems
                known = (problem for problem in PROBLEMS if schema.member_column(name, problem) in flat)
                wanted: ColumnForm = MemberColumns(name, tuple(known))
            else:
                wanted = _form(name, kind, flat.get(name), words, features, details=name in flat)
            if home == config and wanted.flat and set(wanted.flat) <= set(flat):
                forms[config].append(wanted)
                for published in wanted.flat:
                    left.pop(published, None)
        forms[config] += [PlainColumn(name, flat[name]) for name in left]
    return forms


def _form(
    name: str,
    kind: str,
    type_: Any,  # noqa: ANN401 - a type of datasets
    words: Mapping[str, tuple[str, ...]],
    features: Sequence[Feature],
    details: bool,
) -> ColumnForm:
    if kind == "words" and words.get(name):
        return ClassColumn(name, words[name])
    if kind == "problems":
        return MemberColumns(name, tuple(PROBLEMS))
    if "answers " in kind:
        answers = next(feature.answers for feature in features if feature.name == kind.partition("answers ")[2])
        return MemberColumns(name, tuple(sorted(answers)))
    if kind == "failures":
        labelled = [feature.name for feature in features if feature.type != "number"]
        return FailureColumns(name, tuple((label, schema.member_column(name, label)) for label in labelled), details)
    return PlainColumn(name, type_)


def _homes(run: Mapping[str, Any], features: Sequence[Feature]) -> dict[str, tuple[Config, str]]:
    """Table and kind of every column that an audit adds; other columns belong to the source."""
    homes: dict[str, tuple[Config, str]] = {
        schema.PROMPT_ID: ("pairs", "plain"),
        schema.PROBLEMS: ("pairs", "problems"),
        schema.PARTITION: ("pairs", "words"),
        schema.LABELER_PREFERENCE: ("pairs", "words"),
        **{schema.regime_column(model): ("pairs", "words") for model in run["models"]},
        **{schema.shift_column(model): ("pairs", "plain") for model in run["models"]},
        schema.SOURCE_ROW: ("pairs", "plain"),
        **{schema.response_index_column(side): ("pairs", "plain") for side in schema.SIDES},
        **{schema.margin_column(model): ("pairs", "plain") for model in run["models"]},
        **dict.fromkeys(_TEXTS, ("pairs", "text")),
    }
    added = {**_labels(features), **_rewards(run["models"])}
    homes.update(added)
    rewrites = run.get("rewrites") or {}
    axes = [name for axis in rewrites.get("axes", ()) for name in (axis, schema.back(axis))]
    for name in (*rewrites.get("presets", ()), *axes):
        for side in schema.SIDES:
            homes[schema.rewrite_status_column(name, side)] = ("rewrites", "words")
            homes[schema.rewrite_similarity_column(name, side)] = ("rewrites", "plain")
            if name in AXES:
                homes[schema.attribute_column(name, side)] = ("rewrites", "plain")
            for text in (schema.rewrite_column, schema.rewrite_prompt_column, schema.rewrite_detail_column):
                homes[text(name, side)] = ("rewrites", "text")
        for column, (_, kind) in added.items():
            homes[schema.rewritten_column(name, column)] = ("rewrites", kind)
    return homes


def _labels(features: Iterable[Feature]) -> dict[str, tuple[Config, str]]:
    homes: dict[str, tuple[Config, str]] = {
        schema.failures_column(side): ("labels", "failures") for side in schema.SIDES
    }
    for feature in features:
        kind = f"answers {feature.name}" if feature.type == "labels" else "plain"
        for side in schema.SIDES:
            homes[schema.feature_column(feature.name, side)] = ("labels", kind)
            homes[schema.gold_column(feature.name, side)] = ("labels", f"gold {kind}")
            homes[schema.probability_column(feature.name, side)] = ("labels", "plain")
            homes[schema.calibrated_column(feature.name, side)] = ("labels", "plain")
    return homes


def _rewards(models: Iterable[str]) -> dict[str, tuple[Config, str]]:
    homes: dict[str, tuple[Config, str]] = {}
    for model in models:
        for side in schema.SIDES:
            homes[schema.reward_column(model, side)] = ("rewards", "plain")
            homes[schema.reward_status_column(model, side)] = ("rewards", "words")
            homes[schema.reward_tokens_column(model, side)] = ("rewards", "plain")
    return homes


def _words(table: Path, known: Mapping[str, tuple[str, ...]], columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Distinct words of each column: known words in their own order, then others sorted."""
    words_by_column: dict[str, set[str]] = {name: set() for name in columns}
    if columns:
        for batch in pq.ParquetFile(table).iter_batches(_ROWS, columns=list(columns)):
            for name in columns:
                words_by_column[name].update(word for word in batch[name].unique().to_pylist() if word is not None)
    return {
        name: (*(word for word in known.get(name, ()) if words), *sorted(words - set(known.get(name, ()))))
        for name, words in words_by_column.items()
    }


def _flat_features(forms: Sequence[ColumnForm]) -> Features:
    return Features({name: type_ for form in forms for name, type_ in form.flat.items()})


def _arrow(columns: Mapping[str, Any], features: Features) -> pa.Table:
    wanted = features.arrow_schema
    arrays = [
        values.cast(wanted.field(name).type)
        if isinstance(values, pa.Array | pa.ChunkedArray)
        else pa.array(values, type=wanted.field(name).type)
        for name, values in columns.items()
    ]
    return pa.Table.from_arrays(
        arrays, schema=pa.schema([wanted.field(name) for name in columns], wanted.metadata)
    ).select(wanted.names)


def _batches(shards: Sequence[Path]) -> Iterator[pa.Table]:
    """Rows of shards in batches of a thousand, across the borders of shards."""
    rows = load_dataset("parquet", data_files=[str(path) for path in shards], split="train", streaming=True)
    yield from rows.with_format("arrow").iter(_ROWS)


class _Shards:
    """Writer of parquet files of bounded size, renamed as `datasets` does when their number is known."""

    def __init__(self, folder: Path, features: Features) -> None:
        self.features = features
        self._folder = folder
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._bytes = 0
        folder.mkdir(parents=True)

    def write(self, columns: Mapping[str, Any]) -> None:
        rows = _arrow(columns, self.features)
        if self._writer is None or self._bytes > _SHARD_BYTES:
            self._finish()
            self._parts.append(self._folder / f"{len(self._parts):05d}.part")
            self._writer = pq.ParquetWriter(self._parts[-1], self.features.arrow_schema)
        self._writer.write_table(rows)
        self._bytes += rows.nbytes

    def close(self) -> list[Path]:
        self._finish()
        count = len(self._parts)
        return [
            part.rename(self._folder / f"train-{index:05d}-of-{count:05d}.parquet")
            for index, part in enumerate(self._parts)
        ]

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._bytes = 0

"""Add human (gold) labels from a separate table to the pairs, by pair id."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from datasets import Dataset, Features, Value

from seal_datasets import schema
from seal_datasets.data.sources import open_source
from seal_datasets.data.texts import known_ids
from seal_datasets.data.transform import add_columns, arrow_column
from seal_datasets.errors import DataError
from seal_datasets.labels.featurize import feature_columns
from seal_datasets.labels.taxonomy import Feature, InvalidLabel, Taxonomy


def add_gold(pairs: Dataset, gold: str | Path | Dataset, taxonomy: Taxonomy) -> Dataset:
    """Add human labels, against which a labeler is evaluated.

    Args:
        pairs (`Dataset`): Canonical pairs from `load_pairs`.
        gold (`str`, `Path` or `Dataset`): A table with `pair_id` and any of the columns `gold_<feature>_chosen` and
            `gold_<feature>_rejected`; answers in the form of a labeler (true, false or one of the feature's values); null or
            blank means no label. `gold_probability`, if it is there, is the probability with which the pair's prompt was drawn.
        taxonomy (`Taxonomy`): The features that may be labelled.

    Returns:
        `Dataset`: The pairs with `gold_<feature>_<side>` for every feature in the table, and `gold_probability` if it has it;
        null for pairs that it lacks.

    Raises:
        DataError: A column is missing, or a pair id is unknown or repeated. A label is not an answer of its feature, or a
            probability is not above 0 and up to 1.

    Example:

    ```python
    >>> from seal_datasets import load_pairs, load_taxonomy
    >>> pairs, _ = load_pairs(Dataset.from_dict({"prompt": ["Hi"] * 2, "chosen": ["a", "b"], "rejected": ["c", "d"]}))
    >>> human = Dataset.from_dict({"pair_id": ["1"], "gold_last_response_is_harmless_chosen": [True]})
    >>> add_gold(pairs, human, load_taxonomy())["gold_last_response_is_harmless_chosen"][:]
    [None, True]

    ```
    """
    table = gold if isinstance(gold, Dataset) else _read_table(Path(gold))
    features = {
        schema.gold_column(feature.name, side): feature for feature in taxonomy.features for side in schema.SIDES
    }
    given = [name for name in table.column_names if name in features]
    if schema.PAIR_ID not in table.column_names or not given:
        raise DataError(
            f"a table of gold labels needs the column {schema.PAIR_ID!r} and columns such as {next(iter(features))!r}; "
            f"this one has {table.column_names}"
        )
    rows = {str(pair_id): row for row, pair_id in enumerate(table[schema.PAIR_ID])}
    if len(rows) < len(table):
        raise DataError(f"{len(table) - len(rows):,} pair ids of the gold labels occur more than once")
    known_ids(pairs, rows, of="the gold labels", where="the data")
    ids = pairs[schema.PAIR_ID][:]
    columns: dict[str, list[Any]] = {}
    for name in given:
        values = table[name][:]
        columns[name] = [
            parse_label(values[rows[pair_id]], features[name], name, rows[pair_id]) if pair_id in rows else None
            for pair_id in ids
        ]
    kinds = feature_columns(taxonomy.features)
    types = {
        schema.gold_column(feature.name, side): kinds[schema.feature_column(feature.name, side)]
        for feature in taxonomy.features
        for side in schema.SIDES
        if schema.gold_column(feature.name, side) in columns
    }
    if schema.GOLD_PROBABILITY in table.column_names:
        drawn = [_probability(value, row) for row, value in enumerate(table[schema.GOLD_PROBABILITY])]
        columns[schema.GOLD_PROBABILITY] = [drawn[rows[pair_id]] if pair_id in rows else None for pair_id in ids]
        types[schema.GOLD_PROBABILITY] = Value("float64")
    elif schema.GOLD_PROBABILITY in pairs.column_names:  # of a draw of other labels
        pairs = pairs.remove_columns([schema.GOLD_PROBABILITY])
    return add_columns(pairs, columns, Features(types))


def gold_features(pairs: Dataset, taxonomy: Taxonomy) -> list[Feature]:
    """Features of a taxonomy with a gold label on both sides of some pairs.

    Example:

    ```python
    >>> from seal_datasets import load_taxonomy
    >>> columns = {f"gold_last_response_is_{name}": [True] for name in ("honest_chosen", "honest_rejected", "helpful_chosen")}
    >>> [feature.name for feature in gold_features(Dataset.from_dict(columns), load_taxonomy())]
    ['last_response_is_honest']

    ```
    """
    present = set(pairs.column_names)
    columns = {
        feature: [schema.gold_column(feature.name, side) for side in schema.SIDES] for feature in taxonomy.features
    }
    return [
        feature
        for feature, names in columns.items()
        if present.issuperset(names) and all(arrow_column(pairs, name).null_count < len(pairs) for name in names)
    ]


def check_own_gold(pairs: Dataset, taxonomy: Taxonomy) -> Dataset:
    """Check the gold labels that the data itself holds.

    Args:
        pairs (`Dataset`): Canonical pairs.
        taxonomy (`Taxonomy`): The features.

    Returns:
        `Dataset`: The pairs with these columns as labels.

    Raises:
        DataError: A value is not an answer of its feature, or a probability is not above 0 and up to 1; the row is named.
    """
    features = gold_features(pairs, taxonomy)
    kinds = feature_columns(features)
    names = {schema.gold_column(feature.name, side): (feature, side) for feature in features for side in schema.SIDES}
    columns: dict[str, Any] = {name: parse_labels(pairs, name, feature) for name, (feature, _) in names.items()}
    types = {name: kinds[schema.feature_column(feature.name, side)] for name, (feature, side) in names.items()}
    if schema.GOLD_PROBABILITY in pairs.column_names:
        drawn = [_probability(value, row) for row, value in enumerate(pairs[schema.GOLD_PROBABILITY])]
        columns[schema.GOLD_PROBABILITY], types[schema.GOLD_PROBABILITY] = drawn, Value("float64")
    return add_columns(pairs, columns, Features(types)) if columns else pairs


def _probability(value: object, row: int) -> float | None:
    """A probability of a draw; null or blank where it is not known."""
    if value is None or value == "":
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 < number <= 1.0:
        raise DataError(
            f"column {schema.GOLD_PROBABILITY!r}, row {row}: {value!r} is no probability of a draw; give a number above 0 "
            "and up to 1, or leave it blank for prompts that were not drawn"
        )
    return number


def _read_table(path: Path) -> Dataset:
    rows = open_source(str(path)).rows
    if not isinstance(rows, Dataset):
        raise DataError(f"{path} is a stream; give gold labels as a file")
    return rows


def parse_label(value: object, feature: Feature, column: str, row: int) -> Any:  # noqa: ANN401 - a label of any type
    """Parse a label from a user's table, which may be a text file.

    Args:
        value (`object`): An answer in the form of a labeler. A yes/no feature also takes `"true"`, `"false"`, 1 and 0; one
            with several answers also a list as JSON text. An ordinal feature also takes its codes: a whole number is a code,
            even where an answer is a number too. Null or blank means no label.
        feature (`Feature`): The feature that it labels.
        column (`str`): Its column, for the error message.
        row (`int`): Its row, for the error message.

    Returns:
        `bool`, `int`, `list[str]` or `None`: The label.

    Raises:
        DataError: The value is not an answer of the feature.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.strip().lower() in ("true", "false") and feature.type == "bool":
        value = value.strip().lower() == "true"
    if feature.type == "bool" and isinstance(value, (int, float)) and value in (0, 1):
        value = bool(value)
    if feature.type == "labels" and isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is refused below as it stands
            value = json.loads(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if feature.type == "ordinal" and is_whole and value in dict(feature.values).values():
        return value
    try:
        return feature.parse(value)
    except InvalidLabel as invalid:
        raise DataError(f"column {column!r}, row {row}: {invalid.detail}") from invalid


def parse_labels(pairs: Dataset, column: str, feature: Feature) -> list[Any] | pa.Array:
    """Parse a column of labels, each distinct one once where they are single values.

    Args:
        pairs (`Dataset`): The table.
        column (`str`): Column with answers, as `parse_label` takes them.
        feature (`Feature`): The feature that it labels.

    Returns:
        `list` or `pyarrow.Array`: A label for each row.

    Raises:
        DataError: A value is not an answer of the feature; the first row is named.

    Example:

    ```python
    >>> from seal_datasets.labels.taxonomy import load_taxonomy
    >>> helpful = load_taxonomy("seal")["last_response_is_helpful"]
    >>> parse_labels(Dataset.from_dict({"helpful": ["true", None, " False"]}), "helpful", helpful).to_pylist()
    [True, None, False]

    ```
    """
    if not isinstance(pairs.features[column], Value):
        return [parse_label(value, feature, column, row) for row, value in enumerate(pairs[column])]
    encoded = arrow_column(pairs, column).dictionary_encode().combine_chunks()
    labels = []
    for place, value in enumerate(encoded.dictionary.to_pylist()):  # in order of first appearance
        try:
            labels.append(parse_label(value, feature, column, 0))
        except DataError:
            row = pc.index(encoded.indices, pa.scalar(place, encoded.indices.type)).as_py()
            parse_label(value, feature, column, row)
            raise
    kind = feature_columns([feature]).arrow_schema.field(0).type
    return pa.array(labels, kind).take(encoded.indices)

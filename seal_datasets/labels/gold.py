"""Add human (gold) labels from a separate table to the pairs, by pair id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from datasets import Dataset, Features, Value

from seal_datasets import schema
from seal_datasets.data.sources import open_source
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
            blank means no label.
        taxonomy (`Taxonomy`): The features that may be labelled.

    Returns:
        `Dataset`: The pairs with `gold_<feature>_<side>` for every feature in the table; null for pairs that it lacks.

    Raises:
        DataError: A column is missing, a pair id is unknown or repeated, or a label is not an answer of its feature.

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
    ids = pairs[schema.PAIR_ID][:]
    if unknown := sorted(rows.keys() - set(ids)):
        raise DataError(
            f"{len(unknown):,} of the {len(rows):,} pair ids of the gold labels are not in the data; "
            f"the first is {unknown[0]!r}"
        )
    columns: dict[str, list[Any]] = {}
    for name in given:
        values = table[name][:]
        columns[name] = [
            parse_label(values[rows[pair_id]], features[name], name, rows[pair_id]) if pair_id in rows else None
            for pair_id in ids
        ]
    kinds = feature_columns(taxonomy.features)
    types = Features(
        {
            schema.gold_column(feature.name, side): kinds[schema.feature_column(feature.name, side)]
            for feature in taxonomy.features
            for side in schema.SIDES
            if schema.gold_column(feature.name, side) in columns
        }
    )
    return add_columns(pairs, columns, types)


def _read_table(path: Path) -> Dataset:
    rows = open_source(str(path)).rows
    if not isinstance(rows, Dataset):
        raise DataError(f"{path} is a stream; give gold labels as a file")
    return rows


def parse_label(value: object, feature: Feature, column: str, row: int) -> Any:  # noqa: ANN401 - a label of any type
    """Parse a label from a user's table, which may be a text file.

    Args:
        value (`object`): An answer in the form of a labeler. A yes/no feature also takes `"true"`, `"false"`, 1 and 0; an
            ordinal feature also takes its codes. Null or blank means no label.
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
    if feature.type == "ordinal" and isinstance(value, int) and value in dict(feature.values).values():
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

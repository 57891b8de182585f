"""The table of gold labels that answers make."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]

from seal_datasets import schema
from seal_datasets.data.csv_rows import cell_type
from seal_datasets.errors import DataError
from seal_datasets.gold.items import Item
from seal_datasets.gold.journal import Answer
from seal_datasets.labels.taxonomy import Feature, Taxonomy


def gold_table(
    items: Sequence[Item],
    taxonomy: Taxonomy,
    probability: dict[str, float],
    answers: dict[tuple[str, str, str], Answer],
) -> str:
    """The table of gold labels as CSV: a row for each pair of which anything is known.

    Args:
        items (`Sequence[Item]`): The drawn texts.
        taxonomy (`Taxonomy`): Features.
        probability (`dict[str, float]`): Probability by prompt.
        answers (`dict`): The answer that counts, by pair, side and feature.

    Returns:
        `str`: CSV that `add_gold` reads.
    """
    rows: dict[str, dict[str, Any]] = {}
    for item in items:
        row = rows.setdefault(
            item.pair_id, {schema.PAIR_ID: item.pair_id, schema.GOLD_PROBABILITY: probability[item.prompt_id]}
        )
        reasons = []
        for feature in taxonomy.features:
            answer = answers.get((item.pair_id, item.side, feature.name))
            row[schema.gold_column(feature.name, item.side)] = as_cell(answer and answer.answer, feature)
            if answer is not None and answer.skipped:
                reasons.append(f"{feature.name}: {answer.skipped}")
        row[f"skipped_{item.side}"] = "; ".join(reasons)
    columns = [schema.PAIR_ID, schema.GOLD_PROBABILITY]
    columns += [schema.gold_column(feature.name, side) for feature in taxonomy.features for side in schema.SIDES]
    columns += [f"skipped_{side}" for side in schema.SIDES]
    known = [row for row in rows.values() if any(row.get(column) not in (None, "") for column in columns[2:])]
    return str(pd.DataFrame(known, columns=columns).to_csv(index=False))


def as_cell(label: Any, feature: Feature) -> str | None:  # noqa: ANN401 - a label
    """A label as it stands in a table of text: `true`, an answer's word, or a list as JSON.

    Where a word of an ordinal feature reads as a number or a truth value, its codes stand there.

    Raises:
        DataError: The label is a code that the feature does not have.
    """
    if label is None:
        return None
    if feature.type == "bool":
        return "true" if label else "false"
    if feature.type == "ordinal":
        words = {code: word for word, code in feature.values}
        if label not in words:
            raise DataError(
                f"an answer about {feature.name!r} has the code {label}, and the taxonomy has {words}; give the taxonomy that "
                "the answers were given for"
            )
        is_text = all(cell_type(pa.null(), [word]) == pa.string() for word in feature.answers)
        return words[label] if is_text else str(label)
    return json.dumps(label)

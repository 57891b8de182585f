"""Draw the pairs to rewrite, and define the axes of rewriting."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.errors import DataError


@dataclass(frozen=True, slots=True)
class Axis:
    """An attribute that rewrites can add or remove.

    Attributes:
        name (`str`): Name.
        gain (`str`): Preset that adds the attribute.
        lose (`str`): Preset that removes it.
        feature (`str`): Feature that decides whether a text has it: a yes, an ordinal code above 0, or a number above
            the median.
    """

    name: str
    gain: str
    lose: str
    feature: str


AXES = {
    axis.name: axis
    for axis in (
        Axis("positive", "more_positive", "less_positive", "last_response_sentiment"),
        Axis("eloquent", "more_eloquent", "less_eloquent", "last_response_is_eloquent"),
        Axis("long", "longer", "shorter", "surface_log_tokens"),
    )
}


def sample_pairs(
    pairs: Dataset, share: float = 0.01, *, seed: int = 0, stratify_by: str | None = None
) -> tuple[str, ...]:
    """Draw the pairs to rewrite.

    Args:
        pairs (`Dataset`): Canonical pairs; only pairs with both texts are drawn.
        share (`float`, defaults to 0.01): Share of the pairs to draw; at least one pair is drawn.
        seed (`int`, defaults to 0): Seed of the draw.
        stratify_by (`str`, *optional*): Column that defines strata; each value keeps its share and at least one pair.

    Returns:
        `tuple[str, ...]`: Their ids, in the table's order.

    Raises:
        DataError: The share is not in (0, 1], the column does not exist, or no pair has both texts.

    Example:

    ```python
    >>> rows = {"pair_id": list("abcdefgh"), "chosen": ["x"] * 8, "rejected": ["y"] * 8, "kind": ["k"] * 6 + ["l"] * 2}
    >>> sample_pairs(Dataset.from_dict(rows), 0.5, stratify_by="kind")
    ('d', 'e', 'f', 'g')

    ```
    """
    if not 0.0 < share <= 1.0:
        raise DataError(f"the share of pairs to rewrite must be above 0 and at most 1, got {share}")
    if stratify_by is not None and stratify_by not in pairs.column_names:
        raise DataError(f"there is no column {stratify_by!r} to stratify by; the table has {pairs.column_names}")
    has_both = [
        bool((chosen or "").strip() and (rejected or "").strip())
        for chosen, rejected in zip(pairs[schema.CHOSEN], pairs[schema.REJECTED], strict=True)
    ]
    strata: dict[str, list[int]] = {}
    values = pairs[stratify_by][:] if stratify_by else [None] * len(pairs)
    for row, value in enumerate(values):
        if has_both[row]:
            strata.setdefault(repr(value), []).append(row)
    if not strata:
        raise DataError(f"none of the {len(pairs):,} pairs has both texts; there is nothing to rewrite")
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for name in sorted(strata):
        rows = strata[name]
        drawn += rng.choice(rows, size=max(1, round(share * len(rows))), replace=False).tolist()
    ids = pairs[schema.PAIR_ID][:]
    return tuple(ids[row] for row in sorted(drawn))


def attribute_of(pairs: Dataset, axis: Axis, pair_ids: Collection[str]) -> dict[tuple[str, schema.Side], bool]:
    """Whether each sampled text has the attribute of an axis; texts without a label are omitted.

    Args:
        pairs (`Dataset`): Pairs with the feature's columns.
        axis (`Axis`): The attribute. A number is compared with its median over the sampled texts.
        pair_ids (`Collection[str]`): The sampled pairs.

    Returns:
        `dict[tuple[str, str], bool]`: By pair id and side.

    Raises:
        DataError: The feature's columns are missing.
    """
    columns = [schema.feature_column(axis.feature, side) for side in schema.SIDES]
    if missing := [name for name in columns if name not in pairs.column_names]:
        raise DataError(
            f"the axis {axis.name!r} needs the columns {missing}: label {axis.feature!r}, or add the surface features, first"
        )
    wanted = set(pair_ids)
    values: dict[tuple[str, schema.Side], float] = {}
    for side, column in zip(schema.SIDES, columns, strict=True):
        for pair_id, value in zip(pairs[schema.PAIR_ID], pairs[column], strict=True):
            if pair_id in wanted and value is not None:
                values[pair_id, side] = float(value)
    is_number = pairs.features[columns[0]].dtype == "float64"
    threshold = float(np.median(list(values.values()))) if is_number and values else 0.0
    return {key: value > threshold for key, value in values.items()}

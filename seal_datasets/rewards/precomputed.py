"""Rewards from columns of the table itself."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from datasets import Dataset, Features, Value

from seal_datasets import schema
from seal_datasets.data.transform import add_columns, arrow_column
from seal_datasets.errors import DataError

RewardColumns = Mapping[str, tuple[str, str]]


def add_own_rewards(pairs: Dataset, rewards: RewardColumns) -> Dataset:
    """Take rewards from columns that the pairs have.

    Args:
        pairs (`Dataset`): Canonical pairs from `load_pairs`, with every column the source had.
        rewards (`Mapping[str, tuple[str, str]]`): For each model's short name the columns of the chosen and the rejected
            response's reward.

    Returns:
        `Dataset`: The pairs with `reward_<name>_<side>` and `reward_status_<name>_<side>`: `given`, or `not_given` where the
        cell is empty or not finite.

    Raises:
        DataError: A column is missing or does not hold numbers, or a name cannot be part of a column's.

    Example:

    ```python
    >>> from seal_datasets.data.load import load_pairs
    >>> rows = {"prompt": ["Hi"], "chosen": ["Hello!"], "rejected": ["What?"], "good": [1.5], "bad": [None]}
    >>> pairs, _ = load_pairs(Dataset.from_dict(rows))
    >>> scored = add_own_rewards(pairs, {"post": ("good", "bad")})
    >>> scored["reward_post_chosen"][:], scored["reward_status_post_rejected"][:]
    ([1.5], ['not_given'])

    ```
    """
    columns: dict[str, pa.ChunkedArray] = {}
    types: dict[str, Value] = {}
    for name, given in rewards.items():
        if not name.isidentifier():
            raise DataError(f"a model's column name must be made of letters, digits and '_', got {name!r}")
        for side, column in zip(schema.SIDES, given, strict=True):
            values = _numbers(pairs, column)
            columns[schema.reward_column(name, side)] = values
            columns[schema.reward_status_column(name, side)] = pc.if_else(pc.is_valid(values), "given", "not_given")
            types |= {schema.reward_column(name, side): Value("float64")}
            types |= {schema.reward_status_column(name, side): Value("string")}
    return add_columns(pairs, columns, Features(types))


def _numbers(pairs: Dataset, column: str) -> pa.ChunkedArray:
    if column not in pairs.column_names:
        raise DataError(f"there is no column {column!r} of rewards; the columns are {', '.join(pairs.column_names)}")
    values = arrow_column(pairs, column)
    kind = values.type
    is_number = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    if not any(holds(kind) for holds in is_number):
        row = pc.index(pc.is_valid(values), True).as_py()
        if row >= 0:
            found = str(pairs[column][row])[:40]
            raise DataError(f"column {column!r}, row {row}: a reward must be a number, got {found!r}")
        values = pa.chunked_array([pa.nulls(len(values))])
    numbers = values.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(numbers), numbers, None)

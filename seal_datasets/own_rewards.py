"""An audit of pairs that come with their rewards, and perhaps labels, as columns: no model is run, and torch is not needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value

from seal_datasets import schema
from seal_datasets.errors import DataError, import_extra
from seal_datasets.featurize import add_surface_features, feature_columns
from seal_datasets.finish import finish_audit
from seal_datasets.gold import add_gold, parse_label
from seal_datasets.load import load_pairs
from seal_datasets.surface import SURFACE_FEATURES
from seal_datasets.taxonomy import Feature, Taxonomy, load_taxonomy
from seal_datasets.transform import put_beside

RewardColumns = Mapping[str, tuple[str, str]]


def audit_own_rewards(
    source: str | Dataset,
    out: str | Path,
    rewards: RewardColumns,
    *,
    split: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    taxonomy: str = "seal",
    gold: str | None = None,
) -> dict[str, Any]:
    """Audit pairs whose rewards are columns already, and write the report.

    Features are the surface features and whatever features of the taxonomy the table holds as `feature_<name>_chosen` and
    `feature_<name>_rejected`, such as `seal featurize` writes.

    Args:
        source (`str` or `Dataset`): Anything `load_pairs` takes.
        out (`str` or `Path`): Folder for the report and the enriched pairs.
        rewards (`Mapping[str, tuple[str, str]]`): For `pre` and for `post` the columns of the chosen and the rejected
            response's reward.
        split (`str`, *optional*): Split of a source with several.
        limit (`int`, *optional*): Rows to take, drawn with the seed.
        seed (`int`, defaults to 0): Of that draw.
        taxonomy (`str`, defaults to `"seal"`): `"seal"` or the path of a YAML file.
        gold (`str`, *optional*): File of human labels, see `add_gold`.

    Returns:
        `dict[str, Any]`: The content of `report.json`.

    Raises:
        DataError: A column is missing or holds something else than rewards or labels.
    """
    if set(rewards) != {"pre", "post"}:
        raise DataError(f"an audit compares two models: name columns for 'pre' and 'post', got {sorted(rewards)}")
    import_extra("matplotlib", extra="report", purpose="draw the report's figures")
    known = load_taxonomy(taxonomy)
    pairs, diagnosis = load_pairs(source, split=split, limit=limit, seed=seed)
    if not isinstance(pairs, Dataset):
        raise DataError("the source is a stream; an audit needs a whole table")
    if gold is not None:
        pairs = add_gold(pairs, gold, known)
    pairs, labelled = _own_features(pairs, known)
    pairs = add_own_rewards(add_surface_features(pairs), rewards)
    settings = {"split": split, "limit": limit, "seed": seed, "taxonomy": taxonomy, "gold": gold}
    about = {
        "models": {
            name: {"model": f"columns {chosen} and {rejected}", "revision": diagnosis.fingerprint}
            for name, (chosen, rejected) in rewards.items()
        },
        "training": None,
        "labeler": None,
        "rewrites": None,
        "settings": settings,
    }
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    return finish_audit(pairs, diagnosis, known, [*labelled, *SURFACE_FEATURES], out, about)


def add_own_rewards(pairs: Dataset, rewards: RewardColumns) -> Dataset:
    """Take rewards from columns that the pairs have.

    Args:
        pairs (`Dataset`): Canonical pairs from `load_pairs`, with every column the source had.
        rewards (`Mapping[str, tuple[str, str]]`): For each model's short name the columns of the chosen and the rejected
            response's reward.

    Returns:
        `Dataset`: The pairs with `reward_<name>_<side>` and `reward_status_<name>_<side>`: `given`, or `not_given` where there
        is no number.

    Raises:
        DataError: A column is missing or does not hold numbers, or a name cannot be part of a column's.

    Example:

    ```python
    >>> rows = {"prompt": ["Hi"], "chosen": ["Hello!"], "rejected": ["What?"], "good": [1.5], "bad": [None]}
    >>> pairs, _ = load_pairs(Dataset.from_dict(rows))
    >>> scored = add_own_rewards(pairs, {"post": ("good", "bad")})
    >>> scored["reward_post_chosen"][:], scored["reward_status_post_rejected"][:]
    ([1.5], ['not_given'])

    ```
    """
    columns: dict[str, list[Any]] = {}
    types: dict[str, Value] = {}
    for name, given in rewards.items():
        if not name.isidentifier():
            raise DataError(f"a model's column name must be made of letters, digits and '_', got {name!r}")
        for side, column in zip(schema.SIDES, given, strict=True):
            values = _numbers(pairs, column)
            columns[schema.reward_column(name, side)] = values
            columns[schema.reward_status_column(name, side)] = ["not_given" if v is None else "given" for v in values]
            types |= {schema.reward_column(name, side): Value("float64")}
            types |= {schema.reward_status_column(name, side): Value("string")}
    return put_beside(pairs, columns, Features(types))


def _numbers(pairs: Dataset, column: str) -> list[float | None]:
    if column not in pairs.column_names:
        raise DataError(f"there is no column {column!r} of rewards; the columns are {', '.join(pairs.column_names)}")
    values = pairs[column][:]
    for row, value in enumerate(values):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise DataError(f"column {column!r}, row {row}: a reward must be a number, got {str(value)[:40]!r}")
    return [None if value is None or not math.isfinite(value) else float(value) for value in values]


def _own_features(pairs: Dataset, taxonomy: Taxonomy) -> tuple[Dataset, list[Feature]]:
    """The features of a taxonomy that the table has on both sides, every label checked."""
    found = [
        each
        for each in taxonomy.features
        if all(schema.feature_column(each.name, side) in pairs.column_names for side in schema.SIDES)
    ]
    columns = {}
    for feature in found:
        for side in schema.SIDES:
            name = schema.feature_column(feature.name, side)
            columns[name] = [parse_label(value, feature, name, row) for row, value in enumerate(pairs[name])]
    return (put_beside(pairs, columns, feature_columns(found)) if found else pairs), found

"""An audit of pairs that come with their rewards, and perhaps labels, as columns: no model is run, and torch is not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.audit.finish import finish_audit
from seal_datasets.data.load import load_pairs
from seal_datasets.data.transform import add_columns
from seal_datasets.errors import DataError
from seal_datasets.labels.featurize import add_surface_features, feature_columns
from seal_datasets.labels.gold import add_gold, parse_label
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.labels.taxonomy import Feature, Taxonomy, load_taxonomy
from seal_datasets.rewards.precomputed import RewardColumns, add_own_rewards


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
    return (add_columns(pairs, columns, feature_columns(found)) if found else pairs), found

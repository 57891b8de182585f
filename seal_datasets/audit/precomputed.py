"""Audit pairs with columns of rewards and optionally labels; runs no model and needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.atomic import occupying
from seal_datasets.audit.finish import finish_audit
from seal_datasets.audit.given_models import give_models
from seal_datasets.audit.recipe import own_rewards_recipe
from seal_datasets.data.diagnosis import Diagnosis
from seal_datasets.data.load import load_pairs
from seal_datasets.data.transform import add_columns
from seal_datasets.errors import DataError
from seal_datasets.escape import shareable
from seal_datasets.labels.featurize import add_surface_features, feature_columns
from seal_datasets.labels.gold import add_gold, parse_labels
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.labels.taxonomy import Feature, Taxonomy, load_taxonomy
from seal_datasets.report.audited_models import name_models
from seal_datasets.report.files import refuse_other_audit
from seal_datasets.report.page.notebook import Report
from seal_datasets.rewards.precomputed import RewardColumns, add_own_rewards


@dataclass(frozen=True, slots=True)
class OwnRewardsSettings:
    """Rows to audit, and sources of their labels.

    Attributes:
        split (`str`, *optional*): Split of a source with several.
        limit (`int`, *optional*): Rows to take, drawn with the seed; all when omitted.
        seed (`int`): Seed of that draw.
        taxonomy (`str`): `"seal"`, the path of a YAML file or an id on the Hub.
        gold (`str`, *optional*): File of human labels, see `add_gold`.
        baseline (`str`, *optional*): Name of the model that all others are compared with; the first of several when omitted.
    """

    split: str | None = None
    limit: int | None = None
    seed: int = 0
    taxonomy: str = "seal"
    gold: str | None = None
    baseline: str | None = None


def audit_own_rewards(
    source: str | Dataset, out: str | Path, rewards: RewardColumns, settings: OwnRewardsSettings | None = None
) -> Report:
    """Audit pairs that have columns of rewards, and write the report.

    Features are the surface features and those of the taxonomy that the table holds as `feature_<name>_chosen` and
    `feature_<name>_rejected`, the columns that `seal featurize` writes.

    Args:
        source (`str` or `Dataset`): Anything `load_pairs` takes.
        out (`str` or `Path`): Folder for the report and the enriched pairs.
        rewards (`Mapping[str, tuple[str, str]]`): By a model's short name, in order, the columns with the rewards of the chosen
            and of the rejected responses.
        settings (`OwnRewardsSettings`, *optional*): Rows, taxonomy and human labels; the defaults when omitted.

    Returns:
        `Report`: The content of `report.json`, a mapping that displays itself in a notebook.

    Raises:
        DataError: A column is missing, or holds something other than rewards or labels.
    """
    with occupying(out, "an audit"):
        return _audit_own_rewards(source, Path(out), rewards, settings or OwnRewardsSettings())


def _audit_own_rewards(
    source: str | Dataset, out: Path, rewards: RewardColumns, settings: OwnRewardsSettings
) -> Report:
    name_models(list(rewards), settings.baseline)  # at least one
    models = give_models(rewards, settings.baseline)
    taxonomy = load_taxonomy(settings.taxonomy)
    pairs, diagnosis = load_pairs(source, split=settings.split, limit=settings.limit, seed=settings.seed)
    diagnosis = replace(diagnosis, source=shareable(diagnosis.source))
    refuse_other_audit(out, diagnosis.source)
    if not isinstance(pairs, Dataset):
        raise DataError("the source is a stream; an audit needs a whole table")
    if settings.gold is not None:
        pairs = add_gold(pairs, settings.gold, taxonomy)
    pairs, labelled = check_own_features(pairs, taxonomy)
    held = [add_own_rewards(add_surface_features(pairs), rewards)]
    del pairs
    about = {
        "models": column_records(models.columns, diagnosis),
        "baseline": models.audited.baseline,
        "training": None,
        "labeler": None,
        "rewrites": None,
        "settings": asdict(settings),
    }
    recipe = own_rewards_recipe(source, out, rewards, settings, diagnosis)
    # Popped, so that the texts can go from memory once they are written.
    return finish_audit(held.pop(), diagnosis, taxonomy, [*labelled, *SURFACE_FEATURES], out, about, recipe)


def column_records(columns: RewardColumns, diagnosis: Diagnosis) -> dict[str, dict[str, Any]]:
    """Record where the rewards of given columns come from, by model."""
    return {
        name: {"model": f"columns {chosen} and {rejected}", "revision": diagnosis.fingerprint}
        for name, (chosen, rejected) in columns.items()
    }


def refuse_same_model(records: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise where two names stand for one model.

    Args:
        records (`Mapping[str, Mapping[str, Any]]`): Provenance by short name. Weights in two folders have one revision,
            which is a hash of their content.

    Raises:
        DataError: Two records are equal but for the path.
    """
    seen: dict[str, str] = {}
    for name, record in records.items():
        hashed = str(record["revision"]).startswith("sha256:")
        key = repr(sorted((key, value) for key, value in record.items() if key != "model" or not hashed))
        other = seen.setdefault(key, name)
        if other != name:
            raise DataError(
                f"{other} and {name} are the same model ({record['model']} at {record['revision']}); give each model once"
            )


def check_own_features(pairs: Dataset, taxonomy: Taxonomy) -> tuple[Dataset, list[Feature]]:
    """The features of a taxonomy that the table has on both sides, with every label checked."""
    features = [
        feature
        for feature in taxonomy.features
        if all(schema.feature_column(feature.name, side) in pairs.column_names for side in schema.SIDES)
    ]
    columns = {
        name: parse_labels(pairs, name, feature)
        for feature in features
        for name in (schema.feature_column(feature.name, side) for side in schema.SIDES)
    }
    return (add_columns(pairs, columns, feature_columns(features)) if features else pairs), features

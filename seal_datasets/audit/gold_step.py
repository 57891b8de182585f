"""Gold labels of an audit: people's, from a file or the data, or those of a teacher that labels a drawn share."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value

from seal_datasets import estimate, schema
from seal_datasets.audit.endpoint import format_dollars, open_endpoint, print_progress, sum_spent
from seal_datasets.audit.make_labeler import make_labeler
from seal_datasets.audit.settings import AuditSettings, TeacherSettings
from seal_datasets.data.transform import add_columns, arrow_column
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.errors import LabelerError
from seal_datasets.labels.design import feature_design
from seal_datasets.labels.featurize import add_features, feature_columns
from seal_datasets.labels.gold import add_gold, check_own_gold, gold_features
from seal_datasets.labels.taxonomy import Feature, Taxonomy


def with_gold(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, *, api_key: str | None = None
) -> tuple[Dataset, dict[str, Any] | None]:
    """Add the gold labels that the settings name; those in the data are checked.

    Args:
        pairs (`Dataset`): Canonical pairs.
        taxonomy (`Taxonomy`): The features.
        settings (`AuditSettings`): File of gold labels, and the teacher.
        store_path (`Path`): SQLite file of responses.
        api_key (`str`, *optional*): Key of the teacher's endpoint.

    Returns:
        `tuple[Dataset, dict | None]`: The pairs with `gold_<feature>_<side>`, and `gold_probability` where the draw is known;
        and the record of the gold labels, `None` without any.

    Raises:
        DataError: A gold label is not an answer of its feature, or a pair is not in the data.
        LabelerError: The teacher cannot be reached or refuses to label.
    """
    pairs = check_own_gold(add_gold(pairs, settings.gold, taxonomy) if settings.gold else pairs, taxonomy)
    if settings.teacher is not None:
        return _ask_teacher(pairs, taxonomy, settings, store_path, api_key)
    features = gold_features(pairs, taxonomy)
    return pairs, {"source": "people", **_count(pairs, features)} if features else None


def draw_for_teacher(pairs: Dataset, teacher: TeacherSettings, seed: int) -> tuple[frozenset[str], float]:
    """Draw the prompts that a teacher labels.

    Args:
        pairs (`Dataset`): Canonical pairs.
        teacher (`TeacherSettings`): With the share.
        seed (`int`): Seed of the draw.

    Returns:
        `tuple[frozenset[str], float]`: Ids of all pairs of the drawn prompts, and the probability of each prompt.
    """
    prompts = pairs[schema.PROMPT_ID][:]
    distinct = sorted({str(prompt) for prompt in prompts})
    size = max(1, round(teacher.share * len(distinct)))
    drawn = set(np.random.default_rng(seed).choice(np.array(distinct, dtype=object), size=size, replace=False))
    ids = frozenset(
        pair_id for pair_id, prompt in zip(pairs[schema.PAIR_ID], prompts, strict=True) if str(prompt) in drawn
    )
    return ids, size / len(distinct)


def _ask_teacher(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, api_key: str | None
) -> tuple[Dataset, dict[str, Any]]:
    """Take a teacher's labels as gold; people's, where there are any, check them."""
    teacher = settings.teacher or TeacherSettings("local")
    ids, probability = draw_for_teacher(pairs, teacher, settings.seed)
    print_progress(f"    the teacher labels {len(ids):,} pairs")
    with ResponseStore(store_path) as store, open_endpoint(teacher.server, teacher.model) as endpoint:
        asked = replace(settings, served_models=(), probabilities=False)
        labeler = make_labeler(asked, store, endpoint, api_key)
        drawn = pairs.select([row for row, pair_id in enumerate(pairs[schema.PAIR_ID]) if pair_id in ids])
        labelled = add_features(drawn, labeler, taxonomy)
        spent = sum_spent(store, settings)
    print_progress(f"    the teacher: {labeler.budget.usage}, {format_dollars(labeler.budget.spent)}")
    missing = Counter(
        failure["reason"]
        for side in schema.SIDES
        for row in labelled[schema.failures_column(side)]
        for failure in row
        if failure["feature"] in taxonomy.names
    )
    if not any(arrow_column(labelled, name).null_count < len(labelled) for name in feature_columns(taxonomy.features)):
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in missing.most_common())
        raise LabelerError(
            f"the teacher {endpoint.model} gave no label of {len(ids):,} pairs ({reasons}); its answers are in {store_path}. "
            "Give another teacher, or leave it out"
        )
    checked = _check_teacher(labelled, taxonomy)
    pairs = _as_gold(pairs, labelled, taxonomy, probability)
    return pairs, {
        "source": f"teacher: {endpoint.model}",
        "endpoint": endpoint.about.get("endpoint", teacher.server),
        "share": teacher.share,
        "spent": spent,
        "missing": dict(missing.most_common()),
        "checked_by_people": checked,
        **_count(pairs, taxonomy.features),
    }


def _as_gold(pairs: Dataset, labelled: Dataset, taxonomy: Taxonomy, probability: float) -> Dataset:
    """The teacher's labels in the columns of gold labels; the draw's probability is that of every prompt."""
    places = {pair_id: row for row, pair_id in enumerate(labelled[schema.PAIR_ID])}
    rows = [places.get(pair_id) for pair_id in pairs[schema.PAIR_ID]]
    kinds = feature_columns(taxonomy.features)
    columns: dict[str, list[Any]] = {}
    types = {}
    for name in taxonomy.names:
        for side in schema.SIDES:
            values = labelled[schema.feature_column(name, side)][:]
            columns[schema.gold_column(name, side)] = [None if row is None else values[row] for row in rows]
            types[schema.gold_column(name, side)] = kinds[schema.feature_column(name, side)]
    columns[schema.GOLD_PROBABILITY] = [probability] * len(pairs)
    types[schema.GOLD_PROBABILITY] = Value("float64")
    return add_columns(pairs, columns, Features(types))


def _check_teacher(labelled: Dataset, taxonomy: Taxonomy) -> dict[str, dict[str, Any]]:
    """How the teacher's labels compare with people's of the same texts, by feature."""
    found = {}
    for feature in gold_features(labelled, taxonomy):
        if feature.type == "labels":
            continue
        frame = labelled.select_columns(
            [
                column(feature.name, side)
                for side in schema.SIDES
                for column in (schema.feature_column, schema.gold_column)
            ]
        ).to_pandas()
        given = feature_design(frame, [feature])
        frame = frame[[schema.gold_column(feature.name, side) for side in schema.SIDES]]
        frame.columns = [schema.feature_column(feature.name, side) for side in schema.SIDES]
        gold = feature_design(frame, [feature])
        labels, truth = (np.concatenate([each.chosen[:, 0], each.rejected[:, 0]]) for each in (given, gold))
        both = ~(np.isnan(labels) | np.isnan(truth))
        prompts = np.tile(np.asarray(labelled[schema.PROMPT_ID][:]), 2)
        accuracy = estimate.label_accuracy(labels[both], truth[both], groups=prompts[both])
        found[feature.name] = accuracy.to_dict()
    return found


def _count(pairs: Dataset, features: list[Feature] | tuple[Feature, ...]) -> dict[str, Any]:
    """Features with gold labels, and the texts and prompts that have any."""
    columns = [schema.gold_column(feature.name, side) for feature in features for side in schema.SIDES]
    table = pairs.select_columns([*columns, schema.PROMPT_ID]).to_pandas()
    n_texts, prompts = 0, set()
    for side in schema.SIDES:
        has_any = table[[schema.gold_column(feature.name, side) for feature in features]].notna().any(axis=1)
        n_texts += int(has_any.sum())
        prompts |= set(table.loc[has_any, schema.PROMPT_ID])
    return {
        "features": [feature.name for feature in features],
        "n_texts": n_texts,
        "n_prompts": len(prompts),
        "draw_known": schema.GOLD_PROBABILITY in pairs.column_names,
    }

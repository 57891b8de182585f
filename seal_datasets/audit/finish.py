"""The last step of every audit: derived columns, the record of the run, and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
from datasets import Dataset, Features, Value

from seal_datasets import schema
from seal_datasets.atomic import filling, write_json, write_parquet, write_text
from seal_datasets.audit.recipe_file import read_versions
from seal_datasets.data.diagnosis import Diagnosis
from seal_datasets.data.parquet_files import release_memory
from seal_datasets.data.storage import without_local_paths
from seal_datasets.data.transform import add_columns, arrow_column
from seal_datasets.escape import shareable
from seal_datasets.labels.taxonomy import Feature, Taxonomy
from seal_datasets.report.analyze import derived_columns
from seal_datasets.report.audited_models import AuditedModels, models_of
from seal_datasets.report.files import PAIRS_FILE, RECIPE_FILE, RUN_FILE, SCHEMA
from seal_datasets.report.page.notebook import Report
from seal_datasets.report.write import pictures_and_tables_not_in, remove_files, write_report
from seal_datasets.version import __version__


def finish_audit(
    pairs: Dataset,
    diagnosis: Diagnosis,
    taxonomy: Taxonomy,
    features: Sequence[Feature],
    out: Path,
    about: Mapping[str, Any],
    recipe: str,
) -> Report:
    """Write the enriched pairs, the record of the run and the report.

    Args:
        pairs (`Dataset`): Canonical pairs with features and rewards.
        diagnosis (`Diagnosis`): From `load_pairs`.
        taxonomy (`Taxonomy`): Taxonomy of the labeled features.
        features (`Sequence[Feature]`): The features to relate to the rewards.
        out (`Path`): Folder, made if missing.
        about (`Mapping[str, Any]`): Provenance of the columns: `models`, `baseline`, `training`, `labeler`, `rewrites` and
            `settings`; optionally `doctor` and `tie_band`.
        recipe (`str`): The recipe of this audit, for a file of its own.

    Returns:
        `Report`: The content of `report.json`.
    """
    models = models_of(about)
    pairs = with_columns(pairs, derived_columns(pairs, features, models, tie_band=about.get("tie_band", 0.0)), models)
    pairs = without_local_paths(pairs)
    run = {
        "schema": SCHEMA,
        "seal_datasets": __version__,
        "source": diagnosis.source,
        "diagnosis": diagnosis.to_dict(),
        **{name: shareable(value) for name, value in about.items()},
        "taxonomy": {"name": taxonomy.name, "version": taxonomy.version, "digest": taxonomy.digest},
        "features": [asdict(feature) for feature in features],
        "scoring": {name: _count_statuses(pairs, name) for name in about["models"]},
        "versions": read_versions(),
    }
    with filling(out) as written:  # numbers, pages and pairs change together or not at all
        write_parquet(pairs, written / PAIRS_FILE)
        del pairs  # the report needs no texts
        release_memory()
        write_json(written / RUN_FILE, run)
        write_text(written / RECIPE_FILE, recipe)
        report = Report(write_report(written), out)
        stale = pictures_and_tables_not_in(written)
    remove_files(out, stale)
    return report


def with_columns(pairs: Dataset, columns: Mapping[str, Sequence[object] | pa.Array], models: AuditedModels) -> Dataset:
    """Add derived columns of text or numbers, replacing those of an earlier run."""
    texts = {schema.LABELER_PREFERENCE, schema.PARTITION, *map(schema.regime_column, models.names)}
    types = Features({name: Value("string" if name in texts else "float64") for name in columns})
    return add_columns(pairs, columns, types)


def _count_statuses(pairs: Dataset, model: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for side in schema.SIDES:
        statuses = arrow_column(pairs, schema.reward_status_column(model, side)).value_counts()
        counts.update({entry["values"]: entry["counts"] for entry in statuses.to_pylist()})
    return dict(sorted(counts.items()))

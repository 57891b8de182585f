"""`seal featurize`."""

from __future__ import annotations

import argparse
import os

from seal_datasets.cli.options import (
    Verbs,
    add_labeler_options,
    add_plan_option,
    add_store_options,
    add_table_options,
    add_verb,
    check_labels,
    labeler_settings,
    load_table,
    print_plan,
    write_table,
)
from seal_datasets.cli.request_options import add_request_options


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    featurize = add_verb(
        verbs,
        "featurize",
        _run,
        "add surface features and labels to preference pairs",
        "seal featurize pairs.jsonl --out labelled.parquet --labeler none",
        "seal featurize pairs.jsonl --out labelled.parquet --gold gold.csv --labeler probe",
        "seal featurize pairs.jsonl --out labelled.parquet \\\n"
        "      --labeler http://localhost:8000/v1 --labeler-model my-model",
        common="data --split --limit --labeler --labeler-model --features --gold --out --dry-run",
    )
    add_table_options(featurize)
    add_store_options(featurize)
    add_plan_option(featurize)
    add_labeler_options(featurize)
    add_request_options(featurize)


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.audit.label_step import asked_features, label_pairs
    from seal_datasets.audit.settings import AuditSettings
    from seal_datasets.labels.featurize import add_surface_features

    settings = AuditSettings(**labeler_settings(options), seed=options.seed)
    taxonomy = asked_features(settings)
    store = options.store or options.out.with_suffix(".labels.sqlite")
    if options.dry_run:
        return print_plan(options, settings, store)
    key = os.environ.get("SEAL_LABELER_API_KEY")
    labelled = label_pairs(add_surface_features(load_table(options)), taxonomy, settings, store, api_key=key)
    return write_table(labelled.pairs, options.out) or check_labels(
        [labelled.record["labels"]] if labelled.record else []
    )

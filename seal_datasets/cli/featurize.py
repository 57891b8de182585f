"""`seal featurize`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from seal_datasets.cli.options import (
    Verbs,
    asking_options,
    dry_run,
    labeler_options,
    labeling_settings,
    table_options,
    verb,
    write,
)


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    featurize = verb(
        verbs,
        "featurize",
        _run,
        "add surface features and LM labels to a dataset",
        "seal featurize pairs.jsonl --out labelled.parquet --labeler none",
        "seal featurize pairs.jsonl --out labelled.parquet --labeler http://localhost:8000/v1 --labeler-model my-model",
    )
    table_options(featurize)
    labeler_options(featurize)
    asking_options(featurize)
    featurize.add_argument("--store", type=Path, help="SQLite file of LM responses (default: beside the output)")
    featurize.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.audit.label_step import asked_features, label_pairs
    from seal_datasets.audit.settings import AuditSettings
    from seal_datasets.data.load import load_pairs
    from seal_datasets.labels.featurize import add_surface_features

    settings = AuditSettings(
        **labeling_settings(options),
        seed=options.seed,
    )
    taxonomy = asked_features(settings)
    store = options.store or options.out.with_suffix(".labels.sqlite")
    if options.dry_run:
        return dry_run(options.data, replace(settings, split=options.split, limit=options.limit), store)
    pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    sys.stderr.write(f"{diagnosis}\n")
    key = os.environ.get("SEAL_LABELER_API_KEY")
    pairs, _ = label_pairs(add_surface_features(pairs), taxonomy, settings, store, api_key=key)
    return write(pairs, options.out)

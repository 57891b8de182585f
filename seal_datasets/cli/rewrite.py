"""`seal rewrite`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from seal_datasets.cli.options import (
    Verbs,
    asking_options,
    asking_settings,
    dry_run,
    rewrite_settings,
    rewriting_options,
    table_options,
    verb,
    write,
)


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    rewrite = verb(
        verbs,
        "rewrite",
        _run,
        "add an LM's rewrites of a share of the pairs",
        "seal rewrite labelled.parquet --out rewritten.parquet --share 0.01",
        "seal rewrite labelled.parquet --out rewritten.parquet --presets style,identity --axes positive "
        "--rewriter http://localhost:8000/v1 --rewriter-model my-model",
    )
    table_options(rewrite)
    rewrite.add_argument(
        "--share", type=float, default=0.01, help="share of the pairs to rewrite (default: %(default)s)"
    )
    rewriting_options(rewrite)
    rewrite.add_argument(
        "--dry-run", action="store_true", help="say what rewriting would ask and cost, and ask nothing"
    )
    rewrite.add_argument("--store", type=Path, help="SQLite file of LM responses (default: beside the output)")
    rewrite.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)")
    asking_options(rewrite)


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.audit.rewrite_step import rewrite_pairs
    from seal_datasets.audit.settings import AuditSettings
    from seal_datasets.data.load import load_pairs

    settings = AuditSettings(
        **asking_settings(options),
        seed=options.seed,
        rewrites=rewrite_settings(options, options.share),
    )
    store = options.store or options.out.with_suffix(".rewrites.sqlite")
    if options.dry_run:
        return dry_run(options.data, replace(settings, split=options.split, limit=options.limit), store, labels=False)
    pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    sys.stderr.write(f"{diagnosis}\n")
    pairs, _ = rewrite_pairs(pairs, settings, store, api_key=os.environ.get("SEAL_LABELER_API_KEY"))
    return write(pairs, options.out)

"""`seal rewrite`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping

from seal_datasets.cli.options import (
    Verbs,
    add_plan_option,
    add_rewrite_options,
    add_store_options,
    add_table_options,
    add_verb,
    load_table,
    print_plan,
    rewrite_settings,
    write_table,
)
from seal_datasets.cli.request_options import add_request_options, request_settings


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    rewrite = add_verb(
        verbs,
        "rewrite",
        _run,
        "rewrite the responses of some pairs with a language model",
        "seal rewrite labelled.parquet --out rewritten.parquet --share 0.01",
        "seal rewrite labelled.parquet --out rewritten.parquet --presets style,identity --axes positive \\\n"
        "      --rewriter http://localhost:8000/v1 --rewriter-model my-model",
        common="data --split --limit --share --presets --axes --rewriter --rewriter-model --out --dry-run",
    )
    add_table_options(rewrite)
    add_store_options(rewrite)
    add_plan_option(rewrite)
    add_rewrite_options(
        rewrite, "--share", default=0.01, purpose="share of the pairs to rewrite (default: %(default)s, the paper's)"
    )
    add_request_options(rewrite)


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.audit.rewrite_step import rewrite_pairs
    from seal_datasets.audit.settings import AuditSettings

    settings = AuditSettings(
        **request_settings(options),
        seed=options.seed,
        rewrites=rewrite_settings(options, options.share),
    )
    store = options.store or options.out.with_suffix(".rewrites.sqlite")
    if options.dry_run:
        return print_plan(options, settings, store, labels=False)
    key = os.environ.get("SEAL_LABELER_API_KEY")
    pairs, record = rewrite_pairs(load_table(options), settings, store, api_key=key)
    return write_table(pairs, options.out) or _check_rewrites(record["statuses"])


def _check_rewrites(statuses: Mapping[str, Mapping[str, int]]) -> int:
    """Say which presets have no accepted rewrite; returns the exit code, 1 if none has one."""
    missing = [name for name, counts in statuses.items() if counts and not counts.get("ok")]
    for name in missing:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in statuses[name].items())
        sys.stderr.write(f"no rewrites {name}: {reasons}\n")
    return 1 if missing and len(missing) == sum(map(bool, statuses.values())) else 0

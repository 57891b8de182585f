"""`seal labelers`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from seal_datasets.atomic import write_json
from seal_datasets.cli.options import (
    KEYS_NOTE,
    Verbs,
    add_label_options,
    add_plan_option,
    add_store_options,
    add_table_options,
    add_verb,
    check_labels,
    load_table,
    split_names,
    write_table,
)
from seal_datasets.cli.request_options import add_request_options, request_settings
from seal_datasets.errors import DataError


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    labelers = add_verb(
        verbs,
        "labelers",
        _run,
        "label the same pairs with several labelers, and measure their agreement",
        "seal labelers pairs.jsonl --labelers local my-model@http://localhost:8000/v1 --out both.parquet",
        "seal labelers pairs.jsonl --labelers local --repeat 3 --temperature 0.7 --out thrice.parquet",
        "seal labelers pairs.jsonl --labelers local local:probabilities --gold human.csv --out x.parquet",
        "seal labelers pairs.jsonl --labelers local probe --gold human.csv --out x.parquet",
        note=KEYS_NOTE,
        common="data --split --limit --labelers --repeat --temperature --sample --features --gold --out --dry-run",
    )
    add_table_options(labelers)
    labelers.add_argument(
        "--labelers",
        nargs="+",
        required=True,
        metavar="MODEL@URL|local|probe",
        help="two or more labelers, or one with --repeat; append :probabilities to ask for P(true). A probe learns from the "
        "gold labels, and each of its labels comes from heads that did not see the prompt",
    )
    labelers.add_argument(
        "--repeat",
        type=int,
        default=1,
        metavar="N",
        help="ask each labeler N times, with a different seed each time (default: %(default)s)",
    )
    labelers.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        metavar="T",
        help="sampling temperature; must be above 0 with --repeat (default: %(default)s)",
    )
    labelers.add_argument(
        "--sample", type=int, metavar="N", help="label only N pairs, drawn with the seed (default: all)"
    )
    labelers.add_argument(
        "--pair-ids", metavar="FILE", help="label only the pairs in this file, one pair_id per line (default: all)"
    )
    add_label_options(labelers, default_features="the whole taxonomy; six of 'seal'")
    add_store_options(labelers)
    add_plan_option(labelers)
    add_request_options(labelers)


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.audit.label_step import asked_features
    from seal_datasets.audit.labelers_step import (
        LabelingTask,
        count_labels_of_all,
        describe_labelers_plan,
        run_labelers,
    )
    from seal_datasets.audit.settings import AuditSettings, LabelerPanel

    panel = LabelerPanel(tuple(options.labelers), options.repeat, options.temperature, _read_lines(options.pair_ids))
    settings = AuditSettings(
        label_limit=options.sample,
        labeler="local",
        **request_settings(options),
        gold=options.gold,
        features=split_names(options.features),
        taxonomy=options.taxonomy,
        seed=options.seed,
    )
    pairs = load_table(options)
    store = options.store or options.out.with_suffix(".labels.sqlite")
    task = LabelingTask(panel, asked_features(settings), settings, store)
    key = os.environ.get("SEAL_LABELER_API_KEY")
    if options.dry_run:
        for line in describe_labelers_plan(pairs, task, api_key=key):
            sys.stdout.write(f"{line}\n")
        return 0
    comparison = run_labelers(pairs, task, api_key=key)
    for line in [*comparison.lines(), *comparison.table_lines()]:
        sys.stdout.write(f"{line}\n")
    write_json(options.out.with_suffix(".json"), comparison.to_dict())
    return write_table(comparison.table, options.out) or check_labels(count_labels_of_all(comparison, task.taxonomy))


def _read_lines(path: str | None) -> tuple[str, ...] | None:
    if path is None:
        return None
    try:
        return tuple(line.strip() for line in Path(path).read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read pair ids from {path}: {error}") from error

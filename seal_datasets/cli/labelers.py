"""`seal labelers`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from seal_datasets.cli.options import Verbs, asking_options, asking_settings, names, table_options, verb, write
from seal_datasets.errors import DataError


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    labelers = verb(
        verbs,
        "labelers",
        _run,
        "have several labelers label the same pairs, and say how far they agree",
        "seal labelers pairs.jsonl --labelers local my-model@http://localhost:8000/v1 --out both.parquet",
        "seal labelers pairs.jsonl --labelers local --repeat 3 --temperature 0.7 --out thrice.parquet",
        "seal labelers pairs.jsonl --labelers local local:probabilities --gold human.csv --out x.parquet",
    )
    table_options(labelers)
    labelers.add_argument(
        "--labelers",
        nargs="+",
        required=True,
        metavar="MODEL@URL|local",
        help="two or more, or one with "
        "--repeat; `:probabilities` at the end asks for P(true); keys are read from "
        "SEAL_LABELER_API_KEY: one, or ADDRESS=KEY for each service, with blanks between",
    )
    labelers.add_argument(
        "--repeat", type=int, default=1, help="ask each so many times, with a seed of its own each time"
    )
    labelers.add_argument("--temperature", type=float, default=0.0, help="of sampling; above 0 for --repeat")
    labelers.add_argument("--sample", type=int, help="label this many pairs, drawn with the seed (default: all)")
    labelers.add_argument("--pair-ids", metavar="FILE", help="label these pairs: a file with one pair_id a line")
    labelers.add_argument(
        "--gold", metavar="FILE", help="human labels: a table with pair_id and columns gold_<feature>_<side>"
    )
    labelers.add_argument("--features", default="", help="features to label, comma-separated (default: the taxonomy's)")
    labelers.add_argument("--taxonomy", default="seal", help="'seal' or a YAML file (default: %(default)s)")
    labelers.add_argument(
        "--dry-run", action="store_true", help="say what each would be asked and cost, and ask nothing"
    )
    labelers.add_argument("--store", type=Path, help="SQLite file of LM responses (default: beside the output)")
    labelers.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)")
    asking_options(labelers)


def _run(options: argparse.Namespace) -> int:
    import json

    from seal_datasets.audit.label_step import asked_features
    from seal_datasets.audit.labelers_step import LabelingTask, describe_labelers_plan, run_labelers
    from seal_datasets.audit.settings import AuditSettings, LabelerPanel
    from seal_datasets.data.load import load_pairs

    panel = LabelerPanel(tuple(options.labelers), options.repeat, options.temperature, _lines(options.pair_ids))
    settings = AuditSettings(
        label_limit=options.sample,
        **asking_settings(options),
        gold=options.gold,
        features=names(options.features),
        taxonomy=options.taxonomy,
        seed=options.seed,
    )
    pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    sys.stderr.write(f"{diagnosis}\n")
    store = options.store or options.out.with_suffix(".labels.sqlite")
    task = LabelingTask(panel, asked_features(settings), settings, store)
    key = os.environ.get("SEAL_LABELER_API_KEY")
    if options.dry_run:
        for line in describe_labelers_plan(pairs, task, api_key=key):
            sys.stdout.write(f"{line}\n")
        return 0
    compared = run_labelers(pairs, task, api_key=key)
    for line in compared.lines():
        sys.stdout.write(f"{line}\n")
    numbers = options.out.with_suffix(".json")
    numbers.parent.mkdir(parents=True, exist_ok=True)
    numbers.write_text(json.dumps(compared.to_dict(), indent=1, allow_nan=False) + "\n", "utf-8")
    return write(compared.table, options.out)


def _lines(path: str | None) -> tuple[str, ...] | None:
    if path is None:
        return None
    try:
        return tuple(line.strip() for line in Path(path).read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read pair ids from {path}: {error}") from error

"""`seal doctor`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seal_datasets.cli.options import Verbs, verb

if TYPE_CHECKING:
    from seal_datasets.rewards.doctor.findings import Check, Examination


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    doctor = verb(
        verbs,
        "doctor",
        _run,
        "examine a reward model: do its scores depend on anything but the text?",
        "seal doctor models/post",
        "seal doctor my/rm --data pairs.jsonl --out doctor.json --processes 2",
        "seal doctor my/multi-output-rm --head 0 --precision bfloat16",
        "seal doctor dpo:my/policy@my/sft",
    )
    doctor.add_argument(
        "model",
        help="Hub id or folder of a sequence classifier, or another kind as for seal score "
        "--model, which is asked for scores only",
    )
    doctor.add_argument("--data", help="pairs, as for audit (default: the embedded preference set)")
    doctor.add_argument("--split", help="split of a dataset with several")
    doctor.add_argument(
        "--limit",
        type=int,
        default=32,
        help="pairs to score in every way, from the shortest to the longest; "
        "all are measured in tokens (default: %(default)s)",
    )
    doctor.add_argument("--out", type=Path, help="JSON file to write")
    doctor.add_argument(
        "--processes",
        type=int,
        default=1,
        help="compare one process with this many, started with `accelerate launch` (default: not compared)",
    )
    doctor.add_argument("--revision", help="branch, tag or commit on the Hub")
    doctor.add_argument("--max-length", type=int, help="tokens per text (default: what the model takes)")
    doctor.add_argument("--head", type=int, help="which output of a model with several is the reward")
    doctor.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16", "float16"],
        default="auto",
        help="type of the weights in use (default: the checkpoint's own)",
    )
    doctor.add_argument(
        "--allow-pickle", action="store_true", help="read weights from pickle files, which can run code"
    )
    doctor.add_argument("--allow-remote-code", action="store_true", help="run code that comes with the model")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.data.load import load_pairs
    from seal_datasets.rewards.doctor.examine import Extent, examine
    from seal_datasets.rewards.options import ModelOptions

    pairs = None
    if options.data is not None:
        pairs, diagnosis = load_pairs(options.data, split=options.split)
        sys.stderr.write(f"{diagnosis}\n")
    found = examine(
        options.model,
        pairs,
        extent=Extent(limit=options.limit, processes=options.processes),
        head=options.head,
        options=ModelOptions(
            revision=options.revision,
            max_length=options.max_length,
            precision=options.precision,
            allow_pickle=options.allow_pickle,
            allow_remote_code=options.allow_remote_code,
        ),
        api_key=os.environ.get("SEAL_SCORER_API_KEY"),
    )
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found.to_dict(), indent=1, allow_nan=False) + "\n", "utf-8")
    sys.stdout.write("".join(f"{_printable(line)}\n" for line in _lines(found)))
    return 1 if found.failed else 0


def _lines(found: Examination) -> Iterator[str]:
    model = found.model
    yield f"{model['model']} at {model['revision']}: {model['architecture']}, {model['dtype']}, {found.n_pairs} pairs"
    template = f"template {found.template_hash}" if found.template_hash else "no chat template"
    yield f"shown as ({template}): {found.example}"
    yield ""
    yield f"{'check':<12} {'result':<14} {'largest difference':>18}  found"
    for check in found.checks:
        yield f"{check.name:<12} {check.status.replace('_', ' '):<14} {_difference(check):>18}  {check.detail}"
        if check.advice:
            yield f"{'':<47}to do: {check.advice}"
    yield ""
    yield f"tie band (jitter): {found.tie_band:.3g}"
    yield f"failed: {', '.join(found.failed)}" if found.failed else "no check failed"


def _difference(check: Check) -> str:
    return "-" if check.largest_difference is None else f"{check.largest_difference:.3g}"


def _printable(text: str) -> str:
    """A line without what could steer a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)

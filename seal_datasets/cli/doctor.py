"""`seal doctor`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seal_datasets.atomic import write_json
from seal_datasets.cli.model_options import add_checkpoint_options, known_revisions, model_options, named_models
from seal_datasets.cli.options import SPLIT_HELP, Verbs, add_verb
from seal_datasets.escape import escape_terminal

if TYPE_CHECKING:
    from seal_datasets.audit.given_models import GivenModels
    from seal_datasets.rewards.doctor.findings import Check, Examination


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    doctor = add_verb(
        verbs,
        "doctor",
        _run,
        "check that the scores of reward models depend on the text only",
        "seal doctor models/post",
        "seal doctor pre=models/pre post=models/post --data pairs.jsonl --out doctor.json",
        "seal doctor my/rm --data pairs.jsonl --out doctor.json --processes 2",
        "seal doctor my/multi-output-rm --head 0 --precision bfloat16",
        "seal doctor dpo:my/policy@my/sft",
        note="Exits with 1 if a check fails.",
        common="model --data --split --limit --head --precision --processes --out",
    )
    doctor.add_argument(
        "model",
        nargs="+",
        help="[NAME=]MODEL: Hub id or folder of a sequence classifier, or another kind, see seal score --help; "
        "other kinds get only the checks that scores allow. NAME heads its results (default: from its id)",
    )
    doctor.add_argument("--data", help="pairs, given as for seal audit (default: the embedded preference set)")
    doctor.add_argument("--split", help=SPLIT_HELP)
    doctor.add_argument(
        "--limit",
        type=int,
        default=32,
        metavar="N",
        help="score N pairs under every condition, from the shortest to the longest; "
        "the lengths of all pairs are measured (default: %(default)s)",
    )
    doctor.add_argument(
        "--out", type=Path, metavar="FILE", help="JSON file for the results, by name (default: print only)"
    )
    doctor.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="compare one process with N, started by `accelerate launch` (default: %(default)s, no comparison)",
    )
    doctor.add_argument(
        "--revision",
        action="append",
        default=[],
        metavar="[NAME=]REVISION",
        help="branch, tag or commit on the Hub, with the name of one of several models (default: main)",
    )
    add_checkpoint_options(doctor, precision="auto")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.data.load import load_pairs
    from seal_datasets.rewards.doctor.examine import Extent, examine
    from seal_datasets.rewards.open import find_scorer

    models = _given_models(options)
    key = os.environ.get("SEAL_SCORER_API_KEY")
    several = len(models.texts) > 1
    if several:  # the last one is found too, before the first is examined
        for name, text in models.texts.items():
            find_scorer(text, api_key=key, **models.opening(name))
    pairs = None
    if options.data is not None:
        pairs, diagnosis = load_pairs(options.data, split=options.split)
        sys.stderr.write(f"{diagnosis}\n")
    extent = Extent(limit=options.limit, processes=options.processes)
    found: dict[str, Examination] = {}
    for name, text in models.texts.items():
        how = models.opening(name)
        found[name] = examine(text, pairs, extent=extent, head=how["head"], options=how["options"], api_key=key)
        heading = [f"== {name} =="] if several else []
        sys.stdout.write("".join(f"{_show_breaks(line)}\n" for line in (*heading, *_render_lines(found[name]))))
        sys.stdout.flush()
    if options.out is not None:
        write_json(options.out, {name: examination.to_dict() for name, examination in found.items()})
    return 1 if any(examination.failed for examination in found.values()) else 0


def _given_models(options: argparse.Namespace) -> GivenModels:
    from seal_datasets.audit.given_models import GivenModels

    texts = named_models(options.model)
    (first, *others) = texts
    revisions = (
        options.revision if others else [text if "=" in text else f"{first}={text}" for text in options.revision]
    )
    return GivenModels(
        texts=texts,
        revisions=known_revisions(revisions, list(texts)),
        options=model_options(options, revision=None, max_length=options.max_length),
        head=options.head,
    )


def _render_lines(examination: Examination) -> Iterator[str]:
    model = examination.model
    yield f"{model['model']} at {model['revision']}: {model['architecture']}, {model['dtype']}, {examination.n_pairs} pairs"
    template = f"template {examination.template_hash}" if examination.template_hash else "no chat template"
    yield f"shown as ({template}): {examination.example}"
    yield ""
    yield f"{'check':<12} {'result':<14} {'largest difference':>18}  found"
    for check in examination.checks:
        yield f"{check.name:<12} {check.status.replace('_', ' '):<14} {_format_difference(check):>18}  {check.detail}"
        if check.advice:
            yield f"{'':<47}to do: {check.advice}"
    yield ""
    yield f"tie band (jitter): {examination.tie_band:.3g}"
    yield f"failed: {', '.join(examination.failed)}" if examination.failed else "no check failed"


def _format_difference(check: Check) -> str:
    return "-" if check.largest_difference is None else f"{check.largest_difference:.3g}"


def _show_breaks(text: str) -> str:
    """Text on one line, whose breaks are shown."""
    return escape_terminal(text.replace("\n", r"\n"))

"""`seal audit`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seal_datasets.cli.options import (
    Verbs,
    asking_options,
    dry_run,
    labeler_options,
    labeling_settings,
    names,
    rewrite_settings,
    rewriting_options,
    training_options,
    training_settings,
    verb,
)
from seal_datasets.errors import DataError


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    audit = verb(
        verbs,
        "audit",
        _run,
        "load, label, train where needed, score, estimate and report, in one go",
        "seal audit --demo",
        "seal audit pairs.jsonl --pre my/rm-before --post my/rm-after --out report",
        "seal audit Anthropic/hh-rlhf --split test --limit 500 --labeler none",
        "seal audit scored.parquet --rewards pre=before_chosen,before_rejected "
        "--rewards post=after_chosen,after_rejected",
        "seal audit me/published-audit --out again",
    )
    audit.add_argument(
        "data",
        nargs="?",
        help="Hub id, file (jsonl, json, csv, parquet, also .gz) or saved dataset; of a "
        "published audit, every number is computed again, without an LM or models",
    )
    audit.add_argument("--demo", action="store_true", help="audit the embedded preference set")
    audit.add_argument(
        "--out", type=Path, default=Path("seal-audit"), help="folder of the report (default: %(default)s)"
    )
    audit.add_argument("--split", help="split of a dataset with several")
    audit.add_argument("--limit", type=int, help="take this many pairs, drawn with the seed")
    audit.add_argument(
        "--pre",
        help="pre-training reward model: Hub id, folder, or another kind as for seal score "
        "--model (default: train one)",
    )
    audit.add_argument("--post", help="post-training reward model, as --pre (default: train one)")
    audit.add_argument(
        "--rewards",
        action="append",
        default=[],
        metavar="NAME=CHOSEN,REJECTED",
        help="take rewards from "
        "columns of the data, once for pre and once for post; no model is run, no labeler asked: features are "
        "those the data has (from seal featurize) and surface features",
    )
    labeler_options(audit)
    asking_options(audit)
    training_options(audit)
    audit.add_argument(
        "--over-length",
        choices=["error", "truncate", "skip"],
        default="truncate",
        help="texts longer than the model takes: stop, drop the start of the prompt, or leave unscored "
        "(default: %(default)s; counted in the report)",
    )

    audit.add_argument(
        "--doctor",
        action="store_true",
        help="examine both models first (see seal doctor), and take the larger jitter as tie band",
    )
    audit.add_argument(
        "--tie-band",
        type=float,
        metavar="POINTS",
        help="rewards no further apart are a tie, which is not aligned (default: what --doctor measures, or 0)",
    )
    audit.add_argument(
        "--rewrite-share",
        type=float,
        metavar="SHARE",
        help="rewrite this share of the pairs, label and score "
        "the rewrites and estimate robustness (the paper's: 0.01)",
    )
    rewriting_options(audit)


def _run(options: argparse.Namespace) -> int:
    return _audit_own_rewards(options) if options.rewards else _audit(options)


def _audit_own_rewards(options: argparse.Namespace) -> int:
    from seal_datasets.audit.precomputed import OwnRewardsSettings, audit_own_rewards

    if options.demo or options.data is None:
        raise DataError("--rewards names columns of your data; give the data")
    if options.pre or options.post or options.rewrite_share is not None or options.labeler not in ("local", "none"):
        raise DataError(
            "--rewards runs no model and asks no labeler; leave out --pre, --post, --labeler and --rewrite-share"
        )
    if options.doctor or options.tie_band is not None:
        raise DataError("--doctor and --tie-band belong to models that are run here; leave them out with --rewards")
    rewards = {}
    for named in options.rewards:
        name, _, columns = named.partition("=")
        given = names(columns)
        if not name or len(given) != 2:
            raise DataError(
                f"--rewards takes NAME=CHOSEN,REJECTED, e.g. post=score_chosen,score_rejected, got {named!r}"
            )
        rewards[name] = (given[0], given[1])
    same = ("split", "limit", "seed", "taxonomy", "gold")
    settings = OwnRewardsSettings(**{name: getattr(options, name) for name in same})
    return _print_headline(audit_own_rewards(options.data, options.out, rewards, settings), options.out)


def _print_headline(report: Mapping[str, Any], out: Path) -> int:
    from seal_datasets.report.headline import headline

    for line in headline(report):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"Report: {out / 'report.md'}\n")
    return 0


def _audit(options: argparse.Namespace) -> int:
    from seal_datasets.audit.run import DEMO_TRAINING, run_audit
    from seal_datasets.audit.settings import AuditSettings
    from seal_datasets.data.demo import demo_path
    from seal_datasets.hub.recompute import find_published
    from seal_datasets.rewards.train import TrainingSettings

    if options.demo == (options.data is not None):
        raise DataError("give a dataset to audit, or --demo (not both)")
    if options.data is not None and options.pre is None and (published := find_published(options.data)):
        return _recompute(published, options.out)
    settings = AuditSettings(
        limit=options.limit,
        split=options.split,
        pre=options.pre,
        post=options.post,
        **labeling_settings(options),
        over_length=options.over_length,
        doctor=options.doctor,
        tie_band=options.tie_band,
        seed=options.seed,
        training=training_settings(options, DEMO_TRAINING if options.demo else TrainingSettings()),
        rewrites=rewrite_settings(options, options.rewrite_share) if options.rewrite_share is not None else None,
    )
    source = "demo" if options.demo else options.data
    if options.dry_run:
        data = str(demo_path()) if options.demo else options.data
        return dry_run(data, settings, options.out / "labels.sqlite")
    keys = {"api_key": "SEAL_LABELER_API_KEY", "scorer_api_key": "SEAL_SCORER_API_KEY"}
    report = run_audit(
        source, options.out, settings, **{name: os.environ.get(variable) for name, variable in keys.items()}
    )
    return _print_headline(report, options.out)


def _recompute(published: Path, out: Path) -> int:
    from seal_datasets.hub.recompute import recompute

    found = recompute(published, out)
    if found.differing is None:
        sys.stdout.write("No report was published with it.\n")
    else:
        stands = "every number of the published report stands"
        shown = ", ".join(found.differing[:20])
        sys.stdout.write(f"{len(found.differing)} entries differ: {shown}\n" if found.differing else f"{stands}\n")
    _print_headline(found.report, out)
    return 1 if found.differing else 0

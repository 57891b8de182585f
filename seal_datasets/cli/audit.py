"""`seal audit`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal_datasets.cli.model_options import (
    add_checkpoint_options,
    add_compute_options,
    add_revision_option,
    known_revisions,
    model_options,
    named_models,
    parse_assignments,
)
from seal_datasets.cli.options import (
    DATA_HELP,
    SPLIT_HELP,
    Verbs,
    add_labeler_options,
    add_plan_option,
    add_rewrite_options,
    add_seed_option,
    add_training_options,
    add_verb,
    check_labels,
    labeler_settings,
    rewrite_settings,
    split_names,
    training_settings,
)
from seal_datasets.cli.request_options import add_request_options
from seal_datasets.errors import DataError

if TYPE_CHECKING:
    from seal_datasets.audit.given_models import GivenModels


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    audit = add_verb(
        verbs,
        "audit",
        _run,
        "audit reward models: load pairs, label, score, estimate and write a report",
        "seal audit --demo",
        "seal audit pairs.jsonl --model my/rm --out report",
        "seal audit pairs.jsonl --pre my/rm-before --post my/rm-after --out report",
        "seal audit pairs.jsonl --model sft=my/rm --model step_500=my/rm --revision step_500=v2",
        "seal audit pairs.jsonl --model a=my/rm --model b=dpo:my/policy@my/sft --baseline b --merge-system",
        "seal audit Anthropic/hh-rlhf --split test --limit 500 --labeler none",
        "seal audit pairs.jsonl --model my/rm --gold gold.csv    # a probe learns the labels of all pairs",
        "seal audit scored.parquet --rewards rm=score_chosen,score_rejected",
        "seal audit me/published-audit --out again      # recompute a published report",
        "seal audit pairs.jsonl --limit 500 --write-config recipe.yaml",
        "seal audit --config recipe.yaml --limit 1000   # flags win over the recipe",
        note="Re-run the same command to resume.",
        common="data --demo --limit --model --baseline --rewards --labeler --labeler-model --gold --rewrite-share "
        "--out --dry-run",
    )
    _add_data_options(audit)
    _add_model_options(audit)
    add_labeler_options(audit)
    add_rewrite_options(
        audit,
        "--rewrite-share",
        default=None,
        purpose="rewrite this share of the pairs, label and score the rewrites, and estimate robustness; "
        "the paper uses 0.01 (default: no rewrites)",
    )
    add_training_options(audit)
    _add_output_options(audit)
    add_request_options(audit)
    add_checkpoint_options(audit, precision=None, max_length=False)
    add_compute_options(audit)


def _add_data_options(audit: argparse.ArgumentParser) -> None:
    group = audit.add_argument_group("data")
    group.add_argument(
        "data",
        nargs="?",
        help=f"{DATA_HELP}; the id of a published audit recomputes its numbers, without any model",
    )
    group.add_argument("--demo", action="store_true", help="audit the embedded preference set instead of your data")
    group.add_argument("--split", help=SPLIT_HELP)
    group.add_argument("--limit", type=int, metavar="N", help="audit N rows, drawn with the seed (default: all)")
    add_seed_option(group)


def _add_output_options(audit: argparse.ArgumentParser) -> None:
    group = audit.add_argument_group("output")
    group.add_argument(
        "--out",
        type=Path,
        default=Path("seal-audit"),
        metavar="FOLDER",
        help="folder for the report (default: %(default)s)",
    )
    add_plan_option(
        group,
        "print texts, tokens, what is cached, requests, dollars, time, memory and disk of every step, and run nothing; models "
        "on this machine and the embedded labeler are timed for a few seconds each",
    )
    group.add_argument(
        "--write-config",
        type=Path,
        metavar="FILE",
        help="write a recipe of this audit for --config, with every option, version and revision, and run nothing; "
        "a report's folder holds its own as recipe.yaml",
    )


def _add_model_options(audit: argparse.ArgumentParser) -> None:
    group = audit.add_argument_group("reward models")
    group.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]MODEL",
        help="reward model: Hub id, folder, or another kind, see seal score --help; repeat it for several, in the order of "
        "training if they are checkpoints. NAME is its name in columns and report (default: from its id). Without any model, "
        "a pair is trained",
    )
    group.add_argument(
        "--baseline",
        metavar="NAME",
        help="model that all others are compared with (default: the first of several; none for one)",
    )
    group.add_argument(
        "--pre", metavar="MODEL", help="pre-training reward model, the baseline; the same as --model pre=MODEL"
    )
    group.add_argument("--post", metavar="MODEL", help="post-training reward model; the same as --model post=MODEL")
    add_revision_option(group)
    group.add_argument(
        "--rewards",
        action="append",
        default=[],
        metavar="NAME=CHOSEN,REJECTED",
        help="take a model's rewards from columns of the data; repeat it for several. Without --model, runs no model and no "
        "labeler, and uses feature columns from seal featurize if there are any",
    )
    group.add_argument(
        "--over-length",
        choices=["error", "truncate", "skip"],
        default="truncate",
        help="for texts longer than the model takes: stop, drop the start of the prompt, or leave them unscored; "
        "the report counts them (default: %(default)s)",
    )
    group.add_argument(
        "--doctor",
        action="store_true",
        help="examine the models first (see seal doctor --help), and use the largest jitter as tie band",
    )
    group.add_argument(
        "--tie-band",
        type=float,
        metavar="POINTS",
        help="count rewards at most this far apart as a tie, which is not aligned "
        "(default: the jitter measured by --doctor, else 0)",
    )


def _run(options: argparse.Namespace) -> int:
    return _audit_own_rewards(options) if options.rewards and not _has_models(options) else _audit(options)


def _has_models(options: argparse.Namespace) -> bool:
    return bool(options.model or options.pre or options.post)


def _audit_own_rewards(options: argparse.Namespace) -> int:
    from seal_datasets.audit.plan_own_rewards import plan_own_rewards
    from seal_datasets.audit.precomputed import OwnRewardsSettings, audit_own_rewards
    from seal_datasets.audit.recipe import own_rewards_recipe

    if options.demo or options.data is None:
        raise DataError("--rewards names columns of your data; give the data to audit, without --demo")
    if options.rewrite_share is not None or options.labeler not in (None, "none") or options.teacher:
        raise DataError(
            "--rewards alone runs no model and asks no labeler; leave out --labeler and --rewrite-share, or give a --model too"
        )
    if options.doctor or options.tie_band is not None:
        raise DataError("--doctor and --tie-band apply to models that are run; leave them out with --rewards")
    rewards = _given_columns(options)
    same = ("split", "limit", "seed", "taxonomy", "gold", "baseline")
    settings = OwnRewardsSettings(**{name: getattr(options, name) for name in same})
    if options.write_config:
        return _write_recipe(options.write_config, own_rewards_recipe(options.data, options.out, rewards, settings))
    if options.dry_run:
        sys.stdout.write(f"{plan_own_rewards(options.data, options.out, rewards, settings)}\n")
        return 0
    return _print_headline(audit_own_rewards(options.data, options.out, rewards, settings), options.out)


def _write_recipe(path: Path, recipe: str) -> int:
    from seal_datasets.atomic import write_text

    write_text(path, recipe)
    sys.stdout.write(f"{path}\n")
    return 0


def _print_headline(report: Mapping[str, Any], out: Path) -> int:
    from seal_datasets.report.files import PAGE_FILE
    from seal_datasets.report.headline import headline

    for line in headline(report):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"Report: {out / PAGE_FILE}\n")
    return 0


def _audit(options: argparse.Namespace) -> int:
    from seal_datasets.audit.recipe import audit_recipe
    from seal_datasets.audit.run import run_audit
    from seal_datasets.audit.settings import AuditSettings
    from seal_datasets.hub.recompute import find_published
    from seal_datasets.rewards.training_settings import TrainingSettings

    if options.demo == (options.data is not None):
        raise DataError("give a dataset to audit, or --demo (not both)")
    if options.data is not None and not _has_models(options) and (published := find_published(options.data)):
        _refuse_idle_options(options)
        return _recompute(published, options)
    settings = AuditSettings(
        limit=options.limit,
        split=options.split,
        models=_given_models(options),
        **labeler_settings(options),
        over_length=options.over_length,
        doctor=options.doctor,
        tie_band=options.tie_band,
        seed=options.seed,
        training=training_settings(options, TrainingSettings()),
        rewrites=rewrite_settings(options, options.rewrite_share) if options.rewrite_share is not None else None,
    )
    source = "demo" if options.demo else options.data
    if options.write_config:
        return _write_recipe(options.write_config, audit_recipe(source, options.out, settings))
    if options.dry_run:
        from seal_datasets.audit.plan import plan_audit

        sys.stdout.write(
            f"{plan_audit(source, options.out, settings, api_key=os.environ.get('SEAL_LABELER_API_KEY'))}\n"
        )
        return 0
    labeler_key, scorer_key = (os.environ.get(f"SEAL_{whose}_API_KEY") for whose in ("LABELER", "SCORER"))
    report = run_audit(source, options.out, settings, api_key=labeler_key, scorer_api_key=scorer_key)
    _print_headline(report, options.out)
    labels = (report["run"]["labeler"] or {}).get("labels")
    return check_labels([labels] if labels else [])


def _given_models(options: argparse.Namespace) -> GivenModels:
    """The models and how they are opened; --max-length is of training where they are trained here."""
    from seal_datasets.audit.given_models import GivenModels

    if (options.pre is None) != (options.post is None):
        raise DataError("give both models (--pre and --post), or one or more by --model")
    both = [] if options.pre is None else [f"pre={options.pre}", f"post={options.post}"]
    texts = named_models([*both, *options.model])
    return GivenModels(
        texts=texts,
        columns=_given_columns(options),
        baseline=options.baseline,
        revisions=known_revisions(options.revision, list(texts)),
        options=model_options(options, revision=None, max_length=options.max_length if texts else None),
        head=options.head,
        backend=options.backend,
    )


def _given_columns(options: argparse.Namespace) -> dict[str, tuple[str, str]]:
    """Columns of rewards by a model's short name."""
    given = parse_assignments(options.rewards, "REWARDS")
    columns = {name: split_names(text) for name, text in given.items()}
    for name, pair in columns.items():
        if len(pair) != 2:
            raise DataError(
                f"--rewards takes NAME=CHOSEN,REJECTED, e.g. rm=score_chosen,score_rejected, got '{name}={given[name]}'"
            )
    return {name: (chosen, rejected) for name, (chosen, rejected) in columns.items()}


def _refuse_idle_options(options: argparse.Namespace) -> None:
    """Refuse options that recomputing a published audit would not obey."""
    if idle := sorted(options.changed - {"data", "out", "config"}):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        raise DataError(
            f"{options.data} is a published audit, whose numbers are recomputed as they were published, without {flags}; "
            "leave that out, or give the source of the audit to audit it anew"
        )


def _recompute(published: Path, options: argparse.Namespace) -> int:
    from seal_datasets.atomic import write_text
    from seal_datasets.audit.recipe_file import read_versions, render_recipe
    from seal_datasets.hub.recompute import recompute
    from seal_datasets.report.files import RECIPE_FILE

    out: Path = options.out
    result = recompute(published, out)
    recipe = render_recipe("audit", {"data": options.data, "out": str(out)}, made_with=read_versions())
    write_text(out / RECIPE_FILE, recipe)
    if result.differing is None:
        sys.stdout.write("No report was published with this audit; there is nothing to compare with.\n")
    elif result.differing:
        sys.stdout.write(f"{len(result.differing)} entries differ: {', '.join(result.differing[:20])}\n")
        if result.lacks_gold:
            sys.stdout.write("The published report is corrected by gold labels, which were not published with it.\n")
    else:
        sys.stdout.write("OK: all numbers of the published report reproduced\n")
    _print_headline(result.report, out)
    return 1 if result.differing else 0

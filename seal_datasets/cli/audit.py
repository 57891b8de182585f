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
    print_plan,
    rewrite_settings,
    split_names,
    training_settings,
)
from seal_datasets.cli.request_options import add_request_options
from seal_datasets.errors import DataError

if TYPE_CHECKING:
    from seal_datasets.audit.settings import GivenModels


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    audit = add_verb(
        verbs,
        "audit",
        _run,
        "audit reward models: load pairs, label, score, estimate and write a report",
        "seal audit --demo",
        "seal audit pairs.jsonl --pre my/rm-before --post my/rm-after --out report",
        "seal audit pairs.jsonl --pre my/sft-rm --post my/lora-rm --revision post=v2 --merge-system",
        "seal audit Anthropic/hh-rlhf --split test --limit 500 --labeler none",
        "seal audit scored.parquet --rewards pre=before_chosen,before_rejected \\\n"
        "      --rewards post=after_chosen,after_rejected",
        "seal audit me/published-audit --out again      # recompute a published report",
        "seal audit pairs.jsonl --limit 500 --write-config recipe.yaml",
        "seal audit --config recipe.yaml --limit 1000   # flags win over the recipe",
        note="Re-run the same command to resume.",
        common="data --demo --split --limit --pre --post --rewards --labeler --labeler-model --rewrite-share --out --dry-run",
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
    add_plan_option(group)
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
        "--pre",
        metavar="MODEL",
        help="pre-training reward model: Hub id, folder, or another kind, see seal score --help (default: train one)",
    )
    group.add_argument(
        "--post", metavar="MODEL", help="post-training reward model, given like --pre (default: train one)"
    )
    add_revision_option(group)
    group.add_argument(
        "--rewards",
        action="append",
        default=[],
        metavar="NAME=CHOSEN,REJECTED",
        help="take rewards from columns of the data, once for pre and once for post; runs no model and no labeler, "
        "and uses feature columns from seal featurize if there are any",
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
        help="examine both models first (see seal doctor --help), and use the larger jitter as tie band",
    )
    group.add_argument(
        "--tie-band",
        type=float,
        metavar="POINTS",
        help="count rewards at most this far apart as a tie, which is not aligned "
        "(default: the jitter measured by --doctor, else 0)",
    )


def _run(options: argparse.Namespace) -> int:
    return _audit_own_rewards(options) if options.rewards else _audit(options)


def _audit_own_rewards(options: argparse.Namespace) -> int:
    from seal_datasets.audit.precomputed import OwnRewardsSettings, audit_own_rewards
    from seal_datasets.audit.recipe import own_rewards_recipe

    if options.demo or options.data is None:
        raise DataError("--rewards names columns of your data; give the data to audit, without --demo")
    if options.pre or options.post or options.rewrite_share is not None or options.labeler not in ("local", "none"):
        raise DataError(
            "--rewards runs no model and asks no labeler; leave out --pre, --post, --labeler and --rewrite-share"
        )
    if options.doctor or options.tie_band is not None:
        raise DataError("--doctor and --tie-band apply to models that are run; leave them out with --rewards")
    rewards = {}
    for text in options.rewards:
        name, _, columns = text.partition("=")
        given = split_names(columns)
        if not name or len(given) != 2:
            raise DataError(
                f"--rewards takes NAME=CHOSEN,REJECTED, e.g. post=score_chosen,score_rejected, got {text!r}"
            )
        rewards[name] = (given[0], given[1])
    same = ("split", "limit", "seed", "taxonomy", "gold")
    settings = OwnRewardsSettings(**{name: getattr(options, name) for name in same})
    if options.write_config:
        return _write_recipe(options.write_config, own_rewards_recipe(options.data, options.out, rewards, settings))
    return _print_headline(audit_own_rewards(options.data, options.out, rewards, settings), options.out)


def _write_recipe(path: Path, recipe: str) -> int:
    from seal_datasets.atomic import write_text

    write_text(path, recipe)
    sys.stdout.write(f"{path}\n")
    return 0


def _print_headline(report: Mapping[str, Any], out: Path) -> int:
    from seal_datasets.report.headline import headline

    for line in headline(report):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"Report: {out / 'report.md'}\n")
    return 0


def _audit(options: argparse.Namespace) -> int:
    from seal_datasets.audit.recipe import audit_recipe
    from seal_datasets.audit.run import DEMO_TRAINING, run_audit
    from seal_datasets.audit.settings import AuditSettings
    from seal_datasets.data.demo import demo_path
    from seal_datasets.hub.recompute import find_published
    from seal_datasets.rewards.training_settings import TrainingSettings

    if options.demo == (options.data is not None):
        raise DataError("give a dataset to audit, or --demo (not both)")
    if options.data is not None and options.pre is None and (published := find_published(options.data)):
        _refuse_idle_options(options)
        return _recompute(published, options)
    settings = AuditSettings(
        limit=options.limit,
        split=options.split,
        pre=options.pre,
        post=options.post,
        models=_given_models(options),
        **labeler_settings(options),
        over_length=options.over_length,
        doctor=options.doctor,
        tie_band=options.tie_band,
        seed=options.seed,
        training=training_settings(options, DEMO_TRAINING if options.demo else TrainingSettings()),
        rewrites=rewrite_settings(options, options.rewrite_share) if options.rewrite_share is not None else None,
    )
    source = "demo" if options.demo else options.data
    if options.write_config:
        return _write_recipe(options.write_config, audit_recipe(source, options.out, settings))
    if options.dry_run:
        data = str(demo_path()) if options.demo else options.data
        return print_plan(data, settings, options.out / "labels.sqlite")
    keys = {"api_key": "SEAL_LABELER_API_KEY", "scorer_api_key": "SEAL_SCORER_API_KEY"}
    report = run_audit(
        source, options.out, settings, **{name: os.environ.get(variable) for name, variable in keys.items()}
    )
    _print_headline(report, options.out)
    labels = (report["run"]["labeler"] or {}).get("labels")
    return check_labels([labels] if labels else [])


def _given_models(options: argparse.Namespace) -> GivenModels:
    """How the models are opened; --max-length is of training where they are trained here."""
    from seal_datasets.audit.settings import GivenModels

    names = [name for name in ("pre", "post") if getattr(options, name)]
    revisions = known_revisions(options.revision, names)
    return GivenModels(
        options=model_options(options, revision=None, max_length=options.max_length if names else None),
        pre_revision=revisions.get("pre"),
        post_revision=revisions.get("post"),
        head=options.head,
        backend=options.backend,
    )


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
    from seal_datasets.audit.recipe_file import RECIPE_FILE, read_versions, render_recipe
    from seal_datasets.hub.recompute import recompute

    out: Path = options.out
    result = recompute(published, out)
    recipe = render_recipe("audit", {"data": options.data, "out": str(out)}, made_with=read_versions())
    write_text(out / RECIPE_FILE, recipe)
    if result.differing is None:
        sys.stdout.write("No report was published with this audit; there is nothing to compare with.\n")
    elif result.differing:
        sys.stdout.write(f"{len(result.differing)} entries differ: {', '.join(result.differing[:20])}\n")
    else:
        sys.stdout.write("OK: all numbers of the published report reproduced\n")
    _print_headline(result.report, out)
    return 1 if result.differing else 0

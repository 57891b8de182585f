"""Options that several verbs of `seal` share, and the settings made from them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal_datasets.atomic import write_parquet
from seal_datasets.cli.request_options import request_settings
from seal_datasets.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

    from seal_datasets.audit.settings import AuditSettings, RewriteSettings
    from seal_datasets.cli.verb_parser import VerbParser
    from seal_datasets.rewards.training_settings import TrainingSettings

    Verbs = argparse._SubParsersAction[VerbParser]
else:
    Verbs = argparse._SubParsersAction

DATA_HELP = (
    "Hub id (ID@REVISION pins it), data file (jsonl, json, csv, parquet; also .gz) or folder made by save_to_disk"
)
TABLE_HELP = f"{DATA_HELP}; columns added by an earlier verb are kept"
KEYS_NOTE = (
    "The API key is read from SEAL_LABELER_API_KEY. For several services,\n"
    "set it to ADDRESS=KEY pairs, separated by spaces."
)
SPLIT_HELP = "split to read; needed if the dataset has several"


def add_verb(
    verbs: Verbs,
    name: str,
    run: Callable[[argparse.Namespace], int],
    purpose: str,
    *examples: str,
    note: str = "",
    common: str = "",
) -> VerbParser:
    """Add a verb, with its purpose, a note and examples as help; `common` are the options that --help shows, else all."""
    parser = verbs.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.\n{note}".rstrip(),
        epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.common = tuple(common.split())
    parser.set_defaults(run=run)
    return parser


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that read a table."""
    parser.add_argument("data", help=TABLE_HELP)
    parser.add_argument("--split", help=SPLIT_HELP)
    parser.add_argument("--limit", type=int, metavar="N", help="read only the first N rows (default: all)")


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that read a table and write one."""
    add_input_options(parser)
    parser.add_argument("--out", type=parquet_path, required=True, metavar="FILE", help="Parquet file to write")


def add_store_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that keep LM responses and draw at random."""
    parser.add_argument(
        "--store", type=Path, metavar="FILE", help="SQLite cache of LM responses (default: next to the output)"
    )
    add_seed_option(parser)


def add_seed_option(parser: argparse._ActionsContainer) -> None:
    """Add the seed."""
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)")


def add_plan_option(
    parser: argparse._ActionsContainer, purpose: str = "print the number and cost of requests, and send none"
) -> None:
    """Add the option to print a plan only; `purpose` describes it."""
    parser.add_argument("--dry-run", action="store_true", help=purpose)


def add_label_options(parser: argparse._ActionsContainer, *, default_features: str, gold: bool = True) -> None:
    """Add the options that say what to label; `default_features` describes the default of --features."""
    if gold:
        parser.add_argument(
            "--gold", metavar="FILE", help="human labels: a table with pair_id and columns gold_<feature>_<side>"
        )
    parser.add_argument(
        "--features",
        default="",
        metavar="NAMES",
        help=f"features to label, comma-separated (default: {default_features})",
    )
    parser.add_argument(
        "--taxonomy",
        default="seal",
        help="features to choose from: 'seal', a YAML file or a dataset id on the Hub (default: %(default)s)",
    )


def add_labeler_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that label with one labeler."""
    group = parser.add_argument_group("labels", KEYS_NOTE)
    group.add_argument(
        "--labeler",
        metavar="probe|URL|local|none",
        help="a probe trained on gold labels, an OpenAI-compatible endpoint, the embedded model (local), or no labels (none) "
        "(default: probe where there are gold labels, else none)",
    )
    group.add_argument("--labeler-model", metavar="NAME", help="name of the model at that endpoint; needed with a URL")
    group.add_argument(
        "--label-limit", type=int, metavar="N", help="label only N pairs, drawn with the seed (default: all)"
    )
    group.add_argument(
        "--probabilities",
        action="store_true",
        help="ask for each yes/no feature separately and keep P(true); the endpoint must return log-probabilities",
    )
    add_label_options(
        group,
        default_features="the whole taxonomy; for a probe those with gold labels; with --labeler local, six of 'seal'",
    )
    group.add_argument(
        "--encoder",
        default="embedded",
        metavar="MODEL",
        help="what a probe embeds texts with: embedded (all-MiniLM-L6-v2), a Hub id or folder of a sentence-transformers or "
        "transformers encoder, or URL#MODEL of an embeddings endpoint (default: %(default)s)",
    )
    group.add_argument(
        "--keep-weak",
        action="store_true",
        help="keep a probe's labels of features on which it is not better than the commonest answer",
    )
    group.add_argument(
        "--teacher",
        metavar="URL|local",
        help="endpoint of a strong model that labels a drawn share; its labels are used like gold labels of people",
    )
    group.add_argument("--teacher-model", metavar="NAME", help="name of the model at that endpoint")
    group.add_argument(
        "--teacher-share",
        type=float,
        default=0.02,
        metavar="SHARE",
        help="share of the prompts that the teacher labels (default: %(default)s)",
    )


def labeler_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of an audit from `add_labeler_options` and `add_request_options`."""
    from seal_datasets.audit.settings import TeacherSettings

    same = ("labeler", "labeler_model", "label_limit", "probabilities", "gold", "taxonomy", "encoder", "keep_weak")
    if options.teacher_model and not options.teacher:
        raise DataError("--teacher-model names the model of a teacher; give its address with --teacher")
    teacher = (
        TeacherSettings(options.teacher, options.teacher_model, options.teacher_share) if options.teacher else None
    )
    return {
        **request_settings(options),
        **{name: getattr(options, name) for name in same},
        "features": split_names(options.features),
        "teacher": teacher,
    }


def add_rewrite_options(parser: argparse.ArgumentParser, share: str, *, default: float | None, purpose: str) -> None:
    """Add the options of verbs that rewrite; `share`, `default` and `purpose` describe the option with the share of pairs."""
    group = parser.add_argument_group("rewrites")
    group.add_argument(share, type=float, default=default, metavar="SHARE", help=purpose)
    group.add_argument(
        "--rewriter",
        metavar="URL|local",
        help="OpenAI-compatible endpoint or the embedded model (default: the labeler's, else local)",
    )
    group.add_argument("--rewriter-model", metavar="NAME", help="name of the model at that endpoint")
    group.add_argument(
        "--presets",
        default="style",
        metavar="NAMES",
        help="rewrites to make, comma-separated: style (the paper's), identity (a control), more_positive, "
        "less_positive, more_eloquent, less_eloquent, longer, shorter (default: %(default)s)",
    )
    group.add_argument(
        "--axes",
        default="",
        metavar="NAMES",
        help="attributes to rewrite and then rewrite back, comma-separated: positive, eloquent, long (default: none)",
    )
    group.add_argument(
        "--rewrite-attempts",
        type=int,
        default=1,
        metavar="N",
        help="request a rewrite up to N times with different seeds, until one is accepted (default: %(default)s)",
    )
    group.add_argument(
        "--rewrite-temperature",
        type=float,
        default=0.1,
        metavar="T",
        help="sampling temperature; raise it so that several attempts differ (default: %(default)s, the paper's)",
    )
    group.add_argument(
        "--whole-dialogue",
        action="store_true",
        help="rewrite the prompt too, as in the paper (default: the response only)",
    )
    group.add_argument(
        "--min-similarity",
        type=float,
        default=0.8,
        metavar="COSINE",
        help="reject rewrites whose cosine similarity to the original is lower (default: %(default)s)",
    )
    group.add_argument(
        "--similarity-model",
        metavar="MODEL",
        help="sentence encoder: Hub id, folder, or 'embedded' (MiniLM, offline) "
        "(default: BAAI/bge-m3 if it can be loaded, else 'embedded')",
    )
    group.add_argument(
        "--stratify-by",
        metavar="COLUMN",
        help="keep the shares of this column's values when drawing pairs to rewrite (default: draw from all alike)",
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that train reward models."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--backbone",
        default="embedded",
        metavar="MODEL",
        help="encoder to start from: Hub id, folder, or 'embedded' (MiniLM, offline) (default: %(default)s)",
    )
    group.add_argument(
        "--pre-epochs",
        type=int,
        metavar="N",
        help="epochs of the pre model on its self-supervised pairs (default: 1)",
    )
    group.add_argument(
        "--post-epochs",
        type=int,
        metavar="N",
        help="epochs of the post model on preferences and the same pairs (default: 2)",
    )
    group.add_argument(
        "--max-length",
        type=int,
        metavar="TOKENS",
        help="tokens per text, of which the start of a longer prompt is dropped in training (default: 512); "
        "with models given to seal audit, their limit (default: the most they take)",
    )
    group.add_argument(
        "--heldout-share",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="share of prompts held out from training (default: %(default)s)",
    )


def training_settings(options: argparse.Namespace, defaults: TrainingSettings) -> TrainingSettings:
    """How to train, from `add_training_options`."""
    given: dict[str, Any] = {"backbone": options.backbone, "heldout_share": options.heldout_share, "seed": options.seed}
    optional = ("pre_epochs", "post_epochs", "max_length")
    given |= {name: getattr(options, name) for name in optional if getattr(options, name) is not None}
    return replace(defaults, **given)


def rewrite_settings(options: argparse.Namespace, share: float) -> RewriteSettings:
    """What to rewrite, from `add_rewrite_options`."""
    from seal_datasets.audit.settings import RewriteSettings

    return RewriteSettings(
        share=share,
        presets=split_names(options.presets),
        axes=split_names(options.axes),
        rewriter=options.rewriter,
        rewriter_model=options.rewriter_model,
        attempts=options.rewrite_attempts,
        temperature=options.rewrite_temperature,
        whole_dialogue=options.whole_dialogue,
        min_similarity=options.min_similarity,
        similarity_model=options.similarity_model,
        stratify_by=options.stratify_by,
    )


def load_table(options: argparse.Namespace) -> Dataset:
    """Load the pairs of `add_input_options`, and print their diagnosis on stderr."""
    from seal_datasets.data.load import load_pairs

    pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    sys.stderr.write(f"{diagnosis}\n")
    return pairs


def print_plan(options: argparse.Namespace, settings: AuditSettings, store: Path, *, labels: bool = True) -> int:
    """Print the number and cost of requests, and send none."""
    from seal_datasets.audit.label_step import asked_features, describe_label_plan
    from seal_datasets.audit.rewrite_step import describe_rewrite_plan

    pairs = load_table(options)
    key = os.environ.get("SEAL_LABELER_API_KEY")
    if labels:
        sys.stdout.write(
            f"labels: {describe_label_plan(pairs, asked_features(settings), settings, store, api_key=key)}\n"
        )
    if settings.rewrites is not None:
        sys.stdout.write(f"rewrites: {describe_rewrite_plan(pairs, settings, store, api_key=key)}\n")
    return 0


def split_names(text: str) -> tuple[str, ...]:
    """Names from a comma-separated list."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parquet_path(text: str) -> Path:
    """A path that ends in .parquet."""
    if not text.endswith(".parquet"):
        raise argparse.ArgumentTypeError(f"the table is written as Parquet; {text!r} does not end in .parquet")
    return Path(text)


def check_labels(counted: Iterable[Mapping[str, Any]]) -> int:
    """Say where most labels are missing; returns the exit code.

    Args:
        counted (`Iterable[Mapping[str, Any]]`): Numbers of labels by labeler, see `count_labels`.

    Returns:
        `int`: 1 if less than half of a labeler's labels are present, else 0.
    """
    from seal_datasets.report.headline import missing_labels

    lines = [line for counts in counted for line in missing_labels(counts)]
    for line in lines:
        sys.stderr.write(f"{line}\n")
    return 1 if lines else 0


def write_table(pairs: Dataset, out: Path) -> int:
    """Write a table and print its path; an existing file is replaced only when the new one is complete."""
    write_parquet(pairs, out)
    sys.stdout.write(f"{out}\n")
    return 0

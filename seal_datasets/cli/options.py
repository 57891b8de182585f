"""What the verbs of `seal` share: options, and what is made of them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal_datasets.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

    from seal_datasets.audit.settings import AuditSettings, RewriteSettings
    from seal_datasets.rewards.train import TrainingSettings

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Verbs = argparse._SubParsersAction


def verb(
    verbs: Verbs,
    name: str,
    run: Callable[[argparse.Namespace], int],
    purpose: str,
    *examples: str,
) -> argparse.ArgumentParser:
    """Add a verb with its purpose and examples as help."""
    parser = verbs.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def table_options(parser: argparse.ArgumentParser) -> None:
    """Options of verbs that read a table and write one."""
    parser.add_argument("data", help="as for audit; a table written by an earlier verb keeps its columns")
    parser.add_argument("--split", help="split of a dataset with several")
    parser.add_argument("--limit", type=int, help="take this many pairs")
    parser.add_argument("--out", type=parquet, required=True, help="parquet file to write")


def labeler_options(parser: argparse.ArgumentParser) -> None:
    """Options of verbs that label."""
    parser.add_argument(
        "--labeler",
        default="local",
        metavar="URL|local|none",
        help="OpenAI-compatible endpoint, the embedded model, or no labels (default: %(default)s); a key "
        "is read from SEAL_LABELER_API_KEY (where the rewriter is of another service, ADDRESS=KEY for each, "
        "with blanks between)",
    )
    parser.add_argument("--labeler-model", help="name of the model at that endpoint")
    parser.add_argument("--label-limit", type=int, help="label only this many pairs, drawn with the seed")
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="ask each yes/no feature alone and keep P(true); needs an endpoint that returns log-probabilities",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what labeling would ask and cost, and ask nothing")
    parser.add_argument(
        "--gold", metavar="FILE", help="human labels: a table with pair_id and columns gold_<feature>_<side>"
    )
    parser.add_argument("--features", default="", help="features to label, comma-separated (default: the taxonomy's)")
    parser.add_argument(
        "--taxonomy", default="seal", help="'seal', a YAML file or an id on the Hub (default: %(default)s)"
    )


def asking_options(parser: argparse.ArgumentParser) -> None:
    """Options of verbs that ask language models."""
    parser.add_argument(
        "--concurrency",
        type=int,
        default=16,
        help="most requests at once; fewer while the endpoint is overloaded (default: %(default)s)",
    )
    parser.add_argument(
        "--max-failure-rate",
        type=float,
        default=0.5,
        help="stop when more than this share of texts, of 50 or more, got no label (default: %(default)s)",
    )
    parser.add_argument(
        "--batch",
        action="store_true",
        help="send requests through the OpenAI Batch API (half the price, "
        "within a day); a run that is stopped finds its batches again",
    )
    parser.add_argument(
        "--budget",
        type=float,
        metavar="DOLLARS",
        help="most that all responses in the store may cost; "
        "texts beyond it have no labels, and the same command with more goes on",
    )
    parser.add_argument("--prices", metavar="FILE", help="YAML table of models' prices (default: the packaged one)")


def asking_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of an audit that `asking_options` are about."""
    return {name: getattr(options, name) for name in ("concurrency", "max_failure_rate", "batch", "budget", "prices")}


def labeling_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of an audit that `labeler_options` and `asking_options` are about."""
    same = ("labeler", "labeler_model", "label_limit", "probabilities", "gold", "taxonomy")
    return {
        **asking_settings(options),
        **{name: getattr(options, name) for name in same},
        "features": names(options.features),
    }


def rewriting_options(parser: argparse.ArgumentParser) -> None:
    """Options of verbs that rewrite."""
    parser.add_argument(
        "--rewriter",
        metavar="URL|local",
        help="OpenAI-compatible endpoint or the embedded model (default: the labeler's, or local)",
    )
    parser.add_argument("--rewriter-model", help="name of the model at that endpoint")
    parser.add_argument(
        "--presets",
        default="style",
        help="rewrites to make, comma-separated: style (the paper's), identity "
        "(a sham), more_positive, less_positive, more_eloquent, less_eloquent, longer, shorter (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--axes",
        default="",
        help="attributes to rewrite there and back, comma-separated: positive, eloquent, long (default: none)",
    )
    parser.add_argument(
        "--rewrite-attempts",
        type=int,
        default=1,
        metavar="N",
        help="ask for a rewrite up to N times, each with another seed, until one is accepted (default: %(default)s)",
    )
    parser.add_argument(
        "--rewrite-temperature",
        type=float,
        default=0.1,
        metavar="T",
        help="of sampling rewrites; a higher "
        "one gives several attempts more to choose from (default: %(default)s, the paper's)",
    )
    parser.add_argument(
        "--whole-dialogue",
        action="store_true",
        help="rewrite the prompt too, as in the paper (default: the response only)",
    )
    parser.add_argument(
        "--min-similarity",
        type=float,
        default=0.8,
        help="refuse rewrites whose cosine with the original is below this (default: %(default)s)",
    )
    parser.add_argument(
        "--similarity-model",
        help="sentence encoder: Hub id, folder, or 'embedded' (MiniLM, offline); "
        "default: BAAI/bge-m3 where the Hub can be reached, else 'embedded'",
    )
    parser.add_argument(
        "--stratify-by", metavar="COLUMN", help="draw the pairs so that this column's values keep their shares"
    )


def training_options(parser: argparse.ArgumentParser) -> None:
    """Options of verbs that train reward models."""
    parser.add_argument(
        "--backbone", default="embedded", help="encoder to train from (default: MiniLM from its package)"
    )
    parser.add_argument("--pre-epochs", type=int, help="passes of the pre model over its self-supervised pairs")
    parser.add_argument("--post-epochs", type=int, help="passes of the post model over preferences and the same pairs")
    parser.add_argument(
        "--max-length", type=int, help="tokens per text in training; the start of a longer prompt is dropped"
    )
    parser.add_argument(
        "--heldout-share", type=float, default=0.2, help="share of prompts held out (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)")


def training_settings(options: argparse.Namespace, defaults: TrainingSettings) -> TrainingSettings:
    """How to train, from the options given."""
    chosen: dict[str, Any] = {
        "backbone": options.backbone,
        "heldout_share": options.heldout_share,
        "seed": options.seed,
    }
    chosen |= {
        name: getattr(options, name) for name in ("pre_epochs", "post_epochs", "max_length") if getattr(options, name)
    }
    return replace(defaults, **chosen)


def rewrite_settings(options: argparse.Namespace, share: float) -> RewriteSettings:
    """What to rewrite, from the options given."""
    from seal_datasets.audit.settings import RewriteSettings

    return RewriteSettings(
        share=share,
        presets=names(options.presets),
        axes=names(options.axes),
        rewriter=options.rewriter,
        rewriter_model=options.rewriter_model,
        attempts=options.rewrite_attempts,
        temperature=options.rewrite_temperature,
        whole_dialogue=options.whole_dialogue,
        min_similarity=options.min_similarity,
        similarity_model=options.similarity_model,
        stratify_by=options.stratify_by,
    )


def dry_run(data: str, settings: AuditSettings, store: Path, *, labels: bool = True) -> int:
    """Say what would be asked and cost, and ask nothing."""
    from seal_datasets.audit.label_step import asked_features, plan_labels
    from seal_datasets.audit.rewrite_step import plan_of_rewrites
    from seal_datasets.data.load import load_pairs

    pairs, diagnosis = load_pairs(data, split=settings.split, limit=settings.limit, seed=settings.seed)
    sys.stderr.write(f"{diagnosis}\n")
    key = os.environ.get("SEAL_LABELER_API_KEY")
    if labels:
        sys.stdout.write(f"labels: {plan_labels(pairs, asked_features(settings), settings, store, api_key=key)}\n")
    if settings.rewrites is not None:
        sys.stdout.write(f"rewrites: {plan_of_rewrites(pairs, settings, store, api_key=key)}\n")
    return 0


def names(text: str) -> tuple[str, ...]:
    """Names from a comma-separated list."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parquet(text: str) -> Path:
    """A path that ends in .parquet."""
    if not text.endswith(".parquet"):
        raise argparse.ArgumentTypeError(f"the table is written as Parquet; {text!r} does not end in .parquet")
    return Path(text)


def write(pairs: Dataset, out: Path) -> int:
    """Write a table, and its path to standard output; a file that was there before stays until the new one is whole."""
    unfinished = out.with_name(f"{out.name}.unfinished")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        pairs.to_parquet(str(unfinished))
        os.replace(unfinished, out)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise DataError(f"cannot write {out}: {error}; free space, or choose another --out, and run again") from error
    sys.stdout.write(f"{out}\n")
    return 0

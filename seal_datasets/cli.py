"""The `seal` command: each verb of the pipeline, thin over the library. Progress on stderr, results on stdout."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal_datasets.errors import DataError, SealError
from seal_datasets.version import __version__

if TYPE_CHECKING:
    from datasets import Dataset

    from seal_datasets.settings import AuditSettings, RewriteSettings
    from seal_datasets.train import TrainingSettings

_EXAMPLES = """\
examples:
  seal audit --demo                                   the embedded demo, offline, in minutes
  seal audit pairs.jsonl --out report                 your pairs, with models trained for the purpose
  seal audit Anthropic/hh-rlhf --split test --limit 500 --pre my/rm-before --post my/rm-after \\
      --labeler https://api.openai.com/v1 --labeler-model gpt-4o-mini --out report
  seal report report --check                          compute every number of a report again
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments (`Sequence[str]`, *optional*): Words after `seal`; the process's own when omitted.

    Returns:
        `int`: 0 when all was done, 1 when a check failed, 2 when something needed is missing or wrong.
    """
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except SealError as error:
        sys.stderr.write(f"seal {options.verb}: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; what is finished is kept, run the same command again to go on\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seal",
        description="What did a reward model learn from a preference dataset, where does it resist, and why?",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"seal_datasets {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    audit = _verb(verbs, "audit", _audit, "load, label, train where needed, score, estimate and report, in one go",
                  "seal audit --demo", "seal audit pairs.jsonl --pre my/rm-before --post my/rm-after --out report",
                  "seal audit Anthropic/hh-rlhf --split test --limit 500 --labeler none")  # fmt: skip
    audit.add_argument("data", nargs="?", help="Hub id, file (jsonl, json, csv, parquet, also .gz) or saved dataset")
    audit.add_argument("--demo", action="store_true", help="audit the embedded preference set")
    audit.add_argument(
        "--out", type=Path, default=Path("seal-audit"), help="folder of the report (default: %(default)s)"
    )
    audit.add_argument("--split", help="split of a dataset with several")
    audit.add_argument("--limit", type=int, help="take this many pairs, drawn with the seed")
    audit.add_argument("--pre", help="pre-training reward model: Hub id or folder (default: train one)")
    audit.add_argument("--post", help="post-training reward model: Hub id or folder (default: train one)")
    _labeler_options(audit)
    _asking_options(audit)
    _training_options(audit)
    audit.add_argument("--over-length", choices=["error", "truncate", "skip"], default="truncate",
                       help="texts longer than the model takes: stop, drop the start of the prompt, or leave unscored "
                       "(default: %(default)s; counted in the report)")  # fmt: skip

    audit.add_argument("--rewrite-share", type=float, metavar="SHARE", help="rewrite this share of the pairs, label and score "
                       "the rewrites and estimate robustness (the paper's: 0.01)")  # fmt: skip
    _rewriting_options(audit)

    featurize = _verb(verbs, "featurize", _featurize, "add surface features and LM labels to a dataset",
                      "seal featurize pairs.jsonl --out labelled.parquet --labeler none",
                      "seal featurize pairs.jsonl --out labelled.parquet --labeler http://localhost:8000/v1 "
                      "--labeler-model my-model")  # fmt: skip
    _table_options(featurize)
    _labeler_options(featurize)
    _asking_options(featurize)
    featurize.add_argument("--store", type=Path, help="SQLite file of LM responses (default: beside the output)")
    featurize.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)")

    score = _verb(verbs, "score", _score, "add a reward model's scores; runs under `accelerate launch` too",
                  "seal score labelled.parquet --model pre=my/rm-before --model post=my/rm-after --out scored.parquet",
                  "accelerate launch scripts/score.py labelled.parquet --model post=my/rm --out scored.parquet")  # fmt: skip
    _table_options(score)
    score.add_argument("--model", action="append", required=True, metavar="NAME=MODEL",
                       help="short name and Hub id or folder, e.g. post=my/reward-model; may be repeated")  # fmt: skip
    score.add_argument("--over-length", choices=["error", "truncate", "skip"], default="error",
                       help="texts longer than the model takes (default: %(default)s)")  # fmt: skip
    score.add_argument("--batch-size", type=int, default=16, help="texts per forward pass (default: %(default)s)")
    score.add_argument("--allow-pickle", action="store_true", help="read weights from pickle files, which can run code")

    rewrite = _verb(verbs, "rewrite", _rewrite, "add an LM's rewrites of a share of the pairs",
                    "seal rewrite labelled.parquet --out rewritten.parquet --share 0.01",
                    "seal rewrite labelled.parquet --out rewritten.parquet --presets style,identity --axes positive "
                    "--rewriter http://localhost:8000/v1 --rewriter-model my-model")  # fmt: skip
    _table_options(rewrite)
    rewrite.add_argument(
        "--share", type=float, default=0.01, help="share of the pairs to rewrite (default: %(default)s)"
    )
    _rewriting_options(rewrite)
    rewrite.add_argument(
        "--dry-run", action="store_true", help="say what rewriting would ask and cost, and ask nothing"
    )
    rewrite.add_argument("--store", type=Path, help="SQLite file of LM responses (default: beside the output)")
    rewrite.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)")
    _asking_options(rewrite)

    labelers = _verb(verbs, "labelers", _labelers, "have several labelers label the same pairs, and say how far they agree",
                     "seal labelers pairs.jsonl --labelers local my-model@http://localhost:8000/v1 --out both.parquet",
                     "seal labelers pairs.jsonl --labelers local --repeat 3 --temperature 0.7 --out thrice.parquet",
                     "seal labelers pairs.jsonl --labelers local local:probabilities --gold human.csv --out x.parquet",
                     )  # fmt: skip
    _table_options(labelers)
    labelers.add_argument("--labelers", nargs="+", required=True, metavar="MODEL@URL|local", help="two or more, or one with "
                          "--repeat; `:probabilities` at the end asks for P(true)")  # fmt: skip
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
    labelers.add_argument("--store", type=Path, help="SQLite file of LM responses (default: beside the output)")
    labelers.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)")
    _asking_options(labelers)

    train = _verb(verbs, "train-pair", _train_pair, "train a pre- and a post-training reward model on a dataset",
                  "seal train-pair pairs.jsonl --out models")  # fmt: skip
    train.add_argument("data", help="as for audit")
    train.add_argument("--split", help="split of a dataset with several")
    train.add_argument("--limit", type=int, help="take this many pairs")
    train.add_argument("--out", type=Path, required=True, help="folder for pre/ and post/")
    _training_options(train)

    report = _verb(verbs, "report", _report, "write an audit's report again, or check it against its parquet",
                   "seal report seal-audit --check")  # fmt: skip
    report.add_argument("folder", type=Path, help="folder of a finished audit")
    report.add_argument("--check", action="store_true", help="change nothing; exit 1 if any number differs")

    store = _verb(verbs, "store", _store, "look into, export, merge or prune a store of LM responses",
                  "seal store inspect labels.sqlite", "seal store export labels.sqlite --out labels.parquet",
                  "seal store merge labels.sqlite colleague.sqlite",
                  "seal store prune labels.sqlite --finish-reason length   # cut-off answers are asked for again")  # fmt: skip
    store.add_argument("action", choices=["inspect", "export", "merge", "prune"], help="what to do")
    store.add_argument("file", type=Path, help="the store")
    store.add_argument("others", nargs="*", type=Path, help="merge: stores whose responses are taken over")
    store.add_argument("--out", type=_parquet, help="export: Parquet file to write")
    store.add_argument("--model", help="prune: only responses of this model")
    store.add_argument(
        "--before", type=date.fromisoformat, metavar="YYYY-MM-DD", help="prune: only older responses (UTC)"
    )
    store.add_argument("--finish-reason", help="prune: only responses that ended so, e.g. length")

    install = _verb(verbs, "install-metrics", _install_metrics,
                    'make evaluate.load("seal/alignment_resistance") work offline',
                    "seal install-metrics", "seal install-metrics reward_shift")  # fmt: skip
    install.add_argument("names", nargs="*", help="modules to install (default: all)")
    return parser


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    purpose: str,
    *examples: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _table_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="as for audit; a table written by an earlier verb keeps its columns")
    parser.add_argument("--split", help="split of a dataset with several")
    parser.add_argument("--limit", type=int, help="take this many pairs")
    parser.add_argument("--out", type=_parquet, required=True, help="parquet file to write")


def _labeler_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--labeler", default="local", metavar="URL|local|none",
                        help="OpenAI-compatible endpoint, the embedded model, or no labels (default: %(default)s); a key "
                        "is read from SEAL_LABELER_API_KEY")  # fmt: skip
    parser.add_argument("--labeler-model", help="name of the model at that endpoint")
    parser.add_argument("--label-limit", type=int, help="label only this many pairs, drawn with the seed")
    parser.add_argument("--probabilities", action="store_true", help="ask each yes/no feature alone and keep P(true); "
                        "needs an endpoint that returns log-probabilities")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="say what labeling would ask and cost, and ask nothing")
    parser.add_argument(
        "--gold", metavar="FILE", help="human labels: a table with pair_id and columns gold_<feature>_<side>"
    )
    parser.add_argument("--features", default="", help="features to label, comma-separated (default: the taxonomy's)")
    parser.add_argument("--taxonomy", default="seal", help="'seal' or a YAML file (default: %(default)s)")


def _asking_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--concurrency", type=int, default=16, help="most requests at once; fewer while the endpoint is "
                        "overloaded (default: %(default)s)")  # fmt: skip
    parser.add_argument("--max-failure-rate", type=float, default=0.5, help="stop when more than this share of texts, of "
                        "50 or more, got no label (default: %(default)s)")  # fmt: skip
    parser.add_argument("--batch", action="store_true", help="send requests through the OpenAI Batch API (half the price, "
                        "within a day); a run that is stopped finds its batches again")  # fmt: skip
    parser.add_argument("--budget", type=float, metavar="DOLLARS", help="most that all responses in the store may cost; "
                        "texts beyond it have no labels, and the same command with more goes on")  # fmt: skip
    parser.add_argument("--prices", metavar="FILE", help="YAML table of models' prices (default: the packaged one)")


def _rewriting_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rewriter", metavar="URL|local", help="OpenAI-compatible endpoint or the embedded model (default: "
                        "the labeler's, or local)")  # fmt: skip
    parser.add_argument("--rewriter-model", help="name of the model at that endpoint")
    parser.add_argument("--presets", default="style", help="rewrites to make, comma-separated: style (the paper's), identity "
                        "(a sham), more_positive, less_positive, more_eloquent, less_eloquent, longer, shorter (default: "
                        "%(default)s)")  # fmt: skip
    parser.add_argument("--axes", default="", help="attributes to rewrite there and back, comma-separated: positive, eloquent, "
                        "long (default: none)")  # fmt: skip
    parser.add_argument("--whole-dialogue", action="store_true", help="rewrite the prompt too, as in the paper (default: the "
                        "response only)")  # fmt: skip
    parser.add_argument("--min-similarity", type=float, default=0.8, help="refuse rewrites whose cosine with the original is "
                        "below this (default: %(default)s)")  # fmt: skip
    parser.add_argument("--similarity-model", help="sentence encoder: Hub id, folder, or 'embedded' (MiniLM, offline); "
                        "default: BAAI/bge-m3 where the Hub can be reached, else 'embedded'")  # fmt: skip
    parser.add_argument(
        "--stratify-by", metavar="COLUMN", help="draw the pairs so that this column's values keep their shares"
    )


def _training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backbone", default="embedded", help="encoder to train from (default: MiniLM from its package)"
    )
    parser.add_argument("--pre-epochs", type=int, help="passes of the pre model over its self-supervised pairs")
    parser.add_argument("--post-epochs", type=int, help="passes of the post model over preferences and the same pairs")
    parser.add_argument(
        "--heldout-share", type=float, default=0.2, help="share of prompts held out (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)")


def _audit(options: argparse.Namespace) -> int:
    from seal_datasets.audit import DEMO_TRAINING, run_audit
    from seal_datasets.demo import demo_path
    from seal_datasets.report import headline
    from seal_datasets.settings import AuditSettings
    from seal_datasets.train import TrainingSettings

    if options.demo == (options.data is not None):
        raise DataError("give a dataset to audit, or --demo (not both)")
    settings = AuditSettings(
        limit=options.limit,
        split=options.split,
        pre=options.pre,
        post=options.post,
        labeler=options.labeler,
        labeler_model=options.labeler_model,
        label_limit=options.label_limit,
        probabilities=options.probabilities,
        concurrency=options.concurrency,
        max_failure_rate=options.max_failure_rate,
        batch=options.batch,
        budget=options.budget,
        prices=options.prices,
        gold=options.gold,
        features=_names(options.features),
        taxonomy=options.taxonomy,
        over_length=options.over_length,
        seed=options.seed,
        training=_training(options, DEMO_TRAINING if options.demo else TrainingSettings()),
        rewrites=_rewrite_settings(options, options.rewrite_share) if options.rewrite_share is not None else None,
    )
    source = "demo" if options.demo else options.data
    if options.dry_run:
        data = str(demo_path()) if options.demo else options.data
        return _dry_run(data, settings, options.out / "labels.sqlite")
    report = run_audit(source, options.out, settings, api_key=os.environ.get("SEAL_LABELER_API_KEY"))
    for line in headline(report):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"Report: {options.out / 'report.md'}\n")
    return 0


def _featurize(options: argparse.Namespace) -> int:
    from seal_datasets.featurize import add_surface_features
    from seal_datasets.lm import asked_features, label_pairs
    from seal_datasets.load import load_pairs
    from seal_datasets.settings import AuditSettings

    settings = AuditSettings(
        labeler=options.labeler,
        labeler_model=options.labeler_model,
        label_limit=options.label_limit,
        probabilities=options.probabilities,
        concurrency=options.concurrency,
        max_failure_rate=options.max_failure_rate,
        batch=options.batch,
        budget=options.budget,
        prices=options.prices,
        gold=options.gold,
        features=_names(options.features),
        taxonomy=options.taxonomy,
        seed=options.seed,
    )
    taxonomy = asked_features(settings)
    store = options.store or options.out.with_suffix(".labels.sqlite")
    if options.dry_run:
        return _dry_run(options.data, replace(settings, split=options.split, limit=options.limit), store)
    pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    sys.stderr.write(f"{diagnosis}\n")
    key = os.environ.get("SEAL_LABELER_API_KEY")
    pairs, _ = label_pairs(add_surface_features(pairs), taxonomy, settings, store, api_key=key)
    return _write(pairs, options.out)


def _dry_run(data: str, settings: AuditSettings, store: Path, *, labels: bool = True) -> int:
    from seal_datasets.lm import asked_features, plan_labels, plan_of_rewrites
    from seal_datasets.load import load_pairs

    pairs, diagnosis = load_pairs(data, split=settings.split, limit=settings.limit, seed=settings.seed)
    sys.stderr.write(f"{diagnosis}\n")
    key = os.environ.get("SEAL_LABELER_API_KEY")
    if labels:
        sys.stdout.write(f"labels: {plan_labels(pairs, asked_features(settings), settings, store, api_key=key)}\n")
    if settings.rewrites is not None:
        sys.stdout.write(f"rewrites: {plan_of_rewrites(pairs, settings, store, api_key=key)}\n")
    return 0


def _score(options: argparse.Namespace) -> int:
    from accelerate import PartialState

    from seal_datasets.load import load_pairs
    from seal_datasets.reward_model import RewardModel
    from seal_datasets.score import add_rewards

    models = dict(named.partition("=")[::2] for named in options.model)
    if not all(models) or not all(models.values()):
        raise DataError(f"--model takes NAME=MODEL, e.g. post=my/reward-model, got {options.model}")
    state = PartialState()
    with state.main_process_first():
        pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    if state.is_main_process:
        sys.stderr.write(f"{diagnosis}\n")
    for name, path in models.items():
        model = RewardModel(
            path, over_length=options.over_length, batch_size=options.batch_size, allow_pickle=options.allow_pickle
        )
        pairs = add_rewards(pairs, model, name=name)
    return _write(pairs, options.out) if state.is_main_process else 0


def _labelers(options: argparse.Namespace) -> int:
    import json

    from seal_datasets.lm import asked_features, run_labelers
    from seal_datasets.load import load_pairs
    from seal_datasets.settings import AuditSettings

    settings = AuditSettings(
        label_limit=options.sample,
        concurrency=options.concurrency,
        max_failure_rate=options.max_failure_rate,
        batch=options.batch,
        budget=options.budget,
        prices=options.prices,
        gold=options.gold,
        features=_names(options.features),
        taxonomy=options.taxonomy,
        seed=options.seed,
    )
    pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    sys.stderr.write(f"{diagnosis}\n")
    compared = run_labelers(
        pairs,
        options.labelers,
        asked_features(settings),
        settings,
        options.store or options.out.with_suffix(".labels.sqlite"),
        repeat=options.repeat,
        temperature=options.temperature,
        pair_ids=_lines(options.pair_ids),
        api_key=os.environ.get("SEAL_LABELER_API_KEY"),
    )
    for line in compared.lines():
        sys.stdout.write(f"{line}\n")
    numbers = options.out.with_suffix(".json")
    numbers.parent.mkdir(parents=True, exist_ok=True)
    numbers.write_text(json.dumps(compared.to_dict(), indent=1, allow_nan=False) + "\n", "utf-8")
    return _write(compared.table, options.out)


def _lines(path: str | None) -> tuple[str, ...] | None:
    if path is None:
        return None
    try:
        return tuple(line.strip() for line in Path(path).read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read pair ids from {path}: {error}") from error


def _rewrite(options: argparse.Namespace) -> int:
    from seal_datasets.lm import rewrite_pairs
    from seal_datasets.load import load_pairs
    from seal_datasets.settings import AuditSettings

    settings = AuditSettings(
        concurrency=options.concurrency,
        max_failure_rate=options.max_failure_rate,
        batch=options.batch,
        budget=options.budget,
        prices=options.prices,
        seed=options.seed,
        rewrites=_rewrite_settings(options, options.share),
    )
    store = options.store or options.out.with_suffix(".rewrites.sqlite")
    if options.dry_run:
        return _dry_run(options.data, replace(settings, split=options.split, limit=options.limit), store, labels=False)
    pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    sys.stderr.write(f"{diagnosis}\n")
    pairs, _ = rewrite_pairs(pairs, settings, store, api_key=os.environ.get("SEAL_LABELER_API_KEY"))
    return _write(pairs, options.out)


def _rewrite_settings(options: argparse.Namespace, share: float) -> RewriteSettings:
    from seal_datasets.settings import RewriteSettings

    return RewriteSettings(
        share=share,
        presets=_names(options.presets),
        axes=_names(options.axes),
        rewriter=options.rewriter,
        rewriter_model=options.rewriter_model,
        whole_dialogue=options.whole_dialogue,
        min_similarity=options.min_similarity,
        similarity_model=options.similarity_model,
        stratify_by=options.stratify_by,
    )


def _train_pair(options: argparse.Namespace) -> int:
    from seal_datasets.load import load_pairs
    from seal_datasets.train import TrainingSettings, train_pair

    pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    sys.stderr.write(f"{diagnosis}\n")
    trained = train_pair(pairs, options.out, _training(options, TrainingSettings()))
    sys.stdout.write(f"{trained.pre}\n{trained.post}\n")
    return 0


def _report(options: argparse.Namespace) -> int:
    from seal_datasets.report import check_report, headline, write_report

    if options.check:
        differing = check_report(options.folder)
        shown = [f"differs: {name}" for name in differing[:20]]
        if len(differing) > len(shown):
            shown.append(
                f"and {len(differing) - len(shown):,} more; write the report again with: seal report {options.folder}"
            )
        sys.stdout.write("\n".join(shown or ["every number stands"]) + "\n")
        return 1 if differing else 0
    for line in headline(write_report(options.folder)):
        sys.stdout.write(f"{line}\n")
    return 0


def _store(options: argparse.Namespace) -> int:
    from seal_datasets.cost import load_prices
    from seal_datasets.store import ResponseStore

    for path in (options.file, *options.others):
        if not path.is_file():
            raise DataError(f"there is no store at {path}")
    if (options.action == "merge") != bool(options.others) or (options.action == "export") != bool(options.out):
        raise DataError("merge takes one or more other stores, export takes --out, and the other actions take neither")
    with ResponseStore(options.file) as store:
        if options.action == "inspect":
            for each in store.summary():
                oldest, newest = (datetime.fromtimestamp(moment, timezone.utc) for moment in (each.oldest, each.newest))
                sys.stdout.write(
                    f"{each.model}  {each.kind}  {each.n_responses:,} responses about {each.n_subjects:,} texts, "
                    f"{oldest:%Y-%m-%d %H:%M} to {newest:%Y-%m-%d %H:%M} UTC\n"
                )
            sys.stdout.write(f"{len(store):,} responses\n")
            prices = load_prices()
            for (model, batch), usage in store.usage().items():
                price = prices.price(model, batch=batch)
                cost = f"${price.cost(usage):,.4f} at prices of {prices.as_of}" if not price.reason else price.reason
                sys.stdout.write(f"{model}{' (batch)' if batch else ''}  {usage}; {cost}\n")
        elif options.action == "export":
            sys.stdout.write(f"{store.export(options.out):,} responses written to {options.out}\n")
        elif options.action == "merge":
            for path in options.others:
                with ResponseStore(path) as other:
                    sys.stdout.write(f"{store.merge(other):,} new responses from {path}\n")
        else:
            before = options.before and datetime.combine(options.before, time(), timezone.utc).timestamp()
            gone = store.prune(model=options.model, before=before, finish_reason=options.finish_reason)
            sys.stdout.write(f"{gone:,} responses deleted, {len(store):,} are left\n")
    return 0


def _install_metrics(options: argparse.Namespace) -> int:
    from seal_datasets.modules import METRICS, install_metrics

    for path in install_metrics(tuple(options.names) or METRICS):
        sys.stdout.write(f"{path}\n")
    return 0


def _training(options: argparse.Namespace, defaults: TrainingSettings) -> TrainingSettings:
    chosen: dict[str, Any] = {
        "backbone": options.backbone,
        "heldout_share": options.heldout_share,
        "seed": options.seed,
    }
    chosen |= {name: getattr(options, name) for name in ("pre_epochs", "post_epochs") if getattr(options, name)}
    return replace(defaults, **chosen)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _parquet(text: str) -> Path:
    if not text.endswith(".parquet"):
        raise argparse.ArgumentTypeError(f"the table is written as Parquet; {text!r} does not end in .parquet")
    return Path(text)


def _write(pairs: Dataset, out: Path) -> int:
    out.parent.mkdir(parents=True, exist_ok=True)
    pairs.to_parquet(str(out))
    sys.stdout.write(f"{out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

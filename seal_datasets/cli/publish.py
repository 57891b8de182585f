"""`seal publish`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path

from seal_datasets.cli.options import Verbs, verb


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    publish = verb(
        verbs,
        "publish",
        _metrics,
        "put things on the Hugging Face Hub; the token is read from HF_TOKEN or `hf auth login`",
        "seal publish metrics --namespace me --dry-run",
        "seal publish metrics --namespace me",
    )
    things = publish.add_subparsers(dest="thing", required=True, metavar="THING")
    metrics = verb(
        things,
        "metrics",
        _metrics,
        "create or update the metrics' Spaces",
        "seal publish metrics --namespace me --dry-run",
        "seal publish metrics reward_shift --namespace me --private",
    )
    metrics.add_argument("names", nargs="*", help="metrics to publish (default: all)")
    metrics.add_argument("--namespace", required=True, help="user or organisation to publish under")
    metrics.add_argument("--overwrite", action="store_true", help="replace files that somebody else wrote or changed")
    _common_options(metrics, "make the Spaces private (default: public)")

    dataset = verb(
        things,
        "dataset",
        _dataset,
        "publish an audit's tables: pairs, labels, rewards and rewrites",
        "seal publish dataset seal-audit --repo me/my-audit --dry-run",
        "seal publish dataset seal-audit --repo me/my-audit --source-license cc-by-4.0",
        "seal publish dataset seal-audit --repo me/my-audit --ids-only",
    )
    dataset.add_argument("folder", type=Path, help="folder of a finished audit")
    _repo_options(dataset, "dataset to publish to, e.g. me/my-audit; made where there is none")
    texts = dataset.add_mutually_exclusive_group()
    texts.add_argument(
        "--ids-only",
        dest="texts",
        action="store_const",
        const="never",
        help="no text and no column of the source: ids and the audit's own "
        "columns, which the card says how to join with the source",
    )
    texts.add_argument(
        "--with-texts",
        dest="texts",
        action="store_const",
        const="always",
        help="publish texts whatever the license of the source says, or "
        "though it is not known, because you know that you may",
    )
    dataset.set_defaults(texts="by_license")
    dataset.add_argument(
        "--source-license",
        metavar="NAME",
        help="license of the source, e.g. cc-by-4.0 (default: read from its card on the Hub)",
    )
    report = verb(
        things,
        "report",
        _report,
        "publish an audit's report on the cards of its dataset and its reward model",
        "seal publish report seal-audit --repo me/my-audit --model-repo me/my-rm",
    )
    report.add_argument("folder", type=Path, help="folder of a finished audit")
    _repo_options(report, "dataset whose card gets the report; made where there is none")
    report.add_argument(
        "--model-repo",
        dest="model_repo_id",
        metavar="ID",
        help="reward model whose card gets the report and the results",
    )
    taxonomy = verb(
        things,
        "taxonomy",
        _taxonomy,
        "publish your own taxonomy, for --taxonomy ID",
        "seal publish taxonomy mine.yaml --repo me/my-taxonomy",
    )
    taxonomy.add_argument("file", type=Path, help="YAML file")
    _repo_options(taxonomy, "dataset to publish to; made where there is none")


def _repo_options(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("--repo", dest="repo_id", required=True, metavar="ID", help=purpose)
    _common_options(parser, "make it private where it has to be made; one that exists stays what it is")


def _common_options(parser: argparse.ArgumentParser, private: str) -> None:
    parser.add_argument("--private", action="store_true", help=private)
    parser.add_argument("--dry-run", action="store_true", help="say which files would change, and change nothing")


def _metrics(options: argparse.Namespace) -> int:
    from seal_datasets.hub.publish_spaces import publish_metrics

    return _run(publish_metrics, options)


def _dataset(options: argparse.Namespace) -> int:
    from seal_datasets.hub.publish_dataset import publish_dataset

    return _run(publish_dataset, options)


def _report(options: argparse.Namespace) -> int:
    from seal_datasets.hub.publish_report import publish_report

    return _run(publish_report, options)


def _taxonomy(options: argparse.Namespace) -> int:
    from seal_datasets.hub.publish_taxonomy import publish_taxonomy

    return _run(publish_taxonomy, options)


def _run(publish: Callable[..., None], options: argparse.Namespace) -> int:
    """Call a publisher; its parameters have the options' names."""
    given = {name: getattr(options, name) for name in signature(publish).parameters if name != "write_line"}
    publish(**given, write_line=lambda line: sys.stdout.write(f"{line}\n"))
    return 0

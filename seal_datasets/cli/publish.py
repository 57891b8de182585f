"""`seal publish`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path

from seal_datasets.cli.options import Verbs, add_verb
from seal_datasets.cli.verb_parser import VerbParser


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    publish = add_verb(
        verbs,
        "publish",
        _run,
        "publish metrics, or an audit's data, report or taxonomy, on the Hugging Face Hub",
        "seal publish metrics --namespace me --dry-run",
        "seal publish dataset seal-audit --repo me/my-audit",
        "seal publish dataset --help        # options of one kind",
        note="The token is read from HF_TOKEN or `hf auth login`.",
    )
    kinds = publish.add_subparsers(dest="kind", required=True, metavar="KIND", parser_class=VerbParser)
    _add_metrics(kinds)
    _add_dataset(kinds)
    _add_report(kinds)
    _add_taxonomy(kinds)


def _add_metrics(kinds: Verbs) -> None:
    metrics = add_verb(
        kinds,
        "metrics",
        _run,
        "create or update the Spaces of the metrics",
        "seal publish metrics --namespace me --dry-run",
        "seal publish metrics reward_shift --namespace me --private",
    )
    metrics.add_argument("names", nargs="*", help="metrics to publish (default: all)")
    metrics.add_argument("--namespace", required=True, help="user or organization to publish under")
    metrics.add_argument("--overwrite", action="store_true", help="replace files that someone else wrote or changed")
    _add_common_options(metrics, "make the Spaces private (default: public)")


def _add_dataset(kinds: Verbs) -> None:
    dataset = add_verb(
        kinds,
        "dataset",
        _run,
        "publish the tables of an audit: pairs, labels, rewards and rewrites",
        "seal publish dataset seal-audit --repo me/my-audit --dry-run",
        "seal publish dataset seal-audit --repo me/my-audit --source-license cc-by-4.0",
        "seal publish dataset seal-audit --repo me/my-audit --ids-only",
    )
    dataset.add_argument("folder", type=Path, help="folder of a finished audit")
    _add_repo_options(dataset, "dataset to publish to, e.g. me/my-audit; created if it does not exist")
    texts = dataset.add_mutually_exclusive_group()
    texts.add_argument(
        "--ids-only",
        dest="texts",
        action="store_const",
        const="never",
        help="publish ids and the audit's own columns only, without text or columns of the source; "
        "the card shows how to join them with the source",
    )
    texts.add_argument(
        "--with-texts",
        dest="texts",
        action="store_const",
        const="always",
        help="publish texts even if the source's license is unknown or forbids it; "
        "you confirm that you have the right to",
    )
    dataset.set_defaults(texts="by_license")
    dataset.add_argument(
        "--source-license",
        metavar="NAME",
        help="license of the source, e.g. cc-by-4.0 (default: read from its card on the Hub)",
    )


def _add_report(kinds: Verbs) -> None:
    report = add_verb(
        kinds,
        "report",
        _run,
        "publish the report of an audit on the cards of its dataset and its reward models",
        "seal publish report seal-audit --repo me/my-audit --model-repo me/my-rm",
        "seal publish report seal-audit --repo me/my-audit --model-repo a=me/rm-a --model-repo b=me/rm-b",
        "seal publish report seal-audit --repo me/my-audit --space me/audit-page",
    )
    report.add_argument("folder", type=Path, help="folder of a finished audit")
    _add_repo_options(report, "dataset whose card gets the report; created if it does not exist")
    report.add_argument(
        "--model-repo",
        dest="model_repos",
        action="append",
        default=[],
        metavar="[NAME=]ID",
        help="reward model whose card gets the report and its results, may be repeated; NAME is its name in the audit "
        "(default: no model; without NAME, the audit's last one)",
    )
    report.add_argument(
        "--space", metavar="ID", help="static Space that shows the report's page, e.g. me/audit-page (default: none)"
    )
    report.add_argument(
        "--with-texts",
        action="store_true",
        help="put texts of the data on that page; you confirm that you have the right to (default: numbers only)",
    )


def _add_taxonomy(kinds: Verbs) -> None:
    taxonomy = add_verb(
        kinds,
        "taxonomy",
        _run,
        "publish your own taxonomy, for use as --taxonomy ID",
        "seal publish taxonomy mine.yaml --repo me/my-taxonomy",
    )
    taxonomy.add_argument("file", type=Path, help="YAML file")
    _add_repo_options(taxonomy, "dataset to publish to; created if it does not exist")


def _add_repo_options(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("--repo", dest="repo_id", required=True, metavar="ID", help=purpose)
    _add_common_options(parser, "create the repository as private; does not change an existing one (default: public)")


def _add_common_options(parser: argparse.ArgumentParser, private: str) -> None:
    parser.add_argument("--private", action="store_true", help=private)
    parser.add_argument("--dry-run", action="store_true", help="list the files that would change, and change nothing")


def _run(options: argparse.Namespace) -> int:
    """Call the publisher of a kind; its parameters have the names of the options."""
    from seal_datasets.errors import DataError
    from seal_datasets.hub.publish_dataset import publish_dataset
    from seal_datasets.hub.publish_page import PageSpace
    from seal_datasets.hub.publish_report import publish_report
    from seal_datasets.hub.publish_spaces import publish_metrics
    from seal_datasets.hub.publish_taxonomy import publish_taxonomy

    publishers: dict[str, Callable[..., None]] = {
        "metrics": publish_metrics,
        "dataset": publish_dataset,
        "report": publish_report,
        "taxonomy": publish_taxonomy,
    }
    publish = publishers[options.kind]
    if options.kind == "report":
        if options.with_texts and not options.space:
            raise DataError("--with-texts is about the page, and no --space is given for it")
        options.space = PageSpace(options.space, options.with_texts) if options.space else None
    given = {name: getattr(options, name) for name in signature(publish).parameters if name != "write_line"}
    publish(**given, write_line=lambda line: sys.stdout.write(f"{line}\n"))
    return 0

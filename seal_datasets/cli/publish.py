"""`seal publish`."""

from __future__ import annotations

import argparse
import sys

from seal_datasets.cli.options import Verbs, verb


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    publish = verb(verbs, "publish", _metrics, "put things on the Hugging Face Hub; the token is read from HF_TOKEN or "
                    "`hf auth login`", "seal publish metrics --namespace me --dry-run",
                    "seal publish metrics --namespace me")  # fmt: skip
    things = publish.add_subparsers(dest="thing", required=True, metavar="THING")
    metrics = verb(things, "metrics", _metrics, "create or update the metrics' Spaces",
                    "seal publish metrics --namespace me --dry-run",
                    "seal publish metrics reward_shift --namespace me --private")  # fmt: skip
    metrics.add_argument("names", nargs="*", help="metrics to publish (default: all)")
    metrics.add_argument("--namespace", required=True, help="user or organisation to publish under")
    metrics.add_argument("--private", action="store_true", help="make the Spaces private (default: public)")
    metrics.add_argument("--overwrite", action="store_true", help="replace files that somebody else wrote or changed")
    metrics.add_argument("--dry-run", action="store_true", help="say which files would change, and change nothing")


def _metrics(options: argparse.Namespace) -> int:
    from seal_datasets.modules import METRICS
    from seal_datasets.publish.spaces import publish_metrics

    publish_metrics(
        options.namespace,
        tuple(options.names) or METRICS,
        private=options.private,
        overwrite=options.overwrite,
        dry_run=options.dry_run,
        tell=lambda line: sys.stdout.write(f"{line}\n"),
    )
    return 0

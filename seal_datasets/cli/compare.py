"""`seal compare`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seal_datasets.cli.options import Verbs, verb


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    compare = verb(
        verbs,
        "compare",
        _run,
        "put audits side by side, and test what differs between them",
        "seal compare report-of-one-model report-of-another --out compared",
        "seal compare me/audit-one me/audit-two report/report.json",
    )
    compare.add_argument(
        "audits",
        nargs="+",
        metavar="AUDIT",
        help="two or more: folder of an audit, its report.json, or a published audit on the Hub",
    )
    compare.add_argument("--out", type=Path, help="folder for compare.md, compare.json and compare.png")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.audit.compare import compare_audits
    from seal_datasets.audit.compare_markdown import render_comparison

    sys.stdout.write(render_comparison(compare_audits(options.audits, options.out)))
    return 0

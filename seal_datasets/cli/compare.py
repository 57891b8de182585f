"""`seal compare`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seal_datasets.cli.options import Verbs, add_verb


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    compare = add_verb(
        verbs,
        "compare",
        _run,
        "compare audits side by side, and test the differences between them",
        "seal compare report-of-one-model report-of-another --out compared",
        "seal compare me/audit-one me/audit-two report/report.json",
    )
    compare.add_argument(
        "audits",
        nargs="+",
        metavar="AUDIT",
        help="two or more of: folder of an audit, its report.json, or id of a published audit on the Hub",
    )
    compare.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write compare.md, compare.json and compare.png here (default: print only)",
    )


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.audit.compare import compare_audits
    from seal_datasets.audit.compare_markdown import render_comparison

    sys.stdout.write(render_comparison(compare_audits(options.audits, options.out)))
    return 0

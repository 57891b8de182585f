"""`seal compare`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seal_datasets.cli.options import Verbs, add_verb
from seal_datasets.cli.show_page import show_page
from seal_datasets.errors import DataError


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    compare = add_verb(
        verbs,
        "compare",
        _run,
        "compare audits side by side, and test the differences between them",
        "seal compare report-of-one-model report-of-another --out compared --open",
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
        help="write compare.html, compare.md, compare.json and compare.png here (default: print only)",
    )
    compare.add_argument("--open", action="store_true", help="show the page in the browser; needs --out")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.audit.compare import COMPARE_PAGE, compare_audits
    from seal_datasets.audit.compare_markdown import render_comparison

    if options.open and options.out is None:
        raise DataError("--open shows the page that --out writes; give a folder with --out")
    sys.stdout.write(render_comparison(compare_audits(options.audits, options.out)))
    if options.out is not None:
        page = (options.out / COMPARE_PAGE).absolute()
        sys.stdout.write(f"\nPage: {page}\n")
        if options.open:
            show_page(page)
    return 0

"""`seal report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seal_datasets.cli.options import Verbs, add_verb
from seal_datasets.cli.show_page import show_page


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    report = add_verb(
        verbs,
        "report",
        _run,
        "rewrite the report of an audit from its Parquet file, or check the report against it",
        "seal report seal-audit",
        "seal report seal-audit --open",
        "seal report seal-audit --check",
        "seal report seal-audit --figure-width 3.25 --figure-font 'Times New Roman'",
    )
    report.add_argument("folder", type=Path, help="folder of a finished audit")
    report.add_argument(
        "--check", action="store_true", help="recompute every number and write nothing; exit with 1 if any differs"
    )
    report.add_argument("--open", action="store_true", help="show the report's page in the browser")
    report.add_argument(
        "--texts",
        choices=["all", "sample", "none"],
        default="sample",
        help="texts that the page holds; a sample is all of up to 2,000 pairs (default: %(default)s)",
    )
    report.add_argument(
        "--figure-width",
        type=float,
        metavar="INCHES",
        help="draw the files in figures/ for print, so wide and without titles: 3.25 for a column",
    )
    report.add_argument("--figure-font", metavar="NAME", help="font of the files in figures/; it must be installed")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.report.figures import FigureStyle
    from seal_datasets.report.files import PAGE_FILE
    from seal_datasets.report.headline import headline
    from seal_datasets.report.write import check_report, write_report

    if options.check:
        differing = check_report(options.folder)
        shown = [f"differs: {name}" for name in differing[:20]]
        if len(differing) > len(shown):
            shown.append(f"and {len(differing) - len(shown):,} more")
        if differing:
            shown.append(f"to write the report again: seal report {options.folder}")
        sys.stdout.write("\n".join(shown or ["OK: all numbers reproduced"]) + "\n")
        return 1 if differing else 0
    style = FigureStyle(options.figure_width, options.figure_font)
    for line in headline(write_report(options.folder, texts=options.texts, figures=style)):
        sys.stdout.write(f"{line}\n")
    page = (options.folder / PAGE_FILE).absolute()
    sys.stdout.write(f"Report: {page}\n")
    if options.open:
        show_page(page)
    return 0

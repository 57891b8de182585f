"""`seal report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seal_datasets.cli.options import Verbs, verb


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    report = verb(
        verbs,
        "report",
        _run,
        "write an audit's report again, or check it against its parquet",
        "seal report seal-audit --check",
    )
    report.add_argument("folder", type=Path, help="folder of a finished audit")
    report.add_argument("--check", action="store_true", help="change nothing; exit 1 if any number differs")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.report.headline import headline
    from seal_datasets.report.write import check_report, write_report

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

"""`seal install-metrics`."""

from __future__ import annotations

import argparse
import sys

from seal_datasets.cli.options import Verbs, add_verb


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    install = add_verb(
        verbs,
        "install-metrics",
        _run,
        'make evaluate.load("seal/alignment_resistance") work offline',
        "seal install-metrics",
        "seal install-metrics reward_shift",
    )
    install.add_argument("names", nargs="*", help="metrics to install (default: all)")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.evaluate_modules.paths import METRICS, install_metrics

    for path in install_metrics(tuple(options.names) or METRICS):
        sys.stdout.write(f"{path}\n")
    return 0

# /// script
# requires-python = ">=3.10"
# dependencies = ["seal_datasets"]
#
# # The package is not on PyPI yet: uv takes it from the clone that holds this script. On release, delete these two lines.
# [tool.uv.sources]
# seal_datasets = { path = ".." }
#
# [tool.hf-jobs]
# secrets = ["HF_TOKEN"]
# ///
"""`seal audit` as one script, here or on Hugging Face Jobs; uv installs what it needs (docs/guides/hf-jobs.md).

uv run scripts/audit.py scored.parquet --rewards rm=score_chosen,score_rejected
uv run --with torch --with transformers --with accelerate scripts/audit.py pairs.jsonl --model my/rm --store me/audit-run

All options of `seal audit` are taken, and two steps are added. `--store` keeps the folder of the run in a private dataset on
the Hub, so that the next run resumes there on any machine. `--dry-run` also lists the hardware of Jobs and its prices.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence

from huggingface_hub import HfApi

from seal_datasets.cli import main, make_parser
from seal_datasets.errors import HubError, SealError
from seal_datasets.escape import escape_terminal
from seal_datasets.hub.job_prices import job_prices
from seal_datasets.hub.kept_run import KeptRun


def run(arguments: Sequence[str]) -> int:
    """Run an audit, and keep its folder on the Hub where `--store` names a dataset.

    Args:
        arguments (`Sequence[str]`): Options of `seal audit`, and `--store ID`.

    Returns:
        `int`: Exit code of `seal audit`; 2 where the store cannot be read or written.
    """
    if {"-h", "--help", "--help-all"} & set(arguments):
        sys.stdout.write(
            "--store ID: keep the folder of the run in this private dataset on the Hub, and resume from it\n\n"
        )
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--store")
    ours, rest = parser.parse_known_args(arguments)
    command = ["audit", *rest]
    options = make_parser().parse_args(command)  # its folder may be named by a recipe
    try:
        with contextlib.ExitStack() as kept:
            if ours.store is not None:
                store = KeptRun(options.out, ours.store)
                _write_line(f"{store.fetch():,} files fetched from the dataset {ours.store}")
                if not options.dry_run:
                    kept.enter_context(store.keeping(_write_line))
            code = main(command)
    except SealError as error:
        _write_line(f"audit.py: {error}")
        return 2
    if options.dry_run and code == 0:
        _show_prices()
    return code


def _show_prices() -> None:
    try:
        lines = job_prices(HfApi())
    except HubError as error:
        lines = [f"Prices of Hugging Face Jobs are unknown: {error}"]
    sys.stdout.write(escape_terminal("\n".join(["", *lines, ""])))


def _write_line(line: str) -> None:
    sys.stderr.write(f"{escape_terminal(line)}\n")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

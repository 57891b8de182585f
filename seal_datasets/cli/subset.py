"""`seal subset`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from seal_datasets.cli.options import Verbs, names, parquet, verb, write

if TYPE_CHECKING:
    from seal_datasets.audit.training_subset import Reason


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    subset = verb(
        verbs,
        "subset",
        _run,
        "write an audit's pairs for training with TRL, doubtful ones dropped or flagged",
        "seal subset report --drop resistant,inconsistent,mislabelled --out clean.parquet",
        "seal subset report --flag resistant --form standard --out flagged.parquet",
    )
    subset.add_argument("folder", type=Path, help="folder of a finished audit")
    subset.add_argument(
        "--drop",
        default="",
        help="leave out pairs that are: resistant (the post-training model does not "
        "prefer the chosen response), inconsistent (preferences within the prompt go in a circle), mislabelled "
        "(by the targets' labels the rejected response is better); comma-separated",
    )
    subset.add_argument("--flag", default="", help="keep them, with a column of true, false or null for each")
    subset.add_argument(
        "--form",
        choices=["conversational", "standard"],
        default="conversational",
        help="messages or text (default: %(default)s)",
    )
    subset.add_argument("--tie-band", type=float, help="rewards no further apart are a tie (default: the report's)")
    subset.add_argument("--out", type=parquet, required=True, help="parquet file to write")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.audit.training_subset import training_subset

    drop, flag = (cast("tuple[Reason, ...]", names(given)) for given in (options.drop, options.flag))
    subset = training_subset(options.folder, drop=drop, flag=flag, form=options.form, tie_band=options.tie_band)
    for line in subset.lines():
        sys.stderr.write(f"{line}\n")
    return write(subset.table, options.out)

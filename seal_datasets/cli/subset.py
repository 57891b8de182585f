"""`seal subset`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from seal_datasets.cli.options import Verbs, add_verb, parquet_path, split_names, write_table

if TYPE_CHECKING:
    from seal_datasets.audit.training_subset import Reason


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    subset = add_verb(
        verbs,
        "subset",
        _run,
        "write the pairs of an audit for training with TRL, with doubtful pairs dropped or flagged",
        "seal subset report --drop resistant,inconsistent,mislabelled --out clean.parquet",
        "seal subset report --flag resistant --form standard --out flagged.parquet",
    )
    subset.add_argument("folder", type=Path, help="folder of a finished audit")
    subset.add_argument(
        "--drop",
        default="",
        metavar="REASONS",
        help="drop pairs for any of these reasons, comma-separated: resistant (the model does not "
        "prefer the chosen response), inconsistent (preferences within the prompt are circular), mislabelled "
        "(by the labels of the target features the rejected response is better)",
    )
    subset.add_argument(
        "--flag",
        default="",
        metavar="REASONS",
        help="keep pairs with these reasons, and add a column of true, false or null for each reason",
    )
    subset.add_argument(
        "--form",
        choices=["conversational", "standard"],
        default="conversational",
        help="write prompts and responses as messages or as text (default: %(default)s)",
    )
    subset.add_argument(
        "--tie-band",
        type=float,
        metavar="POINTS",
        help="count rewards at most this far apart as a tie (default: as in the report)",
    )
    subset.add_argument(
        "--model", metavar="NAME", help="model by which pairs are resistant (default: the last model of the audit)"
    )
    subset.add_argument(
        "--pairs",
        metavar="FILE",
        help="keep only the pairs of this table (column pair_id), such as those marked in the report's page",
    )
    subset.add_argument("--out", type=parquet_path, required=True, metavar="FILE", help="Parquet file to write")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.audit.training_subset import training_subset

    drop, flag = (cast("tuple[Reason, ...]", split_names(given)) for given in (options.drop, options.flag))
    subset = training_subset(
        options.folder,
        drop=drop,
        flag=flag,
        form=options.form,
        tie_band=options.tie_band,
        model=options.model,
        pairs=options.pairs,
    )
    for line in subset.lines():
        sys.stderr.write(f"{line}\n")
    return write_table(subset.table, options.out)

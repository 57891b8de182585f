"""`seal store`."""

from __future__ import annotations

import argparse
import sys
from datetime import date, datetime, time, timezone
from pathlib import Path

from seal_datasets.cli.options import Verbs, parquet, verb
from seal_datasets.endpoints.store_maintenance import export_store, merge_store, prune_store, summarize_store
from seal_datasets.errors import DataError


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    store = verb(
        verbs,
        "store",
        _run,
        "look into, export, merge or prune a store of LM responses",
        "seal store inspect labels.sqlite",
        "seal store export labels.sqlite --out labels.parquet",
        "seal store merge labels.sqlite colleague.sqlite",
        "seal store prune labels.sqlite --finish-reason length   # cut-off answers are asked for again",
    )
    store.add_argument("action", choices=["inspect", "export", "merge", "prune"], help="what to do")
    store.add_argument("file", type=Path, help="the store")
    store.add_argument(
        "others",
        nargs="*",
        type=Path,
        help="merge: stores whose responses are taken over; the first named is made where there is none",
    )
    store.add_argument("--out", type=parquet, help="export: Parquet file to write")
    store.add_argument("--model", help="prune: only responses of this model")
    store.add_argument(
        "--before", type=date.fromisoformat, metavar="YYYY-MM-DD", help="prune: only older responses (UTC)"
    )
    store.add_argument("--finish-reason", help="prune: only responses that ended so, e.g. length")


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.endpoints.cost import load_prices
    from seal_datasets.endpoints.store import ResponseStore

    # What is merged may go into a new store.
    for path in options.others if options.action == "merge" else (options.file, *options.others):
        if not path.is_file():
            raise DataError(f"there is no store at {path}")
    if (options.action == "merge") != bool(options.others) or (options.action == "export") != bool(options.out):
        raise DataError("merge takes one or more other stores, export takes --out, and the other actions take neither")
    with ResponseStore(options.file) as store:
        if options.action == "inspect":
            for each in summarize_store(store):
                oldest, newest = (datetime.fromtimestamp(moment, timezone.utc) for moment in (each.oldest, each.newest))
                sys.stdout.write(
                    f"{each.model}  {each.kind}  {each.n_responses:,} responses about {each.n_subjects:,} texts, "
                    f"{oldest:%Y-%m-%d %H:%M} to {newest:%Y-%m-%d %H:%M} UTC\n"
                )
            sys.stdout.write(f"{len(store):,} responses\n")
            prices = load_prices()
            for (model, batch), usage in store.usage().items():
                price = prices.price(model, batch=batch)
                cost = f"${price.cost(usage):,.4f} at prices of {prices.as_of}" if not price.reason else price.reason
                sys.stdout.write(f"{model}{' (batch)' if batch else ''}  {usage}; {cost}\n")
        elif options.action == "export":
            sys.stdout.write(f"{export_store(store, options.out):,} responses written to {options.out}\n")
        elif options.action == "merge":
            for path in options.others:
                with ResponseStore(path) as other:
                    sys.stdout.write(f"{merge_store(store, other):,} new responses from {path}\n")
        else:
            before = options.before and datetime.combine(options.before, time(), timezone.utc).timestamp()
            gone = prune_store(store, model=options.model, before=before, finish_reason=options.finish_reason)
            sys.stdout.write(f"{gone:,} responses deleted, {len(store):,} are left\n")
    return 0

"""`seal store`."""

from __future__ import annotations

import argparse
import sys
from datetime import date, datetime, time, timezone
from pathlib import Path

from seal_datasets.cli.options import Verbs, add_verb, parquet_path
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.endpoints.store_maintenance import export_store, merge_store, prune_store, summarize_store
from seal_datasets.endpoints.store_repair import Repaired, repair_store
from seal_datasets.errors import DataError


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    store = add_verb(
        verbs,
        "store",
        _run,
        "inspect, export, merge, prune or repair a store of LM responses",
        "seal store inspect labels.sqlite",
        "seal store export labels.sqlite --out labels.parquet",
        "seal store merge labels.sqlite colleague.sqlite",
        "seal store prune labels.sqlite --finish-reason length    # to ask again",
        "seal store repair labels.sqlite     # or a folder of rewards",
    )
    store.add_argument(
        "action", choices=["inspect", "export", "merge", "prune", "repair"], help="what to do with the store"
    )
    store.add_argument(
        "file",
        type=Path,
        help="the store, an SQLite file; merge creates it if it does not exist; repair also takes a folder of rewards",
    )
    store.add_argument(
        "others",
        nargs="*",
        type=Path,
        metavar="OTHER",
        help="merge: stores to copy responses from",
    )
    store.add_argument("--out", type=parquet_path, metavar="FILE", help="export: Parquet file to write")
    store.add_argument("--model", help="prune: delete only responses of this model")
    store.add_argument(
        "--before",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="prune: delete only responses from before this date (UTC)",
    )
    store.add_argument(
        "--finish-reason", metavar="REASON", help="prune: delete only responses with this finish reason, e.g. length"
    )


def _run(options: argparse.Namespace) -> int:
    if options.action != "prune" and (options.model or options.before or options.finish_reason):
        raise DataError(f"--model, --before and --finish-reason say what prune deletes; {options.action} takes none")
    if options.action == "repair":
        return _repair(options)
    # The target of a merge may be a new store.
    for path in options.others if options.action == "merge" else (options.file, *options.others):
        if not path.is_file():
            raise DataError(f"there is no store at {path}")
    if (options.action == "merge") != bool(options.others) or (options.action == "export") != bool(options.out):
        raise DataError("merge takes one or more other stores, export takes --out, and the other actions take neither")
    with ResponseStore(options.file) as store:
        if options.action == "inspect":
            _print_summary(store)
        elif options.action == "export":
            sys.stdout.write(f"{export_store(store, options.out):,} responses written to {options.out}\n")
        elif options.action == "merge":
            for path in options.others:
                with ResponseStore(path) as other:
                    sys.stdout.write(f"{merge_store(store, other):,} new responses from {path}\n")
        else:
            before = options.before and datetime.combine(options.before, time(), timezone.utc).timestamp()
            deleted = prune_store(store, model=options.model, before=before, finish_reason=options.finish_reason)
            sys.stdout.write(f"{deleted:,} responses deleted, {len(store):,} are left\n")
    return 0


def _repair(options: argparse.Namespace) -> int:
    from seal_datasets.rewards.score_store import repair_scores

    if not options.file.exists():
        raise DataError(f"there is no store at {options.file}")
    if options.others or options.out:
        raise DataError("repair takes one store, and neither others nor --out")
    for repaired in repair_scores(options.file) if options.file.is_dir() else [repair_store(options.file)]:
        sys.stdout.write(f"{_describe(repaired)}\n")
    return 0


def _describe(repaired: Repaired) -> str:
    if repaired.kept is None:
        return f"{repaired.path}: {repaired.n_saved:,} entries, none damaged; nothing was changed"
    lost = "an unknown number" if repaired.n_lost is None else f"{repaired.n_lost:,}"
    return (
        f"{repaired.path}: {repaired.n_saved:,} entries saved, {lost} lost; the damaged file is kept as {repaired.kept}"
    )


def _print_summary(store: ResponseStore) -> None:
    from seal_datasets.endpoints.cost import load_prices

    for group in summarize_store(store):
        oldest, newest = (datetime.fromtimestamp(moment, timezone.utc) for moment in (group.oldest, group.newest))
        sys.stdout.write(
            f"{group.model}  {group.kind}  {group.n_responses:,} responses about {group.n_subjects:,} texts, "
            f"{oldest:%Y-%m-%d %H:%M} to {newest:%Y-%m-%d %H:%M} UTC\n"
        )
    sys.stdout.write(f"{len(store):,} responses\n")
    prices = load_prices()
    for (model, batch), usage in store.usage().items():
        price = prices.price(model, batch=batch)
        cost = f"${price.cost(usage):,.4f} at prices of {prices.as_of}" if not price.reason else price.reason
        sys.stdout.write(f"{model}{' (batch)' if batch else ''}  {usage}; {cost}\n")

"""Outputs of a verb that cannot be written are found before the work starts."""

from __future__ import annotations

import argparse
from pathlib import Path

from seal_datasets.atomic import check_writable

_TO_FOLDERS = ("audit", "train-pair", "compare", "gold")
_AUDIT_FILES = (
    "pairs.parquet",
    "run.json",
    "report.json",
    "report.html",
    "report.md",
    "README.md",
    "recipe.yaml",
    "labels.sqlite",
)
_AUDIT_FOLDERS = ("figures", "tables", "models", "rewards")
_COMPARE_FILES = ("compare.json", "compare.md", "compare.png", "compare.html")
_CHANGED_STORES = ("merge", "prune", "repair")


def check_outputs(options: argparse.Namespace) -> None:
    """Check every place that the verb will write to.

    Args:
        options (`Namespace`): The parsed words.

    Raises:
        DataError: A place cannot be written: a folder is in the way, a parent is a file, or it is read-only.
    """
    if getattr(options, "dry_run", False) or getattr(options, "check", None) is True:  # of gold, a sheet to read
        return
    if (recipe := getattr(options, "write_config", None)) is not None:
        check_writable(recipe)
        return
    out: Path | None = getattr(options, "out", None)
    if out is not None:
        _check_out(options.verb, out)
    if (sheet := getattr(options, "headless", None)) is not None:
        check_writable(sheet)
    store: Path | None = getattr(options, "store", None)
    to_folder = options.verb == "score"
    if store is not None and (to_folder or not store.is_file()):  # a file without write permission can still be read
        check_writable(store, folder=to_folder)
    if options.verb == "report":
        check_writable(options.folder, folder=True)
    if options.verb == "store" and options.action in _CHANGED_STORES:
        check_writable(options.file, folder=options.action == "repair" and options.file.is_dir())


def _check_out(verb: str, out: Path) -> None:
    check_writable(out, folder=_is_folder(verb, out))
    for name in {"audit": _AUDIT_FILES, "compare": _COMPARE_FILES}.get(verb, ()):
        check_writable(out / name)
    for name in _AUDIT_FOLDERS if verb == "audit" else ():
        check_writable(out / name, folder=True)
    if verb == "labelers":
        check_writable(out.with_suffix(".json"))


def _is_folder(verb: str, out: Path) -> bool:
    return verb in _TO_FOLDERS or (verb == "score" and out.suffix != ".parquet")

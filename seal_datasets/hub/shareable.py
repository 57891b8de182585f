"""Redact local paths and passwords from a finished audit before it is published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal_datasets.errors import DataError
from seal_datasets.escape import shareable
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.files import (
    PAIRS_FILE,
    REPORT_FILE,
    RUN_FILE,
    check_pairs,
    features_of,
    read_report,
    read_run,
)

_MAY_HOLD_PATHS = ("source", "models", "training", "labeler", "rewrites", "settings")


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished audit.

    Attributes:
        folder (`Path`): Its folder.
        run (`dict[str, Any]`): Its `run.json`, redacted.
        report (`dict[str, Any]`): Its `report.json`, redacted.
        features (`list[Feature]`): The features it used.
    """

    folder: Path
    run: dict[str, Any]
    report: dict[str, Any]
    features: list[Feature]

    @property
    def table(self) -> Path:
        """Its table of pairs."""
        return self.folder / PAIRS_FILE


def finished_audit(folder: str | Path) -> Finished:
    """Read a finished audit.

    Args:
        folder (`str` or `Path`): Its folder.

    Returns:
        `Finished`: Its content.

    Raises:
        DataError: The folder is not one of a finished audit, or one of its files is a link.
    """
    folder = Path(folder)
    for name in (PAIRS_FILE, RUN_FILE, REPORT_FILE):
        refuse_link(folder / name)
    run, report = read_run(folder), read_report(folder)
    if not (folder / PAIRS_FILE).is_file():
        raise DataError(
            f"{(folder / PAIRS_FILE).absolute()} does not exist; give the folder of a finished `seal audit`"
        )
    if report.get("run") != run:
        raise DataError(
            f"report.json and run.json in {folder.absolute()} belong to different audits; run: seal report {folder}"
        )
    check_pairs(folder / PAIRS_FILE, tuple(run["models"]))
    shared = {**run, **{key: shareable(run[key]) for key in _MAY_HOLD_PATHS if key in run}}
    shared["diagnosis"] = {**run["diagnosis"], "source": shared["source"]}
    return Finished(folder, shared, {**report, "run": shared}, features_of(run))


def refuse_link(path: Path) -> None:
    """Raise where a file to publish is a link, whose target may be anything on this machine.

    Raises:
        DataError: It is a link.
    """
    if path.is_symlink():
        raise DataError(f"{path} is a link; only files of the audit itself are published. Put the file in its place")

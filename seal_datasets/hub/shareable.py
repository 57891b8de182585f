"""Redact local paths and passwords from a finished audit before it is published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from seal_datasets.errors import DataError
from seal_datasets.escape import shareable
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.files import (
    PAIRS_FILE,
    RECIPE_FILE,
    REPORT_FILE,
    RUN_FILE,
    check_pairs,
    features_of,
    read_report,
    read_run,
)

_WITHOUT_RECIPE = "audit again, or remove the file to publish without it"
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


def shareable_recipe(audit: Finished) -> dict[str, bytes]:
    """The recipe of a finished audit, for anyone: of a local path only the last part is left, and of a key nothing.

    Args:
        audit (`Finished`): The audit.

    Returns:
        `dict[str, bytes]`: The file by its name; empty for an audit without a recipe.

    Raises:
        DataError: The recipe is a link, or no mapping in YAML.
    """
    path = audit.folder / RECIPE_FILE
    refuse_link(path)
    if not path.is_file():
        return {}
    try:
        text = path.read_text("utf-8")
        recipe = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())[:200]}; {_WITHOUT_RECIPE}") from error
    if not isinstance(recipe, dict):
        raise DataError(f"{path} holds {type(recipe).__name__}, and a recipe is a mapping; {_WITHOUT_RECIPE}")
    shared = shareable(recipe)
    changed = [str(key) for key in recipe if shared[key] != recipe[key]]
    comments = [str(shareable(line)) for line in text.splitlines() if line.startswith("# ")]
    if changed:
        comments.append(f"# What is local or secret is left out of {', '.join(changed)}: give your own.")
    entries = yaml.safe_dump(shared, sort_keys=False, allow_unicode=False, width=2**31)
    return {RECIPE_FILE: "\n".join([*comments, entries]).encode()}


def refuse_link(path: Path) -> None:
    """Raise where a file to publish is a link, whose target may be anything on this machine.

    Raises:
        DataError: It is a link.
    """
    if path.is_symlink():
        raise DataError(f"{path} is a link; only files of the audit itself are published. Put the file in its place")

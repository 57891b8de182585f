"""Recompute the report of a published audit, from the Hub or from a folder.

This needs no language model, reward model or source text: the numbers follow from features and rewards.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from seal_datasets.atomic import filling, occupying
from seal_datasets.data.hub_answers import asking_hub, first_line
from seal_datasets.errors import DataError
from seal_datasets.hub.viewer_tables import CONFIGS, restore_table
from seal_datasets.report.claims import is_corrected
from seal_datasets.report.files import (
    PAIRS_FILE,
    REPORT_FILE,
    RUN_FILE,
    differences,
    features_of,
    read_json,
    read_run,
    refuse_other_audit,
)
from seal_datasets.report.write import write_report

_TIMEOUT_SECONDS = 10.0
_WANTED = [RUN_FILE, REPORT_FILE, *(f"{config}/*.parquet" for config in CONFIGS)]


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A recomputed report.

    Attributes:
        report (`dict[str, Any]`): The new report.
        differing (`list[str]`, *optional*): Entries that differ from the published report; `None` without one.
        lacks_gold (`bool`): Whether the published report is corrected by gold labels that were not published.
    """

    report: dict[str, Any]
    differing: list[str] | None
    lacks_gold: bool = False


def find_published(source: str) -> Path | None:
    """Find a published audit.

    Args:
        source (`str`): A folder, or the id of a dataset on the Hub.

    Returns:
        `Path`, *optional*: Folder of its tables, downloaded if they are on the Hub; `None` for any other source.

    Raises:
        DataError: The download from the Hub fails.
    """
    folder = Path(source).expanduser()
    if folder.exists() or source.startswith((".", "/", "~")) or source.count("/") != 1:
        return folder if _is_published(folder) else None
    try:
        with asking_hub(source):
            info = HfApi().dataset_info(source, timeout=_TIMEOUT_SECONDS)
    except (RepositoryNotFoundError, HFValidationError):
        return None
    except (OSError, httpx2.HTTPError, HfHubHTTPError, OfflineModeIsEnabled):
        return _cached(source)
    files = {sibling.rfilename for sibling in info.siblings or ()}
    if RUN_FILE not in files or not any(name.startswith("pairs/") for name in files):
        return None
    try:
        with asking_hub(source):
            folder = Path(snapshot_download(source, repo_type="dataset", revision=info.sha, allow_patterns=_WANTED))
    except (OSError, httpx2.HTTPError, HfHubHTTPError) as error:
        raise DataError(f"cannot download the published audit {source!r}: {first_line(error)}") from None
    return folder if _is_published(folder) else None


def recompute(published: Path, out: str | Path) -> Recomputed:
    """Recompute the report of a published audit.

    Args:
        published (`Path`): From `find_published`.
        out (`str` or `Path`): Folder for the audit's table and its report; made when missing.

    Returns:
        `Recomputed`: The report, and its differences from the published one.

    Raises:
        DataError: The published tables do not match each other, or cannot be read.
    """
    out = Path(out)
    before = read_json(published / REPORT_FILE) if (published / REPORT_FILE).is_file() else None
    refuse_other_audit(out, read_run(published)["source"])
    with occupying(out, "an audit"), filling(out) as written:
        restore_pairs(published, written / PAIRS_FILE)
        shutil.copyfile(published / RUN_FILE, written / RUN_FILE)
        report = write_report(written)
    if before is None:
        return Recomputed(report, None)
    lacks_gold = is_corrected(before) and not is_corrected(report)
    return Recomputed(report, sorted(differences(before, read_json(out / REPORT_FILE))), lacks_gold)


def restore_pairs(published: Path, out: Path) -> None:
    """Restore the pairs table of a published audit.

    Args:
        published (`Path`): From `find_published`.
        out (`Path`): Parquet file to write.

    Raises:
        DataError: The published tables do not match each other, or cannot be read.
    """
    run = read_run(published)
    shards = {config: sorted((published / config).glob("*.parquet")) for config in CONFIGS}
    restore_table(shards, run, features_of(run), out)


def _cached(source: str) -> Path | None:
    try:
        folder = Path(snapshot_download(source, repo_type="dataset", local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if _is_published(folder) else None


def _is_published(folder: Path) -> bool:
    if not (folder / RUN_FILE).is_file() or not any((folder / "pairs").glob("*.parquet")):
        return False
    return {"seal_datasets", "features", "models"} <= read_json(folder / RUN_FILE).keys()

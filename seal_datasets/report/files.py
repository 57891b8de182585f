"""The files of a finished audit: names, reading, writing, comparing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

from seal_datasets.errors import DataError
from seal_datasets.labels.taxonomy import Feature

PAIRS_FILE = "pairs.parquet"
RUN_FILE = "run.json"
REPORT_FILE = "report.json"

Json = dict[str, Any]


def features_of(run: Mapping[str, Any]) -> list[Feature]:
    """The features an audit used, as recorded in its `run.json`."""
    return [Feature(**{**row, "values": tuple(map(tuple, row["values"]))}) for row in run["features"]]


def read_audit(folder: Path) -> tuple[Dataset, Json]:
    """The pairs of a finished audit, and the record of its run.

    Args:
        folder (`Path`): Holds `pairs.parquet` and `run.json`.

    Returns:
        `tuple[Dataset, dict[str, Any]]`: Pairs and run.

    Raises:
        DataError: A file is missing or unreadable.
    """
    path = folder / PAIRS_FILE
    if not path.is_file():
        raise DataError(f"{path.absolute()} does not exist; give the folder of a finished `seal audit`")
    return Dataset.from_parquet(str(path)), read_json(folder / RUN_FILE)


def read_json(path: Path) -> Json:
    """Read a JSON file of an audit.

    Args:
        path (`Path`): `run.json` or `report.json`.

    Returns:
        `dict[str, Any]`: Its content.

    Raises:
        DataError: The file is missing or not JSON.
    """
    try:
        content: Json = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path.absolute()}: {error}; give the folder of a finished `seal audit`"
        ) from error
    return content


def dump(report: Mapping[str, Any]) -> str:
    """Serialize a report or a run to JSON.

    Args:
        report (`Mapping[str, Any]`): The content.

    Returns:
        `str`: The JSON, identical for identical content.
    """
    return json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def differences(old: object, new: object, where: str = "") -> Iterator[str]:
    """Dotted names of the entries in which two reports differ; a float may differ in its last digits.

    Args:
        old (`object`): A report, or a part of one.
        new (`object`): Another.
        where (`str`, *optional*): Name of the part.

    Yields:
        `str`: One name each.

    Example:

    ```python
    >>> list(differences({"n": 1, "rates": [0.5, 0.25]}, {"n": 2, "rates": [0.5, 0.25]}))
    ['n']

    ```
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, f"{where}[{index}]")
    elif isinstance(old, float) and isinstance(new, float):
        # Another machine's BLAS may sum in another order.
        if abs(old - new) > 1e-9 * max(1.0, abs(old)):
            yield where
    elif old != new:
        yield where

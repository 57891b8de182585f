"""The files of a finished audit: names, reading, writing, comparing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from datasets import Dataset

from seal_datasets.errors import DataError
from seal_datasets.escape import redact_keys
from seal_datasets.labels.taxonomy import Feature

PAIRS_FILE = "pairs.parquet"
RUN_FILE = "run.json"
REPORT_FILE = "report.json"

Json = dict[str, Any]

_PASSWORD = re.compile(r"(?<=://)[^/\s@]*@")
# A path inside a longer value, as in dpo:POLICY@REFERENCE; the slashes of an address are none.
_PATH = re.compile(r"(?<=[\s@=:,])(?:/(?!/)|~/|\.{1,2}/)[^\s@=,]+")


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


def refuse_other_audit(folder: Path, source: str | None) -> None:
    """Raise unless a folder is free for an audit of a source.

    Args:
        folder (`Path`): Where the audit will be written.
        source (`str`, *optional*): What will be audited.

    Raises:
        DataError: The folder holds an audit of another source.
    """
    if not (folder / RUN_FILE).is_file():
        return
    present = read_json(folder / RUN_FILE)
    found = present.get("source") if isinstance(present, dict) else None
    if found != source:
        raise DataError(
            f"{folder} holds an audit of {found!r}, and this one is of {source!r}; give another folder (--out), "
            "or remove that one"
        )


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


def shareable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Redact local paths, passwords and keys; of a path, the last part stays.

    Args:
        value (`Any`): JSON.

    Returns:
        `Any`: The redacted JSON.

    Example:

    ```python
    >>> shareable({"pre": "/home/me/models/before", "endpoint": "https://me:secret@lm.example/v1", "model": "me/after"})
    {'pre': 'before', 'endpoint': 'https://lm.example/v1', 'model': 'me/after'}
    >>> shareable("dpo:/home/me/policy@/home/me/reference")
    'dpo:policy@reference'

    ```
    """
    if isinstance(value, dict):
        return {key: shareable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [shareable(entry) for entry in value]
    if not isinstance(value, str):
        return value
    if value.startswith(("/", "~", "../", "./")) and len(value) > 1:
        return PurePosixPath(value).name
    if PureWindowsPath(value).drive:
        return PureWindowsPath(value).name
    # A shorter key may be a word of the record.
    value = redact_keys(value, shortest=8)
    return _PATH.sub(lambda path: PurePosixPath(path[0]).name, _PASSWORD.sub("", value))


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

"""The files of a finished audit: names, reading, writing, comparing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.data.parquet_files import check_parquet, release_memory
from seal_datasets.errors import DataError
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.audit_schema import Part, check_audit_json

PAIRS_FILE = "pairs.parquet"
RUN_FILE = "run.json"
REPORT_FILE = "report.json"
PAGE_FILE = "report.html"
RECIPE_FILE = "recipe.yaml"
SCHEMA = 2
"""Number of the form of `run.json` and `report.json`: models by name, comparisons by pair of names."""

Json = dict[str, Any]

_GIVE = "give the folder of a finished `seal audit`"


def features_of(run: Mapping[str, Any]) -> list[Feature]:
    """The features an audit used, as recorded in its `run.json`."""
    return [Feature(**{**row, "values": tuple(map(tuple, row["values"]))}) for row in run["features"]]


def read_audit(folder: Path, *, texts: bool = True) -> tuple[Dataset, Json]:
    """The pairs of a finished audit, and the record of its run.

    Args:
        folder (`Path`): Holds `pairs.parquet` and `run.json`.
        texts (`bool`, defaults to `True`): Whether to read the columns of prompts and responses.

    Returns:
        `tuple[Dataset, dict[str, Any]]`: Pairs and run.

    Raises:
        DataError: A file is missing or unreadable.
    """
    path = folder / PAIRS_FILE
    if not path.is_file():
        raise DataError(f"{path.absolute()} does not exist; give the folder of a finished `seal audit`")
    run = read_run(folder)
    check_pairs(path, tuple(run["models"]), features_of(run))
    names = [name for name in pq.read_schema(path).names if texts or name not in schema.TEXTS]
    pairs = Dataset.from_parquet(str(path), columns=names)
    release_memory()
    return pairs, run


def check_pairs(path: Path, models: Sequence[str], features: Sequence[Feature] = ()) -> None:
    """Raise unless a table of pairs is whole, and its own columns have the types that an audit writes.

    Args:
        path (`Path`): A Parquet file.
        models (`Sequence[str]`): Names of the audit's models.
        features (`Sequence[Feature]`, *optional*): Features whose labels will be read.

    Raises:
        DataError: The file is damaged, or a column has another type.
    """
    known = {schema.PROBLEMS: ("a list of texts", _is_list), schema.PROMPT_ID: ("text", _is_text)}
    known |= {
        schema.PAIR_ID: ("text", _is_text),
        schema.CHOSEN: ("text", _is_text),
        schema.REJECTED: ("text", _is_text),
    }
    known |= {schema.regime_column(model): ("text", _is_text) for model in models}
    numbers = (schema.reward_column, schema.reward_tokens_column)
    columns = [column(model, side) for column in numbers for model in models for side in schema.SIDES]
    columns += [column(model) for column in (schema.margin_column, schema.shift_column) for model in models]
    known |= dict.fromkeys(columns, ("numbers", _is_number))
    for feature in features:
        labels = (
            ("lists of answers", _is_answers) if feature.type == "labels" else ("numbers or truth values", _is_label)
        )
        by_side = (schema.feature_column, schema.gold_column)
        known |= dict.fromkeys((column(feature.name, side) for column in by_side for side in schema.SIDES), labels)
        known |= {schema.probability_column(feature.name, side): ("numbers", _is_number) for side in schema.SIDES}
    known[schema.GOLD_PROBABILITY] = ("numbers", _is_number)
    for field in check_parquet(path):
        needed, fits = known.get(field.name, ("", None))
        if fits is not None and not fits(field.type):
            raise DataError(f"{path}: column {field.name!r} holds {field.type}; needed is {needed}; {_GIVE}")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_answers(kind: pa.DataType) -> bool:
    return _is_list(kind) or bool(pa.types.is_null(kind))


def _is_label(kind: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(kind) or _is_number(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


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
    found = read_json(folder / RUN_FILE).get("source")
    if found != source:
        raise DataError(
            f"{folder} holds an audit of {found!r}, and this one is of {source!r}; give another folder (--out), "
            "or remove that one"
        )


def read_run(folder: Path) -> Json:
    """The validated record of an audit's run, from `run.json` of its folder."""
    return read_valid(folder / RUN_FILE, "run")


def read_report(folder: Path) -> Json:
    """The validated `report.json` of an audit's folder."""
    return read_valid(folder / REPORT_FILE, "report")


def read_valid(path: Path, part: Part) -> Json:
    """Read a JSON file of an audit, and check its form.

    Args:
        path (`Path`): The file.
        part (`"run"`, `"report"` or `"compared"`): Its form, see `check_audit_json`.

    Returns:
        `dict[str, Any]`: Its content.

    Raises:
        DataError: The file is missing, is not JSON, or has another form.
    """
    content = read_form(path)
    check_audit_json(content, part, str(path.absolute()))
    return content


def read_form(path: Path) -> Json:
    """Read a JSON file of an audit, and refuse one of another form.

    Args:
        path (`Path`): `run.json` or `report.json`.

    Returns:
        `dict[str, Any]`: Its content.

    Raises:
        DataError: The file is missing, is not JSON, or has the form of an earlier or a later version.
    """
    content = read_json(path)
    is_earlier = "schema" not in content and not content.keys().isdisjoint({"run", "seal_datasets"})
    form = 1 if is_earlier else content.get("schema")
    if isinstance(form, int) and form < SCHEMA:
        raise DataError(
            f"{path.absolute()} has form {form}, of an earlier version; this version reads form {SCHEMA}. Run the same "
            f"`seal audit` again with --out {path.absolute().parent}: it reuses the labels and rewards there"
        )
    if isinstance(form, int) and form > SCHEMA:
        raise DataError(
            f"{path.absolute()} has form {form}, of a later version; this version reads form {SCHEMA}: update seal_datasets"
        )
    return content


def read_json(path: Path) -> Json:
    """Read a JSON file of an audit.

    Args:
        path (`Path`): The file.

    Returns:
        `dict[str, Any]`: Its content.

    Raises:
        DataError: The file is missing, is not JSON, or holds what cannot be written again.
    """
    try:
        content = json.loads(
            path.read_text("utf-8"), parse_constant=_refuse_number, parse_float=_read_float, parse_int=_read_int
        )
        dump(content).encode()
    except RecursionError:
        raise DataError(f"cannot read {path.absolute()}: it is too deep; {_GIVE}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path.absolute()}: {error}; {_GIVE}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path.absolute()} holds {type(content).__name__}; needed are keys with values; {_GIVE}")
    return content


def _refuse_number(text: str) -> float:
    raise ValueError(f"found {text}; needed is a number or null")


def _read_float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text[:20])


def _read_int(text: str) -> int:
    if len(text) > 19:
        raise ValueError(f"found a whole number of {len(text)} characters; at most 19 are read")
    return int(text)


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

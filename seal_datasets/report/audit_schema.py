"""Validate `run.json` and `report.json`, which may be somebody else's, before anything is read of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from seal_datasets.errors import DataError

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]

Part = Literal["run", "report", "compared"]

_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "keys with values",
    "string": "text",
}
_REQUIREMENTS = {
    "additionalProperties": "no other key",
    "enum": "one of {}",
    "exclusiveMinimum": "a number above {}",
    "maxItems": "at most {} items",
    "maxLength": "at most {} characters",
    "maximum": "a number of at most {}",
    "minItems": "at least {} items",
    "minimum": "a number of at least {}",
    "pattern": "a name of letters, digits and '_'",
}


def check_audit_json(content: object, part: Part, where: str) -> None:
    """Raise unless JSON has the form of an audit's file.

    Args:
        content (`object`): The JSON.
        part (`"run"`, `"report"` or `"compared"`): Its form; `compared` is what a comparison reads of a report.
        where (`str`): File, for the message.

    Raises:
        DataError: A key is missing or holds something else; the message names it.

    Example:

    ```python
    >>> check_audit_json([], "run", "run.json")
    Traceback (most recent call last):
    ...
    seal_datasets.errors.DataError: run.json: found a list; needed is keys with values; give the folder of a finished audit

    ```
    """
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]

    error = best_match(_validator(part).iter_errors(content))
    if error is not None:
        place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.absolute_path)
        raise DataError(
            f"{where}{', ' + place.lstrip('.') if place else ''}: {_violation(error)}; give the folder of a finished audit"
        )
    assert isinstance(content, Mapping)
    _check_names(content if part == "run" else content["run"], where)
    if part != "run":
        _check_models(content, where)


def json_schema(part: Part) -> dict[str, Any]:
    """The JSON schema of an audit's file.

    Args:
        part (`"run"`, `"report"` or `"compared"`): Its form.

    Returns:
        `dict[str, Any]`: Draft 2020-12.

    Example:

    ```python
    >>> json_schema("report")["$ref"]
    '#/$defs/report'

    ```
    """
    import yaml

    text = (resources.files("seal_datasets.report") / "audit_files.yaml").read_text("utf-8")
    schema: dict[str, Any] = yaml.safe_load(text)
    return {**schema, "$ref": f"#/$defs/{part}"}


@cache
def _validator(part: Part) -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json_schema(part))


def _violation(error: ValidationError) -> str:
    """What was found, and what is needed."""
    if error.validator in ("required", "dependentRequired"):
        return f"the key {error.message.split(' ')[0]} is missing"
    if error.validator == "type":
        kinds: Iterable[str] = (
            [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
        )
        return f"found {_found(error.instance)}; needed is {' or '.join(_TYPES[kind] for kind in kinds)}"
    requirement = _REQUIREMENTS.get(str(error.validator), "another form ({})").format(error.validator_value)
    return f"found {_found(error.instance)}; needed is {requirement}"


def _found(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else f"the keys {sorted(value)[:5]}"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _check_names(run: Mapping[str, Any], where: str) -> None:
    """The baseline is one of several models, each of which was scored."""
    names, baseline = list(run["models"]), run["baseline"]
    if baseline not in (names if len(names) > 1 else [None]):
        needed = f"one of {names}" if len(names) > 1 else "null, for one model"
        _refuse(f"{where}, baseline", _found(baseline), needed)
    if missing := [name for name in names if name not in run["scoring"]]:
        _refuse(
            f"{where}, scoring",
            f"the keys {sorted(run['scoring'])[:5]}",
            f"{missing[0]!r} too, which is one of the models",
        )


def _check_models(report: Mapping[str, Any], where: str) -> None:
    """Every model and every comparison has its results, with one row per feature."""
    names, baseline = list(report["run"]["models"]), report["run"]["baseline"]
    changes = [f"{name} - {baseline}" for name in names if baseline is not None and name != baseline]
    audited = [name for name in names if name != baseline]
    scored = report["population"]["n_scored"]
    wanted: list[tuple[str, Mapping[str, Any], list[str]]] = [
        ("models", report["models"], names),
        ("population.n_scored", scored, names),
    ]
    if "comparisons" in report:
        wanted.append(("comparisons", report["comparisons"], changes))
        of_model = ("congruence", "rulers", "amplification", "drivers")
        wanted += [(f"models.{name}", report["models"].get(name, {}), list(of_model)) for name in audited]
        part = report["population"]["estimated_on"]
        wanted += [
            (f"models.{name}.resistance", report["models"].get(name, {}).get("resistance", {}), [part])
            for name in names
        ]
        if not changes:
            wanted += [(f"models.{name}", report["models"].get(name, {}), ["labeler_agreement"]) for name in audited]
    if report.get("memory"):
        wanted += [
            (f"models.{name}.resistance", report["models"].get(name, {}).get("resistance", {}), ["train"])
            for name in audited
        ]
    for place, found, needed in (*wanted, *_of_correction(report, audited, changes)):
        if missing := [key for key in needed if key not in found]:
            _refuse(f"{where}, {place}", f"the keys {sorted(found)[:5]}", f"{missing[0]!r} too")
    _check_subjects(report, where, audited, changes)
    for name, fit in report["imprint"].items():
        if fit["status"] == "ok":
            _check_rows(f"{where}, imprint.{name}", fit, names, changes)
    for change, comparison in report.get("comparisons", {}).items():
        _check_comparison(f"{where}, comparisons.{change}", comparison, report)


def _of_correction(
    report: Mapping[str, Any], audited: list[str], changes: list[str]
) -> list[tuple[str, Mapping[str, Any], list[str]]]:
    """Corrected results, on which claims rest, and the models that they need."""
    correction = report.get("correction", {})
    if correction.get("status") != "corrected":
        return []
    imprint = correction["imprint"]["sd"]
    return [
        ("correction.models", correction["models"], audited),
        ("correction.imprint.sd.models", imprint["models"], audited),
        ("correction.imprint.sd.changes", imprint["changes"], changes),
    ]


def _check_subjects(report: Mapping[str, Any], where: str, audited: list[str], changes: list[str]) -> None:
    """Claims, ranks and gaps are those of the models."""
    named = [("primary_family.models", name, audited) for name in report.get("primary_family", {}).get("models", ())]
    named += [
        ("claims", claim["model"], changes if claim["quantity"] == "change" else audited)
        for claim in report.get("claims", ())
    ]
    named += [("memory", gap["model"], audited) for gap in report.get("memory", ()) if gap["quantity"] == "resistance"]
    ranked = report.get("ranking", {}).get("ranking", ())
    named += [("ranking", row["model"], list(report["run"]["models"])) for row in ranked]
    for place, name, known in named:
        if name not in known:
            _refuse(f"{where}, {place}", _found(name), f"one of {known}")


def _check_comparison(where: str, comparison: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    if report["population"]["estimated_on"] not in comparison["regimes"]:
        _refuse(
            f"{where}.regimes", f"the keys {sorted(comparison['regimes'])[:5]}", "those of the pairs that are spoken of"
        )
    for design, fit in report["imprint"].items():
        if fit["status"] == "ok":
            found = comparison["shift_imprint"].get(design, {})
            if found.get("status") != "ok":
                _refuse(f"{where}.shift_imprint", "no estimate", f"one for {design}, which has an imprint")
            _same_length(where, {kind: found[kind]["imprint"] for kind in ("raw", "centred", "margin")})


def _check_rows(where: str, fit: Mapping[str, Any], names: list[str], changes: list[str]) -> None:
    rows = {}
    for key, needed in (("models", names), ("changes", changes)):
        places = {
            key: fit[key],
            **{f"standardised.{unit}.{key}": fit["standardised"][unit][key] for unit in ("sd", "logit")},
        }
        for place, found in places.items():
            if missing := [name for name in needed if name not in found]:
                _refuse(f"{where}.{place}", f"the keys {sorted(found)[:5]}", f"{missing[0]!r} too")
            for name in needed:
                rows[f"{place}.{name}"] = found[name]["imprint"] if place == key else found[name]
    if "any_change" in fit:
        rows["any_change"] = fit["any_change"]
    _same_length(where, rows)


def _same_length(where: str, rows: Mapping[str, Sized]) -> None:
    """Rows of a feature stand in one table."""
    counts = {name: len(found) for name, found in rows.items()}
    if len(set(counts.values())) > 1:
        _refuse(where, f"different numbers of rows ({counts})"[:300], "one per feature in each")


def _refuse(where: str, found: str, needed: str) -> None:
    raise DataError(f"{where}: found {found}; needed is {needed}; give the folder of a finished audit")

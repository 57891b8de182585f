"""Validate `run.json` and `report.json`, which may be somebody else's, before anything is read of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    if part != "run":
        assert isinstance(content, Mapping)
        _check_rows_match(content["imprint"], where)


@cache
def _validator(part: Part) -> Draft202012Validator:
    import yaml
    from jsonschema import Draft202012Validator

    schema = yaml.safe_load((resources.files("seal_datasets.report") / "audit_files.yaml").read_text("utf-8"))
    return Draft202012Validator({**schema, "$ref": f"#/$defs/{part}"})


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


def _check_rows_match(imprint: Mapping[str, Any], where: str) -> None:
    """Rows of a feature before and after training stand in one table."""
    for name, fit in imprint.items():
        if fit["status"] == "ok":
            counts = {model: len(fit[model]["imprint"]) for model in ("pre", "post", "difference")}
            if len(set(counts.values())) > 1:
                raise DataError(
                    f"{where}, imprint.{name}: found different numbers of rows ({counts}); needed is one per feature in each; "
                    "give the folder of a finished audit"
                )

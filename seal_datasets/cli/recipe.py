"""Read a recipe: the options of a verb, written down as YAML."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from seal_datasets.audit.recipe_file import ABOUT_KEYS, RECIPE_VERSION
from seal_datasets.errors import DataError
from seal_datasets.escape import STARS

_NOT_WRITTEN = ("help", "help_all", "config", "write_config")


def read_recipe(path: Path, actions: Iterable[argparse.Action], verb: str) -> dict[str, Any]:
    """Read the options that a recipe gives.

    Args:
        path (`Path`): YAML file: keys are options without `--`, with `_` for `-`. `null` leaves an option at its default.
        actions (`Iterable[Action]`): The options of the verb.
        verb (`str`): Its name, e.g. `"audit"` or `"publish dataset"`.

    Returns:
        `dict[str, Any]`: Values by the names under which argparse keeps them.

    Raises:
        DataError: The file is missing or no mapping, of another version or verb, or has an unknown key or a wrong value.
    """
    options = {key_of(action): action for action in actions if _is_written(action)}
    recipe = _load(path)
    _check_about(recipe, verb)
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for key, value in recipe.entries.items():
        if key in ABOUT_KEYS:
            continue
        if key not in options:
            nearest = difflib.get_close_matches(key, options, n=1, cutoff=0.0)[0]
            raise DataError(
                f"{recipe.at(key)}: seal {verb} has no option {key!r}; the nearest is {nearest!r} (seal {verb} --help)"
            )
        if value is None or (options[key].nargs == 0 and options[key].const is not True and value is False):
            continue
        dest = options[key].dest
        if dest in keys:
            raise DataError(f"{recipe.at(key)}: {key!r} and {keys[dest]!r} exclude each other; keep one")
        keys[dest] = key
        values[dest] = _read_option(options[key], value, recipe.at(key))
    return values


def key_of(action: argparse.Action) -> str:
    """The key of an option in a recipe."""
    longest: str = max((*action.option_strings, ""), key=len)
    return longest.removeprefix("--").replace("-", "_") or action.dest


def _is_written(action: argparse.Action) -> bool:
    return action.dest not in _NOT_WRITTEN and action.help != argparse.SUPPRESS


@dataclass(frozen=True, slots=True)
class _Recipe:
    path: Path
    entries: dict[str, Any]
    lines: Mapping[str, int]

    def at(self, key: str) -> str:
        """Where a key stands, for messages."""
        return f"{self.path}, line {self.lines[key]}"


def _load(path: Path) -> _Recipe:
    try:
        text = path.expanduser().read_text("utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        raise DataError(f"cannot read the recipe {path}: {error.strerror}; give a YAML file of options") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"the recipe {path} is not UTF-8 ({error.reason}, byte {error.start}); save it as UTF-8"
        ) from None
    except RecursionError:
        raise DataError(f"the recipe {path} is nested too deeply; an option is one value or a list of them") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2025-13-01
        raise DataError(_describe_syntax(path, error)) from None
    if not isinstance(node, yaml.MappingNode) or not isinstance(content, dict):
        raise DataError(f"the recipe {path} holds {_kind(content)}; needed are lines such as 'limit: 500'")
    lines: dict[str, int] = {}
    for key, _ in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines:
            raise DataError(f"{path}, line {line}: {name!r} was given in line {lines[name]} already; keep one")
        lines[name] = line
    if len(lines) != len(content):  # `<<: *other`, or 1 beside 1.0
        raise DataError(f"the recipe {path} merges keys or spells one in two ways; write each option once")
    # YAML reads some words as other than text, such as `no`; the key is what was written.
    return _Recipe(path, dict(zip(lines, content.values(), strict=True)), lines)


def _describe_syntax(path: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}, line {mark.line + 1}" if mark is not None else str(path)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if "'\\t'" in problem:
        return f"{where}: found a tab; YAML is indented with spaces"
    return f"{where}: not YAML ({problem}); write 'name: value', and put text with special characters in quotes"


def _check_about(recipe: _Recipe, verb: str) -> None:
    version = recipe.entries.get("recipe", RECIPE_VERSION)
    if type(version) is not int or version != RECIPE_VERSION:
        raise DataError(
            f"{recipe.at('recipe')}: found a recipe of version {version!r}; this seal_datasets reads version "
            f"{RECIPE_VERSION}. Install the one named under made_with, or write the recipe again with --write-config"
        )
    written_for = recipe.entries.get("verb", verb)
    if written_for != verb:
        raise DataError(
            f"{recipe.at('verb')}: found a recipe of seal {written_for}, needed is one of seal {verb}; "
            f"run: seal {written_for} --config {recipe.path}"
        )


def _read_option(action: argparse.Action, value: object, where: str) -> object:
    """The value of an option, checked as its flag would be."""
    key = key_of(action)
    if isinstance(action, argparse._AppendAction) or action.nargs in ("+", "*"):
        if not isinstance(value, list):
            raise DataError(f"{where}: {key} needs a list, e.g. [{_example(action)}], found {_kind(value)}")
        return [_read_one(action, each, where) for each in value]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise DataError(f"{where}: {key} needs true or false, found {_kind(value)}")
        return action.const if value else False
    return _read_one(action, value, where)


def _read_one(action: argparse.Action, value: object, where: str) -> object:
    key = key_of(action)
    if action.type in (int, float):
        taken, needed = ((int,), "a whole number") if action.type is int else ((int, float), "a number")
        if isinstance(value, bool) or not isinstance(value, taken):
            raise DataError(f"{where}: {key} needs {needed}, found {_kind(value)}")
        value = action.type(value)
    else:
        value = value.isoformat() if isinstance(value, date) else value
        if not isinstance(value, str):
            raise DataError(f"{where}: {key} needs text, found {_kind(value)}; put it in quotes if it is one")
        if STARS in value:
            raise DataError(f"{where}: {key} holds stars in place of a secret; give it as a flag or in the environment")
        try:
            value = action.type(value) if callable(action.type) else value
        except (argparse.ArgumentTypeError, ValueError) as error:
            raise DataError(f"{where}: {key}: {error}") from None
    if action.choices is not None and value not in action.choices:
        raise DataError(f"{where}: {key} is one of {list(action.choices)}, found {value!r}")
    return value


def _example(action: argparse.Action) -> str:
    return action.metavar if isinstance(action.metavar, str) else key_of(action)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    kinds = {bool: "", int: "the number ", float: "the number ", str: "the text ", list: "a list", dict: "a mapping"}
    kind = kinds.get(type(value), "")
    if isinstance(value, list | dict):
        return kind
    return f"{kind}{str(value).lower() if isinstance(value, bool) else repr(value)}"

"""The inputs of each metric in its app, and guesses of their columns from names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from seal_datasets import schema

_POST = r"reward_post_{}", r"(?!.*pre).*(reward|score).*{}", r"{}.*(?!pre)(reward|score).*"
_PRE = r"reward_pre_{}", r".*pre.*(reward|score).*{}", r"pre_{}_rewards?"
_FEATURES = r"feature_.*_{}", r"gold_.*_{}", r"{}_features?"
_SIDES = r"\{side\}"


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a metric that is taken from a column, or from several.

    Attributes:
        name (`str`): The metric's name for it.
        label (`str`): Label of the picker.
        several (`bool`): Whether it is a matrix, a column for each feature.
        required (`bool`): Whether the metric requires it.
        patterns (`tuple[str, ...]`): Regular expressions of likely column names, best first.
    """

    name: str
    label: str
    several: bool
    required: bool
    patterns: tuple[str, ...]


def _one(name: str, label: str, *patterns: str, required: bool = True) -> Input:
    return Input(name, label, False, required, (name, *patterns))


def _many(name: str, label: str, *patterns: str) -> Input:
    return Input(name, label, True, True, (name, *patterns))


def _sided(side: str, patterns: Sequence[str]) -> list[str]:
    return [pattern.format(side) for pattern in patterns]


_GROUPS = _one("groups", "Prompt of each pair", schema.PROMPT_ID, "prompt", required=False)
_REWARDS = tuple(
    _one(f"{side}_rewards", f"Reward of the {side} response", *_sided(side, _POST)) for side in schema.SIDES
)
_PRE_REWARDS = tuple(
    _one(f"pre_{side}_rewards", f"Reward of the {side} response before training", *_sided(side, _PRE))
    for side in schema.SIDES
)
_SIDE_FEATURES = tuple(
    _many(f"{side}_features", f"Features of the {side} response", *_sided(side, _FEATURES)) for side in schema.SIDES
)

INPUTS: dict[str, tuple[Input, ...]] = {
    "alignment_resistance": (
        *_REWARDS,
        *(Input(entry.name, entry.label, False, False, entry.patterns) for entry in _PRE_REWARDS),
        _GROUPS,
    ),
    "reward_shift": (*_PRE_REWARDS, *_REWARDS, _GROUPS),
    "reward_calibration": (*_REWARDS, _GROUPS),
    "feature_imprint": (
        _one("rewards", "Reward of each text ({side}: of both responses)", *_sided(_SIDES, _POST)),
        _many("features", "Features of each text ({side}: of both responses)", *_sided(_SIDES, _FEATURES)),
        Input("groups", "Prompt of each text", False, True, ("groups", schema.PROMPT_ID, "prompt")),
    ),
    "amplification": (*_REWARDS, *_SIDE_FEATURES, _GROUPS),
    "misalignment_drivers": (_one("aligned", "Whether each pair is aligned"), *_SIDE_FEATURES, _GROUPS),
    "alignment_robustness": (
        _one("aligned", "Whether each pair is aligned"),
        _one("rewritten_aligned", "Whether it is aligned after rewriting"),
        *(
            _many(f"{side}_flips", f"What rewriting changed in the {side} response (-1, 0, 1)", f"flips?_.*_{side}")
            for side in schema.SIDES
        ),
        _GROUPS,
    ),
    "labeler_agreement": (
        *(_many(f"{side}_labels", f"Labels of the {side} response", *_sided(side, _FEATURES)) for side in schema.SIDES),
        _one("aligned", "Whether each pair is aligned", required=False),
        _one("pre_aligned", "Whether each pair was aligned before training", required=False),
        _GROUPS,
    ),
    "labeler_stability": (_many("labels", "Labels, a column for each labeler", "labeler_.*", "label_.*"), _GROUPS),
    "spoiler_balance": (*_SIDE_FEATURES, _GROUPS),
}


def choices(columns: Sequence[str]) -> list[str]:
    """Names to choose from: the columns, and `{side}` for a column of each side.

    Example:

    ```python
    >>> choices(["id", "r_chosen", "r_rejected"])
    ['id', 'r_chosen', 'r_rejected', 'r_{side}']

    ```
    """
    chosen, rejected = schema.SIDES
    both = [
        column.replace(chosen, "{side}", 1)
        for column in columns
        if chosen in column and column.replace(chosen, rejected, 1) in columns
    ]
    return [*columns, *both]


def guess(name: str, columns: Sequence[str]) -> dict[str, str | list[str] | None]:
    """Guess the columns of a metric's inputs from their names.

    Args:
        name (`str`): One of `seal_datasets.evaluate_modules.paths.METRICS`.
        columns (`Sequence[str]`): The table's columns.

    Returns:
        `dict[str, str | list[str] | None]`: For each input a column, a list of columns for a matrix, or `None` without a match.

    Example:

    ```python
    >>> guess("feature_imprint", ["prompt_id", "reward_post_chosen", "reward_post_rejected"])["rewards"]
    'reward_post_{side}'

    ```
    """
    offered = choices(columns)
    return {entry.name: _match_columns(entry, offered) for entry in INPUTS[name]}


def feature_of(column: str) -> str:
    """The feature of a column of flips.

    Example:

    ```python
    >>> feature_of("flip_harmless_chosen")
    'harmless'

    ```
    """
    return re.sub(r"^flips?_|_?chosen$", "", column) or column


def _match_columns(entry: Input, offered: Sequence[str]) -> str | list[str] | None:
    for pattern in entry.patterns:
        matching = [column for column in offered if re.fullmatch(pattern, column)]
        if matching:
            return matching if entry.several else matching[0]
    return [] if entry.several else None

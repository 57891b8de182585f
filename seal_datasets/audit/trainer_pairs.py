"""Pairs of a TRL trainer's datasets: drawn by prompt, with the trainer's tokens and the features of the texts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset, Features
from numpy.typing import NDArray

from seal_datasets import schema
from seal_datasets.data.load import UNUSABLE, load_pairs
from seal_datasets.data.texts import Exchange, exchange
from seal_datasets.errors import DataError
from seal_datasets.labels.design import Design, numbers
from seal_datasets.labels.surface import SURFACE_FEATURES

SURFACE = {feature.name: compute for feature, compute in SURFACE_FEATURES.items()}
"""Surface features by name."""

_TOKENS = {"reward": ("chosen_ids", "rejected_ids"), "dpo": ("prompt_ids", "chosen_ids", "rejected_ids")}
_REFERENCE = ("ref_chosen_logps", "ref_rejected_logps")


@dataclass(frozen=True, slots=True)
class TrainerPairs:
    """The texts of a trainer's dataset as canonical pairs.

    Attributes:
        rows (`Dataset`): The trainer's dataset, with its tokens.
        pairs (`Dataset`): Canonical pairs, one for each row.
        prompt_ids (`ndarray` of shape (n,)): Prompt of each pair.
        usable (`ndarray` of shape (n,)): Whether no problem excludes the pair.
    """

    rows: Dataset
    pairs: Dataset
    prompt_ids: NDArray[np.object_]
    usable: NDArray[np.bool_]

    def among(self, prompts: Collection[str]) -> NDArray[np.bool_]:
        """Whether the prompt of each pair is one of those."""
        return np.array([prompt in prompts for prompt in self.prompt_ids], dtype=bool)

    def draw(self, n_pairs: int, seed: int, without: Collection[str] = ()) -> NDArray[np.intp]:
        """Draw whole prompts until there are so many pairs.

        Args:
            n_pairs (`int`): Most pairs; one prompt is drawn in any case.
            seed (`int`): Seed of the draw.
            without (`Collection[str]`): Prompts that are not drawn.

        Returns:
            `ndarray`: Rows, in order; the same for the same prompts, whatever the order of the rows.
        """
        rows = np.flatnonzero(self.usable & ~self.among(without))
        distinct, codes, counts = np.unique(self.prompt_ids[rows].astype(str), return_inverse=True, return_counts=True)
        order = np.random.default_rng(seed).permutation(len(distinct))
        n_fitting = int((np.cumsum(counts[order]) <= n_pairs).sum())
        return rows[np.isin(codes, order[: max(n_fitting, 1)])]


@dataclass(frozen=True, slots=True)
class DrawnPairs:
    """Pairs that are scored at each evaluation.

    Attributes:
        tokens (`dict[str, list[list[int]]]`): The trainer's columns of tokens.
        prompts (`ndarray` of shape (n,)): Prompt of each pair, as a number.
        features (`Design`): Features of the responses.
        reference (`ndarray` of shape (n, 2), *optional*): Log-likelihoods of the reference that the trainer computed before.
        exchanges (`list[tuple[Exchange, Exchange]]`): A few of the pairs as texts, chosen and rejected.
    """

    tokens: dict[str, list[list[int]]]
    prompts: NDArray[Any]
    features: Design
    reference: NDArray[np.float64] | None
    exchanges: list[tuple[Exchange, Exchange]]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.prompts)


def read_pairs(rows: Dataset, kind: str, eos_token: str | None) -> TrainerPairs:
    """Read the texts of a trainer's dataset, as they were before the trainer joined and ended them.

    Args:
        rows (`Dataset`): A dataset of a `RewardTrainer` or `DPOTrainer`.
        kind (`"reward"` or `"dpo"`): Which of them.
        eos_token (`str`, *optional*): What TRL ends plain texts with.

    Returns:
        `TrainerPairs`: One canonical pair for each row.

    Raises:
        DataError: There are tokens without texts, or texts that are no pairs.
    """
    if missing := [name for name in schema.SIDES if name not in rows.column_names]:
        raise DataError(
            f"the trainer's dataset has no column {missing[0]!r}; it has {', '.join(rows.column_names)}. Prompts and features "
            "are read from the texts, so give the trainer texts or messages, and not tokens alone"
        )
    names = [name for name in (schema.PAIR_ID, schema.PROMPT, *schema.SIDES) if name in rows.column_names]
    texts = rows.select_columns(names).map(
        _as_given,
        fn_kwargs={"eos_token": eos_token, "joined": kind == "reward"},
        features=Features({name: rows.features[name] for name in names}),
        desc="Texts",
    )
    pairs, _ = load_pairs(texts)
    assert isinstance(pairs, Dataset)
    if len(pairs) != len(rows):
        raise DataError(f"the trainer's {len(rows):,} rows hold {len(pairs):,} pairs; give one pair in each row")
    usable = [not UNUSABLE.intersection(problems) for problems in pairs[schema.PROBLEMS]]
    return TrainerPairs(rows, pairs, np.array(pairs[schema.PROMPT_ID][:], dtype=object), np.array(usable, dtype=bool))


def _as_given(row: dict[str, Any], eos_token: str | None, joined: bool) -> dict[str, Any]:
    """Undo what a trainer does to texts: a reward trainer puts the prompt before them, both end plain ones."""
    prompt = row.get(schema.PROMPT)
    sides: dict[str, Any] = {side: row[side] for side in schema.SIDES}
    if joined and prompt and all(_starts(value, prompt) for value in sides.values()):
        sides = {side: value[len(prompt) :] for side, value in sides.items()}
    if eos_token:
        sides = {
            side: value.removesuffix(eos_token) if isinstance(value, str) else value for side, value in sides.items()
        }
    return {**row, **sides}


def _starts(value: Any, prompt: Any) -> bool:  # noqa: ANN401 - a text or messages
    return type(value) is type(prompt) and len(value) >= len(prompt) and value[: len(prompt)] == prompt


def take_pairs(given: TrainerPairs, drawn: NDArray[np.intp], kind: str, features: Sequence[str]) -> DrawnPairs:
    """Take the tokens and compute the features of pairs that were drawn.

    Args:
        given (`TrainerPairs`): All pairs.
        drawn (`ndarray`): Rows.
        kind (`"reward"` or `"dpo"`): The trainer's kind.
        features (`Sequence[str]`): Names of features: surface features, or columns `feature_<name>_<side>` of numbers.

    Returns:
        `DrawnPairs`: The pairs.

    Raises:
        DataError: A feature is neither, or the trainer's tokens are missing.
    """
    rows, pairs = given.rows.select(drawn), given.pairs.select(drawn)
    if missing := [name for name in _TOKENS[kind] if name not in rows.column_names]:
        raise DataError(f"the trainer's dataset has no column {missing[0]!r}; was it made by TRL 1.16 or later?")
    reference = None
    if set(_REFERENCE) <= set(rows.column_names):
        reference = np.column_stack([np.array(rows[name][:], dtype=float) for name in _REFERENCE])
    sides = {side: _values(rows, pairs, side, features) for side in schema.SIDES}
    few = [(exchange(row, "chosen"), exchange(row, "rejected")) for row in pairs.select(range(min(4, len(pairs))))]
    return DrawnPairs(
        {name: rows[name][:] for name in _TOKENS[kind]},
        np.unique(given.prompt_ids[drawn].astype(str), return_inverse=True)[1],
        Design(tuple(features), sides["chosen"], sides["rejected"]),
        reference,
        [(chosen, rejected) for chosen, rejected in few if chosen and rejected],
    )


def _values(rows: Dataset, pairs: Dataset, side: schema.Side, features: Sequence[str]) -> NDArray[np.float64]:
    columns = []
    for name in features:
        column = schema.feature_column(name, side)
        if column in rows.column_names:
            columns.append(_numbers(rows, column))
        elif name in SURFACE:
            columns.append(np.array([float(SURFACE[name](text)) for text in pairs[side]]))
        else:
            raise DataError(
                f"there is no feature {name!r}: it is no surface feature ({', '.join(SURFACE)}), and the trainer's datasets "
                f"have no column {column!r}"
            )
    return np.column_stack(columns) if columns else np.empty((len(pairs), 0))


def _numbers(rows: Dataset, column: str) -> NDArray[np.float64]:
    try:
        return numbers(rows.select_columns([column]).to_pandas()[column])
    except (ValueError, TypeError) as error:
        raise DataError(
            f"column {column!r} holds no numbers or truth values ({error}); leave the feature out"
        ) from error

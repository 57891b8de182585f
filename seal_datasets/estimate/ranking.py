"""Rank reward models by their resistance, with intervals for the ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import confidence_level
from seal_datasets.estimate.multiplicity import adjust_p
from seal_datasets.estimate.resistance import PairedTest
from seal_datasets.estimate.resistance_trajectory import compare_resistance
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class RankedModel(Result):
    """One model's place.

    Attributes:
        model (`str`): Name.
        alignment_resistance (`float`): Share of pairs that it is not aligned on.
        rank (`int`): 1 + the number of models with a lower resistance.
        rank_interval (`tuple[int, int]`): Ranks that the tests leave, for all models at once.
        better_than (`tuple[str, ...]`): Models with a significantly higher resistance.
    """

    model: str
    alignment_resistance: float
    rank: int
    rank_interval: tuple[int, int]
    better_than: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelRanking(Result):
    """Models by resistance, the lowest first.

    Attributes:
        ranking (`tuple[RankedModel, ...]`): One row per model; equal resistances keep the order given.
        differences (`dict[str, PairedTest]`): `later - earlier` for every two models, in the order given. Not adjusted.
        n_pairs (`int`): Pairs.
        confidence (`float`): Chance that all intervals hold their ranks, at least.
        covariance (`str`): How the tests are computed.
    """

    ranking: tuple[RankedModel, ...]
    differences: dict[str, PairedTest]
    n_pairs: int
    confidence: float
    covariance: str


def rank_models(
    margins: Mapping[str, ArrayLike],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    tie_band: float = 0.0,
    confidence: float = 0.95,
) -> ModelRanking:
    """Rank models by resistance on the same pairs, with simultaneous intervals for the ranks.

    Every two models are compared on the pairs that both scored. A model's interval begins after all models that are
    significantly better and ends before all that are significantly worse.

    Args:
        margins (`Mapping[str, array-like of shape (n,)]`): r(chosen) - r(rejected) by model, at least two.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by.
        tie_band (`float`, defaults to 0.0): As for `alignment_resistance`.
        confidence (`float`, defaults to 0.95): Level of the intervals, for all models together.

    Returns:
        `ModelRanking`: Models, the lowest resistance first.

    Raises:
        DataError: As for `resistance_trajectory`.

    Source: Mogstad, Romano, Shaikh and Wilhelm (2024), Review of Economic Studies 91, with Holm's procedure over the two
    one-sided tests of every two models.

    Example:

    ```python
    >>> margins = {"coin": [1.0, -1.0] * 20, "good": [1.0] * 40, "fair": [1.0, -1.0, 1.0, 1.0] * 10}
    >>> [(row.model, row.rank, row.rank_interval) for row in rank_models(margins).ranking]
    [('good', 1, (1, 1)), ('fair', 2, (2, 2)), ('coin', 3, (3, 3))]

    ```
    """
    confidence_level(confidence)
    if isinstance(margins, Mapping) and len(margins) < 2:
        raise DataError(f"margins holds {len(margins)} model(s); name two or more to rank")
    pairs = list(combinations(range(len(margins)), 2)) if isinstance(margins, Mapping) else []
    compared = compare_resistance(margins, pairs, groups, tie_band, confidence)
    names, tests = list(compared.models), list(compared.changes.values())
    better = _find_better(pairs, tests, len(names), confidence)
    resistance = np.array([model.alignment_resistance for model in compared.models.values()])
    rows = [
        RankedModel(
            model=names[i],
            alignment_resistance=float(resistance[i]),
            rank=1 + int((resistance < resistance[i]).sum()),
            rank_interval=(1 + int(better[:, i].sum()), len(names) - int(better[i].sum())),
            better_than=tuple(names[k] for k in np.flatnonzero(better[i])),
        )
        for i in np.argsort(resistance, kind="stable")
    ]
    covariance = "clustered by prompt" if groups is not None else "McNemar's"
    return ModelRanking(
        tuple(rows), compared.changes, next(iter(compared.models.values())).n_pairs, confidence, covariance
    )


def _find_better(
    pairs: Sequence[tuple[int, int]], tests: Sequence[PairedTest], n_models: int, confidence: float
) -> NDArray[np.bool_]:
    """Whether the model of a row has a significantly lower resistance than that of a column.

    Of the two one-sided tests of two models only the one in the direction of the difference can be significant: the other's p
    is above one half.
    """
    halves = np.array([test.p_value / 2 if test.change else math.nan for test in tests])
    both = np.concatenate([halves, 1 - halves])
    adjusted = adjust_p(both, "holm")[: len(tests)]
    better = np.zeros((n_models, n_models), dtype=bool)
    for (earlier, later), test, p in zip(pairs, tests, adjusted, strict=True):
        if p < 1 - confidence:
            first, second = (later, earlier) if test.change < 0 else (earlier, later)
            better[first, second] = True
    return better

"""Pairs with labels, some of which have gold labels too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.estimate.corrected_inference import effective_number
from seal_datasets.estimate.gold_prompts import GoldPrompts, gold_prompts
from seal_datasets.estimate.inputs import Codes, Floats, finite, group_codes, matrix, same_length
from seal_datasets.estimate.linear import group_sums


@dataclass(frozen=True, slots=True)
class GoldPairs:
    """Pairs with labels and some gold labels.

    Attributes:
        drawn (`GoldPrompts`): The draw of prompts; its codes are those of texts.
        prompts (`ndarray` of shape (n,)): Prompt of each pair.
        labels (`tuple[ndarray, ndarray]`): Labels of the chosen and rejected responses, each of shape (n, k).
        truth (`tuple[ndarray, ndarray]`): The same with gold labels for pairs of gold prompts.
    """

    drawn: GoldPrompts
    prompts: Codes
    labels: tuple[Floats, Floats]
    truth: tuple[Floats, Floats]

    @property
    def freedom(self) -> float:
        """Effective number of gold prompts, less one."""
        return float(effective_number(self.drawn.weights)) - 1

    def sums(self, by_label: Floats, by_truth: Floats) -> tuple[Floats, Floats]:
        """Prompts' sums of values of pairs, by labels and by gold labels."""
        n = len(self.drawn.weights)
        return group_sums(by_label, self.prompts, n), group_sums(by_truth, self.prompts, n)

    def total(self, by_label: Floats, by_truth: Floats) -> Floats:
        """Corrected total of values of pairs."""
        base, right = self.sums(by_label, by_truth)
        return np.asarray(base.sum(axis=0) + self.drawn.weights @ (right - base), dtype=np.float64)


def gold_pairs(
    rewards: tuple[Floats, Floats],
    features: tuple[ArrayLike, ArrayLike],
    gold: tuple[ArrayLike, ArrayLike],
    names: Sequence[str],
    groups: Sequence[Any] | NDArray[Any] | None,
    gold_probability: ArrayLike | None,
    *,
    called: str = "features",
) -> GoldPairs:
    """Check labels and gold labels of pairs, and find the gold prompts.

    Args:
        rewards (`tuple[ndarray, ndarray]`): Rewards of both responses, each of shape (n,), for the test of a random draw.
        features (tuple of array-likes of shape (n, k)): Labels of both responses.
        gold (tuple of array-likes of shape (n, k)): Gold labels of both responses; nan where missing.
        names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids.
        gold_probability (array-like of shape (n,), *optional*): Probability of each pair's prompt.
        called (`str`, defaults to `"features"`): What the caller's arguments call labels.

    Returns:
        `GoldPairs`: The pairs.

    Raises:
        DataError: As for `corrected_imprint`.
    """
    n = len(rewards[0])
    labels = tuple(
        matrix(values, f"{side}_{called}", n, len(names))
        for side, values in zip(("chosen", "rejected"), features, strict=True)
    )
    known = [
        matrix(values, f"{side}_gold", n, len(names), allow_nan=True)
        for side, values in zip(("chosen", "rejected"), gold, strict=True)
    ]
    prompts = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(**{f"chosen_{called}": labels[0]}, groups=prompts)
    probability = None
    if gold_probability is not None:
        stated = finite(gold_probability, "gold_probability", allow_nan=True)
        same_length(**{f"chosen_{called}": labels[0]}, gold_probability=stated)
        probability = np.tile(stated, 2)
    drawn = gold_prompts(np.concatenate(rewards), np.vstack(labels), np.vstack(known), np.tile(prompts, 2), probability)
    truth = tuple(drawn.labels_or_gold(given, right, prompts) for given, right in zip(labels, known, strict=True))
    return GoldPairs(drawn, prompts, (labels[0], labels[1]), (truth[0], truth[1]))

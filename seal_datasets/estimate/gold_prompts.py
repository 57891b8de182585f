"""Prompts with gold labels as a draw from all prompts: what each stands for, and whether it can be a draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from seal_datasets.errors import DataError
from seal_datasets.estimate.gold_draw import (
    balance_p_value,
    drawn_balance_p_value,
    prompt_covariates,
    prompt_probability,
)
from seal_datasets.estimate.inputs import Bools, Codes, Floats, finite, same_length
from seal_datasets.estimate.linear import demean

# With fewer gold prompts the errors that they show are too few: at 10, intervals cover the truth in 91 %.
_FEWEST_GOLD = 20
# Gold prompts that differ this clearly from the rest are no random draw.
_NOT_RANDOM = 0.001


@dataclass(frozen=True, slots=True)
class GoldPrompts:
    """Gold prompts as a sample of all prompts.

    Attributes:
        codes (`ndarray` of shape (n,)): Prompt of each text.
        paired (`ndarray` of shape (G,)): Prompts that count: those with at least two texts.
        weights (`ndarray` of shape (G,)): How many prompts each gold prompt stands for; 0 for others. They add up to all.
        n_partial (`int`): Prompts with some gold labels only, which are not used as gold.
        balance (`float`): p-value of a random draw.
        withheld (`str`): Why no correction has numbers, or empty.
        warnings (`tuple[str, ...]`): What limits a correction.
    """

    codes: Codes
    paired: Bools
    weights: Floats
    n_partial: int
    balance: float
    withheld: str
    warnings: tuple[str, ...]

    @property
    def is_gold(self) -> Bools:
        """Prompts with gold labels for every text and feature, shape (G,)."""
        return np.asarray(self.weights > 0, dtype=np.bool_)

    def labels_or_gold(self, labels: Floats, gold: Floats, codes: Codes) -> Floats:
        """Gold labels of gold prompts, and labels of the others."""
        return np.asarray(np.where(self.is_gold[codes][:, None], gold, labels), dtype=np.float64)

    def influence(self, base: Floats, right: Floats) -> Floats:
        """Each prompt's part in a corrected total: its own deviation, and its deviation as one of the gold prompts.

        Args:
            base (`ndarray` of shape (G, k)): Prompts' parts by the labels.
            right (`ndarray` of shape (G, k)): Those of gold prompts by the gold labels; others are not read.

        Returns:
            `ndarray` of shape (G, k): Influences; their squares add up to the total's variance.
        """
        corrections = np.where(self.is_gold[:, None], right - base, 0.0)
        own = np.where(self.paired[:, None], base - base[self.paired].mean(axis=0), 0.0)
        mean = self.weights @ corrections / self.weights.sum()
        return np.asarray(own + self.weights[:, None] * (corrections - mean), dtype=np.float64)


def gold_prompts(
    rewards: Floats, labels: Floats, gold: Floats, codes: Codes, probability: ArrayLike | None
) -> GoldPrompts:
    """Find the gold prompts, and hold them against a random draw.

    Args:
        rewards (`ndarray` of shape (n,)): One reward per text.
        labels (`ndarray` of shape (n, k)): Labels.
        gold (`ndarray` of shape (n, k)): Gold labels, nan where missing.
        codes (`ndarray` of shape (n,)): Prompt of each text.
        probability (array-like of shape (n,), *optional*): Probability with which each text's prompt was drawn; nan where it is
            not known, which it must be for gold prompts. When omitted the share of gold prompts.

    Returns:
        `GoldPrompts`: The draw.

    Raises:
        DataError: No prompt is gold. A probability is not in (0, 1], differs within a prompt, or contradicts the draw.
    """
    n_groups = int(codes.max()) + 1
    paired, is_gold, is_partial = _find(gold, codes)
    used, n_gold = int(paired.sum()), int(is_gold.sum())
    known: Floats = np.full(n_groups, n_gold / used)
    if probability is not None:
        stated = finite(probability, "gold_probability", allow_nan=True)
        same_length(rewards=rewards, gold_probability=stated)
        known = prompt_probability(stated, codes, is_gold, paired)
    within, outcome = demean(labels, codes), demean(rewards[:, None], codes)[:, 0]
    covariates = prompt_covariates(rewards, labels, np.column_stack([within, outcome]), codes, n_groups)
    if np.isnan(known).any():
        balance = drawn_balance_p_value(covariates[paired], known[paired], is_gold[paired])
    else:
        # The draw may also depend on its stated probabilities otherwise than they say.
        covariates = np.column_stack([covariates, known])
        balance = balance_p_value(covariates[paired], known[paired], is_gold[paired])
    withheld = ""
    if n_gold < min(_FEWEST_GOLD, used):
        withheld = "too_few_gold_prompts"
    elif balance < _NOT_RANDOM:
        withheld = "gold_not_random"
    with np.errstate(invalid="ignore"):
        weights = np.where(is_gold, 1 / known, 0.0)
    n_partial = int(is_partial.sum())
    # Weights add up to the prompts, as in a ratio estimate.
    return GoldPrompts(
        codes,
        paired,
        np.asarray(weights * used / weights.sum()),
        n_partial,
        balance,
        withheld,
        _warnings(n_gold, n_partial, balance),
    )


def _find(gold: Floats, codes: Codes) -> tuple[Bools, Bools, Bools]:
    """Prompts with at least two texts; those with all gold labels; those with some."""
    n_groups = int(codes.max()) + 1
    sizes = np.bincount(codes, minlength=n_groups)
    complete = np.bincount(codes, weights=~np.isnan(gold).any(axis=1), minlength=n_groups)
    some = np.bincount(codes, weights=~np.isnan(gold).all(axis=1), minlength=n_groups)
    paired = sizes > 1
    is_gold = (complete == sizes) & paired
    if not is_gold.any():
        raise DataError(
            "gold_features has no prompt with gold labels for every text and feature; label whole prompts by hand"
        )
    return paired, is_gold, (some > 0) & ~is_gold & paired


def _warnings(n_gold: int, n_partial: int, balance: float) -> tuple[str, ...]:
    found = []
    if n_gold < _FEWEST_GOLD and not np.isnan(balance):
        found.append(f"{n_gold} gold prompts are too few; label {_FEWEST_GOLD} or more, drawn at random")
    if n_partial:
        found.append(
            f"{n_partial} prompts have gold labels for some texts or features only and are not used; if labels are missing for "
            "a reason, the gold prompts are no random draw"
        )
    if balance < _NOT_RANDOM:
        found.append(
            f"gold prompts differ from the others in rewards, labels or numbers of texts (p = {balance:.1g}), so they are no "
            "random draw; state gold_probability, or label a random sample"
        )
    return tuple(found)

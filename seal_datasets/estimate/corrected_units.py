"""Imprints of several models and their changes, in units that models share, corrected for wrong labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.estimate.corrected_imprint import correct, gold_scores
from seal_datasets.estimate.corrected_inference import CorrectedRow, Correction, Scores, corrected_rows
from seal_datasets.estimate.gold_pairs import gold_pairs
from seal_datasets.estimate.gold_prompts import GoldPrompts
from seal_datasets.estimate.inputs import (
    Floats,
    confidence_level,
    position_of,
    unique_names,
)
from seal_datasets.estimate.linear import demean, group_sums
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.result import Result
from seal_datasets.estimate.reward_scale import Scale, logit_scale, spread_scale
from seal_datasets.estimate.standardised import model_rewards
from seal_datasets.estimate.within_prompt import change_pairs

CorrectedUnit = Literal["points", "sd", "logit"]


@dataclass(frozen=True, slots=True)
class CorrectedUnits(Result):
    """Corrected imprints of several models in one unit.

    Attributes:
        models (`dict[str, tuple[CorrectedRow, ...]]`): One row per feature, by model.
        changes (`dict[str, tuple[CorrectedRow, ...]]`): `later - earlier`, as in `StandardisedImprint`.
        method (`str`): The correction.
        n_prompts (`int`): Prompts.
        n_gold_prompts (`int`): Those with gold labels for every text and feature.
        n_partial_prompts (`int`): Prompts with some gold labels only; these are not used as gold.
        balance_p_value (`float`): As in `CorrectedImprint`.
        warnings (`tuple[str, ...]`): What limits the correction.
        adjust (`str`): How p-values are adjusted.
    """

    models: dict[str, tuple[CorrectedRow, ...]]
    changes: dict[str, tuple[CorrectedRow, ...]]
    method: str
    n_prompts: int
    n_gold_prompts: int
    n_partial_prompts: int
    balance_p_value: float
    warnings: tuple[str, ...]
    adjust: str


def corrected_units(
    chosen_rewards: Mapping[str, ArrayLike],
    rejected_rewards: Mapping[str, ArrayLike],
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    chosen_gold: ArrayLike,
    rejected_gold: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    gold_probability: ArrayLike | None = None,
    baseline: str | None = None,
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
) -> dict[CorrectedUnit, CorrectedUnits]:
    """Estimate imprints of several models and their changes from many labels and few gold ones.

    The correction is that of `corrected_imprint`. Units are points of reward, standard deviations of a model's rewards within
    prompts, and log-odds of a choice, as in `standardised_imprint`.

    Args:
        chosen_rewards (`Mapping[str, array-like of shape (n,)]`): Rewards of the chosen responses by model.
        rejected_rewards (`Mapping[str, array-like of shape (n,)]`): Rewards of the rejected responses by the same models.
        chosen_features (array-like of shape (n, k)): Labels of the chosen responses.
        rejected_features (array-like of shape (n, k)): Labels of the rejected responses.
        chosen_gold (array-like of shape (n, k)): Gold labels of the chosen responses; nan where missing.
        rejected_gold (array-like of shape (n, k)): Gold labels of the rejected responses; nan where missing.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids; each pair is its own prompt when omitted.
        gold_probability (array-like of shape (n,), *optional*): As for `corrected_imprint`, of each pair's prompt.
        baseline (`str`, *optional*): Model that every other one is compared with.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted over the features.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `dict[str, CorrectedUnits]`: By unit; rows are withheld as in `corrected_imprint`.

    Raises:
        DataError: As for `corrected_imprint` and `standardised_imprint`.

    Source: as for `corrected_imprint`; scales by the delta method.

    Example: the labels of the third pair are swapped, and gold labels say so.

    ```python
    >>> chosen, rejected = {"rm": [2.0, 3.0, 1.0]}, {"rm": [1.0, 2.0, 0.0]}
    >>> labels, gold = ([[1], [1], [0]], [[0], [0], [1]]), ([[1], [1], [1]], [[0], [0], [0]])
    >>> found = corrected_units(chosen, rejected, *labels, *gold, ["polite"])
    >>> row = found["points"].models["rm"][0]
    >>> round(row.naive_coefficient, 3), round(row.coefficient, 3)
    (0.333, 1.0)

    ```
    """
    confidence_level(confidence)
    names = unique_names(feature_names)
    chosen, rejected = model_rewards(chosen_rewards, rejected_rewards)
    models = list(chosen_rewards)
    pairs = gold_pairs(
        (chosen[:, -1], rejected[:, -1]),
        (chosen_features, rejected_features),
        (chosen_gold, rejected_gold),
        names,
        groups,
        gold_probability,
    )
    drawn, prompts = pairs.drawn, pairs.prompts
    outcomes = demean(np.vstack([chosen, rejected]), drawn.codes)
    base, right = gold_scores(drawn, np.vstack(pairs.labels), np.vstack(pairs.truth), outcomes[:, 0])
    parts = [_Model(drawn, *(replace(each, outcome=outcome) for each in (base, right))) for outcome in outcomes.T]
    compared = change_pairs(len(models), position_of(baseline, models))
    results: dict[CorrectedUnit, CorrectedUnits] = {}
    for unit in ("points", "sd", "logit"):
        scales = [
            _scale(unit, part, margin, prompts) for part, margin in zip(parts, (chosen - rejected).T, strict=True)
        ]
        corrections = [part.correction(scale) for part, scale in zip(parts, scales, strict=True)]
        results[unit] = CorrectedUnits(
            {
                name: _rows(names, found, scale, adjust, confidence)
                for name, found, scale in zip(models, corrections, scales, strict=True)
            },
            {
                f"{models[later]} - {models[earlier]}": _rows(
                    names,
                    parts[later].change(parts[earlier], scales[later], scales[earlier]),
                    scales[later] if scales[later].status != "ok" else scales[earlier],
                    adjust,
                    confidence,
                )
                for earlier, later in compared
            },
            "design-based correction by gold prompts (DSL)",
            int(drawn.paired.sum()),
            int(drawn.is_gold.sum()),
            drawn.n_partial,
            drawn.balance,
            drawn.warnings,
            adjust,
        )
    return results


@dataclass(frozen=True, slots=True)
class _Model:
    """The products of one model's rewards."""

    drawn: GoldPrompts
    labels: Scores
    truth: Scores

    def correction(self, scale: Scale) -> Correction:
        return correct(self.drawn, self.labels, self.truth, scale)

    def change(self, earlier: _Model, scale: Scale, other: Scale) -> Correction:
        """The correction of a difference: that of the rewards in units, with both scales' uncertainty."""
        outcome = self.labels.outcome * scale.weight - earlier.labels.outcome * other.weight
        known = [correct(part.drawn, part.labels, part.truth) for part in (self, earlier)]
        # A scale moves an imprint in proportion to it.
        turns = [
            each.influence[:, None] * np.nan_to_num(found.coefficients)
            for each, found in zip((scale, other), known, strict=True)
        ]
        labels, truth = (replace(part, outcome=outcome) for part in (self.labels, self.truth))
        return correct(self.drawn, labels, truth, turns=turns[0] - turns[1])


def _scale(unit: CorrectedUnit, part: _Model, margin: Floats, prompts: NDArray[np.int64]) -> Scale:
    n_prompts = len(part.drawn.weights)
    if unit == "points":
        return Scale(1.0, np.zeros(n_prompts), "ok")
    if unit == "logit":
        return logit_scale(margin, prompts)
    codes = part.drawn.codes
    squares = group_sums(part.labels.outcome[:, None] ** 2, codes, n_prompts)[:, 0]
    return spread_scale(squares, np.asarray(np.bincount(codes, minlength=n_prompts) - 1, dtype=np.float64))


def _rows(
    names: tuple[str, ...], found: Correction, scale: Scale, adjust: Adjustment, confidence: float
) -> tuple[CorrectedRow, ...]:
    """Rows of a correction; where the scale is undefined they have its reason."""
    if scale.status == "ok":
        return corrected_rows(names, found, adjust, confidence)[0]
    nothing, missing = math.nan, (math.nan, math.nan)
    return tuple(
        CorrectedRow(name, nothing, nothing, nothing, nothing, nothing, nothing, missing, scale.status)
        for name in names
    )

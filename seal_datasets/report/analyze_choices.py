"""What an audit reports of choices: whether margins are probabilities of them, and what features have to do with both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal_datasets import estimate
from seal_datasets.estimate.result import Result
from seal_datasets.labels.design import Design, Floats
from seal_datasets.report.audited_models import AuditedModels


@dataclass(frozen=True, slots=True)
class Choices:
    """Pairs and their rewards.

    Attributes:
        models (`AuditedModels`): The reward models.
        prompts (`ndarray` of shape (n,)): Prompt of each pair.
        rewards (`Mapping[str, tuple[ndarray, ndarray]]`): Rewards of the chosen and rejected responses, by model.
        parts (`Mapping[str, ndarray]`): Mask of all pairs, and of each partition.
        tie_band (`float`): Rewards that differ by at most this are a tie.
        min_discordant (`int`): Fewest pairs that differ in a feature that give it numbers.
    """

    models: AuditedModels
    prompts: NDArray[np.object_]
    rewards: Mapping[str, tuple[Floats, Floats]]
    parts: Mapping[str, NDArray[np.bool_]]
    tie_band: float
    min_discordant: int


def analyze_choices(choices: Choices, design: Design, surface: Design) -> dict[str, dict[str, Any]]:
    """Estimate what an audit reports of choices.

    Args:
        choices (`Choices`): The usable pairs.
        design (`Design`): All features.
        surface (`Design`): The surface features, which have no missing values; rulers are made of them.

    Returns:
        `dict[str, dict[str, Any]]`: JSON-ready results by model and quantity; of a baseline only its calibration.
    """
    results: dict[str, dict[str, Any]] = {
        model: {
            "reward_calibration": {
                name: estimate.reward_calibration(chosen[part], rejected[part], groups=choices.prompts[part]).to_dict()
                for name, part in choices.parts.items()
            }
        }
        for model, (chosen, rejected) in choices.rewards.items()
    }
    for model in choices.models.audited:
        results[model] |= {
            "congruence": _by_feature(estimate.congruent_accuracy, choices, model, surface, tie_band=choices.tie_band),
            "rulers": _by_feature(estimate.ruler_accuracy, choices, model, surface, tie_band=choices.tie_band),
            "amplification": _by_feature(estimate.amplification, choices, model, design),
        }
    return results


def _by_feature(
    estimator: Callable[..., Result], choices: Choices, model: str, design: Design, **options: float
) -> dict[str, Any]:
    """An estimate of a model on the pairs that have every value, held out where this is known."""
    where = "heldout" if "heldout" in choices.parts else "all"
    used = choices.parts[where] & design.complete
    population = {"pairs": where, "n_pairs_with_missing_labels": int((choices.parts[where] & ~used).sum())}
    if not design.names or not used.any():
        return {**population, "status": "no pair has every label" if design.names else "no features"}
    chosen, rejected = choices.rewards[model]
    found = estimator(
        chosen[used],
        rejected[used],
        design.chosen[used],
        design.rejected[used],
        design.names,
        groups=choices.prompts[used],
        min_discordant=choices.min_discordant,
        **options,
    )
    return {"status": "ok", **found.to_dict(), **population}

"""What an audit reports of choices: whether margins are probabilities of them, and what features have to do with both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from seal_datasets import estimate
from seal_datasets.estimate.result import Result
from seal_datasets.labels.design import Design
from seal_datasets.report.analyze_part import MIN_DISCORDANT, Part


def analyze_choices(parts: Mapping[str, Part], where: str) -> dict[str, dict[str, Any]]:
    """Estimate what an audit reports of choices.

    Args:
        parts (`Mapping[str, Part]`): All usable pairs, and those of each partition.
        where (`str`): The part that features are related to choices on.

    Returns:
        `dict[str, dict[str, Any]]`: JSON-ready results by model and quantity; of a baseline only its calibration.
    """
    spoken = parts[where]
    results: dict[str, dict[str, Any]] = {
        model: {
            "reward_calibration": {
                name: estimate.reward_calibration(*part.rewards[model], groups=part.prompts).to_dict()
                for name, part in parts.items()
            }
        }
        for model in spoken.models.names
    }
    ties = {"tie_band": spoken.tie_band}
    for model in spoken.models.audited:
        # Rulers are made of surface features, which have no missing values.
        by_feature = {
            "congruence": _by_feature(estimate.congruent_accuracy, spoken, model, spoken.surface, **ties),
            "rulers": _by_feature(estimate.ruler_accuracy, spoken, model, spoken.surface, **ties),
            "amplification": _by_feature(estimate.amplification, spoken, model, spoken.design),
        }
        results[model] |= {quantity: {**found, "pairs": where} for quantity, found in by_feature.items()}
    return results


def _by_feature(
    estimator: Callable[..., Result], part: Part, model: str, design: Design, **options: float
) -> dict[str, Any]:
    """An estimate of a model on the pairs of a part that have every value."""
    used = design.complete
    left_out = {"n_pairs_with_missing_labels": int((~used).sum())}
    if not design.names or not used.any():
        return {**left_out, "status": "no pair has every label" if design.names else "no features"}
    chosen, rejected = part.rewards[model]
    found = estimator(
        chosen[used],
        rejected[used],
        design.chosen[used],
        design.rejected[used],
        design.names,
        groups=part.prompts[used],
        min_discordant=MIN_DISCORDANT,
        **options,
    )
    return {"status": "ok", **found.to_dict(), **left_out}

"""What an audit reports of its models' alignment: resistance by part, regimes, trajectories and ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from seal_datasets import estimate
from seal_datasets.report.analyze_part import Part

_OF_TWO_MODELS = ("noise_aware", "pre_alignment_score", "n_pre_ties", "regimes", "change")


def analyze_resistance(parts: Mapping[str, Part]) -> dict[str, dict[str, Any]]:
    """Measure every model's resistance on each part.

    Args:
        parts (`Mapping[str, Part]`): All usable pairs, and those of each partition.

    Returns:
        `dict[str, dict[str, Any]]`: By model and part.
    """
    return {
        model: {name: _resistance(part, model) for name, part in parts.items()}
        for model in next(iter(parts.values())).models.names
    }


def _resistance(part: Part, model: str) -> dict[str, Any]:
    found = estimate.alignment_resistance(*part.rewards[model], groups=part.prompts, tie_band=part.tie_band).to_dict()
    # What the estimator says of an earlier model is under `comparisons`.
    return {key: value for key, value in found.items() if key not in _OF_TWO_MODELS}


def analyze_regimes(parts: Mapping[str, Part], earlier: str, later: str) -> dict[str, dict[str, Any]]:
    """Measure how alignment moved from one model to another on each part.

    Args:
        parts (`Mapping[str, Part]`): As for `analyze_resistance`.
        earlier (`str`): The baseline.
        later (`str`): The model that is compared with it.

    Returns:
        `dict[str, dict[str, Any]]`: `regimes` and `change` of resistance, by part.
    """
    found = {}
    for name, part in parts.items():
        (chosen, rejected), (pre_chosen, pre_rejected) = part.rewards[later], part.rewards[earlier]
        found[name] = estimate.alignment_resistance(
            chosen,
            rejected,
            pre_chosen_rewards=pre_chosen,
            pre_rejected_rewards=pre_rejected,
            groups=part.prompts,
            tie_band=part.tie_band,
        ).to_dict()
    return {key: {name: result[key] for name, result in found.items()} for key in ("regimes", "change")}


def analyze_trajectory(part: Part) -> dict[str, Any]:
    """Compare three or more models with each other: changes, a joint test, and ranks.

    Args:
        part (`Part`): The pairs that the report speaks of.

    Returns:
        `dict[str, Any]`: `trajectory` and `ranking`; empty for one or two models, whose comparison says it all.
    """
    if len(part.models.names) < 3:
        return {}
    margins: dict[str, NDArray[Any]] = {name: chosen - rejected for name, (chosen, rejected) in part.rewards.items()}
    options: dict[str, Any] = {"groups": part.prompts, "tie_band": part.tie_band}
    steps = estimate.resistance_trajectory(margins, baseline=part.models.baseline, **options)
    ranks = estimate.rank_models(margins, **options).to_dict()
    found = steps.to_dict()
    return {
        "trajectory": {
            "changes": {
                name: {**change, "p_adjusted": found["p_adjusted"][name]} for name, change in found["changes"].items()
            },
            "any_change": {"p_value": found["any_change_p_value"], "n_models": len(margins)},
            "adjust": found["adjust"],
        },
        "ranking": {key: ranks[key] for key in ("ranking", "n_pairs", "confidence", "covariance")},
    }

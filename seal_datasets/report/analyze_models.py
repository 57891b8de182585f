"""What an audit reports of its models' alignment: resistance by part, regimes, trajectories and ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from seal_datasets import estimate
from seal_datasets.report.analyze_part import Part, Sides
from seal_datasets.report.audited_models import AuditedModels

_OF_TWO_MODELS = ("noise_aware", "pre_alignment_score", "n_pre_ties", "regimes", "change")


def analyze_alignment(parts: Mapping[str, Part], models: AuditedModels) -> dict[str, dict[str, dict[str, Any]]]:
    """Measure every model's resistance on each part, and how alignment moved from the baseline to it.

    Args:
        parts (`Mapping[str, Part]`): All usable pairs, and those of each partition.
        models (`AuditedModels`): The reward models.

    Returns:
        `dict[str, dict[str, dict[str, Any]]]`: By model and part under `resistance`; of a model that is compared with the
            baseline also `regimes` and `change`.
    """
    results = {}
    for model in models.names:
        found = {name: _alignment(part, model) for name, part in parts.items()}
        results[model] = {
            # What the estimate says of an earlier model is under `comparisons`.
            "resistance": {
                name: {key: value for key, value in each.items() if key not in _OF_TWO_MODELS}
                for name, each in found.items()
            }
        }
        if model != models.baseline and models.baseline is not None:
            results[model] |= {key: {name: each[key] for name, each in found.items()} for key in ("regimes", "change")}
    return results


def _alignment(part: Part, model: str) -> dict[str, Any]:
    chosen, rejected = part.rewards[model]
    baseline = part.models.baseline
    before: Sides | tuple[None, None] = (None, None) if baseline in (None, model) else part.rewards[str(baseline)]
    return estimate.alignment_resistance(
        chosen,
        rejected,
        pre_chosen_rewards=before[0],
        pre_rejected_rewards=before[1],
        groups=part.prompts,
        tie_band=part.tie_band,
    ).to_dict()


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

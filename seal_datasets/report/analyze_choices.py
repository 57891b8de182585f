"""What an audit reports of choices: whether margins are probabilities of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal_datasets import estimate
from seal_datasets.labels.design import Floats


@dataclass(frozen=True, slots=True)
class Choices:
    """Pairs and their rewards.

    Attributes:
        prompts (`ndarray` of shape (n,)): Prompt of each pair.
        rewards (`Mapping[str, tuple[ndarray, ndarray]]`): Rewards of the chosen and rejected responses, by model.
        parts (`Mapping[str, ndarray]`): Mask of all pairs, and of each partition.
    """

    prompts: NDArray[np.object_]
    rewards: Mapping[str, tuple[Floats, Floats]]
    parts: Mapping[str, NDArray[np.bool_]]


def analyze_choices(choices: Choices) -> dict[str, Any]:
    """Estimate what an audit reports of choices.

    Args:
        choices (`Choices`): The usable pairs.

    Returns:
        `dict[str, Any]`: JSON-ready results by quantity.
    """
    return {
        "reward_calibration": {
            model: {
                name: estimate.reward_calibration(chosen[part], rejected[part], groups=choices.prompts[part]).to_dict()
                for name, part in choices.parts.items()
            }
            for model, (chosen, rejected) in choices.rewards.items()
        }
    }

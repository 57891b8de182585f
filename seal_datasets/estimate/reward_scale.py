"""Scales of rewards: what turns points of a model into units that models share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seal_datasets.estimate.choice_probability import choice_probability
from seal_datasets.estimate.inputs import Codes, Floats
from seal_datasets.estimate.linear import SAME, group_sums


@dataclass(frozen=True, slots=True)
class Scale:
    """What turns points into units.

    Attributes:
        weight (`float`): Units per point; nan where undefined.
        influence (`ndarray` of shape (G,)): Each prompt's influence on it.
        status (`str`): `ok`, or why it is undefined.
    """

    weight: float
    influence: Floats
    status: str


def spread_scale(squares: Floats, freedom: Floats) -> Scale:
    """One over the standard deviation within prompts, from each prompt's sum of squares."""
    total = float(freedom.sum())
    variance = float(squares.sum()) / total if total else 0.0
    if not variance > 0:
        return Scale(math.nan, np.full(len(squares), math.nan), "constant_rewards")
    weight = variance**-0.5
    return Scale(weight, -weight / 2 * (squares / variance - freedom) / total, "ok")


def logit_scale(margin: Floats, prompts: Codes) -> Scale:
    """One over the temperature of the human choices."""
    choice, n_prompts = choice_probability(margin, "temperature"), int(prompts.max()) + 1
    if choice.status != "ok":
        return Scale(math.nan, np.full(n_prompts, math.nan), choice.status)
    weight, influence = float(choice.slopes[0]), group_sums(choice.influence, prompts, n_prompts)[:, 0]
    # Prompts that do not differ leave what Newton's method leaves of the score.
    cancelled = math.sqrt(float(influence @ influence)) <= SAME * weight
    return Scale(weight, influence * 0.0 if cancelled else influence, "ok")

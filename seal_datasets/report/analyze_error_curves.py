"""Which share of wrong labels each imprint would bear, where labels are not corrected."""

from __future__ import annotations

from typing import Any

import numpy as np

from seal_datasets import estimate
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.report.analyze_part import Part, rewards_of

_MOST_WRONG = tuple(percent / 100 for percent in range(41))


def analyze_error_curves(part: Part) -> dict[str, dict[str, Any]]:
    """At which share of wrong labels each imprint would lose its sign, or could no longer be told from 0.

    Args:
        part (`Part`): The pairs that the report speaks of.

    Returns:
        `dict[str, dict[str, Any]]`: By model and feature of 0 and 1: `sign_flips_at`, `insignificant_at`, `largest_rate`.
    """
    design = part.design.at(part.design.complete)
    surface = {feature.name for feature in SURFACE_FEATURES}
    rows = np.vstack([design.chosen, design.rejected])
    kept = [i for i, name in enumerate(design.names) if name not in surface and np.isin(rows[:, i], (0.0, 1.0)).all()]
    if not kept or not len(rows):
        return {}
    used = part.at(part.design.complete)
    names = [design.names[i] for i in kept]
    found = {}
    for model in part.models.audited:
        curves = estimate.label_error_curve(
            np.concatenate(rewards_of(used.frame, model)),
            rows[:, kept],
            np.tile(used.prompts, 2),
            names,
            rates=_MOST_WRONG,
        )
        found[model] = {
            curve.feature: {key: curve.to_dict()[key] for key in ("sign_flips_at", "insignificant_at", "largest_rate")}
            for curve in curves
        }
    return found

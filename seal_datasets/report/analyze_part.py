"""What an audit estimates on one part of its pairs: imprint, shift, drivers and the labeler's agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.estimate.standardised import Unit
from seal_datasets.labels.design import Design, Floats, numbers
from seal_datasets.labels.taxonomy import Feature

MIN_INFORMATION = 4.0
"""Least effective degrees of freedom for an estimate of least squares: below 4 the t reference is rough (Tipton, 2015)."""

MIN_DISCORDANT = 10
"""Least number of pairs in which a feature must differ for an estimate of a logit, which has no degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Part:
    """Usable pairs of an audit, all of them or those of one partition.

    Attributes:
        frame (`DataFrame`): Columns of n pairs.
        design (`Design`): All features.
        surface (`Design`): The surface features, which have no missing values.
        targets (`Sequence[Feature]`): Target features by priority.
        models (`tuple[str, str]`): Short names of the pre- and the post-training model.
        tie_band (`float`): Rewards that differ by at most this are a tie.
    """

    frame: pd.DataFrame
    design: Design
    surface: Design
    targets: Sequence[Feature]
    models: tuple[str, str]
    tie_band: float

    def at(self, rows: NDArray[np.bool_]) -> Part:
        """Some of the pairs."""
        frame = self.frame[rows].reset_index(drop=True)
        return replace(self, frame=frame, design=self.design.at(rows), surface=self.surface.at(rows))

    @property
    def prompts(self) -> NDArray[np.object_]:
        """Prompt of each pair."""
        return self.frame[schema.PROMPT_ID].to_numpy()

    @property
    def rewards(self) -> dict[str, tuple[Floats, Floats]]:
        """Rewards of the chosen and the rejected responses, by role of the model."""
        return {role: rewards_of(self.frame, name) for role, name in zip(("pre", "post"), self.models, strict=True)}


def rewards_of(frame: pd.DataFrame, model: str) -> tuple[Floats, Floats]:
    """Rewards of the chosen and the rejected responses by one model."""
    chosen, rejected = (frame[schema.reward_column(model, side)].to_numpy(float) for side in schema.SIDES)
    return chosen, rejected


def analyze_part(part: Part) -> dict[str, Any]:
    """Estimate imprint, shift, drivers and the labeler's agreement.

    Args:
        part (`Part`): At least one pair.

    Returns:
        `dict[str, Any]`: JSON-ready results by quantity, each with its n.
    """
    regimes = estimate.alignment_regimes(*part.rewards["post"], *part.rewards["pre"], tie_band=part.tie_band)
    shift = estimate.reward_shift(*part.rewards["pre"], *part.rewards["post"], groups=part.prompts, by=regimes)
    imprint = {"all_features": _imprint(part, part.design, shift)}
    if part.surface.names and not part.design.complete.all():
        imprint["surface"] = _imprint(part, part.surface, shift)
    return {
        "shift": _shift(part, regimes, shift),
        "imprint": imprint,
        "drivers": _drivers(part),
        "labeler_agreement": _agreement(part),
    }


def labeler_preferences(frame: pd.DataFrame, targets: Sequence[Feature]) -> NDArray[np.object_]:
    """The labeler's preference for each pair.

    Args:
        frame (`DataFrame`): Columns of the pairs.
        targets (`Sequence[Feature]`): Target features by priority.

    Returns:
        `ndarray` of shape (n,): Preferences; `None` without every target label.
    """
    preference = np.full(len(frame), None, dtype=object)
    if targets:
        chosen, rejected = _target_labels(frame, targets)
        known = ~(np.isnan(chosen).any(axis=1) | np.isnan(rejected).any(axis=1))
        if known.any():
            preference[known] = estimate.labeler_preference(chosen[known], rejected[known])
    return preference


def _shift(part: Part, regimes: NDArray[np.str_], by_regime: estimate.RewardShift) -> dict[str, Any]:
    preference = labeler_preferences(part.frame, part.targets)
    labels = [f"{regime}, labeler prefers {side}" for regime, side in zip(regimes, preference, strict=True)]
    rewards = part.rewards
    by_both = estimate.reward_shift(*rewards["pre"], *rewards["post"], groups=part.prompts, by=labels)
    parts = {**by_regime.by, **{name: entry for name, entry in by_both.by.items() if name.endswith(schema.SIDES)}}
    whole = by_regime.to_dict()
    del whole["by"]
    return {"all": whole} | {
        name: {**entry.raw.to_dict(), "centred": entry.centred.to_dict(), "margin": entry.margin.to_dict()}
        for name, entry in sorted(parts.items())
    }


def _imprint(part: Part, design: Design, shift: estimate.RewardShift) -> dict[str, Any]:
    """Eq. (1) for each model and for their difference on the same rows, in points and standardised, and Eq. (2)."""
    complete = design.complete
    left_out = {"n_pairs": int(complete.sum()), "n_pairs_with_missing_labels": int((~complete).sum())}
    if not design.names or not complete.any():
        return {**left_out, "status": "no pair has every label" if design.names else "no features"}
    used, prompts = design.at(complete), part.prompts[complete]
    rewards = {role: [side[complete] for side in sides] for role, sides in part.rewards.items()}
    trajectory = estimate.imprint_trajectory(
        {role: np.concatenate(sides) for role, sides in rewards.items()},
        np.concatenate([used.chosen, used.rejected]),
        np.tile(prompts, 2),
        design.names,
        blocks=design.blocks,
        min_information=MIN_INFORMATION,
    )
    models = {**trajectory.models, "difference": trajectory.changes["post - pre"]}
    results: dict[str, Any] = {name: fit.to_dict() for name, fit in models.items()}
    units: tuple[Unit, ...] = ("sd", "logit")
    results["standardised"] = {
        unit: estimate.standardised_imprint(
            {role: sides[0] for role, sides in rewards.items()},
            {role: sides[1] for role, sides in rewards.items()},
            used.chosen,
            used.rejected,
            design.names,
            groups=prompts,
            unit=unit,
            min_information=MIN_INFORMATION,
        ).to_dict()
        for unit in units
    }
    outcomes = {
        "shift": shift.angles,
        "shift_centred": shift.centred_angles,
        "shift_margin": shift.standardised_changes,
    }
    for name, outcome in outcomes.items():
        results[name] = estimate.shift_imprint(
            outcome[complete],
            used.chosen,
            used.rejected,
            design.names,
            groups=prompts,
            min_information=MIN_INFORMATION,
        ).to_dict()
    return {**left_out, "status": "ok", "references": design.references, **results}


def _drivers(part: Part) -> dict[str, Any]:
    complete = part.design.complete
    if not part.design.names or not complete.any():
        return {"status": "no pair has every label" if part.design.names else "no features"}
    used = part.at(complete)
    return estimate.misalignment_drivers(
        estimate.aligned_pairs(*used.rewards["post"], tie_band=part.tie_band),
        used.design.chosen,
        used.design.rejected,
        used.design.names,
        groups=used.prompts,
        min_discordant=MIN_DISCORDANT,
    ).to_dict()


def _target_labels(frame: pd.DataFrame, targets: Sequence[Feature]) -> tuple[Floats, Floats]:
    chosen, rejected = (
        np.column_stack([numbers(frame[schema.feature_column(target.name, side)]) for target in targets])
        for side in schema.SIDES
    )
    return chosen, rejected


def _agreement(part: Part) -> dict[str, Any]:
    targets = [target.name for target in part.targets]
    known = np.array([value is not None for value in labeler_preferences(part.frame, part.targets)], dtype=bool)
    left_out = {"targets": targets, "n_pairs_with_missing_labels": int((~known).sum())}
    if not known.any():
        return {**left_out, "status": "no pair has every target label" if targets else "no target features"}
    used = part.at(known)
    result = estimate.labeler_agreement(
        *_target_labels(used.frame, part.targets),
        targets,
        aligned=estimate.aligned_pairs(*used.rewards["post"], tie_band=part.tie_band),
        pre_aligned=estimate.aligned_pairs(*used.rewards["pre"], tie_band=part.tie_band),
        groups=used.prompts,
    )
    return {**left_out, "status": "ok", **result.to_dict()}

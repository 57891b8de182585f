"""What an audit estimates on one part of its pairs: imprint, drivers and agreement by model, and shift by comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.estimate.standardised import standardised_imprints
from seal_datasets.labels.design import Design, Floats, numbers
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.audited_models import AuditedModels
from seal_datasets.report.pair_frame import rows_of

Sides = tuple[Floats, Floats]

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
        models (`AuditedModels`): The reward models.
        tie_band (`float`): Rewards that differ by at most this are a tie.
    """

    frame: pd.DataFrame
    design: Design
    surface: Design
    targets: Sequence[Feature]
    models: AuditedModels
    tie_band: float

    def at(self, rows: NDArray[np.bool_]) -> Part:
        """Some of the pairs."""
        if rows.all():
            return self
        design = self.design.at(rows)
        surface = design if self.surface is self.design else self.surface.at(rows)
        return replace(self, frame=rows_of(self.frame, rows), design=design, surface=surface)

    @property
    def prompts(self) -> NDArray[Any]:
        """Prompt of each pair, as a number."""
        return self.frame[schema.PROMPT_ID].to_numpy()

    @property
    def rewards(self) -> dict[str, Sides]:
        """Rewards of the chosen and the rejected responses, by model."""
        return {name: rewards_of(self.frame, name) for name in self.models.names}


def rewards_of(frame: pd.DataFrame, model: str) -> Sides:
    """Rewards of the chosen and the rejected responses by one model."""
    chosen, rejected = (frame[schema.reward_column(model, side)].to_numpy(float) for side in schema.SIDES)
    return chosen, rejected


def analyze_part(part: Part) -> dict[str, Any]:
    """Estimate imprints, drivers and the labeler's agreement by model, and what every comparison with the baseline shows.

    Args:
        part (`Part`): At least one pair.

    Returns:
        `dict[str, Any]`: JSON-ready results under `imprint`, `models` and `comparisons`, each with its n.
    """
    designs = {"all_features": part.design}
    if part.surface.names and not part.design.complete.all():
        designs["surface"] = part.surface
    return {
        "imprint": {name: _imprint(part, design) for name, design in designs.items()},
        "models": {
            name: {"drivers": _drivers(part, name)}
            # With a baseline, agreement is by regime.
            | ({} if part.models.comparisons else {"labeler_agreement": _agreement(part, name)})
            for name in part.models.audited
        },
        "comparisons": {
            name: _compare(part, earlier, later, designs) for name, (earlier, later) in part.models.comparisons.items()
        },
    }


def _compare(part: Part, earlier: str, later: str, designs: Mapping[str, Design]) -> dict[str, Any]:
    """Reward shift by regime, Eq. (2), and the labeler's agreement by regime."""
    before, after = part.rewards[earlier], part.rewards[later]
    regimes = estimate.alignment_regimes(*after, *before, tie_band=part.tie_band)
    shift = estimate.reward_shift(*before, *after, groups=part.prompts, by=regimes)
    return {
        "earlier": earlier,
        "later": later,
        "shift": _shift(part, (before, after), regimes, shift),
        "shift_imprint": {name: _shift_imprint(part, design, shift) for name, design in designs.items()},
        "labeler_agreement": _agreement(part, later, earlier),
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


def _shift(
    part: Part, rewards: tuple[Sides, Sides], regimes: NDArray[np.str_], by_regime: estimate.RewardShift
) -> dict[str, Any]:
    preference = labeler_preferences(part.frame, part.targets)
    parts = dict(by_regime.by)
    if part.targets:
        labels = [f"{regime}, labeler prefers {side}" for regime, side in zip(regimes, preference, strict=True)]
        by_both = estimate.reward_shift(*rewards[0], *rewards[1], groups=part.prompts, by=labels)
        parts |= {name: entry for name, entry in by_both.by.items() if name.endswith(schema.SIDES)}
    whole = by_regime.to_dict()
    del whole["by"]
    return {"all": whole} | {
        name: {**entry.raw.to_dict(), "centred": entry.centred.to_dict(), "margin": entry.margin.to_dict()}
        for name, entry in sorted(parts.items())
    }


def _imprint(part: Part, design: Design) -> dict[str, Any]:
    """Eq. (1) for each model and each change on the same rows, in points and standardised."""
    complete = design.complete
    counts, missing = _coverage(design)
    if missing is not None:
        return {**counts, "status": missing}
    used, prompts = design.at(complete), part.prompts[complete]
    rewards = {name: [side[complete] for side in sides] for name, sides in part.rewards.items()}
    trajectory = estimate.imprint_trajectory(
        {name: np.concatenate(sides) for name, sides in rewards.items()},
        np.concatenate([used.chosen, used.rejected]),
        np.tile(prompts, 2),
        design.names,
        baseline=part.models.baseline,
        blocks=design.blocks,
        min_information=MIN_INFORMATION,
    ).to_dict()
    standardised = standardised_imprints(
        {name: sides[0] for name, sides in rewards.items()},
        {name: sides[1] for name, sides in rewards.items()},
        used.chosen,
        used.rejected,
        design.names,
        groups=prompts,
        baseline=part.models.baseline,
        min_information=MIN_INFORMATION,
    )
    points = {key: trajectory[key] for key in ("models", "changes")}
    # With two models the joint test of any change is the test of the one change.
    joint = {"any_change": trajectory["any_change"]} if len(part.models.names) > 2 else {}
    return {
        **counts,
        "status": "ok",
        "references": design.references,
        **points,
        **joint,
        "standardised": {unit: found.to_dict() for unit, found in standardised.items()},
    }


def _shift_imprint(part: Part, design: Design, shift: estimate.RewardShift) -> dict[str, Any]:
    """Eq. (2) of the raw angle, of the angle after centring, and of the change of margin."""
    complete = design.complete
    counts, missing = _coverage(design)
    if missing is not None:
        return {**counts, "status": missing}
    used = design.at(complete)
    outcomes = {"raw": shift.angles, "centred": shift.centred_angles, "margin": shift.standardised_changes}
    found = {
        name: estimate.shift_imprint(
            outcome[complete],
            used.chosen,
            used.rejected,
            design.names,
            groups=part.prompts[complete],
            min_information=MIN_INFORMATION,
        ).to_dict()
        for name, outcome in outcomes.items()
    }
    return {**counts, "status": "ok", **found}


def _coverage(design: Design) -> tuple[dict[str, int], str | None]:
    """Pairs with and without every label, and why there is no estimate, if there is none."""
    complete = design.complete
    counts = {"n_pairs": int(complete.sum()), "n_pairs_with_missing_labels": int((~complete).sum())}
    if not design.names:
        return counts, "no features"
    return counts, None if complete.any() else "no pair has every label"


def _drivers(part: Part, model: str) -> dict[str, Any]:
    _, missing = _coverage(part.design)
    if missing is not None:
        return {"status": missing}
    used = part.at(part.design.complete)
    return estimate.misalignment_drivers(
        estimate.aligned_pairs(*used.rewards[model], tie_band=part.tie_band),
        used.design.chosen,
        used.design.rejected,
        used.design.names,
        groups=used.prompts,
        min_discordant=MIN_DISCORDANT,
    ).to_dict()


def _target_labels(frame: pd.DataFrame, targets: Sequence[Feature]) -> Sides:
    chosen, rejected = (
        np.column_stack([numbers(frame[schema.feature_column(target.name, side)]) for target in targets])
        for side in schema.SIDES
    )
    return chosen, rejected


def _agreement(part: Part, model: str, baseline: str | None = None) -> dict[str, Any]:
    """Agreement of the labeler with people by the model's alignment, or by regime where there is a baseline."""
    targets = [target.name for target in part.targets]
    known = np.array([value is not None for value in labeler_preferences(part.frame, part.targets)], dtype=bool)
    left_out = {"targets": targets, "n_pairs_with_missing_labels": int((~known).sum())}
    if not known.any():
        return {**left_out, "status": "no pair has every target label" if targets else "no target features"}
    used = part.at(known)
    aligned = {name: estimate.aligned_pairs(*used.rewards[name], tie_band=part.tie_band) for name in part.models.names}
    result = estimate.labeler_agreement(
        *_target_labels(used.frame, part.targets),
        targets,
        aligned=aligned[model],
        pre_aligned=None if baseline is None else aligned[baseline],
        groups=used.prompts,
    )
    return {**left_out, "status": "ok", **result.to_dict()}

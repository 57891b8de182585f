"""Compute every SEAL quantity of a pairs table with features and rewards.

This module selects rows and columns, records excluded pairs with the reason, and calls `estimate`; it computes no
statistics itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.data.load import UNUSABLE
from seal_datasets.errors import DataError
from seal_datasets.labels.design import feature_design, numbers
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.analyze_choices import Choices, analyze_choices
from seal_datasets.report.analyze_labels import analyze_labels, fitted_calibration
from seal_datasets.report.analyze_memory import memorisation_gaps
from seal_datasets.report.analyze_part import MIN_DISCORDANT, Part, analyze_part, labeler_preferences, rewards_of


def analyze(
    pairs: Dataset, features: Sequence[Feature], *, pre: str = "pre", post: str = "post", tie_band: float = 0.0
) -> dict[str, Any]:
    """Estimate every quantity an audit reports.

    Where pairs are known to be held out from training, imprint, shift, drivers and agreement are estimated on them: what a
    model does on pairs that it was trained on is partly memory. The training part stands beside, under `seen`.

    Args:
        pairs (`Dataset`): Canonical pairs with the features' columns and the rewards of both models.
        features (`Sequence[Feature]`): The features to relate to the rewards.
        pre (`str`, defaults to `"pre"`): Short name of the pre-training reward model.
        post (`str`, defaults to `"post"`): Short name of the post-training reward model.
        tie_band (`float`, defaults to 0.0): Rewards that differ by at most this are a tie, see `estimate.alignment_resistance`.

    Returns:
        `dict[str, Any]`: JSON-ready results by quantity, each with its n; excluded pairs are under `population`.

    Raises:
        DataError: A column is missing, or no pair can be used.
    """
    frame = _frame(pairs, features, pre, post)
    population, used = _population(frame, pre, post)
    frame = frame[used].reset_index(drop=True)
    design = feature_design(frame, features).without_references()
    surface = feature_design(frame, [feature for feature in features if feature in SURFACE_FEATURES])
    whole = Part(frame, design, surface, _targets(features), (pre, post), tie_band)
    parts = _parts(frame)
    population["estimated_on"] = "heldout" if "heldout" in parts else "all"
    resistance = _resistance(whole, parts)
    found = analyze_part(whole.at(parts[population["estimated_on"]]))
    results = {"population": population, "resistance": resistance, **found}
    if {"heldout", "train"} <= parts.keys():
        results["seen"] = analyze_part(whole.at(parts["train"]))
        results["memory"] = memorisation_gaps(results["seen"], found, resistance)
    choices = Choices(whole.prompts, whole.rewards, parts, tie_band, MIN_DISCORDANT)
    return results | analyze_choices(choices, design, surface) | {"labels": analyze_labels(frame, features)}


def derived_columns(
    pairs: Dataset, features: Sequence[Feature], *, pre: str = "pre", post: str = "post", tie_band: float = 0.0
) -> dict[str, list[Any]]:
    """Compute per-pair columns: margins, regime, reward shift and the labeler's preference.

    Args:
        pairs (`Dataset`): As for `analyze`.
        features (`Sequence[Feature]`): As for `analyze`.
        pre (`str`, defaults to `"pre"`): Short name of the pre-training reward model.
        post (`str`, defaults to `"post"`): Short name of the post-training reward model.
        tie_band (`float`, defaults to 0.0): Rewards that differ by at most this are a tie, see `estimate.alignment_resistance`.

    Returns:
        `dict[str, list]`: Column name to values, null for excluded pairs.
    """
    frame = _frame(pairs, features, pre, post)
    _, used = _population(frame, pre, post)
    part = frame[used]
    post_rewards, pre_rewards = rewards_of(part, post), rewards_of(part, pre)
    columns: dict[str, Any] = {
        schema.margin_column(pre): pre_rewards[0] - pre_rewards[1],
        schema.margin_column(post): post_rewards[0] - post_rewards[1],
        schema.REGIME: estimate.alignment_regimes(*post_rewards, *pre_rewards, tie_band=tie_band),
        schema.REWARD_SHIFT: estimate.reward_shift_angles(*pre_rewards, *post_rewards),
        schema.LABELER_PREFERENCE: labeler_preferences(part, _targets(features)),
    }
    for feature in features:
        fit = fitted_calibration(part, feature)
        if fit is not None and fit.status == "ok":
            for side in schema.SIDES:
                calibrated = fit.apply(numbers(part[schema.probability_column(feature.name, side)]))
                columns[schema.calibrated_column(feature.name, side)] = [None if np.isnan(p) else p for p in calibrated]
    placed = {}
    for name, values in columns.items():
        column = pd.Series([None] * len(frame), dtype=object)
        column[used] = values
        placed[name] = column.where(column.notna(), None).tolist()
    return placed


def _frame(pairs: Dataset, features: Sequence[Feature], pre: str, post: str) -> pd.DataFrame:
    needed = [schema.PAIR_ID, schema.PROMPT_ID, schema.PROBLEMS]
    needed += [schema.reward_column(model, side) for model in (pre, post) for side in schema.SIDES]
    needed += [schema.feature_column(feature.name, side) for feature in features for side in schema.SIDES]
    missing = [name for name in needed if name not in pairs.column_names]
    if missing:
        raise DataError(
            f"the table lacks {', '.join(missing)}; add rewards with add_rewards(name={pre!r}) and (name={post!r}), "
            "and features with add_surface_features or add_features"
        )
    optional = [schema.PARTITION, *(schema.failures_column(side) for side in schema.SIDES)]
    optional += [schema.gold_column(feature.name, side) for feature in features for side in schema.SIDES]
    optional += [schema.probability_column(feature.name, side) for feature in features for side in schema.SIDES]
    present = [name for name in optional if name in pairs.column_names]
    frame: pd.DataFrame = pairs.select_columns([*needed, *present]).to_pandas()
    return frame


def _population(frame: pd.DataFrame, pre: str, post: str) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Counts of used and excluded pairs by reason, and a mask of the used ones."""
    reasons = pd.Series([None] * len(frame), dtype=object)
    for model in (post, pre):
        for side in schema.SIDES:
            finite = np.isfinite(frame[schema.reward_column(model, side)].to_numpy(float))
            reasons[~finite] = f"no reward from {model} for the {side} text"
    for index, problems in enumerate(frame[schema.PROBLEMS]):
        for problem in problems:
            if problem in UNUSABLE:
                reasons[index] = problem
    used = reasons.isna().to_numpy()
    if not used.any():
        raise DataError(f"none of the {len(frame)} pairs can be used: {dict(Counter(reasons))}")
    counts = {
        "n_pairs": len(frame),
        "n_used": int(used.sum()),
        "n_prompts": int(frame.loc[used, schema.PROMPT_ID].nunique()),
        "excluded": {str(reason): count for reason, count in sorted(Counter(reasons[~used]).items())},
    }
    return counts, used


def unusable_pairs(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Mask of pairs with a problem that excludes them from every estimate."""
    return np.array([bool(UNUSABLE.intersection(problems)) for problems in frame[schema.PROBLEMS]], dtype=bool)


def _parts(frame: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Masks of all pairs, and of each partition."""
    parts = {"all": np.ones(len(frame), dtype=bool)}
    if schema.PARTITION in frame:
        for part in sorted(frame[schema.PARTITION].dropna().unique()):
            parts[str(part)] = (frame[schema.PARTITION] == part).to_numpy()
    return parts


def _targets(features: Sequence[Feature]) -> list[Feature]:
    """Target features by priority."""
    return sorted(
        (feature for feature in features if feature.role == "target"), key=lambda feature: feature.priority or 0
    )


def _resistance(whole: Part, parts: dict[str, NDArray[np.bool_]]) -> dict[str, Any]:
    results = {}
    for name, rows in parts.items():
        part = whole.at(rows)
        (chosen, rejected), (pre_chosen, pre_rejected) = part.rewards["post"], part.rewards["pre"]
        results[name] = estimate.alignment_resistance(
            chosen,
            rejected,
            pre_chosen_rewards=pre_chosen,
            pre_rejected_rewards=pre_rejected,
            groups=part.prompts,
            tie_band=part.tie_band,
        ).to_dict()
    return results

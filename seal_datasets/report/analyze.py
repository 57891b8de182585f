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
import pyarrow as pa  # type: ignore[import-untyped]
from datasets import Dataset
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.data.load import UNUSABLE
from seal_datasets.errors import DataError
from seal_datasets.labels.design import feature_design, numbers
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.analyze_balance import analyze_balance
from seal_datasets.report.analyze_choices import analyze_choices
from seal_datasets.report.analyze_correction import analyze_correction
from seal_datasets.report.analyze_error_curves import analyze_error_curves
from seal_datasets.report.analyze_labels import analyze_labels, fitted_calibration
from seal_datasets.report.analyze_memory import memorisation_gaps
from seal_datasets.report.analyze_models import analyze_alignment, analyze_trajectory
from seal_datasets.report.analyze_part import Part, analyze_part, labeler_preferences, rewards_of
from seal_datasets.report.analyze_source import analyze_source
from seal_datasets.report.audited_models import PRE_AND_POST, AuditedModels
from seal_datasets.report.pair_frame import REASONS, as_column, read_frame, rows_of


def analyze(
    pairs: Dataset, features: Sequence[Feature], models: AuditedModels = PRE_AND_POST, *, tie_band: float = 0.0
) -> dict[str, Any]:
    """Estimate every quantity an audit reports.

    Where pairs are known to be held out from training, imprint, shift, drivers and agreement are estimated on them: what a
    model does on pairs that it was trained on is partly memory. The training part stands beside, under `seen`.

    Args:
        pairs (`Dataset`): Canonical pairs with the features' columns and the rewards of every model.
        features (`Sequence[Feature]`): The features to relate to the rewards.
        models (`AuditedModels`, *optional*): Names of the models, and the baseline; `pre` and `post` when omitted.
        tie_band (`float`, defaults to 0.0): Rewards that differ by at most this are a tie, see `estimate.alignment_resistance`.

    Returns:
        `dict[str, Any]`: JSON-ready results, each with its n: `models` by name, `comparisons` by pair of names, `imprint` of
            all of them; excluded pairs are under `population`.

    Raises:
        DataError: A column is missing, or no pair can be used.
    """
    frame = _frame(pairs, features, models)
    population, used = _population(frame, models)
    frame = rows_of(frame, used)
    named, features = features, [feature for feature in features if _has_labels(frame, feature)]
    design = feature_design(frame, features).without_references()
    surface_features = [feature for feature in features if feature in SURFACE_FEATURES]
    surface = design if surface_features == list(features) else feature_design(frame, surface_features)
    whole = Part(frame, design, surface, _targets(named), models, tie_band)
    masks = _parts(frame)
    parts = {name: whole.at(rows) for name, rows in masks.items()}
    population["estimated_on"] = "heldout" if "heldout" in parts else "all"
    where = population["estimated_on"]
    spoken = parts[where]
    results = {"population": population, **analyze_part(spoken), **analyze_trajectory(spoken)}
    choices, alignment = analyze_choices(parts, where), analyze_alignment(parts, models)
    results["models"] = {
        name: {"resistance": alignment[name]["resistance"], **choices[name], **results["models"].get(name, {})}
        for name in models.names
    }
    for comparison in results["comparisons"].values():
        comparison |= {key: alignment[comparison["later"]][key] for key in ("regimes", "change")}
    if {"heldout", "train"} <= parts.keys():
        results["seen"] = analyze_part(parts["train"])
        results["memory"] = memorisation_gaps(results, models)
    rows = np.flatnonzero(used)[masks[where]]
    results |= analyze_source(pairs, rows, models, tie_band=tie_band)
    results["balance"] = analyze_balance(spoken)
    results["correction"] = analyze_correction(spoken, features)
    if results["correction"]["status"] != "corrected":
        results["error_curves"] = analyze_error_curves(spoken)
    return results | {"labels": analyze_labels(frame, named)}


def _has_labels(frame: pd.DataFrame, feature: Feature) -> bool:
    """Whether any text has a label; a feature without would leave no pair with every label."""
    return any(frame[schema.feature_column(feature.name, side)].notna().any() for side in schema.SIDES)


def derived_columns(
    pairs: Dataset, features: Sequence[Feature], models: AuditedModels = PRE_AND_POST, *, tie_band: float = 0.0
) -> dict[str, pa.Array]:
    """Compute per-pair columns: margins, regimes, reward shifts and the labeler's preference.

    Args:
        pairs (`Dataset`): As for `analyze`.
        features (`Sequence[Feature]`): As for `analyze`.
        models (`AuditedModels`, *optional*): As for `analyze`.
        tie_band (`float`, defaults to 0.0): As for `analyze`.

    Returns:
        `dict[str, pyarrow.Array]`: Column name to values, null for excluded pairs.
    """
    frame = _frame(pairs, features, models)
    _, used = _population(frame, models)
    part = rows_of(frame, used)
    rewards = {name: rewards_of(part, name) for name in models.names}
    columns: dict[str, Any] = {
        schema.margin_column(name): chosen - rejected for name, (chosen, rejected) in rewards.items()
    }
    for earlier, later in models.comparisons.values():
        before, after = rewards[earlier], rewards[later]
        columns[schema.regime_column(later)] = estimate.alignment_regimes(*after, *before, tie_band=tie_band)
        columns[schema.shift_column(later)] = estimate.reward_shift_angles(*before, *after)
    columns[schema.LABELER_PREFERENCE] = labeler_preferences(part, _targets(features))
    for feature in features:
        fit = fitted_calibration(part, feature)
        if fit is not None and fit.status == "ok":
            for side in schema.SIDES:
                calibrated = fit.apply(numbers(part[schema.probability_column(feature.name, side)]))
                columns[schema.calibrated_column(feature.name, side)] = calibrated
    return {name: as_column(values, used) for name, values in columns.items()}


def _frame(pairs: Dataset, features: Sequence[Feature], models: AuditedModels) -> pd.DataFrame:
    needed = [schema.PAIR_ID, schema.PROMPT_ID, schema.PROBLEMS]
    needed += [schema.reward_column(model, side) for model in models.names for side in schema.SIDES]
    needed += [schema.feature_column(feature.name, side) for feature in features for side in schema.SIDES]
    missing = [name for name in needed if name not in pairs.column_names]
    if missing:
        raise DataError(
            f"the table lacks {', '.join(missing)}; add rewards with add_rewards for {', '.join(models.names)}, "
            "and features with add_surface_features or add_features"
        )
    optional = [schema.PARTITION, schema.GOLD_PROBABILITY, *(schema.failures_column(side) for side in schema.SIDES)]
    optional += [schema.gold_column(feature.name, side) for feature in features for side in schema.SIDES]
    optional += [schema.probability_column(feature.name, side) for feature in features for side in schema.SIDES]
    present = [name for name in optional if name in pairs.column_names]
    return read_frame(pairs, [*needed[1:], *present])


def _population(frame: pd.DataFrame, models: AuditedModels) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Counts of used and excluded pairs by reason, and a mask of the used ones: pairs with a reward from every model."""
    problems = frame[schema.PROBLEMS].to_numpy()
    scored, texts, reasons = {}, list(REASONS), problems.copy()
    for model in reversed(models.names):
        chosen, rejected = (np.isfinite(rewards) for rewards in rewards_of(frame, model))
        for side, known in zip(schema.SIDES, (chosen, rejected), strict=True):
            reasons[~known] = len(texts)
            texts.append(f"no reward from {model} for the {side} text")
        scored[model] = int((chosen & rejected).sum())
    reasons = np.where(problems >= 0, problems, reasons)
    used = reasons < 0
    if not used.any():
        raise DataError(f"none of the {len(frame)} pairs can be used: {dict(Counter(texts[i] for i in reasons))}")
    excluded = zip(texts, np.bincount(reasons[~used], minlength=len(texts)).tolist(), strict=True)
    counts = {
        "n_pairs": len(frame),
        "n_used": int(used.sum()),
        "n_prompts": int(frame.loc[used, schema.PROMPT_ID].nunique()),
        "excluded": {reason: count for reason, count in sorted(excluded) if count},
        "n_scored": {name: scored[name] for name in models.names},
    }
    return counts, used


def unusable_pairs(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Mask of pairs with a problem that excludes them from every estimate."""
    return np.array([bool(UNUSABLE.intersection(problems)) for problems in frame[schema.PROBLEMS]], dtype=bool)


def _parts(frame: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Masks of all pairs, and of the held-out ones and those trained on; other words of the source are no partition."""
    parts = {"all": np.ones(len(frame), dtype=bool)}
    for part in ("heldout", "train") if schema.PARTITION in frame else ():
        rows = (frame[schema.PARTITION] == part).to_numpy()
        if rows.any():
            parts[part] = rows
    return parts


def _targets(features: Sequence[Feature]) -> list[Feature]:
    """Target features by priority."""
    return sorted(
        (feature for feature in features if feature.role == "target"), key=lambda feature: feature.priority or 0
    )

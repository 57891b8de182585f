"""Compute every SEAL quantity of a pairs table with features and rewards.

This module selects rows and columns, records excluded pairs with the reason, and calls `estimate`; it computes no
statistics itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.data.load import UNUSABLE
from seal_datasets.errors import DataError
from seal_datasets.labels.design import Design, Floats, feature_design, numbers
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.analyze_choices import Choices, analyze_choices

MIN_INFORMATION = 4.0
"""Least effective degrees of freedom for an estimate of least squares: below 4 the t reference is rough (Tipton, 2015)."""

MIN_DISCORDANT = 10
"""Least number of pairs in which a feature must differ for an estimate of a logit, which has no degrees of freedom."""


def analyze(
    pairs: Dataset, features: Sequence[Feature], *, pre: str = "pre", post: str = "post", tie_band: float = 0.0
) -> dict[str, Any]:
    """Estimate every quantity an audit reports.

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
    targets = sorted(
        (feature for feature in features if feature.role == "target"), key=lambda feature: feature.priority or 0
    )
    regimes = estimate.alignment_regimes(*_rewards(frame, post), *_rewards(frame, pre), tie_band=tie_band)
    results = {
        "population": population,
        "resistance": _resistance(frame, pre, post, tie_band),
        "shift": _shift(frame, regimes, targets, pre, post),
        "imprint": {"all_features": _imprint(frame, design, pre, post)},
        "drivers": _drivers(frame, design, post, tie_band),
        "labeler_agreement": _agreement(frame, targets, pre, post, tie_band),
        "labels": _labels(frame, features),
    }
    surface = feature_design(frame, [feature for feature in features if feature in SURFACE_FEATURES])
    rewards = {"pre": _rewards(frame, pre), "post": _rewards(frame, post)}
    choices = Choices(frame[schema.PROMPT_ID].to_numpy(), rewards, _parts(frame), tie_band, MIN_DISCORDANT)
    results |= analyze_choices(choices, design, surface)
    if surface.names and not design.complete.all():
        results["imprint"]["surface"] = _imprint(frame, surface, pre, post)
    return results


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
    targets = sorted(
        (feature for feature in features if feature.role == "target"), key=lambda feature: feature.priority or 0
    )
    post_rewards, pre_rewards = _rewards(part, post), _rewards(part, pre)
    columns: dict[str, Any] = {
        schema.margin_column(pre): pre_rewards[0] - pre_rewards[1],
        schema.margin_column(post): post_rewards[0] - post_rewards[1],
        schema.REGIME: estimate.alignment_regimes(*post_rewards, *pre_rewards, tie_band=tie_band),
        schema.REWARD_SHIFT: estimate.reward_shift_angles(*pre_rewards, *post_rewards),
        schema.LABELER_PREFERENCE: _preference(part, targets),
    }
    for feature in features:
        fit = _fitted_calibration(part, feature)
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


def _rewards(frame: pd.DataFrame, model: str) -> tuple[Floats, Floats]:
    chosen, rejected = (frame[schema.reward_column(model, side)].to_numpy(float) for side in schema.SIDES)
    return chosen, rejected


def _parts(frame: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Masks of all pairs, and of each partition."""
    parts = {"all": np.ones(len(frame), dtype=bool)}
    if schema.PARTITION in frame:
        for part in sorted(frame[schema.PARTITION].dropna().unique()):
            parts[str(part)] = (frame[schema.PARTITION] == part).to_numpy()
    return parts


def _resistance(frame: pd.DataFrame, pre: str, post: str, tie_band: float) -> dict[str, Any]:
    results = {}
    for name, part in _parts(frame).items():
        (chosen, rejected), (pre_chosen, pre_rejected) = (_rewards(frame[part], model) for model in (post, pre))
        results[name] = estimate.alignment_resistance(
            chosen,
            rejected,
            pre_chosen_rewards=pre_chosen,
            pre_rejected_rewards=pre_rejected,
            groups=frame.loc[part, schema.PROMPT_ID].to_numpy(),
            tie_band=tie_band,
        ).to_dict()
    return results


def _shift(
    frame: pd.DataFrame, regimes: NDArray[np.str_], targets: Sequence[Feature], pre: str, post: str
) -> dict[str, Any]:
    preference = _preference(frame, targets)
    by_regime, by_both = (
        estimate.reward_shift(
            *_rewards(frame, pre), *_rewards(frame, post), groups=frame[schema.PROMPT_ID].to_numpy(), by=labels
        )
        for labels in (
            regimes,
            [f"{regime}, labeler prefers {side}" for regime, side in zip(regimes, preference, strict=True)],
        )
    )
    parts = {**by_regime.by, **{name: part for name, part in by_both.by.items() if name.endswith(schema.SIDES)}}
    whole = by_regime.to_dict()
    del whole["by"]
    return {"all": whole} | {
        name: {**part.raw.to_dict(), "centred": part.centred.to_dict(), "margin": part.margin.to_dict()}
        for name, part in sorted(parts.items())
    }


def _imprint(frame: pd.DataFrame, design: Design, pre: str, post: str) -> dict[str, Any]:
    """Eq. (1) for each model and for their difference on the same rows, and Eq. (2)."""
    complete = design.complete
    left_out = {"n_pairs": int(complete.sum()), "n_pairs_with_missing_labels": int((~complete).sum())}
    if not design.names or not complete.any():
        return {**left_out, "status": "no pair has every label" if design.names else "no features"}
    part = frame[complete]
    features = np.concatenate([design.chosen[complete], design.rejected[complete]])
    prompts = np.tile(part[schema.PROMPT_ID].to_numpy(), 2)
    before, after = (np.concatenate(_rewards(part, model)) for model in (pre, post))
    trajectory = estimate.imprint_trajectory(
        {"pre": before, "post": after},
        features,
        prompts,
        design.names,
        blocks=design.blocks,
        min_information=MIN_INFORMATION,
    )
    models = {**trajectory.models, "difference": trajectory.changes["post - pre"]}
    results: dict[str, Any] = {name: fit.to_dict() for name, fit in models.items()}
    results["shift"] = estimate.shift_imprint(
        estimate.reward_shift_angles(*_rewards(part, pre), *_rewards(part, post)),
        design.chosen[complete],
        design.rejected[complete],
        design.names,
        groups=part[schema.PROMPT_ID].to_numpy(),
        min_information=MIN_INFORMATION,
    ).to_dict()
    return {**left_out, "status": "ok", "references": design.references, **results}


def _drivers(frame: pd.DataFrame, design: Design, post: str, tie_band: float) -> dict[str, Any]:
    complete = design.complete
    if not design.names or not complete.any():
        return {"status": "no pair has every label" if design.names else "no features"}
    part = frame[complete]
    return estimate.misalignment_drivers(
        estimate.aligned_pairs(*_rewards(part, post), tie_band=tie_band),
        design.chosen[complete],
        design.rejected[complete],
        design.names,
        groups=part[schema.PROMPT_ID].to_numpy(),
        min_discordant=MIN_DISCORDANT,
    ).to_dict()


def _target_labels(frame: pd.DataFrame, targets: Sequence[Feature]) -> tuple[Floats, Floats]:
    chosen, rejected = (
        np.column_stack([numbers(frame[schema.feature_column(target.name, side)]) for target in targets])
        for side in schema.SIDES
    )
    return chosen, rejected


def _preference(frame: pd.DataFrame, targets: Sequence[Feature]) -> NDArray[np.object_]:
    """The labeler's preference for each pair; `None` without every target label."""
    preference = np.full(len(frame), None, dtype=object)
    if targets:
        chosen, rejected = _target_labels(frame, targets)
        known = ~(np.isnan(chosen).any(axis=1) | np.isnan(rejected).any(axis=1))
        if known.any():
            preference[known] = estimate.labeler_preference(chosen[known], rejected[known])
    return preference


def _agreement(frame: pd.DataFrame, targets: Sequence[Feature], pre: str, post: str, tie_band: float) -> dict[str, Any]:
    known = np.array([value is not None for value in _preference(frame, targets)], dtype=bool)
    left_out = {"targets": [target.name for target in targets], "n_pairs_with_missing_labels": int((~known).sum())}
    if not known.any():
        return {**left_out, "status": "no pair has every target label" if targets else "no target features"}
    part = frame[known]
    chosen, rejected = _target_labels(part, targets)
    result = estimate.labeler_agreement(
        chosen,
        rejected,
        [target.name for target in targets],
        aligned=estimate.aligned_pairs(*_rewards(part, post), tie_band=tie_band),
        pre_aligned=estimate.aligned_pairs(*_rewards(part, pre), tie_band=tie_band),
        groups=part[schema.PROMPT_ID].to_numpy(),
    )
    return {**left_out, "status": "ok", **result.to_dict()}


def _labels(frame: pd.DataFrame, features: Sequence[Feature]) -> dict[str, Any]:
    """Number of labels, reasons of missing labels and agreement with gold labels, by feature."""
    reasons: dict[str, Counter[str]] = {feature.name: Counter() for feature in features}
    for side in schema.SIDES:
        for failures in frame.get(schema.failures_column(side), ()):
            for failure in failures if failures is not None else ():
                if failure["feature"] in reasons:
                    reasons[failure["feature"]][failure["reason"]] += 1
    results: dict[str, Any] = {}
    for feature in features:
        values = pd.concat([frame[schema.feature_column(feature.name, side)] for side in schema.SIDES])
        results[feature.name] = {
            "role": feature.role,
            "type": feature.type,
            "n_texts": len(values),
            "n_missing": int(values.isna().sum()),
            "missing_by_reason": dict(sorted(reasons[feature.name].items())),
            **_means(frame, feature),
            "gold": _against_gold(frame, feature, values),
            "calibration": _calibration(frame, feature),
        }
    return results


def _means(frame: pd.DataFrame, feature: Feature) -> Mapping[str, float | None]:
    if feature.type == "labels":
        return {}
    means = {side: numbers(frame[schema.feature_column(feature.name, side)].dropna()) for side in schema.SIDES}
    return {f"mean_{side}": float(values.mean()) if len(values) else None for side, values in means.items()}


def _against_gold(frame: pd.DataFrame, feature: Feature, values: pd.Series[Any]) -> dict[str, Any] | None:
    columns = [schema.gold_column(feature.name, side) for side in schema.SIDES]
    if feature.type not in ("bool", "ordinal") or not all(column in frame for column in columns):
        return None
    gold = numbers(pd.concat([frame[column] for column in columns]))
    labels = numbers(values)
    both = ~(np.isnan(gold) | np.isnan(labels))
    prompts = np.tile(frame[schema.PROMPT_ID].to_numpy(), 2)
    return estimate.label_accuracy(labels[both], gold[both], groups=prompts[both]).to_dict()


def _calibration(frame: pd.DataFrame, feature: Feature) -> dict[str, Any] | None:
    """Calibration of a labeler's probabilities against gold labels, and the error rates they imply."""
    fit = _fitted_calibration(frame, feature)
    if fit is None:
        return None
    result: dict[str, Any] = fit.to_dict()
    if fit.status == "ok":
        columns = [schema.probability_column(feature.name, side) for side in schema.SIDES]
        calibrated = fit.apply(numbers(pd.concat([frame[column] for column in columns])))
        rates = estimate.implied_rates(calibrated[~np.isnan(calibrated)])
        implied = zip(("implied_sensitivity", "implied_specificity"), rates, strict=True)
        result |= {name: None if np.isnan(rate) else rate for name, rate in implied}
    return result


def _fitted_calibration(frame: pd.DataFrame, feature: Feature) -> estimate.Calibration | None:
    gold_columns = [schema.gold_column(feature.name, side) for side in schema.SIDES]
    columns = [schema.probability_column(feature.name, side) for side in schema.SIDES]
    if not all(column in frame for column in (*gold_columns, *columns)):
        return None
    gold = numbers(pd.concat([frame[column] for column in gold_columns]))
    given = numbers(pd.concat([frame[column] for column in columns]))
    both = ~(np.isnan(gold) | np.isnan(given))
    prompts = np.tile(frame[schema.PROMPT_ID].to_numpy(), 2)
    return estimate.calibrate_probabilities(given[both], gold[both], groups=prompts[both])

"""Estimate the effects of rewriting: acceptance, alignment before and after, and the reward of an attribute.

This module selects rows and columns, records excluded texts with the reason, and calls `estimate`; it computes no
statistics itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.errors import DataError
from seal_datasets.labels.design import numbers
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.analyze import unusable_pairs
from seal_datasets.rewrites.rewrite import NOT_SAMPLED
from seal_datasets.rewrites.sample import AXES

THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Thresholds of similarity at which alignment is reported."""

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SHAM = "identity"
"""Preset that asks for no change."""

_FEWEST_FLIPS = 10

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def analyze_rewrites(
    pairs: Dataset,
    features: Sequence[Feature],
    *,
    presets: Sequence[str] = (),
    axes: Sequence[str] = (),
    min_similarity: float,
    models: Sequence[str] = ("pre", "post"),
) -> dict[str, Any]:
    """Estimate every quantity of a report that rests on rewrites.

    Args:
        pairs (`Dataset`): Pairs with rewrites, and for both originals and rewrites the rewards and any labels.
        features (`Sequence[Feature]`): The labelled features.
        presets (`Sequence[str]`): Names of the rewrites to report, from `add_rewrites`.
        axes (`Sequence[str]`): Names of the axes to report, from `add_round_trips`.
        min_similarity (`float`): The threshold in force.
        models (`Sequence[str]`): Short names of the reward models.

    Returns:
        `dict[str, Any]`: JSON-ready results under `presets` and `axes`, each with its n.

    Raises:
        DataError: A column is missing.
    """
    frame = _frame(pairs)
    frame = frame[~unusable_pairs(frame)].reset_index(drop=True)
    found = {name: _preset(frame, name, features, min_similarity, models) for name in presets}
    for name, entry in found.items():
        sham = found.get(SHAM, {}).get("labels", {}) if name != SHAM else {}
        for feature, changes in entry["labels"].items():
            # What changes in a rewrite that asks for no change is the labeler's noise, and the rewriter's.
            of_sham = sham.get(feature)
            changes["sham"] = of_sham and {name: of_sham[name] for name in ("share", "confidence_interval", "n_texts")}
    return {
        "presets": found,
        "axes": {name: _axis(frame, name, models) for name in axes},
    }


def _frame(pairs: Dataset) -> pd.DataFrame:
    names = [name for name in pairs.column_names if name not in schema.TEXTS]
    frame: pd.DataFrame = pairs.select_columns(names).to_pandas()
    return frame


def _column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    if name not in frame:
        raise DataError(f"the table lacks {name!r}; run on_rewrites with the transform that adds it to the originals")
    return frame[name]


def _preset(
    frame: pd.DataFrame, name: str, features: Sequence[Feature], min_similarity: float, models: Sequence[str]
) -> dict[str, Any]:
    statuses = {side: _column(frame, schema.rewrite_status_column(name, side)) for side in schema.SIDES}
    sampled = ((statuses["chosen"] != NOT_SAMPLED) | (statuses["rejected"] != NOT_SAMPLED)).to_numpy()
    part = frame[sampled].reset_index(drop=True)
    compared = _compared(part, name, models)
    accepted = compared & _accepted(part, name, min_similarity)
    return {
        "n_sampled_pairs": int(sampled.sum()),
        "n_pairs": int(accepted.sum()),
        "texts": {side: _counts(part, name, side) for side in schema.SIDES},
        "similarity": _quantiles(part, name),
        "thresholds": [_at_threshold(part, name, models, compared, at) for at in THRESHOLDS],
        "alignment": {model: _alignment(part[accepted], name, model) for model in models},
        "labels": _label_changes(part[accepted], name, features),
        "robustness": _robustness(part[accepted].reset_index(drop=True), name, features, models[-1]),
        "selection": _selection(part, name, models[-1], min_similarity),
    }


def _compared(part: pd.DataFrame, name: str, models: Sequence[str]) -> Bools:
    """Mask of pairs with every reward of originals and rewrites, at any similarity."""
    known = np.ones(len(part), dtype=bool)
    for model in models:
        for side in schema.SIDES:
            reward = schema.reward_column(model, side)
            for column in (reward, schema.rewritten_column(name, reward)):
                known &= np.isfinite(_column(part, column).to_numpy(float))
    return known


def _accepted(part: pd.DataFrame, name: str, threshold: float) -> Bools:
    """Mask of pairs with two rewrites that pass every check at a threshold of similarity."""
    accepted = np.ones(len(part), dtype=bool)
    for side in schema.SIDES:
        accepted &= _passes(part, name, side, threshold)
    return accepted


def _passes(part: pd.DataFrame, name: str, side: schema.Side, threshold: float) -> Bools:
    status = _column(part, schema.rewrite_status_column(name, side))
    alike = _column(part, schema.rewrite_similarity_column(name, side)).to_numpy(float)
    passed: Bools = status.isin(["ok", "below_similarity"]).to_numpy() & (np.nan_to_num(alike, nan=-1.0) >= threshold)
    return passed


def _counts(part: pd.DataFrame, name: str, side: schema.Side) -> dict[str, int]:
    counts = Counter(part[schema.rewrite_status_column(name, side)])
    return {str(reason): count for reason, count in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))}


def _quantiles(part: pd.DataFrame, name: str) -> dict[str, Any]:
    alike = np.concatenate(
        [part[schema.rewrite_similarity_column(name, side)].to_numpy(float) for side in schema.SIDES]
    )
    alike = alike[np.isfinite(alike)]
    values = np.quantile(alike, _QUANTILES).tolist() if len(alike) else [None] * len(_QUANTILES)
    return {"n_texts": len(alike), "quantiles": dict(zip((f"{q:.0%}" for q in _QUANTILES), values, strict=True))}


def _rewards(part: pd.DataFrame, name: str | None, model: str) -> tuple[Floats, Floats]:
    columns = [schema.reward_column(model, side) for side in schema.SIDES]
    if name is not None:
        columns = [schema.rewritten_column(name, column) for column in columns]
    chosen, rejected = (part[column].to_numpy(float) for column in columns)
    return chosen, rejected


def _at_threshold(
    part: pd.DataFrame, name: str, models: Sequence[str], compared: Bools, threshold: float
) -> dict[str, Any]:
    kept = part[compared & _accepted(part, name, threshold)]
    return {
        "threshold": threshold,
        "n_pairs": len(kept),
        "alignment": {model: _before_and_after(kept, name, model) for model in models},
    }


def _before_and_after(kept: pd.DataFrame, name: str, model: str) -> dict[str, Any]:
    """Alignment before and after rewriting, and the change with its interval; no test, as thresholds share their pairs."""
    found = _alignment(kept, name, model)
    if found["status"] != "ok":
        return {"before": None, "after": None, "change": None, "confidence_interval": [None, None]}
    return {key: found[key] for key in ("before", "after", "change", "confidence_interval")}


def _alignment(kept: pd.DataFrame, name: str, model: str) -> dict[str, Any]:
    """Alignment before and after rewriting, with the paired test of the change."""
    if not len(kept):
        return {"status": "no pair has two accepted rewrites"}
    (before_chosen, before_rejected), (chosen, rejected) = (_rewards(kept, rewrite, model) for rewrite in (None, name))
    result = estimate.alignment_resistance(
        chosen,
        rejected,
        pre_chosen_rewards=before_chosen,
        pre_rejected_rewards=before_rejected,
        groups=kept[schema.PROMPT_ID].to_numpy(),
    ).to_dict()
    change = result["change"]
    return {
        "status": "ok",
        "n_pairs": len(kept),
        "before": result["pre_alignment_score"],
        "after": result["alignment_score"],
        "change": None if change["change"] is None else -change["change"],
        "confidence_interval": [None if bound is None else -bound for bound in reversed(change["confidence_interval"])],
        "p_value": change["p_value"],
        "n_lost": change["n_lost"],
        "n_gained": change["n_gained"],
    }


def _labels(kept: pd.DataFrame, name: str | None, feature: Feature, side: schema.Side) -> Floats:
    column = schema.feature_column(feature.name, side)
    return numbers(_column(kept, column if name is None else schema.rewritten_column(name, column)))


def _label_changes(kept: pd.DataFrame, name: str, features: Sequence[Feature]) -> dict[str, Any]:
    """Share of labels that differ between rewrite and original, from the rewriter or from an unstable labeler."""
    changes: dict[str, Any] = {}
    for feature in _comparable(features):
        before, after = (
            np.concatenate([_labels(kept, rewrite, feature, side) for side in schema.SIDES]) for rewrite in (None, name)
        )
        known = ~(np.isnan(before) | np.isnan(after))
        changed = int((before[known] != after[known]).sum())
        n = int(known.sum())
        changes[feature.name] = {
            "n_texts": n,
            "n_changed": changed,
            "share": changed / n if n else None,
            "confidence_interval": [None if np.isnan(bound) else bound for bound in estimate.wilson(changed, n)],
            "n_raised": int((after[known] > before[known]).sum()),
            "n_lowered": int((after[known] < before[known]).sum()),
        }
    return changes


def _comparable(features: Sequence[Feature]) -> list[Feature]:
    return [feature for feature in features if feature.type in ("bool", "ordinal")]


def _robustness(kept: pd.DataFrame, name: str, features: Sequence[Feature], model: str) -> dict[str, Any]:
    """Eq. (4) on pairs with every label of originals and rewrites."""
    targets = [feature for feature in _comparable(features) if feature.role == "target"]
    spoilers = [feature for feature in _comparable(features) if feature.role != "target"]
    if not spoilers:
        return {"status": "no labelled feature besides the targets", "targets": [target.name for target in targets]}
    flips = {}
    known = np.ones(len(kept), dtype=bool)
    changed = np.zeros(len(kept), dtype=bool)
    for side in schema.SIDES:
        differences = [
            _labels(kept, None, feature, side) - _labels(kept, name, feature, side) for feature in (*spoilers, *targets)
        ]
        table = np.column_stack(differences)
        known &= ~np.isnan(table).any(axis=1)
        flips[side] = table[:, : len(spoilers)]
        changed |= (np.nan_to_num(table[:, len(spoilers) :]) != 0).any(axis=1)
    left_out = {"targets": [target.name for target in targets], "n_pairs_with_missing_labels": int((~known).sum())}
    if not (known & ~changed).any():
        return {**left_out, "status": "no pair has every label and its targets unchanged"}
    aligned = estimate.aligned_pairs(*_rewards(kept, None, model))
    after = estimate.aligned_pairs(*_rewards(kept, name, model))

    def fit(among: Literal["all", "aligned"]) -> dict[str, Any]:
        return estimate.alignment_robustness(
            aligned[known],
            after[known],
            flips["chosen"][known],
            flips["rejected"][known],
            [spoiler.name for spoiler in spoilers],
            groups=kept[schema.PROMPT_ID].to_numpy()[known],
            targets_changed=changed[known],
            among=among,
            min_flips=_FEWEST_FLIPS,
        ).to_dict()

    conditional: dict[str, Any] = {"status": "no pair was aligned before rewriting"}
    if (aligned & known & ~changed).any():
        conditional = fit("aligned")
    return {**left_out, **fit("all"), "among_aligned": conditional}


def _selection(part: pd.DataFrame, name: str, model: str, min_similarity: float) -> dict[str, Any]:
    """Selection bias of accepted rewrites: original rewards of accepted texts against the others."""
    rewards, kept, prompts = [], [], []
    for side in schema.SIDES:
        reward = part[schema.reward_column(model, side)].to_numpy(float)
        known = np.isfinite(reward) & (part[schema.rewrite_status_column(name, side)] != NOT_SAMPLED).to_numpy()
        rewards.append(reward[known])
        kept.append(_passes(part, name, side, min_similarity)[known])
        prompts.append(part.loc[known, schema.PROMPT_ID].to_numpy())
    if not sum(map(len, rewards)):
        return {"status": "no sampled text has a reward"}
    return estimate.rewrite_selection(
        np.concatenate(rewards), np.concatenate(kept), groups=np.concatenate(prompts)
    ).to_dict()


def _axis(frame: pd.DataFrame, name: str, models: Sequence[str]) -> dict[str, Any]:
    """RATE: rewrite each text to the attribute's other value and back."""
    back = schema.back(name)
    long = pd.concat([_texts_of(frame, name, side, models) for side in schema.SIDES], ignore_index=True)
    long = long[long["attribute"].notna()]
    for model in models:
        long = long[np.isfinite(long[f"original {model}"])]
    counts = {
        step: {str(reason): count for reason, count in Counter(long[f"status {step}"]).most_common()}
        for step in ("there", "back")
    }
    result: dict[str, Any] = {"feature": AXES[name].feature, "n_texts": len(long), "texts": counts, "models": {}}
    if not len(long):
        return {**result, "status": "no text has the attribute's label and a reward"}
    alike = long[["similarity there", "similarity back"]].to_numpy(float)
    result["mean_similarity"] = {
        step: None if np.isnan(column).all() else float(np.nanmean(column))
        for step, column in zip((name, back), alike.T, strict=True)
    }
    for model in models:
        result["models"][model] = estimate.treatment_effect(
            long[f"original {model}"].to_numpy(float),
            long[f"there {model}"].to_numpy(float),
            long[f"back {model}"].to_numpy(float),
            long["attribute"].astype(bool).to_numpy(),
            groups=long["prompt"].to_numpy(),
        ).to_dict()
    return {**result, "status": "ok"}


def _texts_of(frame: pd.DataFrame, name: str, side: schema.Side, models: Sequence[str]) -> pd.DataFrame:
    columns: Mapping[str, Any] = {
        "prompt": frame[schema.PROMPT_ID],
        "attribute": _column(frame, schema.attribute_column(name, side)),
    }
    table = pd.DataFrame(columns)
    for step, rewrites in (("there", name), ("back", schema.back(name))):
        table[f"status {step}"] = _column(frame, schema.rewrite_status_column(rewrites, side))
        table[f"similarity {step}"] = _column(frame, schema.rewrite_similarity_column(rewrites, side))
        for model in models:
            reward = schema.reward_column(model, side)
            rewritten = _column(frame, schema.rewritten_column(rewrites, reward)).to_numpy(float)
            table[f"{step} {model}"] = np.where(table[f"status {step}"] == "ok", rewritten, np.nan)
            table[f"original {model}"] = frame[reward].to_numpy(float)
    return table

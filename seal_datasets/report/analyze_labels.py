"""What an audit reports of labels: counts, reasons of missing ones, agreement with gold labels and calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.labels.design import Floats, numbers
from seal_datasets.labels.taxonomy import Feature


def analyze_labels(frame: pd.DataFrame, features: Sequence[Feature]) -> dict[str, Any]:
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
            "worth": _worth(frame, feature),
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


def _worth(frame: pd.DataFrame, feature: Feature) -> dict[str, Any] | None:
    """What a labeler's probabilities are worth against gold labels; `None` where there are none of both."""
    known = _probabilities(frame, feature)
    if known is None or not len(known[0]):
        return None
    given, gold, prompts = known
    return estimate.probability_worth(given, gold, groups=prompts).to_dict()


def _calibration(frame: pd.DataFrame, feature: Feature) -> dict[str, Any] | None:
    """Calibration of a labeler's probabilities against gold labels, and the error rates they imply."""
    fit = fitted_calibration(frame, feature)
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


def fitted_calibration(frame: pd.DataFrame, feature: Feature) -> estimate.Calibration | None:
    """Calibration of a labeler's probabilities on the texts with a gold label; `None` without such columns."""
    known = _probabilities(frame, feature)
    return None if known is None else estimate.calibrate_probabilities(known[0], known[1], groups=known[2])


def _probabilities(frame: pd.DataFrame, feature: Feature) -> tuple[Floats, Floats, NDArray[Any]] | None:
    """Probabilities, gold labels and prompts of the texts with both; `None` without such columns."""
    gold_columns = [schema.gold_column(feature.name, side) for side in schema.SIDES]
    columns = [schema.probability_column(feature.name, side) for side in schema.SIDES]
    if not all(column in frame for column in (*gold_columns, *columns)):
        return None
    gold = numbers(pd.concat([frame[column] for column in gold_columns]))
    given = numbers(pd.concat([frame[column] for column in columns]))
    both = ~(np.isnan(gold) | np.isnan(given))
    return given[both], gold[both], np.tile(frame[schema.PROMPT_ID].to_numpy(), 2)[both]

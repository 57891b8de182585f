"""What a report says of memory: every quantity on the pairs trained on, less the same on held-out pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from seal_datasets import estimate
from seal_datasets.report.audited_models import AuditedModels

_Found = tuple[tuple[str, str, str], float, tuple[float, float]]


def memorisation_gaps(report: Mapping[str, Any], models: AuditedModels) -> list[dict[str, Any]]:
    """Compare the results on the pairs trained on with those on held-out pairs.

    Args:
        report (`Mapping[str, Any]`): The results on held-out pairs, with those on the training part under `seen`.
        models (`AuditedModels`): The reward models.

    Returns:
        `list[dict[str, Any]]`: `model` (or comparison), `quantity`, `of` (regime or feature), and the fields of
            `MemorisationGap`, for every quantity that has a value on both.
    """
    seen = {key: (value, interval) for key, value, interval in _estimates(report["seen"], report, "train", models)}
    gaps = []
    for key, value, interval in _estimates(report, report, "heldout", models):
        if key in seen:
            gap = estimate.memorisation_gap(*seen[key], value, interval)
            gaps.append(dict(zip(("model", "quantity", "of"), key, strict=True)) | gap.to_dict())
    return gaps


def _estimates(
    found: Mapping[str, Any], report: Mapping[str, Any], part: str, models: AuditedModels
) -> Iterator[_Found]:
    """Model, quantity and subject, estimate and interval of all that has a value on a part."""
    for model in models.audited:
        resistance = report["models"][model]["resistance"][part]
        yield from _found((model, "resistance", ""), resistance, "alignment_resistance")
    for name, comparison in found["comparisons"].items():
        for regime, row in report["comparisons"][name]["regimes"][part].items():
            yield from _found((name, "regime", regime), row, "share")
        yield from _found((name, "change of margin", ""), comparison["shift"]["all"]["margin"], "mean")
        yield from _agreements(name, comparison)
    for model in models.audited:
        if not models.comparisons:
            yield from _agreements(model, found["models"][model])
        for row in _standardised(found["imprint"], model):
            yield from _found((model, "imprint", row["feature"]), row, "estimate")
        for row in found["models"][model]["drivers"].get("drivers", ()):
            yield from _found((model, "driver", f"{row['feature']}, {row['side']}"), row, "coefficient")


def _agreements(name: str, found: Mapping[str, Any]) -> Iterator[_Found]:
    for regime, row in found["labeler_agreement"].get("regimes", {}).items():
        yield from _found((name, "labeler agreement", regime), row, "agreement_rate")


def _standardised(imprint: Mapping[str, Any], model: str) -> list[Mapping[str, Any]]:
    """Standardised imprints of a model; of a feature in both designs, the first."""
    rows: dict[str, Mapping[str, Any]] = {}
    for design in imprint.values():
        for row in design.get("standardised", {}).get("sd", {}).get("models", {}).get(model, ()):
            rows.setdefault(row["feature"], row)
    return list(rows.values())


def _found(key: tuple[str, str, str], entry: Mapping[str, Any], value: str) -> Iterator[_Found]:
    if entry[value] is not None:
        low, high = (math.nan if bound is None else bound for bound in entry["confidence_interval"])
        yield key, entry[value], (low, high)

"""What a report says of memory: every quantity on the pairs trained on, less the same on held-out pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from seal_datasets import estimate

_Found = tuple[tuple[str, str], float, tuple[float, float]]


def memorisation_gaps(
    train: Mapping[str, Any], heldout: Mapping[str, Any], resistance: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Compare the results on the pairs trained on with those on held-out pairs.

    Args:
        train (`Mapping[str, Any]`): From `analyze_part`, on the pairs that the post-training model was trained on.
        heldout (`Mapping[str, Any]`): The same on held-out pairs.
        resistance (`Mapping[str, Any]`): Resistance of the parts `train` and `heldout`.

    Returns:
        `list[dict[str, Any]]`: `quantity`, `of` (regime or feature), and the fields of `MemorisationGap`, for every quantity
            that has a value on both.
    """
    seen = {key: (value, interval) for key, value, interval in _estimates(train, resistance["train"])}
    gaps = []
    for key, value, interval in _estimates(heldout, resistance["heldout"]):
        if key in seen:
            gap = estimate.memorisation_gap(*seen[key], value, interval)
            gaps.append({"quantity": key[0], "of": key[1], **gap.to_dict()})
    return gaps


def _estimates(results: Mapping[str, Any], resistance: Mapping[str, Any]) -> Iterator[_Found]:
    """Quantity and subject, estimate and interval of all that has a value."""
    yield from _found("resistance", "", resistance, "alignment_resistance")
    for name, regime in resistance["regimes"].items():
        yield from _found("regime", name, regime, "share")
    yield from _found("change of margin", "", results["shift"]["all"]["margin"], "mean")
    for name, regime in results["labeler_agreement"].get("regimes", {}).items():
        yield from _found("labeler agreement", name, regime, "agreement_rate")
    for row in _standardised(results["imprint"]):
        yield from _found("imprint", row["feature"], row, "estimate")
    for row in results["drivers"].get("drivers", ()):
        yield from _found("driver", f"{row['feature']}, {row['side']}", row, "coefficient")


def _standardised(imprint: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Standardised imprints of the post-training model; of a feature in both designs, the first."""
    rows: dict[str, Mapping[str, Any]] = {}
    for design in imprint.values():
        for row in design.get("standardised", {}).get("sd", {}).get("models", {}).get("post", ()):
            rows.setdefault(row["feature"], row)
    return list(rows.values())


def _found(quantity: str, of: str, entry: Mapping[str, Any], key: str) -> Iterator[_Found]:
    if entry[key] is not None:
        low, high = (math.nan if bound is None else bound for bound in entry["confidence_interval"])
        yield (quantity, of), entry[key], (low, high)

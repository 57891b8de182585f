"""What the log of a training says of one evaluation: the quantities of an audit, as numbers by key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal_datasets import estimate
from seal_datasets.labels.design import Design, Floats
from seal_datasets.report.analyze_part import MIN_DISCORDANT, MIN_INFORMATION

_MODEL = "model"

Interval = tuple[float, float]
_Row = tuple[str, str, float, Interval, str]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scored pairs of one part.

    Attributes:
        chosen (`ndarray` of shape (n,)): Rewards of the chosen responses, nan where there is none.
        rejected (`ndarray` of shape (n,)): Rewards of the rejected responses.
        prompts (`ndarray` of shape (n,)): Prompt of each pair, as a number.
        features (`Design`): Features of the responses.
    """

    chosen: Floats
    rejected: Floats
    prompts: NDArray[Any]
    features: Design

    def at(self, rows: NDArray[np.bool_]) -> Scores:
        """Some of the pairs."""
        return Scores(self.chosen[rows], self.rejected[rows], self.prompts[rows], self.features.at(rows))

    @property
    def finite(self) -> Scores:
        """The pairs with both rewards."""
        return self.at(np.isfinite(self.chosen) & np.isfinite(self.rejected))


def training_quantities(parts: Mapping[str, Scores]) -> tuple[dict[str, float], list[str]]:
    """Estimate what an audit would report of these pairs.

    Args:
        parts (`Mapping[str, Scores]`): `heldout`, and `seen` where pairs that are trained on were scored.

    Returns:
        `tuple[dict[str, float], list[str]]`: Numbers by key; those that are not defined are left out, with the reasons.

    Example: the model prefers what people chose on two of three held-out pairs.

    ```python
    >>> empty = Design((), np.empty((3, 0)), np.empty((3, 0)))
    >>> values, _ = training_quantities({"heldout": Scores(np.ones(3), np.array([0, 0, 2.0]), np.arange(3), empty)})
    >>> round(values["resistance"], 3), values["n_pairs"]
    (0.333, 3.0)

    ```
    """
    scored = {name: scores.finite for name, scores in parts.items()}
    values = {f"n_pairs{_suffix(name)}": float(len(scores.chosen)) for name, scores in scored.items()}
    lost = [
        f"{len(parts[name].chosen) - len(scores.chosen):,} of the {len(parts[name].chosen):,} {name} pairs have no reward"
        for name, scores in scored.items()
        if len(scores.chosen) < len(parts[name].chosen)
    ]
    found = {
        name: estimate.alignment_resistance(scores.chosen, scores.rejected, groups=scores.prompts)
        for name, scores in scored.items()
        if len(scores.chosen)
    }
    for name, each in found.items():
        values |= _with_interval(f"resistance{_suffix(name)}", each.alignment_resistance, each.confidence_interval)
    if {"heldout", "seen"} <= found.keys():
        sides = [(found[name].alignment_resistance, found[name].confidence_interval) for name in ("seen", "heldout")]
        gap = estimate.memorisation_gap(*sides[0], *sides[1])
        values |= _with_interval("memorisation_gap", gap.gap, gap.confidence_interval)
    reasons = []
    if "heldout" in found:
        for quantity, feature, value, interval, status in _of_features(scored["heldout"]):
            values |= _with_interval(quantity, value, interval, feature)
            if math.isnan(value):
                reasons.append(f"no {quantity} of {feature} on the held-out pairs: {status}")
    return values, [*lost, *reasons]


def _of_features(scores: Scores) -> Iterator[_Row]:
    """Imprints and amplification of every feature, on the pairs with every value."""
    scores = scores.at(scores.features.complete)
    names = scores.features.names
    if not names or not len(scores.chosen):
        return
    features = (scores.features.chosen, scores.features.rejected, names)
    imprints = estimate.standardised_imprint(
        {_MODEL: scores.chosen},
        {_MODEL: scores.rejected},
        *features,
        groups=scores.prompts,
        min_information=MIN_INFORMATION,
    )
    for imprint in imprints.models[_MODEL]:
        yield "imprint", imprint.feature, imprint.estimate, imprint.confidence_interval, imprint.status
    amplified = estimate.amplification(
        scores.chosen, scores.rejected, *features, groups=scores.prompts, min_discordant=MIN_DISCORDANT
    )
    for row in amplified.features:
        yield "amplification", row.feature, row.amplification, row.confidence_interval, row.status


def _with_interval(name: str, value: float, interval: Interval, feature: str | None = None) -> dict[str, float]:
    """A number and its bounds by key, those that are defined."""
    of = f"/{feature}" if feature else ""
    numbers = {f"{name}{of}": value, f"{name}_low{of}": interval[0], f"{name}_high{of}": interval[1]}
    return {key: float(number) for key, number in numbers.items() if not math.isnan(number)}


def _suffix(part: str) -> str:
    return "" if part == "heldout" else f"_{part}"

"""Pictures of what moved: angles of the reward shift (Figure 2), and whether the labeler agrees with people (Figure 16)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from seal_datasets import schema
from seal_datasets.cards import format_number, format_percent
from seal_datasets.estimate import reward_shift_angles
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.claims import is_found
from seal_datasets.report.page import charts, spread_charts
from seal_datasets.report.page.figure import Figure
from seal_datasets.theme import CHOSEN, MODEL, REGIMES, REJECTED

_BINS = 36


def angles_figure(report: Mapping[str, Any], used: pd.DataFrame) -> Figure | None:
    """Reward shift of each pair in degrees, counted in bins (after Figure 2, right)."""
    models = models_of(report["run"])
    if not models.comparisons:
        return None
    comparison, (earlier, later) = list(models.comparisons.items())[-1]
    part = used
    if report["population"]["estimated_on"] == "heldout" and schema.PARTITION in used:
        part = used[used[schema.PARTITION] == "heldout"]
    sides = [
        part[schema.reward_column(name, side)].to_numpy(float) for name in (earlier, later) for side in schema.SIDES
    ]
    angles = reward_shift_angles(*sides)
    counts, edges = np.histogram(angles[np.isfinite(angles)], bins=_BINS, range=(-180, 180))
    if not counts.any():
        return None
    rows = [
        {"low": float(low), "high": float(high), "n": int(n), "told": f"{low:.0f}° to {high:.0f}°: {n:,} pairs"}
        for low, high, n in zip(edges, edges[1:], counts, strict=False)
    ]
    found = report["comparisons"][comparison]["shift"]["all"]
    mean, (low, high) = found["mean_degrees"], found["confidence_interval"]
    warning = f" {found['warning']}" if found.get("warning") else ""
    return Figure(
        "shift_angles",
        f"Reward shift from {earlier} to {later}"
        + ("" if mean is None else f": {format_number(mean, 1)}° in the mean"),
        "The angle by which a pair's rewards (chosen, rejected) turn between the models (Eq. 2). A positive angle turns "
        "towards the chosen response where rewards are near the diagonal. The green line is the mean.",
        f"{int(counts.sum()):,} pairs. Mean {format_number(mean, 1)}° "
        f"({format_number(low, 1)}° to {format_number(high, 1)}°, 95 % by prompt).{warning}",
        [{key: row[key] for key in ("low", "high", "n")} for row in rows],
        lambda width: spread_charts.histogram(rows, width, axis="reward shift, in degrees", mean=mean),
    )


def agreement_figure(report: Mapping[str, Any]) -> Figure | None:
    """How often the labeler prefers what people chose, by regime or alignment (after Table 1 and Figure 16)."""
    models = models_of(report["run"])
    if models.comparisons:
        found = report["comparisons"][list(models.comparisons)[-1]]["labeler_agreement"]
    else:
        found = report["models"][models.last].get("labeler_agreement", {})
    rows = []
    for regime, entry in found.get("regimes", {}).items():
        if not entry["n"] or entry["agreement_rate"] is None:
            continue
        low, high = entry["confidence_interval"]
        words = regime.replace("_", " ")
        rows.append(
            {
                **{
                    "label": f"{words} (n\u00a0{entry['n']:,})",
                    "value": entry["agreement_rate"],
                    "low": low,
                    "high": high,
                },
                **{"found": True, "color": _COLORS.get(regime, MODEL), "regime": regime, "n": entry["n"]},
                "told": f"{words}: {format_percent(entry['agreement_rate'])} of {entry['n']:,} pairs",
            }
        )
    if not rows:
        return None
    joint: Mapping[str, Any] = next(
        (test for test in found.get("tests", ()) if test["difference"] is None or len(found["tests"]) == 1), {}
    )
    # One test stands for all parts: of every regime together, or of aligned against resistant pairs.
    parts = "regimes" if models.comparisons else "aligned and resistant pairs"
    preference = found["preference"]
    return Figure(
        "labeler_agreement",
        f"How often the labeler sides with people differs between {parts}"
        if is_found(joint)
        else f"No difference between {parts} is found in how often the labeler sides with people",
        "Share of pairs in which the labels of the targets prefer the response that people chose. Where it is low on resistant "
        "pairs, labeler and model share a view that people do not.",
        f"Of pairs on which the labeler has a preference; it has none on {preference['indifferent']:,}. Labels as they are. "
        f"95 % intervals by prompt; one test of all parts, q {_q(joint.get('q_value'))}.",
        [{key: row[key] for key in ("regime", "value", "low", "high", "n")} for row in rows],
        lambda width: charts.dots(rows, width, axis="labeler prefers the chosen response", zero=0.5, percent=True),
    )


def _q(value: float | None) -> str:
    return "below 0.001" if value is not None and value < 0.001 else format_number(value, 3)


_COLORS = {**REGIMES, "aligned": CHOSEN, "misaligned": REJECTED}

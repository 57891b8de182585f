"""What one feature alone scores on the pairs of a report, beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seal_datasets.cards import format_percent, format_points
from seal_datasets.report.claims import is_found
from seal_datasets.report.page import charts
from seal_datasets.report.page.figure import Figure, feature_title
from seal_datasets.theme import MODEL, SOFT


def rulers_figure(report: Mapping[str, Any], model: str) -> Figure | None:
    """Accuracy of each surface feature as the only judge, below the model's."""
    found = report["models"][model].get("rulers", {})
    rows = [row for row in found.get("rulers", ()) if row["status"] == "ok" and row["accuracy"] is not None]
    if not rows:
        return None
    low, high = found["confidence_interval"]
    shown = [
        {
            **{"label": model, "value": found["accuracy"], "low": low, "high": high, "found": True, "color": MODEL},
            "told": f"{model}: {format_percent(found['accuracy'])} of {found['n_pairs']:,} pairs",
            "numbers": {"judge": model, "prefers": "", "accuracy": found["accuracy"], "low": low, "high": high},
        }
    ]
    for row in sorted(rows, key=lambda row: -row["accuracy"]):
        low, high = row["confidence_interval"]
        label = f"{row['prefers']} {feature_title(row['feature'])}"
        shown.append(
            {
                "label": label,
                "value": row["accuracy"],
                "low": low,
                "high": high,
                "found": is_found(row),
                "color": SOFT,
                "told": f"{label}: {format_percent(row['accuracy'])}, the model {format_points(row['difference'])} points more",
                "numbers": {
                    "judge": row["feature"],
                    "prefers": row["prefers"],
                    "accuracy": row["accuracy"],
                    "low": low,
                    "high": high,
                },
            }
        )
    return Figure(
        f"rulers_{model}",
        _title(found["best"], model),
        "How often the chosen response is found by the model, and by always preferring more, or less, of one feature. A tie "
        "counts half. Filled grey: differs from the model, q below 0.05.",
        f"{found['n_pairs']:,} pairs. A ruler prefers what is right more often on these pairs. 95 % intervals by prompt.",
        [row["numbers"] for row in shown],
        lambda width: charts.dots(shown, width, axis="finds the chosen response", zero=0.5, percent=True),
    )


def _title(best: Mapping[str, Any] | None, model: str) -> str:
    if best is None or not is_found(best):
        return f"{model} is not found to be better than the best single feature, nor worse"
    if best["difference"] > 0:
        return f"{model} is better than any single surface feature"
    return f"{feature_title(best['feature'])} alone is better than {model}"

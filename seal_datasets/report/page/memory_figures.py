"""Pictures of memory: what the pairs trained on show beyond held-out ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seal_datasets.cards import format_number, format_points
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.page import charts
from seal_datasets.report.page.figure import Figure, feature_title
from seal_datasets.theme import MODEL

_SHARES = {"resistance": "resistance", "regime": "{}", "labeler agreement": "labeler agrees: {}"}


def memory_figures(report: Mapping[str, Any]) -> list[Figure]:
    """Gaps of shares, and of imprints, between pairs trained on and held-out ones.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `list[Figure]`: Of the last model; none where no pairs are known to be trained on.
    """
    models = models_of(report["run"])
    subjects = {models.last, list(models.comparisons)[-1]} if models.comparisons else {models.last}
    gaps = [row for row in report.get("memory", ()) if row["model"] in subjects and row["gap"] is not None]
    shares = [_row(row, 100) for row in gaps if row["quantity"] in _SHARES]
    imprints = [_row(row, 1) for row in gaps if row["quantity"] == "imprint"]
    made = (
        ("memory", "Shares of pairs trained on, less those of held-out pairs", shares, "difference, in points"),
        (
            "memory_imprint",
            "Imprints on pairs trained on, less those on held-out pairs",
            imprints,
            "difference, in SD of reward",
        ),
    )
    return [_figure(name, title, rows, axis) for name, title, rows, axis in made if rows]


def _figure(name: str, title: str, rows: list[dict[str, Any]], axis: str) -> Figure:
    rows = rows if name == "memory" else sorted(rows, key=lambda row: -row["value"])
    return Figure(
        name,
        title,
        "Right of 0 a number is larger on pairs that the model was trained on. Far from 0, those pairs do not tell what the "
        "model does with new prompts.",
        "95 % intervals by prompt. Nothing is tested here, so no dot is filled.",
        [row["numbers"] for row in rows],
        lambda width: charts.dots(rows, width, axis=axis),
    )


def _row(row: Mapping[str, Any], scale: float) -> dict[str, Any]:
    label = _SHARES.get(row["quantity"], "{}").format(row["of"].replace("_", " "))
    if row["quantity"] == "imprint":
        label = feature_title(row["of"])
    gap = (
        f"{format_points(row['gap'])} points"
        if scale == 100
        else f"{format_number(row['gap'], signed=True)} SD of reward"
    )
    low, high = (None if bound is None else scale * bound for bound in row["confidence_interval"])
    return {
        **{"label": label, "value": scale * row["gap"], "low": low, "high": high, "color": MODEL},
        "found": False,
        "told": f"{label}: {gap}",
        "numbers": {
            **{key: row[key] for key in ("quantity", "of", "train", "heldout", "gap")},
            **{"low": row["confidence_interval"][0], "high": row["confidence_interval"][1]},
        },
    }

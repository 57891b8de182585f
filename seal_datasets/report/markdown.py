"""A report as Markdown: the fields that its templates in `hub_cards/` name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seal_datasets.cards import render_card
from seal_datasets.report.headline import has_weak_labeler, headline

_REGIMES = {
    "became_aligned": "Became aligned",
    "stayed_aligned": "Stayed aligned",
    "stayed_misaligned": "Stayed misaligned",
    "reversed_alignment": "Reversed alignment",
}
_SCORING_STATUSES = {
    "ok": "whole",
    "truncated": "start of prompt dropped",
    "merged": "turns merged for the chat template",
    "too_long": "too long",
    "no_text": "no text",
    "not_finite": "no number",
    "template_refused": "refused by the chat template",
    "template_failed": "the chat template broke",
    "given": "given by the table",
    "not_given": "no score in the table",
}


def render_markdown(report: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """Render the report as Markdown, without any text of the dataset.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.
        figures (`Mapping[str, str]`): File name to caption.

    Returns:
        `str`: The document.
    """
    return render_card("report.md", **report_fields(report, figures))


def report_fields(
    report: Mapping[str, Any], figures: Mapping[str, str], *, figures_at: str = "figures/"
) -> dict[str, Any]:
    """Fields of every template that shows sections of a report.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.
        figures (`Mapping[str, str]`): File name to caption.
        figures_at (`str`, defaults to `"figures/"`): Folder or address of the figures, with its last slash.

    Returns:
        `dict[str, Any]`: Field name to value.
    """
    run = report["run"]
    counted = {status for counts in run["scoring"].values() for status in counts}
    return {
        "report": report,
        "headline": headline(report),
        "figures": figures,
        "figures_at": figures_at,
        "regime_titles": _REGIMES,
        "statuses": {status: title for status, title in _SCORING_STATUSES.items() if status in counted},
        "weak_labeler": has_weak_labeler(report),
        "gold": {name: entry["gold"] for name, entry in report["labels"].items() if entry["gold"]},
        "has_doctor": bool(run.get("doctor") or run.get("tie_band")),
    }

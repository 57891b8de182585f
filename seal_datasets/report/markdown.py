"""A report as Markdown: two screens that point to the rest, and the fields that templates in `hub_cards/` name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from seal_datasets.cards import render_card
from seal_datasets.escape import escape_markdown, one_line
from seal_datasets.report import summary
from seal_datasets.report.headline import correction_lines, has_weak_labeler, headline, missing_labels
from seal_datasets.report.page.advice import what_to_do
from seal_datasets.report.page.heading import byline_of, title_of
from seal_datasets.report.page.verdict import verdict
from seal_datasets.report.tables import tables_of

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


def render_markdown(report: Mapping[str, Any], figures: Mapping[str, str], *, page: str | None = None) -> str:
    """Render a report as Markdown of two screens, without any text of the dataset.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.
        figures (`Mapping[str, str]`): File name to caption.
        page (`str`, *optional*): Address of the page; none where it is not beside the report.

    Returns:
        `str`: The document.
    """
    found = verdict(report)
    labels, more_labels = summary.label_rows(report)
    return render_card(
        "report.md",
        **report_fields(report, figures),
        title=title_of(report),
        byline=byline_of(report),
        verdict=[prose(sentence.text, sentence.strong) for sentence in found],
        rests_on=[prose(text) for text in dict.fromkeys(each.rests_on for each in found if each.rests_on)],
        # The words of the page, which counts pairs by feature too.
        steps=[(prose(text), state) for text, state in what_to_do(report, {})],
        missing=missing_labels((report["run"]["labeler"] or {}).get("labels")),
        correction=[prose(line) for line in correction_lines(report)],
        page=page,
        models=summary.resistance_rows(report),
        rewarded=summary.rewarded(report),
        label_rows=labels,
        more_labels=more_labels,
        findings=[(section, prose(text), prose(note)) for section, text, note in summary.findings(report)],
        tables=[table.name for table in tables_of(report)],
    )


def prose(text: str, strong: str = "") -> Markup:
    r"""A sentence as Markdown, with its `code` left as code and a part in bold; everything else in it is inert.

    Example:

    ```python
    >>> print(prose("*x* is in 61 % of `a*b*`", "61 %"))
    \*x\* is in **61 %** of `a*b*`

    ```
    """
    before, bold, after = text.partition(strong) if strong else (text, "", "")
    parts = [_spans(before), _spans(bold), _spans(after)]
    return Markup(f"{parts[0]}**{parts[1]}**{parts[2]}" if bold else parts[0])


def _spans(text: str) -> str:
    """A text with its code spans; a full stop before each part keeps marks that act at the start of a line as they are."""
    parts = text.split("`")
    shown = [
        f"`{one_line(part)}`" if place % 2 and place < len(parts) - 1 else escape_markdown(f".{part}", names=True)[1:]
        for place, part in enumerate(parts)
        if part
    ]
    return "".join(shown)


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
        "fold": summary.fold,
        "has_doctor": bool(run.get("doctor") or run.get("tie_band")),
    }

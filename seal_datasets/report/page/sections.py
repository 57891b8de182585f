"""The sections of a report's page, in the order of its story: pictures, tables, or one sentence on why there is nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from seal_datasets.cards import format_percent, render_card
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.markdown import report_fields
from seal_datasets.report.page import (
    feature_figures,
    label_figures,
    memory_figures,
    pair_figures,
    rewrite_figures,
    ruler_figures,
    shift_figures,
)
from seal_datasets.report.page.figure import Figure

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page.

    Attributes:
        id (`str`): Its address in the page.
        short (`str`): Its name in the list of sections.
        title (`str`): Its heading: a finding where there is one.
        figures (`Sequence[Figure]`): Pictures.
        body (`Markup`): Tables, as HTML.
        open (`bool`): Whether `body` is shown at once.
        empty (`str`): Why there is nothing, and what would fill it.
    """

    id: str
    short: str
    title: str
    figures: Sequence[Figure] = field(default=())
    body: Markup = Markup("")  # noqa: RUF009 - immutable
    open: bool = False
    empty: str = ""


def sections_of(report: Mapping[str, Any], used: pd.DataFrame) -> list[Section]:
    """Make the sections of a report's page.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.
        used (`pandas.DataFrame`): From `used_pairs`.

    Returns:
        `list[Section]`: All of them, in order; the reader of pairs is the one with the id `pairs`.
    """
    fields = report_fields(report, {})
    last = models_of(report["run"]).last

    def tables(*parts: str) -> Markup:
        return Markup("").join(to_html(render_card("page_part.md", part=part, **fields)) for part in parts)

    alignment = _present(
        pair_figures.alignment_figure(report), pair_figures.ranking_figure(report), pair_figures.regime_figure(report)
    )
    rewarded = _present(
        feature_figures.amplification_figure(report, last), feature_figures.imprint_figure(report, last)
    )
    surface = _present(feature_figures.surface_figure(report, last), ruler_figures.rulers_figure(report, last))
    margins = _present(pair_figures.map_figure(used, last), pair_figures.calibration_figure(report, last))
    shift = _present(
        pair_figures.shift_figure(report),
        shift_figures.angles_figure(report, used),
        shift_figures.agreement_figure(report),
    )
    drivers = _present(feature_figures.drivers_figure(report, last))
    labels = _present(
        feature_figures.labels_figure(report),
        label_figures.worth_figure(report),
        label_figures.occurrence_figure(report),
        label_figures.error_curve_figure(report, last),
    )
    correction = ["correction"] if report.get("correction") and report["run"]["labeler"] else []
    return [
        Section("audited", "Audited", "Who was audited", body=_audited(fields), open=True),
        Section(
            "alignment",
            "Alignment",
            _title(alignment, "Alignment"),
            alignment,
            tables("resistance", "regimes") + _by_source(report, fields),
        ),
        Section(
            "rewarded",
            "Rewarded",
            _title(rewarded, "What is rewarded"),
            rewarded,
            tables("family", "imprint", "amplification"),
        ),
        Section("pairs", "Pairs", "Read the pairs"),
        _memory(report, tables),
        Section("surface", "Surface", _title(surface, "Surface features"), surface, tables("congruence")),
        Section("margins", "Margins", _title(margins[1:] or margins, "Margins"), margins, tables("reward_calibration")),
        _shift(report, shift, tables),
        Section("drivers", "Drivers", _title(drivers, "Drivers of alignment"), drivers, tables("drivers")),
        _robustness(report, fields),
        Section("labels", "Labels", _title(labels, "Labels"), labels, tables("labels", *correction)),
        _balance(report),
        _doctor(report, fields, tables),
        Section("how", "How", "How this was made", body=tables("data", "provenance") + _methods(), open=True),
    ]


def _present(*figures: Figure | None) -> list[Figure]:
    return [figure for figure in figures if figure is not None]


def _title(figures: Sequence[Figure], otherwise: str) -> str:
    return figures[0].title if figures else otherwise


def to_html(markdown: str) -> Markup:
    """Markdown as HTML; what looks like HTML in it stays text."""
    return Markup(_MARKDOWN.render(markdown))


def _by_source(report: Mapping[str, Any], fields: Mapping[str, Any]) -> Markup:
    """Tables of sources whose rows have subsets, or several responses."""
    parts = (("responses", "report_responses.md"), ("groups", "report_groups.md"))
    return Markup("").join(to_html(render_card(template, **fields)) for name, template in parts if name in report)


def _memory(report: Mapping[str, Any], tables: Any) -> Section:  # noqa: ANN401 - a function
    if not report.get("memory"):
        why = (
            "This audit does not know which pairs the models were trained on, so nothing tells what is memory. A column "
            "`partition` (train or heldout) would."
        )
        return Section("memory", "Memory", "Held-out pairs against pairs trained on", empty=why)
    last = models_of(report["run"]).last
    # What is shown, of one quantity: how many of many intervals exclude 0 is no finding.
    title = next(
        (
            f"{last} resists {format_percent(row['train'])} of pairs trained on, and {format_percent(row['heldout'])} of "
            "held-out ones"
            for row in report["memory"]
            if row["quantity"] == "resistance" and row["model"] == last
        ),
        "Held-out pairs against pairs trained on",
    )
    return Section("memory", "Memory", title, memory_figures.memory_figures(report), tables("memory"))


def _balance(report: Mapping[str, Any]) -> Section:
    figures = _present(label_figures.balance_figure(report))
    title = _title(figures, "Balance of features between both sides")
    why = (
        ""
        if figures
        else "No feature differs in ten pairs or more of two prompts or more. More pairs, or features of more kinds, fill this."
    )
    return Section("balance", "Balance", title, figures, empty=why)


def _shift(report: Mapping[str, Any], figures: Sequence[Figure], tables: Any) -> Section:  # noqa: ANN401 - a function
    if not report["comparisons"]:
        why = "One model has nothing to move from. `--baseline` with a second `--model` shows how rewards shifted."
        return Section("shift", "Shift", "Reward shift", empty=why)
    return Section("shift", "Shift", _title(figures, "Reward shift"), figures, tables("shift"))


def _robustness(report: Mapping[str, Any], fields: Mapping[str, Any]) -> Section:
    if "rewrites" not in report:
        why = "No rewrites in this audit. The same command with `--rewrite-share 0.01` and a `--rewriter` adds them."
        return Section("robustness", "Robustness", "Robustness to rewriting", empty=why)
    body = to_html(render_card("page_rewrites.md", **fields))
    figures = rewrite_figures.rewrite_figures(report)
    return Section("robustness", "Robustness", _title(figures, "Robustness to rewriting"), figures, body)


def _doctor(report: Mapping[str, Any], fields: Mapping[str, Any], tables: Any) -> Section:  # noqa: ANN401 - a function
    examined = report["run"].get("doctor") or {}
    if not fields["has_doctor"]:
        why = "The models' scores were not examined. `--doctor` does so, with the audit or alone: `seal doctor MODEL`."
        return Section("doctor", "Doctor", "Are the scores right?", empty=why)
    failed = [name for name, each in examined.items() if each["failed"]]
    title = f"Checks of the scores failed: {', '.join(failed)}" if failed else "No check of the scores failed"
    if not examined:
        title = "The scores were not examined; a tie band is given"
    return Section("doctor", "Doctor", title, body=tables("doctor"), open=bool(failed))


def _audited(fields: Mapping[str, Any]) -> Markup:
    return to_html(render_card("page_audited.md", **fields))


def _methods() -> Markup:
    return to_html(render_card("page_methods.md"))

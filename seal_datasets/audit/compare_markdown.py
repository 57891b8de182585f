"""A comparison of audits as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from seal_datasets.cards import escape_markdown
from seal_datasets.report.tables import format_number, is_significant, markdown_table

_EXPLAINED = (
    "Resistance and robustness are in percent and percentage points. Imprints are standard deviations of reward for each "
    "standard deviation of a feature, both within prompts, so that models with other units compare. In parentheses: 95 % "
    "intervals, not adjusted; a star marks p < 0.05 after Holm's adjustment over all differences of a quantity."
)
_EXPLAINED_JOINT = " Cochran's Q tests that all audits are equal; its p-values are not adjusted."


def render_comparison(result: Mapping[str, Any]) -> str:
    """Render a comparison as Markdown, every outside string escaped.

    Args:
        result (`Mapping[str, Any]`): From `compare_audits`.

    Returns:
        `str`: A table with a row for each quantity, what was audited, and notes.
    """
    names = [audit["name"] for audit in result["audits"]]
    twos = list(combinations(names, 2))
    differences = {(row["quantity"], row["of"], row["earlier"], row["later"]): row for row in result["differences"]}
    joint = {(row["quantity"], row["of"]): row for row in result["joint"]}
    header = ["", *names, *(f"{later} − {earlier}" for earlier, later in twos), *(["all equal"] if joint else [])]
    rows = []
    for row in result["estimates"]:
        quantity, of = row["quantity"], row["of"]
        cells = [escape_markdown(_title(row)), *(_format_value(row["by_audit"].get(name), quantity) for name in names)]
        cells += [_format_difference(differences.get((quantity, of, *two)), quantity) for two in twos]
        rows.append([*cells, _format_test(joint.get((quantity, of)))] if joint else cells)
    table = markdown_table([escape_markdown(cell) for cell in header], rows)
    about = "\n".join(
        f"- {escape_markdown(audit['name'])}: {escape_markdown(audit['post'])} on {escape_markdown(audit['source'])}, "
        f"{audit['n_pairs']:,} pairs, {audit['n_prompts']:,} prompts"
        for audit in result["audits"]
    )
    notes = "\n".join(f"- {escape_markdown(note)}" for note in result["notes"])
    explained = _EXPLAINED + (_EXPLAINED_JOINT if joint else "")
    return f"# Audits compared\n\n{table}\n\n{explained}\n\n{about}\n\n{notes}\n"


def _title(row: Mapping[str, Any]) -> str:
    titles = {"resistance": "alignment resistance", "robustness": f"change of alignment by rewriting, {row['of']}"}
    return titles.get(row["quantity"], f"imprint of {row['of']}")


def _format_value(estimate: Mapping[str, Any] | None, quantity: str) -> str:
    if estimate is None:
        return "–"
    return _format_cell(
        estimate["estimate"], estimate["confidence_interval"], quantity, signed=quantity != "resistance"
    )


def _format_difference(difference: Mapping[str, Any] | None, quantity: str) -> str:
    if difference is None:
        return "–"
    cell = _format_cell(difference["difference"], difference["confidence_interval"], quantity, signed=True)
    return cell + ("\\*" if is_significant(difference) else "")


def _format_test(test: Mapping[str, Any] | None) -> str:
    if test is None:
        return "–"
    p = "p < 0.001" if test["p_value"] < 0.001 else f"p = {format_number(test['p_value'], 3)}"
    return f"Q = {format_number(test['statistic'], 1)}, df {test['degrees_of_freedom']}, {p}"


def _format_cell(value: float | None, interval: Sequence[float | None], quantity: str, *, signed: bool) -> str:
    """A value and its interval: imprints in standard deviations, shares in percent."""
    if value is None:
        return "–"
    scale, digits = (1.0, 2) if quantity == "imprint" else (100.0, 1)
    centre = f"{scale * value:+.{digits}f}" if signed else format_number(scale * value, digits)
    low, high = interval
    if low is None or high is None:
        return centre
    return f"{centre} ({format_number(scale * low, digits)} to {format_number(scale * high, digits)})"

"""Render a comparison of audits as Markdown: the cells of `hub_cards/comparison.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seal_datasets.cards import format_number, is_significant, render_card


def render_comparison(result: Mapping[str, Any]) -> str:
    """Render a comparison as Markdown, with all external strings escaped.

    Args:
        result (`Mapping[str, Any]`): From `compare_audits`.

    Returns:
        `str`: A table with one row per quantity, the audited data and models, and notes.
    """
    return render_card("comparison.md", **comparison_fields(result))


def comparison_fields(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the templates of a comparison show."""
    names = [model["name"] for model in result["models"]]
    twos = list(dict.fromkeys((row["earlier"], row["later"]) for row in result["differences"]))
    differences = {(row["quantity"], row["of"], row["earlier"], row["later"]): row for row in result["differences"]}
    joint = {(row["quantity"], row["of"]): row for row in result["joint"]}
    rows = []
    for row in result["estimates"]:
        quantity, of = row["quantity"], row["of"]
        cells = [_format_value(row["by_model"].get(name), quantity) for name in names]
        cells += [_format_difference(differences.get((quantity, of, *two)), quantity) for two in twos]
        cells += [_format_test(joint.get((quantity, of))), _format_mean(joint.get((quantity, of)))] if joint else []
        rows.append({"title": _title(row), "cells": cells})
    return {
        "header": [
            "",
            *names,
            *(f"{later} − {earlier}" for earlier, later in twos),
            *(["all equal", "one more audit"] if joint else []),
        ],
        "rows": rows,
        "joint": bool(joint),
        "models": result["models"],
        "notes": result["notes"],
    }


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


def _format_mean(test: Mapping[str, Any] | None) -> str:
    """Mean of the audits, and the prediction interval of one more."""
    if test is None:
        return "–"
    found = test["random_effects"]
    signed = test["quantity"] != "resistance"
    return _format_cell(found["estimate"], found["prediction_interval"], test["quantity"], signed=signed)


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

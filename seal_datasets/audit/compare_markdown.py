"""A comparison of audits as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from seal_datasets.cards import escape_markdown


def render_comparison(result: Mapping[str, Any]) -> str:
    """Lay a comparison out as Markdown, every outside string escaped.

    Args:
        result (`Mapping[str, Any]`): From `compare_audits`.

    Returns:
        `str`: A table with a row for each quantity, what was audited, and notes.
    """
    names = [audit["name"] for audit in result["audits"]]
    twos = list(combinations(names, 2))
    joint = {(each["quantity"], each["of"]): each for each in result["joint"]}
    header = ["", *names, *(f"{later} − {earlier}" for earlier, later in twos), *(["all equal"] if joint else [])]
    lines = [[escape_markdown(cell) for cell in header], ["---"] * len(header)]
    for row in result["estimates"]:
        cells = [_value(row["by_audit"].get(name), row["quantity"]) for name in names]
        for earlier, later in twos:
            found = [
                each
                for each in result["differences"]
                if (each["quantity"], each["of"], each["earlier"], each["later"])
                == (row["quantity"], row["of"], earlier, later)
            ]
            cells.append(_difference(found[0], row["quantity"]) if found else "–")
        if joint:
            test = joint.get((row["quantity"], row["of"]))
            cells.append(
                f"Q = {test['statistic']:.1f}, df {test['degrees_of_freedom']}, {_p(test['p_value'])}" if test else "–"
            )
        lines.append([escape_markdown(_title(row)), *cells])
    about = [
        f"- {escape_markdown(each['name'])}: {escape_markdown(each['post'])} on {escape_markdown(each['source'])}, "
        f"{each['n_pairs']:,} pairs, {each['n_prompts']:,} prompts"
        for each in result["audits"]
    ]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    notes = "\n".join(f"- {escape_markdown(note)}" for note in result["notes"])
    explained = (
        "Resistance and robustness are in percent and percentage points. Imprints are standard deviations of reward for each "
        "standard deviation of a feature, both within prompts, so that models with other units compare. In parentheses: 95 % "
        "intervals, not adjusted; a star marks p < 0.05 after Holm's adjustment over all differences of a quantity."
    ) + (" Cochran's Q tests that all audits are equal; its p-values are not adjusted." if joint else "")
    return f"# Audits compared\n\n{table}\n\n{explained}\n\n" + "\n".join(about) + f"\n\n{notes}\n"


def _title(row: Mapping[str, Any]) -> str:
    kinds = {"resistance": "alignment resistance", "robustness": f"change of alignment by rewriting, {row['of']}"}
    return kinds.get(row["quantity"], f"imprint of {row['of']}")


def _value(found: Mapping[str, Any] | None, quantity: str) -> str:
    return "–" if found is None else _cell(found["estimate"], found["confidence_interval"], quantity, signed=False)


def _difference(found: Mapping[str, Any], quantity: str) -> str:
    star = "\\*" if found["p_adjusted"] is not None and found["p_adjusted"] < 0.05 else ""
    return _cell(found["difference"], found["confidence_interval"], quantity, signed=True) + star


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _cell(value: float | None, interval: Sequence[float | None], quantity: str, *, signed: bool) -> str:
    factor, digits = (1.0, 2) if quantity == "imprint" else (100.0, 1)
    if value is None:
        return "–"
    sign = "+" if signed or quantity != "resistance" else ""
    low, high = interval
    around = "" if low is None or high is None else f" ({factor * low:.{digits}f} to {factor * high:.{digits}f})"
    return f"{factor * value:{sign}.{digits}f}{around}"

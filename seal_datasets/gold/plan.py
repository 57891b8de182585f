"""How many gold labels are needed: interval widths of imprints at several numbers of gold prompts, and what these cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

from seal_datasets.errors import DataError

SIZES = (100, 300, 1000)
SECONDS_PER_ANSWER = 12.0
"""Assumed pace of a person; that of a pilot's own answers is used where there are any."""


@dataclass(frozen=True, slots=True)
class GoldPlan:
    """What gold labels of several numbers of prompts would give.

    Attributes:
        sizes (`tuple[int, ...]`): Numbers of gold prompts.
        widths (`dict[str, tuple[float, ...]]`): By model and feature, expected width of the 95 % interval of the corrected
            imprint, in standard deviations of reward.
        n_pilot (`int`): Gold prompts of the pilot.
        texts (`tuple[float, ...]`): Texts to label.
        hours (`tuple[float, ...]`): Hours of a person.
        seconds_per_answer (`float`): Their pace.
    """

    sizes: tuple[int, ...]
    widths: dict[str, tuple[float, ...]]
    n_pilot: int
    texts: tuple[float, ...]
    hours: tuple[float, ...]
    seconds_per_answer: float

    def lines(self) -> list[str]:
        """The plan as a table of text."""
        rows = [("gold prompts", [f"{size:,}" for size in self.sizes])]
        rows += [(feature, [f"{width:.2f}" for width in widths]) for feature, widths in self.widths.items()]
        rows.append(("texts", [f"{n:,.0f}" for n in self.texts]))
        rows.append(("hours of a person", [f"{hours:.1f}" for hours in self.hours]))
        name = max(len(first) for first, _ in rows)
        return [
            f"Widths of 95 % intervals of corrected imprints (SD of reward), from a pilot of {self.n_pilot:,} gold prompts; "
            f"a person is taken to need {self.seconds_per_answer:.0f} s for an answer",
            *(f"{first.ljust(name)}  {'  '.join(cell.rjust(8) for cell in cells)}" for first, cells in rows),
        ]


def plan_gold(
    report: Mapping[str, Any], *, sizes: Sequence[int] = SIZES, seconds_per_answer: float = math.nan
) -> GoldPlan:
    """Plan gold labels from the report of a pilot.

    The variance of a corrected imprint has two parts. One is that of the estimate with gold labels everywhere, about the
    uncorrected one's. The other comes from correcting by few. It is proportional to (1 - share) / share, where share is that of
    prompts with gold labels, and 0 where all have them.

    Args:
        report (`Mapping[str, Any]`): Of an audit whose estimates are corrected.
        sizes (`Sequence[int]`): Numbers of gold prompts; where the audit has fewer prompts, all of them.
        seconds_per_answer (`float`, *optional*): Pace of a person; 12 seconds when omitted.

    Returns:
        `GoldPlan`: Widths, texts and hours.

    Raises:
        DataError: The report has no corrected estimates, or all its prompts have gold labels.

    Source: design-based supervised learning (Egami et al., 2023, arXiv 2306.04746), section 4.
    """
    correction = report.get("correction", {})
    if correction.get("status") != "corrected":
        why = str(correction.get("status", "no gold labels")).replace("_", " ")
        raise DataError(
            f"the audit has no corrected estimates to plan from ({why}); label 20 or more prompts first, run "
            "`seal audit --gold gold.csv`, and give its folder"
        )
    n_pilot, n_prompts, checked = (
        int(correction["n_gold_prompts"]),
        int(correction["n_prompts"]),
        correction["features"],
    )
    if n_pilot >= n_prompts:
        raise DataError(f"all {n_prompts:,} prompts of the audit have gold labels, so none is left to plan")
    sizes = sorted({min(size, n_prompts) for size in sizes})
    shares = [(n_prompts / size - 1) / (n_prompts / n_pilot - 1) for size in sizes]
    naive = report["imprint"]["all_features"]["standardised"]["sd"]["models"]
    widths = {}
    for model in report["primary_family"]["models"]:
        errors = {row["feature"]: row["std_error"] for row in naive[model]}
        for row in correction["imprint"]["sd"]["models"][model]:
            if row["feature"] in checked and row["std_error"] is not None and errors.get(row["feature"]) is not None:
                least = errors[row["feature"]] ** 2
                more = max(row["std_error"] ** 2 - least, 0.0)
                widths[f"{model}: {row['feature']}"] = tuple(
                    float(2 * stats.t.ppf(0.975, size - 1) * math.sqrt(least + more * share))
                    for size, share in zip(sizes, shares, strict=True)
                )
    pace = SECONDS_PER_ANSWER if math.isnan(seconds_per_answer) else seconds_per_answer
    per_prompt = 2 * report["population"]["n_used"] / max(report["population"]["n_prompts"], 1)
    texts = tuple(size * per_prompt for size in sizes)
    hours = tuple(n * len(checked) * pace / 3600 for n in texts)
    return GoldPlan(tuple(sizes), widths, n_pilot, texts, hours, pace)

"""Draw a report's figures as PNG and PDF, and write their numbers as CSV, from the specifications of its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal_datasets.errors import DataError
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.page import feature_figures, label_figures, pair_figures, rewrite_figures
from seal_datasets.report.page.draw import as_pdf, as_png, with_title
from seal_datasets.report.page.figure import Figure
from seal_datasets.theme import NARROW, PAPER, WIDE

if TYPE_CHECKING:
    import pandas as pd

CAPTIONS = {
    "table1_regimes.png": "Alignment regimes (Table 1): where pairs went from the baseline to the last model.",
    "figure2_reward_map.png": (
        "Rewards of both responses of each pair by the last model, counted in squares (after Figures 2 and 8). Above the line "
        "it prefers the chosen response."
    ),
    "figure3_imprint.png": (
        "Feature imprint (Eq. 1) of the last model in standard deviations of reward (after Figure 3). Lines: 95 % intervals; "
        "filled dots: claims, or exploratory tests with q < 0.05."
    ),
    "figure3_drivers.png": (
        "Drivers of alignment (Eq. 3) of the last model in log-odds (after Figure 3). Lines: 95 % intervals; filled dots: "
        "exploratory tests with q < 0.05."
    ),
    "figure4_shift_by_regime.png": (
        "Mean change of the margin from the baseline to the last model, by alignment regime and labeler preference (after "
        "Figure 4)."
    ),
    "spoiler_balance.png": "How often each feature is on the chosen side, of the pairs that differ in it (Discussion).",
    "figure5_robustness.png": (
        "Robustness (Eq. 4) of the last model: log-odds of lost alignment where rewriting flips a feature (after Figure 5)."
    ),
    "rewrites_change.png": "Change of the last model's alignment by rewriting, for each preset.",
    "rewrites_thresholds.png": "Change of the last model's alignment by the similarity that is asked of a rewrite.",
    "rewrites_round_trips.png": "Effects of attributes on the last model's rewards, by rewriting there and back (RATE).",
}
"""Figures of a report by file name, in its order, each with a one-sentence caption."""

_LEAST_INCHES, _WIDE_INCHES, _MOST_INCHES = 1.0, 4.5, 20.0


@dataclass(frozen=True, slots=True)
class FigureStyle:
    """How figures are drawn for print.

    Attributes:
        inches (`float`, *optional*): Width of each figure, such as 3.25 for a column. Text is then about 8 points, and the
            title is left to the caption. Without it figures bear their titles.
        font (`str`, *optional*): A font of this machine; the reader's own when omitted.
    """

    inches: float | None = None
    font: str | None = None

    def __post_init__(self) -> None:
        if self.inches is not None and not _LEAST_INCHES <= self.inches <= _MOST_INCHES:
            raise DataError(
                f"figures can be {_LEAST_INCHES:g} to {_MOST_INCHES:g} inches wide, got {self.inches:g}; a column is often 3.25"
            )


def draw_figures(
    results: Mapping[str, Any], used: pd.DataFrame, folder: Path, style: FigureStyle | None = None
) -> dict[str, str]:
    """Draw every figure of a report as PNG and PDF, and write its numbers as CSV.

    Args:
        results (`Mapping[str, Any]`): From `analyze`, with its `run`.
        used (`pandas.DataFrame`): From `used_pairs`.
        folder (`Path`): Folder of the files; created if missing.
        style (`FigureStyle`, *optional*): Width and font for print.

    Returns:
        `dict[str, str]`: Name of a PNG file to a one-sentence caption, in the order of the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    style = style or FigureStyle()
    models = models_of(results["run"])
    made: dict[str, Figure | None] = {
        "table1_regimes.png": pair_figures.regime_figure(results),
        "figure2_reward_map.png": pair_figures.map_figure(used, models.last),
        "figure3_imprint.png": feature_figures.imprint_figure(results, models.last),
        "figure3_drivers.png": feature_figures.drivers_figure(results, models.last),
        "figure4_shift_by_regime.png": pair_figures.shift_figure(results),
        "spoiler_balance.png": label_figures.balance_figure(results),
        "figure5_robustness.png": rewrite_figures.robustness_figure(results),
        "rewrites_change.png": rewrite_figures.change_figure(results),
        "rewrites_thresholds.png": rewrite_figures.thresholds_figure(results),
        "rewrites_round_trips.png": rewrite_figures.round_trips_figure(results),
    }
    drawn = {}
    for name, figure in made.items():
        if figure is not None:
            if style.inches is None:
                chart = with_title(figure.draw(WIDE), figure.title, figure.note)
            else:
                chart = figure.draw(NARROW if style.inches < _WIDE_INCHES else WIDE)
            look: dict[str, Any] = {"inches": style.inches, "font": style.font}
            (folder / name).write_bytes(as_png(chart, PAPER, **look))
            (folder / name).with_suffix(".pdf").write_bytes(as_pdf(chart, **look))
            (folder / name).with_suffix(".csv").write_text(figure.to_csv(), "utf-8")
            drawn[name] = CAPTIONS[name]
    return drawn

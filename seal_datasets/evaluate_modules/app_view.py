"""Render a result in a Space as headline, table and figure. Computes no numbers."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from seal_datasets.cards import format_count, format_number, format_percent, is_significant
from seal_datasets.theme import BASELINE, CHOSEN, INK, MODEL, PAPER, REGIMES, REJECTED, SOFT, matplotlib_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """Renderers of a metric's result.

    Attributes:
        numbers (`Callable`): The headline, as (label, value) pairs.
        rows (`Callable`): The table's rows.
        draw (`Callable`): Draws on the axes it is given.
        size (`Callable`): Height of the figure, in inches.
    """

    numbers: Callable[[Result], list[tuple[str, str]]]
    rows: Callable[[Result], list[dict[str, Any]]]
    draw: Callable[[Axes, Result], None]
    size: Callable[[Result], float] = lambda _: 3.2


def headline(name: str, result: Result) -> str:
    """The most important numbers as HTML, with text escaped."""
    cells = [
        f"<div class='seal-number'><b>{html.escape(value)}</b><span>{html.escape(label)}</span></div>"
        for label, value in VIEWS[name].numbers(result)
    ]
    return f"<div class='seal-numbers'>{''.join(cells)}</div>"


def rows(name: str, result: Result) -> pd.DataFrame:
    """The result's table, as text."""
    table = pd.DataFrame(VIEWS[name].rows(result))
    return table.map(_cell).rename(columns=lambda column: column.replace("_", " "))


def figure(name: str, result: Result) -> Figure:
    """The result's figure."""
    import matplotlib  # slow to import, and needed here only
    from matplotlib.figure import Figure

    view = VIEWS[name]
    with matplotlib.rc_context(matplotlib_style()):
        drawn = Figure(figsize=(8, view.size(result)), layout="constrained")
        view.draw(drawn.add_subplot(), result)
    return drawn


def _cell(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " to ".join(map(_cell, value))
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)


def _percent(value: float | None) -> str:
    return format_percent(value, missing="undefined")


def _number(value: float | None) -> str:
    return format_number(value, missing="undefined")


def _degrees(value: float | None) -> str:
    return "undefined" if value is None else f"{format_number(value)}°"


def _interval(bounds: Sequence[float] | None, show: Callable[[float | None], str]) -> str:
    return "no interval" if bounds is None else f"95 % interval {show(bounds[0])} to {show(bounds[1])}"


def _text(value: object) -> str:
    """A label in a figure; the dollar sign is escaped, as it starts a formula."""
    return str(value).replace("$", r"\$").replace("_", " ")[:60]


def _intervals(
    axes: Axes,
    labels: Sequence[str],
    points: Sequence[float | None],
    bounds: Sequence[Any],
    *,
    zero: float | None = 0.0,
    colours: Sequence[str] = (),
    filled: Sequence[bool] = (),
) -> None:
    """Points with intervals, one below the other."""
    for row, (point, bound) in enumerate(zip(points, bounds, strict=True)):
        colour = colours[row] if colours else MODEL
        if bound is not None and None not in bound:
            axes.plot(bound, [row, row], color=colour, lw=1.8)
        if point is not None:
            face = colour if not filled or filled[row] else PAPER
            axes.plot(point, row, "o", color=colour, mfc=face, ms=6.5)
    axes.set_yticks(range(len(labels)), [_text(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="x", lw=0.8)
    axes.set_axisbelow(True)
    if zero is not None:
        axes.axvline(zero, color=SOFT, lw=0.9)


def _as_percent(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


# alignment resistance


def _resistance_numbers(result: Result) -> list[tuple[str, str]]:
    gained = result.get("change")
    return [
        (
            f"alignment resistance, {_interval(result['confidence_interval'], _percent)}",
            _percent(result["alignment_resistance"]),
        ),
        ("alignment score", _percent(result["alignment_score"])),
        *([("alignment score before training", _percent(result["pre_alignment_score"]))] if gained else []),
        (
            "pairs" + (f", {result['n_ties']:,} of them ties" if result["n_ties"] else ""),
            format_count(result["n_pairs"]),
        ),
    ]


def _resistance_rows(result: Result) -> list[dict[str, Any]]:
    if "regimes" in result:
        return [{"regime": name.replace("_", " "), **regime} for name, regime in result["regimes"].items()]
    return list(result["margins"])


def _draw_resistance(axes: Axes, result: Result) -> None:
    bars = _resistance_rows(result)
    key = "share" if "regimes" in result else "resistance"
    labels = [bar.get("regime") or f"{bar['low']:.2g} to {bar['high']:.2g}" for bar in bars]
    values = [bar[key] or 0 for bar in bars]
    colours = [REGIMES.get(label.replace(" ", "_"), MODEL) for label in labels]
    axes.barh(range(len(bars)), values, color=colours, height=0.62)
    for row, bar in enumerate(bars):
        low, high = bar["confidence_interval"]
        if low is not None and high is not None:
            axes.plot([low, high], [row, row], color=INK, lw=1.3)
        axes.text(values[row] if high is None else high, row, f"  {format_percent(bar[key])}", va="center")
    axes.set_yticks(range(len(bars)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*values, 0.01]) * 1.3)
    _as_percent(axes)
    if "regimes" in result:
        axes.set(title="Regimes", xlabel="share of pairs, with 95 % intervals")
    else:
        axes.set(title="Resistance by size of the margin", xlabel="resistance", ylabel="difference of the rewards")


# reward shift


def _shift_numbers(result: Result) -> list[tuple[str, str]]:
    return [
        (f"mean reward shift, {_interval(result['confidence_interval'], _degrees)}", _degrees(result["mean_degrees"])),
        ("mean reward shift, rewards centred by model", _degrees(result["centred"]["mean_degrees"])),
        ("change of the margin", _number(result["margin"]["mean"])),
        ("pairs", format_count(result["n_pairs"])),
    ]


def _shift_rows(result: Result) -> list[dict[str, Any]]:
    names = ("mean_degrees", "median_degrees", "mean_absolute_degrees", "std_error", "confidence_interval", "n_pairs")
    return [
        {"rewards": label, **{name: part[name] for name in names}}
        for label, part in (("as they are", result), ("centred", result["centred"]))
    ]


def _draw_shift(axes: Axes, result: Result) -> None:
    angles = [angle for angle in result.get("angles", ()) if angle is not None]
    axes.hist(angles, np.linspace(-180, 180, 61).tolist(), color=MODEL)
    if result["mean_degrees"] is not None:
        axes.axvline(result["mean_degrees"], color=INK, lw=1.3, label=f"mean {result['mean_degrees']:.1f}°")
        axes.legend()
    axes.set_xticks(range(-180, 181, 45))
    axes.set(title="Reward shift of each pair", xlabel="signed degrees, counter-clockwise positive", ylabel="pairs")


# reward calibration


def _calibration_numbers(result: Result) -> list[tuple[str, str]]:
    error = result["calibration_error"]
    return [
        (f"temperature, {_interval(result['temperature_interval'], _number)}", _number(result["temperature"])),
        (
            f"expected calibration error (a calibrated model: {_percent(error['if_calibrated'])})",
            _percent(error["observed"]),
        ),
        (f"Brier score, {_interval(result['brier_interval'], _number)}", format_number(result["brier"], 3)),
        (f"log loss, {_interval(result['log_loss_interval'], _number)}", format_number(result["log_loss"], 3)),
        ("pairs", format_count(result["n_pairs"])),
    ]


def _draw_calibration(axes: Axes, result: Result) -> None:
    axes.plot([0.5, 1], [0.5, 1], color=SOFT, lw=0.9)
    for part in result["curve"]:
        if None not in part["confidence_interval"]:
            axes.plot([part["probability"]] * 2, part["confidence_interval"], color=MODEL, lw=1.8)
        axes.plot(part["probability"], part["accuracy"], "o", color=MODEL, ms=6.5)
    _as_percent(axes)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set(title="Reliability", xlabel="accuracy that the margin promises", ylabel="accuracy, 95 % intervals")


# coefficients: imprint, drivers, robustness, balance


def _coefficients(
    key: str,
    label: Callable[[Result], str],
    what: str,
    axis: str,
    extra: Callable[[Result], list[tuple[str, str]]],
    value: str = "coefficient",
) -> View:
    """A view of rows that each have an estimate, an interval and a test."""

    def numbers(result: Result) -> list[tuple[str, str]]:
        tested = [row for row in result[key] if row["p_adjusted"] is not None]
        largest = max((row for row in tested if is_significant(row)), key=lambda row: abs(row[value]), default=None)
        top = []
        if largest:
            interval = _interval(largest["confidence_interval"], _number)
            top = [(f"largest: {label(largest)}, {interval}", format_number(largest[value], signed=True))]
        n_significant = sum(map(is_significant, tested))
        return [
            *top,
            (f"of {len(tested)} {what} differ from 0 (adjusted p < 0.05)", f"{n_significant}"),
            *extra(result),
        ]

    def table(result: Result) -> list[dict[str, Any]]:
        first = (
            *(
                "feature",
                "spoiler",
                "side",
                "direction",
                "asked",
                "given",
                value,
                "confidence_interval",
                "std_error",
                "p_value",
            ),
            *(
                "p_adjusted",
                "odds_ratio",
                "standardised",
                "standardised_difference",
                "degrees_of_freedom",
                "n_discordant",
                "n_flips",
                "status",
            ),
        )
        return [{name: row[name] for name in first if name in row} for row in result[key]]

    def draw(axes: Axes, result: Result) -> None:
        shown, sides = result[key], {"chosen": CHOSEN, "rejected": REJECTED}
        colours = [sides.get(row.get("side"), MODEL) for row in shown]
        filled = [is_significant(row) for row in shown]
        _intervals(
            axes,
            [label(row) for row in shown],
            [row[value] for row in shown],
            [row["confidence_interval"] for row in shown],
            colours=colours,
            filled=filled,
        )
        axes.set(title=what[0].upper() + what[1:], xlabel=f"{axis}; 95 % intervals, filled: adjusted p < 0.05")

    return View(numbers, table, draw, lambda result: 1.4 + 0.34 * len(result[key]))


def _pairs(result: Result) -> list[tuple[str, str]]:
    return [("pairs", format_count(result["n_pairs"]))]


def _side_and_feature(row: Result) -> str:
    return f"{row['feature']}, {row['side']}"


# labelers


def _agreement_rows(result: Result) -> list[dict[str, Any]]:
    parts = {"all pairs": result["overall"], **result.get("regimes", {})}
    return [{"pairs": name.replace("_", " "), **part} for name, part in parts.items()]


def _agreement_numbers(result: Result) -> list[tuple[str, str]]:
    overall = result["overall"]
    return [
        (
            f"agreement with the human choices, {_interval(overall['confidence_interval'], _percent)}",
            _percent(overall["agreement_rate"]),
        ),
        ("pairs on which the labeler has a preference", format_count(overall["n"])),
        ("pairs on which it has none", format_count(overall["n_indifferent"])),
    ]


def _draw_agreement(axes: Axes, result: Result) -> None:
    parts = _agreement_rows(result)
    _intervals(
        axes,
        [f"{part['pairs']} (n {part['n']:,})" for part in parts],
        [part["agreement_rate"] for part in parts],
        [part["confidence_interval"] for part in parts],
        zero=0.5,
    )
    axes.set_xlim(-0.02, 1.02)
    _as_percent(axes)
    axes.set(title="Labeler and human choices", xlabel="agreement, with 95 % intervals; line: chance")


def _stability_rows(result: Result) -> list[dict[str, Any]]:
    names = ("n", "agreement", "kappa", "kappa_interval", "ac1", "ac1_interval", "status")
    return [
        {"labelers": " / ".join(map(str, pair["labelers"])), **{name: pair[name] for name in names}}
        for pair in result["pairs"]
    ]


def _stability_numbers(result: Result) -> list[tuple[str, str]]:
    alpha = f"Krippendorff's alpha, {_interval(result['alpha_interval'], _number)}"
    return [
        (alpha, _number(result["alpha"])),
        *[(f"agreement of {row['labelers']}", _percent(row["agreement"])) for row in _stability_rows(result)[:3]],
        ("texts", format_count(result["n_rows"])),
    ]


def _draw_stability(axes: Axes, result: Result) -> None:
    entries = _stability_rows(result)
    labels = [f"{kind}: {entry['labelers']}" for entry in entries for kind in ("kappa", "AC1")]
    points = [entry[kind] for entry in entries for kind in ("kappa", "ac1")]
    bounds = [entry[f"{kind}_interval"] for entry in entries for kind in ("kappa", "ac1")]
    _intervals(axes, labels, points, bounds, colours=[MODEL, BASELINE] * len(entries))
    axes.set(title="Agreement beyond chance", xlabel="95 % intervals; 1 is full agreement")


VIEWS: dict[str, View] = {
    "alignment_resistance": View(_resistance_numbers, _resistance_rows, _draw_resistance),
    "reward_shift": View(_shift_numbers, _shift_rows, _draw_shift),
    "reward_calibration": View(
        _calibration_numbers, lambda result: list(result["curve"]), _draw_calibration, lambda _: 3.6
    ),
    "feature_imprint": _coefficients(
        "imprint",
        lambda row: str(row["feature"]),
        "imprints",
        "points of reward",
        lambda result: [("texts", format_count(result["n_texts"])), ("prompts", format_count(result["n_groups"]))],
    ),
    "amplification": _coefficients(
        "features",
        lambda row: str(row["feature"]),
        "amplifications",
        "log-odds given beyond those asked for",
        lambda result: [("temperature", _number(result["temperature"])), *_pairs(result)],
        "amplification",
    ),
    "misalignment_drivers": _coefficients(
        "drivers", _side_and_feature, "drivers of alignment", "log-odds of alignment", _pairs
    ),
    "alignment_robustness": _coefficients(
        "scores",
        lambda row: f"{_side_and_feature(row)}, {'lowered' if row['direction'] == '+' else 'raised'}",
        "robustness scores",
        "log-odds of lost alignment",
        lambda result: [
            (
                "alignment score before, and after rewriting",
                f"{_percent(result['alignment_before'])} → {_percent(result['alignment_after'])}",
            ),
            *_pairs(result),
        ],
    ),
    "labeler_agreement": View(
        _agreement_numbers, _agreement_rows, _draw_agreement, lambda result: 1.4 + 0.4 * len(_agreement_rows(result))
    ),
    "labeler_stability": View(
        _stability_numbers, _stability_rows, _draw_stability, lambda result: 1.6 + 0.6 * len(result["pairs"])
    ),
    "spoiler_balance": _coefficients(
        "spoilers", lambda row: str(row["spoiler"]), "differences", "chosen minus rejected", _pairs, "difference"
    ),
}

"""Draw the figures of a report, after the paper's Figures 2 to 4 and Table 1. Computes no numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seal_datasets import schema
from seal_datasets.report.audited_models import AuditedModels, models_of
from seal_datasets.report.claims import is_found

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


PRE, POST, CHOSEN, REJECTED, GREY = "#8a8f98", "#0b6e99", "#2a9d6f", "#c8477e", "#d5d8dc"
REGIMES = {
    "became_aligned": "Became aligned",
    "stayed_aligned": "Stayed aligned",
    "stayed_misaligned": "Stayed misaligned",
    "reversed_alignment": "Reversed alignment",
}
CAPTIONS = {
    "table1_regimes.png": (
        "Alignment regimes (after Table 1) of the last model against the baseline: share of pairs with 95 % intervals, and how "
        "often the labeler, where it has a preference, agrees with the human choice."
    ),
    "figure2_reward_shift.png": (
        "Directions of each model's reward vectors (chosen, rejected) and, with a baseline, the last model's signed reward "
        "shift from it (after Figure 2)."
    ),
    "figure3_imprint.png": (
        "Feature imprint (Eq. 1) and the last model's imprint on the reward shift (Eq. 2) and drivers of alignment (Eq. 3), "
        "after Figure 3. Bars: 95 % intervals; filled marks: claims, or exploratory tests with q < 0.05."
    ),
    "figure4_shift_by_regime.png": (
        "Reward shift of the last model from the baseline, by alignment regime and labeler preference (after Figure 4)."
    ),
    "rewrites_thresholds.png": (
        "Similarity of rewrites to their originals, and alignment of the last model before and after rewriting "
        "at each threshold of similarity. The dotted line is the threshold in force."
    ),
}
"""Figures of a report by file name, in its order, each with a one-sentence caption."""
_STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "font.size": 9.5,
    "legend.frameon": False,
    "figure.dpi": 110,
    "savefig.bbox": "tight",
}


def draw_figures(results: Mapping[str, Any], pairs: Dataset, folder: Path) -> dict[str, str]:
    """Draw every figure of a report.

    Args:
        results (`Mapping[str, Any]`): From `analyze`.
        pairs (`Dataset`): The pairs with rewards and derived columns.
        folder (`Path`): Folder of the PNG files; created if missing.

    Returns:
        `dict[str, str]`: File name to a one-sentence caption, in the order of the report.
    """
    from matplotlib import pyplot  # slow to import, and needed here only

    folder.mkdir(parents=True, exist_ok=True)
    table = pairs.select_columns(_drawn_columns(results, pairs.column_names)).to_pandas()
    drawings: dict[str, Callable[[], Figure | None]] = {
        "table1_regimes.png": lambda: _regimes(results, pyplot),
        "figure2_reward_shift.png": lambda: _reward_shift(results, table, pyplot),
        "figure3_imprint.png": lambda: _imprint(results, pyplot),
        "figure4_shift_by_regime.png": lambda: _shift_by_regime(results, table, pyplot),
        "rewrites_thresholds.png": lambda: _thresholds(results, table, pyplot),
    }
    drawn = {}
    with pyplot.rc_context(_STYLE):
        for name, draw in drawings.items():
            figure = draw()
            if figure is not None:
                figure.savefig(folder / name, metadata={"Software": None})
                pyplot.close(figure)
                drawn[name] = CAPTIONS[name]
    return drawn


def _drawn_columns(results: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    """The columns of pairs that figures show."""
    models = models_of(results["run"])
    drawn = {schema.LABELER_PREFERENCE, schema.margin_column(models.last)}
    for comparison in results["comparisons"].values():
        drawn |= {column(comparison["later"]) for column in (schema.regime_column, schema.shift_column)}
    for side in schema.SIDES:
        drawn |= {schema.reward_column(model, side) for model in models.names}
        presets = results.get("rewrites", {}).get("presets", {})
        drawn |= {schema.rewrite_similarity_column(name, side) for name in presets}
    return [name for name in known if name in drawn]


def draw_comparison(comparison: Mapping[str, Any], path: Path) -> None:
    """Draw several audits' estimates side by side, as dots with 95 % intervals.

    Args:
        comparison (`Mapping[str, Any]`): From `compare_audits`.
        path (`Path`): PNG file to write.
    """
    from matplotlib import pyplot  # slow to import, and needed here only

    names = [model["name"] for model in comparison["models"]]
    shares = [row for row in comparison["estimates"] if row["quantity"] != "imprint"]
    imprints = [row for row in comparison["estimates"] if row["quantity"] == "imprint"]
    heights = [max(len(rows), 1) * (0.16 + 0.16 * len(names)) + 0.35 for rows in (shares, imprints)]
    with pyplot.rc_context(_STYLE):
        figure, panels = pyplot.subplots(
            2, 1, figsize=(8.4, sum(heights) + 1.3), height_ratios=heights, layout="constrained"
        )
        colours = _scale(len(names), pyplot)
        for axes, rows in zip(panels, (shares, imprints), strict=True):
            for position, row in enumerate(rows):
                for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
                    estimate = row["by_model"].get(name)
                    if estimate is None or estimate["estimate"] is None:
                        continue
                    y = position + (i - (len(names) - 1) / 2) * 0.7 / len(names)
                    if None not in estimate["confidence_interval"]:
                        axes.plot(estimate["confidence_interval"], [y, y], color=colour, lw=1.6)
                    axes.plot(estimate["estimate"], y, "o", color=colour, ms=5.5)
            labels = {"resistance": "resistance", "robustness": "alignment after rewriting less before: {}"}
            titles = [labels.get(row["quantity"], "{}").format(row["of"]).replace("_", " ") for row in rows]
            axes.set_yticks(range(len(rows)), [title.replace("$", r"\$") for title in titles])
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.axvline(0, color="black", lw=0.8)
            axes.grid(axis="y", color=GREY, lw=0.5)
            axes.set_axisbelow(True)
        panels[0].xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        panels[0].set(title="Alignment", xlabel="share of pairs, 95 % intervals")
        panels[1].set(title="Feature imprint", xlabel="standard deviations of reward per standard deviation")
        for name, colour in zip(names, colours, strict=True):
            panels[0].plot([], [], "o-", color=colour, label=name.replace("$", r"\$"))
        figure.legend(loc="outside upper right", ncols=min(len(names), 3))
        figure.savefig(path, metadata={"Software": None})
        pyplot.close(figure)


def _thresholds(results: Mapping[str, Any], table: pd.DataFrame, pyplot: Any) -> Figure | None:  # noqa: ANN401
    presets = results.get("rewrites", {}).get("presets", {})
    if not presets:
        return None
    least, model = results["run"]["rewrites"]["min_similarity"], models_of(results["run"]).last
    figure, panels = pyplot.subplots(len(presets), 2, figsize=(9.2, 2.9 * len(presets)), squeeze=False)
    for (left, right), (name, preset) in zip(panels, presets.items(), strict=True):
        for side, colour in zip(schema.SIDES, (CHOSEN, REJECTED), strict=True):
            alike = table[schema.rewrite_similarity_column(name, side)].dropna().to_numpy(float)
            left.hist(alike, np.linspace(0, 1, 41), color=colour, alpha=0.65, label=side)
        left.set(title=f"Similarity, {name}", xlabel="cosine with the original", ylabel="rewrites")
        left.legend()
        rows = [row for row in preset["thresholds"] if row["n_pairs"]]
        for when, colour in (("before", PRE), ("after", POST)):
            right.plot(
                [row["threshold"] for row in rows],
                [row["alignment"][model][when] for row in rows],
                "o-",
                color=colour,
                label=f"{when} rewriting",
            )
        for row in rows:
            at = (row["threshold"], row["alignment"][model]["before"])
            right.annotate(f"n {row['n_pairs']}", at, xytext=(0, 6), textcoords="offset points", fontsize=7)
        right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        right.set(title="Alignment at each threshold", xlabel="least similarity", ylabel="alignment score")
        right.legend()
        for axes in (left, right):
            axes.axvline(least, color="black", lw=0.8, ls=":")
    figure.tight_layout()
    return figure  # type: ignore[no-any-return]


def _regimes(results: Mapping[str, Any], pyplot: Any) -> Figure | None:  # noqa: ANN401 - pyplot is imported at run time
    comparison = _last_comparison(results)
    if comparison is None:
        return None
    regimes = comparison["regimes"][results["population"]["estimated_on"]]
    agreement = comparison["labeler_agreement"].get("regimes", {})
    figure, axes = pyplot.subplots(figsize=(7.2, 2.6))
    for row, name in enumerate(reversed(REGIMES)):
        share = regimes[name]["share"]
        low, high = regimes[name]["confidence_interval"]
        colour = POST if "misaligned" not in name and "reversed" not in name else REJECTED
        axes.barh(row, share, color=colour, height=0.62, alpha=0.9)
        axes.plot([low, high], [row, row], color="black", lw=1.2)
        rate, n = (agreement.get(name, {}).get(key) for key in ("agreement_rate", "n"))
        note = "labeler: no preferences" if rate is None else f"labeler agrees on {rate:.0%} of {n}"
        axes.text(high + 0.012, row, f"{share:.1%}  ·  {note}", va="center", fontsize=9)
    axes.set_yticks(range(4), list(reversed(REGIMES.values())))
    axes.set_xlim(0, max(entry["share"] for entry in regimes.values()) + 0.42)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("share of pairs")
    return figure  # type: ignore[no-any-return]


def _last_comparison(results: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """The last model against the baseline; `None` without one."""
    return next(reversed(results["comparisons"].values()), None)


def _reward_shift(results: Mapping[str, Any], table: pd.DataFrame, pyplot: Any) -> Figure:  # noqa: ANN401
    models, comparison = models_of(results["run"]), _last_comparison(results)
    n_panels = 1 if comparison is None else 2
    figure, panels = pyplot.subplots(1, n_panels, figsize=(4.6 * n_panels, 3.2), squeeze=False)
    left = panels[0][0]
    used = table[table[schema.margin_column(models.last)].notna()]
    bins = np.linspace(-180, 180, 61)
    for model, colour in _colours(models, pyplot).items():
        chosen, rejected = (used[schema.reward_column(model, side)].to_numpy(float) for side in schema.SIDES)
        angles = np.degrees(np.arctan2(rejected, chosen))
        if len(models.names) < 3:
            left.hist(angles, bins, color=colour, alpha=0.65, label=model)
        else:
            left.hist(angles, bins, color=colour, histtype="step", lw=1.3, label=model)
    for edge in (-135, 45):
        left.axvline(edge, color="black", lw=0.8, ls=":")
    left.set(title="Direction of the reward vector", xlabel="degrees; aligned between the dotted lines", ylabel="pairs")
    left.legend(fontsize=8)
    left.set_xticks(range(-180, 181, 90))
    if comparison is not None:
        _draw_shift(panels[0][1], results, comparison, used, bins)
    figure.tight_layout()
    return figure  # type: ignore[no-any-return]


def _draw_shift(
    right: Axes,
    results: Mapping[str, Any],
    comparison: Mapping[str, Any],
    used: pd.DataFrame,
    bins: Any,  # noqa: ANN401
) -> None:
    right.hist(used[schema.shift_column(comparison["later"])].dropna().to_numpy(float), bins, color=POST, alpha=0.85)
    # The mean of all pairs that are drawn, along the circle.
    mean = comparison["shift"]["all"]["circular_mean_degrees"]
    if mean is not None and results["population"]["estimated_on"] == "all":
        right.axvline(mean, color="black", lw=1.2)
        right.annotate(
            f"mean {mean:.1f}°",
            (mean, 0.94),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
        )
    title = f"Reward shift θ, {comparison['earlier']} to {comparison['later']}"
    right.set(title=title, xlabel="signed degrees, counter-clockwise positive")
    right.set_xticks(range(-180, 181, 90))


def _scale(n: int, pyplot: Any) -> list[Any]:  # noqa: ANN401
    """Distinct colours from dark to light."""
    return [pyplot.get_cmap("viridis")(0.85 * i / max(n - 1, 1)) for i in range(n)]


def _colours(models: AuditedModels, pyplot: Any) -> dict[str, Any]:  # noqa: ANN401
    """A colour for each model: grey for a baseline, blue for one model beside it, a scale for more."""
    n = len(models.audited)
    audited = [POST] if n == 1 else _scale(n, pyplot)
    colours = dict(zip(models.audited, audited, strict=True))
    return {name: colours.get(name, PRE) for name in models.names}


def _imprint(results: Mapping[str, Any], pyplot: Any) -> Figure | None:  # noqa: ANN401
    models, imprint = models_of(results["run"]), results["imprint"]["all_features"]
    if imprint["status"] != "ok":
        return None
    rewarded = imprint["standardised"]["sd"]["models"]
    names = [row["feature"] for row in rewarded[models.last] if row["estimate"] is not None]
    if not names:
        return None
    names.sort(key=lambda name: _row(rewarded[models.last], name)["estimate"])
    comparison = _last_comparison(results)
    n_panels, height = 2 if comparison is None else 3, 1.6 + 0.36 * len(names)
    figure, panels = pyplot.subplots(1, n_panels, figsize=(13 * n_panels / 3, height), sharey=True)
    _forest(panels[0], names, [(name, colour, rewarded[name]) for name, colour in _colours(models, pyplot).items()])
    panels[0].set(title="Imprint on rewards (Eq. 1)", xlabel="standard deviations of reward within prompts")
    sides = (("chosen", CHOSEN), ("rejected", REJECTED))
    if comparison is not None:
        shift = comparison["shift_imprint"]["all_features"]["centred"]["imprint"]
        _forest(panels[1], names, [(s, c, [r for r in shift if r["side"] == s]) for s, c in sides])
        panels[1].set(title="Imprint on reward shift (Eq. 2)", xlabel="degrees, rewards centred")
    rows = results["models"][models.last]["drivers"].get("drivers", [])
    _forest(panels[-1], names, [(s, c, [r for r in rows if r["side"] == s]) for s, c in sides])
    panels[-1].set(title="Drivers of alignment (Eq. 3)", xlabel="log-odds of alignment")
    figure.tight_layout()
    return figure  # type: ignore[no-any-return]


def _forest(axes: Axes, names: Sequence[str], series: Sequence[tuple[str, str, Sequence[Mapping[str, Any]]]]) -> None:
    axes.axvline(0, color="black", lw=0.8)
    offsets = np.linspace(0.14, -0.14, len(series)) if len(series) > 1 else [0.0]
    for offset, (label, colour, rows) in zip(offsets, series, strict=True):
        for position, name in enumerate(names):
            row = _row(rows, name)
            value = None if row is None else row.get("estimate", row.get("coefficient"))
            if value is None or None in row["confidence_interval"]:
                continue
            y = position + offset
            axes.plot(row["confidence_interval"], [y, y], color=colour, lw=1.6)
            axes.plot(value, y, "o", color=colour, mfc=colour if is_found(row) else "white", ms=5.5)
        axes.plot([], [], "o-", color=colour, label=label)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, -0.02 - 1.1 / (1.6 + 0.36 * len(names))), ncols=min(len(series), 4)
    )
    axes.grid(axis="y", color=GREY, lw=0.5)
    axes.set_axisbelow(True)


def _row(rows: Sequence[Mapping[str, Any]], name: str) -> Any:  # noqa: ANN401 - a row of JSON
    return next((row for row in rows if row["feature"] == name), None)


def _shift_by_regime(results: Mapping[str, Any], table: pd.DataFrame, pyplot: Any) -> Figure | None:  # noqa: ANN401
    comparison = _last_comparison(results)
    if comparison is None:
        return None
    figure, panels = pyplot.subplots(1, 4, figsize=(12.5, 2.9), sharex=True)
    bins = np.linspace(-180, 180, 37)
    for axes, (regime, title) in zip(panels, REGIMES.items(), strict=True):
        part = table[table[schema.regime_column(comparison["later"])] == regime]
        shift = part[schema.shift_column(comparison["later"])].astype(float)
        preference = part[schema.LABELER_PREFERENCE]
        axes.hist(shift[preference.isin(["indifferent"]) | preference.isna()], bins, color=GREY, label="no preference")
        for side, colour in (("chosen", CHOSEN), ("rejected", REJECTED)):
            axes.hist(shift[preference == side], bins, color=colour, alpha=0.7, label=f"labeler prefers {side}")
        axes.set(title=f"{title} (n = {len(part)})", xlabel="θ, degrees")
        axes.set_xticks(range(-180, 181, 90))
    panels[0].set_ylabel("pairs")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, bbox_to_anchor=(0.5, -0.08))
    figure.tight_layout()
    return figure  # type: ignore[no-any-return]

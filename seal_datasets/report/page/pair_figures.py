"""Pictures of pairs: who prefers the chosen response, who moved, margins, rewards, models beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from seal_datasets import schema
from seal_datasets.cards import format_interval, format_number, format_percent, format_points
from seal_datasets.report.analyze_part import MIN_DISCORDANT
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.headline import lowest_models
from seal_datasets.report.page import charts
from seal_datasets.report.page.figure import Figure, format_range
from seal_datasets.report.page.flow_chart import flow
from seal_datasets.theme import BASELINE, CHOSEN, INK, MODEL, REGIMES, REJECTED

_CELLS = 24


def alignment_figure(report: Mapping[str, Any]) -> Figure | None:
    """How often each model prefers the chosen response, on held-out pairs and on those trained on."""
    models, rows = models_of(report["run"]), []
    for name in models.names:
        parts = report["models"][name]["resistance"]
        for part, words in (("heldout", "held out"), ("train", "trained on"), ("all", "all pairs")):
            entry = parts.get(part)
            if entry is None or entry["alignment_score"] is None or (part == "all" and "heldout" in parts):
                continue
            low, high = entry["confidence_interval"]
            whose = f"{name}, {words}" if "heldout" in parts else name
            rows.append(
                {
                    "model": name,
                    "label": whose,
                    "value": entry["alignment_score"],
                    "low": None if low is None else 1 - high,
                    "high": None if high is None else 1 - low,
                    "found": part != "train",
                    "color": BASELINE if name == models.baseline else MODEL,
                    "n": entry["n_pairs"],
                    "told": f"{whose}: {format_percent(entry['alignment_score'])} of {entry['n_pairs']:,} pairs",
                }
            )
    last = next((row for row in rows if row["model"] == models.last and row["found"]), None)
    if last is None:
        return None
    return Figure(
        "alignment",
        f"{models.last} prefers what people chose in {format_percent(last['value'])} of pairs",
        "Share of pairs in which a model gives the chosen response the higher reward; the line at 50 % is a coin."
        + (" Open dots: pairs that the model was trained on." if any(not row["found"] for row in rows) else ""),
        f"{last['n']:,} pairs. 95 % intervals by prompt.",
        [{"model": row["label"], **{key: row[key] for key in ("value", "low", "high", "n")}} for row in rows],
        lambda width: charts.dots(rows, width, axis="prefers the chosen response", zero=0.5, percent=True),
    )


def regime_figure(report: Mapping[str, Any]) -> Figure | None:
    """Where pairs went from the baseline to the last model."""
    models = models_of(report["run"])
    if not models.comparisons:
        return None
    comparison, (earlier, later) = list(models.comparisons.items())[-1]
    where = report["population"]["estimated_on"]
    found = report["comparisons"][comparison]["regimes"][where]
    shares = {name: found[name]["share"] for name in REGIMES}
    if any(share is None for share in shares.values()):
        return None
    before = shares["stayed_aligned"] + shares["reversed_alignment"]
    after = shares["stayed_aligned"] + shares["became_aligned"]
    ends = [
        {"side": 0, "aligned": True, "text": f"aligned,\n{earlier}: {before:.0%}"},
        {"side": 0, "aligned": False, "text": f"not aligned,\n{earlier}: {1 - before:.0%}"},
        {"side": 1, "aligned": True, "text": f"aligned,\n{later}: {after:.0%}"},
        {"side": 1, "aligned": False, "text": f"not aligned,\n{later}: {1 - after:.0%}"},
    ]
    became, turned = found["became_aligned"], found["reversed_alignment"]
    change = report["comparisons"][comparison]["change"][where]
    n_pairs = sum(row["count"] for row in found.values())
    return Figure(
        "regimes",
        f"{format_percent(became['share'])} of pairs became aligned, {format_percent(turned['share'])} no longer are",
        f"From {earlier} to {later}: became aligned {format_percent(became['share'])} "
        f"({format_interval(became['confidence_interval'])}), no longer aligned {format_percent(turned['share'])} "
        f"({format_interval(turned['confidence_interval'])}). Choose a flow to read its pairs.",
        f"{n_pairs:,} pairs. Change of resistance {format_points(change['change'])} points "
        f"({format_points(change['confidence_interval'][0])} to {format_points(change['confidence_interval'][1])}).",
        [
            {
                "regime": name,
                "count": row["count"],
                "share": row["share"],
                "low": row["confidence_interval"][0],
                "high": row["confidence_interval"][1],
            }
            for name, row in found.items()
        ],
        lambda width: flow(shares, ends, REGIMES, width),
    )


def calibration_figure(report: Mapping[str, Any], model: str) -> Figure | None:
    """Whether a margin of the model is a probability."""
    entry = report["models"][model].get("reward_calibration", {}).get(report["population"]["estimated_on"], {})
    curve = entry.get("curve")
    if not curve:
        return None
    rows = [
        {
            "x": each["probability"],
            "value": each["accuracy"],
            "low": each["confidence_interval"][0],
            "high": each["confidence_interval"][1],
            "told": f"stated {each['probability']:.0%}, right {each['accuracy']:.0%} of {each['n']:,} pairs",
            "href": f"#model={model}&stated={each['low']:.4f}..{each['high']:.4f}",
            "n": each["n"],
        }
        for each in curve
    ]
    low, high = entry["temperature_interval"]
    unit = low is not None and low <= 1 and (high is None or high >= 1)
    title = (
        "Margins cannot be told from probabilities"
        if unit
        else "Whether margins are probabilities cannot be told"
        if low is None
        else "Margins promise too much"
        if low > 1
        else "Margins promise too little"
    )
    temperature = "No temperature could be fitted."
    if low is not None:
        interval = f"{format_number(low)} to {format_number(high, missing='∞')}"
        temperature = f"Temperature {format_number(entry['temperature'])} ({interval}); 1 is calibrated."
    return Figure(
        f"calibration_{model}",
        title,
        "Pairs in groups by the probability that the margin states for the preferred response, and how often people chose it. "
        "On the line both are equal.",
        f"{sum(each['n'] for each in curve):,} pairs in groups of {min(each['n'] for each in curve):,} or more. {temperature}",
        [{key: row[key] for key in ("x", "value", "low", "high", "n")} for row in rows],
        lambda width: charts.curve(rows, width, x_axis="probability that the margin states", y_axis="people agree"),
    )


def map_figure(frame: pd.DataFrame, model: str) -> Figure | None:
    """Rewards of both responses of every pair, in squares (after Figures 2 and 8)."""
    columns = [schema.reward_column(model, side) for side in schema.SIDES]
    rewards = frame[columns].dropna().to_numpy(dtype=float)
    rewards = rewards[np.isfinite(rewards).all(axis=1)]
    if len(rewards) < 2 or np.ptp(rewards) == 0:
        return None
    low, high = (float(each) for each in np.quantile(rewards, [0.002, 0.998]))
    if low == high:  # nearly all rewards are the same
        low, high = float(rewards.min()), float(rewards.max())
    step = (high - low) / _CELLS
    bounds = (low, high)
    clipped = np.clip(np.floor((rewards - low) / step), 0, _CELLS - 1).astype(int)
    places, sizes = np.unique(clipped, axis=0, return_counts=True)
    cells = [
        {
            "chosen": low + chosen * step,
            "rejected": low + rejected * step,
            "n": n,
            "color": MODEL if chosen > rejected else REJECTED if chosen < rejected else BASELINE,
            "told": f"{n:,} pairs: chosen about {low + (chosen + 0.5) * step:.2f}, rejected about "
            f"{low + (rejected + 0.5) * step:.2f}",
        }
        for (chosen, rejected), n in zip(places.tolist(), sizes.tolist(), strict=True)
    ]
    correlation = float(np.corrcoef(rewards.T)[0, 1]) if (np.ptp(rewards, axis=0) > 0).all() else None
    return Figure(
        f"map_{model}",
        "Rewards of both responses" + ("" if correlation is None else f" correlate by {correlation:.2f}"),
        "Each square is a group of pairs, darker with more. Above the line the chosen response has the higher reward.",
        f"{len(rewards):,} pairs, held out or not. The outermost 0.2 % stand in the squares at the rim.",
        [{key: cell[key] for key in ("chosen", "rejected", "n")} for cell in cells],
        lambda width: charts.map_of_pairs(cells, width, bounds=bounds, step=step),
    )


def ranking_figure(report: Mapping[str, Any]) -> Figure | None:
    """Resistance of three or more models, lowest first, with the interval of each one's rank."""
    if "ranking" not in report:
        return None
    where = report["population"]["estimated_on"]
    return ranked_figure(report, {name: each["resistance"][where] for name, each in report["models"].items()})


def ranked_figure(report: Mapping[str, Any], resistance: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Resistance of ranked models.

    Args:
        report (`Mapping[str, Any]`): Holds `ranking`.
        resistance (`Mapping[str, Mapping[str, Any]]`): By model, on the same pairs.

    Returns:
        `Figure`: The picture.
    """
    rows = []
    for each in report["ranking"]["ranking"]:
        entry = resistance[each["model"]]
        low, high = entry["confidence_interval"]
        first, last = each["rank_interval"]
        rank = f"rank {first}" if first == last else f"rank {first} to {last}"
        rows.append(
            {
                "label": f"{each['model']} ({rank})",
                "model": each["model"],
                "ranks": f"{first}-{last}",
                "value": entry["alignment_resistance"],
                "low": low,
                "high": high,
                "found": first == last,
                "color": MODEL,
                "told": f"{each['model']}: {format_percent(entry['alignment_resistance'])}, {rank}",
            }
        )
    best = lowest_models(report)
    return Figure(
        "ranking",
        f"{best[0]} resists least"
        if len(best) == 1
        else f"The lowest resistance may be that of any of {len(best)} models",
        "Resistance: how often a model does not prefer what people chose. Filled: the rank is certain (95 %, all models "
        "compared in pairs).",
        f"{len(rows)} models on the same pairs. 95 % intervals by prompt.",
        [{key: row[key] for key in ("model", "ranks", "value", "low", "high")} for row in rows],
        lambda width: charts.dots(rows, width, axis="resistance", zero=None, percent=True),
    )


def shift_figure(report: Mapping[str, Any]) -> Figure | None:
    """Mean reward shift by regime and by the labeler's preference (after Figures 4 and 16)."""
    models = models_of(report["run"])
    if not models.comparisons:
        return None
    comparison, (earlier, later) = list(models.comparisons.items())[-1]
    groups: dict[str, list[dict[str, Any]]] = {}
    for part, entry in report["comparisons"][comparison]["shift"].items():
        margin = entry.get("margin")
        if not margin or margin.get("mean") is None or entry["n_pairs"] < MIN_DISCORDANT:
            continue
        low, high = margin["confidence_interval"]
        regime, _, side = part.partition(", labeler prefers ")
        words = "all pairs" if regime == "all" else regime.replace("_", " ")
        groups.setdefault(words, []).append(
            {
                "part": part,
                "label": f"labeler: {side}" if side else "all of them",
                "value": margin["mean"],
                "low": low,
                "high": high,
                "found": True,
                "color": {"chosen": CHOSEN, "rejected": REJECTED}.get(side, INK),
                "n": entry["n_pairs"],
                "told": f"{part.replace('_', ' ')}: {margin['mean']:+.2f} over {entry['n_pairs']:,} pairs",
            }
        )
    if not groups:
        return None
    if all(len(rows) == 1 for rows in groups.values()):  # without a labeler's preference
        groups = {"": [{**rows[0], "label": words} for words, rows in groups.items()]}
    return Figure(
        "shift",
        f"How far margins moved from {earlier} to {later}",
        "Mean change of the margin (chosen less rejected) from the baseline to the model, by regime and by which response the "
        "labeler prefers.",
        f"{format_range([row['n'] for rows in groups.values() for row in rows])} pairs a row. 95 % intervals by prompt. "
        "Regimes are defined by the same margins, so their signs are no finding.",
        [{key: row[key] for key in ("part", "value", "low", "high", "n")} for rows in groups.values() for row in rows],
        lambda width: charts.grouped_dots(groups, width, axis="change of the margin, in points of reward"),
    )

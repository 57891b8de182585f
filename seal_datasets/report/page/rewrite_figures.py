"""Pictures of rewrites: acceptance, change of alignment and labels, robustness (Figure 5), effects of round trips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seal_datasets.cards import format_number, format_percent, format_points
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.claims import is_found
from seal_datasets.report.page import charts, spread_charts
from seal_datasets.report.page.figure import Figure, feature_title, format_range
from seal_datasets.theme import BASELINE, CHOSEN, MODEL, REJECTED, SOFT

_SHAM = "identity"
_FEWEST = 10
_EFFECTS = {
    "ate": "on all texts",
    "att": "on texts that have it",
    "atu": "on texts without it",
    "single_rewrite": "by one rewrite",
    "naive": "of the original texts",
}


def rewrite_figures(report: Mapping[str, Any]) -> list[Figure]:
    """Pictures of a report's rewrites, those that have something to show.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `list[Figure]`: In the order of the page; none without rewrites.
    """
    made = (
        change_figure(report),
        robustness_figure(report),
        thresholds_figure(report),
        round_trips_figure(report),
        flips_figure(report),
        similarity_figure(report),
        acceptance_figure(report),
    )
    return [figure for figure in made if figure is not None]


def change_figure(report: Mapping[str, Any]) -> Figure | None:
    """How far alignment changes by rewriting, for each preset."""
    model, rows = models_of(report["run"]).last, []
    for name, preset in _presets(report).items():
        found = preset["alignment"].get(model, {})
        if found.get("status") != "ok" or found["change"] is None:
            continue
        low, high = _points(found["confidence_interval"])
        moved = f"{found['n_lost']:,} lost, {found['n_gained']:,} gained"
        rows.append(
            {
                "label": _title_of(name),
                "value": 100 * found["change"],
                "low": low,
                "high": high,
                "found": is_found(found),
                "color": SOFT if name == _SHAM else MODEL,
                "told": f"{_title_of(name)}: {format_points(found['change'])} points; {moved} of {found['n_pairs']:,} pairs",
                "numbers": {
                    "preset": name,
                    **{key: found[key] for key in ("n_pairs", "n_lost", "n_gained", "before", "after", "change")},
                    **_bounds(found["confidence_interval"]),
                    **{key: found.get(key) for key in ("p_value", "q_value")},
                },
            }
        )
    if not rows:
        return None
    ways = {"falls": [row for row in rows if row["found"] and row["value"] < 0]}
    ways["rises"] = [row for row in rows if row["found"] and row["value"] > 0]
    said = [f"{way} when texts are rewritten ({_list(each)})" for way, each in ways.items() if each]
    counts = [row["numbers"]["n_pairs"] for row in rows]
    return Figure(
        "rewrites_change",
        f"Alignment {' and '.join(said)}" if said else "No rewriting is found to change alignment",
        f"Alignment of {model} on rewritten pairs less that on the same pairs before, in points. Filled: q below 0.05."
        + (
            f" {_title_of(_SHAM)[:1].upper()}{_title_of(_SHAM)[1:]} asks for no change."
            if _SHAM in _presets(report)
            else ""
        ),
        f"{format_range(counts)} pairs with two accepted rewrites. 95 % intervals by prompt.",
        [row["numbers"] for row in rows],
        lambda width: charts.dots(rows, width, axis="change of alignment, in points"),
    )


def robustness_figure(report: Mapping[str, Any]) -> Figure | None:
    """Which flips of features go with lost alignment, Eq. (4) (after Figure 5)."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, preset in _presets(report).items():
        for row in preset["robustness"].get("scores", ()):
            if row["status"] != "ok" or row["coefficient"] is None or name == _SHAM:
                continue
            way = "lowered" if row["direction"] == "+" else "raised"
            label = f"{feature_title(row['feature'])} {way}, {row['side']}"
            low, high = row["confidence_interval"]
            groups.setdefault(_title_of(name), []).append(
                {
                    "label": label,
                    "value": row["coefficient"],
                    "low": low,
                    "high": high,
                    "found": is_found(row),
                    "color": CHOSEN if row["side"] == "chosen" else REJECTED,
                    "told": f"{label}: {format_number(row['coefficient'], signed=True)} log-odds; {row['n_flips']:,} flips",
                    "numbers": {
                        "preset": name,
                        **{key: row[key] for key in ("feature", "side")},
                        "rewriting": way,
                        "log_odds": row["coefficient"],
                        **_bounds(row["confidence_interval"]),
                        **{key: row.get(key) for key in ("n_flips", "p_value", "q_value")},
                    },
                }
            )
    if not groups:
        return None
    groups = {name: sorted(rows, key=lambda row: -row["value"]) for name, rows in groups.items()}
    every = [row for rows in groups.values() for row in rows]
    notable = sum(row["found"] for row in every)
    targets = sorted(
        {target for preset in _presets(report).values() for target in preset["robustness"].get("targets", ())}
    )
    held = f" Pairs whose {' or '.join(map(feature_title, targets))} label changed are left out." if targets else ""
    return Figure(
        "robustness",
        f"{notable} of {len(every)} flips of features are found to go with lost alignment or against it"
        if notable
        else "No flip of a feature is found to cost alignment",
        "Log-odds that a pair is aligned before rewriting and not after, where rewriting flips the feature of the chosen "
        "response (green) or the rejected one (red), other flips held equal (Eq. 4). Filled: q below 0.05.",
        f"{format_range([row['numbers']['n_flips'] for row in every])} flips; those of fewer than {_FEWEST} pairs are not "
        f"tested.{held} 95 % intervals by prompt.",
        [row["numbers"] for row in every],
        lambda width: charts.grouped_dots(groups, width, axis="log-odds of lost alignment"),
    )


def thresholds_figure(report: Mapping[str, Any]) -> Figure | None:
    """How the change of alignment depends on the least similarity that is asked of a rewrite."""
    model = models_of(report["run"]).last
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, preset in _presets(report).items():
        for each in preset["thresholds"]:
            found = each["alignment"].get(model, {})
            if found.get("change") is None or each["n_pairs"] < _FEWEST:
                continue
            low, high = _points(found["confidence_interval"])
            told = f"at least {each['threshold']:g}: {format_points(found['change'])} points, {each['n_pairs']:,} pairs"
            groups.setdefault(_title_of(name), []).append(
                {
                    **{"x": each["threshold"], "value": 100 * found["change"], "low": low, "high": high, "told": told},
                    "numbers": {
                        "preset": name,
                        "threshold": each["threshold"],
                        "n_pairs": each["n_pairs"],
                        **{key: found[key] for key in ("before", "after", "change")},
                        **_bounds(found["confidence_interval"]),
                    },
                }
            )
    groups = {name: rows for name, rows in groups.items() if len(rows) > 1}
    if not groups:
        return None
    every = [row for rows in groups.values() for row in rows]
    least = report["run"]["rewrites"]["min_similarity"]
    return Figure(
        "rewrites_thresholds",
        "Change of alignment by the similarity that is asked of a rewrite",
        f"Alignment of {model} after rewriting less before, over pairs whose two rewrites are at least this similar to their "
        "originals. The band is the 95 % interval; the dashed line is the threshold in force.",
        f"{format_range([row['numbers']['n_pairs'] for row in every])} pairs, fewer at higher thresholds; the one in force is "
        f"{least:g}. The points share their pairs.",
        [row["numbers"] for row in every],
        lambda width: spread_charts.bands(
            groups, width, x_axis="similarity of a rewrite, at least", y_axis="change, in points", at=least
        ),
    )


def round_trips_figure(report: Mapping[str, Any]) -> Figure | None:
    """Effect of an attribute on the reward, by rewriting to its other value and back (RATE)."""
    model = models_of(report["run"]).last
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, axis in report.get("rewrites", {}).get("axes", {}).items():
        effects = {row["estimand"]: row for row in axis.get("models", {}).get(model, {}).get("effects", ())}
        rows = [effects[key] for key in _EFFECTS if effects.get(key, {}).get("estimate") is not None]
        if rows:
            groups[feature_title(name)] = [_effect(name, row) for row in rows]
    if not groups:
        return None
    every = [row for rows in groups.values() for row in rows]
    found = {
        verb: [name for name, rows in groups.items() if any(_is_effect(row, sign) for row in rows)]
        for verb, sign in (("raises", 1), ("lowers", -1))
    }
    said = [f"being {' and '.join(names)} {verb} the reward" for verb, names in found.items() if names]
    return Figure(
        "round_trips",
        f"By rewriting there and back, {'; '.join(said)}" if said else "No attribute is found to change the reward",
        "Points of reward that the attribute adds to the same text, from a rewrite to the other value and its rewrite back "
        "(RATE). Grey, for comparison: with one rewrite only, and the difference between original texts.",
        f"{format_range([row['numbers']['n'] for row in every])} texts. 95 % intervals by prompt. Filled: q below 0.05.",
        [row["numbers"] for row in every],
        lambda width: charts.grouped_dots(groups, width, axis="effect, in points of reward"),
    )


def _effect(axis: str, row: Mapping[str, Any]) -> dict[str, Any]:
    low, high = row["interval"]
    label = _EFFECTS[row["estimand"]]
    return {
        "label": label,
        "value": row["estimate"],
        "low": low,
        "high": high,
        "found": is_found(row),
        "color": MODEL if row["estimand"] in ("ate", "att", "atu") else SOFT,
        "told": f"{axis}, {label}: {format_number(row['estimate'], signed=True)} points of reward, {row['n']:,} texts",
        "numbers": {
            "axis": axis,
            "effect": row["estimand"],
            "points": row["estimate"],
            **_bounds(row["interval"]),
            **{key: row.get(key) for key in ("n", "p_value", "q_value")},
        },
    }


def _is_effect(row: Mapping[str, Any], sign: int) -> bool:
    return bool(row["numbers"]["effect"] == "ate" and row["found"] and row["value"] * sign > 0)


def flips_figure(report: Mapping[str, Any]) -> Figure | None:
    """How many labels differ between rewrite and original, beside the sham that asks for no change."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, preset in _presets(report).items():
        for feature, row in preset["labels"].items():
            if row["share"] is None or name == _SHAM:
                continue
            low, high = row["confidence_interval"]
            sham = row["sham"] and row["sham"]["share"]
            label = feature_title(feature)
            told = f"{label}: {format_percent(row['share'])} of {row['n_texts']:,} labels changed"
            groups.setdefault(_title_of(name), []).append(
                {
                    **{"label": label, "value": row["share"], "low": low, "high": high, "mark": sham},
                    **{"found": True, "color": MODEL, "told": told},
                    "numbers": {
                        "preset": name,
                        "feature": feature,
                        "share_changed": row["share"],
                        **_bounds(row["confidence_interval"]),
                        "share_changed_by_sham": sham,
                        **{key: row[key] for key in ("n_raised", "n_lowered", "n_texts")},
                    },
                }
            )
    if not groups:
        return None
    groups = {name: sorted(rows, key=lambda row: -row["value"]) for name, rows in groups.items()}
    every = [row for rows in groups.values() for row in rows]
    measured = any(row["mark"] is not None for row in every)
    beside = (
        " The tick is the sham, which asks for no change: noise of labeler and rewriter."
        if measured
        else f" Add `{_SHAM}` to `--presets` to see how much of it is noise."
    )
    return Figure(
        "rewrites_labels",
        "Labels that rewriting changes",
        f"Share of texts whose label differs between the rewrite and its original.{beside}",
        f"{format_range([row['numbers']['n_texts'] for row in every])} accepted rewrites. 95 % intervals (Wilson).",
        [row["numbers"] for row in every],
        lambda width: charts.grouped_dots(groups, width, axis="labels changed", zero=None, percent=True, marks=SOFT),
    )


def similarity_figure(report: Mapping[str, Any]) -> Figure | None:
    """How similar rewrites are to their originals."""
    rows = []
    for name, preset in _presets(report).items():
        found = preset.get("similarity", {"n_texts": 0})
        if not found["n_texts"]:
            continue
        quantiles = {f"q{key.rstrip('%').zfill(2)}": value for key, value in found["quantiles"].items()}
        label = f"{_title_of(name)} (n\u00a0{found['n_texts']:,})"
        told = f"{label}: median {quantiles['q50']:.2f}, 90 % between {quantiles['q05']:.2f} and {quantiles['q95']:.2f}"
        rows.append(
            {"label": label, **quantiles, "told": told, "numbers": {"preset": name, "n": found["n_texts"], **quantiles}}
        )
    if not rows:
        return None
    settings = report["run"]["rewrites"]
    return Figure(
        "rewrites_similarity",
        "Similarity of rewrites to their originals",
        "The dot is the median, the thick line the middle half, the thin line 90 % of rewrites; the dashed line is the "
        "threshold in force.",
        f"Cosine by {settings['similarity_model']}. Threshold {settings['min_similarity']:g}.",
        [row["numbers"] for row in rows],
        lambda width: spread_charts.spreads(rows, width, axis="cosine similarity", at=settings["min_similarity"]),
    )


def acceptance_figure(report: Mapping[str, Any]) -> Figure | None:
    """How many rewrites were accepted, and why others were not."""
    rows = []
    presets = _presets(report)
    for name, preset in presets.items():
        sides = preset["texts"]
        for status in {**sides["chosen"], **sides["rejected"]}:
            counts = [sides[side].get(status, 0) for side in ("chosen", "rejected")]
            words = "accepted" if status == "ok" else status.replace("_", " ")
            label = words if len(presets) == 1 else f"{_title_of(name)}: {words}"
            rows.append(
                {
                    "label": label,
                    "n": sum(counts),
                    "color": MODEL if status == "ok" else BASELINE,
                    "told": f"{label}: {counts[0]:,} chosen and {counts[1]:,} rejected responses",
                    "numbers": {"preset": name, "status": status, "chosen": counts[0], "rejected": counts[1]},
                }
            )
    rows = [row for row in rows if row["n"] and row["numbers"]["status"] != "not_sampled"]
    if not rows:
        return None
    total = sum(row["n"] for row in rows)
    accepted = sum(row["n"] for row in rows if row["numbers"]["status"] == "ok")
    return Figure(
        "rewrites_accepted",
        f"{accepted:,} of {total:,} rewrites were accepted",
        "Rewrites by what their check found: accepted in dark blue, left out in light blue.",
        f"{format_range([preset['n_sampled_pairs'] for preset in presets.values()])} pairs were drawn, two texts each.",
        [row["numbers"] for row in rows],
        lambda width: spread_charts.bars(rows, width, axis="texts"),
    )


def _presets(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """What rewriting by each preset did; nothing in a report without rewrites, so that its pictures are `None`."""
    presets: Mapping[str, Any] = report.get("rewrites", {}).get("presets", {})
    return presets


def _title_of(preset: str) -> str:
    return "sham (identity)" if preset == _SHAM else preset.replace("_", " ")


def _points(interval: Sequence[float | None]) -> tuple[float | None, ...]:
    return tuple(None if bound is None else 100 * bound for bound in interval)


def _bounds(interval: Sequence[float | None]) -> dict[str, float | None]:
    return {"low": interval[0], "high": interval[1]}


def _list(rows: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(str(row["label"]) for row in rows)

"""Pictures of labels and of the data: occurrence, worth, how much error a finding bears, balance of both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seal_datasets.cards import format_number, format_percent
from seal_datasets.report.claims import is_found
from seal_datasets.report.page import charts
from seal_datasets.report.page.figure import Figure, feature_title, format_range, link_to_pairs, list_names
from seal_datasets.theme import CHOSEN, MODEL, REJECTED


def balance_figure(report: Mapping[str, Any]) -> Figure | None:
    """How often each feature is on the chosen side, of the pairs that differ in it."""
    # A feature that is always on one side has a share and no test.
    shown = ("ok", "no_residual_variation")
    rows = [row for row in report.get("balance", ()) if row["status"] in shown and row["share_chosen"] is not None]
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: -row["share_chosen"])
    found = [_share_row(row) for row in rows]
    said = []
    for side, above in (("chosen", True), ("rejected", False)):
        names = [row["label"] for row in found if row["found"] and (row["value"] > 0.5) is above]
        if names:
            said.append(f"more often on the {side} side: {list_names(names)}")
    title = "; ".join(said)
    untested = [feature_title(row["feature"]) for row in rows if row["status"] != "ok"]
    why = f" Not tested, as its pairs do not vary: {list_names(untested)}." if untested else ""
    where = "Held-out" if report["population"]["estimated_on"] == "heldout" else "All"
    counts = [row["n_discordant"] for row in rows]
    return Figure(
        "balance",
        f"{title[:1].upper()}{title[1:]}" if said else "No feature is found more often on one side",
        "Of the pairs whose responses differ in a feature, the share in which the chosen response has more of it. Far from one "
        "half, a model can learn the feature in place of what people meant. Filled: q below 0.05.",
        f"{where} pairs; {format_range(counts)} of them differ in a feature. Labels as they are, not corrected. "
        f"95 % intervals by prompt.{why}",
        [
            {
                "feature": row["feature"],
                "share_chosen": row["share_chosen"],
                "low": row["confidence_interval"][0],
                "high": row["confidence_interval"][1],
                **{key: row.get(key) for key in ("n_discordant", "n_pairs", "p_value", "q_value")},
            }
            for row in rows
        ],
        lambda width: charts.dots(found, width, axis="chosen response has more", zero=0.5, percent=True),
    )


def _share_row(row: Mapping[str, Any]) -> dict[str, Any]:
    low, high = row["confidence_interval"]
    label = feature_title(row["feature"])
    return {
        "label": label,
        "value": row["share_chosen"],
        "low": low,
        "high": high,
        "found": is_found(row),
        "color": CHOSEN if row["share_chosen"] >= 0.5 else REJECTED,
        "href": link_to_pairs(row["feature"]),
        "told": f"{label}: more on the chosen side in {format_percent(row['share_chosen'])} of {row['n_discordant']:,} pairs",
    }


def occurrence_figure(report: Mapping[str, Any]) -> Figure | None:
    """How often each feature of yes or no occurs on both sides."""
    rows = []
    for name, entry in report["labels"].items():
        shares = [entry.get(f"mean_{side}") for side in ("chosen", "rejected")]
        if entry.get("type") != "bool" or None in shares or not any(shares):
            continue
        label = feature_title(name)
        told = f"{label}: {format_percent(shares[0])} of chosen, {format_percent(shares[1])} of rejected responses"
        rows.append(
            {
                **{"label": label, "value": shares[0], "low": None, "high": None, "mark": shares[1]},
                **{
                    "found": True,
                    "color": CHOSEN,
                    "told": told,
                    "feature": name,
                    "n": entry["n_texts"] - entry["n_missing"],
                },
            }
        )
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: -max(row["value"], row["mark"]))
    counts = [row["n"] for row in rows]
    return Figure(
        "occurrence",
        "How often each feature occurs",
        "Share of responses that have the feature: the green dot among chosen ones, the red tick among rejected ones.",
        f"{format_range(counts)} labelled texts of all pairs, trained on or not.",
        [
            {"feature": row["feature"], "chosen": row["value"], "rejected": row["mark"], "n_texts": row["n"]}
            for row in rows
        ],
        lambda width: charts.dots(rows, width, axis="responses that have it", zero=None, percent=True, marks=REJECTED),
    )


def worth_figure(report: Mapping[str, Any]) -> Figure | None:
    """How well the labeler's probabilities sort texts by their gold labels."""
    rows = []
    for name, entry in report["labels"].items():
        worth = entry.get("worth") or {}
        if worth.get("auc") is None:
            continue
        low, high = worth["auc_interval"]
        label = feature_title(name)
        rows.append(
            {
                **{"label": label, "value": worth["auc"], "low": low, "high": high, "found": True, "color": MODEL},
                "told": f"{label}: AUC {format_number(worth['auc'])} on {worth['n']:,} gold texts",
                "numbers": {
                    "feature": name,
                    "auc": worth["auc"],
                    "low": low,
                    "high": high,
                    "brier": worth["brier"],
                    "brier_of_shares": worth["brier_of_shares"],
                    "n": worth["n"],
                },
            }
        )
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: -row["value"])
    counts = [row["numbers"]["n"] for row in rows]
    return Figure(
        "worth",
        "How well probabilities sort texts by their gold labels",
        "Area under the ROC curve of the labeler's probabilities: at 1 every text that has the feature comes before every text "
        "that has it not; the line at 0.5 is chance.",
        f"{format_range(counts)} gold texts. 95 % intervals by prompt.",
        [row["numbers"] for row in rows],
        lambda width: charts.dots(rows, width, axis="area under the ROC curve", zero=0.5),
    )


def error_curve_figure(report: Mapping[str, Any], model: str) -> Figure | None:
    """At which share of wrong labels each imprint could no longer be told from 0, where labels are not corrected."""
    rows = []
    for name, curve in report.get("error_curves", {}).get(model, {}).items():
        gone, most = curve["insignificant_at"], curve["largest_rate"]
        if gone == 0 or (gone is None and most is None):
            continue
        at, label = most if gone is None else gone, feature_title(name)
        how = (
            f"still told from 0 at {at:.0%}, the most these labels allow"
            if gone is None
            else f"told from 0 below {at:.0%}"
        )
        rows.append(
            {
                **{"label": label, "value": at, "low": 0.0, "high": at, "found": gone is not None, "color": MODEL},
                **{"mark": curve["sign_flips_at"], "told": f"{label}: {how} of wrong labels"},
                "numbers": {"feature": name, **curve},
            }
        )
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: -row["value"])
    return Figure(
        f"error_curves_{model}",
        "How many wrong labels each imprint bears",
        "The dot is the share of wrong labels from which on an imprint could no longer be told from 0; open where it still "
        "could at the most errors that these labels allow. A tick: its sign would turn."
        " Features whose imprint cannot be told from 0 even with right labels are left out.",
        f"{len(rows)} of {len(report['error_curves'][model])} features; wrong labels are assumed to be equally likely on both "
        "sides. Gold labels correct this: `seal gold DATA`, then `--gold`.",
        [row["numbers"] for row in rows],
        lambda width: charts.dots(rows, width, axis="share of wrong labels", zero=None, marks=REJECTED),
    )

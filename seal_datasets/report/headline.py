"""The headline of a report: what it measured, what it may claim, and what its tests could not tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seal_datasets.cards import format_number, format_percent, format_points, format_rate
from seal_datasets.labels.surface import SURFACE_FEATURES

_MOST = 4
_CLAIMS = {
    "imprint": ("rewards", "penalises"),
    "change": ("gives more for", "gives less for"),
    "amplification": ("gives more than people asked for to", "gives less than people asked for to"),
}
_UNITS = {"imprint": "SD of reward", "change": "SD of reward", "amplification": "log-odds"}
_NAMES = {"imprint": "imprint", "change": "change of an imprint by training", "amplification": "amplification"}


def headline(report: Mapping[str, Any]) -> list[str]:
    """Summarize a report in a few plain sentences, each with its n.

    Sentences on features follow from `claims` alone.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `list[str]`: One sentence each.
    """
    lines = missing_labels((report["run"]["labeler"] or {}).get("labels")) + _resistance(report)
    for name, examination in (report["run"].get("doctor") or {}).items():
        if examination["failed"]:
            lines.append(f"The {name}-training model failed checks of its scores: {', '.join(examination['failed'])}.")
    return lines + _claims(report)


def _resistance(report: Mapping[str, Any]) -> list[str]:
    """Resistance and regimes on the pairs that the report speaks of, and the memorisation gap."""
    where = report["population"]["estimated_on"]
    resistance = report["resistance"][where]
    shares = {name: entry["share"] for name, entry in resistance["regimes"].items()}
    pairs = f"{resistance['n_pairs']:,} {'held-out pairs' if where == 'heldout' else 'pairs'}"
    lines = [
        f"Alignment resistance {format_rate(resistance, 'alignment_resistance')} on {pairs}: the post-training model does "
        "not prefer the response that humans chose.",
        f"Alignment score {format_percent(resistance['pre_alignment_score'])} before training, "
        f"{format_percent(resistance['alignment_score'])} after; "
        f"{format_percent(shares['became_aligned'])} of pairs became aligned, "
        f"{format_percent(shares['reversed_alignment'])} were aligned before and no longer are.",
    ]
    gap = next((row for row in report.get("memory", ()) if row["quantity"] == "resistance"), None)
    if gap is not None:
        seen = report["resistance"]["train"]
        low, high = gap["confidence_interval"]
        between = "no interval" if low is None else f"{format_points(low)} to {format_points(high)}"
        lines.append(
            f"Resistance {format_percent(gap['train'])} on the {seen['n_pairs']:,} pairs trained on, "
            f"{format_percent(gap['heldout'])} on the held-out ones: {format_points(gap['gap'])} points ({between})."
        )
    return lines


def _claims(report: Mapping[str, Any]) -> list[str]:
    family, claims = report["primary_family"], report["claims"]
    lines = []
    for quantity in family["quantities"]:
        rows = [claim for claim in claims if claim["quantity"] == quantity]
        if rows:
            lines.append(_claim(quantity, rows, report))
        elif family["features"]:
            lines.append(_no_claim(quantity, family["not_claimed"][quantity]))
    if claims:
        lines.append(
            f"These claims rest on {family['n_tests']} tests of {len(family['features'])} features, declared beforehand and "
            f"adjusted together (Holm): the chance of any false one is at most {family['level']:.0%}."
        )
    return lines


def _claim(quantity: str, rows: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> str:
    # Labels of a weak labeler may not measure what the feature's name says.
    surface = {feature.name for feature in SURFACE_FEATURES}
    weak = has_weak_labeler(report)
    said = []
    for verb, sign in zip(_CLAIMS[quantity], (1, -1), strict=True):
        named = [row for row in rows if row["estimate"] * sign > 0]
        if named:
            shown = ", ".join(_name(row, quantity, weak and row["feature"] not in surface) for row in named[:_MOST])
            more = f" and {len(named) - _MOST} more" if len(named) > _MOST else ""
            said.append(f"{verb} {shown}{more}")
    subject = "After training the model" if quantity == "change" else "The post-training model"
    return f"{subject} {'; it '.join(said)}."


def _name(row: Mapping[str, Any], quantity: str, weak: bool) -> str:
    low, high = (format_number(bound, signed=True) for bound in row["confidence_interval"])
    value = format_number(row["estimate"], signed=True)
    return (
        f"{row['feature']} ({value} {_UNITS[quantity]}, {low} to {high}, {row['n_discordant']:,} that differ"
        f"{', weak labels' if weak else ''})"
    )


def _no_claim(quantity: str, limits: Mapping[str, Any]) -> str:
    if not limits["n_tested"]:
        reasons = ", ".join(f"{status} {count:,}" for status, count in limits["not_tested"].items()) or "no estimate"
        return f"No {_NAMES[quantity]} could be tested ({reasons})."
    smallest, largest = (format_number(effect) for effect in limits["detectable"])
    effects = smallest if smallest == largest else f"{smallest} to {largest}"
    excluded = ""
    if limits["excluded_beyond"] is not None:
        excluded = f", and all beyond {format_number(limits['excluded_beyond'])} are excluded"
    return (
        f"No {_NAMES[quantity]} can be claimed: tests of {limits['n_tested']:,} features would have found, at 80 % power, "
        f"effects of {effects} {_UNITS[quantity]}{excluded}."
    )


def missing_labels(counts: Mapping[str, Any] | None) -> list[str]:
    """Say that most labels are missing, if they are.

    Args:
        counts (`Mapping[str, Any]`, *optional*): Numbers of labels: `asked`, `present`, and `missing` by reason.

    Returns:
        `list[str]`: One sentence if less than half of the labels asked for are present, else none.

    Example:

    >>> missing_labels({"asked": 4, "present": 0, "missing": {"refused": 4}})
    ['No labels: the labeler gave 0 of 4 (refused 4).']
    """
    if not counts or counts["present"] >= counts["asked"] / 2:
        return []
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts["missing"].items())
    most = " for most texts" if counts["present"] else ""
    return [f"No labels{most}: the labeler gave {counts['present']:,} of {counts['asked']:,} ({reasons})."]


def has_weak_labeler(report: Mapping[str, Any]) -> bool:
    """Whether the labels come from the embedded model."""
    return bool(report["run"]["labeler"] and report["run"]["labeler"].get("weak"))

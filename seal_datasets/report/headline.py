"""The headline of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seal_datasets.cards import format_number, format_percent, format_rate, is_significant
from seal_datasets.labels.surface import SURFACE_FEATURES


def headline(report: Mapping[str, Any]) -> list[str]:
    """Summarize a report in a few plain sentences, each with its n.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `list[str]`: One sentence each.
    """
    resistance = report["resistance"]["all"]
    missing = missing_labels((report["run"]["labeler"] or {}).get("labels"))
    shares = {name: entry["share"] for name, entry in resistance["regimes"].items()}
    lines = [
        *missing,
        f"Alignment resistance {format_rate(resistance, 'alignment_resistance')} on {resistance['n_pairs']:,} pairs: the "
        "post-training model does not prefer the response that humans chose.",
        f"Alignment score {format_percent(resistance['pre_alignment_score'])} before training, "
        f"{format_percent(resistance['alignment_score'])} after; "
        f"{format_percent(shares['became_aligned'])} of pairs became aligned, "
        f"{format_percent(shares['reversed_alignment'])} were aligned before and no longer are.",
    ]
    if {"train", "heldout"} <= report["resistance"].keys():
        seen, unseen = (report["resistance"][part] for part in ("train", "heldout"))
        lines.append(
            f"Resistance {format_rate(seen, 'alignment_resistance')} on the {seen['n_pairs']:,} pairs trained on, "
            f"{format_rate(unseen, 'alignment_resistance')} on the {unseen['n_pairs']:,} held out."
        )
    for name, examination in (report["run"].get("doctor") or {}).items():
        if examination["failed"]:
            lines.append(f"The {name}-training model failed checks of its scores: {', '.join(examination['failed'])}.")
    shift = report["shift"]["all"]
    lines.append(
        f"Mean reward shift {format_number(shift['mean_degrees'])} degrees, signed (mean size "
        f"{format_number(shift['mean_absolute_degrees'])})."
    )
    for imprint in report["imprint"].values():
        changed = [row for row in imprint.get("difference", {}).get("imprint", ()) if is_significant(row)]
        changed.sort(key=lambda row: -abs(row["coefficient"] / row["std_error"]))
        if changed:
            # Labels of a weak labeler may not measure what the feature's name says.
            reliable = (
                {feature.name for feature in SURFACE_FEATURES}
                if has_weak_labeler(report)
                else {row["feature"] for row in changed}
            )
            named = ", ".join(
                f"{row['feature']} ({row['coefficient']:+.2f}{'' if row['feature'] in reliable else ', weak labels'})"
                for row in changed[:4]
            )
            lines.append(f"Training changed the imprint of: {named} (over {imprint['n_pairs']:,} pairs, adjusted).")
            break
    else:
        lines.append("No feature's imprint changed with training beyond what chance allows after adjustment.")
    return lines


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

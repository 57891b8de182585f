"""The headline of a report: what it measured, what it may claim, and what its tests could not tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seal_datasets.cards import format_number, format_percent, format_points, format_rate
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.report.audited_models import PRE_AND_POST, AuditedModels, models_of
from seal_datasets.report.claims import is_corrected

_MOST = 4
_MOST_MODELS = 6
_CLAIMS = {
    "imprint": ("rewards", "penalises"),
    "change": ("gives more for", "gives less for"),
    "amplification": ("gives more than people asked for to", "gives less than people asked for to"),
}
_NOT_CORRECTED = {
    "no_gold_labels": "there are no gold labels; label a drawn share with `seal gold`, or ask a teacher (--teacher)",
    "no_gold_prompt": "no prompt has gold labels for all of its texts; label whole prompts",
    "draw_not_known": "it is not known how the gold labels were drawn; give the probability of each prompt (gold_probability)",
    "too_few_gold_prompts": "fewer than 20 prompts have gold labels; label more",
    "gold_not_random": "prompts with gold labels differ from the others, so they are no random draw",
    "no_variance_left": "the labels' errors leave no feature any variance; label more prompts",
    "no_labels": "no pair has every label",
}
_UNITS = {"imprint": "SD of reward", "change": "SD of reward", "amplification": "log-odds"}
_MANY = {"imprint": "Imprints", "change": "Changes of an imprint", "amplification": "Amplification"}
_NAMES = {"imprint": "imprint", "change": "change of an imprint", "amplification": "amplification"}


def headline(report: Mapping[str, Any]) -> list[str]:
    """Summarize a report in a few plain sentences, each with its n.

    Sentences on features follow from `claims` alone.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `list[str]`: One sentence each.
    """
    models = models_of(report["run"])
    lines = missing_labels((report["run"]["labeler"] or {}).get("labels")) + not_learned(report["run"]["labeler"])
    lines += _resistance(report, models) + _ranks(report) + _regimes(report, models) + _gap(report, models)
    for name, examination in (report["run"].get("doctor") or {}).items():
        if examination["failed"]:
            lines.append(f"{_subject(name, models)} failed checks of its scores: {', '.join(examination['failed'])}.")
    return lines + correction_lines(report) + _claims(report, models)


def correction_lines(report: Mapping[str, Any]) -> list[str]:
    """What the correction by gold labels rests on and changed, or why labels are not corrected."""
    found, labeler = report.get("correction", {}), report["run"]["labeler"]
    if not labeler:
        return []
    source = str((labeler.get("gold") or {}).get("source", "people"))
    whose = f"the labels of the {source}" if source.startswith("teacher") else "people's labels"
    if found.get("status") != "corrected":
        why = _NOT_CORRECTED.get(str(found.get("status")), str(found.get("status", "")).replace("_", " "))
        return [f"Labels are not corrected for their errors: {why}."] if found else []
    rows = [
        row
        for name in report["primary_family"]["models"]
        for row in found["imprint"]["sd"]["models"][name]
        if row["feature"] in found["features"] and row["estimate"] is not None and row["naive_estimate"] is not None
    ]
    turned = sum(row["estimate"] * row["naive_estimate"] < 0 for row in rows)
    change = max(rows, key=lambda row: abs(row["estimate"] - row["naive_estimate"]), default=None)
    largest = (
        ""
        if change is None
        else (
            f"; the largest change is that of {change['feature']}, from "
            f"{format_number(change['naive_estimate'], signed=True)} to {format_number(change['estimate'], signed=True)} SD of "
            "reward"
        )
    )
    n_gold, n_prompts = found["n_gold_prompts"], found["n_prompts"]
    drawn = f"drawn for {n_gold:,} of" if n_gold < n_prompts else "known for all"
    return [
        f"Estimates are corrected towards {whose}, {drawn} {n_prompts:,} prompts: {turned} of {len(rows)} imprints changed "
        f"their sign{largest}."
    ]


def _resistance(report: Mapping[str, Any], models: AuditedModels) -> list[str]:
    """Resistance on the pairs that the report speaks of."""
    where = report["population"]["estimated_on"]
    found = {name: report["models"][name]["resistance"][where] for name in models.names}
    first = found[models.last]
    pairs = f"{first['n_pairs']:,} {'held-out pairs' if where == 'heldout' else 'pairs'}"
    if len(models.audited) == 1:
        return [
            f"Alignment resistance {format_rate(first, 'alignment_resistance')} on {pairs}: {models.title(models.last)} does "
            "not prefer the response that humans chose."
        ]
    shown = [f"{name} {format_rate(row, 'alignment_resistance')}" for name, row in found.items()]
    more = f" and {len(shown) - _MOST_MODELS} more" if len(shown) > _MOST_MODELS else ""
    return [
        f"Alignment resistance on {pairs}, where a model does not prefer the response that humans chose: "
        f"{', '.join(shown[:_MOST_MODELS])}{more}."
    ]


def _ranks(report: Mapping[str, Any]) -> list[str]:
    """Which models are lowest in resistance, as far as the paired tests tell."""
    if "ranking" not in report:
        return []
    rows = report["ranking"]["ranking"]
    best = lowest_models(report)
    level = f"{report['ranking']['confidence']:.0%}".replace("%", " %")
    if len(best) == 1:
        return [f"Of {len(rows)} models {best[0]} has the lowest resistance ({level}, all models compared in pairs)."]
    if len(best) == len(rows):
        return [f"No model can be said to have the lowest resistance of the {len(rows)} ({level})."]
    out = [row["model"] for row in rows if row["model"] not in best]
    return [
        f"The lowest resistance of the {len(rows)} models may be that of {', '.join(best)}, not of {', '.join(out)} ({level})."
    ]


def _regimes(report: Mapping[str, Any], models: AuditedModels) -> list[str]:
    """How alignment moved, where two models are compared."""
    if len(models.comparisons) != 1:
        return []
    where = report["population"]["estimated_on"]
    ((comparison, (earlier, later)),) = models.comparisons.items()
    before, after = (report["models"][name]["resistance"][where]["alignment_score"] for name in (earlier, later))
    shares = {name: row["share"] for name, row in report["comparisons"][comparison]["regimes"][where].items()}
    of = ("before training", "after") if models == PRE_AND_POST else (f"of {earlier}", f"of {later}")
    aligned = "were aligned before" if models == PRE_AND_POST else f"were aligned for {earlier}"
    return [
        f"Alignment score {format_percent(before)} {of[0]}, {format_percent(after)} {of[1]}; "
        f"{format_percent(shares['became_aligned'])} of pairs became aligned, "
        f"{format_percent(shares['reversed_alignment'])} {aligned} and no longer are."
    ]


def _gap(report: Mapping[str, Any], models: AuditedModels) -> list[str]:
    """The memorisation gap of resistance, for each model."""
    lines = []
    for gap in report.get("memory", ()):
        if gap["quantity"] != "resistance":
            continue
        seen = report["models"][gap["model"]]["resistance"]["train"]
        low, high = gap["confidence_interval"]
        between = "no interval" if low is None else f"{format_points(low)} to {format_points(high)}"
        whose = "Resistance" if len(models.audited) == 1 else f"Resistance of {gap['model']}"
        lines.append(
            f"{whose} {format_percent(gap['train'])} on the {seen['n_pairs']:,} pairs trained on, "
            f"{format_percent(gap['heldout'])} on the held-out ones: {format_points(gap['gap'])} points ({between})."
        )
    return lines


def _claims(report: Mapping[str, Any], models: AuditedModels) -> list[str]:
    family, claims = report["primary_family"], report["claims"]
    few = len(models.audited) == 1
    lines = []
    for quantity in family["quantities"]:
        rows = [claim for claim in claims if claim["quantity"] == quantity]
        if rows:
            lines.append(_claim(quantity, rows, report, models) if few else _claims_of_many(quantity, rows, models))
        if not rows and family["features"]:
            lines.append(_no_claim(quantity, family["not_claimed"][quantity]))
    if claims:
        lines.append(
            f"These claims rest on {family['n_tests']} tests of {len(family['features'])} features, declared beforehand and "
            f"adjusted together (Holm): the chance of any false one is at most {family['level']:.0%}."
        )
    return lines


def _claim(quantity: str, rows: Sequence[Mapping[str, Any]], report: Mapping[str, Any], models: AuditedModels) -> str:
    # Labels of a weak labeler may not measure what the feature's name says.
    surface = {feature.name for feature in SURFACE_FEATURES}
    weak = has_weak_labeler(report) and not is_corrected(report)
    said = []
    for verb, sign in zip(_CLAIMS[quantity], (1, -1), strict=True):
        named = [row for row in rows if row["estimate"] * sign > 0]
        if named:
            shown = ", ".join(_name(row, quantity, weak and row["feature"] not in surface) for row in named[:_MOST])
            more = f" and {len(named) - _MOST} more" if len(named) > _MOST else ""
            said.append(f"{verb} {shown}{more}")
    subject = rows[0]["model"]
    if quantity != "change":
        return f"{_subject(subject, models)} {'; it '.join(said)}."
    earlier, later = models.comparisons[subject]
    start = "After training the model" if models == PRE_AND_POST else f"Compared with {earlier} {models.title(later)}"
    return f"{start} {'; it '.join(said)}."


def _claims_of_many(quantity: str, rows: Sequence[Mapping[str, Any]], models: AuditedModels) -> str:
    """One sentence on the claims of several models: for each feature the models that it is claimed of."""
    by_feature: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: -abs(row["estimate"])):
        by_feature.setdefault(row["feature"], [])
    for row in rows:
        name = models.comparisons[row["model"]][1] if quantity == "change" else row["model"]
        by_feature[row["feature"]].append(f"{format_number(row['estimate'], signed=True)} for {name}")
    shown = [f"{feature} {', '.join(said)}" for feature, said in list(by_feature.items())[:_MOST]]
    more = f"; and {len(by_feature) - _MOST} more features" if len(by_feature) > _MOST else ""
    against = f" against {models.baseline}" if quantity == "change" else ""
    return f"{_MANY[quantity]}{against}, in {_UNITS[quantity]}: {'; '.join(shown)}{more}."


def _subject(name: str, models: AuditedModels) -> str:
    """A model at the start of a sentence."""
    title = models.title(name)
    return title[0].upper() + title[1:]


def _name(row: Mapping[str, Any], quantity: str, weak: bool) -> str:
    low, high = (format_number(bound, signed=True) for bound in row["confidence_interval"])
    value = format_number(row["estimate"], signed=True)
    counted = "pairs" if quantity == "amplification" or row.get("corrected") else "prompts"
    return (
        f"{row['feature']} ({value} {_UNITS[quantity]}, {low} to {high}, {row['n_discordant']:,} {counted} that differ"
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


def lowest_models(report: Mapping[str, Any]) -> list[str]:
    """Names of the models whose resistance may be the lowest, of a report with a ranking."""
    return [row["model"] for row in report["ranking"]["ranking"] if row["rank_interval"][0] == 1]


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


def not_learned(labeler: Mapping[str, Any] | None) -> list[str]:
    """Say which features a probe did not learn, in the place of what would be said of them.

    Args:
        labeler (`Mapping[str, Any]`, *optional*): The record of the labeler.

    Returns:
        `list[str]`: One sentence for each feature.

    Example:

    ```python
    >>> not_learned({"learned": {"polite": {"status": "weak", "detail": "right in 60.0% of gold texts"}}, "keep_weak": False})
    ['No labels of polite, which the probe did not learn: right in 60.0% of gold texts.']

    ```
    """
    lines, labeler = [], labeler or {}
    for name, found in labeler.get("learned", {}).items():
        if found["status"] == "weak" and labeler.get("keep_weak"):
            lines.append(f"Labels of {name} are no better than its commonest answer: {found['detail']}.")
        elif found["status"] != "ok":
            lines.append(f"No labels of {name}, which the probe did not learn: {found['detail']}.")
    return lines


def has_weak_labeler(report: Mapping[str, Any]) -> bool:
    """Whether the labels come from the embedded model."""
    return bool(report["run"]["labeler"] and report["run"]["labeler"].get("weak"))

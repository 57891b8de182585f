"""The verdict of a report: a few sentences, each with its number, its interval and what it rests on.

Sentences on features come from `claims` alone. A sentence whose numbers are missing is not written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seal_datasets.cards import format_interval, format_number, format_percent, format_points
from seal_datasets.report.audited_models import AuditedModels, models_of
from seal_datasets.report.claims import is_corrected
from seal_datasets.report.headline import lowest_models
from seal_datasets.report.page.feature_figures import is_beyond_chance
from seal_datasets.report.page.figure import feature_title

_MOST = 3


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the verdict.

    Attributes:
        text (`str`): What it says.
        strong (`str`): The part of `text` that is set in bold; empty for none.
        rests_on (`str`): What its number rests on.
    """

    text: str
    strong: str = ""
    rests_on: str = ""


def verdict(report: Mapping[str, Any]) -> list[Sentence]:
    """Say what a report found, in at most five sentences.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `list[Sentence]`: The sentences, most important first.
    """
    models = models_of(report["run"])
    found = [_scores_failed(report), ranks(report), _alignment(report, models), *_claims(report)]
    found += [_seen(report, models), _labels(report)]
    return [sentence for sentence in found if sentence is not None][:5]


def _scores_failed(report: Mapping[str, Any]) -> Sentence | None:
    failed = [name for name, each in (report["run"].get("doctor") or {}).items() if each["failed"]]
    if not failed:
        return None
    return Sentence(
        f"The scores of {' and '.join(failed)} failed checks: read nothing else before these are mended.",
        "failed checks",
        "`doctor.json`",
    )


def ranks(report: Mapping[str, Any]) -> Sentence | None:
    """Which of several models is best, as far as the tests tell; nothing where none are ranked."""
    if "ranking" not in report:
        return None
    rows = report["ranking"]["ranking"]
    best = lowest_models(report)
    rests = "all models compared in pairs, on the same pairs of responses"
    if len(best) == 1:
        return Sentence(f"Of {len(rows)} models {best[0]} prefers what people chose most often.", best[0], rests)
    which = "any of them" if len(best) == len(rows) else f"any of {', '.join(best)}"
    return Sentence(f"Which of {len(rows)} models is best cannot be told: it may be {which}.", "cannot be told", rests)


def _alignment(report: Mapping[str, Any], models: AuditedModels) -> Sentence | None:
    where = report["population"]["estimated_on"]
    found = report["models"][models.last]["resistance"][where]
    if found["alignment_score"] is None:
        return None
    low, high = found["confidence_interval"]
    interval = "" if low is None else f" ({format_interval((1 - high, 1 - low))})"
    on = "On prompts that it was not trained on, " if where == "heldout" else ""
    strong = f"in {format_percent(found['alignment_score'])} of pairs{interval}"
    text = f"{on}{models.last} prefers what people chose {strong}"
    if models.baseline is not None and models.baseline != models.last:
        before = report["models"][models.baseline]["resistance"][where]["alignment_score"]
        if before is not None:
            text += f"; {models.baseline} does in {format_percent(before)}"
    kinds = "held-out pairs" if where == "heldout" else "pairs"
    tied = f"; {found['n_ties']:,} are ties, which count as not preferring" if found["n_ties"] else ""
    return Sentence(f"{text}.", strong, f"{found['n_pairs']:,} {kinds}, intervals by prompt{tied}")


_SAID = {
    ("imprint", 1): "{whose} rewards {what}",
    ("imprint", -1): "{whose} penalises {what}",
    ("change", 1): "{whose} came to give more for {what}",
    ("change", -1): "{whose} came to give less for {what}",
    ("amplification", 1): "{whose} gives more than people asked for to {what}",
    ("amplification", -1): "{whose} gives less than people asked for to {what}",
}
_UNITS = {"imprint": "SD of reward", "change": "SD of reward", "amplification": "log-odds"}
_FEW = {"not_identified", "too_few_discordant", "too_little_information"}


def _claims(report: Mapping[str, Any]) -> list[Sentence | None]:
    family = report["primary_family"]
    if not family["features"]:
        return [Sentence("No feature is labelled, so nothing is said about what is rewarded.", "", "")]
    n_tests = family["n_tests"]
    if not n_tests:
        statuses = _untested(family)
        few = ": too few pairs differ in any" if statuses and statuses.keys() <= _FEW else ""
        counts = ", ".join(f"{status.replace('_', ' ')} {n}" for status, n in statuses.items())
        return [
            Sentence(f"No feature could be tested{few}.", "", counts or report["imprint"]["all_features"]["status"])
        ]
    rests = f"{n_tests} tests declared beforehand, error {family['level']:.0%} over all of them (Holm)"
    found: list[Sentence | None] = []
    for quantity in family["quantities"]:
        for model in dict.fromkeys(claim["model"] for claim in report["claims"]):
            claims = [each for each in report["claims"] if each["quantity"] == quantity and each["model"] == model]
            if claims:
                found.append(_claim(quantity, model, claims, report, rests))
    if found:
        return found[:2]
    return [
        Sentence(f"Nothing can be claimed about what is rewarded{_power(family)}.", "Nothing can be claimed", rests)
    ]


def _claim(
    quantity: str, subject: str, claims: Sequence[Mapping[str, Any]], report: Mapping[str, Any], rests: str
) -> Sentence:
    models = models_of(report["run"])
    whose = models.comparisons[subject][1] if quantity == "change" else subject
    parts: list[str] = []
    for sign in (1, -1):
        named = [claim for claim in claims if claim["estimate"] * sign > 0]
        if named:
            shown = [
                f"{feature_title(claim['feature'])} ({_number(claim, _UNITS[quantity])})" for claim in named[:_MOST]
            ]
            more = f" and {len(named) - _MOST} more" if len(named) > _MOST else ""
            subject = whose if not parts else "it"
            parts.append(_SAID[quantity, sign].format(whose=subject, what=f"{', '.join(shown)}{more}"))
    corrected = ""
    if is_corrected(report):
        correction = report["correction"]
        corrected = (
            f"; corrected by gold labels of {correction['n_gold_prompts']:,} of {correction['n_prompts']:,} prompts"
        )
    first = feature_title(max(claims, key=lambda claim: abs(claim["estimate"]))["feature"])
    return Sentence(f"{'; '.join(parts)}.", first, f"{rests}{corrected}")


def _number(claim: Mapping[str, Any], unit: str) -> str:
    low, high = claim["confidence_interval"]
    between = "" if low is None else f", {format_number(low, signed=True)} to {format_number(high, signed=True)}"
    return f"{format_number(claim['estimate'], signed=True)} {unit}{between}"


def _power(family: Mapping[str, Any]) -> str:
    """Which imprints would have been found, where that is known."""
    detectable = (family["not_claimed"].get("imprint") or {}).get("detectable")
    if not detectable:
        return ""
    return (
        f": imprints from {format_number(detectable[1])} SD of reward on would have been found in 80 % of such audits"
    )


def _untested(family: Mapping[str, Any]) -> Counter[str]:
    """How many tests of the family have no p-value, by reason."""
    statuses: Counter[str] = Counter()
    for limits in family["not_claimed"].values():
        statuses.update((limits or {}).get("not_tested", {}))
    return statuses


def _seen(report: Mapping[str, Any], models: AuditedModels) -> Sentence | None:
    gaps = [gap for gap in report.get("memory", ()) if gap["quantity"] == "resistance" and gap["model"] == models.last]
    for gap in gaps:
        low, high = gap["confidence_interval"]
        if low is None or gap["gap"] is None:
            continue
        if low <= 0 <= high:
            strong, more = "no difference", "that could be told"
        else:
            strong = f"{format_points(abs(gap['gap']))} points".replace("+", "")
            more = "less" if gap["gap"] < 0 else "more"
        return Sentence(
            f"Of the pairs that it was trained on it resists {format_percent(gap['train'])}, of held-out ones "
            f"{format_percent(gap['heldout'])}: {strong} {more} ({format_points(low)} to {format_points(high)}).",
            strong,
            _sizes(report, models.last),
        )
    return None


def _sizes(report: Mapping[str, Any], model: str) -> str:
    parts = report["models"][model]["resistance"]
    return f"{parts['train']['n_pairs']:,} pairs trained on, {parts['heldout']['n_pairs']:,} held out"


def _labels(report: Mapping[str, Any]) -> Sentence | None:
    labeler = report["run"]["labeler"]
    if not labeler:
        return None
    whose_labels = "a probe that learns from gold labels" if labeler.get("kind") == "probe" else labeler["model"]
    lost = [feature_title(name) for name, found in labeler.get("learned", {}).items() if found["status"] != "ok"]
    lacks = f" It did not learn {', '.join(lost)}." if lost else ""
    gold = [
        entry["gold"]
        for entry in report["labels"].values()
        if entry.get("gold") and entry["gold"]["agreement"] is not None
    ]
    if not gold:
        return Sentence(
            f"Nobody checked the labels of {whose_labels}: there are no gold labels.", "Nobody checked the labels", ""
        )
    better = sum(is_beyond_chance(each) for each in gold)
    if is_corrected(report):
        source = (labeler.get("gold") or {}).get("source", "people")
        whose = "the teacher's labels" if source.startswith("teacher") else "people's labels"
        text = f"Labels come from {whose_labels}; claims are corrected towards {whose}.{lacks}"
        strong = "corrected"
    else:
        text = f"Labels come from {whose_labels} and are not corrected for their errors.{lacks}"
        strong = "not corrected"
    return Sentence(text, strong, f"labels agree with gold labels beyond chance for {better} of {len(gold)} features")

"""Pictures of what a model rewards: imprint, what was asked and given, surface features, drivers, labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from seal_datasets.cards import format_number, format_percent
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.claims import claimable_rows, is_corrected, is_found
from seal_datasets.report.page import charts
from seal_datasets.report.page.figure import Figure, feature_title, format_range, link_to_pairs, list_names
from seal_datasets.theme import CHOSEN, MODEL, REJECTED, SOFT

Rows = Sequence[Mapping[str, Any]]


def imprint_figure(report: Mapping[str, Any], model: str) -> Figure | None:
    """Imprints of a model in standard deviations of reward, largest first."""
    rows = _tested(claimable_rows(report, "imprint", model))
    if not rows:
        return None
    claims = _claimed(report, "imprint", model)
    # An imprint rests on the prompts within which a feature differs; its correction counts pairs.
    counted = "pairs" if is_corrected(report) else "prompts"
    found = [_row(row, "estimate", row["feature"] in claims, "SD of reward", counted) for row in rows]
    title = _rewarded(report, model) if claims else "No imprint of a declared feature can be claimed"
    return Figure(
        f"imprint_{model}",
        title,
        "How much higher a response's reward is with the feature than without, other features and the prompt held equal. "
        "Filled: a claim, or an exploratory test with q below 0.05.",
        _note(report, rows, counted),
        _numbers(rows, "estimate", counted=counted),
        lambda width: charts.dots(found, width, axis="imprint, in SD of reward"),
    )


def _rewarded(report: Mapping[str, Any], model: str) -> str:
    """Which claimed features are rewarded, and which penalised, as a sentence."""
    said = []
    for verb, sign in (("rewarded", 1), ("penalised", -1)):
        if names := _claimed(report, "imprint", model, sign):
            said.append(f"{_list(names)} {'is' if len(names) == 1 else 'are'} {verb}")
    sentence = "; ".join(said)
    return f"{sentence[:1].upper()}{sentence[1:]}"


def amplification_figure(report: Mapping[str, Any], model: str) -> Figure | None:
    """What the choices ask for and what the model gives, in log-odds, where both are known."""
    rows = _tested(claimable_rows(report, "amplification", model), "amplification")
    if not rows:
        return None
    claims = _claimed(report, "amplification", model)
    found = []
    for row in rows:
        more = "more" if row["amplification"] > 0 else "less"
        # The interval is that of the difference, drawn around what is given.
        low, high = (None if bound is None else row["asked"] + bound for bound in row["confidence_interval"])
        entry = _row(row, "given", row["feature"] in claims, "log-odds")
        told = (
            f"{feature_title(row['feature'])}: asked {format_number(row['asked'], signed=True)}, given "
            f"{format_number(row['given'], signed=True)} log-odds, {more} by {format_number(abs(row['amplification']))}; "
            f"{row['n_discordant']:,} pairs differ"
        )
        found.append({**entry, "mark": row["asked"], "low": low, "high": high, "told": told})
    title = _given(report, model) if claims else "No difference between asked and given can be claimed"
    return Figure(
        f"amplification_{model}",
        title,
        "The green tick is what people's choices ask for, the dot what the model gives, in log-odds of being preferred. The "
        "line is the interval of their difference, around the dot: where it misses the tick, they differ before adjustment. "
        "Filled: a claim.",
        _note(report, rows),
        _numbers(rows, "amplification", ("asked", "given")),
        lambda width: charts.dots(found, width, axis="log-odds of being preferred", marks=CHOSEN),
    )


def _given(report: Mapping[str, Any], model: str) -> str:
    """To which claimed features the model gives less, and to which more, than people asked for, as a sentence."""
    said: list[str] = []
    for word, sign in (("less", -1), ("more", 1)):
        if names := _claimed(report, "amplification", model, sign):
            than = "" if said else " than people asked for"
            said.append(f"{word}{than} to {_list(names)}")
    return f"The model gives {', and '.join(said)}"


def surface_figure(report: Mapping[str, Any], model: str) -> Figure | None:
    """Accuracy where a surface feature speaks for the chosen response, and where against it."""
    rows = [
        row
        for row in report["models"][model].get("congruence", {}).get("features", ())
        if row["status"] == "ok" and row["gap"] is not None
    ]
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: -abs(row["gap"]))
    found = []
    for row in rows:
        entry: dict[str, Any] = {"label": feature_title(row["feature"])}
        for place, side in enumerate(("congruent", "incongruent")):
            part = row[side]
            low, high = part["confidence_interval"]
            told = f"{entry['label']}, {side}: right in {format_percent(part['accuracy'])} of {part['n']:,} pairs"
            entry |= {
                f"value_{place}": part["accuracy"],
                f"low_{place}": low,
                f"high_{place}": high,
                f"told_{place}": told,
            }
        found.append(entry)
    notable = [row for row in rows if is_found(row)]
    title = (
        f"Accuracy turns with {_list([row['feature'] for row in notable[:2]])}"
        if notable
        else "No surface feature is found to mislead the model"
    )
    return Figure(
        f"surface_{model}",
        title,
        "How often the model prefers the chosen response, where it has more of the feature (green) and where the rejected one "
        "has more (red). A gap means that the feature helps or misleads.",
        f"{_pairs(report)}. Exploratory: q below 0.05 counts as found. Intervals by prompt.",
        [
            {
                "feature": row["feature"],
                "congruent": row["congruent"]["accuracy"],
                "n_congruent": row["congruent"]["n"],
                "incongruent": row["incongruent"]["accuracy"],
                "n_incongruent": row["incongruent"]["n"],
                "gap": row["gap"],
                "q": row.get("q_value"),
            }
            for row in rows
        ],
        lambda width: charts.two_points(found, width, axis="prefers the chosen response", colors=(CHOSEN, REJECTED)),
    )


def drivers_figure(report: Mapping[str, Any], model: str) -> Figure | None:
    """Which features of either response go with alignment."""
    part = report["correction"]["models"][model] if is_corrected(report) else report["models"][model]
    rows = _tested(part["drivers"].get("drivers", ()), "coefficient")
    if not rows:
        return None
    found = [
        {
            **_row(row, "coefficient", is_found(row), "log-odds"),
            "label": f"{feature_title(row['feature'])}, {row['side']}",
        }
        for row in rows
    ]
    notable = sum(is_found(row) for row in rows)
    return Figure(
        f"drivers_{model}",
        f"{notable} of {len(rows)} drivers of alignment are found" if notable else "No driver of alignment is found",
        "Log-odds that the model agrees with people (Eq. 3): right of 0 the feature goes with alignment, left with resistance.",
        _note(report, rows),
        _numbers(rows, "coefficient", ("side",)),
        lambda width: charts.dots(found, width, axis="log-odds of alignment"),
    )


def is_beyond_chance(gold: Mapping[str, Any]) -> bool:
    """Whether labels agree with gold labels more than by chance: the interval of their kappa lies above 0."""
    low = gold["kappa_interval"][0]
    return low is not None and bool(low > 0)


def labels_figure(report: Mapping[str, Any]) -> Figure | None:
    """How often labels are right, beside always giving the commonest answer."""
    rows = {name: entry["gold"] for name, entry in report["labels"].items() if entry.get("gold") and entry["gold"]["n"]}
    rows = {name: gold for name, gold in rows.items() if None not in (gold["agreement"], gold["majority_share"])}
    if not rows:
        return None
    found = []
    for name, gold in sorted(rows.items(), key=lambda item: item[1]["majority_share"] - item[1]["agreement"]):
        low, high = gold["confidence_interval"]
        better = is_beyond_chance(gold)
        told = (
            f"{feature_title(name)}: right in {format_percent(gold['agreement'])} of {gold['n']:,} gold texts; the "
            f"commonest answer in {format_percent(gold['majority_share'])}"
        )
        found.append(
            {
                "label": feature_title(name),
                "value": gold["agreement"],
                "low": low,
                "high": high,
                "mark": gold["majority_share"],
                "found": better,
                "color": MODEL if better else SOFT,
                "told": told,
            }
        )
    weak = [row["label"] for row in found if not row["found"]]
    return Figure(
        "labels",
        f"Labels agree with gold labels beyond chance for {len(found) - len(weak)} of {len(found)} features",
        "The dot is the share of gold texts whose label is right, the tick that of always giving the commonest answer. Filled: "
        "the 95 % interval of Cohen's kappa lies above 0.",
        f"{sum(gold['n'] for gold in rows.values()):,} gold labels. Intervals by prompt.",
        [
            {
                **{"feature": name, "n": gold["n"], "agreement": gold["agreement"]},
                **dict(zip(("low", "high"), gold["confidence_interval"], strict=True)),
                **{"majority_share": gold["majority_share"], "kappa": gold["kappa"]},
                **dict(zip(("kappa_low", "kappa_high"), gold["kappa_interval"], strict=True)),
            }
            for name, gold in rows.items()
        ],
        partial(charts.dots, found, axis="right labels", zero=None, percent=True, marks=SOFT),
    )


def _tested(rows: Iterable[Mapping[str, Any]], value: str = "estimate") -> list[Mapping[str, Any]]:
    kept = [row for row in rows if row["status"] == "ok" and row.get(value) is not None]
    return sorted(kept, key=lambda row: -row[value])


def _row(row: Mapping[str, Any], value: str, found: bool, unit: str, counted: str = "pairs") -> dict[str, Any]:
    label = feature_title(row["feature"])
    low, high = row["confidence_interval"]
    between = "" if low is None else f" ({format_number(low, signed=True)} to {format_number(high, signed=True)})"
    return {
        "label": label,
        "value": row[value],
        "low": low,
        "high": high,
        "found": found or is_found(row),
        "color": MODEL,
        "href": link_to_pairs(row["feature"]),
        "told": f"{label}: {format_number(row[value], signed=True)} {unit}{between}; {row['n_discordant']:,} {counted} differ",
    }


def _numbers(rows: Rows, value: str, more: Sequence[str] = (), counted: str = "pairs") -> list[dict[str, Any]]:
    return [
        {
            "feature": row["feature"],
            **{name: row[name] for name in more},
            value: row[value],
            "low": row["confidence_interval"][0],
            "high": row["confidence_interval"][1],
            "p_value": row["p_value"],
            "p_adjusted_or_q": row.get("p_primary", row.get("q_value")),
            f"{counted}_that_differ": row["n_discordant"],
        }
        for row in rows
    ]


def _claimed(report: Mapping[str, Any], quantity: str, model: str, sign: int = 0) -> list[str]:
    """Features with a claim on a quantity of a model; with a sign, those whose estimate has it."""
    return [
        claim["feature"]
        for claim in report["claims"]
        if claim["quantity"] == quantity and claim["model"] == model and (not sign or claim["estimate"] * sign > 0)
    ]


def _list(features: Sequence[str]) -> str:
    return list_names([feature_title(name) for name in features])


def _pairs(report: Mapping[str, Any]) -> str:
    return "Held-out pairs" if report["population"]["estimated_on"] == "heldout" else "All pairs"


def _note(report: Mapping[str, Any], rows: Rows, counted: str = "pairs") -> str:
    models = models_of(report["run"])
    corrected = ""
    if is_corrected(report):
        found = report["correction"]
        corrected = f" Corrected by gold labels of {found['n_gold_prompts']:,} of {found['n_prompts']:,} prompts."
    several = f" Of {models.last}, the last of {len(models.audited)} models." if len(models.audited) > 1 else ""
    differ = f"{format_range([row['n_discordant'] for row in rows])} {counted} differ in a feature"
    return f"{_pairs(report)}; {differ}. 95 % intervals by prompt.{corrected}{several}"

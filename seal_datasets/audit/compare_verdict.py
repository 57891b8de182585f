"""The verdict of a comparison: a few sentences, each of a test that supports it after adjustment, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seal_datasets.cards import format_interval, format_number, format_percent, is_significant
from seal_datasets.report.headline import lowest_models
from seal_datasets.report.page.figure import feature_title
from seal_datasets.report.page.verdict import Sentence, ranks

_MOST = 3
_UNPAIRED = "independent estimates"


def compare_verdict(result: Mapping[str, Any]) -> list[Sentence]:
    """Say what a comparison found, in at most six sentences.

    Args:
        result (`Mapping[str, Any]`): From `compare_audits`.

    Returns:
        `list[Sentence]`: The sentences, most important first.
    """
    found = [_failed(result), _ranks(result["shared"]), _resistance(result), _imprints(result), _robustness(result)]
    found += [_disagree(result), _caution(result)]
    return [sentence for sentence in found if sentence is not None]


def compare_steps(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what to do after a comparison.

    Args:
        result (`Mapping[str, Any]`): From `compare_audits`.

    Returns:
        `list[tuple[str, str]]`: Sentences, each with the state of the page that shows what it speaks of; empty for none.
    """
    shared, steps = result["shared"], []
    if shared and shared["disagree"]["count"]:
        split = max(shared["splits"], key=lambda row: row["count"])
        places = [shared["models"].index(split[key]) for key in ("prefers", "not")]
        which = f"{split['prefers']} prefers the chosen response and {split['not']} does not"
        text = f"Read the {split['count']:,} pairs in which {which}."
        steps.append((text, f"#split={places[0]}.{places[1]}"))
    if not shared:
        lacking = [model["audit"] for model in result["models"] if not model["has_pairs"]]
        text = (
            "Give folders of audits, or published audits with texts: the pairs of the reports given here are not beside them."
            if lacking
            else "Audit the same pairs with each model (`seal audit DATA --model MODEL --out FOLDER`): differences on shared "
            "pairs are tested pair by pair."
        )
        steps.append((text, ""))
    if not any(row["quantity"] == "robustness" for row in result["estimates"]):
        steps.append(
            ("Rewrite a share of the pairs to compare robustness: `seal audit` with `--rewrite-share 0.01`.", "")
        )
    return steps


def _failed(result: Mapping[str, Any]) -> Sentence | None:
    failed = [model["name"] for model in result["models"] if model["failed_checks"]]
    if not failed:
        return None
    return Sentence(
        f"The scores of {' and '.join(failed)} failed checks: read nothing else before these are mended.",
        "failed checks",
        "`doctor.json` of the audits",
    )


def _ranks(shared: Mapping[str, Any] | None) -> Sentence | None:
    """Which model is best on the shared pairs, with its share where one is."""
    if not shared or (found := ranks(shared)) is None:
        return None
    best = lowest_models(shared)
    if len(best) > 1:
        return found
    entry = shared["resistance"][best[0]]
    low, high = entry["confidence_interval"]
    interval = "" if low is None else f" ({format_interval((1 - high, 1 - low))})"
    text = f"{found.text.rstrip('.')}: in {format_percent(1 - entry['alignment_resistance'])} of pairs{interval}."
    return Sentence(text, found.strong, found.rests_on)


def _resistance(result: Mapping[str, Any]) -> Sentence | None:
    rows = _tested(result, "resistance")
    if not rows:
        return None
    if len(rows) > 1:
        # Ranks of all models say the same.
        ranked = (result["shared"] or {}).get("ranking") and len(result["shared"]["models"]) == len(result["models"])
        return None if ranked else _resistances(rows)
    row = rows[0]
    earlier, later = (1 - score for score in _levels(result, row))
    said = (
        f"{row['later']} prefers what people chose in {format_percent(later)} of pairs, {row['earlier']} in "
        f"{format_percent(earlier)}"
    )
    interval = _points(row, -1)
    rests = f"alignment: one test, {row['test']}; error 5 %"
    if is_significant(row):
        strong = f"{abs(100 * row['difference']):.1f} points {'more' if row['difference'] < 0 else 'less'} often"
        return Sentence(f"{said}: {strong}{interval}.", strong, rests)
    strong = "whether they differ cannot be told"
    return Sentence(f"{said}; {strong}{interval}.", strong, rests)


def _resistances(rows: Sequence[Mapping[str, Any]]) -> Sentence:
    found = sorted(filter(is_significant, rows), key=lambda row: -abs(row["difference"]))
    rests = f"alignment: {_family(rows)}"
    if not found:
        strong = "cannot be told"
        return Sentence(
            f"Which model prefers what people chose more often {strong}: none of {len(rows)} differences is found.",
            strong,
            rests,
        )
    first = found[0]
    more, less = (first["later"], first["earlier"]) if first["difference"] < 0 else (first["earlier"], first["later"])
    strong = f"{abs(100 * first['difference']):.1f} points"
    said = f"{more} prefers what people chose more often than {less}, by {strong}"
    interval = _points(first, 1 if more == first["earlier"] else -1)
    others = f"the largest of {len(found)} differences found" if len(found) > 1 else "the only difference found"
    return Sentence(f"{said}{interval}: {others}, of {len(rows)} tested.", strong, rests)


def _imprints(result: Mapping[str, Any]) -> Sentence:
    rows = _tested(result, "imprint")
    if not rows:
        return Sentence("No imprint could be compared: no feature was tested in both audits.")
    found = sorted(filter(is_significant, rows), key=lambda row: -abs(row["difference"]))
    rests = f"imprints: {_family(rows)}; intervals are not adjusted"
    if not found:
        strong = "No imprint is found to differ"
        n_features = len({row["of"] for row in rows})
        return Sentence(f"{strong}, of {n_features} feature{'s' * (n_features > 1)} compared.", strong, rests)
    by_feature: dict[str, list[Mapping[str, Any]]] = {}
    for row in found:
        by_feature.setdefault(row["of"], []).append(row)
    parts = [_one_feature(each) for each in list(by_feature.values())[:_MOST]]
    rest = len(by_feature) - len(parts)
    more = f"; {rest} more feature{'s differ' if rest > 1 else ' differs'}" if rest else ""
    return Sentence(f"{'; '.join(parts)}{more}.", feature_title(str(found[0]["of"])), rests)


def _robustness(result: Mapping[str, Any]) -> Sentence | None:
    """The largest difference found in what rewriting costs."""
    rows = _tested(result, "robustness")
    row = max(filter(is_significant, rows), key=lambda row: abs(row["difference"]), default=None)
    if row is None:
        return None
    more, less = (row["later"], row["earlier"]) if row["difference"] < 0 else (row["earlier"], row["later"])
    strong = f"Rewriting ({row['of']}) is worse for {more} than for {less}"
    said = f"{strong}: its change of alignment is {abs(100 * row['difference']):.1f} points lower"
    interval = _points(row, 1 if more == row["later"] else -1)
    return Sentence(f"{said}{interval}.", strong, f"robustness: {_family(rows)}")


def _one_feature(rows: Sequence[Mapping[str, Any]]) -> str:
    """The largest difference found in a feature, and how many there are."""
    row, sign = rows[0], 1 if rows[0]["difference"] > 0 else -1
    more, less = (row["later"], row["earlier"]) if sign > 0 else (row["earlier"], row["later"])
    low, high = row["confidence_interval"]
    between = "" if low is None or high is None else f", {' to '.join(_signed(sorted((sign * low, sign * high))))}"
    others = f", the largest of {len(rows)} differences found in it" if len(rows) > 1 else ""
    size = format_number(abs(row["difference"]), signed=True)
    return f"{more} gives more for {feature_title(str(row['of']))} than {less} ({size} SD of reward{between}){others}"


def _signed(values: Sequence[float]) -> list[str]:
    return [format_number(value, signed=True) for value in values]


def _disagree(result: Mapping[str, Any]) -> Sentence | None:
    shared = result["shared"]
    if not shared:
        return None
    found = shared["disagree"]
    strong = f"on {found['count']:,} of {shared['n_pairs']:,} shared pairs"
    interval = format_interval(found["confidence_interval"])
    some = len(shared["models"]) < len(result["models"])
    whose = f"The models of {' and '.join(shared['audits'])}" if some else "The models"
    said = f"{whose} disagree {strong} ({format_percent(found['share'])}, {interval})"
    return Sentence(
        f"{said}: some prefer the chosen response and others do not.",
        strong,
        f"{shared['n_pairs']:,} pairs of {shared['n_prompts']:,} prompts that {', '.join(shared['audits'])} all have",
    )


def _caution(result: Mapping[str, Any]) -> Sentence | None:
    """What a test of audits without shared pairs cannot tell."""
    unpaired = [row for row in result["differences"] if row["test"] == _UNPAIRED]
    if not unpaired:
        return None
    if not all(model["has_pairs"] for model in result["models"]):
        strong = "taken as independent"
        text = f"Audits whose pairs are not at hand are {strong}: if they rest on the same pairs, these tests are off."
    else:
        strong = "the data as well as the model"
        text = f"Audits without shared pairs are taken as independent: a difference may come from {strong}."
    return Sentence(text, strong)


def _tested(result: Mapping[str, Any], quantity: str) -> list[Mapping[str, Any]]:
    rows = result["differences"]
    return [row for row in rows if row["quantity"] == quantity and row["difference"] is not None]


def _levels(result: Mapping[str, Any], row: Mapping[str, Any]) -> list[float]:
    """Resistance of both models of a difference, on the pairs that it was tested on."""
    shared = result["shared"]
    names = (row["earlier"], row["later"])
    if shared and row["test"] != _UNPAIRED and set(names) <= shared["resistance"].keys():
        return [float(shared["resistance"][name]["alignment_resistance"]) for name in names]
    by_model = next(each["by_model"] for each in result["estimates"] if each["quantity"] == row["quantity"])
    return [float(by_model[name]["estimate"]) for name in names]


def _points(row: Mapping[str, Any], sign: int) -> str:
    """An interval in points, in the direction of a sentence."""
    low, high = row["confidence_interval"]
    if low is None or high is None:
        return ""
    low, high = sorted(round(100 * sign * bound, 1) + 0.0 for bound in (low, high))  # no minus before a zero
    return f" ({low:+.1f} to {high:+.1f})"


def _family(rows: Sequence[Mapping[str, Any]]) -> str:
    tested = [row for row in rows if row["p_adjusted"] is not None]
    kinds = " and ".join(dict.fromkeys(str(row["test"]) for row in rows))
    return f"{len(tested)} test{'s' * (len(tested) != 1)} ({kinds}), error 5 % over all of them (Holm)"

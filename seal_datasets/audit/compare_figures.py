"""Pictures of a comparison: levels of each model, differences with their tests, and who disagrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from seal_datasets.cards import format_number, format_percent, is_significant
from seal_datasets.report.page import charts
from seal_datasets.report.page.draw import as_png, with_title
from seal_datasets.report.page.figure import Figure, feature_title
from seal_datasets.report.page.pair_figures import ranked_figure
from seal_datasets.report.page.side_by_side_chart import side_by_side
from seal_datasets.theme import MODEL, MODELS, PAPER, SHAPES, WIDE

if TYPE_CHECKING:
    import altair as alt

Rows = Sequence[Mapping[str, Any]]

_SCALES = {
    "resistance": (-100.0, "percentage points"),
    "imprint": (1.0, "SD of reward per SD of the feature"),
    "robustness": (100.0, "percentage points"),
}
_NAMES = {"resistance": "of alignment", "imprint": "of imprints", "robustness": "of robustness"}
_LEADS = {
    "resistance": "How much more often a model prefers the chosen response",
    "imprint": "How much more a model gives for a feature",
    "robustness": "How much higher the change of alignment by rewriting is",
}
_MOST = 12
"""Rows of a picture; the table below it holds all."""


def ranking_figure(result: Mapping[str, Any]) -> Figure | None:
    """Models by resistance on the pairs that they share, each with the interval of its rank."""
    shared = result["shared"]
    if not shared or "ranking" not in shared:
        return None
    return ranked_figure(shared, shared["resistance"])


def resistance_figure(result: Mapping[str, Any]) -> Figure | None:
    """How often each model prefers the chosen response, most often first."""
    found = [row for row in result["estimates"] if row["quantity"] == "resistance"]
    sizes = {model["name"]: model["n_pairs"] for model in result["models"]}
    rows = []
    for name, entry in (found[0]["by_model"] if found else {}).items():
        if entry["estimate"] is None:
            continue
        low, high = entry["confidence_interval"]
        score = 1 - entry["estimate"]
        bounds = (None, None) if low is None or high is None else (1 - high, 1 - low)
        told = f"{name}: prefers the chosen response in {format_percent(score)} of pairs"
        rows.append(
            {"label": name, "value": score, "low": bounds[0], "high": bounds[1], "found": True, "told": told}
            | {"color": MODELS[_place(result, name) % len(MODELS)], "n": sizes[name]}
        )
    if not rows:
        return None
    rows.sort(key=lambda row: -row["value"])
    first, last = (format_percent(rows[place]["value"]) for place in (0, -1))
    fewest, most = (f"{pick(row['n'] for row in rows):,}" for pick in (min, max))
    return Figure(
        "resistance",
        f"The models prefer what people chose in {last} to {first} of pairs",
        "Share of pairs in which a model gives the chosen response the higher reward, as its own audit says; the line at 50 % "
        "is a coin.",
        f"{fewest if fewest == most else f'{fewest} to {most}'} pairs used by an audit. 95 % intervals by prompt.",
        [{"model": row["label"], **{key: row[key] for key in ("value", "low", "high", "n")}} for row in rows],
        lambda width: charts.dots(rows, width, axis="prefers the chosen response", zero=0.5, percent=True),
    )


def imprints_figure(result: Mapping[str, Any]) -> Figure | None:
    """Imprints of all models below each other, by feature, largest first."""
    return _levels(
        [row for row in result["estimates"] if row["quantity"] == "imprint"],
        result,
        name="imprints",
        title=_differing(result, "imprint", "features"),
        lead="How a response's reward goes with each feature, other features and the prompt held equal: in standard deviations "
        "of reward for each one of the feature, so that models with other units compare. Filled: the models are found to "
        "differ in this feature.",
        axis="imprint, in SD of reward per SD of the feature",
    )


def robustness_figure(result: Mapping[str, Any]) -> Figure | None:
    """Change of alignment by rewriting, of all models below each other."""
    return _levels(
        [row for row in result["estimates"] if row["quantity"] == "robustness"],
        result,
        name="robustness",
        title=_differing(result, "robustness", "kinds of rewriting"),
        lead="Share of pairs in which the chosen response is preferred after rewriting, less that before. Filled: the models "
        "are found to differ.",
        axis="change, in percentage points",
        scale=100.0,
    )


def _levels(
    estimates: Rows, result: Mapping[str, Any], *, scale: float = 1.0, name: str, title: str, lead: str, axis: str
) -> Figure | None:
    different = {(row["quantity"], row["of"]) for row in result["differences"] if is_significant(row)}
    rows: list[dict[str, Any]] = []
    for row in estimates:
        for model, entry in row["by_model"].items():
            if entry["estimate"] is None:
                continue
            value, low, high = (
                None if each is None else scale * each for each in (entry["estimate"], *entry["confidence_interval"])
            )
            place, label = _place(result, model), feature_title(str(row["of"]))
            rows.append(
                {"label": label, "model": model, "value": value, "low": low, "high": high}
                | {"found": (row["quantity"], row["of"]) in different, "of": row["of"]}
                | {"color": MODELS[place % len(MODELS)], "shape": SHAPES[place % len(SHAPES)]}
                | {"told": f"{label}, {model}: {_between(value, low, high)}", "href": _link(result, str(row["of"]))}
            )
    if not rows:
        return None
    by_label = {row["label"]: max(abs(each["value"]) for each in rows if each["label"] == row["label"]) for row in rows}
    found_first = {row["label"]: not row["found"] for row in rows}
    kept = sorted(by_label, key=lambda label: (found_first[label], -by_label[label]))[:_MOST]
    means = {label: _mean([row["value"] for row in rows if row["label"] == label]) for label in kept}
    shown = sorted((row for row in rows if row["label"] in means), key=lambda row: -means[row["label"]])
    models = [model["name"] for model in result["models"]]
    more = f" {len(by_label) - len(kept)} more, with smaller values, are in the table." if len(by_label) > _MOST else ""
    return Figure(
        name,
        title,
        lead,
        f"{len(models)} models, each on its own audit's pairs. 95 % intervals by prompt, not adjusted.{more}",
        [{"of": row["of"], **{key: row[key] for key in ("model", "value", "low", "high")}} for row in rows],
        lambda width: side_by_side(shown, models, width, axis=axis),
    )


def differences_figure(result: Mapping[str, Any], quantity: str) -> Figure | None:
    """Differences between every two compared models, those found first, with the test behind each."""
    rows = [row for row in result["differences"] if row["quantity"] == quantity and row["difference"] is not None]
    if not rows:
        return None
    scale, unit = _SCALES[quantity]
    several = len({(row["earlier"], row["later"]) for row in rows}) > 1
    shown = sorted(rows, key=lambda row: (not is_significant(row), -abs(row["difference"])))[:_MOST]
    dots = []
    for row in sorted(shown, key=lambda row: -scale * row["difference"]):
        two = f"{row['later']} − {row['earlier']}" if row["of"] else f"{row['later']}\n− {row['earlier']}"
        of = feature_title(str(row["of"])) if row["of"] else ""
        value, low, high = _scaled(row, scale)
        label = "\n".join(part for part in (of, two if several or not of else "") if part)
        said = ": ".join(part for part in (of, two.replace("\n", " ")) if part)
        dots.append(
            {"label": label, "value": value, "low": low, "high": high, "found": is_significant(row), "color": MODEL}
            | {"told": f"{said}: {_between(value, low, high)} {unit}", "href": _link(result, str(row["of"]))}
        )
    found = sum(map(is_significant, rows))
    tested = sum(row["p_adjusted"] is not None for row in rows)
    kinds = " and ".join(dict.fromkeys(str(row["test"]) for row in rows))
    more = f" {len(rows) - len(shown)} more differences are in the table." if len(rows) > len(shown) else ""
    only = "" if several else f" Model {rows[0]['later']} less {rows[0]['earlier']}."
    return Figure(
        f"differences_{quantity}",
        _found(rows, quantity, found, tested),
        f"{_LEADS[quantity]}: the later audit's model less the earlier one's.{only} Filled: below 0.05 after Holm's adjustment "
        f"over {tested} test{'s' * (tested != 1)}.",
        f"Tests: {kinds}. 95 % intervals, not adjusted.{more}",
        [
            {"of": row["of"], "later": row["later"], "earlier": row["earlier"]}
            | dict(zip(("difference", "low", "high"), _scaled(row, scale), strict=True))
            | {"p_value": row["p_value"], "p_adjusted": row["p_adjusted"], "test": row["test"]}
            for row in rows
        ],
        lambda width: charts.dots(dots, width, axis=f"difference, in {unit}"),
    )


def _scaled(row: Mapping[str, Any], scale: float) -> tuple[float, float | None, float | None]:
    """A difference and its interval in the units of a picture; a negative scale turns both round."""
    low, high = (None if bound is None else scale * bound for bound in row["confidence_interval"])
    return (scale * row["difference"], low, high) if scale > 0 else (scale * row["difference"], high, low)


def _found(rows: Rows, quantity: str, found: int, tested: int) -> str:
    """How many differences are found, as a title."""
    if len(rows) > 1:
        return f"{found or 'None'} of {tested} differences {_NAMES[quantity]} {'are' if found > 1 else 'is'} found"
    row = rows[0]
    if not found:
        return f"Whether {row['later']} and {row['earlier']} differ in {_NAMES[quantity][3:]} cannot be told"
    return f"{row['later']} and {row['earlier']} differ in {_NAMES[quantity][3:]}"


def splits_figure(result: Mapping[str, Any]) -> Figure | None:
    """Pairs in which one model prefers the chosen response and another does not, by the two models."""
    shared = result["shared"]
    if not shared:
        return None
    places = {name: place for place, name in enumerate(shared["models"])}
    rows = []
    for split in sorted(shared["splits"], key=lambda row: -row["share"])[:_MOST]:
        low, high = split["confidence_interval"]
        label = f"{split['prefers']},\nnot {split['not']}"
        told = f"{split['prefers']}, not {split['not']}"
        rows.append(
            {"label": label, "value": split["share"], "low": low, "high": high, "found": True, "color": MODEL}
            | {"href": f"#split={places[split['prefers']]}.{places[split['not']]}"}
            | {"told": f"{told}: {split['count']:,} of {shared['n_pairs']:,} pairs ({format_percent(split['share'])})"}
        )
    disagree = shared["disagree"]
    more = f" {len(shared['splits']) - len(rows)} more are in the table." if len(shared["splits"]) > len(rows) else ""
    return Figure(
        "splits",
        f"The models disagree on {format_percent(disagree['share'])} of the pairs that they share",
        "Share of pairs in which the first model prefers the chosen response and the second does not. On the page, a dot "
        "leads to its pairs.",
        f"{shared['n_pairs']:,} pairs of {shared['n_prompts']:,} prompts. 95 % intervals by prompt.{more}",
        [
            {"prefers_chosen": row["prefers"], "does_not": row["not"], "pairs": row["count"], "share": row["share"]}
            | dict(zip(("low", "high"), row["confidence_interval"], strict=True))
            for row in shared["splits"]
        ],
        lambda width: charts.dots(rows, width, axis="share of shared pairs", zero=None, percent=True),
    )


def draw_comparison(result: Mapping[str, Any], path: Path) -> None:
    """Draw resistance, imprints and robustness of all models, as dots with 95 % intervals.

    Args:
        result (`Mapping[str, Any]`): From `compare_audits`.
        path (`Path`): PNG file to write.
    """
    import altair as alt  # slow to import, and needed here only

    made = (resistance_figure(result), imprints_figure(result), robustness_figure(result))
    parts: list[alt.Chart | alt.LayerChart] = [figure.draw(WIDE) for figure in made if figure is not None]
    title = f"Audits of {len(result['models'])} models"
    path.write_bytes(as_png(with_title(alt.vconcat(*parts), title, "95 % intervals"), PAPER))


def _differing(result: Mapping[str, Any], quantity: str, kinds: str) -> str:
    """In how many features the models are found to differ, of those that two of them have."""
    rows = [row for row in result["differences"] if row["quantity"] == quantity and row["p_adjusted"] is not None]
    tested, found = ({row["of"] for row in each} for each in (rows, filter(is_significant, rows)))
    if not tested:
        return f"Whether the models differ in any of the {kinds} was not tested"
    if not found:
        return f"The models are not found to differ in any of {len(tested)} {kinds}"
    return f"The models differ in {len(found)} of {len(tested)} {kinds}"


def _place(result: Mapping[str, Any], name: str) -> int:
    return [model["name"] for model in result["models"]].index(name)


def _link(result: Mapping[str, Any], feature: str) -> str | None:
    """The disagreeing pairs that differ in a feature, where the page holds them."""
    shared = result["shared"]
    return f"#split=any&differs={quote(feature)}" if shared and feature in shared["features"] else None


def _between(value: float | None, low: float | None, high: float | None) -> str:
    between = "" if low is None else f" ({format_number(low, signed=True)} to {format_number(high, signed=True)})"
    return f"{format_number(value, signed=True)}{between}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

"""Write what an audit found: `report.md` for people, `report.json` for programs, figures beside them.

Everything is computed from the audit's own `pairs.parquet` and `run.json`, so whoever has the folder can make the
report again and compare: `seal report FOLDER --check`. No statistics live here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset

from seal_datasets.analyze import analyze
from seal_datasets.analyze_rewrites import analyze_rewrites
from seal_datasets.cards import escape_markdown, render_card
from seal_datasets.errors import DataError
from seal_datasets.figures import REGIMES, draw_figures
from seal_datasets.surface import SURFACE_FEATURES
from seal_datasets.taxonomy import Feature

PAIRS_FILE = "pairs.parquet"
RUN_FILE = "run.json"
REPORT_FILE = "report.json"

Json = dict[str, Any]


def write_report(folder: str | Path) -> Json:
    """Compute every quantity from an audit's folder and write the report, its figures and a dataset card.

    Args:
        folder (`str` or `Path`): Holds `pairs.parquet` and `run.json`.

    Returns:
        `dict[str, Any]`: The content of `report.json`.

    Raises:
        DataError: A file is missing or unreadable.
        MissingExtraError: matplotlib is not installed.
    """
    folder = Path(folder)
    pairs, run = read_audit(folder)
    report = _compute(pairs, run)
    (folder / REPORT_FILE).write_text(dump(report), "utf-8")
    figures = draw_figures(report, _table(pairs), folder / "figures")
    (folder / "report.md").write_text(render_markdown(report, figures), "utf-8")
    card = render_card(
        "dataset_card.md",
        title=f"SEAL audit of {run['source']}",
        headline=headline(report),
        run=run,
        size_category=size_category(len(pairs)),
    )
    (folder / "README.md").write_text(card, "utf-8")
    return report


def check_report(folder: str | Path) -> list[str]:
    """Compute everything again and name each entry of `report.json` that differs.

    Args:
        folder (`str` or `Path`): A finished audit.

    Returns:
        `list[str]`: Dotted names of the entries that differ; empty when the report stands.

    Raises:
        DataError: A file is missing or unreadable.
    """
    folder = Path(folder)
    pairs, run = read_audit(folder)
    again = json.loads(dump(_compute(pairs, run)))
    return sorted(differences(read_json(folder / REPORT_FILE), again))


def _compute(pairs: Dataset, run: Json) -> Json:
    features = features_of(run)
    report = {"run": run, **analyze(pairs, features, tie_band=run.get("tie_band", 0.0))}
    if rewrites := run.get("rewrites"):
        labelled = [each for each in features if each not in SURFACE_FEATURES]
        report["rewrites"] = analyze_rewrites(
            pairs,
            labelled,
            presets=rewrites["presets"],
            axes=rewrites["axes"],
            min_similarity=rewrites["min_similarity"],
        )
    return report


def features_of(run: Mapping[str, Any]) -> list[Feature]:
    """The features an audit used, as recorded in its `run.json`."""
    return [Feature(**{**row, "values": tuple(map(tuple, row["values"]))}) for row in run["features"]]


def headline(report: Mapping[str, Any]) -> list[str]:
    """The few lines a reader needs first, as plain sentences with their n.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `list[str]`: One sentence each.
    """
    resistance = report["resistance"]["all"]
    shares = {name: entry["share"] for name, entry in resistance["regimes"].items()}
    lines = [
        f"Alignment resistance {_rate(resistance, 'alignment_resistance')} on {resistance['n_pairs']:,} pairs: the "
        "post-training model does not prefer the response that humans chose.",
        f"Alignment score {_percent(resistance['pre_alignment_score'])} before training, "
        f"{_percent(resistance['alignment_score'])} after; {_percent(shares['became_aligned'])} of pairs became aligned, "
        f"{_percent(shares['reversed_alignment'])} were aligned before and no longer are.",
    ]
    if {"train", "heldout"} <= report["resistance"].keys():
        seen, unseen = (report["resistance"][part] for part in ("train", "heldout"))
        lines.append(
            f"Resistance {_rate(seen, 'alignment_resistance')} on the {seen['n_pairs']:,} pairs trained on, "
            f"{_rate(unseen, 'alignment_resistance')} on the {unseen['n_pairs']:,} held out."
        )
    for name, found in (report["run"].get("doctor") or {}).items():
        if found["failed"]:
            lines.append(f"The {name}-training model failed checks of its scores: {', '.join(found['failed'])}.")
    shift = report["shift"]["all"]
    lines.append(
        f"Mean reward shift {_number(shift['mean_degrees'])} degrees, signed (mean size "
        f"{_number(shift['mean_absolute_degrees'])})."
    )
    for imprint in report["imprint"].values():
        changed = [row for row in imprint.get("difference", {}).get("imprint", ()) if _significant(row)]
        changed.sort(key=lambda row: -abs(row["coefficient"] / row["std_error"]))
        if changed:
            # A weak labeler's feature may be anything but what its name says.
            sure = {each.name for each in SURFACE_FEATURES} if _is_weak(report) else {row["feature"] for row in changed}
            named = ", ".join(
                f"{row['feature']} ({row['coefficient']:+.2f}{'' if row['feature'] in sure else ', weak labels'})"
                for row in changed[:4]
            )
            lines.append(f"Training changed the imprint of: {named} (over {imprint['n_pairs']:,} pairs, adjusted).")
            break
    else:
        lines.append("No feature's imprint changed with training beyond what chance allows after adjustment.")
    return lines


def render_markdown(report: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """Lay the report out as Markdown. Texts of the dataset are never shown; every outside string is escaped.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.
        figures (`Mapping[str, str]`): File name to caption.

    Returns:
        `str`: The document.
    """
    run = report["run"]
    doctor = list(_doctor_section(run))
    blocks = [
        f"# SEAL audit of {escape_markdown(run['source'])}",
        "\n".join(f"- {line}" for line in headline(report)),
        *_warnings(report),
        _figure(figures, "table1_regimes.png"),
        "## Data",
        *_data(report),
        "## Alignment and resistance",
        _resistance_table(report),
        "## Alignment regimes and the labeler (Table 1)",
        *_regime_section(report),
        "## Reward shift",
        _figure(figures, "figure2_reward_shift.png"),
        _shift_table(report),
        _figure(figures, "figure4_shift_by_regime.png"),
        "## Feature imprint",
        *_imprint_section(report, figures),
        "## Drivers of misalignment (Eq. 3)",
        *_drivers_section(report),
        *_rewrites_section(report, figures),
        "## Labels",
        *_labels_section(report),
        *(["## Doctor", *doctor] if doctor else []),
        "## How this was made",
        *_provenance(run),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def report_blocks(report: Mapping[str, Any], figures: Mapping[str, str]) -> dict[str, str]:
    """Parts of a report as Markdown, for cards. Every outside string is escaped.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.
        figures (`Mapping[str, str]`): File name to caption.

    Returns:
        `dict[str, str]`: Name of the part to its text.
    """
    parts: dict[str, Iterable[str]] = {
        "warnings": _warnings(report),
        "data": _data(report),
        "resistance": [_resistance_table(report)],
        "regimes": [_figure(figures, "table1_regimes.png"), *_regime_section(report)],
        "shift": [_shift_table(report)],
        "imprint": _imprint_section(report, figures),
        "labels": _labels_section(report),
        "doctor": _doctor_section(report["run"]),
        "provenance": [next(_provenance(report["run"]))],
    }
    return {name: "\n\n".join(block for block in blocks if block) for name, blocks in parts.items()}


def size_category(n_rows: int) -> str:
    """The Hub's word for a dataset's size.

    Args:
        n_rows (`int`): Its rows.

    Returns:
        `str`: As the front matter of a card has it.

    Example:

    ```python
    >>> size_category(160_800)
    '100K<n<1M'

    ```
    """
    bounds = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
    return next((name for bound, name in bounds if n_rows < bound), "10M<n<100M")


def read_audit(folder: Path) -> tuple[Dataset, Json]:
    """The pairs of a finished audit, and the record of its run.

    Args:
        folder (`Path`): Holds `pairs.parquet` and `run.json`.

    Returns:
        `tuple[Dataset, dict[str, Any]]`: Both.

    Raises:
        DataError: A file is missing or unreadable.
    """
    path = folder / PAIRS_FILE
    if not path.is_file():
        raise DataError(f"{path.absolute()} does not exist; give the folder of a finished `seal audit`")
    return Dataset.from_parquet(str(path)), read_json(folder / RUN_FILE)


def read_json(path: Path) -> Json:
    """Read a JSON file of an audit.

    Args:
        path (`Path`): `run.json` or `report.json`.

    Returns:
        `dict[str, Any]`: Its content.

    Raises:
        DataError: It is missing or no JSON.
    """
    try:
        content: Json = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path.absolute()}: {error}; give the folder of a finished `seal audit`"
        ) from error
    return content


def _table(pairs: Dataset) -> pd.DataFrame:
    texts = ("prompt", "chosen", "rejected", "conversation")
    table: pd.DataFrame = pairs.remove_columns([name for name in texts if name in pairs.column_names]).to_pandas()
    return table


def dump(report: Mapping[str, Any]) -> str:
    """JSON of a report or a run, as it is written to files.

    Args:
        report (`Mapping[str, Any]`): The content.

    Returns:
        `str`: The same bytes for the same content.
    """
    return json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def differences(old: object, new: object, where: str = "") -> Iterator[str]:
    """Dotted names of the entries in which two reports differ; a float may differ in its last digits.

    Args:
        old (`object`): A report, or a part of one.
        new (`object`): Another.
        where (`str`, *optional*): Name of the part.

    Yields:
        `str`: One name each.

    Example:

    ```python
    >>> list(differences({"n": 1, "rates": [0.5, 0.25]}, {"n": 2, "rates": [0.5, 0.25]}))
    ['n']

    ```
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, f"{where}[{index}]")
    elif isinstance(old, float) and isinstance(new, float):
        # Another machine's BLAS may sum in another order.
        if abs(old - new) > 1e-9 * max(1.0, abs(old)):
            yield where
    elif old != new:
        yield where


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    run = report["run"]
    if _is_weak(report):
        checked = {name: entry["gold"] for name, entry in report["labels"].items() if entry["gold"]}
        against = ", ".join(
            f"{name} {_percent(gold['agreement'])} (always giving the commonest answer: {_percent(gold['majority_share'])})"
            for name, gold in checked.items()
        )
        yield (
            f"> **Weak labeler.** The labels come from {run['labeler']['model']}, a very small embedded model. "
            + (
                f"Agreement with gold labels: {against}. "
                if against
                else "There are no gold labels to hold it against. "
            )
            + "Read everything that rests on its labels as a demonstration; give `--labeler URL` for real work."
        )
    if "heldout" not in report["resistance"]:
        yield (
            "> **Seen or unseen?** Nothing is known of which pairs the post-training model was trained on. Resistance on "
            "training pairs measures fit, not generalisation."
        )


def _is_weak(report: Mapping[str, Any]) -> bool:
    return bool(report["run"]["labeler"] and report["run"]["labeler"].get("weak"))


_STATUSES = {
    "ok": "whole",
    "truncated": "start of prompt dropped",
    "too_long": "too long",
    "no_text": "no text",
    "not_finite": "no number",
    "given": "given by the table",
    "not_given": "no score in the table",
}


def _data(report: Mapping[str, Any]) -> Iterator[str]:
    population, diagnosis = report["population"], report["run"]["diagnosis"]
    yield (
        f"{population['n_pairs']:,} pairs ({escape_markdown(str(diagnosis['format']))} format), {population['n_used']:,} used, "
        f"over {population['n_prompts']:,} distinct prompts. Intervals and tests are clustered by prompt."
    )
    rows = [
        [name, entry["count"], escape_markdown(str(entry["first_pair_id"]))]
        for name, entry in diagnosis["problems"].items()
    ]
    if rows:
        yield "Problems found in the data; these pairs are kept and flagged:\n\n" + _markdown_table(
            ["problem", "pairs", "first pair_id"], rows
        )
    if population["excluded"]:
        yield "Pairs left out of every estimate, by reason:\n\n" + _markdown_table(
            ["reason", "pairs"], list(population["excluded"].items())
        )
    scoring = report["run"]["scoring"]
    present = [each for each in _STATUSES if any(each in counts for counts in scoring.values())]
    rows = [[model, *(counts.get(each, 0) for each in present)] for model, counts in scoring.items()]
    yield "Texts scored:\n\n" + _markdown_table(["model", *(_STATUSES[each] for each in present)], rows)


def _resistance_table(report: Mapping[str, Any]) -> str:
    rows = [
        [part, entry["n_pairs"], _percent(entry["pre_alignment_score"]), _percent(entry["alignment_score"]),
         _rate(entry, "alignment_resistance"), _between(entry.get("cluster_interval")), entry["n_ties"]]
        for part, entry in report["resistance"].items()
    ]  # fmt: skip
    return _markdown_table(
        [
            "pairs",
            "n",
            "alignment before",
            "alignment after",
            "resistance after (95 % interval)",
            "interval by prompt",
            "ties",
        ],
        rows,
    )


def _regime_section(report: Mapping[str, Any]) -> Iterator[str]:
    regimes, agreement = report["resistance"]["all"]["regimes"], report["labeler_agreement"]
    rows = []
    for name, title in REGIMES.items():
        entry, labeler = regimes[name], agreement.get("regimes", {}).get(name, {})
        rows.append(
            [title, entry["count"], _rate(entry, "share"), _rate(labeler, "agreement_rate"), labeler.get("n", 0)]
        )
    yield _markdown_table(
        ["regime", "pairs", "share (95 % interval)", "labeler agrees with the human choice", "of n"], rows
    )
    if agreement["status"] != "ok":
        yield f"Labeler preference: {agreement['status']}."
        return
    preference = agreement["preference"]
    yield (
        f"By the targets {', '.join(agreement['targets'])} in this order, the labeler prefers the chosen response in "
        f"{preference['chosen']:,} pairs and the rejected one in {preference['rejected']:,}, and is indifferent in "
        f"{preference['indifferent']:,}; agreement is taken over the first two. "
        f"Pairs that lack a target label: {agreement['n_pairs_with_missing_labels']:,}."
    )


def _shift_table(report: Mapping[str, Any]) -> str:
    rows = [
        [name.replace("_", " "), entry["n_pairs"], _number(entry["mean_degrees"]), _number(entry["median_degrees"]),
         _number(entry["mean_absolute_degrees"]), _number(entry["centred"]["mean_degrees"]),
         _number(entry["resultant_length"]), _number(entry["margin"]["mean"]), entry["n_undefined"]]
        for name, entry in report["shift"].items()
    ]  # fmt: skip
    warning = report["shift"]["all"]["warning"]
    return (
        f"The angle depends on where each model's rewards have their zero. The centred one takes off "
        f"{report['shift']['all']['reference']}; the margin's change depends on no zero."
        + (f" **Take care:** {warning}." if warning else "")
        + "\n\n"
        + _markdown_table(
            [
                "pairs",
                "n",
                "mean θ (signed °)",
                "median θ (signed °)",
                "mean size of θ (°)",
                "mean θ, centred",
                "concentration (0–1)",
                "change of margin",
                "undefined",
            ],
            rows,
        )
    )


def _imprint_section(report: Mapping[str, Any], figures: Mapping[str, str]) -> Iterator[str]:
    yield (
        "Points of reward a response gains with a feature over a response to the same prompt without it, the other features "
        "held fixed (Eq. 1, fixed effects by prompt). Associations, not causes. A feature that never differs within a prompt "
        "is *not identified*: it has no number here. Every ± is one standard error; a star marks p < 0.05 after adjustment."
    )
    yield _figure(figures, "figure3_imprint.png")
    for name, imprint in report["imprint"].items():
        yield f"### {'Surface features, every usable pair' if name == 'surface' else 'All features, pairs with every label'}"
        if imprint["status"] != "ok":
            yield f"No estimate: {imprint['status']}."
            continue
        yield (
            f"{imprint['n_pairs']:,} pairs; {imprint['n_pairs_with_missing_labels']:,} left out for a missing label. "
            f"p is adjusted ({imprint['post']['adjust']}) within each column. The detectable change is the smallest "
            "that such a test finds four times in five."
        )
        rows = [
            [before["feature"], _estimate(before), _estimate(after), _estimate(change), after["n_discordant"],
             _number(change["minimum_detectable_effect"]), _number(after["vif"]), after["status"]]
            for before, after, change in zip(
                *(imprint[model]["imprint"] for model in ("pre", "post", "difference")), strict=True
            )
        ]  # fmt: skip
        yield _markdown_table(
            [
                "feature",
                "before",
                "after",
                "after − before",
                "prompts where it differs",
                "detectable change",
                "VIF",
                "status",
            ],
            rows,
        )
        rows = [
            [row["feature"], row["side"], _estimate(row, digits=1), row["n_discordant"], row["status"]]
            for row in imprint["shift"]["imprint"]
        ]
        yield "Imprint on the reward shift, in degrees (Eq. 2):\n\n" + _markdown_table(
            ["feature", "side", "coefficient", "pairs where it differs", "status"], rows
        )


def _drivers_section(report: Mapping[str, Any]) -> Iterator[str]:
    drivers = report["drivers"]
    yield "Log-odds that the post-training model is aligned; above 0 a feature goes with alignment, below 0 with resistance."
    if "drivers" not in drivers:
        yield f"No estimate: {drivers['status']}."
        return
    yield f"{drivers['n_pairs']:,} pairs, {drivers['n_aligned']:,} aligned; {escape_markdown(str(drivers['covariance']))}."
    rows = [
        [row["feature"], row["side"], _estimate(row), _number(row["odds_ratio"]), _number(row["average_marginal_effect"], 3),
         row["n_discordant"], row["status"]]
        for row in drivers["drivers"]
    ]  # fmt: skip
    yield _markdown_table(
        ["feature", "side", "log-odds", "odds ratio", "average marginal effect", "pairs where it differs", "status"],
        rows,
    )


def _rewrites_section(report: Mapping[str, Any], figures: Mapping[str, str]) -> Iterator[str]:
    if "rewrites" not in report:
        return
    about, found = report["run"]["rewrites"], report["rewrites"]
    yield "## Rewriting: alignment robustness (Eq. 4) and effects of attributes"
    yield (
        f"Texts were rewritten by {escape_markdown(about['model'])} at {escape_markdown(about['endpoint'])}, temperature "
        f"{about['temperature']:g}, {'prompt and response' if about['whole_dialogue'] else 'the response only'}; a rewrite is "
        f"accepted when its cosine with the original is at least {about['min_similarity']:g} "
        f"({escape_markdown(about['similarity_model'])}) and every other check passes. Results hold for accepted rewrites; the "
        "last lines of each part say how the others differ. A rewriter changes more than it is told to."
    )
    if about["weak"]:
        yield "> **Weak rewriter.** A very small embedded model wrote these; give `--rewriter URL` for real work."
    yield _figure(figures, "rewrites_thresholds.png")
    for name, preset in found["presets"].items():
        yield f"### Rewrites: {name}"
        yield from _preset_part(preset)
    for name, axis in found["axes"].items():
        yield f"### There and back: {name}"
        yield from _axis_part(axis)


def _preset_part(preset: Mapping[str, Any]) -> Iterator[str]:
    texts = preset["texts"]
    reasons = list(dict.fromkeys([*texts["chosen"], *texts["rejected"]]))
    yield f"{preset['n_sampled_pairs']:,} pairs were drawn; {preset['n_pairs']:,} have two accepted rewrites and every reward."
    yield _markdown_table(
        ["what became of a rewrite", "chosen", "rejected"],
        [[reason, texts["chosen"].get(reason, 0), texts["rejected"].get(reason, 0)] for reason in reasons],
    )
    rows = [
        [model, entry["n_pairs"], _percent(entry["before"]), _percent(entry["after"]),
         f"{_points(entry['change'])} ({_points(entry['confidence_interval'][0])} to "
         f"{_points(entry['confidence_interval'][1])})", entry["n_lost"], entry["n_gained"], _number(entry["p_value"], 3)]
        for model, entry in preset["alignment"].items()
        if entry["status"] == "ok"
    ]  # fmt: skip
    if rows:
        yield _markdown_table(
            ["model", "pairs", "alignment before", "after", "change in points (95 % interval)", "lost", "gained", "p"],
            rows,
        )
    rows = [
        [f"{row['threshold']:g}", row["n_pairs"], *(_percent(row["alignment"][model][when])
         for model in row["alignment"] for when in ("before", "after"))]
        for row in preset["thresholds"]
    ]  # fmt: skip
    models = list(preset["thresholds"][0]["alignment"])
    header = [f"{model}, {when}" for model in models for when in ("before", "after")]
    yield "Alignment at other thresholds of similarity:\n\n" + _markdown_table(
        ["similarity from", "pairs", *header], rows
    )
    if preset["labels"]:
        yield "Labels that differ between original and rewrite:\n\n" + _markdown_table(
            ["feature", "texts with both", "changed (95 % interval)", "raised", "lowered"],
            [
                [name, entry["n_texts"], _rate(entry, "share"), entry["n_raised"], entry["n_lowered"]]
                for name, entry in preset["labels"].items()
            ],
        )
    yield from _robustness_part(preset["robustness"])
    yield _selection_line(preset["selection"])


def _robustness_part(robustness: Mapping[str, Any]) -> Iterator[str]:
    if "scores" not in robustness:
        yield f"Robustness scores (Eq. 4): {robustness['status']}."
        return
    yield (
        f"Robustness scores (Eq. 4): log-odds that a pair aligned before is not after, by flip of a feature; "
        f"{robustness['n_pairs']:,} pairs, {robustness['n_misaligned_by_rewriting']:,} of them misaligned by rewriting; "
        f"{robustness['n_left_out']:,} left out because a target label changed, "
        f"{robustness['n_pairs_with_missing_labels']:,} for a missing label."
    )
    yield _markdown_table(
        ["feature", "side", "rewriting", "flips", "log-odds", "odds ratio", "average marginal effect", "status"],
        [
            [row["feature"], row["side"], "lowered it" if row["direction"] == "+" else "raised it", row["n_flips"],
             _estimate(row), _number(row["odds_ratio"]), _number(row["average_marginal_effect"], 3), row["status"]]
            for row in robustness["scores"]
        ],
    )  # fmt: skip


def _selection_line(selection: Mapping[str, Any]) -> str:
    if "share_rejected" not in selection:
        return f"Selection: {selection['status']}."
    low, high = selection["share_interval"]
    line = (
        f"**Selection.** {_percent(selection['share_rejected'])} ({100 * low:.1f}–{100 * high:.1f}) of "
        f"{selection['n']:,} texts have no accepted rewrite"
    )
    if selection["difference"] is None:
        return f"{line}."
    return (
        f"{line}; the originals of accepted ones have a reward {selection['difference']:+.2f} ± "
        f"{_number(selection['standard_error'])} above the others' (p {_number(selection['p_value'], 3)})."
    )


_EFFECTS = {
    "att": "on texts with the attribute (ATT)",
    "atu": "on texts without it (ATU)",
    "ate": "on all (ATE)",
    "single_rewrite": "by one rewrite only, for comparison",
    "naive": "difference of original rewards, for comparison",
}


def _axis_part(axis: Mapping[str, Any]) -> Iterator[str]:
    if axis["status"] != "ok":
        yield f"No estimate: {axis['status']}."
        return
    there, back = (
        ", ".join(f"{reason} {count:,}" for reason, count in axis["texts"][step].items()) for step in ("there", "back")
    )
    yield (
        f"{axis['n_texts']:,} texts, with the attribute or without it by `{axis['feature']}`, were rewritten to the other "
        f"value ({there}) and back ({back}). Effects are points of reward, from the rewards of the two rewrites of the same "
        "text (RATE), with errors clustered by prompt."
    )
    rows = []
    for model, entry in axis["models"].items():
        for effect in entry["effects"]:
            value = "–" if effect["estimate"] is None else f"{effect['estimate']:+.2f}"
            error = "" if effect["standard_error"] is None else f" ± {effect['standard_error']:.2f}"
            rows.append(
                [
                    model,
                    _EFFECTS[effect["estimand"]],
                    f"{value}{error}",
                    effect["n"],
                    _number(effect["p_value"], 3),
                    effect["status"],
                ]
            )
    yield _markdown_table(["model", "effect", "points of reward", "texts", "p", "status"], rows)
    for model, entry in axis["models"].items():
        for each in entry["rejections"]:
            line = _selection_line(each).replace("**Selection.**", f"**Selection**, {model}, texts "
                                                 f"{'with' if each['attribute'] else 'without'} the attribute:")  # fmt: skip
            if each["n"]:
                yield line


def _labels_section(report: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name, entry in report["labels"].items():
        gold = entry["gold"]
        reasons = ", ".join(f"{reason} {count}" for reason, count in entry["missing_by_reason"].items())
        rows.append(
            [name, entry["role"], entry["n_texts"] - entry["n_missing"], reasons or entry["n_missing"],
             _number(entry.get("mean_chosen")), _number(entry.get("mean_rejected")),
             f"{_rate(gold, 'agreement')} of {gold['n']}, κ {_number(gold['kappa'])}" if gold else "–",
             _calibration_cell(entry.get("calibration"))]
        )  # fmt: skip
    yield _markdown_table(
        [
            "feature",
            "role",
            "labels",
            "missing",
            "mean, chosen",
            "mean, rejected",
            "agreement with gold labels",
            "probabilities",
        ],
        rows,
    )


def _calibration_cell(calibration: Mapping[str, Any] | None) -> str:
    if calibration is None:
        return "–"
    if calibration["status"] != "ok":
        return str(calibration["status"])
    return (
        f"AUC {_number(calibration['auc'])}, Brier {_number(calibration['brier'], 3)} → "
        f"{_number(calibration['brier_calibrated'], 3)} calibrated"
    )


def _kind_of_reward(model: Mapping[str, Any]) -> str:
    """What is to be known of a model that is no sequence classifier run here."""
    if reference := model.get("reference"):
        name, scale = escape_markdown(reference["model"]), f"beta {model['beta']:g}, {model['normalise']}"
        return f"; implicit reward against {name} at {reference['revision']} ({scale})"
    if model.get("url"):
        inverted = f", turned back from a {model['invert']}" if model["invert"] else ""
        return f"; served at {escape_markdown(model['url'])}{inverted}"
    return ""


def _doctor_section(run: Mapping[str, Any]) -> Iterator[str]:
    """What the models' examinations found, and the tie band that follows."""
    band, examined = run.get("tie_band", 0.0), run.get("doctor")
    if not examined and not band:
        return
    yield (
        f"Tie band {band:.3g}: rewards no further apart than this count as a tie, which is not aligned, in resistance, "
        "regimes, drivers and agreement."
    )
    for name, found in (examined or {}).items():
        failed = f"**Failed: {', '.join(found['failed'])}.**" if found["failed"] else "No check failed."
        template = f" (template {found['template_hash']})" if found["template_hash"] else ""
        yield (
            f"**The {name}-training model.** {failed} {found['n_pairs']:,} pairs were scored in every way; the jitter is "
            f"{found['tie_band']:.3g}. A text as the model is shown it{template}: {escape_markdown(found['example'])}"
        )
        yield _markdown_table(
            ["check", "result", "largest difference", "found", "to do"],
            [
                [each["name"], each["status"].replace("_", " "),
                 "–" if each["largest_difference"] is None else f"{each['largest_difference']:.3g}",
                 escape_markdown(each["detail"]), escape_markdown(each["advice"])]
                for each in found["checks"]
            ],
        )  # fmt: skip


def _provenance(run: Mapping[str, Any]) -> Iterator[str]:
    rows: list[list[object]] = [["seal_datasets", run["seal_datasets"]]]
    for name, model in run["models"].items():
        about = f"{escape_markdown(model['model'])} at {model['revision']}"
        if "architecture" in model:  # not so of rewards that the table had
            about += (
                f" ({model['architecture']}, {model['input_style']}, {model['dtype']}, at most {model['max_length']} tokens, "
                f"longer: {model['over_length']})"
            )
        rows.append([f"{name}-training model", about + _kind_of_reward(model)])
    labeler = run["labeler"]
    rows.append(
        [
            "labeler",
            f"{escape_markdown(labeler['model'])} at {escape_markdown(labeler['endpoint'])}" if labeler else "none",
        ]
    )
    if labeler:
        spent = labeler["spent"]
        rows.append(["labels cost", f"{spent['responses']} (prices of {escape_markdown(spent['prices'])})"])
    taxonomy = run["taxonomy"]
    rows.append(
        [
            "taxonomy",
            f"{escape_markdown(taxonomy['name'])} {escape_markdown(taxonomy['version'])} ({taxonomy['digest']})",
        ]
    )
    rows += [[escape_markdown(name), escape_markdown(str(value))] for name, value in (run["training"] or {}).items()]
    rows += [
        [escape_markdown(name), escape_markdown(str(value))]
        for name, value in run["settings"].items()
        if value not in (None, [])
    ]
    rows += [[name, version] for name, version in run["versions"].items()]
    yield _markdown_table(["what", "value"], rows)
    yield (
        "Every number above is in `report.json` and can be computed again from `pairs.parquet` in this folder: "
        "`seal report FOLDER --check`."
    )


def _figure(figures: Mapping[str, str], name: str) -> str:
    return f"![{figures[name]}](figures/{name})\n\n*{figures[name]}*" if name in figures else ""


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value + 0.0:+.1f}"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _rate(entry: Mapping[str, Any], key: str) -> str:
    if entry.get(key) is None:
        return "–"
    low, high = entry["confidence_interval"]
    return f"{_percent(entry[key])} ({100 * low:.1f}–{100 * high:.1f})"


def _between(interval: Sequence[float | None] | None) -> str:
    if interval is None or interval[0] is None or interval[1] is None:
        return "–"
    return f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}"


def _estimate(row: Mapping[str, Any], digits: int = 2) -> str:
    if row["coefficient"] is None:
        return "–"
    if row["std_error"] is None:
        return f"{row['coefficient']:+.{digits}f}"
    star = "\\*" if _significant(row) else ""
    return f"{row['coefficient']:+.{digits}f} ± {row['std_error']:.{digits}f}{star}"


def _significant(row: Mapping[str, Any]) -> bool:
    return row["p_adjusted"] is not None and row["p_adjusted"] < 0.05

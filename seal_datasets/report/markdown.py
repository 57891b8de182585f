"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seal_datasets.cards import escape_markdown
from seal_datasets.report.figures import REGIMES
from seal_datasets.report.headline import has_weak_labeler, headline
from seal_datasets.report.rewrites_markdown import rewrites_section
from seal_datasets.report.tables import (
    figure_block,
    format_estimate,
    format_interval,
    format_number,
    format_percent,
    format_rate,
    markdown_table,
)


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
        figure_block(figures, "table1_regimes.png"),
        "## Data",
        *_data(report),
        "## Alignment and resistance",
        _resistance_table(report),
        "## Alignment regimes and the labeler (Table 1)",
        *_regime_section(report),
        "## Reward shift",
        figure_block(figures, "figure2_reward_shift.png"),
        _shift_table(report),
        figure_block(figures, "figure4_shift_by_regime.png"),
        "## Feature imprint",
        *_imprint_section(report, figures),
        "## Drivers of misalignment (Eq. 3)",
        *_drivers_section(report),
        *rewrites_section(report, figures),
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
        "regimes": [figure_block(figures, "table1_regimes.png"), *_regime_section(report)],
        "shift": [_shift_table(report)],
        "imprint": _imprint_section(report, figures),
        "labels": _labels_section(report),
        "doctor": _doctor_section(report["run"]),
        "provenance": [next(_provenance(report["run"]))],
    }
    return {name: "\n\n".join(block for block in blocks if block) for name, blocks in parts.items()}


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    run = report["run"]
    if has_weak_labeler(report):
        checked = {name: entry["gold"] for name, entry in report["labels"].items() if entry["gold"]}
        against = ", ".join(
            f"{name} {format_percent(gold['agreement'])} (always giving the commonest answer: "
            f"{format_percent(gold['majority_share'])})"
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
        yield "Problems found in the data; these pairs are kept and flagged:\n\n" + markdown_table(
            ["problem", "pairs", "first pair_id"], rows
        )
    if population["excluded"]:
        yield "Pairs left out of every estimate, by reason:\n\n" + markdown_table(
            ["reason", "pairs"], list(population["excluded"].items())
        )
    scoring = report["run"]["scoring"]
    present = [each for each in _STATUSES if any(each in counts for counts in scoring.values())]
    rows = [[model, *(counts.get(each, 0) for each in present)] for model, counts in scoring.items()]
    yield "Texts scored:\n\n" + markdown_table(["model", *(_STATUSES[each] for each in present)], rows)


def _resistance_table(report: Mapping[str, Any]) -> str:
    rows = [
        [
            part,
            entry["n_pairs"],
            format_percent(entry["pre_alignment_score"]),
            format_percent(entry["alignment_score"]),
            format_rate(entry, "alignment_resistance"),
            format_interval(entry.get("cluster_interval")),
            entry["n_ties"],
        ]
        for part, entry in report["resistance"].items()
    ]
    return markdown_table(
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
            [
                title,
                entry["count"],
                format_rate(entry, "share"),
                format_rate(labeler, "agreement_rate"),
                labeler.get("n", 0),
            ]
        )
    yield markdown_table(
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
        [
            name.replace("_", " "),
            entry["n_pairs"],
            format_number(entry["mean_degrees"]),
            format_number(entry["median_degrees"]),
            format_number(entry["mean_absolute_degrees"]),
            format_number(entry["centred"]["mean_degrees"]),
            format_number(entry["resultant_length"]),
            format_number(entry["margin"]["mean"]),
            entry["n_undefined"],
        ]
        for name, entry in report["shift"].items()
    ]
    warning = report["shift"]["all"]["warning"]
    return (
        f"The angle depends on where each model's rewards have their zero. The centred one takes off "
        f"{report['shift']['all']['reference']}; the margin's change depends on no zero."
        + (f" **Take care:** {warning}." if warning else "")
        + "\n\n"
        + markdown_table(
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
    yield figure_block(figures, "figure3_imprint.png")
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
            [
                before["feature"],
                format_estimate(before),
                format_estimate(after),
                format_estimate(change),
                after["n_discordant"],
                format_number(change["minimum_detectable_effect"]),
                format_number(after["vif"]),
                after["status"],
            ]
            for before, after, change in zip(
                *(imprint[model]["imprint"] for model in ("pre", "post", "difference")), strict=True
            )
        ]
        yield markdown_table(
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
            [row["feature"], row["side"], format_estimate(row, digits=1), row["n_discordant"], row["status"]]
            for row in imprint["shift"]["imprint"]
        ]
        yield "Imprint on the reward shift, in degrees (Eq. 2):\n\n" + markdown_table(
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
        [
            row["feature"],
            row["side"],
            format_estimate(row),
            format_number(row["odds_ratio"]),
            format_number(row["average_marginal_effect"], 3),
            row["n_discordant"],
            row["status"],
        ]
        for row in drivers["drivers"]
    ]
    yield markdown_table(
        ["feature", "side", "log-odds", "odds ratio", "average marginal effect", "pairs where it differs", "status"],
        rows,
    )


def _labels_section(report: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name, entry in report["labels"].items():
        gold = entry["gold"]
        reasons = ", ".join(f"{reason} {count}" for reason, count in entry["missing_by_reason"].items())
        rows.append(
            [
                name,
                entry["role"],
                entry["n_texts"] - entry["n_missing"],
                reasons or entry["n_missing"],
                format_number(entry.get("mean_chosen")),
                format_number(entry.get("mean_rejected")),
                f"{format_rate(gold, 'agreement')} of {gold['n']}, κ {format_number(gold['kappa'])}" if gold else "–",
                _calibration_cell(entry.get("calibration")),
            ]
        )
    yield markdown_table(
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
        f"AUC {format_number(calibration['auc'])}, Brier {format_number(calibration['brier'], 3)} → "
        f"{format_number(calibration['brier_calibrated'], 3)} calibrated"
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
        yield markdown_table(
            ["check", "result", "largest difference", "found", "to do"],
            [
                [
                    each["name"],
                    each["status"].replace("_", " "),
                    "–" if each["largest_difference"] is None else f"{each['largest_difference']:.3g}",
                    escape_markdown(each["detail"]),
                    escape_markdown(each["advice"]),
                ]
                for each in found["checks"]
            ],
        )


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
    yield markdown_table(["what", "value"], rows)
    yield (
        "Every number above is in `report.json` and can be computed again from `pairs.parquet` in this folder: "
        "`seal report FOLDER --check`."
    )

"""The report's part on rewrites as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seal_datasets.cards import escape_markdown
from seal_datasets.report.tables import (
    figure_block,
    format_estimate,
    format_number,
    format_percent,
    format_points,
    format_rate,
    markdown_table,
)


def rewrites_section(report: Mapping[str, Any], figures: Mapping[str, str]) -> Iterator[str]:
    """The part on rewriting; nothing where there was none."""
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
    yield figure_block(figures, "rewrites_thresholds.png")
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
    yield markdown_table(
        ["what became of a rewrite", "chosen", "rejected"],
        [[reason, texts["chosen"].get(reason, 0), texts["rejected"].get(reason, 0)] for reason in reasons],
    )
    rows = [
        [
            model,
            entry["n_pairs"],
            format_percent(entry["before"]),
            format_percent(entry["after"]),
            f"{format_points(entry['change'])} ({format_points(entry['confidence_interval'][0])} to "
            f"{format_points(entry['confidence_interval'][1])})",
            entry["n_lost"],
            entry["n_gained"],
            format_number(entry["p_value"], 3),
        ]
        for model, entry in preset["alignment"].items()
        if entry["status"] == "ok"
    ]
    if rows:
        yield markdown_table(
            ["model", "pairs", "alignment before", "after", "change in points (95 % interval)", "lost", "gained", "p"],
            rows,
        )
    rows = [
        [
            f"{row['threshold']:g}",
            row["n_pairs"],
            *(
                format_percent(row["alignment"][model][when])
                for model in row["alignment"]
                for when in ("before", "after")
            ),
        ]
        for row in preset["thresholds"]
    ]
    models = list(preset["thresholds"][0]["alignment"])
    header = [f"{model}, {when}" for model in models for when in ("before", "after")]
    yield "Alignment at other thresholds of similarity:\n\n" + markdown_table(
        ["similarity from", "pairs", *header], rows
    )
    if preset["labels"]:
        yield "Labels that differ between original and rewrite:\n\n" + markdown_table(
            ["feature", "texts with both", "changed (95 % interval)", "raised", "lowered"],
            [
                [name, entry["n_texts"], format_rate(entry, "share"), entry["n_raised"], entry["n_lowered"]]
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
    yield markdown_table(
        ["feature", "side", "rewriting", "flips", "log-odds", "odds ratio", "average marginal effect", "status"],
        [
            [
                row["feature"],
                row["side"],
                "lowered it" if row["direction"] == "+" else "raised it",
                row["n_flips"],
                format_estimate(row),
                format_number(row["odds_ratio"]),
                format_number(row["average_marginal_effect"], 3),
                row["status"],
            ]
            for row in robustness["scores"]
        ],
    )


def _selection_line(selection: Mapping[str, Any]) -> str:
    if "share_rejected" not in selection:
        return f"Selection: {selection['status']}."
    low, high = selection["share_interval"]
    line = (
        f"**Selection.** {format_percent(selection['share_rejected'])} ({100 * low:.1f}–{100 * high:.1f}) of "
        f"{selection['n']:,} texts have no accepted rewrite"
    )
    if selection["difference"] is None:
        return f"{line}."
    return (
        f"{line}; the originals of accepted ones have a reward {selection['difference']:+.2f} ± "
        f"{format_number(selection['standard_error'])} above the others' (p {format_number(selection['p_value'], 3)})."
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
                    format_number(effect["p_value"], 3),
                    effect["status"],
                ]
            )
    yield markdown_table(["model", "effect", "points of reward", "texts", "p", "status"], rows)
    for model, entry in axis["models"].items():
        for each in entry["rejections"]:
            line = _selection_line(each).replace(
                "**Selection.**",
                f"**Selection**, {model}, texts {'with' if each['attribute'] else 'without'} the attribute:",
            )
            if each["n"]:
                yield line

"""The numbers of every section as tables, for papers (LaTeX) and spreadsheets (CSV)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal_datasets.report.audited_models import models_of
from seal_datasets.report.claims import is_corrected
from seal_datasets.report.latex import to_latex
from seal_datasets.report.page import feature_figures, label_figures, pair_figures, rewrite_figures
from seal_datasets.report.page.figure import Figure, to_csv

Rows = list[dict[str, Any]]

FOLDER = "tables"
"""Folder of the tables in that of a report."""

NAMES = {
    "resistance": "Alignment and resistance of each model.",
    "ranking": "Models by resistance, with intervals of their ranks.",
    "regimes": "Alignment regimes from the baseline to each model (SEAL, Table 1).",
    "groups": "Resistance by subset of the source.",
    "responses": "Prompts with several responses: best of n, the Ties score, the gap by style.",
    "imprint": "Feature imprint (SEAL, Eq. 1), in standard deviations of reward.",
    "amplification": "What people's choices ask for and what the model gives, in log-odds; amplification is the difference.",
    "memory": "Quantities on pairs trained on and on held-out pairs, and their difference.",
    "surface": "Accuracy where a surface feature favours the chosen response (congruent), and where the rejected one.",
    "calibration": "Whether margins are probabilities; a calibrated model has temperature 1.",
    "shift": "Change of the margin from the baseline, by regime and labeler preference (SEAL, Figure 4), in points of reward.",
    "drivers": "Drivers of alignment (SEAL, Eq. 3), in log-odds.",
    "rewriting": "Alignment before and after rewriting.",
    "robustness": "Log-odds of lost alignment where rewriting flips a feature (SEAL, Eq. 4).",
    "round_trips": "Effects of attributes on the reward, by rewriting there and back (RATE), in points of reward.",
    "labels": "Labels beside gold labels.",
    "balance": "How often each feature is on the chosen side, of the pairs that differ in it.",
    "doctor": "Checks of the models' scores.",
}
"""Tables of a report by the name of their files, in its order, each with what it shows."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a report.

    Attributes:
        name (`str`): Name of its files, without an ending.
        caption (`str`): What it shows, n, and what its intervals are.
        rows (`Rows`): One mapping per row with the same keys. The bounds `low` and `high` are of the key before them.
    """

    name: str
    caption: str
    rows: Rows


def tables_of(report: Mapping[str, Any]) -> list[Table]:
    """Make a table of every section that has something to show.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `list[Table]`: The tables. Numbers of pictures are those of the pictures, here of every model.
    """
    made = {name: _ROWS[name](report) for name in NAMES}
    return [
        Table(name, f"{NAMES[name]} {_rests(name, rows, report)}".strip(), rows) for name, rows in made.items() if rows
    ]


def table_files(report: Mapping[str, Any]) -> dict[str, bytes]:
    """The tables of a report as files.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `dict[str, bytes]`: Path in the report's folder to content, a CSV and a LaTeX file of each table.
    """
    files = {}
    for table in tables_of(report):
        files[f"{FOLDER}/{table.name}.csv"] = to_csv(table.rows).encode()
        files[f"{FOLDER}/{table.name}.tex"] = to_latex(table.name, table.caption, table.rows).encode()
    return files


def write_tables(report: Mapping[str, Any], folder: Path) -> None:
    """Write the tables of a report into its folder."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, content in table_files(report).items():
        (folder / name).write_bytes(content)


def _rests(name: str, rows: Rows, report: Mapping[str, Any]) -> str:
    """Which pairs a table rests on, and what its intervals are."""
    parts = report["models"][models_of(report["run"]).last]["resistance"]
    of_features = name in ("imprint", "amplification", "drivers")
    if name == "doctor":  # its pairs are its own
        return ""
    if "n" in rows[0] or "n_flips" in rows[0]:
        said = "n stands in each row."
    elif report["population"]["estimated_on"] == "all":
        said = f"{parts['all']['n_pairs']:,} pairs{', less those without a label' if of_features else ''}."
    else:
        seen = f" and {parts['train']['n_pairs']:,} trained on" if name == "memory" and "train" in parts else ""
        less = ", less those without a label" if of_features else ""
        said = f"{parts['heldout']['n_pairs']:,} held-out pairs{seen}{less}."
    found = [said]
    if "low" in rows[0]:
        found.append("Brackets hold 95 % intervals, clustered by prompt and not adjusted for the number of rows.")
    if "p_adjusted_or_q" in rows[0]:
        found.append("Adjusted p (Holm) for the declared family, q-values for other tests.")
    if of_features and is_corrected(report):
        correction = report["correction"]
        found.append(
            f"Corrected by gold labels of {correction['n_gold_prompts']:,} of {correction['n_prompts']:,} prompts."
        )
    return " ".join(found)


def _by_model(
    make: Callable[[Mapping[str, Any], str], Figure | None], value: str, title: str
) -> Callable[[Mapping[str, Any]], Rows]:
    """Rows of a picture that speaks of one model, of all audited models, with the name of its value made plain."""

    def rows(report: Mapping[str, Any]) -> Rows:
        drawn = {name: make(report, name) for name in models_of(report["run"]).audited}
        return [
            {"model": name, **{title if key == value else key: entry for key, entry in row.items()}}
            for name, figure in drawn.items()
            for row in (figure.rows if figure else ())
        ]

    return rows


def _of(
    make: Callable[[Mapping[str, Any]], Figure | None], value: str, title: str
) -> Callable[[Mapping[str, Any]], Rows]:
    """Rows of a picture, with the name of its value made plain."""

    def rows(report: Mapping[str, Any]) -> Rows:
        figure = make(report)
        return [
            {title if key == value else key: entry for key, entry in row.items()}
            for row in (figure.rows if figure else ())
        ]

    return rows


def _bounds(interval: Sequence[float | None]) -> dict[str, float | None]:
    return {"low": interval[0], "high": interval[1]}


def _resistance(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for model, found in report["models"].items():
        for part, entry in found["resistance"].items():
            yield {
                "model": model,
                "pairs": part,
                "n": entry["n_pairs"],
                "ties": entry["n_ties"],
                "alignment": entry["alignment_score"],
                "resistance": entry["alignment_resistance"],
                **_bounds(entry["confidence_interval"]),
            }


def _regimes(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    where = report["population"]["estimated_on"]
    for name, comparison in report["comparisons"].items():
        by_regime = comparison["labeler_agreement"].get("regimes", {})
        for regime, row in comparison["regimes"][where].items():
            labeler = by_regime.get(regime, {})
            yield {
                "comparison": name,
                "regime": regime,
                "n": row["count"],
                "share": row["share"],
                **_bounds(row["confidence_interval"]),
                "labeler_agrees": labeler.get("agreement_rate"),
                "of_n": labeler.get("n"),
            }


def _groups(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for column, entry in report.get("groups", {}).items():
        for model, found in entry.get("models", {}).items() if entry["status"] == "ok" else ():
            for row in found["resistance"]["groups"]:
                yield {
                    "column": column,
                    "group": row["group"],
                    "model": model,
                    "n": row["n"],
                    "prompts": row["n_clusters"],
                    "resistance": row["mean"],
                    **_bounds(row["confidence_interval"]),
                }


def _responses(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    found = report.get("responses", {"status": ""})
    for model, each in found["models"].items() if found["status"] == "ok" else ():
        best, none = each.get("best_of_n"), (None, None)
        yield {
            "model": model,
            "n": best["n_items"] if best else None,
            "chance": best["chance"] if best else None,
            "best_of_n": best["accuracy"] if best else None,
            **_bounds(best["confidence_interval"] if best else none),
            "ties_score": each.get("ties", {}).get("score"),
            "style_gap": each.get("style_matrix", {}).get("style_gap"),
        }


def _memory(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in report.get("memory", ()):
        names = {"model": row["model"], "quantity": row["quantity"], "of": row["of"]}
        values = {"trained_on": row["train"], "held_out": row["heldout"], "difference": row["gap"]}
        yield {**names, **values, **_bounds(row["confidence_interval"])}


def _calibration(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for model, found in report["models"].items():
        for part, entry in found["reward_calibration"].items():
            error = entry["calibration_error"]
            yield {
                "model": model,
                "pairs": part,
                "n": entry["n_pairs"],
                "temperature": entry["temperature"],
                **_bounds(entry["temperature_interval"]),
                "calibration_error": error["observed"],
                "if_calibrated": error["if_calibrated"],
                "p_value": error["p_value"],
                "brier": entry["brier"],
                "log_loss": entry["log_loss"],
            }


def _shift(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, comparison in report["comparisons"].items():
        for part, entry in comparison["shift"].items():
            yield {
                "comparison": name,
                "pairs": part,
                "n": entry["n_pairs"],
                "change_of_margin": entry["margin"]["mean"],
                **_bounds(entry["margin"]["confidence_interval"]),
                "mean_degrees": entry["mean_degrees"],
                "centred_degrees": entry["centred"]["circular_mean_degrees"],
            }


def _rewriting(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for preset, found in report.get("rewrites", {}).get("presets", {}).items():
        for model, entry in found["alignment"].items():
            if entry["status"] == "ok":
                yield {
                    "rewrites": preset,
                    "model": model,
                    **{"n": entry["n_pairs"], "before": entry["before"], "after": entry["after"]},
                    "change": entry["change"],
                    **_bounds(entry["confidence_interval"]),
                    "p_value": entry["p_value"],
                }


def _doctor(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for model, found in (report["run"].get("doctor") or {}).items():
        for check in found["checks"]:
            names = {"model": model, "check": check["name"], "status": check["status"]}
            yield {**names, "largest_difference": check["largest_difference"], "result": check["detail"]}


def _listed(make: Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]]) -> Callable[[Mapping[str, Any]], Rows]:
    return lambda report: list(make(report))


_ROWS: dict[str, Callable[[Mapping[str, Any]], Rows]] = {
    "resistance": _listed(_resistance),
    "ranking": _of(pair_figures.ranking_figure, "value", "resistance"),
    "regimes": _listed(_regimes),
    "groups": _listed(_groups),
    "responses": _listed(_responses),
    "imprint": _by_model(feature_figures.imprint_figure, "estimate", "imprint"),
    "amplification": _by_model(feature_figures.amplification_figure, "amplification", "amplification"),
    "memory": _listed(_memory),
    "surface": _by_model(feature_figures.surface_figure, "gap", "gap"),
    "calibration": _listed(_calibration),
    "shift": _listed(_shift),
    "drivers": _by_model(feature_figures.drivers_figure, "coefficient", "log_odds"),
    "rewriting": _listed(_rewriting),
    "robustness": _of(rewrite_figures.robustness_figure, "log_odds", "log_odds"),
    "round_trips": _of(rewrite_figures.round_trips_figure, "points", "points"),
    "labels": _of(feature_figures.labels_figure, "agreement", "right"),
    "balance": _of(label_figures.balance_figure, "share_chosen", "share_chosen"),
    "doctor": _listed(_doctor),
}

"""The tables of a report's two screens: the rows that say something, and how many others there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from seal_datasets.report.analyze_part import MIN_DISCORDANT
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.claims import LEVEL, claimable_rows
from seal_datasets.report.page import feature_figures, pair_figures
from seal_datasets.report.page.figure import Figure, feature_title

_MOST_ROWS = 12
_MOST_MODELS = 6
_REASONS = {
    "too_few_discordant": (
        f"differs in fewer than {MIN_DISCORDANT} pairs",
        f"differ in fewer than {MIN_DISCORDANT} pairs",
    ),
    "too_little_information": ("differs in too few prompts", "differ in too few prompts"),
    "not_identified": ("never differs", "never differ"),
    "collinear": ("cannot be told from others", "cannot be told from others"),
}
"""What is said of one row without an estimate, and of several, by its status."""


def fold(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Say in a few words why rows have no estimate, in the place of a line for each.

    Args:
        rows (`Iterable[Mapping[str, Any]]`): Rows with `feature` and `status`, and perhaps `side`; those that are `ok` are left
            out.

    Returns:
        `list[tuple[str, list[str]]]`: For each reason how many rows have it, in words, and which.

    Example:

    ```python
    >>> fold([{"feature": "a", "status": "not_identified"}, {"feature": "b", "status": "ok"}])
    [('1 feature never differs', ['a'])]

    ```
    """
    by_status: dict[str, list[str]] = {}
    sides = False
    for row in rows:
        if row["status"] != "ok":
            sides = "side" in row
            by_status.setdefault(row["status"], []).append(
                f"{row['feature']} ({row['side']})" if sides else row["feature"]
            )
    found = []
    for status, names in by_status.items():
        reason = status.replace("_", " ")
        one, many = _REASONS.get(status, (f"has no estimate ({reason})", f"have no estimate ({reason})"))
        noun = "feature of a side" if sides else "feature"
        subject = f"1 {noun} {one}" if len(names) == 1 else f"{len(names)} {noun.replace('feature', 'features')} {many}"
        found.append((subject, names))
    return found


def resistance_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each model: its resistance, where its pairs went from the baseline, and its rank.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `list[dict[str, Any]]`: `model`, `baseline` (whether it is that), `regimes` and `rank`. `found` is resistance on the
        pairs that the report speaks of, `train` on those trained on. None for what there is not.
    """
    models, where = models_of(report["run"]), report["population"]["estimated_on"]
    ranks = {row["model"]: row for row in report.get("ranking", {}).get("ranking", ())}
    moved = {entry["later"]: entry["regimes"].get(where) for entry in report["comparisons"].values()}
    return [
        {
            "model": name,
            "baseline": name == models.baseline,
            "found": report["models"][name]["resistance"][where],
            "train": report["models"][name]["resistance"].get("train"),
            "regimes": moved.get(name),
            "rank": ranks.get(name),
        }
        for name in models.names
    ]


@dataclass(frozen=True, slots=True)
class Rewarded:
    """What models reward, beside what people asked for.

    Attributes:
        models (`tuple[str, ...]`): The models spoken of, at most six.
        n_models (`int`): All models but the baseline.
        rows (`list[dict[str, Any]]`): `feature`, `title`, `asked`, `differ` (pairs; none if not counted), and `imprint` and
            `given` by model: rows of the pictures, each with `found`.
        n_more (`int`): Features that were tested and are not among the rows, in which nothing was found.
        silent (`list[str]`): How many features could not be tested, by reason.
    """

    models: tuple[str, ...]
    n_models: int
    rows: list[dict[str, Any]]
    n_more: int
    silent: list[str]


def rewarded(report: Mapping[str, Any]) -> Rewarded:
    """Choose the features of which a report says something: what was found first, then the smallest p-values.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.

    Returns:
        `Rewarded`: At most twelve rows, or as many as were found, with numbers of the page's pictures.
    """
    audited = models_of(report["run"]).audited
    shown = audited[-_MOST_MODELS:]
    rows: dict[str, dict[str, Any]] = {}
    differ = {
        row["feature"]: row["n_discordant"] for model in shown for row in claimable_rows(report, "amplification", model)
    }
    for model in shown:
        pictures = {
            "imprint": feature_figures.imprint_figure(report, model),
            "given": feature_figures.amplification_figure(report, model),
        }
        for kind, picture in pictures.items():
            for row in picture.rows if picture else ():
                entry = rows.setdefault(
                    row["feature"],
                    {
                        **{"feature": row["feature"], "title": feature_title(row["feature"]), "asked": None},
                        **{"differ": differ.get(row["feature"]), "imprint": {}, "given": {}},
                    },
                )
                adjusted = row["p_adjusted_or_q"]
                entry[kind][model] = {**row, "found": adjusted is not None and adjusted < LEVEL}
                entry["asked"] = row.get("asked", entry["asked"])
    ordered = sorted(rows.values(), key=_order)
    n_found = sum(_order(row)[0] == 0 for row in ordered)
    kept = ordered[: max(_MOST_ROWS, n_found)]
    last = audited[-1]
    untested = {
        row["feature"]: row
        for quantity in ("imprint", "amplification")
        for row in claimable_rows(report, quantity, last)
        if row["feature"] not in rows
    }
    silent = [words for words, _ in fold(untested.values())]
    return Rewarded(shown, len(audited), kept, len(ordered) - len(kept), silent)


def _order(row: Mapping[str, Any]) -> tuple[int, float]:
    cells = list(chain(row["imprint"].values(), row["given"].values()))
    p_values = [cell["p_value"] for cell in cells if cell["p_value"] is not None]
    return 0 if any(cell["found"] for cell in cells) else 1, min(p_values, default=1.0)


def label_rows(report: Mapping[str, Any]) -> tuple[list[tuple[str, Mapping[str, Any]]], int]:
    """What labels are worth beside gold labels: least kappa first, and how many features more there are."""
    rows = [
        (feature_title(name), entry["gold"])
        for name, entry in report["labels"].items()
        if entry["gold"] and entry["gold"]["agreement"] is not None
    ]
    rows.sort(key=lambda row: -1.0 if row[1]["kappa"] is None else row[1]["kappa"])
    return rows[:_MOST_ROWS], max(len(rows) - _MOST_ROWS, 0)


def findings(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What the other pictures show: the section of the page, the sentence, and its n and intervals."""
    last = models_of(report["run"]).last
    pictures: Sequence[tuple[str, Figure | None]] = (
        ("surface", feature_figures.surface_figure(report, last)),
        ("margins", pair_figures.calibration_figure(report, last)),
        ("drivers", feature_figures.drivers_figure(report, last)),
    )
    return [(section, picture.title, picture.note) for section, picture in pictures if picture]

"""Write a report as one page: a file that opens from disk, without a network, and holds its pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seal_datasets import schema
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.page.advice import what_to_do
from seal_datasets.report.page.document import Document, render_document
from seal_datasets.report.page.figure import feature_title
from seal_datasets.report.page.first_pairs import first_pairs
from seal_datasets.report.page.heading import byline_of, title_of
from seal_datasets.report.page.pair_columns import (
    CRUDE,
    TextsShown,
    differences_of,
    has_texts,
    pair_columns,
    pair_texts,
    resistant,
    rows_of_file,
)
from seal_datasets.report.page.sections import sections_of
from seal_datasets.report.page.verdict import verdict


def render_page(
    report: Mapping[str, Any],
    used: pd.DataFrame,
    path: Path,
    features: Sequence[Feature],
    *,
    texts: TextsShown = "sample",
) -> str:
    """Render a report as one HTML page.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.
        used (`pandas.DataFrame`): From `used_pairs`.
        path (`Path`): The Parquet file of the same pairs, from which texts are read.
        features (`Sequence[Feature]`): The audit's features.
        texts (`"all"`, `"sample"` or `"none"`, defaults to `"sample"`): Whose texts the page holds. A sample is stratified by
            regime, or by alignment without a baseline, and is all pairs where there are at most 2,000.

    Returns:
        `str`: The page, without a reference to anything outside of it but links.
    """
    models = models_of(report["run"])
    heldout = report["population"]["estimated_on"] == "heldout"
    tie_band = float(report["run"].get("tie_band", 0.0))
    against = resistant(used, models.last, tie_band, heldout=heldout)
    columns = pair_columns(used, features, models)
    shown = [each.name for each in features if schema.feature_column(each.name, "chosen") in columns["columns"]]
    whole = len(used) == report["population"]["n_used"]
    counts = {name: int((against & (differences_of(used, name) < 0)).sum()) for name in shown} if whole else {}
    held = pair_texts(path, used, texts, _strata(used, models.last, against))
    file = rows_of_file(path, used, len(held["rows"]))
    data = {
        **columns,
        "texts": held,
        "file": file,
        # The page speaks of the last one first.
        "models": list(models.baseline_first),
        "features": shown,
        "titles": {name: feature_title(name) for name in shown},
        "crude": CRUDE,
        "tie_band": tie_band,
        # A sample has other numbers than the whole.
        "expected": _expected(report) if whole else None,
    }
    return render_document(
        Document(
            title=title_of(report),
            byline=byline_of(report),
            verdict=verdict(report),
            steps=what_to_do(report, counts),
            sections=sections_of(report, used),
            first=first_pairs(used, report, against),
            note=_note(len(held["rows"]), len(used), report["population"]["n_used"], has_texts=has_texts(path)),
            data=data,
            again="Every number can be computed again from the folder of the audit: `seal report FOLDER --check`.",
        )
    )


def _strata(used: pd.DataFrame, model: str, against: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Kinds of pairs for a sample: by regime where there is one, else by alignment."""
    if schema.regime_column(model) in used:
        return np.asarray(used[schema.regime_column(model)].astype(str).to_numpy())
    return np.where(against, "resistant", "aligned")


def _expected(report: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers that a page computes again."""
    where, models = report["population"]["estimated_on"], models_of(report["run"])
    fit = report["imprint"].get("surface", {}).get("models", {}).get(models.last, {})
    rows = fit.get("imprint", ()) if isinstance(fit, Mapping) else ()
    coefficients = {row["feature"]: row["coefficient"] for row in rows if row["coefficient"] is not None}
    # A feature whose row is withheld stands in the regression all the same.
    design = [row["feature"] for row in rows]
    return {
        "where": where,
        "resistance": {
            name: report["models"][name]["resistance"][where]["alignment_resistance"] for name in models.names
        },
        "regimes": {
            entry["later"]: {name: row["count"] for name, row in entry["regimes"][where].items()}
            for entry in report["comparisons"].values()
        },
        "has_regimes": bool(report["comparisons"]),
        "imprint": {"model": models.last, "design": design, "coefficients": coefficients},
    }


def _note(n_texts: int, n: int, n_all: int, *, has_texts: bool) -> str:
    """What the page holds, where that is not everything."""
    numbers = f"all {n:,} pairs" if n == n_all else f"{n:,} of {n_all:,} pairs, drawn at random"
    if n_texts == n == n_all:
        return ""
    if not has_texts:
        return f"This page holds the numbers of {numbers}; the audit's `pairs.parquet` holds no texts."
    texts = f"the texts of {n_texts:,}, equally from each kind" if n_texts else "no texts"
    return f"This page holds the numbers of {numbers}, and {texts}; the audit's `pairs.parquet` holds all."

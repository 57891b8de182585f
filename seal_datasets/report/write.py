"""Write the report of an audit: `report.json`, `report.html`, `report.md`, figures, tables and a dataset card.

All of it follows from `pairs.parquet` and `run.json`, so `seal report FOLDER --check` can recompute and compare it.
"""

from __future__ import annotations

import json
from pathlib import Path

from datasets import Dataset

from seal_datasets.atomic import filling, write_text
from seal_datasets.cards import render_card
from seal_datasets.data.parquet_files import release_memory
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.report.analyze import analyze
from seal_datasets.report.analyze_rewrites import analyze_rewrites
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.claims import add_claims
from seal_datasets.report.figures import FigureStyle, draw_figures
from seal_datasets.report.files import (
    PAGE_FILE,
    PAIRS_FILE,
    REPORT_FILE,
    SCHEMA,
    Json,
    differences,
    dump,
    features_of,
    read_audit,
    read_form,
)
from seal_datasets.report.headline import headline
from seal_datasets.report.markdown import render_markdown
from seal_datasets.report.page.notebook import Report
from seal_datasets.report.page.pair_columns import TextsShown, used_pairs
from seal_datasets.report.page.write import render_page
from seal_datasets.report.tables import remove_stale_tables, write_tables


def write_report(folder: str | Path, *, texts: TextsShown = "sample", figures: FigureStyle | None = None) -> Report:
    """Compute every quantity from an audit's folder and write the report, its page, figures, tables and a dataset card.

    Args:
        folder (`str` or `Path`): Holds `pairs.parquet` and `run.json`.
        texts (`"all"`, `"sample"` or `"none"`, defaults to `"sample"`): Whose texts the page holds; a sample is all pairs where
            there are at most 2,000.
        figures (`FigureStyle`, *optional*): Width and font of the figures' files for print.

    Returns:
        `Report`: The content of `report.json`, a mapping that displays itself in a notebook.

    Raises:
        DataError: A file is missing or unreadable.
    """
    folder = Path(folder)
    pairs, run = read_audit(folder, texts=False)
    report = _compute(pairs, run)
    card = render_card(
        "dataset_card.md",
        title=f"SEAL audit of {run['source']}",
        headline=headline(report),
        run=run,
        size_category=size_category(len(pairs)),
    )
    path, features = folder / PAIRS_FILE, features_of(run)
    del pairs  # what the pages show of them is read again, by row groups
    release_memory()
    used = used_pairs(path, features, models_of(run))
    with filling(folder) as written:
        drawn = draw_figures(report, used, written / "figures", figures)
        write_tables(report, written)
        write_text(written / REPORT_FILE, dump(report))
        write_text(written / PAGE_FILE, render_page(report, used, path, features, texts=texts))
        write_text(written / "report.md", render_markdown(report, drawn, page=PAGE_FILE))
        write_text(written / "README.md", card)
    remove_stale_tables(report, folder)
    return Report(report, folder)


def check_report(folder: str | Path) -> list[str]:
    """Recompute a report, and name each entry of `report.json` that differs.

    Args:
        folder (`str` or `Path`): A finished audit.

    Returns:
        `list[str]`: Dotted names of the entries that differ; empty if all numbers are reproduced.

    Raises:
        DataError: A file is missing or unreadable.
    """
    folder = Path(folder)
    pairs, run = read_audit(folder, texts=False)
    recomputed = json.loads(dump(_compute(pairs, run)))
    return sorted(differences(read_form(folder / REPORT_FILE), recomputed))


def _compute(pairs: Dataset, run: Json) -> Json:
    features = features_of(run)
    models = models_of(run)
    report = {"schema": SCHEMA, "run": run, **analyze(pairs, features, models, tie_band=run.get("tie_band", 0.0))}
    if rewrites := run.get("rewrites"):
        labelled = [feature for feature in features if feature not in SURFACE_FEATURES]
        report["rewrites"] = analyze_rewrites(
            pairs,
            labelled,
            presets=rewrites["presets"],
            axes=rewrites["axes"],
            min_similarity=rewrites["min_similarity"],
            models=models.baseline_first,
        )
    add_claims(report, features, models)
    return report


def size_category(n_rows: int) -> str:
    """Size category of a dataset on the Hub.

    Args:
        n_rows (`int`): Number of rows.

    Returns:
        `str`: The category, as in the front matter of a card.

    Example:

    ```python
    >>> size_category(160_800)
    '100K<n<1M'

    ```
    """
    bounds = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
    return next((name for bound, name in bounds if n_rows < bound), "10M<n<100M")

"""Write the report of an audit: `report.json`, `report.html`, `report.md`, figures, tables and a dataset card.

All of it follows from `pairs.parquet` and `run.json`, so `seal report FOLDER --check` can recompute and compare it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
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
from seal_datasets.report.figures import CAPTIONS, FigureStyle, draw_figures
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
from seal_datasets.report.tables import FOLDER, NAMES, write_tables


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
        stale = pictures_and_tables_not_in(written)
    remove_files(folder, stale)
    return Report(report, folder)


def pictures_and_tables_not_in(folder: Path) -> list[str]:
    """Files of figures and tables that a report can have and the one in a folder lacks, by their paths in it."""
    names = [f"figures/{Path(name).stem}.{kind}" for name in CAPTIONS for kind in ("png", "pdf", "csv")]
    names += [f"{FOLDER}/{name}.{kind}" for name in NAMES for kind in ("csv", "tex")]
    return [name for name in names if not (folder / name).is_file()]


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove files that an earlier report left in a folder."""
    for name in names:
        (folder / name).unlink(missing_ok=True)


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
    marks = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
    names = ["n<1K", *(f"{low}<n<{high}" for low, high in pairwise(marks))]
    return next((name for place, name in enumerate(names) if n_rows < 1000 * 10**place), "1B<n<10B")

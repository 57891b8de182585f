"""The app of a metric's Space: bring a table, say which columns are which, see the numbers."""

from __future__ import annotations

import html
import json
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from seal_datasets.data.sources import HubDataset, open_hub_dataset, open_source
from seal_datasets.errors import DataError, SealError, import_extra
from seal_datasets.evaluate_modules.app_columns import INPUTS, choices, feature_of, guess
from seal_datasets.evaluate_modules.app_example import DESCRIPTION, example_table
from seal_datasets.evaluate_modules.app_view import figure, headline, rows
from seal_datasets.evaluate_modules.paths import metric_path

_CSS = """
.gradio-container {--button-primary-background-fill: #0b6e99; --button-primary-background-fill-hover: #095a7d;
  --color-accent: #0b6e99; --slider-color: #0b6e99}
.seal-numbers {display: flex; flex-wrap: wrap; gap: 12px; margin: 4px 0}
.seal-number {flex: 1 1 150px; padding: 14px 16px; border: 1px solid var(--border-color-primary); border-radius: 10px}
.seal-number b {display: block; font-size: 1.9em; line-height: 1.2}
.seal-number span {color: var(--body-text-color-subdued); font-size: .9em; overflow-wrap: anywhere}
#table th {min-width: 9em}
.seal-note, .seal-error {padding: 10px 14px; border-radius: 8px; overflow-wrap: anywhere; white-space: pre-wrap}
.seal-note {background: var(--background-fill-secondary)}
.seal-error {background: #fdeaea; color: #8c1d1d; border: 1px solid #e5a3a3}
"""


def build_app(name: str) -> Any:  # noqa: ANN401 - a gradio.Blocks, whose package is optional
    """Build the app of a metric.

    Args:
        name (`str`): One of `seal_datasets.evaluate_modules.paths.METRICS`.

    Returns:
        `gradio.Blocks`: The app, not yet launched.

    Raises:
        DataError: There is no such metric.
        MissingExtraError: gradio is not installed.
    """
    card = (Path(metric_path(name)).parent / "README.md").read_text("utf-8").split("---\n", 2)[2]
    gradio = import_extra("gradio", purpose="build the app of a metric")
    asked = INPUTS[name]
    title = name.replace("_", " ").capitalize()
    example = example_table()
    with gradio.Blocks(title=title, analytics_enabled=False) as app:
        gradio.HTML(f"<style>{_CSS}</style><h1>{title}</h1><p>{html.escape(_purpose(name))}</p>")
        table = gradio.State(example)
        with gradio.Row():
            with gradio.Column(scale=2, min_width=320):
                with gradio.Tab("File"):
                    upload = gradio.File(
                        label="Table: parquet, csv, jsonl or json, also .gz",
                        type="filepath",
                        height=150,
                        elem_id="upload",
                    )
                with gradio.Tab("Hub dataset"):
                    hub_id = gradio.Textbox(label="Dataset", placeholder="namespace/name", elem_id="hub-id")
                    config = gradio.Textbox(label="Configuration, if it has several")
                    split = gradio.Textbox(label="Split", placeholder="train")
                    fetch = gradio.Button("Load", elem_id="fetch")
                source = gradio.HTML(_note(f"The example: {DESCRIPTION}"), elem_id="source")
                guessed = guess(name, list(example.columns))
                pickers = [
                    gradio.Dropdown(
                        choices(list(example.columns)),
                        value=guessed[each.name],
                        multiselect=each.several,
                        label=each.label + ("" if each.required else " (optional)"),
                        elem_id=f"input-{each.name}",
                    )
                    for each in asked
                ]
                button = gradio.Button("Compute", variant="primary", elem_id="compute")
            with gradio.Column(scale=3, min_width=420):
                shown = compute(name, example, list(guessed.values()))
                status = gradio.HTML(shown[0], elem_id="status")
                with gradio.Column(elem_id="result") as result:
                    numbers = gradio.HTML(shown[1], elem_id="numbers")
                    plot = gradio.Plot(shown[2], show_label=False, elem_id="figure")
                    listing = gradio.Dataframe(
                        shown[3], datatype="str", interactive=False, wrap=True, show_label=False, elem_id="table"
                    )
                    download = gradio.DownloadButton("Download JSON", value=shown[4], elem_id="download")
        with gradio.Accordion("About this metric", open=False):
            gradio.Markdown(card)
        outputs = [status, result, numbers, plot, listing, download]

        def page(note: str, *found: Any) -> list[Any]:  # noqa: ANN401 - the parts of a result
            """A note with a result, or alone: then nothing is left of an earlier result."""
            parts = found or ("", None, None, None)
            return [note, gradio.update(visible=bool(parts[0])), *parts]

        def opened(path: str | None, dataset: str, configuration: str, part: str) -> list[Any]:
            try:
                found, note = _open(path, dataset, configuration, part)
            except SealError as error:
                said = (
                    str(error).replace(path, Path(path).name) if path else str(error)
                )  # where uploads are kept is private
                return [*[gradio.skip()] * (2 + len(asked)), *page(_error(said))]
            offered, picked = choices(list(found.columns)), guess(name, list(found.columns))
            updates = [gradio.update(choices=offered, value=picked[each.name]) for each in asked]
            ready = all(picked[each.name] for each in asked if each.required)
            ask = (_note("Say which columns are which, then compute."),)
            return [found, note, *updates, *page(*(compute(name, found, list(picked.values())) if ready else ask))]

        def computed(found: pd.DataFrame, *columns: Any) -> list[Any]:  # noqa: ANN401 - names, or lists of them
            return page(*compute(name, found, list(columns)))

        def broken() -> list[Any]:
            return page(_error("This app failed, which is a fault of its own; nothing was computed."))

        changes = [table, source, *pickers, *outputs]
        nothing = [gradio.State(""), gradio.State(""), gradio.State("")]
        for event in (
            upload.upload(opened, [upload, *nothing], changes, api_name=False),
            fetch.click(opened, [gradio.State(None), hub_id, config, split], changes, api_name=False),
            button.click(computed, [table, *pickers], outputs, api_name="compute"),
        ):
            event.failure(broken, None, outputs, api_name=False)
    return app


def compute(
    name: str, table: pd.DataFrame, columns: list[Any]
) -> tuple[str, str, Any, pd.DataFrame | None, str | None]:
    """Compute a metric on a table, and what is shown of it.

    Args:
        name (`str`): One of `seal_datasets.evaluate_modules.paths.METRICS`.
        table (`DataFrame`): The table.
        columns (`list`): Column, or columns, of each of the metric's inputs in `INPUTS`, in their order.

    Returns:
        `tuple`: A note or an error in HTML, the headline in HTML, the figure, the table, and a JSON file's path; nothing
        after an error.
    """
    import evaluate

    try:
        mapping = _mapping(name, columns)
        used, left_out = _without_gaps(table, mapping)
        metric = evaluate.load(metric_path(name))
        options: dict[str, Any] = {"return_angles": True} if name == "reward_shift" else {}
        if name == "alignment_robustness":
            options = {"feature_names": [feature_of(each) for each in mapping["chosen_flips"]]}
        result = metric.compute(dataset=used, columns=mapping, **options)
        drawn = figure(name, result)
    except SealError as error:
        return _error(str(error)), "", None, None, None
    note = f"{len(used):,} rows" + (f"; {left_out:,} left out because a value is missing" if left_out else "")
    folder = tempfile.mkdtemp(prefix="seal-")
    path = Path(folder, f"{name}.json")
    path.write_text(json.dumps(result, indent=2, allow_nan=False), "utf-8")
    return _note(note), headline(name, result), drawn, rows(name, result), str(path)


def _open(path: str | None, dataset: str, config: str, split: str) -> tuple[pd.DataFrame, str]:
    """Read a table that a visitor brought, and say what it is."""
    if not path and "/" not in (dataset or "").strip("./"):
        raise DataError(f"a dataset on the Hub is named as namespace/name, got {dataset!r}")
    # A visitor names datasets on the Hub; a path of the machine that runs the app is none of theirs.
    if not path and (dataset.startswith((".", "/", "~")) or Path(dataset).exists()):
        raise DataError(f"{dataset!r} is not the name of a dataset on the Hub")
    part, configuration = split.strip() or None, config.strip() or None
    if path:
        opened = open_source(path, split=part)
    else:
        opened = open_hub_dataset(HubDataset(dataset.strip(), name=configuration), split=part)
    found: pd.DataFrame = opened.rows.to_pandas()
    label = Path(path).name if path else dataset.strip()
    return found, _note(f"{label}: {len(found):,} rows, {len(found.columns)} columns")


def _mapping(name: str, columns: list[Any]) -> dict[str, str | list[str]]:
    """The columns that were chosen, by input."""
    chosen = dict(zip((each.name for each in INPUTS[name]), columns, strict=True))
    missing = [each.label for each in INPUTS[name] if each.required and not chosen[each.name]]
    if missing:
        raise DataError(f"choose a column for: {'; '.join(missing)}")
    return {each: column for each, column in chosen.items() if column}


def _without_gaps(table: pd.DataFrame, mapping: dict[str, str | list[str]]) -> tuple[pd.DataFrame, int]:
    """The rows that have a value in every chosen column, and how many have not."""
    listed = [each for value in mapping.values() for each in ([value] if isinstance(value, str) else value)]
    named = {each.replace("{side}", side) for each in listed for side in ("chosen", "rejected")}
    present = [each for each in table.columns if each in named]
    whole = table[present].dropna()
    if whole.empty:
        raise DataError(f"no row has a value in all of {', '.join(present)}")
    return whole, len(table) - len(whole)


def _purpose(name: str) -> str:
    """What the metric's card says in its first sentences."""
    card = (Path(metric_path(name)).parent / "README.md").read_text("utf-8")
    return " ".join(card.split("## Metric description\n\n")[1].split("\n\n")[0].replace("*", "").split())


def _note(text: str) -> str:
    return f"<div class='seal-note'>{html.escape(text)}</div>"


def _error(text: str) -> str:
    return f"<div class='seal-error' role='alert'>{html.escape(text)}</div>"

"""The app of a metric's Space: a visitor gives a table, chooses its columns and gets the numbers."""

from __future__ import annotations

import html
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from seal_datasets.data.sources import HubDataset, open_hub_dataset, open_source
from seal_datasets.errors import DataError, SealError, import_extra
from seal_datasets.evaluate_modules.app_columns import INPUTS, choices, feature_of, guess
from seal_datasets.evaluate_modules.app_example import DESCRIPTION, example_table
from seal_datasets.evaluate_modules.app_view import figure, headline, rows
from seal_datasets.evaluate_modules.paths import metric_path
from seal_datasets.theme import MODEL

_COLOURS = f"""
.gradio-container {{--button-primary-background-fill: {MODEL}; --color-accent: {MODEL}; --slider-color: {MODEL};
  --button-primary-background-fill-hover: color-mix(in srgb, {MODEL} 85%, black)}}
"""
_CSS = (
    _COLOURS
    + """
.seal-numbers {display: flex; flex-wrap: wrap; gap: 12px; margin: 4px 0}
.seal-number {flex: 1 1 150px; padding: 14px 16px; border: 1px solid var(--border-color-primary); border-radius: 10px}
.seal-number b {display: block; font-size: 1.9em; line-height: 1.2}
.seal-number span {color: var(--body-text-color-subdued); font-size: .9em; overflow-wrap: anywhere}
#table th {min-width: 9em}
.seal-note, .seal-error {padding: 10px 14px; border-radius: 8px; overflow-wrap: anywhere; white-space: pre-wrap}
.seal-note {background: var(--background-fill-secondary)}
.seal-error {background: #fdeaea; color: #8c1d1d; border: 1px solid #e5a3a3}
"""
)


def build_app(name: str) -> Any:  # noqa: ANN401 - a gradio.Blocks, whose package is optional
    """Build the app of a metric.

    Args:
        name (`str`): One of `seal_datasets.evaluate_modules.paths.METRICS`.

    Returns:
        `gradio.Blocks`: The app, not yet launched.

    Raises:
        DataError: The metric does not exist.
        MissingExtraError: gradio is not installed.
    """
    card = (Path(metric_path(name)).parent / "README.md").read_text("utf-8").split("---\n", 2)[2]
    gradio = import_extra("gradio", purpose="build the app of a metric")
    title = name.replace("_", " ").capitalize()
    example = example_table()
    guessed = guess(name, list(example.columns))
    with gradio.Blocks(title=title, analytics_enabled=False) as app:
        gradio.HTML(f"<style>{_CSS}</style><h1>{title}</h1><p>{html.escape(_purpose(name))}</p>")
        table = gradio.State(example)
        with gradio.Row():
            with gradio.Column(scale=2, min_width=320):
                source = _add_source(gradio)
                note = gradio.HTML(_note(f"The example: {DESCRIPTION}"), elem_id="source")
                pickers = _add_pickers(gradio, name, list(example.columns), guessed)
                button = gradio.Button("Compute", variant="primary", elem_id="compute")
            with gradio.Column(scale=3, min_width=420):
                outputs = _add_result(gradio, compute(name, example, list(guessed.values())))
        with gradio.Accordion("About this metric", open=False):
            gradio.Markdown(card)
        handlers = _Handlers(gradio, name)
        changes = [table, note, *pickers, *outputs]
        no_dataset = [gradio.State(""), gradio.State(""), gradio.State("")]
        hub_dataset = [gradio.State(None), source.hub_id, source.config, source.split]
        for event in (
            source.upload.upload(handlers.load_table, [source.upload, *no_dataset], changes, api_name=False),
            source.fetch.click(handlers.load_table, hub_dataset, changes, api_name=False),
            button.click(handlers.compute, [table, *pickers], outputs, api_name="compute"),
        ):
            event.failure(handlers.report_failure, None, outputs, api_name=False)
    return app


@dataclass(frozen=True, slots=True)
class _Source:
    """Components with which a visitor names a table."""

    upload: Any
    hub_id: Any
    config: Any
    split: Any
    fetch: Any


def _add_source(gradio: Any) -> _Source:  # noqa: ANN401 - an optional package
    with gradio.Tab("File"):
        upload = gradio.File(
            label="Table: parquet, csv, jsonl or json, also .gz", type="filepath", height=150, elem_id="upload"
        )
    with gradio.Tab("Hub dataset"):
        return _Source(
            upload,
            gradio.Textbox(label="Dataset", placeholder="namespace/name", elem_id="hub-id"),
            gradio.Textbox(label="Configuration, if it has several"),
            gradio.Textbox(label="Split", placeholder="train"),
            gradio.Button("Load", elem_id="fetch"),
        )


def _add_pickers(gradio: Any, name: str, columns: list[str], guessed: Mapping[str, Any]) -> list[Any]:  # noqa: ANN401
    return [
        gradio.Dropdown(
            choices(columns),
            value=guessed[entry.name],
            multiselect=entry.several,
            label=entry.label + ("" if entry.required else " (optional)"),
            elem_id=f"input-{entry.name}",
        )
        for entry in INPUTS[name]
    ]


def _add_result(gradio: Any, shown: Sequence[Any]) -> list[Any]:  # noqa: ANN401
    """Components of a result, as `_Handlers.show` fills them."""
    status = gradio.HTML(shown[0], elem_id="status")
    with gradio.Column(elem_id="result") as result:
        numbers = gradio.HTML(shown[1], elem_id="numbers")
        plot = gradio.Plot(shown[2], show_label=False, elem_id="figure")
        listing = gradio.Dataframe(
            shown[3], datatype="str", interactive=False, wrap=True, show_label=False, elem_id="table"
        )
        download = gradio.DownloadButton("Download JSON", value=shown[4], elem_id="download")
    return [status, result, numbers, plot, listing, download]


@dataclass(frozen=True, slots=True)
class _Handlers:
    """Event handlers of the app."""

    gradio: Any
    name: str

    def show(self, note: str, *result: Any) -> list[Any]:  # noqa: ANN401 - the parts of a result
        """Values of the result's components; a note alone clears an earlier result."""
        parts = result or ("", None, None, None)
        return [note, self.gradio.update(visible=bool(parts[0])), *parts]

    def load_table(self, path: str | None, dataset: str, config: str, split: str) -> list[Any]:
        """Open a visitor's table, and compute where every required column is guessed."""
        inputs = INPUTS[self.name]
        try:
            table, note = _open(path, dataset, config, split)
        except SealError as error:
            # The folder of uploads is private.
            message = str(error).replace(path, Path(path).name) if path else str(error)
            return [*[self.gradio.skip()] * (2 + len(inputs)), *self.show(_error(message))]
        offered, guessed = choices(list(table.columns)), guess(self.name, list(table.columns))
        updates = [self.gradio.update(choices=offered, value=guessed[entry.name]) for entry in inputs]
        if all(guessed[entry.name] for entry in inputs if entry.required):
            return [table, note, *updates, *self.compute(table, *guessed.values())]
        return [table, note, *updates, *self.show(_note("Choose the columns, then compute."))]

    def compute(self, table: pd.DataFrame, *columns: Any) -> list[Any]:  # noqa: ANN401 - names, or lists of them
        """Compute the metric with the chosen columns."""
        return self.show(*compute(self.name, table, list(columns)))

    def report_failure(self) -> list[Any]:
        """Say that the app failed."""
        return self.show(_error("The app failed because of a bug; nothing was computed."))


def compute(
    name: str, table: pd.DataFrame, columns: list[Any]
) -> tuple[str, str, Any, pd.DataFrame | None, str | None]:
    """Compute a metric on a table, and render the result.

    Args:
        name (`str`): One of `seal_datasets.evaluate_modules.paths.METRICS`.
        table (`DataFrame`): The table.
        columns (`list`): Column, or list of columns, for each input of the metric, in the order of `INPUTS`.

    Returns:
        `tuple`: A note or an error in HTML, the headline in HTML, the figure, the table, and a JSON file's path. After
        an error, only the first is set.
    """
    import evaluate

    try:
        mapping = _mapping(name, columns)
        used, left_out = _without_gaps(table, mapping)
        metric = evaluate.load(metric_path(name))
        options: dict[str, Any] = {"return_angles": True} if name == "reward_shift" else {}
        if name == "alignment_robustness":
            options = {"feature_names": [feature_of(column) for column in mapping["chosen_flips"]]}
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
    """Read a visitor's table, and describe it."""
    dataset = dataset.strip()
    if not path and "/" not in dataset.strip("./"):
        raise DataError(f"a dataset on the Hub is named as namespace/name, got {dataset!r}")
    # Visitors must not read files of the machine that runs the app.
    if not path and (dataset.startswith((".", "/", "~")) or Path(dataset).exists()):
        raise DataError(f"{dataset!r} is not the name of a dataset on the Hub")
    part, configuration = split.strip() or None, config.strip() or None
    on_hub = HubDataset(dataset, name=configuration)
    opened = open_source(path, split=part) if path else open_hub_dataset(on_hub, split=part)
    table: pd.DataFrame = opened.rows.to_pandas()
    label = Path(path).name if path else dataset
    return table, _note(f"{label}: {len(table):,} rows, {len(table.columns)} columns")


def _mapping(name: str, columns: list[Any]) -> dict[str, str | list[str]]:
    """The chosen columns, by input."""
    chosen = dict(zip((entry.name for entry in INPUTS[name]), columns, strict=True))
    missing = [entry.label for entry in INPUTS[name] if entry.required and not chosen[entry.name]]
    if missing:
        raise DataError(f"choose a column for: {'; '.join(missing)}")
    return {entry: column for entry, column in chosen.items() if column}


def _without_gaps(table: pd.DataFrame, mapping: dict[str, str | list[str]]) -> tuple[pd.DataFrame, int]:
    """The rows with a value in every chosen column, and the number of other rows."""
    listed = [column for value in mapping.values() for column in ([value] if isinstance(value, str) else value)]
    named = {column.replace("{side}", side) for column in listed for side in ("chosen", "rejected")}
    present = [column for column in table.columns if column in named]
    complete = table[present].dropna()
    if complete.empty:
        raise DataError(f"no row has a value in all of {', '.join(present)}")
    return complete, len(table) - len(complete)


def _purpose(name: str) -> str:
    """The first paragraph of the metric's description in its card."""
    card = (Path(metric_path(name)).parent / "README.md").read_text("utf-8")
    return " ".join(card.split("## Metric description\n\n")[1].split("\n\n")[0].replace("*", "").split())


def _note(text: str) -> str:
    return f"<div class='seal-note'>{html.escape(text)}</div>"


def _error(text: str) -> str:
    return f"<div class='seal-error' role='alert'>{html.escape(text)}</div>"

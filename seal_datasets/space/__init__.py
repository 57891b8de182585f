"""The app of a metric's Space: upload a table, say which columns are which, read the numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seal_datasets.errors import DataError, SealError, import_extra
from seal_datasets.modules import metric_path
from seal_datasets.sources import open_source


def build_app(name: str) -> Any:  # noqa: ANN401 - a gradio.Blocks, whose package is optional
    """Build the app of a metric.

    Args:
        name (`str`): One of `seal_datasets.modules.METRICS`.

    Returns:
        `gradio.Blocks`: The app, not yet launched.

    Raises:
        DataError: There is no such metric.
        MissingExtraError: gradio is not installed.
    """
    gradio = import_extra("gradio", extra="space", purpose="build the app of a metric")
    script = Path(metric_path(name))

    def compute(path: str | None, columns: str, options: str) -> dict[str, Any]:
        try:
            return compute_on_file(name, path, columns, options)
        except SealError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    with gradio.Blocks(title=name.replace("_", " ")) as app:
        with gradio.Row():
            with gradio.Column():
                table = gradio.File(label="Table: jsonl, json, csv or parquet", type="filepath")
                columns = gradio.Code(_empty_mapping(name), language="json", label="Column of each input")
                options = gradio.Code("{}", language="json", label="Options")
                button = gradio.Button("Compute", variant="primary")
            result = gradio.JSON(label="Result")
        gradio.Markdown((script.parent / "README.md").read_text("utf-8").split("---\n", 2)[2])
        button.click(compute, [table, columns, options], result, api_name="compute")
    return app


def compute_on_file(name: str, path: str | None, columns: str, options: str) -> dict[str, Any]:
    """Compute a metric on a table in a file.

    Args:
        name (`str`): One of `seal_datasets.modules.METRICS`.
        path (`str`, *optional*): The file; `None` where nothing was uploaded.
        columns (`str`): JSON object: the column, or list of columns, of each input; blank ones are left out.
        options (`str`): JSON object: other arguments of `compute`.

    Returns:
        `dict[str, Any]`: The metric's result.

    Raises:
        DataError: There is no file, the JSON is not an object, or the table is not what the metric needs.
    """
    import evaluate

    if not path:
        raise DataError("no table was uploaded")
    mapping = {each: column for each, column in _json_object(columns, "columns").items() if column}
    table = open_source(path, split=None, name=None, revision=None, streaming=False).rows
    metric = evaluate.load(metric_path(name))
    result: dict[str, Any] = metric.compute(dataset=table, columns=mapping, **_json_object(options, "options"))
    return result


def _empty_mapping(name: str) -> str:
    import evaluate

    return json.dumps(dict.fromkeys(evaluate.load(metric_path(name)).features, ""), indent=2)


def _json_object(text: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise DataError(f"the {what} are not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"the {what} must be a JSON object, such as {{}}, got {text!r}")
    return value

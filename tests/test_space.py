"""The app of each metric's Space, over gradio's own client on the loopback interface."""

import json

import pytest

from seal_datasets.errors import DataError
from seal_datasets.modules import METRICS
from seal_datasets.space import build_app, compute_on_file

gradio_client = pytest.importorskip("gradio_client")

ROWS = [{"new_a": 1.0, "new_b": 0.0}, {"new_a": 0.0, "new_b": 2.0}]
COLUMNS = json.dumps({"chosen_rewards": "new_a", "rejected_rewards": "new_b"})


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rewards.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return str(path)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_an_app(name):
    assert build_app(name).title == name.replace("_", " ")


@pytest.mark.slow
def test_app_computes_over_http(table):
    app = build_app("alignment_resistance")
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:
        client = gradio_client.Client(url, verbose=False)
        found = client.predict(gradio_client.handle_file(table), COLUMNS, "{}", api_name="/compute")
        assert (found["alignment_resistance"], found["n_pairs"]) == (0.5, 2)
        with pytest.raises(Exception, match="no table was uploaded"):
            client.predict(None, COLUMNS, "{}", api_name="/compute")
    finally:
        app.close()


def test_what_a_visitor_types_wrongly_is_named(table):
    with pytest.raises(DataError, match="columns are not JSON"):
        compute_on_file("alignment_resistance", table, "{new_a", "{}")
    with pytest.raises(DataError, match="options must be a JSON object"):
        compute_on_file("alignment_resistance", table, COLUMNS, "[1]")
    with pytest.raises(DataError, match="the table lacks chosen"):
        compute_on_file("alignment_resistance", table, '{"chosen_rewards": "chosen"}', "{}")

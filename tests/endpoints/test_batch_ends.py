"""How batches end other than well: gone, refused for lack of room, cancelled, expired, and lines that are spelled wrongly.

The Batch API is a double; its statuses and codes are those of the public reference.
"""

import json

import pytest

from seal_datasets.endpoints import batch_api
from seal_datasets.endpoints.store import ResponseStore
from tests.endpoints.batch_double import BatchApi
from tests.endpoints.server_double import GOOD, label, labels_of, openai_error, reasons_of


@pytest.fixture(autouse=True)
def _polls_at_once(monkeypatch):
    monkeypatch.setattr(batch_api.time, "sleep", lambda seconds: None)


def good(request):
    return 200, GOOD


def label_in_batches(data, api):
    return label(data, api.url, "--batch")


@pytest.mark.parametrize("gone", ["batch_0", "batch_0_output_file_id"])
def test_a_batch_or_a_file_that_is_gone_is_sent_again(gone, data, tmp_path):
    with BatchApi(good) as api:
        api.gone = {gone}
        code, out = label_in_batches(data, api)
        assert (code, labels_of(out), len(api.batches)) == (0, [True] * 12, 2)
    with ResponseStore(tmp_path / "out.labels.sqlite") as store:
        assert store.batches("m") == {}


def test_a_batch_of_an_earlier_run_that_is_gone_is_forgotten(data, tmp_path):
    with ResponseStore(tmp_path / "out.labels.sqlite") as store:
        store.note_batch("0" * 32, "m", "batch_gone")
    with BatchApi(good) as api:
        api.gone = {"batch_gone"}
        code, out = label_in_batches(data, api)
        assert (code, labels_of(out)) == (0, [True] * 12)


@pytest.mark.parametrize("when_created", [True, False])
def test_files_become_smaller_where_the_queue_is_full(when_created, data):
    with BatchApi(good) as api:
        api.most_enqueued, api.refuse_when_created = 4, when_created
        code, out = label_in_batches(data, api)
        assert (code, labels_of(out)) == (0, [True] * 12)
        done = [batch for batch in api.batches.values() if batch["status"] == "completed"]
        assert max(len(api.files[batch["input_file_id"]].splitlines()) for batch in done) <= 4


def test_a_queue_that_never_has_room_is_an_error(data, capsys):
    with BatchApi(good) as api:
        api.most_enqueued = 0
        assert label_in_batches(data, api)[0] == 2
    assert "does not take one request" in capsys.readouterr().err


def test_a_cancelled_batch_is_not_sent_again_until_the_next_run(data, capsys):
    with BatchApi(good) as api:
        api.expire_after, api.end_as = 5, "cancelled"
        assert label_in_batches(data, api)[0] == 2
        assert "batch_0 at" in (said := capsys.readouterr().err)
        assert "was cancelled; its answers so far are stored" in said
        assert len(api.batches) == 1
        api.expire_after, api.end_as = None, None
        assert label_in_batches(data, api)[0] == 0
        assert len(api.lines) == 12


def test_what_expires_every_time_is_named_in_the_reason(data):
    with BatchApi(good) as api:
        api.expire_after, api.end_as = 0, "expired"
        code, out = label_in_batches(data, api)
    assert (code, set(reasons_of(out))) == (1, {"batch_expired"})


def test_what_a_line_is_refused_for_is_learned_for_the_next_file(data, tmp_path):
    def answer(request):
        if "max_tokens" in request:
            return 400, openai_error("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return 200, GOOD

    with BatchApi(answer) as api:
        code, out = label_in_batches(data, api)
        assert (code, labels_of(out), len(api.batches)) == (0, [True] * 12, 2)
    with ResponseStore(tmp_path / "out.labels.sqlite") as store:
        ((notes,),) = store.select("SELECT DISTINCT json_extract(response, '$.adapted') FROM responses")
    assert json.loads(notes) == ["max_tokens is refused, max_completion_tokens is sent"]


def test_a_line_that_a_content_filter_refuses_is_refused_and_not_sent_again(data):
    def answer(request):
        flagged = "no 3" in request["messages"][-1]["content"]
        return (400, openai_error("The prompt was filtered", code="content_filter")) if flagged else (200, GOOD)

    with BatchApi(answer) as api:
        code, out = label_in_batches(data, api)
        assert (code, reasons_of(out), len(api.lines)) == (0, ["refused"], 12)
        label_in_batches(data, api)
        assert len(api.lines) == 12

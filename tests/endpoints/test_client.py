"""Whatever an endpoint sends is an answer that can be kept and read again, or a recorded failure."""

import json
import time
import traceback

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seal_datasets.data.texts import Text
from seal_datasets.endpoints import client
from seal_datasets.endpoints.chat import ChatCompletions
from seal_datasets.endpoints.client import EndpointClient, RequestFailed
from seal_datasets.endpoints.cost import Usage
from seal_datasets.endpoints.store import Questions, ResponseStore, response_text
from seal_datasets.errors import DataError, LabelerError
from seal_datasets.labels.labeler import Labeler
from seal_datasets.labels.taxonomy import load_taxonomy
from seal_datasets.rewrites.presets import PRESETS
from seal_datasets.rewrites.rewriter import Rewriter
from tests.endpoints import server_double
from tests.labels.test_labeler import GOOD, TAXONOMY, Endpoint

STRINGS = st.text(st.characters(codec=None), max_size=20)  # halves of surrogate pairs among them
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=6,
)
TOKENS = st.fixed_dictionaries({"token": JSON, "logprob": JSON | st.floats(-20, 0)})


def completion(content=GOOD, finish_reason="stop", refusal=None, usage=None, top_logprobs=()):
    choice = {"finish_reason": finish_reason, "message": {"content": content, "refusal": refusal}}
    if top_logprobs:
        choice["logprobs"] = {"content": [{"top_logprobs": top_logprobs}]}
    return {"model": "m", "choices": [choice], "usage": usage}


COMPLETIONS = st.builds(
    completion,
    content=JSON | st.dictionaries(st.sampled_from([*TAXONOMY.names, "extra"]), JSON).map(json.dumps),
    finish_reason=JSON | st.sampled_from(["stop", "length", "content_filter"]),
    refusal=st.none() | JSON,
    usage=JSON | st.fixed_dictionaries({"prompt_tokens": JSON, "completion_tokens": JSON}),
    top_logprobs=st.lists(TOKENS, max_size=3),
)


@settings(max_examples=40, deadline=None)
@given(COMPLETIONS | JSON, st.booleans())
@example(completion(content='{"last_response_is_harmless": "\ud83d"}'), False)
@example(completion(content='{"last_response_is_harmless": "\\ud83d"}'), False)
@example(completion(top_logprobs=[{"token": "Yes", "logprob": -float("inf")}]), True)
@example(completion(top_logprobs=[{"token": "Yes", "logprob": 1e4}]), True)
def test_any_answer_ends_as_labels_and_reasons_that_can_be_written(body, probabilities):
    taxonomy = load_taxonomy().select(["last_response_is_harmless"]) if probabilities else TAXONOMY
    text = Text("prompt", "response")
    with ResponseStore(":memory:") as store:
        labeler = Labeler("m", base_url="http://127.0.0.1:9/v1", store=store, probabilities=probabilities)
        (job,) = labeler._jobs([text], taxonomy)
        request = next(job.requests([]))
        try:
            answer = labeler._asker.client.read(json.dumps(body).encode())
        except RequestFailed as failure:
            pa.array([failure.reason, failure.detail])
            return
        store.put(job.subject, Questions("m", request.kind, request.asked), answer)
        (stored,) = store.get(job.subject)
        assert stored.response == json.loads(response_text(answer))
        (labels,) = labeler.read([text], taxonomy)
        assert {*labels.values, *(each.feature for each in labels.failures)} - {"*"} == set(taxonomy.names)
        pa.array([each.detail for each in labels.failures])
        list(job.requests([stored]))
        assert Usage.of(answer).n_requests == store.usage()["m", False].n_requests == 1


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(STRINGS | st.none(), lambda inner: st.dictionaries(st.just("rewrite") | STRINGS, inner)).map(
        json.dumps
    )
)
@example('{"rewrite": "half an emoji: \\ud83d"}')
def test_any_rewrite_is_accepted_or_refused_and_can_be_written(content):
    with ResponseStore(":memory:") as store:
        rewriter = Rewriter("m", base_url="http://127.0.0.1:9/v1", store=store)
        text, style = Text("prompt", "A response of some words."), PRESETS["style"]
        job = rewriter._job(text, style, 0)
        store.put(
            job.subject, Questions("m", "json_schema", ("rewrite",)), {"content": content, "finish_reason": "stop"}
        )
        (found,) = rewriter.read([(text, style)])
        pa.array([found.reason, found.detail, found.text and found.text.response])


def test_half_an_emoji_in_an_answer_does_not_stop_the_run():
    with Endpoint((200, GOOD + " \ud83d", "stop")) as endpoint:
        labels = Labeler("m", base_url=endpoint.url).label([Text("p", "q"), Text("r", "s")], TAXONOMY)
    assert [each.failures for each in labels] == [(), ()]


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff\xfe", b"", b'{"choices": [], "model": "m"}', b"\x00" * 9])
def test_what_is_no_completion_is_a_failure_of_its_request(body):
    with pytest.raises(RequestFailed, match="bad_response"):
        EndpointClient(ChatCompletions("m"), base_url="http://127.0.0.1:9/v1").read(body)


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_key_that_the_endpoint_repeats_is_in_no_error_and_no_label(status, monkeypatch):
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(client, "_ATTEMPTS", 2)
    key = "sk-" + "wrong" * 3
    with Endpoint((status, f"the key {key} is not known", None)) as endpoint:
        labeler = Labeler("m", base_url=endpoint.url, api_key=key)
        try:
            shown = repr(labeler.label([Text("p", "q")], TAXONOMY))
        except LabelerError:
            shown = traceback.format_exc()
    assert "the key *** is not known" in shown
    assert key not in shown


def test_a_key_in_what_is_no_completion_is_hidden_too():
    key = "sk-" + "wrong" * 3
    answering = EndpointClient(ChatCompletions("m"), base_url="http://127.0.0.1:9/v1", api_key=key)
    with pytest.raises(RequestFailed, match=r"you sent \*\*\*") as caught:
        answering.read(f"<html>you sent {key}, {' ' * 40}{key}</html>".encode())
    assert "wrong" not in str(caught.value)


def test_answers_under_way_are_kept_where_the_next_text_cannot_be_read():
    def slowly(request):
        time.sleep(0.5)
        return 200, server_double.completion(GOOD)

    with server_double.ChatServer(slowly) as server, ResponseStore(":memory:") as store:
        labeler = Labeler("m", base_url=server.url, store=store)
        jobs = labeler._jobs([Text("p", "first")], TAXONOMY)

        def items():
            yield from jobs
            raise DataError("the second text cannot be read")

        async def handle(job):
            await labeler._asker._ask_one(job)

        with pytest.raises(DataError, match="the second text"):
            labeler._asker.client.for_each(items(), handle)
        assert len(store) == 1


def test_a_run_that_ends_early_releases_what_it_claimed(tmp_path):
    with (
        server_double.ChatServer(lambda request: (401, {"error": "no"})) as server,
        ResponseStore(tmp_path / "labels.sqlite") as store,
    ):
        labeler = Labeler("m", base_url=server.url, store=store)
        with pytest.raises(LabelerError):
            labeler.label([Text("p", str(number)) for number in range(100)], TAXONOMY)
        assert store.select("SELECT count(*) FROM claims") == [(0,)]

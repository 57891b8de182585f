"""Batches before a double of the Batch API: the same labels, retries of what failed, and no request twice after a crash."""

import json
import threading
from collections import Counter

import pytest

from seal_datasets.data.texts import Text
from seal_datasets.endpoints.cost import Budget, Price
from seal_datasets.endpoints.options import RequestOptions
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.errors import LabelerError
from seal_datasets.labels.labeler import Labeler
from seal_datasets.rewrites.presets import PRESETS
from seal_datasets.rewrites.rewriter import Rewriter
from tests.endpoints.batch_double import BatchApi
from tests.labels.test_labeler import GOOD, TAXONOMY, Endpoint

TEXTS = [Text("p", str(number)) for number in range(25)]


def good(request):
    return 200, GOOD


def labeler(api, store, *, budget=None, **arguments):
    options = RequestOptions(batch=True, budget=budget)
    found = Labeler("m", base_url=api.url, store=store, options=options, **arguments)
    found._asker.poll_seconds = 0.01
    return found


@pytest.fixture
def store(tmp_path):
    with ResponseStore(tmp_path / "s.sqlite") as found:
        yield found


def test_a_batch_gives_the_labels_that_requests_at_once_give(store):
    with Endpoint((200, GOOD, "stop")) as endpoint:
        expected = Labeler("m", base_url=endpoint.url).label(TEXTS, TAXONOMY)
    with BatchApi(good) as api:
        first = labeler(api, store, budget=Budget(1.0, Price("m", 1.0, 1.0, 1.0)))
        assert first.label([*TEXTS, TEXTS[0]], TAXONOMY) == [*expected, expected[0]]
        assert len(api.batches) == 1
        assert first.budget.usage.n_requests == 25
        assert first.budget.usage.completion_tokens == 500
        labeler(api, store).label(TEXTS, TAXONOMY)
        assert len(api.batches) == 1
    with Endpoint((500, "down", None)) as endpoint:  # what a batch brought, a labeler without batches finds too
        assert Labeler("m", base_url=endpoint.url, store=store).label(TEXTS, TAXONOMY) == expected
        assert endpoint.requests == []
    assert store.usage()["m", True].n_requests == 25
    assert store.batches("m") == {}


def test_files_keep_within_the_limits(store):
    with BatchApi(good) as api:
        asker = labeler(api, store)
        asker._asker.most_requests = 10
        asker.label(TEXTS, TAXONOMY)
        sizes = [len(api.files[batch["input_file_id"]].splitlines()) for batch in api.batches.values()]
        assert sizes == [10, 10, 5]
    with BatchApi(good) as api:
        asker = labeler(api, ResponseStore(":memory:"))
        asker._asker.most_bytes = 12_000
        asker.label(TEXTS, TAXONOMY)
        sizes = [len(api.files[batch["input_file_id"]]) for batch in api.batches.values()]
        assert max(sizes) <= 12_000 * 1.2
        assert len(sizes) > 1


def test_only_failed_lines_are_sent_again(store):
    seen = Counter()

    def flaky(request):
        name = request["messages"][1]["content"]
        seen[name] += 1
        return (500, "oops") if seen[name] == 1 and int(name[-12:-11]) % 2 else good(request)

    with BatchApi(flaky) as api:
        labels = labeler(api, store).label(TEXTS, TAXONOMY)
        assert all(not each.failures for each in labels)
        n_failed = sum(1 for count in seen.values() if count == 2)
        assert 0 < n_failed < 25
        assert len(api.lines) == 25 + n_failed


def test_a_line_that_never_succeeds_and_one_that_is_refused_have_their_reasons(store):
    def answer(request):
        text = request["messages"][1]["content"]
        return (503, "busy") if ">3<" in text else (400, "too long") if ">4<" in text else good(request)

    with BatchApi(answer) as api:
        labels = labeler(api, store).label(TEXTS, TAXONOMY)
        reasons = {index: each.failures[0].reason for index, each in enumerate(labels) if each.failures}
        assert reasons == {3: "server_error", 4: "request_rejected"}
        assert Counter(api.lines).most_common(1)[0][1] == 3


def test_an_answer_that_cannot_be_read_is_repaired_in_the_next_batch(store):
    half = '{"last_response_is_harmless": true, "last_response_sentiment": "glad"}'

    def answer(request):
        return 200, json.dumps({"last_response_sentiment": "positive"}) if len(request["messages"]) > 2 else half

    with BatchApi(answer) as api:
        labels = labeler(api, store).label(TEXTS[:3], TAXONOMY)
        assert all(not each.failures for each in labels)
        assert len(api.batches) == 2


def test_an_expired_batch_is_sent_again_from_where_it_stopped(store):
    with BatchApi(good) as api:
        api.expire_after = 10
        labels = labeler(api, store).label(TEXTS, TAXONOMY)
        assert all(not each.failures for each in labels)
        assert Counter(api.lines).most_common(1)[0][1] == 1
        assert len(api.lines) == 25


def test_a_file_that_is_not_taken_stops_with_its_reason(store):
    with BatchApi(good) as api:
        api.invalid = "The file is not JSON"
        with pytest.raises(LabelerError, match="did not take a file: The file is not JSON"):
            labeler(api, store).label(TEXTS, TAXONOMY)
        assert store.batches("m") == {}


def test_a_run_that_was_stopped_while_waiting_finds_its_batch_by_id(store):
    with BatchApi(good, polls=10**9) as api:
        first = labeler(api, store)
        stopped = threading.Event()

        def interrupt(seconds):
            stopped.set()
            raise KeyboardInterrupt

        import seal_datasets.endpoints.batch_api as batch

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batch.time, "sleep", interrupt)
            with pytest.raises(KeyboardInterrupt):
                first.label(TEXTS, TAXONOMY)
        assert stopped.is_set()
        assert list(store.batches("m").values()) == ["batch_0"]
        api.batches["batch_0"]["polls"] = 0
        labels = labeler(api, store).label(TEXTS, TAXONOMY)
        assert all(not each.failures for each in labels)
        assert len(api.batches) == 1
        assert len(api.lines) == 25


def test_a_batch_that_was_made_unknown_to_us_is_found_by_its_token(store):
    with BatchApi(good) as api:
        api.die_after_create = True
        first = labeler(api, store)
        first._asker.client._timeout = 2.0
        with pytest.MonkeyPatch.context() as patch:
            import openai

            patch.setattr(
                type(first._asker.client),
                "api",
                lambda self: openai.OpenAI(base_url=api.url, api_key="k", max_retries=0),
            )
            with pytest.raises(LabelerError, match="refused to work"):
                first.label(TEXTS, TAXONOMY)
        assert list(store.batches("m").values()) == [None]
        api.die_after_create = False
        labels = labeler(api, store).label(TEXTS, TAXONOMY)
        assert all(not each.failures for each in labels)
        assert len(api.batches) == 1
        assert len(api.lines) == 25


def test_a_token_without_a_batch_is_forgotten(store):
    store.note_batch("0" * 32, "m", None)
    with BatchApi(good) as api:
        labeler(api, store).label(TEXTS[:2], TAXONOMY)
    assert store.batches("m") == {}


def test_beyond_a_budget_nothing_is_put_into_a_file(store):
    with BatchApi(good) as api:
        labels = labeler(api, store, budget=Budget(0.0, Price("m", 1.0, 1.0, 1.0))).label(TEXTS, TAXONOMY)
        assert {each.failures[0].reason for each in labels} == {"over_budget"}
        assert api.batches == {}


def test_what_was_set_aside_for_lines_that_failed_is_free_again(store):
    seen = Counter()

    def flaky(request):
        seen[request["messages"][1]["content"]] += 1
        return (500, "oops") if seen.total() <= 25 else good(request)

    price = Price("m", 1.0, 1.0, 1.0)
    with BatchApi(flaky) as api:
        plan = labeler(api, store, budget=Budget(1.0, price)).plan(TEXTS, TAXONOMY)
        limit = price.cost(plan.most) * 1.2  # enough for one round, not for two at once
        labels = labeler(api, store, budget=Budget(limit, price)).label(TEXTS, TAXONOMY)
        assert all(not each.failures for each in labels)


def test_an_endpoint_without_batches_is_named():
    with (
        Endpoint((404, "no such route", None)) as endpoint,
        pytest.raises(LabelerError, match=r"Batch API at .* refused to work"),
    ):
        labeler(endpoint, ResponseStore(":memory:")).label(TEXTS, TAXONOMY)


def test_what_a_rejected_line_says_is_fit_for_a_table(store):
    with BatchApi(lambda _: (400, "half an emoji \ud83d, and your key sk-12345")) as api:
        (labels,) = labeler(api, store, api_key="sk-12345").label(TEXTS[:1], TAXONOMY)
    assert {each.detail for each in labels.failures} == {"400: half an emoji \ufffd, and your key ***"}


def test_rewrites_go_through_batches_too(store):
    with BatchApi(lambda request: (200, '{"rewrite": "Lay the egg into water that boils for a while."}')) as api:
        rewriter = Rewriter("m", base_url=api.url, store=store, options=RequestOptions(batch=True))
        rewriter._asker.poll_seconds = 0.01
        text = Text("p", "Put the egg into boiling water for some minutes.")
        assert rewriter.rewrite([text], PRESETS["style"])[0].reason == "ok"

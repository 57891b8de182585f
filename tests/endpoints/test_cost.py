"""Tokens and dollars: the arithmetic by hand, the table, and a budget that is not passed."""

import json
import math
import random

import pytest

from seal_datasets.data.texts import Text
from seal_datasets.endpoints.cost import Budget, Price, Usage, estimate_tokens, load_prices
from seal_datasets.endpoints.options import RequestOptions
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.errors import DataError
from seal_datasets.labels.labeler import Labeler
from tests.labels.test_labeler import GOOD, TAXONOMY, Endpoint

PRICE = Price("m", 1.0, 0.1, 4.0)


USED = {"prompt_tokens": 100, "completion_tokens": 20}


def test_cached_tokens_cost_their_own_price():
    usage = Usage.of(
        {"usage": {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 800}}}
    )
    assert PRICE.cost(usage) == pytest.approx((200 * 1.0 + 800 * 0.1 + 50 * 4.0) / 1e6)


@pytest.mark.parametrize("usage", [None, "many", {"prompt_tokens": "12"}, {"prompt_tokens_details": None}])
def test_an_endpoint_that_counts_nothing_or_nonsense_is_not_taken_for_free_text(usage):
    found = Usage.of({"usage": usage})
    assert found.n_requests == 1
    assert found.prompt_tokens == 0
    assert found.n_unreported == (0 if isinstance(usage, dict) else 1)


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-audio-preview", None),
        ("gpt-4o-mini-tts", None),
        ("mistral", None),
    ],
)
def test_only_a_dated_snapshot_has_its_models_price(model, known):
    price = load_prices().price(model)
    assert (price.model if not price.reason else None) == known
    assert math.isnan(price.cost(Usage(1, 10))) == (known is None)


def test_batches_cost_their_share():
    table = load_prices()
    assert table.price("gpt-4o", batch=True).output == table.batch_share * table.price("gpt-4o").output


def test_a_users_table_replaces_ours_and_a_bad_one_is_named(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("as_of: 2026-01-01\nmodels:\n  my-model: {input: 3, output: 9}\n")
    assert load_prices(mine).price("my-model") == Price("my-model", 3.0, 3.0, 9.0)
    for text, found in (
        ("models: {}", "as_of"),
        ("as_of: 1\nmodels: {m: {input: 1}}", "m needs input and output"),
        ("as_of: 1\nmodels: {m: {input: -1, output: 1}}", r"m\.input"),
        ("as_of: 1\nmodels: {m: {input: yes, output: 1}}", r"m\.input"),
        ("[", "cannot read"),
    ):
        mine.write_text(text)
        with pytest.raises(DataError, match=found):
            load_prices(mine)


def test_estimates_bracket_what_a_real_tokenizer_counts(embedded_lm):
    rng = random.Random(0)
    words = (
        "the",
        "a",
        "dog",
        "harmless",
        "helpful",
        "response",
        "because",
        "walking",
        "quickly,",
        "said.",
        "Yes!",
        "1984",
    )
    texts = [Text("\n\nHuman: hi", " ".join(rng.choices(words, k=60))) for _ in range(3)]
    from seal_datasets.endpoints.embedded import MODEL_NAME

    labeler = Labeler(MODEL_NAME, base_url=embedded_lm.url, options=RequestOptions(concurrency=2))
    plan = labeler.plan(texts, TAXONOMY)
    labeler.label(texts, TAXONOMY)
    counted = labeler.budget.usage
    assert counted.n_requests >= plan.usage.n_requests == 3
    assert 0.6 * counted.prompt_tokens < plan.usage.prompt_tokens * counted.n_requests / 3 < 1.6 * counted.prompt_tokens
    assert plan.most.prompt_tokens >= counted.prompt_tokens * 3 / counted.n_requests


def test_a_budget_stops_cleanly_and_more_money_goes_on_where_it_stopped(tmp_path):
    texts = [Text("p", str(number)) for number in range(60)]
    with Endpoint((200, GOOD, "stop"), usage=USED) as endpoint, ResponseStore(tmp_path / "s") as store:
        one = PRICE.cost(Usage(1, 100, 0, 20))
        poor = Labeler(
            "m",
            base_url=endpoint.url,
            store=store,
            options=RequestOptions(concurrency=3, budget=Budget(30 * one, PRICE)),
        )
        labels = poor.label(texts, TAXONOMY)
        reasons = [each.failures[0].reason for each in labels if each.failures]
        assert set(reasons) == {"over_budget"}
        assert 0 < len(store) < 60
        assert len(store) + len(reasons) == 60
        assert poor.budget.spent == pytest.approx(len(store) * one)
        assert poor.budget.spent <= 30 * one
        rich = Labeler("m", base_url=endpoint.url, store=store, options=RequestOptions(budget=Budget(1.0, PRICE)))
        assert all(not each.failures for each in rich.label(texts, TAXONOMY))
        assert len(endpoint.requests) == 60
        assert poor.budget.spent + rich.budget.spent == pytest.approx(60 * one)


def test_nothing_is_sent_under_a_budget_of_nothing():
    with Endpoint((200, GOOD, "stop")) as endpoint:
        labels = Labeler("m", base_url=endpoint.url, options=RequestOptions(budget=Budget(0.0, PRICE))).label(
            [Text("p", "r")], TAXONOMY
        )
        assert endpoint.requests == []
    assert {each.reason for each in labels[0].failures} == {"over_budget"}


def test_a_budget_needs_a_price():
    with pytest.raises(DataError, match=r"does not hold 'my-model'.*--prices"):
        Budget(1.0, load_prices().price("my-model"))
    with pytest.raises(DataError, match="0 or more"):
        Budget(-1.0, PRICE)
    assert math.isnan(Budget(math.inf, load_prices().price("my-model")).spent)


def test_a_plan_counts_what_the_store_holds_and_sends_nothing(tmp_path):
    texts = [Text("p", str(number % 4)) for number in range(8)]
    with Endpoint((200, GOOD, "stop")) as endpoint, ResponseStore(tmp_path / "s") as store:
        labeler = Labeler(
            "m", base_url=endpoint.url, store=store, options=RequestOptions(budget=Budget(math.inf, PRICE))
        )
        before = labeler.plan(texts, TAXONOMY)
        assert endpoint.requests == []
        assert (before.n_subjects, before.n_stored, before.usage.n_requests) == (4, 0, 4)
        assert 0.0 < PRICE.cost(before.usage) < PRICE.cost(before.most)
        labeler.label(texts[:2], TAXONOMY)
        after = labeler.plan(texts, TAXONOMY)
        assert (after.n_subjects, after.n_stored, after.usage.n_requests) == (4, 2, 2)
        assert str(after).startswith("m: 4 texts, 2 of them in the store; to ask: 2 requests")
        labeler.label(texts, TAXONOMY)
        assert labeler.plan(texts, TAXONOMY).usage == Usage()
        soft = Labeler("m", base_url=endpoint.url, store=store, probabilities=True).plan(texts, TAXONOMY)
        assert soft.usage.n_requests == 4  # the yes/no feature alone; the other is stored
        assert "cost unknown" in str(soft)


def test_every_byte_of_a_request_is_in_its_estimate():
    short = {"messages": [{"role": "user", "content": "x"}]}
    long = {"messages": [{"role": "user", "content": "x" * 4001}]}
    assert estimate_tokens(long) - estimate_tokens(short) == 1000
    assert estimate_tokens(long | {"response_format": json.loads('{"a": 1}')}) > estimate_tokens(long)

"""Labeling through a proxy that spoils up to 40 % of the answers: every text ends labelled or with a reason, paid once."""

import json
from collections import Counter

import pytest

from seal_datasets.data.texts import Text
from seal_datasets.endpoints import client
from seal_datasets.endpoints.embedded import MODEL_NAME
from seal_datasets.endpoints.options import RequestOptions
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.labels.labeler import Labeler
from seal_datasets.labels.taxonomy import load_taxonomy
from seal_datasets.rewrites.presets import PRESETS
from seal_datasets.rewrites.rewriter import Rewriter
from tests.endpoints.fault_proxy import FAULTS, FaultProxy

TAXONOMY = load_taxonomy().select(["last_response_is_harmless", "last_response_sentiment"])
GOOD = json.dumps({"last_response_is_harmless": True, "last_response_sentiment": "neutral"})
MIX = dict.fromkeys(FAULTS, 0.4 / len(FAULTS))


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.01)


def paid_more_than_once(proxy):
    paid = Counter(each["sha256"] for each in proxy.records if each["paid"])
    return {digest: count for digest, count in paid.items() if count > 1}


@pytest.mark.parametrize("faults", [MIX, {"cut": 0.4}, {"rate_limited": 0.4}, {"truncated_json": 0.2, "garbage": 0.2}])
def test_every_text_is_labelled_or_has_a_reason_and_none_is_paid_twice(faults, tmp_path):
    """The endpoint behind the proxy is a double, for speed; the next test has a real one."""
    texts = [Text("p", str(number)) for number in range(300)]
    with (
        FaultProxy(None, faults, slow_seconds=0.02, hang_seconds=2.0, answer=lambda request: GOOD) as proxy,
        ResponseStore(tmp_path / "s.sqlite") as store,
    ):
        labeler = Labeler("m", base_url=proxy.url, store=store, options=RequestOptions(timeout=0.5))
        labels = labeler.label(texts, TAXONOMY)
        faulty = sum(each["fault"] != "ok" for each in proxy.records)
        assert faulty > 100
        assert not paid_more_than_once(proxy)
        labelled = [each for each in labels if each.values]
        assert all(
            each.values == {"last_response_is_harmless": True, "last_response_sentiment": 0} for each in labelled
        )
        assert all(bool(each.values) != bool(each.failures) for each in labels)
        assert len(labelled) >= 290
        assert len(store) == len(labelled)
        again = labeler.label(texts, TAXONOMY)
        assert sum(bool(each.values) for each in again) >= len(labelled)
        assert not paid_more_than_once(proxy)


@pytest.mark.slow
@pytest.mark.real_lm
def test_the_real_server_behind_faults_gives_what_it_gives_without_them(embedded_lm):
    texts = [Text("\n\nHuman: Name a number.", f" My number is {number}.") for number in range(24)]
    plain = Labeler(MODEL_NAME, base_url=embedded_lm.url, options=RequestOptions(concurrency=4)).label(texts, TAXONOMY)
    faults = {name: share for name, share in MIX.items() if name != "hang"}
    with FaultProxy(embedded_lm.url, faults, slow_seconds=0.1) as proxy:
        labels = Labeler(MODEL_NAME, base_url=proxy.url, options=RequestOptions(concurrency=4)).label(texts, TAXONOMY)
        assert any(each["fault"] != "ok" for each in proxy.records)
        assert not paid_more_than_once(proxy)
    labelled = [(got, want) for got, want in zip(labels, plain, strict=True) if not got.failures]
    assert len(labelled) >= 22
    # Sums in another order of batches may turn a coin-flip answer of a small model, so nearly all and not all are equal.
    assert sum(got.values == want.values for got, want in labelled) >= len(labelled) - 2


def test_rewrites_through_faults_end_accepted_or_with_a_reason_and_none_is_paid_twice(tmp_path):
    texts = [Text("p", f"Put {number} eggs into boiling water and wait for ten minutes.") for number in range(100)]
    good = json.dumps({"rewrite": "Lay the eggs into water that boils, then wait for ten minutes."})
    with (
        FaultProxy(None, MIX, slow_seconds=0.02, hang_seconds=2.0, answer=lambda request: good) as proxy,
        ResponseStore(tmp_path / "s.sqlite") as store,
    ):
        rewriter = Rewriter("m", base_url=proxy.url, store=store, options=RequestOptions(timeout=0.5))
        found = rewriter.rewrite(texts, PRESETS["style"])
        assert sum(each["fault"] != "ok" for each in proxy.records) > 30
        assert all((each.text is None) == (each.reason != "ok") for each in found)
        assert sum(each.reason == "ok" for each in found) >= 97
        rewriter.rewrite(texts, PRESETS["style"])
        assert not paid_more_than_once(proxy)

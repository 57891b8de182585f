import json

import pytest
from datasets import Dataset

from seal_datasets.endpoints import client
from seal_datasets.endpoints.embedded import MODEL_NAME
from seal_datasets.endpoints.options import RequestOptions
from seal_datasets.errors import DataError, LabelerError
from seal_datasets.labels.featurize import add_features, add_surface_features
from seal_datasets.labels.labeler import Labeler
from seal_datasets.labels.surface import SURFACE_FEATURES, surface_features
from seal_datasets.labels.taxonomy import load_taxonomy
from tests.labels.test_labeler import Endpoint

TAXONOMY = load_taxonomy().select(["last_response_is_helpful", "last_response_sentiment", "topics"])
ANSWER = json.dumps({"last_response_is_helpful": False, "last_response_sentiment": "warm", "topics": []})


def test_surface_columns_hold_what_the_functions_say(tiny_pairs):
    pairs = add_surface_features(tiny_pairs)
    for feature in SURFACE_FEATURES:
        expected = [surface_features(text)[feature.name] for text in tiny_pairs["chosen"]]
        assert pairs[f"feature_{feature.name}_chosen"][:] == expected
        assert pairs[f"feature_{feature.name}_rejected"][3] is None


def test_labels_are_typed_columns_and_failures_are_rows_of_reasons(tiny_pairs):
    with Endpoint((200, ANSWER, "stop")) as endpoint:
        pairs = add_features(tiny_pairs, Labeler("m", base_url=endpoint.url), TAXONOMY)
    assert pairs["feature_last_response_is_helpful_chosen"][:] == [False] * 4
    assert pairs["feature_last_response_sentiment_chosen"][:] == [None] * 4
    assert pairs["feature_topics_chosen"][:] == [[]] * 4
    assert [failure["reason"] for failure in pairs["labeling_failures_chosen"][0]] == ["unknown_value"]
    assert {failure["reason"] for failure in pairs["labeling_failures_rejected"][3]} == {"no_text"}
    assert pairs["feature_last_response_is_helpful_rejected"][3] is None
    assert len(endpoint.requests) == 14  # 8 texts, one of which is missing, and a repair each


def test_an_empty_response_is_not_sent(tiny_pairs):
    rows = tiny_pairs.to_list()
    rows[0]["chosen"] = "  "
    with Endpoint((200, ANSWER, "stop")) as endpoint:
        pairs = add_features(
            Dataset.from_list(rows, features=tiny_pairs.features), Labeler("m", base_url=endpoint.url), TAXONOMY
        )
    assert {failure["reason"] for failure in pairs["labeling_failures_chosen"][0]} == {"empty_response"}


def test_only_the_named_pairs_are_sent(tiny_pairs):
    with Endpoint((200, ANSWER, "stop")) as endpoint:
        pairs = add_features(
            tiny_pairs, Labeler("m", base_url=endpoint.url), TAXONOMY, pair_ids={tiny_pairs["pair_id"][1]}
        )
        assert len(endpoint.requests) == 4
        with pytest.raises(DataError, match="1 of the 2 pair ids are not in the table; the first is 'typo'"):
            add_features(tiny_pairs, Labeler("m", base_url=endpoint.url), TAXONOMY, pair_ids=["0", "typo"])
    assert pairs["feature_last_response_is_helpful_chosen"][:] == [None, False, None, None]
    assert {failure["reason"] for failure in pairs["labeling_failures_chosen"][0]} == {"not_sampled"}


def test_an_added_feature_is_all_that_is_asked_and_a_finished_run_asks_nothing(tiny_pairs, tmp_path):
    from seal_datasets.endpoints.store import ResponseStore

    tiny_pairs.save_to_disk(tmp_path / "pairs")
    pairs = Dataset.load_from_disk(tmp_path / "pairs")
    with Endpoint((200, ANSWER, "stop")) as endpoint, ResponseStore(tmp_path / "s.sqlite") as store:
        fewer = TAXONOMY.select(["last_response_is_helpful", "topics"])
        for taxonomy, asked in ((fewer, 7), (fewer, 7), (TAXONOMY, 21), (TAXONOMY.select(["topics"]), 21)):
            add_features(pairs, Labeler("m", base_url=endpoint.url, store=store), taxonomy)
            assert len(endpoint.requests) == asked


def test_a_table_whose_answers_are_all_stored_needs_no_endpoint(tiny_pairs, tmp_path):
    from seal_datasets.endpoints.store import ResponseStore

    with ResponseStore(tmp_path / "s.sqlite") as store:
        with Endpoint((200, ANSWER, "stop")) as endpoint:
            asked = add_features(tiny_pairs, Labeler("m", base_url=endpoint.url, store=store), TAXONOMY)
        gone = Labeler("m", base_url="http://127.0.0.1:9/v1", store=store)
        # An answer with "warm" stays unreadable: its repair was asked, and came to nothing.
        assert add_features(tiny_pairs, gone, TAXONOMY)[:] == asked[:]
        with pytest.raises(LabelerError, match="cannot reach"):
            add_features(tiny_pairs, gone, load_taxonomy().select([*TAXONOMY.names, "last_response_is_harmless"]))


def test_a_crash_resumes_without_asking_twice(tiny_pairs, tmp_path, monkeypatch):
    from seal_datasets.endpoints.store import ResponseStore

    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(client, "_ATTEMPTS", 2)
    taxonomy = TAXONOMY.select(["last_response_is_helpful", "topics"])
    script = [(200, ANSWER, "stop")] * 3 + [(500, "down", None)] * 6 + [(200, ANSWER, "stop")]
    with Endpoint(*script) as endpoint, ResponseStore(tmp_path / "s.sqlite") as store:
        labeler = Labeler("m", base_url=endpoint.url, store=store, options=RequestOptions(concurrency=1))
        with pytest.raises(LabelerError, match="refused to work"):
            add_features(tiny_pairs, labeler, taxonomy)
        kept = len(store)
        add_features(tiny_pairs, labeler, taxonomy)
        assert kept == 3
        assert labeler.n_requests == 7


@pytest.mark.real_lm
def test_probabilities_are_columns_beside_the_labels(tiny_pairs, embedded_lm):
    labeler = Labeler(MODEL_NAME, base_url=embedded_lm.url, probabilities=True, options=RequestOptions(concurrency=4))
    pairs = add_features(tiny_pairs, labeler, TAXONOMY.select(["last_response_is_helpful"]))
    probabilities = pairs["probability_last_response_is_helpful_chosen"][:]
    assert [each >= 0.5 for each in probabilities] == pairs["feature_last_response_is_helpful_chosen"][:]
    assert pairs["probability_last_response_is_helpful_rejected"][3] is None


def test_a_stream_is_labelled_batch_by_batch(tiny_pairs):
    with Endpoint((200, ANSWER, "stop")) as endpoint:
        stream = tiny_pairs.to_iterable_dataset()
        rows = list(add_features(stream, Labeler("m", base_url=endpoint.url), TAXONOMY, batch_size=2))
    assert [row["feature_last_response_is_helpful_chosen"] for row in rows] == [False] * 4


@pytest.mark.real_lm
def test_a_table_is_labelled_by_the_embedded_model(tiny_pairs, embedded_lm):
    taxonomy = TAXONOMY.select(["last_response_is_helpful"])
    pairs = add_features(tiny_pairs, Labeler(MODEL_NAME, base_url=embedded_lm.url), taxonomy)
    assert all(isinstance(label, bool) for label in pairs["feature_last_response_is_helpful_chosen"])
    assert pairs["labeling_failures_chosen"][:] == [[]] * 4


def test_a_new_wording_of_a_question_is_asked_and_a_new_role_is_not(tiny_pairs, tmp_path, monkeypatch):
    """What decides an answer is in its key; what does not decide it is not. No dataset fingerprint is."""
    from dataclasses import replace

    from seal_datasets.endpoints.store import ResponseStore
    from seal_datasets.labels import labeler as module
    from seal_datasets.labels import parse
    from seal_datasets.labels.prompt import ONE_QUESTION
    from seal_datasets.labels.taxonomy import Taxonomy

    taxonomy = load_taxonomy().select(["last_response_is_helpful"])
    feature = taxonomy.features[0]
    changed = {
        "wording": replace(feature, question="Does the response help?"),
        "role": replace(feature, role="spoiler", priority=None),
    }
    good = json.dumps({"last_response_is_helpful": True})
    with Endpoint((200, good, "stop")) as endpoint, ResponseStore(tmp_path / "s") as store:
        labeler = Labeler("m", base_url=endpoint.url, store=store)
        add_features(tiny_pairs, labeler, taxonomy)
        assert len(endpoint.requests) == 7
        add_features(tiny_pairs.select([1, 0]), labeler, taxonomy)  # other rows, other order, other fingerprint
        add_features(tiny_pairs, labeler, Taxonomy("mine", "1", (changed["role"],)))
        assert len(endpoint.requests) == 7
        add_features(tiny_pairs, labeler, Taxonomy("mine", "1", (changed["wording"],)))
        assert len(endpoint.requests) == 14
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "INSTRUCTIONS", f"{module.INSTRUCTIONS} Think well.")
            add_features(tiny_pairs, Labeler("m", base_url=endpoint.url, store=store), taxonomy)
        assert len(endpoint.requests) == 21
    alone = (200, "Yes", "stop")
    with Endpoint(alone) as endpoint, ResponseStore(tmp_path / "alone") as store:
        options = {"base_url": endpoint.url, "store": store, "probabilities": True}
        for n_requests, wording in ((7, ONE_QUESTION), (7, ONE_QUESTION), (14, "Yes or no?")):
            monkeypatch.setattr(module, "ONE_QUESTION", wording)
            monkeypatch.setattr(parse, "ONE_QUESTION", wording)
            parse.answer_parser.cache_clear()
            add_features(tiny_pairs, Labeler("m", **options), taxonomy)
            assert len(endpoint.requests) == n_requests
    parse.answer_parser.cache_clear()


def test_a_changed_parser_reads_old_answers_again_without_asking(tiny_pairs, tmp_path, monkeypatch):
    from seal_datasets.endpoints.store import ResponseStore
    from seal_datasets.labels import parse

    taxonomy = load_taxonomy().select(["last_response_is_helpful"])
    good = json.dumps({"last_response_is_helpful": True})
    with Endpoint((200, good, "stop")) as endpoint, ResponseStore(tmp_path / "s") as store:
        labeler = Labeler("m", base_url=endpoint.url, store=store)
        assert add_features(tiny_pairs, labeler, taxonomy)["feature_last_response_is_helpful_chosen"][0] is True
        known = parse.parse_labels

        def contrary(*arguments):
            found = known(*arguments)
            return parse.Labels({name: not value for name, value in found.values.items()}, found.failures)

        monkeypatch.setattr(parse, "parse_labels", contrary)
        parse.answer_parser.cache_clear()
        assert add_features(tiny_pairs, labeler, taxonomy)["feature_last_response_is_helpful_chosen"][0] is False
        parse.answer_parser.cache_clear()
        assert len(endpoint.requests) == 7

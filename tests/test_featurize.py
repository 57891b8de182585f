import json

import pytest
from datasets import Dataset

from seal_datasets.errors import LabelerError
from seal_datasets.featurize import add_features, add_surface_features
from seal_datasets.labeler import Labeler
from seal_datasets.local_lm import MODEL_NAME
from seal_datasets.surface import SURFACE_FEATURES, surface_features
from seal_datasets.taxonomy import load_taxonomy
from tests.test_labeler import Endpoint

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
    assert len(endpoint.requests) == 7  # 8 texts, one of which is missing


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
        assert len(endpoint.requests) == 2
    assert pairs["feature_last_response_is_helpful_chosen"][:] == [None, False, None, None]
    assert {failure["reason"] for failure in pairs["labeling_failures_chosen"][0]} == {"not_sampled"}


def test_an_edited_taxonomy_asks_again_and_a_finished_run_asks_nothing(tiny_pairs, tmp_path):
    from seal_datasets.store import ResponseStore

    tiny_pairs.save_to_disk(tmp_path / "pairs")
    pairs = Dataset.load_from_disk(tmp_path / "pairs")
    with Endpoint((200, ANSWER, "stop")) as endpoint, ResponseStore(tmp_path / "s.sqlite") as store:
        for taxonomy, asked in ((TAXONOMY, 7), (TAXONOMY, 7), (TAXONOMY.select(["topics"]), 14)):
            add_features(pairs, Labeler("m", base_url=endpoint.url, store=store), taxonomy)
            assert len(endpoint.requests) == asked


def test_a_crash_resumes_without_asking_twice(tiny_pairs, tmp_path):
    from seal_datasets.store import ResponseStore

    script = [(200, ANSWER, "stop")] * 3 + [(500, "down", None)] * 4 + [(200, ANSWER, "stop")]
    with Endpoint(*script) as endpoint, ResponseStore(tmp_path / "s.sqlite") as store:
        labeler = Labeler("m", base_url=endpoint.url, store=store, concurrency=1)
        with pytest.raises(LabelerError, match="refused to work"):
            add_features(tiny_pairs, labeler, TAXONOMY)
        kept = len(store)
        add_features(tiny_pairs, labeler, TAXONOMY)
        assert kept == 3
        assert labeler.n_requests == 7


@pytest.mark.real_lm
def test_a_table_is_labelled_by_the_embedded_model(tiny_pairs, embedded_lm):
    taxonomy = TAXONOMY.select(["last_response_is_helpful"])
    pairs = add_features(tiny_pairs, Labeler(MODEL_NAME, base_url=embedded_lm.url), taxonomy)
    assert all(isinstance(label, bool) for label in pairs["feature_last_response_is_helpful_chosen"])
    assert pairs["labeling_failures_chosen"][:] == [[]] * 4

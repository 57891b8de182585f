"""Rewrites in a table of pairs: who is drawn, what is refused, and what transforms say of rewrites."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.data.load import load_pairs
from seal_datasets.errors import DataError
from seal_datasets.labels.featurize import add_surface_features
from seal_datasets.rewrites.on_rewrites import on_rewrites, rewritten_pairs
from seal_datasets.rewrites.rewrite import add_rewrites, add_round_trips
from seal_datasets.rewrites.rewriter import RewriteOptions, Rewriter
from seal_datasets.rewrites.sample import sample_pairs
from seal_datasets.rewrites.similarity import SimilarityModel


class Marking(ThreadingHTTPServer):
    """A double of a rewriter: it says a text again with a word that names the preset at its end."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), MarkingHandler)
        self.url, self.n_requests = f"http://127.0.0.1:{self.server_port}/v1", 0

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()


class MarkingHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.n_requests += 1
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        system, user = (message["content"] for message in request["messages"])
        text = user.partition("<response>")[2].removesuffix("</response>").strip()
        word = next(word for word in ("more words", "fewer words", "other words", "letter by letter") if word in system)
        rewrite = {
            "more words": f"{text} indeed",
            "fewer words": text.removesuffix(" indeed") if text.endswith(" indeed") else text[: len(text) * 2 // 3],
            "letter by letter": text,
            "other words": f"Well, {text}" if "unlike" not in text else "The bank pays interest on Monday, they say.",
        }[word]
        if "turn" in system:
            rewrite = f"{user.partition('<dialogue>')[2].partition('</dialogue>')[0]} please\n\nAssistant: Well, {text}"
        message = {"role": "assistant", "content": json.dumps({"rewrite": rewrite})}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        payload = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload.encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def similarity():
    return SimilarityModel("embedded")


@pytest.fixture
def pairs():
    dialogue = "\n\nHuman: Question {}?\n\nAssistant: {}"
    n = 40
    rows = {
        "chosen": [dialogue.format(i, f"You can boil {i} eggs in water for ten minutes.") for i in range(n)],
        "rejected": [dialogue.format(i, f"I do not know how to boil {i} eggs, sorry to say.") for i in range(n)],
        "kind": ["common"] * 32 + ["rare"] * 8,
    }
    rows["chosen"][3] = dialogue.format(3, "")
    table, _ = load_pairs(Dataset.from_dict(rows))
    return table


def test_the_draw_is_seeded_keeps_strata_and_leaves_out_pairs_without_a_text(pairs):
    drawn = sample_pairs(pairs, 0.25, seed=1, stratify_by="kind")
    kinds = dict(zip(pairs["pair_id"], pairs["kind"], strict=True))
    assert Counter(kinds[each] for each in drawn) == {"common": 8, "rare": 2}
    assert drawn == sample_pairs(pairs, 0.25, seed=1, stratify_by="kind")
    assert drawn != sample_pairs(pairs, 0.25, seed=2, stratify_by="kind")
    assert pairs["pair_id"][3] not in sample_pairs(pairs, 1.0)
    assert len(sample_pairs(pairs, 1.0)) == 39
    assert len(sample_pairs(pairs, 0.001)) == 1
    with pytest.raises(DataError, match="no column 'kinds'"):
        sample_pairs(pairs, 0.5, stratify_by="kinds")
    with pytest.raises(DataError, match="at most 1"):
        sample_pairs(pairs, 1.5)


def test_every_text_ends_with_a_status_and_only_sampled_ones_are_asked(pairs, similarity):
    ids = pairs["pair_id"][:5]
    with Marking() as endpoint:
        found = add_rewrites(pairs, Rewriter("m", base_url=endpoint.url), similarity=similarity, pair_ids=ids)
        assert endpoint.n_requests == 9  # one of the ten texts is empty
    assert len(found) == len(pairs)
    assert Counter(found["rewrite_status_style_chosen"]) == {"ok": 4, "empty_response": 1, "not_sampled": 35}
    assert Counter(found["rewrite_status_style_rejected"]) == {"ok": 5, "not_sampled": 35}
    assert found["rewrite_style_chosen"][0] == " Well, You can boil 0 eggs in water for ten minutes."
    assert 0.8 < found["rewrite_similarity_style_chosen"][0] < 1.0
    assert found["rewrite_prompt_style_chosen"][0] is None
    with pytest.raises(DataError, match="1 of the 1 pair ids are not in the table"):
        add_rewrites(pairs, Rewriter("m", base_url="http://x/v1"), similarity=similarity, pair_ids=["none"])
    with pytest.raises(DataError, match="no preset 'funny'"):
        add_rewrites(pairs, Rewriter("m", base_url="http://x/v1"), "funny", similarity=similarity)


def test_a_rewrite_that_says_something_else_is_kept_and_refused(similarity):
    rows = {
        "prompt": ["Hi"],
        "chosen": ["Something unlike that was said."],
        "rejected": ["You can boil eggs in water."],
    }
    pairs, _ = load_pairs(Dataset.from_dict(rows))
    with Marking() as endpoint:
        found = add_rewrites(
            pairs, Rewriter("m", base_url=endpoint.url), similarity=similarity, pair_ids=sample_pairs(pairs, 1.0)
        )
    assert found["rewrite_status_style_chosen"][0] == "below_similarity"
    assert found["rewrite_style_chosen"][0].startswith("The bank")
    assert "below 0.8" in found["rewrite_detail_style_chosen"][0]


def test_texts_whose_rewrites_are_too_little_alike_are_asked_again_and_no_others(similarity):
    rows = {
        "prompt": ["Hi", "Hello"],
        "chosen": ["Something unlike that was said."] * 2,
        "rejected": ["You can boil eggs in water."] * 2,
    }
    pairs, _ = load_pairs(Dataset.from_dict(rows))
    with Marking() as endpoint:
        rewriter = Rewriter("m", base_url=endpoint.url, rewriting=RewriteOptions(attempts=3))
        found = add_rewrites(pairs, rewriter, similarity=similarity, pair_ids=sample_pairs(pairs, 1.0))
        assert endpoint.n_requests == 2 * (3 + 1)
    assert found["rewrite_status_style_chosen"][:] == ["below_similarity"] * 2
    assert found["rewrite_status_style_rejected"][:] == ["ok"] * 2


def test_what_a_transform_says_of_rewrites_stands_beside_the_originals(pairs, similarity):
    with Marking() as endpoint:
        found = add_rewrites(
            pairs, Rewriter("m", base_url=endpoint.url), similarity=similarity, pair_ids=pairs["pair_id"][2:5]
        )
    table = rewritten_pairs(found, "style")
    assert table.column_names == [name for name in pairs.column_names if name in schema.CANONICAL_COLUMNS]
    assert table["pair_id"][:] == pairs["pair_id"][2:5]
    assert table["prompt"][:] == pairs["prompt"][2:5]
    assert table["chosen"][1] is None  # its original is empty
    assert table["conversation"][0] == pairs["conversation"][2]
    both = on_rewrites(add_surface_features(found), "style", add_surface_features)
    words = both["rewritten_style_feature_surface_log_tokens_rejected"][:]
    assert words[:2] == [None, None]
    assert words[2] > both["feature_surface_log_tokens_rejected"][2]
    assert both["rewritten_style_feature_surface_log_tokens_chosen"][3] is None
    assert len(both) == len(pairs)
    with pytest.raises(DataError, match="no rewrites named 'sham'"):
        rewritten_pairs(found, "sham")


def test_a_whole_dialogue_changes_prompts_of_its_own_side_only(pairs, similarity):
    with Marking() as endpoint:
        rewriter = Rewriter("m", base_url=endpoint.url, rewriting=RewriteOptions(whole_dialogue=True))
        found = add_rewrites(pairs, rewriter, similarity=similarity, pair_ids=pairs["pair_id"][:1], min_similarity=0.3)
    assert found["rewrite_status_style_chosen"][0] == "ok"
    assert found["rewrite_prompt_style_chosen"][0] == "\n\nHuman: Question 0? please"
    table = rewritten_pairs(found, "style")
    assert table["prompt"][0] == "\n\nHuman: Question 0? please"
    assert table["conversation"][0] == [{"role": "user", "content": "Question 0? please"}]
    assert table["rejected_prompt"][0] is None  # both were rewritten alike


def test_turns_of_a_prompt_are_those_of_its_pair_or_read_as_those_were():
    """A plain prompt stays the user's when it is rewritten; turns that text cannot tell are kept where it is not."""
    call = [{"role": "user", "content": "Hi"}, {"role": "tool", "content": "4"}]
    rows = [
        {
            "chosen": [*turns, {"role": "assistant", "content": "a"}],
            "rejected": [*other, {"role": "assistant", "content": "b"}],
        }
        for turns, other in ((call[:1], call), (call[:1], call[:1]))
    ]
    pairs = load_pairs(Dataset.from_list(rows))[0]
    plain = load_pairs(Dataset.from_list([{"prompt": "Hi", "chosen": "a", "rejected": "b"}]))[0]
    for table, prompt, turns, other in (
        (pairs, None, call[:1], call),
        (plain, "Hello", [{"role": "user", "content": "Hello"}], None),
    ):
        columns = {}
        for side in schema.SIDES:
            columns |= {schema.rewrite_status_column("style", side): "ok", schema.rewrite_column("style", side): "new"}
            columns |= {schema.rewrite_prompt_column("style", side): prompt}
        found = rewritten_pairs(table.map(lambda row, columns=columns: columns), "style")
        assert found["conversation"][0] == turns
        assert found["rejected_conversation"][0] == other


def test_there_and_back_follows_the_attribute_of_each_text(pairs, similarity):
    table = add_surface_features(pairs)
    ids = table["pair_id"][4:10]
    with Marking() as endpoint:
        rewriter = Rewriter("m", base_url=endpoint.url)
        found = add_round_trips(table, rewriter, "long", similarity=similarity, pair_ids=ids, min_similarity=0.0)
    words = [table[f"feature_surface_log_tokens_{side}"][4] for side in ("chosen", "rejected")]
    assert [found[f"rewrite_attribute_long_{side}"][4] for side in ("chosen", "rejected")] == [False, True]
    assert words[0] < words[1]
    assert found["rewrite_long_chosen"][4].endswith(" indeed")
    assert found["rewrite_long_back_chosen"][4] == table["chosen"][4]
    assert len(found["rewrite_long_rejected"][4]) < len(table["rejected"][4])
    assert found["rewrite_long_back_rejected"][4] == found["rewrite_long_rejected"][4] + " indeed"
    assert found["rewrite_attribute_long_chosen"][0] is None
    assert found["rewrite_status_long_back_chosen"][0] == "not_sampled"
    with pytest.raises(DataError, match=r"needs the columns.*last_response_sentiment"):
        add_round_trips(table, rewriter, "positive", similarity=similarity, pair_ids=ids)
    with pytest.raises(DataError, match="no axis"):
        add_round_trips(table, rewriter, "sad", similarity=similarity)


def test_a_refused_first_rewrite_is_not_rewritten_back(pairs, similarity):
    table = add_surface_features(pairs)
    with Marking() as endpoint:
        rewriter = Rewriter("m", base_url=endpoint.url)
        found = add_round_trips(
            table, rewriter, "long", similarity=similarity, pair_ids=table["pair_id"][:2], min_similarity=1.0
        )
        assert endpoint.n_requests == 4
    assert set(found["rewrite_status_long_back_chosen"][:2]) == {"first_rewrite_refused"}


def test_where_no_rewrite_is_accepted_the_columns_are_there_and_empty(pairs, similarity):
    with Marking() as endpoint:
        rewriter = Rewriter("m", base_url=endpoint.url)
        found = add_rewrites(
            pairs, rewriter, similarity=similarity, pair_ids=pairs["pair_id"][3:4], min_similarity=0.99
        )
    kept = found.select([3]).map(lambda row: {"rewrite_status_style_rejected": "identical"})
    assert len(rewritten_pairs(kept, "style")) == 0
    assert on_rewrites(kept, "style", add_surface_features)["rewritten_style_feature_surface_has_code_chosen"][:] == [
        None
    ]

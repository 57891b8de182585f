"""Served reward models against the same model run here; the server is a double of vLLM and TEI around a real model."""

import json
import math
import traceback

import pytest

from seal_datasets.data.texts import Exchange
from seal_datasets.endpoints import client
from seal_datasets.endpoints.client import Limits
from seal_datasets.errors import DataError, ModelError
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.encoding import Encoder
from seal_datasets.rewards.open import find_scorer, open_scorer
from seal_datasets.rewards.score_store import ScoreStore
from seal_datasets.rewards.served import EncodingOptions, ServedReward, _are_raw
from seal_datasets.rewards.served_routes import TeiTextRoute
from tests.rewards.models import EXCHANGES, TEMPLATE, save_llama, save_tokenizer, turn
from tests.rewards.score_server import KEY, ScoreServer

PADDING_JITTER = 1e-5


@pytest.fixture(scope="module")
def chat(tmp_path_factory, minilm):
    """A Llama-shaped reward model with random weights."""
    return save_llama(tmp_path_factory.mktemp("chat"), minilm, 0, classifier=True, template=TEMPLATE)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.01)


def rewards(scored):
    return [each.reward for each in scored]


@pytest.mark.parametrize("kind", ["vllm", "tei"])
def test_pairs_get_the_rewards_of_the_model_run_here(kind, reward_models):
    path = reward_models["post"]
    with ScoreServer(path) as server:
        served = ServedReward(server.url + "/v1/", path, kind=kind, api_key=KEY)
        scored = served.score(EXCHANGES)
        here = RewardModel(path).score(EXCHANGES)
        assert rewards(scored) == pytest.approx(rewards(here), abs=PADDING_JITTER)
        assert [(each.status, each.n_tokens) for each in scored] == [(each.status, each.n_tokens) for each in here]
        assert {route for route, _ in server.requests} == {{"vllm": "/score", "tei": "/predict"}[kind]}
        about = json.dumps(served.provenance())
        assert KEY not in about
        assert json.loads(about)["revision"] == {"vllm": "not stated", "tei": "abc123"}[kind]


def test_a_chat_model_is_sent_its_tokens(chat):
    with ScoreServer(chat) as server:
        served = ServedReward(server.url, chat, encoding=EncodingOptions(over_length="truncate"))
        long = Exchange("", [*turn("old " * 60), {"role": "assistant", "content": "a"}, *turn("new question")], "reply")
        scored = served.score([*EXCHANGES, long])
        here = RewardModel(chat, over_length="truncate").score([*EXCHANGES, long])
        assert rewards(scored) == pytest.approx(rewards(here), abs=PADDING_JITTER)
        assert scored[-1].status == "truncated"
        assert {route for route, _ in server.requests} == {"/classify"}
        # MiniLM's tokenizer closes a text with [SEP], which the template does not write.
        with pytest.raises(ModelError, match=r"adds special tokens.*serve the model with vLLM"):
            ServedReward(server.url, chat, kind="tei")


def test_sglang_is_sent_tokens_and_gives_raw_rewards(chat, reward_models):
    with ScoreServer(chat) as server:
        served = open_scorer(f"sglang:{server.url}#{chat}", over_length="truncate")
        scored, here = served.score(EXCHANGES), RewardModel(chat, over_length="truncate").score(EXCHANGES)
        assert rewards(scored) == pytest.approx(rewards(here), abs=PADDING_JITTER)
        assert all("input_ids" in body for route, body in server.requests)
        assert served.provenance()["architecture"] == "SGLang /classify"
        server.obeys = False
        with pytest.raises(ModelError, match=r"returns probabilities.*--is-embedding"):
            open_scorer(f"sglang:{server.url}#{chat}")
    bare = reward_models["post"]
    with ScoreServer(bare) as server, pytest.raises(ModelError, match=r"has no chat template.*MODEL@TOKENIZER"):
        open_scorer(f"sglang:{server.url}#{bare}")


def test_a_served_model_gives_refused_conversations_a_status(tmp_path, minilm):
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('No system') }}{% endif %}" + TEMPLATE
    path = save_llama(tmp_path, minilm, 0, classifier=True, template=refuses)
    exchange = Exchange("", [{"role": "system", "content": "Be brief."}, *turn("Hi")], "Hello")
    with ScoreServer(path) as server:
        (refused,) = ServedReward(server.url, path).score([exchange])
        assert (refused.reward, refused.status) == (None, "template_refused")
        (merged,) = ServedReward(server.url, path, encoding=EncodingOptions(merge_system=True)).score([exchange])
        assert merged.status == "merged"
        assert merged.reward is not None


def test_text_embeddings_inference_is_sent_merged_turns(tmp_path, minilm):
    """Its own special token, a [CLS] at the start, is the only one that the template writes."""
    from tokenizers.processors import TemplateProcessing

    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('No system') }}{% endif %}" + TEMPLATE
    tokenizer = save_tokenizer(tmp_path, minilm, template=refuses)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $A $B", special_tokens=[("[CLS]", tokenizer.cls_token_id)]
    )
    encoder = Encoder(tokenizer, 64, "error", merge_system=True)
    exchange = Exchange("", [{"role": "system", "content": "Be brief."}, *turn("Hi")], "Hello")
    (encoded,) = encoder.encode([exchange])
    sent = TeiTextRoute.encode(encoder, encoded, exchange)
    assert encoded.status == sent.status == "merged"
    assert bytes(sent.inputs["text"]).decode() == "[user] Be brief.\n\nHi [assistant] Hello "


def test_overload_failures_and_silence_are_waited_out(reward_models):
    path = reward_models["post"]
    with ScoreServer(path) as server:
        served = ServedReward(server.url, path, limits=Limits(timeout=2.0))
        server.failures = [429, 500, 503, 0]
        assert rewards(served.score(EXCHANGES)) == pytest.approx(
            rewards(RewardModel(path).score(EXCHANGES)), abs=PADDING_JITTER
        )
        assert not server.failures


def test_what_was_answered_before_a_failure_is_kept(reward_models, tmp_path):
    path = reward_models["post"]
    texts = [Exchange("Hi", [], "yes " * n) for n in range(7)]
    with ScoreServer(path) as server, ScoreStore(tmp_path) as store:
        served = ServedReward(server.url, path, kind="tei", limits=Limits(concurrency=1))
        n_probes = len(server.requests)
        server.failures = [None, None, 400]
        with pytest.raises(ModelError, match="request_rejected"):
            served.score(texts, store=store)
        assert len(store) == 6
        server.requests.clear()
        assert all(each.reward is not None for each in served.score(texts, store=store))
        assert len(server.requests) == 1
        assert n_probes == 4  # four texts, three at a time, asked both ways


def test_squashed_scores_are_refused_or_turned_back_and_recorded(reward_models):
    path = reward_models["post"]
    with ScoreServer(path, obeys=False) as server:
        with pytest.raises(
            ModelError, match=r"returns probabilities: scores from 0 to 1 .*use_activation.*invert='sigmoid'"
        ):
            ServedReward(server.url, path)
        with pytest.raises(ModelError, match="raw_scores"):
            ServedReward(server.url, path, kind="tei")
        served = ServedReward(server.url, path, invert="sigmoid")
        assert rewards(served.score(EXCHANGES)) == pytest.approx(
            rewards(RewardModel(path).score(EXCHANGES)), abs=PADDING_JITTER
        )
        assert served.identity()["invert"] == "sigmoid"
    with ScoreServer(path) as server, pytest.raises(ModelError, match=r"returns raw logits.*leave invert out"):
        ServedReward(server.url, path, invert="sigmoid")


def test_raw_scores_are_told_from_squashed_ones():
    squash = [1 / (1 + math.exp(-each)) for each in (0.1, 0.9, 0.4)]
    assert _are_raw([0.1, 0.9, 0.4], squash)  # small logits, all of them from 0 to 1
    assert not _are_raw(squash, squash)
    assert not _are_raw([each + 1e-3 for each in squash], squash)  # another batch, in half precision
    assert _are_raw([-3.0, 0.5], [-3.0, 0.5])  # a server without any activation
    assert _are_raw([0.2, 0.3], [1.0, 1.0])
    assert not _are_raw([1.0, 1.0], [1.0, 1.0])  # a softmax over one output


def test_another_model_and_another_server_are_refused(reward_models):
    path = reward_models["post"]
    with ScoreServer(path, "my/rm") as server:
        with pytest.raises(ModelError, match=r"serves \['my/rm'\], not '.*'; give one of these names"):
            ServedReward(server.url, path)
        assert (
            ServedReward(server.url, "my/rm", encoding=EncodingOptions(tokenizer=path)).score(EXCHANGES[:1])[0].status
            == "ok"
        )
    with (
        ScoreServer(path, answers_as="other") as server,
        pytest.raises(ModelError, match=r"wrong_model.*'other' answered"),
    ):
        ServedReward(server.url, path)
    with pytest.raises(ModelError, match=r"cannot reach the reward model at .*is the URL its root"):
        ServedReward("http://127.0.0.1:9", path)
    with pytest.raises(ModelError, match="holds a user name, password") as caught:
        ServedReward("http://user:hunter2@127.0.0.1:9", path)
    assert "hunter2" not in str(caught.value)


def test_the_key_is_in_no_error(reward_models):
    path = reward_models["post"]
    with ScoreServer(path) as server:
        with pytest.raises(ModelError, match=r"refused to work.*key \*\*\* is not known") as caught:
            ServedReward(server.url, path, api_key="sk-wrong")
        shown = "".join(traceback.format_exception(caught.value))
        assert "sk-wrong" not in shown.replace('api_key="sk-wrong"', "")


def test_of_several_keys_a_server_is_sent_its_own(reward_models):
    path = reward_models["post"]
    with ScoreServer(path) as server:  # it refuses the key sk-wrong
        served = open_scorer(
            f"served:{server.url}#{path}", api_key=f"https://other.example=sk-wrong {server.url}={KEY}"
        )
        assert served.score(EXCHANGES[:1])[0].status == "ok"
        with pytest.raises(ModelError, match="is not known"):
            open_scorer(f"served:{server.url}#{path}", api_key=f"https://other.example={KEY} {server.url}=sk-wrong")


def test_no_number_no_reward(reward_models):
    path = reward_models["post"]
    with ScoreServer(path) as server:
        served = ServedReward(server.url, path)
        for number in (math.nan, None):  # JSON has no NaN, so servers write either
            server.outputs = lambda texts, raw, number=number: [number] * len(texts)
            (scored,) = served.score(EXCHANGES[:1])
            assert (scored.reward, scored.status) == (None, "not_finite")


def test_several_outputs_and_strange_answers_are_refused(reward_models):
    path = reward_models["post"]
    with ScoreServer(path) as server:
        served = ServedReward(server.url, path, kind="tei")
        server.score = lambda path, body: [[{"score": 1.0, "label": "a"}, {"score": 2.0, "label": "b"}]]
        with pytest.raises(ModelError, match="has 2 outputs; a reward model has one"):
            served.score(EXCHANGES[:1])
        for answer in ({"error": "no such thing"}, [[{"score": "high", "label": "a"}]], [[{"score": 10**400}]]):
            server.score = lambda path, body, answer=answer: answer
            with pytest.raises(ModelError, match="does not answer /predict as Text Embeddings Inference does"):
                served.score(EXCHANGES[:1])
        about = server.about("/info")
        server.about = lambda path: {**about, "max_client_batch_size": "many"}
        with pytest.raises(ModelError, match="does not answer /info as Text Embeddings Inference does"):
            ServedReward(server.url, path, kind="tei")


def test_longer_texts_follow_the_policy(reward_models):
    path = reward_models["post"]
    long = Exchange("word " * 599, [], "no")
    with ScoreServer(path) as server:
        with pytest.raises(DataError, match="has 603 tokens and the model takes 512"):
            ServedReward(server.url, path).score([long])
        assert (
            ServedReward(server.url, path, encoding=EncodingOptions(over_length="skip")).score([long])[0].status
            == "too_long"
        )
        with pytest.raises(DataError, match=r"which only the server could cut.*over_length='skip'"):
            ServedReward(server.url, path, encoding=EncodingOptions(over_length="truncate"))


def test_kinds_are_declared_by_what_a_text_begins_with(reward_models, tmp_path, minilm):
    path = reward_models["post"]
    policy = save_llama(tmp_path / "policy", minilm, 0)
    assert type(open_scorer(path)) is RewardModel
    assert open_scorer(f"dpo-length:{policy}@{policy}").provenance()["normalise"] == "length"
    with ScoreServer(path, "my/rm") as server:
        served = open_scorer(f"tei:{server.url}#my/rm@{path}", over_length="skip", api_key=KEY)
        assert served.provenance()["architecture"] == "Text Embeddings Inference /predict"
        find_scorer(f"served:{server.url}#my/rm@{path}")
        with pytest.raises(DataError, match="head is not an option of served:URL#MODEL"):
            open_scorer(f"served:{server.url}#my/rm", head=1)
    find_scorer(f"dpo:{policy}@{policy}")
    with pytest.raises(ModelError, match="no folder"):
        find_scorer(f"dpo:{policy}@{tmp_path / 'absent'}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dop:my/policy@my/reference", "declares a kind of reward model, 'dop', that is not known"),
        ("dpo:my/policy", "must be dpo:POLICY@REFERENCE"),
        ("served:http://localhost:8000", "must be served:URL#MODEL"),
        ("tei:localhost:8000#m", "must be tei:URL#MODEL"),
        ("served:ftp://me:hunter2@host#m", r"'served:ftp://\*\*\*@host#m' must be"),
        ("https://me:hun@ter2@host#m", r"'https://\*\*\*@host#m' declares a kind"),
    ],
)
def test_texts_that_declare_no_model_say_what_is_needed(text, message):
    with pytest.raises(DataError, match=message):
        open_scorer(text)


def test_no_password_of_an_address_is_in_the_message_about_an_option():
    with pytest.raises(DataError, match=r"leave it out for 'served:https://\*\*\*@host#m'"):
        open_scorer("served:https://me:hunter2@host#m", head=1)

"""Implicit rewards against a bare transformers loop; the policies are tiny Llamas with seeded random weights."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config

from seal_datasets.data.texts import Exchange
from seal_datasets.errors import DataError, ModelError
from seal_datasets.rewards import implicit
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.implicit import ImplicitReward
from seal_datasets.rewards.options import ModelOptions
from seal_datasets.rewards.score_store import ScoreStore
from seal_datasets.rewards.scorer import Scored
from tests.rewards.models import CHAT_TEMPLATE, EXCHANGES, save_llama, save_tokenizer, turn

PADDING_JITTER = 1e-5


@pytest.fixture(scope="module")
def chat(tmp_path_factory, minilm):
    return [
        save_llama(tmp_path_factory.mktemp(name), minilm, seed, template=CHAT_TEMPLATE)
        for seed, name in enumerate(("policy", "reference"))
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, minilm):
    return [
        save_llama(tmp_path_factory.mktemp(name), minilm, seed) for seed, name in enumerate(("policy", "reference"))
    ]


def prompt_and_response(tokenizer, exchange):
    """The two token lists, written down apart from the package's own way."""
    if tokenizer.chat_template:
        prompt = f"[CLS][user] {exchange.prompt}[SEP][assistant] "
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return ids, tokenizer(f"{exchange.response}[SEP]", add_special_tokens=False)["input_ids"]
    plain = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (exchange.prompt, exchange.response)]
    return [tokenizer.bos_token_id, *plain[0]], [*plain[1], tokenizer.eos_token_id]


def bare_loop(paths, exchanges, *, length=False):
    tokenizer = AutoTokenizer.from_pretrained(paths[0])
    models = [AutoModelForCausalLM.from_pretrained(path) for path in paths]
    rewards = []
    for exchange in exchanges:
        prompt, response = prompt_and_response(tokenizer, exchange)
        totals = []
        for model in models:
            with torch.inference_mode():
                scores = model(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
            totals.append(sum(scores[len(prompt) - 1 + k, token].item() for k, token in enumerate(response)))
        ratio = totals[0] - (totals[1] if len(totals) > 1 else 0.0)
        rewards.append(ratio / len(response) if length else ratio)
    return rewards


@pytest.mark.parametrize("kind", ["chat", "plain"])
@pytest.mark.parametrize("tokens_per_batch", [1, 96, 4096])
@pytest.mark.parametrize("pack", [None, False])
def test_rewards_equal_a_bare_loop_at_every_size_of_batch(kind, tokens_per_batch, pack, request):
    paths = request.getfixturevalue(kind)
    model = ImplicitReward(*paths, options=ModelOptions(tokens_per_batch=tokens_per_batch, pack=pack))
    assert model.packs is (pack is None)
    scored = model.score(EXCHANGES)
    expected = bare_loop(paths, EXCHANGES)
    assert [each.status for each in scored] == ["ok"] * 5
    assert max(map(abs, expected)) > 1.0  # random weights, but far from no difference
    assert [each.reward for each in scored] == pytest.approx(expected, abs=PADDING_JITTER, rel=PADDING_JITTER)
    assert model.encoder.counts["uneven"] == 0


def test_beta_length_and_no_reference(plain):
    per_token = ImplicitReward(*plain, beta=0.1, normalise="length").score(EXCHANGES)
    expected = [0.1 * each for each in bare_loop(plain, EXCHANGES, length=True)]
    assert [each.reward for each in per_token] == pytest.approx(expected, abs=PADDING_JITTER)
    alone = ImplicitReward(plain[0]).score(EXCHANGES)
    assert [each.reward for each in alone] == pytest.approx(
        bare_loop(plain[:1], EXCHANGES), abs=PADDING_JITTER, rel=PADDING_JITTER
    )


def test_a_policy_that_is_its_reference_has_no_reward(plain):
    assert [each.reward for each in ImplicitReward(plain[0], plain[0]).score(EXCHANGES)] == [0.0] * 5


def test_a_prompt_that_is_no_beginning_of_the_whole_is_counted(tmp_path, minilm):
    """A template that opens the answer's turn with words that the finished turn lacks, as thinking models' do."""
    template = CHAT_TEMPLATE.replace("[assistant] {% endif", "[assistant] think {% endif")
    path = save_llama(tmp_path, minilm, 0, template=template)
    model = ImplicitReward(path)
    (encoded,) = model.encode(EXCHANGES[2:3])
    assert model.encoder.counts["uneven"] == 1
    start = encoded.inputs["response_start"][0]
    assert AutoTokenizer.from_pretrained(path).decode(encoded.inputs["input_ids"][start:]) == "blue [SEP]"


def test_an_empty_response_is_its_end_or_no_text(tmp_path, minilm, plain):
    assert ImplicitReward(plain[0]).score(EXCHANGES[3:4])[0].status == "ok"
    without_end = save_llama(tmp_path, minilm, 0, eos=None)
    scored = ImplicitReward(without_end).score(EXCHANGES[2:4])
    assert [each.status for each in scored] == ["ok", "no_text"]
    assert scored[1].reward is None


@pytest.mark.parametrize("kind", ["chat", "plain"])
def test_longer_texts_follow_the_policy(kind, request):
    paths = request.getfixturevalue(kind)
    turns = [*turn("old " * 60), {"role": "assistant", "content": "old answer"}, *turn("new question")]
    long = Exchange("old " * 60 + "new question", turns, "reply")
    with pytest.raises(DataError, match="the model takes 64"):
        ImplicitReward(*paths).score([long])
    assert ImplicitReward(*paths, over_length="skip").score([long])[0].status == "too_long"
    model = ImplicitReward(*paths, over_length="truncate")
    unfit = Exchange("p", turn("p"), "word " * 80)
    cut, none = model.score([long, unfit])
    assert (cut.status, none) == ("truncated", Scored(None, "too_long", none.n_tokens))
    if kind == "chat":
        fresh = Exchange("new question", turn("new question"), "reply")
    else:  # 64 positions hold [CLS], 60 tokens of the prompt, reply and [SEP]
        fresh = Exchange("old " * 59 + "new question", [], "reply")
    assert cut.reward == pytest.approx(bare_loop(paths, [fresh])[0], abs=PADDING_JITTER, rel=PADDING_JITTER)


def test_only_responses_get_logits(plain, monkeypatch):
    model = ImplicitReward(plain[0], options=ModelOptions(pack=False))
    seen, forward = [], model.models["policy"].forward

    def spy(*args, logits_to_keep=0, **kwargs):
        answer = forward(*args, logits_to_keep=logits_to_keep, **kwargs)
        seen.append(answer.logits.shape[1])
        return answer

    monkeypatch.setattr(model.models["policy"], "forward", spy)
    model.score([Exchange("word " * 50, [], "no")])
    assert seen == [3]  # the place before the response, "no" and the end


def test_a_shared_prompt_goes_through_once_and_logits_are_made_some_tokens_at_a_time(plain, monkeypatch):
    monkeypatch.setattr(implicit, "_TOKENS_OF_LOGITS", 3)
    model = ImplicitReward(plain[0])
    seen, logits = [], []
    model.models["policy"].model.layers[0].register_forward_hook(lambda _, args, __: seen.append(args[0].shape[1]))
    model.models["policy"].lm_head.register_forward_hook(lambda _, args, __: logits.append(args[0].shape[0]))
    texts = [Exchange("word " * 50, [], "no"), Exchange("word " * 50, [], "yes it is")]
    scored = model.score(texts)
    assert seen == [1 + 50 + 2 + 4]  # the beginning and the prompt once, each response with its end
    assert logits == [3, 3]
    assert [each.reward for each in scored] == pytest.approx(bare_loop(plain[:1], texts), rel=PADDING_JITTER)


def test_a_model_that_cannot_pack_is_padded_or_refused(tmp_path, minilm):
    """Logits that are capped behind the head are not the head's."""
    tokenizer = save_tokenizer(tmp_path, minilm)
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        attn_logit_softcapping=None,
        sliding_window=64,
        final_logit_softcapping=0.5,
        initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    model = ImplicitReward(tmp_path)
    assert not model.packs
    assert [each.reward for each in model.score(EXCHANGES)] == pytest.approx(
        bare_loop([tmp_path], EXCHANGES), rel=PADDING_JITTER
    )
    with pytest.raises(ModelError, match="cannot be scored packed"):
        ImplicitReward(tmp_path, options=ModelOptions(pack=True))


def test_provenance_names_both_models_and_what_decides(plain):
    model = ImplicitReward(*plain, beta=0.1)
    about = json.loads(json.dumps(model.provenance()))
    assert (about["kind"], about["beta"], about["normalise"]) == ("implicit", 0.1, "sum")
    assert about["revision"] != about["reference"]["revision"]
    assert model.identity_key() != ImplicitReward(*plain, beta=0.2).identity_key()
    assert model.encoding != RewardModel.encoding


def test_rewards_are_kept(plain, tmp_path):
    with ScoreStore(tmp_path) as store:
        first = ImplicitReward(*plain).score(EXCHANGES, store=store)
        assert len(store) == 4  # two of the five are equal
        again = ImplicitReward(*plain)
        again.rewards = lambda encoded: iter(()) if not encoded else pytest.fail("scored again")
        assert again.score(EXCHANGES, store=store) == first


def test_what_cannot_be_a_pair_of_policies_is_refused(plain, chat, tmp_path, minilm, reward_models):
    other = save_llama(tmp_path / "other", minilm, 0)
    file = tmp_path / "other" / "tokenizer.json"
    state = json.loads(file.read_text())
    vocabulary = state["model"]["vocab"]
    vocabulary["boil"], vocabulary["egg"] = vocabulary["egg"], vocabulary["boil"]
    file.write_text(json.dumps(state))
    with pytest.raises(ModelError, match="split texts into different tokens"):
        ImplicitReward(plain[0], other)
    with pytest.raises(ModelError, match=r"is a sequence classifier.*without dpo:"):
        ImplicitReward(save_llama(tmp_path / "rm", minilm, 0, classifier=True))
    with pytest.raises(ModelError, match=r"sequence classifier|cannot load"):
        ImplicitReward(reward_models["post"])
    with pytest.raises(DataError, match="normalise must be one of"):
        ImplicitReward(plain[0], normalise="mean")
    with pytest.raises(DataError, match="beta must be above 0"):
        ImplicitReward(plain[0], beta=0.0)
    with pytest.raises(ModelError, match="more than the 64 tokens"):
        ImplicitReward(*plain, options=ModelOptions(max_length=65))


def test_a_generative_model_as_a_classifier_is_pointed_to_dpo(plain):
    with pytest.raises(ModelError, match=r"generates text \(LlamaForCausalLM\).*dpo:.*@REFERENCE"):
        RewardModel(plain[0])


def test_a_reward_that_is_no_number_has_its_status(plain, tmp_path):
    model = ImplicitReward(plain[0])
    model.models["policy"].lm_head.weight.data.fill_(float("nan"))
    with ScoreStore(tmp_path) as store:
        (scored,) = model.score(EXCHANGES[:1], store=store)
        assert (scored.reward, scored.status) == (None, "not_finite")
        assert len(store) == 0

"""Scores are held against a bare transformers loop; the chat model is a tiny Llama with seeded random weights."""

import json
import shutil

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from seal_datasets.data.texts import Exchange
from seal_datasets.errors import DataError, ModelError
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.options import ModelOptions
from seal_datasets.rewards.scorer import Scored
from tests.rewards.models import save_llama

# Padding changes the order of float32 sums; MiniLM logits move by less than this.
PADDING_JITTER = 1e-5

TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}"


def turn(text):
    return [{"role": "user", "content": text}]


EXCHANGES = [
    Exchange("How do I boil an egg?", turn("How do I boil an egg?"), "Ten minutes in boiling water."),
    Exchange("Hi", turn("Hi"), "Hello there, it is good to see you. " * 12),
    Exchange("Name a colour.", turn("Name a colour."), "Blue"),
    Exchange("Name a colour.", turn("Name a colour."), ""),
    Exchange("How do I boil an egg?", turn("How do I boil an egg?"), "Ten minutes in boiling water."),
]


def bare_loop(path, exchanges):
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForSequenceClassification.from_pretrained(path)
    with torch.inference_mode():
        # Lists, because the tokenizer takes a lone empty string for no second segment at all.
        inputs = [tokenizer([each.prompt], [each.response], return_tensors="pt") for each in exchanges]
        return [model(**each).logits.item() for each in inputs]


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory, minilm):
    """A Llama-shaped reward model with random weights, a chat template and 64 positions."""
    path = tmp_path_factory.mktemp("chat")
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.bos_token = "[CLS]"
    tokenizer.chat_template = TEMPLATE
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=1,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForSequenceClassification(config).save_pretrained(path)
    return str(path)


@pytest.mark.parametrize("tokens_per_batch", [1, 64, 4096])
def test_rewards_equal_a_bare_loop_at_every_size_of_batch(reward_models, tokens_per_batch):
    scored = RewardModel(reward_models["post"], options=ModelOptions(tokens_per_batch=tokens_per_batch)).score(
        EXCHANGES
    )
    assert [each.status for each in scored] == ["ok"] * 5
    assert [each.reward for each in scored] == pytest.approx(
        bare_loop(reward_models["post"], EXCHANGES), abs=PADDING_JITTER
    )


def test_order_of_texts_does_not_matter(reward_models):
    model = RewardModel(reward_models["post"])
    forward, backward = model.score(EXCHANGES), model.score(EXCHANGES[::-1])
    assert [each.reward for each in backward[::-1]] == pytest.approx(
        [each.reward for each in forward], abs=PADDING_JITTER
    )


def test_chat_template_is_used_with_one_bos(chat_model):
    model = RewardModel(chat_model)
    assert model.encoder.style == "chat_template"
    (scored,) = model.score(EXCHANGES[:1])
    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    text = "[CLS][user] How do I boil an egg? [assistant] Ten minutes in boiling water. "
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    assert (ids["input_ids"] == tokenizer.bos_token_id).sum() == 1
    assert scored.n_tokens == ids["input_ids"].shape[1]
    assert model.encoder.render(EXCHANGES[0]).replace(" ", "") == text.lower().replace(" ", "").replace(
        "[cls]", "[CLS]"
    )
    with torch.inference_mode():
        logits = AutoModelForSequenceClassification.from_pretrained(chat_model)(**ids).logits
    assert scored.status == "ok"
    assert scored.reward == pytest.approx(logits.item(), abs=PADDING_JITTER)


def test_too_long_is_an_error_by_default(reward_models):
    with pytest.raises(DataError, match=r"has 603 tokens and the model takes 512.*over_length='truncate'"):
        RewardModel(reward_models["pre"]).score([Exchange("word " * 599, [], "no")])


def test_truncation_drops_the_start_of_the_prompt_and_keeps_the_response(reward_models):
    long = Exchange("start " + "word " * 599, [], "the response")
    model = RewardModel(reward_models["pre"], over_length="truncate")
    cut, kept = model.score(
        [long, Exchange("word " * 507, [], "the response")]  # 507 + 2 + 3 special tokens = 512
    )
    assert (cut.status, cut.n_tokens) == ("truncated", 605)
    assert cut.reward == pytest.approx(kept.reward, abs=PADDING_JITTER)


def test_a_response_that_is_too_long_alone_is_left_unscored(reward_models):
    (scored,) = RewardModel(reward_models["pre"], over_length="truncate").score([Exchange("p", [], "word " * 600)])
    assert scored == Scored(None, "too_long", 604)


def test_skip_leaves_long_texts_without_a_reward(reward_models):
    scored = RewardModel(reward_models["pre"], over_length="skip").score(
        [Exchange("word " * 600, [], "no"), EXCHANGES[0]]
    )
    assert [(each.status, each.reward is None) for each in scored] == [("too_long", True), ("ok", False)]


def test_truncation_under_a_chat_template_drops_whole_turns(chat_model):
    turns = [
        {"role": "user", "content": "old " * 60},
        {"role": "assistant", "content": "old answer"},
        {"role": "user", "content": "new question"},
    ]
    model = RewardModel(chat_model, over_length="truncate")
    cut, fresh = model.score([Exchange("", turns, "reply"), Exchange("", turns[2:], "reply")])
    assert cut.status == "truncated"
    assert cut.reward == pytest.approx(fresh.reward, abs=PADDING_JITTER)


def test_truncation_under_a_chat_template_shortens_one_long_turn_from_its_start(chat_model):
    model = RewardModel(chat_model, over_length="truncate")
    words = [f"old{index}" for index in range(80)]
    encoded = model.encode([Exchange("", turn(" ".join(words)), "reply")])[0]
    shown = model.encoder.tokenizer.decode(encoded.inputs["input_ids"]).replace(" ", "")
    assert encoded.status == "truncated"
    assert 60 <= len(encoded.inputs["input_ids"]) <= 64
    assert "old79[assistant]reply" in shown
    assert "old0old1" not in shown
    (unfit,) = model.score([Exchange("", turn("old"), "reply " * 80)])
    assert (unfit.reward, unfit.status) == (None, "too_long")


def test_a_text_without_a_token_has_its_status_and_others_their_rewards(tmp_path, minilm):
    """Prompt and response are empty and the template writes nothing of its own."""
    template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    model = RewardModel(save_llama(tmp_path, minilm, 0, classifier=True, template=template))
    assert model.packs
    none, some = model.score([Exchange("", turn(""), ""), EXCHANGES[0]])
    assert none == Scored(None, "no_text", 0)
    assert (some.status, some.reward is None) == ("ok", False)


def test_provenance_changes_with_the_weights(reward_models):
    pre, post = (RewardModel(reward_models[name]).provenance() for name in ("pre", "post"))
    assert pre["revision"] != post["revision"]
    assert (pre["input_style"], pre["max_length"], pre["dtype"]) == ("text_pair", 512, "float32")
    json.dumps(pre)


def test_a_model_without_a_trained_head_is_refused(minilm):
    with pytest.raises(ModelError, match=r"not a trained reward model: its weights lack classifier\.bias"):
        RewardModel(minilm)


def test_a_classifier_with_two_outputs_is_refused(tmp_path, minilm):
    AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=2).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has 2 outputs; a reward model has one"):
        RewardModel(tmp_path)


def test_pickled_weights_are_refused_unless_allowed(tmp_path, reward_models):
    shutil.copytree(reward_models["pre"], tmp_path, dirs_exist_ok=True)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="safetensors"):
        RewardModel(tmp_path)
    scored = RewardModel(tmp_path, options=ModelOptions(allow_pickle=True)).score(EXCHANGES[:1])
    assert scored[0].reward == pytest.approx(bare_loop(reward_models["pre"], EXCHANGES[:1])[0], abs=PADDING_JITTER)


def test_wrong_paths_and_names_say_where_was_looked(tmp_path):
    with pytest.raises(ModelError, match=f"no folder {tmp_path / 'absent'}"):
        RewardModel(tmp_path / "absent")
    with pytest.raises(ModelError, match="not in the local cache, and the Hub cannot be reached"):
        RewardModel("nobody/no-such-model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty holds no model: there is no config\.json in it"):
        RewardModel(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"empty' holds no weights that can be read, only config\.json"):
        RewardModel(tmp_path / "empty")


def remove_padding(path, minilm):
    """The chat model as many are published: neither tokenizer nor configuration names a padding token."""
    file = path / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "padding": None}))
    config = json.loads((path / "tokenizer_config.json").read_text())
    fast = PreTrainedTokenizerFast(tokenizer_file=str(file), bos_token="[CLS]", eos_token="[SEP]")
    fast.chat_template, fast.model_max_length = TEMPLATE, config["model_max_length"]
    for each in path.glob("*token*.json"):
        each.unlink()
    fast.save_pretrained(path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))


def test_without_a_padding_token_texts_are_scored_packed_or_by_themselves_and_it_is_said(tmp_path, minilm, chat_model):
    shutil.copytree(chat_model, tmp_path / "m")
    remove_padding(tmp_path / "m", minilm)
    packed = RewardModel(tmp_path / "m", over_length="truncate")
    alone = RewardModel(tmp_path / "m", over_length="truncate", options=ModelOptions(pack=False))
    assert packed.packs
    assert "no padding token; texts are scored packed" in packed.notes[0]
    assert not alone.packs
    assert "no padding token, so each text is scored by itself" in alone.notes[0]
    reference = RewardModel(chat_model, over_length="truncate").score(EXCHANGES)
    for model in (packed, alone):
        scored = model.score(EXCHANGES)
        assert [each.status for each in scored] == [each.status for each in reference]
        assert [each.reward for each in scored] == pytest.approx(
            [each.reward for each in reference], abs=PADDING_JITTER
        )
    assert packed.provenance()["notes"] == list(packed.notes)


def test_wrong_options_are_named(reward_models):
    with pytest.raises(ModelError, match="more than the 512 tokens"):
        RewardModel(reward_models["pre"], options=ModelOptions(max_length=1024))
    with pytest.raises(ModelError, match="max_length must be at least 1, got 0"):
        RewardModel(reward_models["pre"], options=ModelOptions(max_length=0))
    with pytest.raises(DataError, match="over_length must be one of"):
        RewardModel(reward_models["pre"], over_length="chop")


def test_a_model_that_is_spread_over_devices_has_the_same_rewards(chat_model):
    """One device is enough to see that a map changes no reward and no key; it is not packed."""
    spread = RewardModel(chat_model, over_length="truncate", options=ModelOptions(device_map="auto"))
    assert not spread.packs
    plain = RewardModel(chat_model, over_length="truncate")
    assert spread.identity_key() == plain.identity_key()
    rewards = [[each.reward for each in model.score(EXCHANGES)] for model in (spread, plain)]
    assert rewards[0] == pytest.approx(rewards[1], abs=PADDING_JITTER)

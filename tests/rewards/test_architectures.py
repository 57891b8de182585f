"""Every kind of reward model against a bare transformers loop, one text at a time and in float32.

The models are tiny and have seeded random weights, but for MiniLM, whose head is random: what is proved is arithmetic, on drawn
texts and on real pairs where they are at hand.
"""

import importlib.util
from dataclasses import replace

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    DebertaV2Config,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
)

from seal_datasets import load_pairs, schema
from seal_datasets.data.texts import exchange
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.implicit import ImplicitReward
from seal_datasets.rewards.options import ModelOptions
from tests.rewards.models import CHAT_TEMPLATE, EXCHANGES, TEMPLATE, save_llama, save_tokenizer
from tests.rewards.test_classifier import bare_loop
from tests.rewards.test_implicit import bare_loop as bare_implicit_loop

EXACT = 1e-5
POSITIONS = 1024

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.2,
}
GROUPED = {**SHAPE, "num_key_value_heads": 2}
ENCODERS = {
    "bert": (BertConfig, SHAPE),
    "deberta-v3": (
        DebertaV2Config,
        {
            **SHAPE,
            "relative_attention": True,
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    "deberta-v2": (
        DebertaV2Config,
        {
            **SHAPE,
            "relative_attention": True,
            "position_buckets": -1,
            "pos_att_type": ["c2p", "p2c"],
            "conv_kernel_size": 3,
            "conv_act": "gelu",
        },
    ),
    "modernbert": (ModernBertConfig, {**SHAPE, "local_attention": 16, "global_attn_every_n_layers": 2}),
    "roberta": (RobertaConfig, {**SHAPE, "max_position_embeddings": POSITIONS + 1, "type_vocab_size": 1}),
}
CAUSAL = {
    "llama": (LlamaConfig, GROUPED, True),
    "qwen2": (Qwen2Config, GROUPED, True),
    "qwen3": (Qwen3Config, {**GROUPED, "head_dim": 8}, True),
    "mistral": (MistralConfig, {**GROUPED, "sliding_window": None}, True),
    "mistral with a window": (MistralConfig, {**GROUPED, "sliding_window": 16}, False),
    "gemma2": (Gemma2Config, {**GROUPED, "head_dim": 8, "sliding_window": 16}, False),
    "gpt2": (
        GPT2Config,
        {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": POSITIONS, "initializer_range": 0.2},
        False,
    ),
}


def save(folder, minilm, config_class, shape, *, template=None):
    tokenizer = save_tokenizer(folder, minilm, template=template, positions=POSITIONS)
    config = config_class(
        **shape,
        vocab_size=len(tokenizer),
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    if getattr(config, "type_vocab_size", 0) < 2:  # the tokenizers of such models name no segments
        plain = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer,
            model_input_names=["input_ids", "attention_mask"],
            model_max_length=POSITIONS,
            **tokenizer.special_tokens_map,
        )
        plain.chat_template = template
        plain.save_pretrained(folder)
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return str(folder)


def bare_chat_loop(path, exchanges):
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForSequenceClassification.from_pretrained(path)
    rewards = []
    for each in exchanges:
        turns = [*each.conversation, {"role": "assistant", "content": each.response}]
        ids = tokenizer.apply_chat_template([turns], return_tensors="pt", return_dict=True)["input_ids"]
        with torch.inference_mode():
            rewards.append(model(input_ids=ids).logits.item())
    return rewards


def real_texts(path, n_pairs):
    pairs, _ = load_pairs(str(path), limit=n_pairs)
    return [exchange(row, side) for row in pairs for side in schema.SIDES]


def assert_equal(scored, expected):
    assert {each.status for each in scored} == {"ok"}
    assert len(set(expected)) > 3, "the model does not tell texts apart"
    assert [each.reward for each in scored] == pytest.approx(expected, abs=EXACT, rel=EXACT)


@pytest.mark.parametrize("tokens_per_batch", [64, None])
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_give_the_logits_of_a_bare_loop(name, tokens_per_batch, tmp_path, minilm):
    path = save(tmp_path, minilm, *ENCODERS[name])
    model = RewardModel(path, options=ModelOptions(tokens_per_batch=tokens_per_batch))
    assert not model.packs
    assert model.encoder.max_length == POSITIONS
    assert_equal(model.score(EXCHANGES), bare_loop(path, EXCHANGES))


@pytest.mark.parametrize("tokens_per_batch", [64, None])
@pytest.mark.parametrize("name", CAUSAL)
def test_causal_models_give_the_logits_of_a_bare_loop(name, tokens_per_batch, tmp_path, minilm):
    config_class, shape, packs = CAUSAL[name]
    path = save(tmp_path, minilm, config_class, shape, template=TEMPLATE)
    model = RewardModel(path, options=ModelOptions(tokens_per_batch=tokens_per_batch))
    assert model.packs is packs
    assert_equal(model.score(EXCHANGES), bare_chat_loop(path, EXCHANGES))


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_an_encoder_gives_the_logits_of_a_bare_loop_on_real_pairs(backend, hh_rlhf, reward_models):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"the extra {backend} is not installed")
    model = RewardModel(reward_models["post"], over_length="skip", backend=backend)
    texts = real_texts(hh_rlhf, 8)
    fitting = [text for text, each in zip(texts, model.encode(texts), strict=True) if each.status == "ok"]
    assert len(fitting) > 10
    assert_equal(model.score(fitting), bare_loop(reward_models["post"], fitting))


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "deberta-v3", "modernbert"])
def test_models_give_the_logits_of_a_bare_loop_on_real_pairs(name, hh_rlhf, tmp_path, minilm):
    texts = real_texts(hh_rlhf, 6)
    if name in ENCODERS:
        path = save(tmp_path, minilm, *ENCODERS[name])
        expected = bare_loop(path, texts)
    else:
        path = save(tmp_path, minilm, *CAUSAL[name][:2], template=TEMPLATE)
        expected = bare_chat_loop(path, texts)
    assert_equal(RewardModel(path).score(texts), expected)


def test_implicit_rewards_are_those_of_a_bare_loop_on_real_pairs(hh_rlhf, tmp_path, minilm):
    paths = [
        save_llama(tmp_path / name, minilm, seed, template=CHAT_TEMPLATE, positions=POSITIONS)
        for seed, name in enumerate(("policy", "reference"))
    ]
    pairs, _ = load_pairs(str(hh_rlhf), limit=40)
    rows = [row for row in pairs if len(row[schema.CONVERSATION]) == 1][:6]
    texts = [exchange(row, side) for row in rows for side in schema.SIDES]
    assert len(texts) > 6
    # That loop takes the prompt to be what is said in its only turn, not the dialogue it was cut from.
    spoken = [replace(text, prompt=text.conversation[0]["content"]) for text in texts]
    assert_equal(ImplicitReward(*paths).score(texts), bare_implicit_loop(paths, spoken))

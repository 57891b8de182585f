"""Packed logits against the model's own, on tiny causal models with seeded random weights: what they prove is arithmetic."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
    Qwen3Config,
    Qwen3ForSequenceClassification,
)

from seal_datasets.rewards.packing import ATTENTION, can_pack, packed_logits, plant

# Packing changes the order of float32 sums and nothing else.
PACKING_JITTER = 1e-5
SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_labels": 1,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
CAUSAL = [
    (LlamaForSequenceClassification, LlamaConfig(**SHAPE)),
    (Qwen2ForSequenceClassification, Qwen2Config(**SHAPE)),
    (Qwen3ForSequenceClassification, Qwen3Config(**SHAPE, head_dim=8)),
    (MistralForSequenceClassification, MistralConfig(**SHAPE, sliding_window=None)),
]
PROMPTS = [list(range(5, 5 + n)) for n in (12, 30, 9)]
TEXTS = [
    [*PROMPTS[0], 40, 41],
    [*PROMPTS[1], 42, 43, 44, 45],
    [7, 7, 7],
    [*PROMPTS[0], 46],
    [*PROMPTS[1], 42, 47],
    [*PROMPTS[2], 48],
    [*PROMPTS[0], 49, 40, 41, 42, 43],
]


def model_of(kind, config):
    torch.manual_seed(0)
    return kind(copy.deepcopy(config)).eval()


@torch.inference_mode()
def own_logits(model, texts):
    return torch.cat([model(input_ids=torch.tensor([text])).logits for text in texts])


@torch.inference_mode()
def packed(model, texts, budget=1000):
    trees = plant(texts, budget)
    model.set_attn_implementation(ATTENTION)
    logits = packed_logits(model, texts, trees)
    order = [text for tree in trees for text in tree.texts]
    return logits[torch.tensor(order).argsort()]


@pytest.mark.parametrize(("kind", "config"), CAUSAL, ids=lambda each: getattr(each, "__name__", ""))
def test_packed_logits_are_the_models_own(kind, config):
    model = model_of(kind, config)
    assert can_pack(model, 128)
    assert model.config._attn_implementation == "sdpa"
    expected = own_logits(model, TEXTS)
    assert torch.allclose(packed(model, TEXTS), expected, atol=PACKING_JITTER)


def test_the_last_token_is_the_last_that_is_no_padding_as_in_transformers():
    model = model_of(*CAUSAL[0])
    texts = [[*PROMPTS[0], 40, 0], [*PROMPTS[0], 0], [*PROMPTS[0], 41]]
    expected = own_logits(model, texts)
    assert torch.allclose(packed(model, texts), expected, atol=PACKING_JITTER)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (
            BertForSequenceClassification,
            BertConfig(
                vocab_size=50,
                hidden_size=32,
                num_hidden_layers=1,
                num_attention_heads=4,
                intermediate_size=32,
                num_labels=1,
            ),
        ),
        (GPT2ForSequenceClassification, GPT2Config(vocab_size=50, n_embd=32, n_layer=1, n_head=4, num_labels=1)),
        (MistralForSequenceClassification, MistralConfig(**SHAPE, sliding_window=16)),
    ],
    ids=["an encoder", "attention of its own", "a window shorter than the texts"],
)
def test_what_cannot_be_told_is_not_packed(kind, config):
    assert not can_pack(model_of(kind, config), 128)


def test_texts_of_one_prompt_go_through_once():
    trees = plant(TEXTS, 1000)
    assert sorted(sorted(tree.texts) for tree in trees) == [[0, 3, 6], [1, 4], [2], [5]]
    assert sum(tree.n_tokens(TEXTS) for tree in trees) == (12 + 2 + 1 + 5) + (31 + 3 + 1) + 3 + 10
    assert all(len(tree.texts) == 1 for tree in plant(TEXTS, budget=5))


@given(st.lists(st.lists(st.integers(1, 2), min_size=1, max_size=30), min_size=1, max_size=12, unique_by=tuple))
def test_every_text_is_in_one_tree_whose_shared_tokens_it_begins_with(texts):
    trees = plant(texts, 60)
    assert sorted(text for tree in trees for text in tree.texts) == list(range(len(texts)))
    for tree in trees:
        assert len({tuple(texts[each][: tree.n_shared]) for each in tree.texts}) == 1
        assert len(tree.texts) == 1 or tree.n_shared < min(len(texts[each]) for each in tree.texts)
    assert sum(tree.n_tokens(texts) for tree in trees) <= sum(map(len, texts))

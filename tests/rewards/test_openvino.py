"""OpenVINO is held against torch, and refuses what it is not for; the causal model is a tiny Llama with random weights."""

import importlib.util
import sys

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig

from seal_datasets import load_pairs, schema
from seal_datasets.data.texts import Exchange, exchange
from seal_datasets.errors import MissingExtraError, ModelError
from seal_datasets.rewards.batching import padding_waste, token_batches
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.openvino import OpenVinoEncoder
from seal_datasets.rewards.options import ModelOptions

# Importing it here would report that to its maker.
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)

DRAWN = [
    Exchange("How do I boil an egg?", [], "Ten minutes in boiling water."),
    Exchange("Hi", [], "Hello there, it is good to see you. " * 12),
    Exchange("Name a colour.", [], "Blue"),
    Exchange("Name a colour.", [], ""),
]


def real_texts(path, n_pairs):
    pairs, _ = load_pairs(str(path), limit=n_pairs)
    return [exchange(row, side) for row in pairs for side in schema.SIDES]


@needs_openvino
@pytest.mark.parametrize("tokens_per_batch", [1, 64, 4096])
def test_rewards_equal_those_of_torch_at_every_size_of_batch(reward_models, hh_rlhf, tokens_per_batch):
    texts = [*DRAWN, *real_texts(hh_rlhf, 6)]
    both = [
        RewardModel(
            reward_models["post"],
            over_length="truncate",
            backend=backend,
            options=ModelOptions(tokens_per_batch=tokens_per_batch),
        )
        for backend in ("torch", "openvino")
    ]
    torch_scores, openvino_scores = (model.score(texts) for model in both)
    assert [each.status for each in openvino_scores] == [each.status for each in torch_scores]
    assert [each.reward for each in openvino_scores] == pytest.approx([each.reward for each in torch_scores], abs=1e-5)
    assert both[0].identity_key() != both[1].identity_key()
    assert both[1].provenance()["backend"] == "openvino"
    assert sys.modules["openvino_telemetry"] is None, "OpenVINO would report its use to its maker"


class OtherWhenTraced(torch.nn.Module):
    """A double of a layer that conversion gets wrong."""

    def forward(self, values):
        return values + 1 if torch.jit.is_tracing() else values


@needs_openvino
def test_other_logits_than_those_of_torch_are_refused(reward_models):
    model = RewardModel(reward_models["post"]).model
    model.classifier = torch.nn.Sequential(model.classifier, OtherWhenTraced())
    sample = {"input_ids": torch.tensor([[5, 6, 7], [5, 6, 0]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])}
    with pytest.raises(ModelError, match=r"differ by .* between OpenVINO and torch; use backend='torch'"):
        OpenVinoEncoder("m", model, sample)


@needs_openvino
def test_causal_models_other_precisions_and_unknown_backends_are_refused(tmp_path, minilm, reward_models):
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.save_pretrained(tmp_path)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_labels=1,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is a causal model, and OpenVINO scores encoders only"):
        RewardModel(tmp_path, backend="openvino")
    with pytest.raises(ModelError, match=r"in float32 on a CPU, and .* is in torch\.bfloat16 on cpu"):
        RewardModel(reward_models["pre"], backend="openvino", options=ModelOptions(precision="bfloat16"))
    with pytest.raises(ModelError, match="backend must be one of"):
        RewardModel(reward_models["pre"], backend="onnx")


def test_without_openvino_the_extra_is_named(reward_models, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match="openvino"):
        RewardModel(reward_models["pre"], backend="openvino")


def test_batches_of_real_texts_are_hardly_padded(reward_models, hh_rlhf):
    model = RewardModel(reward_models["pre"], over_length="truncate")
    encoded = {each.key: each for each in model.encode(real_texts(hh_rlhf, 1500))}
    lengths = [len(each.inputs["input_ids"]) for each in encoded.values() if each.inputs]  # not what is too long
    assert padding_waste(lengths, token_batches(lengths, model.tokens_per_batch)) < 0.03

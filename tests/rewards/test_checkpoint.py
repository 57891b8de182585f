"""Files of models that are damaged, pickled or hostile: each is an error that says what to do, and nothing of them runs."""

import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from seal_datasets.cli import main
from seal_datasets.errors import ModelError
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.implicit import ImplicitReward
from seal_datasets.rewards.loading import load_backbone, load_tokenizer
from seal_datasets.rewards.options import ModelOptions
from tests.rewards.models import save_llama

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"
WAYS = {
    "reward": RewardModel,
    "policy": lambda path: ImplicitReward(as_policy(path)),
    "backbone": lambda path: load_backbone(str(path)),
}


def as_policy(path):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "architectures": ["BertLMHeadModel"]}))
    return path


class Bomb:
    """What a pickle runs when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def model(tmp_path, reward_models):
    shutil.copytree(reward_models["post"], tmp_path / "m")
    return tmp_path / "m"


def index(path, file):
    (path / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": {"classifier.weight": file, "classifier.bias": file}})
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "place", ["weights.bin", "../outside.safetensors", "/tmp/weights.safetensors", "a\\..\\b.safetensors"]
)
def test_an_index_may_only_name_safetensors_inside_the_model(model, tmp_path, way, place):
    mark = tmp_path / "mark"
    (model / "weights.bin").write_bytes(pickle.dumps(Bomb(mark)))
    shutil.copy(model / "model.safetensors", tmp_path / "outside.safetensors")
    (model / "model.safetensors").unlink()
    index(model, place)
    with pytest.raises(
        ModelError, match=r"places classifier\.weight in .*must be \.safetensors files inside the model"
    ):
        WAYS[way](model)
    assert not mark.exists()


@pytest.mark.parametrize("way", WAYS)
def test_pickled_weights_are_not_read_unasked(model, tmp_path, way):
    mark = tmp_path / "mark"
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ModelError, match=r"only pickle files \(pytorch_model\.bin\).*--allow-pickle"):
        WAYS[way](model)
    assert not mark.exists()


def test_weights_that_the_configuration_names_are_held_to_the_same(model):
    config = json.loads((model / "config.json").read_text())
    for named in ("weights.bin", "../outside.safetensors", 7):
        (model / "config.json").write_text(json.dumps({**config, "transformers_weights": named}))
        with pytest.raises(ModelError, match=r"names the weights .*inside the model"):
            RewardModel(model)


def test_shards_are_read_and_a_missing_one_is_named(model):
    weights = load_file(model / "model.safetensors")
    expected = RewardModel(model).model.classifier.weight.clone()
    names = sorted(weights)
    (model / "model.safetensors").unlink()
    places = {}
    for number, part in enumerate((names[::2], names[1::2])):
        file = f"model-{number}.safetensors"
        save_file({name: weights[name] for name in part}, model / file, {"format": "pt"})
        places |= dict.fromkeys(part, file)
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert torch.equal(RewardModel(model).model.classifier.weight, expected)
    (model / "model-1.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks model-1\.safetensors"):
        RewardModel(model)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_lfs_pointers_are_named_as_such(model, file):
    (model / file).write_text(POINTER)
    with pytest.raises(ModelError, match=rf"{file} of .* is a Git LFS pointer.*git lfs pull"):
        RewardModel(model)


@pytest.mark.parametrize("keep", [0, 5, 300, 0.5, 0.999])
def test_cut_weights_are_named(model, keep):
    content = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(ModelError, match=r"model\.safetensors of .* is cut off or damaged .*Download it again"):
        RewardModel(model)


@pytest.mark.parametrize("content", ["<html>Please log in</html>", "", "[]", "{", "[" * 100_000, '"text"'])
def test_a_configuration_that_is_none_is_said(model, content):
    (model / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json of "):
        RewardModel(model)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": "wide"},
        {"num_hidden_layers": -3},
        {"num_attention_heads": 7},
        {"model_type": "nothing-known"},
        {"model_type": ["bert"]},
        {"architectures": "BertForSequenceClassification"},
        {"architectures": [3]},
        {"auto_map": "code"},
        {"torch_dtype": "float3"},
        {"dtype": 5},
        {"id2label": 3},
        {"vocab_size": 10},
        {"max_position_embeddings": "many"},
        {"quantization_config": "yes"},
    ],
    ids=str,
)
def test_no_odd_configuration_is_a_traceback(model, change, tmp_path, capsys):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **change}))
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "Hi", "chosen": "Hello", "rejected": "No"}\n')
    out = tmp_path / "scored.parquet"
    code = main(["score", str(tmp_path / "pairs.jsonl"), "--model", f"post={model}", "--out", str(out)])
    assert code == 0 or "seal score: " in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{}", "<html>", '{"model": {"type": "none"}}'])
def test_a_tokenizer_that_is_none_is_said(model, content):
    (model / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match="tokenizer"):
        load_tokenizer(str(model))


def test_kernels_from_the_hub_are_code_too(tmp_path, minilm):
    path = save_llama(tmp_path, minilm, 0, classifier=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "attn_implementation": "somebody/kernel"}))
    with pytest.raises(ModelError, match="asks for code from the Hub"):
        RewardModel(path, options=ModelOptions())


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tmp_path, monkeypatch, reward_models):
    """A model in the cache of the Hub's client, as a download leaves it; the Hub itself cannot be reached."""
    folder = tmp_path / "hub" / "models--me--rm"
    shutil.copytree(reward_models["post"], folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder / "snapshots" / COMMIT


def test_a_model_of_the_hub_is_read_from_the_cache_and_its_commit_recorded(cached, reward_models):
    model = RewardModel("me/rm")
    assert model.revision == COMMIT
    assert torch.equal(model.model.classifier.weight, RewardModel(reward_models["post"]).model.classifier.weight)


def test_a_model_of_the_hub_is_held_to_the_same(cached, tmp_path):
    (cached / "model.safetensors").unlink()
    (cached / "weights.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "mark")))
    index(cached, "weights.bin")
    with pytest.raises(
        ModelError, match=r"places classifier\.weight in 'weights\.bin', which is no \.safetensors file"
    ):
        RewardModel("me/rm")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("error", [KeyError("id"), ValueError("Expecting value: line 1 column 1"), TypeError("str")])
def test_a_login_page_before_the_hub_is_said(monkeypatch, error):
    """What the Hub's client raises where it is answered `{}` or HTML."""

    def answer(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", answer)
    with pytest.raises(ModelError, match=r"is not one of the Hub.*login page.*Give a folder"):
        RewardModel("me/rm")


def test_two_commits_of_the_hub_have_two_keys(cached):
    """Rewards of one commit must not be taken from the store for another."""
    first = RewardModel("me/rm")
    other = cached.with_name("f" * 40)
    cached.rename(other)
    (other.parents[1] / "refs" / "main").write_text(other.name)
    second = RewardModel("me/rm")
    assert (first.revision, second.revision) == (COMMIT, "f" * 40)
    assert first.identity_key() != second.identity_key()

"""A plan downloads no weights; those that are in the cache are used."""

import re

import huggingface_hub
import pytest

from seal_datasets.errors import ModelError
from seal_datasets.rewards.checkpoint import Checkpoint, weights_are_here


def test_a_model_whose_weights_are_on_the_hub_is_planned_without_them(hub, seal, tmp_path):
    hub.put("model", "tester/rm", {"config.json": '{"model_type": "bert"}', "model.safetensors": "weights"})
    hub.requests.clear()
    audit = ["audit", "--demo", "--limit", "12", "--labeler", "none", "--out", tmp_path / "out"]
    said = seal(*audit, "--model", "rm=tester/rm", "--dry-run")
    assert said.code == 0, said.said
    assert re.search(r"\nscore rm +12 +24 +unknown +unknown ", said.said)
    assert "its weights are not here, and none are downloaded" in said.said
    assert not [request for request in hub.requests if "safetensors" in str(request)]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("files", "here"),
    [
        ({"model.safetensors": "w"}, True),
        ({"config.json": "{}"}, False),
        ({"model.safetensors.index.json": '{"weight_map": {"a": "m-1-of-2.safetensors"}}'}, False),
        (
            {
                "model.safetensors.index.json": '{"weight_map": {"a": "m-1-of-2.safetensors"}}',
                "m-1-of-2.safetensors": "w",
            },
            True,
        ),
    ],
)
def test_weights_are_here_if_the_cache_holds_all_of_them(files, here, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "a" * 40
    folder = tmp_path / "models--me--rm" / "snapshots" / commit
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    on_the_hub = ("config.json", "model.safetensors", "model.safetensors.index.json", "m-1-of-2.safetensors")
    assert weights_are_here(Checkpoint("me/rm", commit, True, on_the_hub)) is here
    for damaged in ("{", "[]", "{}", '{"weight_map": [1]}', '{"weight_map": {"a": 1}}'):
        (folder / "model.safetensors.index.json").write_text(damaged)
        with pytest.raises(ModelError, match=r"model.safetensors.index.json of 'me/rm'.*ownload"):
            weights_are_here(Checkpoint("me/rm", commit, True, on_the_hub))

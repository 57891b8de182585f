"""The published recipe holds what an audit was, and nothing of the machine or of keys."""

import shutil

import pytest
import yaml

from seal_datasets.audit.recipe_file import render_recipe
from seal_datasets.cli import make_parser
from seal_datasets.errors import DataError
from seal_datasets.hub.shareable import finished_audit, shareable_recipe

OPTIONS = {
    "data": "/home/somebody/secret-client/pairs.jsonl",
    "out": "/home/somebody/report",
    "model": ["pre=/home/somebody/models/before", "post=dpo:me/policy@~/models/sft"],
    "labeler": "https://me:password@lm.example/v1",
    "labeler_model": "my-model",
    "request": ['extra={"token": "hf_abcdefghijkl"}'],
    "limit": 500,
}


@pytest.fixture
def folder(audit_folder, tmp_path):
    copied = tmp_path / "audit"
    shutil.copytree(audit_folder, copied)
    text = render_recipe("audit", OPTIONS, made_with={"data": "sha256:ab"}, notes=["read from /home/somebody/x.csv"])
    (copied / "recipe.yaml").write_text(text)
    return copied


@pytest.mark.parametrize(
    "words",
    [["dataset", "--repo", "tester/a", "--with-texts"], ["report", "--repo", "tester/a"]],
)
def test_a_recipe_is_published_without_local_paths_and_keys(hub, seal, folder, words):
    verb, *flags = words
    said = seal("publish", verb, folder, *flags)
    assert said.code == 0, said.said
    text = hub.files("dataset", "tester/a")["recipe.yaml"].decode()
    assert not [word for word in ("somebody", "secret-client", "password", "hf_", "~/") if word in text]
    recipe = yaml.safe_load(text)
    assert recipe["data"] == "pairs.jsonl"
    assert recipe["model"] == ["pre=before", "post=dpo:me/policy@sft"]
    assert (recipe["labeler"], recipe["limit"]) == ("https://lm.example/v1", 500)
    assert recipe["made_with"]["data"] == "sha256:ab"
    assert "# What is local or secret is left out of data, out, model: give your own." in text
    assert "# read from x.csv" in text


def test_what_is_published_can_be_read_by_config(folder, tmp_path):
    (name, content), *_ = shareable_recipe(finished_audit(folder)).items()
    recipe = yaml.safe_load(content)
    del recipe["request"]  # stars stand for its key, which the reader has to give
    (tmp_path / name).write_text(yaml.safe_dump(recipe, sort_keys=False))
    options = make_parser().parse_args(["audit", "--config", str(tmp_path / name)])
    assert (options.limit, options.labeler_model) == (500, "my-model")


def test_an_audit_without_a_recipe_publishes_none_and_a_broken_one_is_refused(folder):
    audit = finished_audit(folder)
    for text, words in (("a: [", "cannot read"), ("- a\n", "holds list")):
        (folder / "recipe.yaml").write_text(text)
        with pytest.raises(DataError, match=words):
            shareable_recipe(audit)
    (folder / "recipe.yaml").unlink()
    assert shareable_recipe(audit) == {}

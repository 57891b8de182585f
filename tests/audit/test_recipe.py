"""An audit written down and read again is the same audit, and a recipe holds no secret."""

import argparse
import json
from dataclasses import replace

import pytest
import yaml
from datasets import Dataset

from seal_datasets.audit import run
from seal_datasets.audit.precomputed import audit_own_rewards
from seal_datasets.audit.recipe import audit_recipe
from seal_datasets.audit.recipe_file import is_local, read_versions, render_recipe
from seal_datasets.audit.settings import AuditSettings, GivenModels, RewriteSettings
from seal_datasets.cli import main, make_parser
from seal_datasets.cli.recipe import key_of
from seal_datasets.data.demo import demo_path
from seal_datasets.rewards.options import ModelOptions
from seal_datasets.rewards.training_settings import TrainingSettings
from seal_datasets.version import __version__
from tests.audit.test_precomputed import OPTIONS, REWARDS, table  # noqa: F401 - a fixture

REQUESTS = (
    *("--labeler", "http://localhost:1/v1", "--labeler-model", "m", "--concurrency", "3", "--timeout", "5.5"),
    *("--request", 'effort="low"', "--request", "top_p=null", "--served-model", "m-1", "--served-model", "m-2"),
    *("--max-answer-tokens", "99", "--max-failure-rate", "0.25", "--budget", "1.5", "--probabilities"),
    *("--features", "a_b,c", "--label-limit", "9", "--gold", "gold.csv", "--taxonomy", "mine.yaml", "--batch"),
    *("--teacher", "http://localhost:2/v1", "--teacher-model", "strong", "--teacher-share", "0.1"),
    *("--encoder", "http://localhost:3/v1#encoder", "--keep-weak"),
    *("--prices", "prices.yaml"),
)
AUDITS = {
    "demo": ("--demo",),
    "trained": ("d.jsonl", "--backbone", "b", "--pre-epochs", "4", "--max-length", "64", "--heldout-share", "0.3"),
    "requests": ("d.jsonl", "--split", "test", "--limit", "12", "--seed", "3", *REQUESTS),
    "given": (
        *("d.jsonl", "--pre", "./rm", "--post", "dpo:me/a@me/b", "--revision", "post=v2", "--head", "1"),
        *("--max-length", "128", "--precision", "bfloat16", "--device-map", "auto", "--merge-system", "--doctor"),
        *("--tie-band", "0.01", "--over-length", "skip", "--backend", "torch", "--tokens-per-batch", "512"),
        *("--allow-pickle", "--allow-remote-code", "--labeler", "none"),
    ),
    "one": ("d.jsonl", "--model", "me/rm", "--labeler", "none"),
    "many": (
        *("d.jsonl", "--model", "a=./rm", "--model", "b=me/rm", "--revision", "b=v2", "--rewards", "old=x,y"),
        *("--baseline", "old", "--labeler", "none"),
    ),
    "rewrites": (
        *("--demo", "--rewrite-share", "0.5", "--presets", "style,longer", "--axes", "positive", "--rewriter", "local"),
        *("--rewrite-attempts", "2", "--rewrite-temperature", "0.7", "--whole-dialogue", "--min-similarity", "0.6"),
        *("--similarity-model", "embedded", "--stratify-by", "source"),
    ),
}


@pytest.mark.parametrize("words", AUDITS.values(), ids=AUDITS.keys())
def test_an_audit_from_its_recipe_has_the_same_settings(words, tmp_path, monkeypatch, capsys):
    """The whole way: words, settings, recipe, settings; what `run_audit` would get is compared."""
    runs = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("seal_datasets.cli.audit._print_headline", lambda report, out: 0)
    monkeypatch.setattr("seal_datasets.cli.audit.check_labels", lambda counted: 0)
    monkeypatch.setattr(run, "run_audit", lambda *given, **keys: runs.append(given) or {"run": {"labeler": None}})
    recipe = tmp_path / "r.yaml"
    assert main(["audit", *words, "--out", "there", "--write-config", str(recipe)]) == 0
    assert capsys.readouterr().out == f"{recipe}\n"
    assert runs == []  # writing a recipe runs nothing
    assert main(["audit", *words, "--out", "there"]) == 0
    assert main(["audit", "--config", str(recipe)]) == 0
    assert runs[0] == runs[1]
    assert main(["audit", "--config", str(recipe), "--write-config", str(tmp_path / "again.yaml")]) == 0
    assert (tmp_path / "again.yaml").read_text() == recipe.read_text()


def test_every_option_of_the_command_is_in_some_recipe(tmp_path, monkeypatch):
    """An option that is added to the command, and to no recipe, is found here."""
    monkeypatch.chdir(tmp_path)
    written = {"pre", "post"}  # written as models
    for words in AUDITS.values():
        assert main(["audit", *words, "--write-config", "r.yaml"]) == 0
        written |= yaml.safe_load((tmp_path / "r.yaml").read_text()).keys()
    [verbs] = [action for action in make_parser()._actions if action.dest == "verb"]
    options = {key_of(action) for action in verbs.choices["audit"]._actions if action.help != argparse.SUPPRESS}
    assert options - written == {"help", "help_all", "config", "write_config", "dry_run"}
    assert written - options == {"recipe", "verb", "made_with"}


def test_a_recipe_holds_no_key_and_no_password(monkeypatch, tmp_path):
    monkeypatch.setenv("SEAL_LABELER_API_KEY", "a-key-of-mine")
    settings = AuditSettings(
        labeler="https://me:hunter2@lm.example/v1",
        labeler_model="m",
        request={"api_key": "quiet", "extra": {"auth_token": "quieter"}, "max_tokens": 5, "user": "a-key-of-mine"},
    )
    text = audit_recipe("d.jsonl", tmp_path, settings)
    assert [secret for secret in ("hunter2", "quiet", "a-key-of-mine") if secret in text] == []
    recipe = yaml.safe_load(text)
    assert recipe["labeler"] == "https://lm.example/v1"
    assert recipe["request"] == [
        'api_key="***"',
        'extra={"auth_token": "***"}',
        "max_tokens=5",
        'user="***"',
    ]


def test_local_paths_are_marked_and_ids_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rm").mkdir()
    assert is_local(str(tmp_path))
    assert is_local("rm")
    assert is_local("dpo:rm@me/reference")
    assert is_local("/absent/path")
    assert not any(map(is_local, ("me/rm", "demo", "http://localhost/v1", "x" * 5000, "a\0b", None, 5, "")))
    lines = render_recipe("audit", {"data": "/d.jsonl", "model": ["a=me/rm"], "split": "rm"}).splitlines()
    assert lines[-4:] == ["data: /d.jsonl  # a local path: give your own", "model:", "- a=me/rm", "split: rm"]
    mine = render_recipe("audit", {"model": ["a=me/rm", "b=rm"]}).splitlines()
    assert mine[-1] == "- b=rm  # a local path: give your own"


def test_revisions_are_commits_where_they_are_known(tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    settings = AuditSettings(
        models=GivenModels({"pre": "me/before", "post": str(tmp_path)}, revisions={"pre": "main"}),
        training=TrainingSettings(),
    )
    known = {"pre": commit, "post": commit}  # a folder has no revision
    assert yaml.safe_load(audit_recipe("d", tmp_path, settings, revisions=known))["revision"] == [f"pre={commit}"]
    assert yaml.safe_load(audit_recipe("d", tmp_path, settings, revisions={}))["revision"] == ["pre=main"]


def test_what_only_python_can_set_is_said(tmp_path):
    settings = AuditSettings(
        training=TrainingSettings(batch_size=3), models=GivenModels(options=ModelOptions(attention="eager"))
    )
    text = audit_recipe(Dataset.from_dict({"a": [1]}), tmp_path, settings)
    assert "# Set from Python, and without an option here: training batch_size = 3\n" in text
    assert "# Set from Python, and without an option here: models attention = 'eager'\n" in text
    assert "# The data was a table in memory: save it with save_to_disk" in text
    plain = audit_recipe("demo", tmp_path, replace(settings, training=TrainingSettings(), models=GivenModels()))
    assert plain.count("#") == 1 + plain.count("# a local path")


def test_the_folder_of_an_audit_holds_its_recipe_which_repeats_it(reward_models, tmp_path, capsys):
    words = ["--limit", "24", "--labeler", "none", "--pre", reward_models["pre"], "--post", reward_models["post"]]
    out = tmp_path / "audit"
    assert main(["audit", str(demo_path()), *words, "--out", str(out)]) == 0
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    assert recipe["data"] == str(demo_path())
    assert recipe["limit"] == 24
    assert "pre_epochs" not in recipe  # nothing was trained
    assert recipe["made_with"] == {
        "seal_datasets": __version__,
        **read_versions(),
        "data": json.loads((out / "run.json").read_text())["diagnosis"]["fingerprint"],
    }
    assert main(["audit", "--config", str(out / "recipe.yaml"), "--out", str(tmp_path / "again")]) == 0
    reports = [json.loads((folder / "report.json").read_text()) for folder in (out, tmp_path / "again")]
    assert reports[0] == reports[1]


def test_an_audit_of_own_rewards_has_a_recipe_too(table, tmp_path, capsys):  # noqa: F811
    data = str(tmp_path / "own.parquet")
    table.to_parquet(data)
    report = audit_own_rewards(data, tmp_path / "own", REWARDS)
    assert main(["audit", "--config", str(tmp_path / "own/recipe.yaml"), "--out", str(tmp_path / "again")]) == 0
    assert json.loads((tmp_path / "again/report.json").read_text()) == report
    written = str(tmp_path / "w.yaml")
    assert main(["audit", data, *OPTIONS, "--out", str(tmp_path / "own"), "--write-config", written]) == 0
    ours, theirs = (
        {key: value for key, value in yaml.safe_load(path.read_text()).items() if key != "made_with"}
        for path in (tmp_path / "own/recipe.yaml", tmp_path / "w.yaml")
    )
    assert ours == theirs


def test_settings_of_rewrites_are_written_only_where_pairs_are_rewritten(tmp_path):
    without = yaml.safe_load(audit_recipe("demo", tmp_path, AuditSettings()))
    assert without["rewrite_share"] is None
    assert "presets" not in without
    rewritten = yaml.safe_load(audit_recipe("demo", tmp_path, AuditSettings(rewrites=RewriteSettings())))
    assert (rewritten["rewrite_share"], rewritten["presets"]) == (0.01, "style")

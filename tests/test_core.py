"""The core without extras: an environment that holds what `install_requires` names, and nothing that an extra installs."""

import importlib.metadata
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from seal_datasets import schema
from seal_datasets.evaluate_modules.paths import METRICS

HEAVY = ("torch", "transformers", "accelerate", "openai", "trl", "sentence_transformers", "openvino", "xllamacpp")
COMPUTE = """
import evaluate, json, sys
from seal_datasets import metric_path
rewards = {"chosen_rewards": [2.0, 0.5, 1.0, -1.0], "rejected_rewards": [1.0, 1.5, 1.0, -3.0]}
metric = evaluate.load(metric_path("alignment_resistance"))
print(metric.compute(**rewards)["alignment_resistance"])
for name in json.loads(sys.argv[1]):
    evaluate.load(metric_path(name))
assert not set(json.loads(sys.argv[2])) & set(sys.modules)
"""
APP = """
from seal_datasets.evaluate_modules.app import build_app
print(type(build_app("reward_shift")).__name__)
"""
MISSING = """
import seal_datasets
try:
    seal_datasets.{name}
except seal_datasets.MissingExtraError as error:
    print(error)
"""


def closure(names):
    """Distributions that some requirements need, themselves included."""
    needed, waiting = {}, [(name, "") for name in names]
    while waiting:
        name, extra = waiting.pop()
        found = needed.setdefault(name.lower().replace("_", "-"), importlib.metadata.distribution(name))
        for line in found.requires or ():
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            if requirement.name.lower().replace("_", "-") not in needed:
                waiting += [(requirement.name, one) for one in ("", *requirement.extras)]
    return list(needed.values())


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A virtual environment of the tested versions, their files linked from this one, and the built wheel."""
    folder = tmp_path_factory.mktemp("core")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")

    def install(names):
        for distribution in closure(names):
            for file in distribution.files or ():
                source, target = Path(distribution.locate_file(file)), site / file
                if ".." in file.parts or not source.is_file() or target.exists():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)

    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (metadata,) = site.glob("seal_datasets-*.dist-info")
    lines = importlib.metadata.PathDistribution(metadata).requires
    install([one.name for one in map(Requirement, lines) if one.marker is None])

    def run(*arguments, cwd=folder, check=True):
        command = [folder / "bin" / "python", *map(str, arguments)]
        variables = {**os.environ, "HF_HOME": str(folder / "hf"), "PYTHONPATH": ""}
        finished = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
        assert not check or finished.returncode == 0, finished.stderr[-3000:]
        return finished

    run.install = install
    return run


def test_nothing_heavy_is_there(environment):
    script = f"import importlib.util as u; print([n for n in {HEAVY} if u.find_spec(n)])"
    assert environment("-c", script).stdout.strip() == "[]"


def test_every_metric_loads_and_computes(environment):
    computed = environment("-c", COMPUTE, json.dumps(METRICS), json.dumps(HEAVY))
    assert computed.stdout.strip() == "0.5"


def test_an_audit_of_given_rewards_runs(environment, tmp_path):
    rows = [
        {
            schema.PROMPT: f"Question {i % 7}?",
            schema.CHOSEN: f"Yes, {i}.",
            schema.REJECTED: f"No! {i}",
            "a": i % 3,
            "b": 1,
        }
        for i in range(40)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    seal = ["-m", "seal_datasets.cli"]
    rewards = ["--rewards", "pre=a,b", "--rewards", "post=b,a"]
    environment(*seal, "audit", "pairs.jsonl", *rewards, "--out", "report", cwd=tmp_path)
    environment(*seal, "report", "report", "--check", cwd=tmp_path)
    assert (
        json.loads((tmp_path / "report" / "report.json").read_text())["models"]["post"]["resistance"]["all"]["n_pairs"]
        == 40
    )


@pytest.mark.parametrize(("name", "extra"), [("RewardModel", "score"), ("train_pair", "score"), ("Labeler", None)])
def test_a_missing_extra_is_named(environment, name, extra):
    printed = environment("-c", MISSING.format(name=name)).stdout
    assert printed == (
        "" if extra is None else f"'torch' is not installed. Run: pip install 'seal_datasets[{extra}]'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["score", "pairs.jsonl", "--model", "m=x"], "score"),
        (["featurize", "pairs.jsonl", "--labeler-model", "m"], "label"),
    ],
)
def test_a_command_names_the_missing_extra(environment, tmp_path, arguments, extra):
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"}))
    labeler = ["--labeler", "http://127.0.0.1:9/v1"] if extra == "label" else []
    command = ["-m", "seal_datasets.cli", *arguments, *labeler, "--out", "out.parquet"]
    finished = environment(*command, cwd=tmp_path, check=False)
    assert finished.returncode == 2, finished.stderr
    assert f"pip install 'seal_datasets[{extra}]'" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_app_of_a_space_starts_with_the_space_extra(environment):
    environment.install(["gradio", "matplotlib"])
    assert environment("-c", APP).stdout.strip() == "Blocks"

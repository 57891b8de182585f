"""README is executed: its Python blocks as doctests, its shell commands in the order given, on a small file."""

import doctest
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from seal_datasets.cli import main
from seal_datasets.data.demo import demo_path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks_of(text):
    return re.findall(r"```(\w*)\n(.*?)```", text, flags=re.DOTALL)


def commands_of(text):
    lines = [line for kind, block in blocks_of(text) if kind == "bash" for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


BLOCKS, COMMANDS = blocks_of(README), commands_of(README)

# `install-metrics` writes to a cache whose place is fixed when a process starts; `report` proves the installed command.
IN_A_PROCESS = ("report", "install-metrics")


def test_python_in_the_readme_runs():
    source = "\n".join(block for kind, block in BLOCKS if kind == "python")
    test = doctest.DocTestParser().get_doctest(source, {}, "README.md", "README.md", 0)
    assert len(test.examples) > 10
    result = doctest.DocTestRunner().run(test)
    assert result.failed == 0


def test_make_targets_in_the_readme_exist():
    targets = {command[1] for command in COMMANDS if command[0] == "make"}
    assert targets == {"audit", "test"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_the_rooms_are_the_same_in_readme_architecture_and_package():
    package = ROOT / "seal_datasets"
    rooms = {path.name for path in package.iterdir() if (path / "__init__.py").is_file()}
    assert set(re.findall(r"^  (\w+)/ ", README, flags=re.MULTILINE)) == rooms
    architecture = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", architecture, flags=re.MULTILINE)) == rooms
    named = set(re.findall(r"`(?:seal_datasets/)?((?:\w+/)+\w+\.\w+)`", architecture))
    assert named
    assert [name for name in named if not any((folder / name).is_file() for folder in (package, ROOT))] == []


@pytest.fixture
def run_command(tmp_path, monkeypatch, capsys):
    """Run a command in a folder of its own: `seal` in this process, what depends on its own process in another."""
    monkeypatch.chdir(tmp_path)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HOME": str(tmp_path / "hf"),
        "OMP_NUM_THREADS": "1",
    }

    def run(command):
        if command[0] == "seal" and command[1] not in IN_A_PROCESS:
            return main(command[1:]), capsys.readouterr().err
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
        return finished.returncode, finished.stderr

    return run


@pytest.mark.recorded
@pytest.mark.slow
def test_commands_in_the_readme_run_in_order(run_command, recorded, tmp_path):
    rows = [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()][:40]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("compared.labels.sqlite", "rewritten.rewrites.sqlite"):
        recorded(tmp_path / name)
    commands = [command for command in COMMANDS if command[0] in ("seal", "accelerate")]
    assert {command[1] for command in commands if command[0] == "seal"} == {
        "train-pair",
        "featurize",
        "score",
        "audit",
        "report",
        "install-metrics",
        "labelers",
        "rewrite",
        "store",
        "subset",
        "compare",
        "doctor",
    }
    for command in commands:
        code, said = run_command(command)
        assert code == 0, f"{shlex.join(command)}\n{said[-2000:]}"
    assert (tmp_path / "report" / "report.md").is_file()


@pytest.mark.recorded
def test_commands_in_the_guide_of_gold_labels_run_in_order(run_command, recorded, tmp_path):
    rows = [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()][:60]
    gold = [{name: row[name] for name in row if name.startswith("gold_") or name == "pair_id"} for row in rows[:40]]
    Dataset.from_list([row | {"gold_probability": 0.66} for row in gold]).to_csv(tmp_path / "gold.csv")
    bare = [{name: row[name] for name in ("pair_id", "chosen", "rejected")} for row in rows]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, bare)))
    recorded(tmp_path / "compared.labels.sqlite")
    for command in commands_of((ROOT / "docs" / "gold.md").read_text("utf-8")):
        code, said = run_command(command)
        assert code == 0, f"{shlex.join(command)}\n{said[-2000:]}"
    assert (tmp_path / "labelled.parquet").is_file()

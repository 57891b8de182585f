"""The paper's recipe and findings: tables are what the counts give, commands run, and nothing runs without a commit."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seal_datasets.report.files import REPORT_FILE
from tests.docs.pages import blocks_of, commands_of

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "findings.md").read_text("utf-8")
COMMIT = re.compile(r"[0-9a-f]{40}")


def module_of(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def findings():
    return module_of(ROOT / "benchmarks" / "findings.py")


@pytest.fixture(scope="module")
def script():
    return module_of(ROOT / "scripts" / "reproduce_paper.py")


def test_every_table_of_the_findings_is_what_its_command_prints(findings):
    for section in findings.SECTIONS:
        assert f"python benchmarks/findings.py {section}\n```\n\n{findings.render(section)}\n" in PAGE, section


def test_figures_in_the_text_of_the_findings_are_in_its_tables():
    lines = PAGE.splitlines()
    table = "\n".join(line for line in lines if line.startswith("|"))
    text = "\n".join(line for line in lines if not line.startswith("|"))
    figures = set(re.findall(r"(?<![\w.-])\d+\.\d+(?!\.?\w)", text)) | {"186"}
    assert {"2.47", "1.13", "186"} <= figures
    assert [each for each in sorted(figures) if each not in table] == []


def test_commands_of_the_findings_run(tmp_path):
    commands = [words for block in blocks_of(ROOT / "docs" / "findings.md") for words in commands_of(block)]
    assert len(commands) > 8
    for command in (commands[0], commands[-1]):
        done = subprocess.run(
            [sys.executable, str(ROOT / command[1]), *command[2:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert not list(tmp_path.iterdir())


def test_what_the_findings_correct_is_2_47_and_not_1_13(findings):
    row = findings.robustness("sentiment chosen", "logit")["+"]
    assert round(row.odds_ratio, 2) == 2.47
    assert round(findings.robustness("sentiment chosen", "linear_probability")["+"].coefficient, 4) == 0.1154


def test_a_plan_without_a_network_says_what_it_could_not_find_out(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert script.main(["--dry-run"]) == 0
    printed = capsys.readouterr()
    assert "Not pinned yet: OpenAssistant/reward-model-deberta-v3-large;" in printed.out
    assert "Not found out" in printed.out
    assert "cannot be reached" in printed.err
    assert not list(tmp_path.iterdir())


def test_nothing_runs_without_a_commit(script, tmp_path, capsys):
    assert script.main(["labels", "--out", str(tmp_path / "audit")]) == 2
    assert "commit of OpenAssistant/reward-model-deberta-v3-large is not known" in capsys.readouterr().err
    assert not (tmp_path / "audit" / "paper.yaml").exists()


def test_a_step_that_fails_is_the_last(script, tmp_path, monkeypatch):
    (tmp_path / "paper.yaml").write_text(script.RECIPE.read_text("utf-8"))
    asked = []
    monkeypatch.setattr(script, "seal", lambda words: asked.append(words[0]) or (1 if words[0] == "score" else 0))
    assert script.main(["--out", str(tmp_path)]) == 1
    assert asked == ["featurize", "score"]


def test_everything_else_of_the_recipe_is_pinned(script):
    recipe = yaml.safe_load(script.RECIPE.read_text("utf-8"))
    assert script._without_commit(recipe) == ["OpenAssistant/reward-model-deberta-v3-large"]
    assert COMMIT.search(recipe["rewriter_model"])
    assert recipe["labeler_model"] == "gpt-4-turbo-2024-04-09"


@pytest.mark.real_lm
@pytest.mark.slow
def test_the_sample_runs_every_step_and_a_second_run_asks_nothing(script, tmp_path, capsys):
    out = tmp_path / "sample"
    assert script.main(["--sample", "--out", str(out)]) == 0
    assert (out / REPORT_FILE).is_file()
    assert {path.stem for path in (out / "steps").glob("*.parquet")} == {"labels", "rewards", "rewrites"}
    capsys.readouterr()
    assert script.main(["rewrites", "--sample", "--out", str(out)]) == 0
    assert "    0 requests" in capsys.readouterr().err

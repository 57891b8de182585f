"""Where metric scripts lie, and `evaluate.load("seal/...")` without a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seal_datasets.errors import DataError
from seal_datasets.evaluate_modules.paths import METRICS, metric_path

LOAD = """
import evaluate
metric = evaluate.load("seal/{name}")
print(type(metric).__module__.split(".")[2], metric.compute({inputs})["{key}"])
"""


def run(arguments, folder, cache):
    environment = {**os.environ, "HF_HOME": str(cache), "HF_EVALUATE_OFFLINE": "1"}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_paths_exist_and_an_unknown_name_is_refused():
    assert all(Path(metric_path(name)).is_file() for name in METRICS)
    with pytest.raises(DataError, match="there is no metric 'accuracy'; there are alignment_resistance"):
        metric_path("accuracy")


@pytest.mark.slow
def test_literal_load_works_offline_once_installed_from_any_directory(tmp_path):
    cache = tmp_path / "hf"
    seal = Path(sys.executable).with_name("seal")
    script = LOAD.format(
        name="alignment_resistance", inputs="chosen_rewards=[1.0, 0.0], rejected_rewards=[0.0, 1.0]", key="n_pairs"
    )
    before = run([sys.executable, "-c", script], tmp_path, cache)
    assert before.returncode != 0
    installed = run([seal, "install-metrics"], tmp_path, cache)
    assert installed.returncode == 0, installed.stderr
    assert len(installed.stdout.split()) == len(METRICS)
    assert all(Path(line).is_relative_to(cache) for line in installed.stdout.split())
    after = run([sys.executable, "-c", script], tmp_path, cache)
    assert after.stdout.split() == ["seal--alignment_resistance", "2"], after.stderr


def test_the_newest_install_wins_over_an_older_copy(tmp_path):
    cache = tmp_path / "hf"
    stale = cache / "modules" / "evaluate_modules" / "metrics" / "seal--reward_shift" / ("0" * 64)
    stale.mkdir(parents=True)
    (stale / "reward_shift.py").write_text("raise SystemExit('an older copy was loaded')")
    script = "from seal_datasets import install_metrics\nprint(install_metrics(['reward_shift'])[0])\n" + LOAD.format(
        name="reward_shift",
        inputs="pre_chosen_rewards=[1.0], pre_rejected_rewards=[0.0], chosen_rewards=[0.0], rejected_rewards=[1.0]",
        key="mean_degrees",
    )
    found = run([sys.executable, "-c", script], tmp_path, cache)
    assert found.stdout.split()[-2:] == ["seal--reward_shift", "90.0"], found.stderr

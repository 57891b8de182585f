"""The wheel that users install: it holds every file of the package, and works where there is no checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOMES = {"seal_datasets": "seal_datasets", "hub_cards": "seal_datasets/hub_cards", "metrics": "seal_datasets/metrics"}
USE = """
import seal_datasets, sys
from pathlib import Path
from seal_datasets.cards import render_card
from seal_datasets.endpoints.cost import load_prices
from seal_datasets.data.demo import demo_path
from seal_datasets.evaluate_modules.paths import METRICS, metric_path
from seal_datasets.hub.publish_spaces import space_files
from seal_datasets.labels.taxonomy import load_taxonomy
here = Path(sys.argv[1])
assert Path(seal_datasets.__file__).is_relative_to(here), seal_datasets.__file__
assert all(Path(metric_path(name)).is_relative_to(here) for name in METRICS)
assert all(len(space_files(name)) == 4 for name in METRICS)
load_prices()
card = render_card("taxonomy_card.md", repo_id="me/mine", taxonomy=load_taxonomy())
print(len(load_taxonomy().features), demo_path().is_file(), "me/mine" in card)
"""


@pytest.mark.slow
def test_the_wheel_is_whole_and_works_from_an_empty_directory(wheel, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        archive.extractall(tmp_path / "installed")
    ours = {
        f"{home}/{path.relative_to(ROOT / name).as_posix()}"
        for name, home in HOMES.items()
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == ours
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "HF_HOME": str(tmp_path / "hf")}
    used = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "installed")],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert used.stdout.split() == ["19", "True", "True"], used.stderr

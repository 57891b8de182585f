"""`evaluate.load("seal/<name>")` as users meet it: from the Hub, offline, from a checkout, on two processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seal_datasets.evaluate_modules.paths import METRICS
from seal_datasets.hub.publish_spaces import space_files
from tests.evaluate_modules.test_metric_contract import ARRAYS, OPTIONS

ROOT = Path(__file__).parents[2]
LOAD = """
import json
import evaluate
for name in {names!r}:
    metric = evaluate.load(f"{prefix}{{name}}")
    inputs = json.loads({inputs!r})[name]
    print(type(metric).__module__.split(".")[2], type(metric).__name__, len(metric.compute(**inputs)) > 2)
"""
OLD = "raise SystemExit('an older copy was loaded')\n"


def load(names, prefix):
    inputs = {name: {**ARRAYS[name], **OPTIONS[name]} for name in names}
    return LOAD.format(names=names, prefix=prefix, inputs=json.dumps(inputs))


def published(hub, names=METRICS):
    for name in names:
        hub.put("space", f"seal/{name}", space_files(name))


def cached(home, name, source):
    folder = home / "modules" / "evaluate_modules" / "metrics" / f"seal--{name}" / ("0" * 64)
    folder.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)


def class_name(name):
    return "".join(word.capitalize() for word in name.split("_"))


@pytest.mark.slow
def test_every_metric_loads_from_the_hub_with_empty_caches_and_later_without_it(hub, hub_client, tmp_path):
    published(hub)
    script, home = load(names=METRICS, prefix="seal/"), tmp_path / "hf"
    expected = [f"seal--{name} {class_name(name)} True" for name in METRICS]
    loaded = hub_client(script, token=None, home=home, cwd="/")
    assert loaded.stdout.splitlines() == expected, loaded.stderr
    fetched = {each.path for each in hub.asked("GET", "/resolve/main/") if each.status == 200}
    assert fetched == {f"/spaces/seal/{name}/resolve/main/{name}.py" for name in METRICS}
    offline = hub_client(script, token=None, home=home, cwd="/", environment={"HF_EVALUATE_OFFLINE": "1"})
    assert offline.stdout.splitlines() == expected, offline.stderr


@pytest.mark.slow
def test_the_hub_wins_over_an_older_cached_copy_and_an_old_one_still_loads_this_package(hub, hub_client, tmp_path):
    home = tmp_path / "hf"
    published(hub, ["reward_shift"])
    cached(home, "reward_shift", OLD)
    # A shim has no numbers of its own: whichever copy is found, the installed package computes.
    shim = space_files("alignment_resistance")["alignment_resistance.py"].decode()
    cached(home, "alignment_resistance", shim.replace("Alignment resistance as an", "As of an older version, an"))
    loaded = hub_client(load(names=["reward_shift", "alignment_resistance"], prefix="seal/"), home=home, cwd="/")
    assert loaded.stdout.splitlines() == [
        "seal--reward_shift RewardShift True",
        "seal--alignment_resistance AlignmentResistance True",
    ], loaded.stderr


@pytest.mark.slow
def test_from_a_checkout_the_folder_is_loaded(hub_client):
    loaded = hub_client(load(names=METRICS, prefix="metrics/"), cwd=ROOT)
    assert loaded.stdout.splitlines() == [f"{name} {class_name(name)} True" for name in METRICS], loaded.stderr


@pytest.mark.slow
def test_without_the_package_the_loader_says_what_to_install(hub, hub_client):
    published(hub, ["reward_shift"])
    hide = """
import importlib, sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "seal_datasets":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
import evaluate
evaluate.load("seal/reward_shift")
"""
    assert "pip install seal_datasets" in hub_client(hide, cwd="/").stderr


@pytest.mark.slow
def test_two_processes_compute_one_result(hub, tmp_path):
    published(hub, ["alignment_resistance"])
    script = """
import sys
import evaluate
rank, shared = int(sys.argv[1]), sys.argv[2]
metric = evaluate.load("seal/alignment_resistance", num_process=2, process_id=rank, experiment_id="e", cache_dir=shared)
found = metric.compute(chosen_rewards=[1.0, 0.0 + rank], rejected_rewards=[0.0, 0.5])
print(found and (found["alignment_resistance"], found["n_pairs"]))
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(rank), str(tmp_path / "shared")],
            env=hub.environment(tmp_path / "hf"),
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=150) for process in started]
    assert [output for output, _ in outputs] == ["(0.25, 4)\n", "None\n"], outputs


@pytest.mark.slow
def test_on_two_processes_groups_are_those_of_process_0_as_the_cards_say(tmp_path):
    script = """
import sys
import evaluate
from seal_datasets import metric_path
from seal_datasets.errors import DataError
rank, shared = int(sys.argv[1]), sys.argv[2]
rows, rewards, groups = slice(2 * rank, 2 * rank + 2), [1.0, 0.0, 2.0, 0.0], ["a", "b", "a", "b"]
for given in (groups, groups[rows]):
    metric = evaluate.load(
        metric_path("alignment_resistance"), num_process=2, process_id=rank, experiment_id=f"e{len(given)}",
        cache_dir=shared,
    )
    inputs = {"chosen_rewards": rewards[rows], "rejected_rewards": [0.5, 0.5]}
    try:
        found = metric.compute(**inputs, groups=given if rank == 0 else None)
    except DataError as error:
        found = print(error)
    if found:
        alone = evaluate.load(metric_path("alignment_resistance"))
        print(found == alone.compute(chosen_rewards=rewards, rejected_rewards=[0.5] * 4, groups=groups))
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(rank), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    (first, errors), (second, _) = [process.communicate(timeout=150) for process in started]
    assert first.splitlines() == [
        "True",
        "arguments differ in length: chosen_rewards has 4, groups has 2",
    ], errors
    assert second == ""

"""`scripts/audit.py`: what its header says, and the commands of its guide on a double of the Hub.

uv is not among the test tools, since it would install every dependency anew: the script is run by Python here.
"""

import configparser
import json
import random
import re
import shlex
import shutil
from pathlib import Path

import pytest
from huggingface_hub.cli._uv_script_header import parse_uv_script_header

from seal_datasets.data.demo import demo_path

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "audit.py"
TEXT = SCRIPT.read_text("utf-8")
GUIDE = (ROOT / "docs" / "guides" / "hf-jobs.md").read_text("utf-8")


START = f"import runpy, sys\nsys.argv[0] = {str(SCRIPT)!r}\nrunpy.run_path({str(SCRIPT)!r}, run_name='__main__')"


@pytest.fixture(scope="module")
def metadata():
    tomllib = pytest.importorskip("tomllib")
    block = re.search(r"(?m)^# /// script$\s((?:^#(?:| .*)$\s)+)^# ///$", TEXT).group(1)  # the expression of PEP 723
    return tomllib.loads("".join(line[2:] if line.startswith("# ") else line[1:] for line in block.splitlines(True)))


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_the_header_names_the_core_alone_and_the_clone_that_holds_it(metadata, setup):
    assert metadata["dependencies"] == [setup["metadata"]["name"]]
    assert metadata["requires-python"] == setup["options"]["python_requires"]
    source = metadata["tool"]["uv"]["sources"]["seal_datasets"]["path"]
    assert (SCRIPT.parent / source / "setup.cfg").resolve() == ROOT / "setup.cfg"


def test_the_client_of_the_hub_reads_the_secret_from_the_header():
    assert parse_uv_script_header(TEXT).secrets == ["HF_TOKEN"]


def test_what_scoring_needs_is_named_where_it_is_used(setup):
    names = {re.split("[><=]", line)[0] for line in setup["options.extras_require"]["score"].split()}
    for text in (TEXT, GUIDE):
        commands = re.findall(r"^.*--with torch.*$", text, flags=re.MULTILINE)
        assert commands
        assert all(set(re.findall(r"--with (\w+)", command)) == names for command in commands)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """60 pairs with rewards of a model."""
    draw = random.Random(0)
    rows = [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()][:60]
    pairs = [
        {"chosen": row["chosen"], "rejected": row["rejected"], "good": draw.gauss(0.5, 1), "bad": draw.gauss(0, 1)}
        for row in rows
    ]
    path = tmp_path_factory.mktemp("scored") / "scored.jsonl"
    path.write_text("\n".join(map(json.dumps, pairs)))
    return path


def test_the_command_of_the_guide_is_one_that_the_client_takes(hub_client, tmp_path):
    (command,) = [shlex.split(line) for line in GUIDE.splitlines() if line.startswith("hf jobs uv run ")]
    (tmp_path / "dist").mkdir()
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    shown = hub_client(["-m", "huggingface_hub.cli.hf", *command[1:]])
    assert shown.returncode == 0, shown.stderr
    assert "Job not submitted" in shown.stdout + shown.stderr
    assert "(from script)" in shown.stdout + shown.stderr  # the token, which the header asks for


def test_help_is_that_of_seal_audit_and_names_the_store(hub_client):
    shown = hub_client(["-c", START, "--help"])
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("--store ID:")
    assert "--rewards" in shown.stdout


def test_an_audit_is_kept_and_resumed_in_another_folder(hub, hub_client, scored, tmp_path):
    command = ["-c", START, scored, "--rewards", "rm=good,bad"]
    first = hub_client([*command, "--out", tmp_path / "a", "--store", "tester/run"])
    assert first.returncode == 0, first.stderr
    assert "Report:" in first.stdout
    assert "kept in the dataset tester/run" in first.stderr
    kept = hub.files("dataset", "tester/run")
    assert kept["report.json"] == (tmp_path / "a" / "report.json").read_bytes()
    written = {path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert {name for name in written if not name.startswith(".")} <= set(kept)

    planned = hub_client([*command, "--out", tmp_path / "b", "--store", "tester/run", "--dry-run"])
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"^[1-9]\d* files fetched", planned.stderr, flags=re.MULTILINE)
    assert "l4x1" in planned.stdout
    assert (tmp_path / "b" / "report.json").read_bytes() == kept["report.json"]
    assert hub.files("dataset", "tester/run") == kept  # a plan keeps nothing

    (download,) = [shlex.split(line) for line in GUIDE.splitlines() if line.startswith("hf download ")]
    words = [word.replace("me/audit-run", "tester/run") for word in download[1:]]
    assert hub_client(["-m", "huggingface_hub.cli.hf", *words]).returncode == 0
    checked = hub_client(["-m", "seal_datasets.cli", "report", "report", "--check"])
    assert checked.returncode == 0, checked.stderr


def test_a_recipe_names_the_folder(hub, hub_client, scored, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    options = {"data": str(scored), "rewards": ["rm=good,bad"], "out": str(tmp_path / "there")}
    recipe.write_text(json.dumps({"recipe": 1, "verb": "audit", **options}))
    done = hub_client(["-c", START, "--config", recipe, "--store", "tester/run"])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "report.json").is_file()
    assert hub.files("dataset", "tester/run")["report.json"] == (tmp_path / "there" / "report.json").read_bytes()


def test_a_run_without_the_hub_says_that_prices_are_unknown(hub, hub_client, scored, tmp_path):
    hub.fault("GET", "/api/jobs/hardware", times=9, status=404)
    planned = hub_client(
        ["-c", START, scored, "--rewards", "rm=good,bad", "--out", tmp_path / "a", "--dry-run"], token=None
    )
    assert planned.returncode == 0, planned.stderr
    assert "Prices of Hugging Face Jobs are unknown" in planned.stdout


def test_a_store_that_cannot_be_read_is_one_line_before_any_work(hub, hub_client, scored, tmp_path):
    refused = hub_client(["-c", START, scored, "--out", tmp_path / "a", "--store", "tester/run"], token=None)
    assert refused.returncode == 2
    assert refused.stderr.startswith("audit.py: there is no Hugging Face token")
    assert not (tmp_path / "a").exists()

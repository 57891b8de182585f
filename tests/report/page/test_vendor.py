"""The library that the page holds is the one that package-lock.json pins, unchanged, with its licence."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VENDOR = ROOT / "seal_datasets" / "report" / "page" / "vendor"
LIBRARIES = json.loads((VENDOR / "libraries.json").read_text())
LOCKED = json.loads((ROOT / "package-lock.json").read_text())["packages"]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_vendored_file_is_what_was_recorded_of_the_locked_version(name):
    record, locked = LIBRARIES[name], LOCKED[f"node_modules/{name}"]
    assert [record[key] for key in ("version", "integrity", "license")] == [
        locked[key] for key in ("version", "integrity", "license")
    ]
    assert record["bundled_by"] == f"esbuild {LOCKED['node_modules/esbuild']['version']}"
    content = (VENDOR / f"{name}.js").read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (record["bytes"], record["sha256"])


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_vendored_file_carries_its_licence_and_can_stand_in_a_page(name):
    content = (VENDOR / f"{name}.js").read_text()
    assert (VENDOR / f"{name}.LICENSE").read_text().strip() in content
    assert not re.search(r"</script|<!--|\beval\(|new Function|\bfetch\(|XMLHttpRequest|new Worker", content)


def test_nothing_else_is_vendored():
    names = {f"{name}.{kind}" for name in LIBRARIES for kind in ("js", "LICENSE")} | {"libraries.json"}
    assert {path.name for path in VENDOR.iterdir()} == names


def test_tools_are_pinned_and_no_registry_is_named():
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert {name: LOCKED[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [name for name, each in LOCKED.items() if "resolved" in each] == []


def test_vendoring_again_gives_the_same_bytes(tmp_path):
    node = shutil.which("node")
    if node is None or not (ROOT / "node_modules" / "esbuild").is_dir():
        pytest.skip("needs node and `npm ci`")
    subprocess.run([node, ROOT / "scripts" / "vendor.mjs", tmp_path], check=True, timeout=60)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in VENDOR.iterdir()
    }

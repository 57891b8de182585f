"""Outputs: whole or as they were, and a folder belongs to one process at a time."""

import ast
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from datasets import Dataset, Features

import seal_datasets
from seal_datasets import atomic
from seal_datasets.errors import DataError
from seal_datasets.owners import is_alive, this_process

ROOT = Path(seal_datasets.__file__).parent


@contextmanager
def files_of_at_most(n_bytes):
    """A double of a full disk: the system refuses to let any file of this process grow further."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("n_bytes", [50, 1000])  # more than one page of a column is another path through Arrow
def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, n_bytes):
    path = tmp_path / "pairs.parquet"
    atomic.write_parquet(Dataset.from_dict({"a": [1, 2]}), path)
    before = path.read_bytes()
    table = Dataset.from_dict({"a": [os.urandom(n_bytes).hex() for _ in range(5000)]})
    with files_of_at_most(20_000), pytest.raises(DataError, match=r"cannot write .*pairs\.parquet: .*is unchanged"):
        atomic.write_parquet(table, path)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["pairs.parquet"]
    with files_of_at_most(20_000), pytest.raises(DataError, match="what was there is unchanged"):
        atomic.write_text(tmp_path / "report.md", "x" * 30_000)
    assert names(tmp_path) == ["pairs.parquet"]


def test_a_column_that_parquet_cannot_hold_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "pairs.parquet"
    atomic.write_parquet(Dataset.from_dict({"a": [1, 2]}), path)
    before = path.read_bytes()
    empty = Dataset.from_dict({"meta": [{}, {}]}, features=Features({"meta": {}}))
    with pytest.raises(DataError, match=r"as Parquet: .*is unchanged\. Drop or convert that column"):
        atomic.write_parquet(empty, path)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["pairs.parquet"]


def test_a_serialiser_that_fails_leaves_the_file_that_was_there(tmp_path):
    atomic.write_json(tmp_path / "report.json", {"n": 1})
    for content in ({"n": float("nan")}, {"n": object()}):
        with pytest.raises((TypeError, ValueError)):
            atomic.write_json(tmp_path / "report.json", content)
    assert json.loads((tmp_path / "report.json").read_text()) == {"n": 1}
    assert names(tmp_path) == ["report.json"]


def test_files_of_a_folder_change_together_or_not_at_all(tmp_path):
    for name in ("a.txt", "figures/b.txt", "other.txt"):
        atomic.write_text(tmp_path / name, "old")

    def fill(text, longer):
        with atomic.filling(tmp_path) as written:
            atomic.write_text(written / "a.txt", text)
            atomic.write_text(written / "figures/b.txt", text * longer)

    with pytest.raises(TypeError):
        fill("new", None)
    assert (tmp_path / "a.txt").read_text() == "old"
    with files_of_at_most(1000), pytest.raises(DataError) as refused:
        fill("new", 1000)
    assert str(tmp_path / "figures/b.txt") in str(refused.value)
    assert [(tmp_path / name).read_text() for name in ("a.txt", "figures/b.txt")] == ["old", "old"]
    fill("new", 1)
    assert [(tmp_path / name).read_text() for name in ("a.txt", "figures/b.txt")] == ["new", "new"]
    assert names(tmp_path) == ["a.txt", "figures", "other.txt"]


def test_a_killed_run_leaves_what_was_there_and_the_next_one_tidies_up(tmp_path):
    path = tmp_path / "report.json"
    atomic.write_json(path, {"n": 1})
    script = (
        f"import os\nfrom seal_datasets import atomic\nwith atomic.replacing({str(path)!r}) as unfinished:\n"
        "    unfinished.write_text('{')\n    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert json.loads(path.read_text()) == {"n": 1}
    assert len(names(tmp_path)) == 2
    atomic.write_json(path, {"n": 2})
    assert names(tmp_path) == ["report.json"]


def test_a_link_is_followed_permissions_stay_and_a_device_is_written_to(tmp_path):
    real = tmp_path / "real.txt"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link.txt").symlink_to(real)
    atomic.write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640
    atomic.write_text(os.devnull, "x")
    assert Path(os.devnull).is_char_device()


def test_what_cannot_be_written_is_known_before_any_work(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for place, folder, message in (
        ("folder", False, "it is a folder, and a file is needed"),
        ("file", True, "it is a file, and a folder is needed"),
        ("file/out.parquet", False, "file is a file, and a folder is needed"),
        ("file/deep/out", True, "file is a file, and a folder is needed"),
        ("x" * 300, False, "cannot write"),
        ("a\0b", False, "cannot write"),
        ("/proc/nothing/out.parquet", False, "cannot write"),
    ):
        with pytest.raises(DataError, match=message):
            atomic.check_writable(tmp_path / place, folder=folder)
    atomic.check_writable(tmp_path / "new/deep/out.parquet")
    atomic.check_writable(tmp_path / "file")
    atomic.check_writable(tmp_path / "folder", folder=True)
    assert names(tmp_path) == ["file", "folder"]


HOLDER = """
import sys
from seal_datasets import atomic
with atomic.occupying(sys.argv[1], "an audit of pairs.jsonl"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_folder_belongs_to_one_process_until_it_ends(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "held\n"
        message = f"is in use: process {other.pid} on this machine runs an audit of pairs.jsonl"
        with pytest.raises(DataError, match=message), atomic.occupying(tmp_path, "an audit"):
            pass
        other.kill()
    with atomic.occupying(tmp_path, "an audit"):
        pass
    with atomic.occupying(tmp_path, "an audit"):
        pass


def test_processes_have_names_that_no_later_one_shares():
    assert is_alive(this_process())
    number = this_process().rpartition(":")[2].partition("@")[0]
    assert number == str(os.getpid())
    assert not is_alive(f"here:{number}@1")
    assert not is_alive("here:99999999@5")
    assert not is_alive("here:nonsense")


def _writers(tree):
    """Names of the called methods that write files; `table.to_csv(index=False)` without a place returns text."""
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)]
    return {call.func.attr for call in calls if call.func.attr in WRITERS and (call.args or call.func.attr != "to_csv")}


# Functions that write files, and where else they may be called: into a folder that `atomic` moves, a temporary folder, or
# beside the place with `atomic.move`.
WRITERS = {
    "write_text",
    "write_bytes",
    "to_parquet",
    "to_json",
    "to_csv",
    "ParquetWriter",
    "savefig",
    "save_model",
    "dump",
}
INSIDE = {
    "atomic.py": "is the one place",
    "report/figures.py": "draws into a folder of `filling`",
    "report/tables.py": "writes into a folder of `filling`",
    "audit/compare_figures.py": "draws into a folder of `filling`",
    "report/write.py": "`files.dump` returns text",
    "hub/viewer_tables.py": "writes into a folder of `apart` or `filling`",
    "endpoints/store_maintenance.py": "writes inside `replacing`",
    "rewards/part_files.py": "writes part files, which its own class puts in place",
    "rewards/train.py": "saves into a folder of `filling`",
    "rewards/doctor/multi_process.py": "writes into a temporary folder",
    "evaluate_modules/app.py": "writes into a temporary folder",
}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_is_written_through_one_place(path):
    if str(path.relative_to(ROOT)) not in INSIDE:
        assert _writers(ast.parse(path.read_text("utf-8"))) == set()

"""The folder of a run is kept in a dataset on a double of the Hub, and resumed from there on another machine."""

import sqlite3
from contextlib import closing

import pytest

from tests.hub.hub_double import READ_TOKEN

REPO = "tester/run"
FETCH = "from seal_datasets.hub.kept_run import KeptRun\nprint(KeptRun({!r}, 'tester/run').fetch())"
KEEP = "from seal_datasets.hub.kept_run import KeptRun\nprint(KeptRun({!r}, 'tester/run').keep())"


@pytest.fixture
def folder(tmp_path):
    """A run's folder: a store, a table, a page, and what must never leave it or be read again."""
    folder = tmp_path / "run"
    (folder / "rewards").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "labels.sqlite")) as store, store:
        store.execute("CREATE TABLE labels (text TEXT)")
        store.execute("INSERT INTO labels VALUES ('yes')")
    (folder / "rewards" / "scores.sqlite").write_bytes((folder / "labels.sqlite").read_bytes())
    (folder / "pairs.parquet").write_bytes(b"PAR1")
    (folder / "models" / "post" / "checkpoint-3").mkdir(parents=True)
    (folder / "models" / "post" / "checkpoint-3" / "model.safetensors").write_bytes(b"half")
    for name in ("training_args.bin", ".seal-lock", "empty.csv", "labels.sqlite-journal"):
        (folder / name).write_bytes(b"x" if name != "empty.csv" else b"")
    (folder / "link.md").symlink_to("/etc/hostname")
    return folder


def test_a_run_goes_to_a_private_dataset_and_comes_back_elsewhere(hub, hub_client, folder, tmp_path):
    kept = hub_client(KEEP.format(str(folder)))
    assert kept.stdout.split() == ["True"], kept.stderr
    assert hub.repos["dataset", REPO].private
    files = {".gitattributes", "labels.sqlite", "pairs.parquet", "rewards/scores.sqlite", "seal-run.md"}
    assert set(hub.files("dataset", REPO)) == files
    elsewhere = tmp_path / "elsewhere"
    fetched = hub_client(FETCH.format(str(elsewhere)))
    assert fetched.stdout.split() == ["3"], fetched.stderr
    with closing(sqlite3.connect(elsewhere / "labels.sqlite")) as store:
        assert store.execute("SELECT text FROM labels").fetchall() == [("yes",)]
    assert (elsewhere / "rewards" / "scores.sqlite").is_file()
    assert hub_client(FETCH.format(str(elsewhere))).stdout.split() == ["0"]  # it is of the last commit


def test_a_fetch_that_fails_leaves_the_folder_empty_and_is_done_again(hub, hub_client, folder, tmp_path):
    hub_client(KEEP.format(str(folder)))
    elsewhere = tmp_path / "elsewhere"
    hub.fault("GET", "/resolve/.*/rewards/", times=50, status=403)
    failed = hub_client(FETCH.format(str(elsewhere)))
    assert "cannot fetch tester/run" in failed.stderr
    assert list(elsewhere.iterdir()) == []
    hub.heal()
    assert hub_client(FETCH.format(str(elsewhere))).stdout.split() == ["3"]
    names = {path.relative_to(elsewhere).as_posix() for path in elsewhere.rglob("*") if path.is_file()}
    assert names == {".seal-kept", "labels.sqlite", "pairs.parquet", "rewards/scores.sqlite"}


def test_a_folder_that_cannot_be_written_is_named(hub, hub_client, folder, tmp_path):
    hub_client(KEEP.format(str(folder)))
    (tmp_path / "file").write_text("")
    assert (
        f"DataError: cannot write {tmp_path / 'file' / 'run'}"
        in hub_client(FETCH.format(str(tmp_path / "file" / "run"))).stderr
    )


def test_what_is_unchanged_is_no_commit_and_what_is_gone_is_gone(hub, hub_client, folder):
    for _ in range(2):
        kept = hub_client(KEEP.format(str(folder)))
    assert kept.stdout.split() == ["False"], kept.stderr
    n_commits = len(hub.repos["dataset", REPO].commits)
    (folder / "pairs.parquet").unlink()
    assert hub_client(KEEP.format(str(folder))).stdout.split() == ["True"]
    assert len(hub.repos["dataset", REPO].commits) == n_commits + 1
    assert "pairs.parquet" not in hub.files("dataset", REPO)


def test_an_empty_folder_makes_no_dataset(hub, hub_client, tmp_path):
    assert hub_client(KEEP.format(str(tmp_path / "nothing"))).stdout.split() == ["False"]
    assert hub.repos == {}


def test_a_second_machine_overwrites_nothing(hub, hub_client, folder, tmp_path):
    hub_client(KEEP.format(str(folder)))
    other = tmp_path / "other"
    hub_client(FETCH.format(str(other)))
    (other / "report.md").write_text("of the other machine")
    assert hub_client(KEEP.format(str(other))).stdout.split() == ["True"]
    (folder / "report.md").write_text("of this machine")
    refused = hub_client(KEEP.format(str(folder)))
    assert "another run has changed tester/run meanwhile" in refused.stderr
    assert hub.files("dataset", REPO)["report.md"] == b"of the other machine"
    refused = hub_client(FETCH.format(str(folder)))
    assert "holds a run that is not of the last state" in refused.stderr
    assert (folder / "report.md").read_text() == "of this machine"


def test_a_lost_answer_is_not_taken_for_another_machine(hub, hub_client, folder):
    hub_client(KEEP.format(str(folder)))
    (folder / "report.md").write_text("new")
    hub.fault("POST", r"/commit/main$", how="lost")
    kept = hub_client(KEEP.format(str(folder)))
    assert kept.stdout.split() == ["True"], kept.stderr
    assert hub_client(KEEP.format(str(folder))).stdout.split() == ["False"]


@pytest.mark.parametrize(
    ("files", "private", "why"),
    [
        ({"data.csv": "a\n1\n"}, True, "holds something other than a run"),
        ({"seal-run.md": "This dataset holds a run."}, False, "is public"),
    ],
)
def test_other_datasets_and_public_ones_are_refused(hub, hub_client, folder, files, private, why):
    before = dict(hub.put("dataset", REPO, files, private=private).commits[-1].files)
    for code in (FETCH, KEEP):
        assert why in hub_client(code.format(str(folder))).stderr
    assert dict(hub.files("dataset", REPO)) == before


def test_a_token_that_only_reads_is_refused_before_the_run(hub, hub_client, folder):
    assert "read-only" in hub_client(FETCH.format(str(folder)), token=READ_TOKEN).stderr


WATCH = """
import sqlite3, time
from pathlib import Path
from seal_datasets.hub.kept_run import KeptRun
store = sqlite3.connect({folder!r} + "/labels.sqlite")
run, said = KeptRun({folder!r}, "tester/run"), []
with run.keeping(said.append, seconds=0.05):
    store.execute("INSERT INTO labels VALUES ('unfinished')")  # a transaction that stays open
    limit = time.monotonic() + 30
    while not any("kept in" in line for line in said) and time.monotonic() < limit:
        time.sleep(0.02)
    store.commit()
print(chr(10).join(said))
"""


def test_a_run_is_kept_while_it_goes_on_whatever_the_hub_does(hub, hub_client, folder, tmp_path):
    hub.fault("POST", r"/preupload/main$", status=400)
    watched = hub_client(WATCH.format(folder=str(folder)))
    lines = watched.stdout.splitlines()
    assert lines[0].startswith("not kept this time: cannot publish tester/run"), watched.stderr
    assert lines.count("kept in the dataset tester/run") >= 2
    first, last = (
        next(each for each in commits if "labels.sqlite" in each.files)
        for commits in (hub.repos["dataset", REPO].commits, hub.repos["dataset", REPO].commits[::-1])
    )
    for commit, texts in ((first, ["yes"]), (last, ["yes", "unfinished"])):
        copy = tmp_path / "copy.sqlite"
        copy.write_bytes(commit.files["labels.sqlite"])
        with closing(sqlite3.connect(copy)) as store:
            assert [text for (text,) in store.execute("SELECT text FROM labels")] == texts


def test_a_damaged_store_is_named(hub, hub_client, folder):
    (folder / "labels.sqlite").write_bytes(b"no database" * 100)
    refused = hub_client(KEEP.format(str(folder)))
    assert "seal store repair" in refused.stderr
    assert "labels.sqlite" in refused.stderr

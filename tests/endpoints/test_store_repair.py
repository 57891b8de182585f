"""Damaged and foreign stores: nothing foreign is altered, and what is readable is saved."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from seal_datasets.cli import main
from seal_datasets.endpoints.store import Questions, ResponseStore, StoredResponse, subject_key
from seal_datasets.endpoints.store_repair import repair_store
from seal_datasets.errors import DataError

ASKED = Questions("m", "json_schema", ("a",))
N = 3000


def key(number):
    return subject_key(["m", number])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "labels.sqlite"
    with ResponseStore(path) as store:
        store.add([(key(n), StoredResponse(ASKED, json.dumps({"content": f"answer {n}"}), float(n))) for n in range(N)])
        store.note_batch("token", "m", "batch_1")
    return path


@pytest.fixture
def store(whole, tmp_path):
    return shutil.copy(whole, tmp_path / "labels.sqlite")


def flip(path, start, n_bytes=64):
    with open(path, "r+b") as file:
        file.seek(start)
        found = file.read(n_bytes)
        file.seek(start)
        file.write(bytes(byte ^ 0xFF for byte in found))


def offset_of(path, text):
    content = Path(path).read_bytes()
    return content.index(text)


def test_reading_a_damaged_store_says_what_can_be_done(store):
    page = offset_of(store, b"answer 1500") // 4096
    flip(store, page * 4096, 200)
    with ResponseStore(store) as damaged, pytest.raises(DataError, match=r"cannot read the store .*seal store repair"):
        damaged.get_many([key(n) for n in range(N)])
    with ResponseStore(store) as damaged, pytest.raises(DataError, match="seal store repair"):
        list(damaged.responses())


def test_repair_saves_everything_outside_a_damaged_page_and_keeps_the_file(store, capsys):
    page = offset_of(store, b"answer 1500") // 4096
    flip(store, page * 4096, 200)
    before = Path(store).read_bytes()
    assert main(["store", "repair", str(store)]) == 0
    kept = f"{store}.damaged"
    assert Path(kept).read_bytes() == before
    assert f"the damaged file is kept as {kept}" in capsys.readouterr().out
    with ResponseStore(store) as repaired:
        found = repaired.get_many([key(n) for n in range(N)])
        assert N - 120 < len(found) < N  # a page of 4,096 bytes holds fewer than 100 of these rows
        assert all(found[key(n)][0].response == {"content": f"answer {n}"} for n in range(N) if key(n) in found)
        assert found[key(7)][0].created == 7.0
        assert repaired.batches("m") == {"token": "batch_1"}
    assert main(["store", "repair", str(store)]) == 0  # a second time there is nothing to do
    assert "none damaged; nothing was changed" in capsys.readouterr().out


def damage_and_repair(store, page):
    flip(store, page * 4096, 4096)
    repaired = repair_store(store)
    with ResponseStore(store) as saved:
        assert len(list(saved.responses())) == repaired.n_saved == len(saved)
    # A page holds fewer than 120 responses; where it holds the questions, an index holds them too.
    assert repaired.n_saved >= N - 120


@pytest.mark.parametrize("seed", range(12))
def test_repair_saves_all_but_one_page_whichever_is_damaged(store, seed):
    damage_and_repair(store, 1 + (seed * 7919) % (os.path.getsize(store) // 4096 - 1))


def test_writing_to_a_damaged_store_says_what_can_be_done(store):
    flip(store, (os.path.getsize(store) // 4096 - 1) * 4096, 4096)
    entries = [(key(n), StoredResponse(ASKED, '{"content": "x"}', 0.0)) for n in range(N, N + 500)]
    with ResponseStore(store) as damaged, pytest.raises(DataError, match="seal store repair"):
        damaged.add(entries)


def test_a_response_whose_text_is_damaged_is_named_and_left_out_by_repair(store):
    flip(store, offset_of(store, b'"content": "answer 42"'), 3)
    with ResponseStore(store) as damaged, pytest.raises(DataError, match="seal store repair"):
        _ = damaged.get(key(42))[0].response
    repaired = repair_store(store)
    assert (repaired.n_saved, repaired.n_lost) == (N - 1, 1)


def test_a_damaged_first_line_is_mended_and_a_damaged_first_page_is_said(store, tmp_path):
    flip(store, 0, 16)
    with pytest.raises(DataError, match=r"cannot use .* it is not an SQLite file, or its beginning is damaged"):
        ResponseStore(store)
    before = Path(store).read_bytes()
    flip(store, 16, 500)
    worse = Path(store).read_bytes()
    with pytest.raises(DataError, match=r"nothing in .* can be saved: .*it is unchanged"):
        repair_store(store)
    assert Path(store).read_bytes() == worse
    Path(store).write_bytes(before)
    assert repair_store(store).n_saved == N


def test_a_store_in_use_is_not_repaired(store):
    flip(store, offset_of(store, b"answer 1500") // 4096 * 4096, 200)
    script = (
        "import sys\nfrom seal_datasets.endpoints.store import ResponseStore\n"
        f"store = ResponseStore({str(store)!r}); len(store); print('open', flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(DataError, match="in use by another process"):
            repair_store(store)
        other.communicate("\n")
    assert repair_store(store).kept is not None


def foreign(path, statements, wal=False):
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(statements)
    connection.close()
    return path


def contents(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.parametrize("wal", [False, True])
@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TABLE bookmarks (url TEXT)",
        "CREATE TABLE responses (id INTEGER, body TEXT)",
        "CREATE TABLE claims (id INTEGER)",
        "PRAGMA application_id = 77",
        "PRAGMA user_version = 9; CREATE TABLE t (x); DROP TABLE t",
    ],
)
def test_the_file_of_another_program_is_refused_and_never_altered(tmp_path, statements, wal):
    path = foreign(tmp_path / "theirs.sqlite", statements, wal)
    before = contents(tmp_path)
    with pytest.raises(DataError, match=r"cannot use .*theirs\.sqlite as a store of responses"):
        ResponseStore(path)
    with pytest.raises(DataError):
        repair_store(path)
    assert contents(tmp_path) == before


def test_merging_from_the_file_of_another_program_alters_neither(tmp_path, store, capsys):
    theirs = foreign(tmp_path / "theirs.sqlite", "CREATE TABLE bookmarks (url TEXT)")
    before = contents(tmp_path)
    assert main(["store", "merge", str(store), str(theirs)]) == 2
    assert "belongs to another program (tables: bookmarks)" in capsys.readouterr().err
    assert contents(tmp_path)["theirs.sqlite"] == before["theirs.sqlite"]


def test_a_store_lies_in_a_folder_of_any_name(tmp_path):
    path = tmp_path / "run#1 50%?" / "labels.sqlite"
    with ResponseStore(path) as store:
        store.put(key(1), ASKED, {"content": "x"})
    with ResponseStore(path) as store:
        assert len(store) == 1


def test_a_damaged_batch_does_not_keep_the_responses_from_being_saved(store):
    connection = sqlite3.connect(store)
    connection.execute("INSERT INTO batches VALUES (CAST(x'ff' AS TEXT), 'm', NULL)")
    connection.commit()
    connection.close()
    flip(store, (offset_of(store, b"answer 1500") // 4096) * 4096, 200)
    repaired = repair_store(store)
    assert 0 < repaired.n_saved < N
    with ResponseStore(store) as saved:
        assert saved.batches("m") == {"token": "batch_1"}

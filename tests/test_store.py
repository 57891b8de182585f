import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from seal_datasets.errors import DataError
from seal_datasets.store import ResponseStore, request_key


def test_key_depends_on_content_and_not_on_order():
    assert request_key({"model": "m", "n": 1}) == request_key({"n": 1, "model": "m"})
    assert request_key({"model": "m", "n": 1}) != request_key({"model": "m", "n": 2})


def test_what_was_put_is_there_for_the_next_process(tmp_path):
    path = tmp_path / "deep" / "labels.sqlite"
    with ResponseStore(path) as store:
        store.put("k", {"content": "é \n", "usage": None})
    with ResponseStore(path) as store:
        assert store.get("k") == {"content": "é \n", "usage": None}
        assert store.get("other") is None
        assert len(store) == 1


def test_a_killed_process_loses_nothing_it_finished(tmp_path):
    path = tmp_path / "labels.sqlite"
    script = f"""
import os
from seal_datasets.store import ResponseStore
store = ResponseStore({str(path)!r})
for i in range(50):
    store.put(str(i), {{"content": str(i)}})
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    with ResponseStore(path) as store:
        assert len(store) == 50
        assert store.get("49") == {"content": "49"}


def test_threads_share_a_store(tmp_path):
    with ResponseStore(tmp_path / "s.sqlite") as store, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.put(str(i % 20), {"content": str(i % 20)}), range(200)))
        assert len(store) == 20


def test_a_file_that_is_no_store_is_refused_by_name(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database, and long enough to be told apart from one " * 20)
    with pytest.raises(DataError, match=r"notes\.txt as a store"):
        ResponseStore(path)
    assert path.read_text().startswith("these are notes")
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(path).execute("select 1 from responses")

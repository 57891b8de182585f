import json
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest

from seal_datasets.endpoints import claims
from seal_datasets.endpoints.store import Questions, ResponseStore, subject_key
from seal_datasets.endpoints.store_maintenance import export_store, merge_store, prune_store, summarize_store
from seal_datasets.errors import DataError
from seal_datasets.owners import this_process

ASKED = Questions("m", "json_schema", ("a", "b"))
MORE = Questions("m", "json_schema", ("c",))


def key(number):
    return subject_key(["m", number])


def test_key_depends_on_content_and_not_on_order():
    assert subject_key([{"model": "m", "n": 1}]) == subject_key([{"n": 1, "model": "m"}])
    assert subject_key([{"model": "m", "n": 1}]) != subject_key([{"model": "m", "n": 2}])


def test_what_was_put_is_there_for_the_next_process(tmp_path):
    path = tmp_path / "deep" / "labels.sqlite"
    with ResponseStore(path) as store:
        store.put(key(1), ASKED, {"content": "é \n", "usage": None})
        store.put(key(1), MORE, {"content": "more"})
    with ResponseStore(path) as store:
        assert [(each.questions, each.response) for each in store.get(key(1))] == [
            (ASKED, {"content": "é \n", "usage": None}),
            (MORE, {"content": "more"}),
        ]
        assert store.get(key(2)) == []
        assert set(store.get_many([key(number) for number in range(2000)])) == {key(1)}
        assert len(store) == 2


def test_a_second_answer_to_the_same_request_replaces_the_first():
    with ResponseStore(":memory:") as store:
        store.put(key(1), ASKED, {"content": "old"})
        store.put(key(1), ASKED, {"content": "new"})
        assert [each.response["content"] for each in store.get(key(1))] == ["new"]


KILLED = """
import os
from seal_datasets.endpoints.store import Questions, ResponseStore, subject_key
store = ResponseStore({path!r})
for i in range(50):
    store.claim([subject_key(["m", i]), subject_key(["m", i + 100])])
    store.put(subject_key(["m", i]), Questions("m", "json_schema", ("a", "b")), {{"content": str(i)}})
os.kill(os.getpid(), 9)
"""


def test_a_killed_process_loses_nothing_it_finished_and_its_claims_lapse(tmp_path):
    path = tmp_path / "labels.sqlite"
    killed = subprocess.run([sys.executable, "-c", KILLED.format(path=str(path))], check=False)
    assert killed.returncode == -9
    with ResponseStore(path) as store:
        assert len(store) == 50
        assert store.get(key(49))[0].response == {"content": "49"}
        assert store.claim([key(100)]) == {key(100)}


def test_what_a_living_process_has_claimed_is_not_ours_until_it_lets_go(tmp_path):
    path = tmp_path / "s.sqlite"
    script = (
        "import sys; from seal_datasets.endpoints.store import ResponseStore, subject_key\n"
        f"store = ResponseStore({str(path)!r}); store.claim([subject_key(['m', n]) for n in (1, 2)])\n"
        "print('claimed', flush=True); sys.stdin.readline(); store.release([subject_key(['m', 1])])\n"
        "print('released', flush=True); sys.stdin.readline()"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with ResponseStore(path) as store:
        assert other.stdout.readline() == "claimed\n"
        assert store.claim([key(1), key(2), key(3)]) == {key(3)}
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "released\n"
        assert store.claim([key(1), key(2)]) == {key(1)}
        other.kill()
        other.wait()
        assert store.claim([key(2)]) == {key(2)}


def test_a_claim_from_another_machine_lapses_after_its_lease(tmp_path, monkeypatch):
    with ResponseStore(tmp_path / "s.sqlite") as theirs, ResponseStore(tmp_path / "s.sqlite") as ours:
        theirs._owner = "elsewhere:1"
        theirs.claim([key(1)])
        assert ours.claim([key(1)]) == set()
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 3600)
        assert ours.claim([key(1)]) == {key(1)}


def test_a_claim_of_a_zombie_ends_at_once(tmp_path):
    path = tmp_path / "s.sqlite"
    script = (
        "from seal_datasets.endpoints.store import ResponseStore, subject_key\n"
        f"ResponseStore({str(path)!r}).claim([subject_key(['m', 1])]); print('claimed', flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.read() == "claimed\n"
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
        os.kill(other.pid, 0)  # the system still knows its number
        with ResponseStore(path) as store:
            assert store.claim([key(1)]) == {key(1)}


def test_a_claim_of_an_earlier_process_with_the_same_number_ends_at_once(tmp_path):
    with ResponseStore(tmp_path / "s.sqlite") as earlier, ResponseStore(tmp_path / "s.sqlite") as ours:
        earlier._owner = f"{this_process().partition('@')[0]}@1"  # the number is reused, the start time is not
        earlier.claim([key(1)])
        assert ours.claim([key(1)]) == {key(1)}


def test_a_lease_outlives_a_batch(tmp_path, monkeypatch):
    # A double of a day of waiting: renewals come every few milliseconds, and the lease ends sooner than the wait.
    monkeypatch.setattr(claims, "_RENEWAL_SECONDS", 0.01)
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.5)
    with ResponseStore(tmp_path / "s.sqlite") as theirs, ResponseStore(tmp_path / "s.sqlite") as ours:
        theirs._owner = "elsewhere:1"
        theirs.claim([key(1)])
        time.sleep(1.0)
        assert ours.claim([key(1)]) == set()
        theirs.close()
        time.sleep(0.6)
        assert ours.claim([key(1)]) == {key(1)}


def test_threads_share_a_store(tmp_path):
    with ResponseStore(tmp_path / "s.sqlite") as store, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.put(key(i % 20), ASKED, {"content": str(i % 20)}), range(200)))
        assert len(store) == 20


def test_merging_adds_what_is_missing_and_keeps_what_is_there(tmp_path):
    with ResponseStore(tmp_path / "a.sqlite") as ours, ResponseStore(tmp_path / "b.sqlite") as theirs:
        ours.put(key(1), ASKED, {"content": "ours"})
        for number in range(1, 1203):
            theirs.put(key(number), ASKED, {"content": "theirs"})
        assert merge_store(ours, theirs) == 1201
        assert merge_store(ours, theirs) == 0
        assert ours.get(key(1))[0].response["content"] == "ours"
        assert ours.get(key(1202))[0].created == theirs.get(key(1202))[0].created
        assert len(list(ours.responses())) == 1202


def test_pruning_takes_what_meets_every_condition():
    with ResponseStore(":memory:") as store:
        store.put(key(1), ASKED, {"content": "x", "finish_reason": "length"})
        store.put(key(2), ASKED, {"content": "x", "finish_reason": "stop"})
        store.put(key(2), Questions("other", "json_schema", ("a",)), {"content": "x", "finish_reason": "length"})
        assert [(each.model, each.n_responses, each.n_subjects) for each in summarize_store(store)] == [
            ("m", 2, 2),
            ("other", 1, 1),
        ]
        assert prune_store(store, model="m", finish_reason="length") == 1
        assert prune_store(store, before=0.0) == 0
        assert prune_store(store, before=time.time() + 1) == 2
        with pytest.raises(DataError, match="needs a condition"):
            prune_store(store)


def test_a_file_that_is_no_store_is_refused_by_name(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database, and long enough to be told apart from one " * 20)
    with pytest.raises(DataError, match=r"notes\.txt as a store"):
        ResponseStore(path)
    assert path.read_text().startswith("these are notes")


def test_a_store_of_another_version_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / "old.sqlite")
    connection.execute("CREATE TABLE responses (key TEXT PRIMARY KEY, response TEXT NOT NULL)")
    connection.close()
    with pytest.raises(DataError, match=r"old\.sqlite.*another version"):
        ResponseStore(tmp_path / "old.sqlite")


def test_a_full_disk_stops_with_everything_kept(tmp_path):
    with ResponseStore(tmp_path / "s.sqlite") as store:
        store.put(key(0), ASKED, {"content": "first"})
        store._connection.execute("PRAGMA max_page_count = 20")  # SQLite's own way to run out of room

        def fill():
            for number in range(1, 100):
                store.put(key(number), Questions("m", "json_schema", (str(number),)), {"content": "x" * 4000})

        with pytest.raises(DataError, match=r"cannot write to the store .*full; earlier responses are kept"):
            fill()
        kept = len(store)
        assert store.get(key(0))[0].response == {"content": "first"}
        store._connection.execute("PRAGMA max_page_count = 100000")
        store.put(key(1000), Questions("new", "json_schema", ("z",)), {"content": "after"})
        assert len(store) == kept + 1
        assert store.get(key(1000))[0].questions.model == "new"


READER = """
import os, platform, sqlite3, sys
from seal_datasets.endpoints.store import ResponseStore, Questions, subject_key
from seal_datasets.errors import DataError
os.setuid(65534)
with ResponseStore(sys.argv[1]) as store:
    print(store.get(subject_key(["m", 1]))[0].response["content"])
    try:
        store.put(subject_key(["m", 2]), Questions("m", "k", ()), {})
    except DataError as error:
        print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_a_store_for_reading_only_can_be_read_and_says_so_when_written():
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = f"{folder}/s.sqlite"
        with ResponseStore(path) as store:
            store.put(key(1), ASKED, {"content": "kept"})
        os.chmod(path, 0o444)
        done = subprocess.run([sys.executable, "-c", READER, path], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("kept\n"), done.stderr
    assert "is read-only" in done.stdout


def test_export_writes_every_response_as_a_row(tmp_path):
    with ResponseStore(tmp_path / "s.sqlite") as store:
        store.put(key(1), ASKED, {"content": "é", "finish_reason": "stop", "usage": {"prompt_tokens": 7}})
        store.put(key(2), MORE, {"content": None})
        assert export_store(store, tmp_path / "out.parquet") == 2
    first, second = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert (first["subject"], first["asked"], first["content"]) == (key(1).hex(), ["a", "b"], "é")
    assert (first["prompt_tokens"], first["completion_tokens"], second["content"]) == (7, None, None)
    assert abs(first["created"].timestamp() - time.time()) < 60
    assert [path.name for path in tmp_path.glob("out*")] == ["out.parquet"]


def test_odd_contents_and_counts_are_null_in_the_export(tmp_path):
    odd = {"content": {"a": 1}, "finish_reason": 3, "usage": {"prompt_tokens": "12", "completion_tokens": 1.5}}
    with ResponseStore(":memory:") as store:
        store.put(key(1), ASKED, odd)
        assert export_store(store, tmp_path / "out.parquet") == 1
    row = pq.read_table(tmp_path / "out.parquet").to_pylist()[0]
    assert [row[name] for name in ("content", "finish_reason", "prompt_tokens", "completion_tokens")] == [None] * 4
    assert json.loads(row["response"]) == odd


def test_a_read_only_store_of_an_earlier_version_knows_no_dialects():
    with ResponseStore(":memory:") as store:
        store.keep_dialect("http://x", {"limit": "max_tokens"})
        assert store.dialect("http://x") == {"limit": "max_tokens"}
        store._connection.execute("DROP TABLE dialects")
        assert store.dialect("http://x") is None

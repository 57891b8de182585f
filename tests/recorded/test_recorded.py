"""The recordings answer what they are for, and name no machine."""

import platform
import sqlite3

import pytest

from seal_datasets.audit.label_step import asked_features, describe_label_plan
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.data.load import load_pairs
from tests.recorded import FOLDER, RECORDINGS, merge


def test_an_audit_of_the_recorded_rows_asks_nothing_that_is_not_recorded(recorded_demo, tmp_path):
    merge(tmp_path / "labels.sqlite", RECORDINGS[0])
    settings = AuditSettings(labeler="local")
    pairs, _ = load_pairs(recorded_demo)
    plan = describe_label_plan(pairs, asked_features(settings), settings, tmp_path / "labels.sqlite")
    assert " 0 requests" in plan, f"run `python -m tests.recorded.record`, see its head; asked would be {plan}"


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_a_recording_is_small_and_names_no_machine(path):
    assert path.stat().st_size < 200_000
    content = path.read_bytes()
    for word in (platform.node(), "/tmp/", "/home/", "/root/", "/usr/", str(FOLDER.parents[1])):
        assert word.encode() not in content
    store = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)
    assert [store.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("claims", "batches")] == [0, 0]
    assert store.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    store.close()

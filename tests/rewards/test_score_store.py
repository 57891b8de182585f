"""Rewards kept by content: shared by processes, found after a crash, refused on a full disk."""

import hashlib
import sqlite3
from contextlib import closing

import pytest

from seal_datasets.cli import main
from seal_datasets.data.texts import Exchange
from seal_datasets.errors import DataError
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.options import ModelOptions
from seal_datasets.rewards.score_store import ScoreStore, repair_scores
from tests.rewards.test_classifier import EXCHANGES

MODEL = b"m" * 16


def test_what_one_process_kept_every_other_finds(tmp_path):
    with ScoreStore(tmp_path, writer=0) as first, ScoreStore(tmp_path, writer=1) as second:
        first.put(MODEL, {b"a": 1.5, b"b": -2.0})
        second.put(MODEL, {b"c": 0.25})
    with ScoreStore(tmp_path, writer=7) as third:
        assert third.get(MODEL, [b"a", b"b", b"c", b"d"]) == {b"a": 1.5, b"b": -2.0, b"c": 0.25}
        assert third.get(b"another model", [b"a"]) == {}
        assert len(third) == 3


def test_what_is_no_number_is_not_kept(tmp_path):
    with ScoreStore(tmp_path) as store:
        store.put(MODEL, {b"a": float("nan"), b"b": float("inf"), b"c": 1.0})
        assert store.get(MODEL, [b"a", b"b", b"c"]) == {b"c": 1.0}


def test_a_rerun_computes_nothing_and_other_weights_everything(tmp_path, reward_models, monkeypatch):
    with ScoreStore(tmp_path) as store:
        first = RewardModel(reward_models["post"]).score(EXCHANGES, store=store)
        assert len(store) == 4  # two of the five texts are the same
        model = RewardModel(reward_models["post"], over_length="truncate")  # decides nothing about short texts
        monkeypatch.setattr(model, "_padded", None)
        assert model.score(EXCHANGES, store=store) == first
        RewardModel(reward_models["pre"]).score(EXCHANGES, store=store)
        assert len(store) == 8


def test_a_full_disk_is_said_and_what_was_kept_is_safe(tmp_path):
    with ScoreStore(tmp_path) as store:
        store.put(MODEL, {b"a": 1.0})
        store._own.execute("PRAGMA max_page_count = 3")  # SQLite's own limit, as a disk that is full would set it
        with pytest.raises(DataError, match="cannot store more rewards"):
            store.put(MODEL, {bytes([n % 256]) * 300 + str(n).encode(): 1.0 for n in range(500)})
        assert store.get(MODEL, [b"a"]) == {b"a": 1.0}


def test_a_resumed_run_scores_only_what_a_full_disk_kept_it_from_storing(tmp_path, reward_models, monkeypatch):
    model = RewardModel(reward_models["post"], options=ModelOptions(tokens_per_batch=256))
    forward, n_forwarded = model.model.forward, []

    def counted(**inputs):
        n_forwarded.append(len(inputs["input_ids"]))
        return forward(**inputs)

    monkeypatch.setattr(model.model, "forward", counted)
    texts = [Exchange("Hi", [], f"{'yes ' * 9}{n}") for n in range(200)]
    with ScoreStore(tmp_path) as store:
        store._own.execute("PRAGMA max_page_count = 3")
        with pytest.raises(DataError, match="cannot store more rewards"):
            model.score(texts, store=store)
        kept = len(store)
        assert 0 < kept < 200
        assert sum(n_forwarded) >= kept
    n_forwarded.clear()
    with ScoreStore(tmp_path) as store:
        scored = model.score(texts, store=store)
        assert sum(n_forwarded) == 200 - kept
        assert len(store) == 200
        n_forwarded.clear()
        assert model.score(texts, store=store) == scored
        assert n_forwarded == []
    assert all(each.status == "ok" for each in scored)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="choose a writable folder"):
        ScoreStore(tmp_path / "file")


@pytest.mark.parametrize("name", ["run#1", "50% done?", "a b;c&d"])
def test_a_folder_of_any_name_keeps_the_rewards_of_every_process(tmp_path, name):
    folder = tmp_path / name
    with ScoreStore(folder, writer=0) as first:
        first.put(MODEL, {b"a": 1.5})
    with ScoreStore(folder, writer=1) as second:
        assert second.get(MODEL, [b"a"]) == {b"a": 1.5}
    assert [path.name for path in tmp_path.iterdir()] == [name]  # not "run", where the "#" would end an address


def test_the_file_of_another_program_is_refused_and_never_altered(tmp_path):
    for number, table in enumerate(("CREATE TABLE games (name TEXT)", "CREATE TABLE scores (player TEXT, points INT)")):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "scores-00000.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(table)
        before = path.read_bytes()
        for writer in (0, 1):  # to write to, and to read only
            with pytest.raises(DataError, match=r"another program"):
                ScoreStore(folder, writer=writer)
        with pytest.raises(DataError, match="another program"):
            repair_scores(folder)
        assert path.read_bytes() == before


def test_files_with_other_names_are_left_alone(tmp_path):
    (tmp_path / "scores-mine.sqlite").write_text("no store")
    with ScoreStore(tmp_path) as store:
        assert len(store) == 0


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_store_says_so_and_repair_saves_what_is_readable(tmp_path, seed, capsys):
    rewards = {hashlib.blake2b(bytes([n % 256, n // 256]), digest_size=16).digest(): float(n) for n in range(4000)}
    with ScoreStore(tmp_path) as store:
        store.put(MODEL, rewards)
    path = tmp_path / "scores-00000.sqlite"
    content = bytearray(path.read_bytes())
    page = 1 + (seed * 7919) % (len(content) // 4096 - 1)  # the first holds the schema
    content[page * 4096 : (page + 1) * 4096] = bytes(byte ^ 0xFF for byte in content[page * 4096 : (page + 1) * 4096])
    path.write_bytes(content)
    with ScoreStore(tmp_path) as store, pytest.raises(DataError, match=r"cannot read the store .*seal store repair"):
        store.get(MODEL, list(rewards))
    assert main(["store", "repair", str(tmp_path)]) == 0
    assert "scores-00000.sqlite.damaged" in capsys.readouterr().out
    with ScoreStore(tmp_path) as store:
        found = store.get(MODEL, list(rewards))
    assert all(rewards[key] == reward for key, reward in found.items())
    assert len(found) > 4000 - 200  # rows of one page, and of those above it

"""Stores with damaged pages: a command says so in one line, and after `seal store repair` only what was lost is asked again."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.endpoints import test_store_repair
from tests.endpoints.fault_proxy import FaultProxy
from tests.endpoints.test_store_repair import damage_and_repair, flip
from tests.endurance.conftest import ENDURANCE, LABELS, N_PAIRS
from tests.endurance.forks import done
from tests.endurance.test_kills import labelling, same_but_rewards, table_at

whole = test_store_repair.whole  # a fixture: a store of 3,000 responses


def pages_of(path, most):
    """Some pages behind the first, of every table and index."""
    n_pages = os.path.getsize(path) // 4096
    return list(range(1, n_pages, max(1, n_pages // most)))


@pytest.mark.parametrize("most", [2, pytest.param(20, marks=ENDURANCE)])
def test_responses(seal, pairs, tmp_path, most, record_property):
    work, store, out = tmp_path / "work", tmp_path / "labels.sqlite", tmp_path / "out.parquet"
    with FaultProxy(None, {}, answer=lambda request: LABELS) as proxy:
        command = ["featurize", pairs, *labelling(proxy.url, "--store", store), "--out", out]
        seal.run(command, work)
        expected, n_texts = out.read_bytes(), len(proxy.records)
        kept = shutil.copy(store, tmp_path / "kept")
        pages, asked, refused = pages_of(store, most), [], 0
        for page in pages:
            before = len(proxy.records)
            flip(shutil.copy(kept, store), page * 4096, 4096)
            running = seal.start(command, work)
            if running.wait() != 0:  # some pages are not read
                assert running.said.count("\nseal featurize: ") == 1, running.said
                assert "seal store repair" in running.said
                refused += 1
            assert out.read_bytes() == expected
            seal.run(["store", "repair", store], work)
            seal.run(command, work)
            assert out.read_bytes() == expected
            asked.append(len(proxy.records) - before)
            for left in tmp_path.glob("labels.sqlite?*"):
                left.unlink()
    assert n_texts == 2 * N_PAIRS
    assert refused
    record_property(
        "figures", f"{len(pages)} pages damaged, {refused} noticed by the run; of {n_texts} {asked} asked again"
    )


@pytest.mark.endurance
@pytest.mark.parametrize("most", [20])
def test_rewards(seal, pairs, small_models, tmp_path, most, record_property):
    work, out, store = tmp_path / "work", tmp_path / "out.parquet", tmp_path / "store"
    command = ["score", pairs, "--model", f"rm={small_models['post']}", "--out", out, "--store", store]
    seal.run(command, work)
    expected, file = table_at(out), store / "scores-00000.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:  # so many others that there are many pages
        connection.executemany(
            "INSERT INTO scores VALUES (?, ?, 0.5)", [(b"m" * 16, os.urandom(16)) for _ in range(3000)]
        )
    kept = shutil.copy(file, tmp_path / "kept")
    pages, scored = pages_of(file, most), []
    for page in pages:
        before = done(work)
        flip(shutil.copy(kept, file), page * 4096, 4096)
        running = seal.start(command, work)
        if running.wait() != 0:
            assert running.said.count("\nseal score: ") == 1, running.said
            assert "seal store repair" in running.said
        assert same_but_rewards(table_at(out), expected)
        seal.run(["store", "repair", store], work)
        seal.run(command, work)
        assert same_but_rewards(table_at(out), expected)
        scored.append(done(work) - before)
        for left in store.glob("*.damaged*"):
            left.unlink()
    record_property("figures", f"{len(pages)} pages damaged; of {2 * N_PAIRS} texts {scored} scored again")


@pytest.mark.endurance
def test_repair_saves_all_but_one_page_for_every_page(whole, tmp_path):
    for page in range(1, os.path.getsize(whole) // 4096):
        damage_and_repair(shutil.copy(whole, tmp_path / f"{page}.sqlite"), page)

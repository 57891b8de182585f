"""Two processes on one store or folder share the work, or the second is refused with the first one's process named."""

from __future__ import annotations

import time

import pytest

from tests.endpoints.fault_proxy import FaultProxy
from tests.endurance.conftest import LABELS, N_PAIRS
from tests.endurance.forks import done
from tests.endurance.test_kills import answer, labelling, paid, same_but_rewards, table_at, whole


def test_two_labelers_on_one_store_ask_for_nothing_twice(seal, pairs, tmp_path, record_property):
    work = tmp_path / "work"
    with FaultProxy(None, {"slow": 1.0}, slow_seconds=0.02, answer=lambda request: LABELS) as proxy:
        both = [
            seal.start(
                [
                    "featurize",
                    pairs,
                    *labelling(proxy.url, "--store", tmp_path / "labels.sqlite"),
                    "--out",
                    tmp_path / name,
                ],
                work,
            )
            for name in ("one.parquet", "other.parquet")
        ]
        assert [each.wait() for each in both] == [0, 0], both[0].said + both[1].said
        counts = paid(proxy)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    assert len(counts) == sum(counts.values()) == 2 * N_PAIRS
    record_property("figures", f"2 processes, {2 * N_PAIRS} texts, {sum(counts.values())} requests")


@pytest.mark.endurance
def test_two_labelers_to_one_output_leave_a_whole_one(seal, pairs, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out.parquet"
    with FaultProxy(None, {"slow": 1.0}, slow_seconds=0.02, answer=lambda request: LABELS) as proxy:
        command = ["featurize", pairs, *labelling(proxy.url), "--out", out]
        both = [seal.start(command, work) for _ in range(2)]
        assert [each.wait() for each in both] == [0, 0], both[0].said + both[1].said
        assert sum(paid(proxy).values()) == 2 * N_PAIRS
    assert whole(out).num_rows == N_PAIRS


def test_a_second_audit_of_a_folder_is_refused_and_goes_on_when_the_first_is_killed(
    seal, pairs, small_models, tmp_path
):
    work, out = tmp_path / "work", tmp_path / "out"
    with FaultProxy(None, {"slow": 1.0}, slow_seconds=0.1, answer=answer) as proxy:
        models = ("--pre", small_models["pre"], "--post", small_models["post"])
        command = ["audit", pairs, *labelling(proxy.url, *models), "--out", out]
        first = seal.start(command, work)
        assert first.kill_when(lambda: refuses(seal, command, work, first) and len(proxy.records) > 10)
        n_kept = len(proxy.records)
        second = seal.start(command, work)
        while len(proxy.records) < n_kept + 10:
            assert second.poll() is None, second.said
            time.sleep(0.01)
        assert second.kill_when(lambda: True)


def refuses(seal, command, work, first):
    """Whether a second run is refused, once the first has its folder."""
    if "2/5" not in first.said:
        return False
    second = seal.start(command, work)
    assert second.wait() == 2
    assert f"is in use: process {first.pid} on this machine runs an audit" in second.said
    return True


@pytest.mark.endurance
def test_two_scorers_to_one_folder_leave_whole_parts_or_the_second_is_refused(seal, pairs, small_models, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    options = [
        "--model",
        f"rm={small_models['post']}",
        "--tokens-per-batch",
        256,
        "--rows-per-file",
        20,
        "--window",
        10,
    ]
    seal.run(["score", pairs, *options, "--out", tmp_path / "whole"], work)
    expected = table_at(tmp_path / "whole")
    both = [seal.start(["score", pairs, *options, "--out", out], work) for _ in range(2)]
    codes = sorted(each.wait() for each in both)
    assert codes in ([0, 0], [0, 2]), both[0].said + both[1].said
    assert same_but_rewards(table_at(out), expected)
    n = done(work)
    seal.run(["score", pairs, *options, "--out", out], work)
    assert done(work) == n

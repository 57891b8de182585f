"""A disk that fills up at many points: one clear line, what was there stays, and with room again a run goes on where it was.

The disk is a real one of 8 MB (`tmpfs`) where the tests may mount it; elsewhere the system refuses files that grow too long.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.endpoints.fault_proxy import FaultProxy
from tests.endurance.conftest import ENDURANCE, LABELS, N_PAIRS
from tests.endurance.forks import done
from tests.endurance.test_kills import answer, labelling, models_of, paid, same_but_rewards, table_at, whole

SIZE = 8 << 20
FEW, MANY = (0, 24_000, 100_000), tuple(range(0, 400_000, 12_000))


class Disk:
    """A folder that holds no more than some bytes.

    Attributes:
        path (`Path`): The folder.
        kind (`str`): How it is limited.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        options = ["-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)]
        mount = shutil.which("mount")
        mounted = (
            mount is not None and subprocess.run([mount, *options], capture_output=True, check=False).returncode == 0
        )
        self.kind = "tmpfs" if mounted else "RLIMIT_FSIZE"

    @contextlib.contextmanager
    def leaving(self, n_bytes: int):
        """The environment of a process for which only so much room is left."""
        if self.kind != "tmpfs":
            yield {"SEAL_TEST_LARGEST_FILE": str(max(4096, n_bytes))}
            return
        ballast = self.path / "ballast"
        free = os.statvfs(self.path)
        with open(ballast, "wb") as file:
            file.truncate(0)
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - n_bytes))
        try:
            yield {}
        finally:
            ballast.unlink()

    def close(self) -> None:
        if self.kind == "tmpfs":
            subprocess.run(["umount", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.close()


def fill(seal, disk, command, work, room, check):
    """Run a command with ever more room; returns how often it was refused."""
    refused = 0
    for n_bytes in room:
        with disk.leaving(n_bytes) as environment:
            running = seal.start(command, work, environment)
            code = running.wait()
            lines = [line for line in running.said.splitlines() if line.startswith(f"seal {command[0]}: ")]
            assert code in (0, 2), f"{n_bytes} bytes: {running.said}"
            assert len(lines) == (code == 2), running.said
            assert "Traceback" not in running.said
        refused += code == 2
        check()
    return refused


def rooms(few=FEW, many=MANY):
    return pytest.mark.parametrize(
        "room", [pytest.param(few, id="few"), pytest.param(many, id="many", marks=ENDURANCE)]
    )


@rooms()
def test_featurize(seal, disk, pairs, tmp_path, room, record_property):
    work, out = tmp_path / "work", disk.path / "out.parquet"
    with FaultProxy(None, {}, answer=lambda request: LABELS) as proxy:
        options = labelling(proxy.url)
        seal.run(["featurize", pairs, *options, "--out", tmp_path / "whole.parquet"], work)
        expected, n_texts = (tmp_path / "whole.parquet").read_bytes(), len(proxy.records)
        seal.run(["featurize", pairs, "--labeler", "none", "--out", out], work)
        before = out.read_bytes()
        command = ["featurize", pairs, *options, "--out", out]

        def check():
            assert out.read_bytes() in (before, expected)

        refused = fill(seal, disk, command, work, room, check)
        seal.run(command, work)
        again = sum(paid(proxy).values()) - 2 * n_texts
    assert refused >= 2
    assert out.read_bytes() == expected
    assert again <= refused * 16 + 16  # an answer that finds no room is lost, and those that are under way then
    record_property("figures", f"{disk.kind}: refused {refused} times of {len(room)}; {n_texts} texts, {again} again")


@pytest.mark.endurance
@pytest.mark.parametrize("room", [MANY], ids=["many"])
def test_score(seal, disk, pairs, small_models, tmp_path, room, record_property):
    work, out = tmp_path / "work", disk.path / "out"
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
    expected, n_texts = table_at(tmp_path / "whole"), done(work)
    seal.run(["score", pairs, "--model", f"rm={small_models['pre']}", "--out", out, "--store", tmp_path / "s"], work)
    before, n_before = table_at(out), done(work)

    def check():
        found = table_at(out)
        assert found == before or same_but_rewards(found, expected)

    command = ["score", pairs, *options, "--out", out]
    refused = fill(seal, disk, command, work, room, check)
    seal.run(command, work)
    again = done(work) - n_before - n_texts
    assert refused >= 2
    assert same_but_rewards(table_at(out), expected)
    assert again <= refused * 2 * 32
    record_property("figures", f"{disk.kind}: refused {refused} times of {len(room)}; {n_texts} texts, {again} again")


@pytest.mark.endurance
@pytest.mark.parametrize("room", [tuple(range(0, 1_200_000, 75_000))], ids=["many"])
def test_audit(seal, disk, pairs, small_models, tmp_path, room, record_property):
    work, out = tmp_path / "work", disk.path / "out"
    with FaultProxy(None, {}, answer=answer) as proxy:
        options = labelling(proxy.url, "--pre", small_models["pre"], "--post", small_models["post"])
        seal.run(["audit", pairs, *options, "--out", tmp_path / "whole"], work)
        expected, n_texts = whole(tmp_path / "whole/pairs.parquet"), 2 * N_PAIRS

        def check():
            found = whole(out / "pairs.parquet")
            assert found is None or same_but_rewards(found, expected)

        refused = fill(seal, disk, ["audit", pairs, *options, "--out", out], work, room, check)
        seal.run(["audit", pairs, *options, "--out", out], work)
        again = sum(paid(proxy).values()) - 2 * n_texts
    assert refused >= 2
    assert same_but_rewards(whole(out / "pairs.parquet"), expected)
    assert "OK" in seal.run(["report", out, "--check"], work)
    record_property("figures", f"{disk.kind}: refused {refused} times of {len(room)}; {n_texts} texts, {again} again")


@rooms((1_000_000,), tuple(range(0, 7_000_000, 500_000)))
def test_train_pair(seal, disk, pairs, small_models, tmp_path, room, record_property):
    work, out = tmp_path / "work", disk.path / "out"
    options = ["--pre-epochs", 1, "--post-epochs", 2, "--max-length", 32, "--backbone", small_models["backbone"]]
    seal.run(["train-pair", pairs, *options, "--out", tmp_path / "whole"], work)
    expected = models_of(tmp_path / "whole")

    def check():
        assert all(model in expected for model in models_of(out))

    command = ["train-pair", pairs, *options, "--out", out]
    refused = fill(seal, disk, command, work, room, check)
    if disk.kind == "tmpfs":
        subprocess.run(["mount", "-o", f"remount,size={8 * SIZE}", str(disk.path)], check=True)
    seal.run(command, work)
    assert refused >= 1
    assert models_of(out) == expected
    record_property("figures", f"{disk.kind}: refused {refused} times of {len(room)}")

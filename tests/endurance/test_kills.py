"""`kill -9` at random moments: outputs are as they were or whole, and a resumed run pays nothing twice and ends as any other.

The endpoint is a double that counts; models are real encoders with untrained heads. Each run is `seal` as users run it.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.endpoints.fault_proxy import FaultProxy
from tests.endurance.conftest import ENDURANCE, FEATURES, LABELS, N_PAIRS
from tests.endurance.forks import Server, done

CONCURRENCY = 4
# The weights are random, so a reward's last digits depend on which texts share its batch.
PADDING_JITTER = 1e-5


def kills(few, many):
    """A short loop for every run of the tests, and a long one for `make endurance`."""
    return pytest.mark.parametrize("n_kills", [few, pytest.param(many, marks=ENDURANCE)])


@dataclass(frozen=True)
class Loop:
    """A command that is killed again and again, and how its progress is known.

    Attributes:
        seal (`Server`): Runs it.
        command (`Sequence`): Its words.
        work (`Path`): File of what its models computed.
        progress (`Callable[[], int]`): Requests and texts so far.
        check (`Callable[[], object]`): Called after each kill.
    """

    seal: Server
    command: Sequence[object]
    work: Path
    progress: Callable[[], int]
    check: Callable[[], object]

    def run(self, n_kills: int, total: int, seconds: float) -> int:
        """Kill the command until `n_kills` kills have landed, then let it end; returns how many landed amid its work.

        A kill comes once a random share of the remaining work is done, or after a random time, which is how writing is met.
        """
        rng = random.Random(n_kills)
        amid = landed = tried = 0
        while landed < n_kills:
            tried += 1
            assert tried < 3 * n_kills + 10, "too few kills land"
            goal = self.progress() + rng.randint(1, max(1, 2 * total // n_kills))
            deadline = time.monotonic() + rng.uniform(0.3, 1.2) * seconds
            running = self.seal.start(self.command, self.work)
            start = self.progress()
            if running.kill_when(lambda goal=goal, end=deadline: self.progress() >= goal or time.monotonic() > end):
                landed += 1
                amid += self.progress() > start
            else:
                assert running.wait() == 0, running.said
            self.check()
        self.seal.run(self.command, self.work)
        return amid


def whole(path: Path) -> pa.Table:
    """A table, or `None` where there is none; a cut file is an error."""
    return pq.read_table(path) if path.exists() else None


def same_but_rewards(one: pa.Table, other: pa.Table) -> bool:
    """Whether tables are equal, rewards within the jitter of padding."""
    assert one.column_names == other.column_names
    for name in one.column_names:
        mine, theirs = one[name].to_pylist(), other[name].to_pylist()
        if "reward_" in name and pa.types.is_floating(one[name].type):
            assert mine == pytest.approx(theirs, abs=PADDING_JITTER), name
        else:
            assert mine == theirs, name
    return True


def labelling(url, *more):
    words = ("--labeler", url, "--labeler-model", "m", "--features", ",".join(FEATURES))
    return [*words, "--concurrency", CONCURRENCY, *more]


def paid(proxy):
    return Counter(each["sha256"] for each in proxy.records if each["paid"])


def answer(request):
    """Labels, or a rewrite of the text that is asked about."""
    asked = request["messages"][-1]["content"]
    if "rewrite" not in json.dumps(request.get("response_format", {})):
        return LABELS
    n = "".join(letter for letter in asked if letter.isdigit())[:6]
    return json.dumps({"rewrite": f"Lay them into water that boils, and wait for some minutes, {n} in all."})


def undisturbed(seal, command, work):
    """Seconds that a whole run takes."""
    start = time.monotonic()
    seal.run(command, work)
    return time.monotonic() - start


@kills(1, 25)
@pytest.mark.parametrize("with_gold", [pytest.param(False, marks=ENDURANCE), True], ids=["", "gold"])
def test_featurize(seal, pairs, gold, tmp_path, n_kills, with_gold, record_property):
    work, out = tmp_path / "work", tmp_path / "killed.parquet"
    with FaultProxy(None, {"slow": 1.0}, slow_seconds=0.01, answer=answer) as proxy:
        options = labelling(proxy.url, *(["--gold", gold] if with_gold else []))
        seconds = undisturbed(seal, ["featurize", pairs, *options, "--out", tmp_path / "whole.parquet"], work)
        expected, n_texts = (tmp_path / "whole.parquet").read_bytes(), len(proxy.records)
        assert n_texts == len(paid(proxy)) == 2 * N_PAIRS
        seal.run(["featurize", pairs, "--labeler", "none", "--out", out], work)
        before = out.read_bytes()
        n_before = len(proxy.records)

        def check():
            assert out.read_bytes() in (before, expected)

        loop = Loop(seal, ["featurize", pairs, *options, "--out", out], work, lambda: len(proxy.records), check)
        amid = loop.run(n_kills, n_texts, seconds)
        again = len(proxy.records) - n_before - n_texts
    assert out.read_bytes() == expected
    assert sum(paid(proxy).values()) - 2 * n_texts <= amid * CONCURRENCY  # requests that were under way at a kill
    record_property("figures", f"{n_kills} kills landed, {amid} amid requests; {n_texts} texts, {again} asked again")


@pytest.mark.endurance
@pytest.mark.parametrize("n_kills", [25])  # a short loop is part of the audit's
def test_rewrite(seal, pairs, tmp_path, n_kills, record_property):
    work, out = tmp_path / "work", tmp_path / "killed.parquet"
    with FaultProxy(None, {"slow": 1.0}, slow_seconds=0.01, answer=answer) as proxy:
        options = ["--rewriter", proxy.url, "--rewriter-model", "m", "--share", 0.5, "--presets", "style,longer"]
        options += ["--similarity-model", "embedded", "--min-similarity", 0.0, "--concurrency", CONCURRENCY]
        seconds = undisturbed(seal, ["rewrite", pairs, *options, "--out", tmp_path / "whole.parquet"], work)
        expected, n_texts = (tmp_path / "whole.parquet").read_bytes(), len(proxy.records)
        assert n_texts == len(paid(proxy)) > N_PAIRS

        def check():
            assert not out.exists() or out.read_bytes() == expected

        loop = Loop(seal, ["rewrite", pairs, *options, "--out", out], work, lambda: len(proxy.records), check)
        amid = loop.run(n_kills, n_texts, seconds)
        again = len(proxy.records) - 2 * n_texts
    assert out.read_bytes() == expected
    assert sum(paid(proxy).values()) - 2 * n_texts <= amid * CONCURRENCY
    record_property("figures", f"{n_kills} kills landed, {amid} amid requests; {n_texts} texts, {again} asked again")


@kills(1, 25)
@pytest.mark.parametrize("to_folder", [pytest.param(False, marks=ENDURANCE), True], ids=["file", "folder"])
def test_score(seal, pairs, small_models, tmp_path, n_kills, to_folder, record_property):
    work, name = tmp_path / "work", "killed" if to_folder else "killed.parquet"
    options = ["--model", f"rm={small_models['post']}", "--tokens-per-batch", 128]
    options += ["--window", 10, "--rows-per-file", 20] if to_folder else []
    expected_at, out = tmp_path / name.replace("killed", "whole"), tmp_path / name
    seconds = undisturbed(seal, ["score", pairs, *options, "--out", expected_at], work)
    n_texts, expected = done(work), table_at(expected_at)
    assert n_texts == 2 * N_PAIRS
    seal.run(["score", pairs, "--model", f"rm={small_models['pre']}", "--out", out, "--store", tmp_path / "s"], work)
    before, n_before = table_at(out), done(work)

    def check():
        found = table_at(out)
        assert found is not None
        if found.num_rows == N_PAIRS and found["reward_rm_chosen"] == before["reward_rm_chosen"]:
            return
        assert same_but_rewards(found, expected)

    loop = Loop(seal, ["score", pairs, *options, "--out", out], work, lambda: done(work), check)
    amid = loop.run(n_kills, n_texts, seconds)
    again = done(work) - n_before - n_texts
    assert same_but_rewards(table_at(out), expected)
    assert again <= amid * 2 * 128 // 8  # two batches are under way at a kill; the shortest text has 8 tokens
    seal.run(["score", pairs, *options, "--out", out], work)
    assert done(work) - n_before - n_texts == again
    record_property("figures", f"{n_kills} kills landed, {amid} amid scoring; {n_texts} texts, {again} computed again")


def models_of(folder: Path) -> list[bytes]:
    """Weights of the models of a pair that are whole."""
    return [path.read_bytes() for path in sorted(folder.glob("p*/model.safetensors"))]


def outputs(folder: Path) -> set[Path]:
    """Names of the files that an audit is for."""
    kinds = (".json", ".md", ".png", ".parquet")
    return {path.relative_to(folder) for path in folder.rglob("*") if path.suffix in kinds}


def table_at(path: Path) -> pa.Table | None:
    """A table of a file, or of all files of a folder."""
    if not path.is_dir():
        return whole(path)
    files = sorted(path.glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]) if files else None


@kills(1, 25)
def test_audit(seal, pairs, gold, small_models, tmp_path, n_kills, record_property):
    work, out = tmp_path / "work", tmp_path / "killed"
    with FaultProxy(None, {"slow": 1.0}, slow_seconds=0.01, answer=answer) as proxy:
        options = labelling(proxy.url, "--gold", gold, "--rewrite-share", 0.3, "--similarity-model", "embedded")
        options += ["--min-similarity", 0.0, "--tokens-per-batch", 256]
        options += [f"--{name}={path}" for name, path in small_models.items() if name != "backbone"]
        seconds = undisturbed(seal, ["audit", pairs, *options, "--out", tmp_path / "whole"], work)
        n_requests, n_texts = len(proxy.records), done(work)
        expected = whole(tmp_path / "whole/pairs.parquet")

        def check():
            found = whole(out / "pairs.parquet")
            assert found is None or same_but_rewards(found, expected)
            for file in out.glob("*.json"):
                json.loads(file.read_text())

        loop = Loop(
            seal, ["audit", pairs, *options, "--out", out], work, lambda: len(proxy.records) + done(work), check
        )
        amid = loop.run(n_kills, n_requests + n_texts, seconds)
        asked, computed = len(proxy.records) - 2 * n_requests, done(work) - 2 * n_texts
    assert same_but_rewards(whole(out / "pairs.parquet"), expected)
    assert sum(paid(proxy).values()) - 2 * n_requests <= amid * CONCURRENCY
    assert computed <= amid * 2 * 256 // 8
    assert "OK" in seal.run(["report", out, "--check"], work)
    assert outputs(out) == outputs(tmp_path / "whole")
    record_property(
        "figures",
        f"{n_kills} kills landed, {amid} amid its work; of {n_requests} requests {asked} were sent again, "
        f"of {n_texts} texts {computed} were scored again",
    )


@pytest.mark.endurance
@pytest.mark.parametrize("n_kills", [20])
def test_train_pair(seal, pairs, small_models, tmp_path, n_kills, record_property):
    work, out = tmp_path / "work", tmp_path / "killed"
    options = ["--pre-epochs", 2, "--post-epochs", 3, "--max-length", 32, "--backbone", small_models["backbone"]]
    seconds = undisturbed(seal, ["train-pair", pairs, *options, "--out", tmp_path / "whole"], work)
    n_steps = done(work)

    expected = models_of(tmp_path / "whole")
    assert len(expected) == 2

    def check():
        assert all(model in expected for model in models_of(out))

    loop = Loop(seal, ["train-pair", pairs, *options, "--out", out], work, lambda: done(work), check)
    amid = loop.run(n_kills, n_steps, seconds)
    again = done(work) - 2 * n_steps
    assert models_of(out) == expected
    assert not list(out.glob("p*/checkpoint-*"))
    assert again <= amid * n_steps // 3  # an epoch of the post model, whose three have more steps than all others
    record_property("figures", f"{n_kills} kills landed, {amid} amid training; {n_steps} steps, {again} trained again")

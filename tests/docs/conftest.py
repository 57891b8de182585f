"""A folder that holds what the guides begin with; every command of every guide runs in it, once."""

import json
import os
import shlex
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
from datasets import Dataset

from seal_datasets.cli import main
from seal_datasets.data.demo import demo_path
from tests.docs.pages import ROOT
from tests.hub import hub_double
from tests.hub.hub_double import HubDouble
from tests.rewards.models import CHAT_TEMPLATE, save_llama

MODELS = ("my/reward-model", "my/reward-model-before", "my/other-model", "my/third-model")
CHECKPOINTS = ("my/checkpoint-0", "my/checkpoint-500", "my/checkpoint-1000")
TRAINED = ("models/pre", "models/post")


class Workspace:
    """Runs commands in one folder, in this process where that is possible; a command that ran already is not run again."""

    def __init__(self, folder: Path, fork_server, hub: HubDouble, capture) -> None:
        self.folder, self.fork_server, self.hub, self.capture = folder, fork_server, hub, capture
        self.ran: set[tuple[str, ...]] = set()
        self.opened: list[str] = []

    def run(self, words: list[str]) -> None:
        if tuple(words) in self.ran:
            return
        code, said = self._run(words)
        assert code == 0, f"{shlex.join(words)}\n{said[-3000:]}"
        self.ran.add(tuple(words))

    def _run(self, words: list[str]) -> tuple[int, str]:
        if words[0] != "seal":
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                words, env=environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300
            )
            return done.returncode, done.stderr
        if words[1] in ("publish", "install-metrics") or "me/audit" in words:
            # Places of caches, and the Hub's address, are fixed when a process starts.
            done = self.fork_server.run(
                ["-m", "seal_datasets.cli", *words[1:]],
                cwd=self.folder,
                env=self.hub.environment(self.folder / "hf", hub_double.WRITE_TOKEN),
            )
            return done.returncode, done.stderr
        return main(words[1:]), self.capture.readouterr().err


@pytest.fixture(scope="package")
def folder(tmp_path_factory, minilm, recorded):
    """Forty pairs of the demo, tiny models, scores, marked pairs and recorded answers; one guide has gold labels too."""
    folder = tmp_path_factory.mktemp("docs")
    rows = [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()][:60]
    bare = [{name: row[name] for name in ("pair_id", "chosen", "rejected")} for row in rows]
    gold = [{name: row[name] for name in row if name.startswith("gold_") or name == "pair_id"} for row in rows[:40]]
    (folder / "gold-guide").mkdir()
    (folder / "gold-guide" / "pairs.jsonl").write_text("\n".join(map(json.dumps, bare)))
    Dataset.from_list([row | {"gold_probability": 0.66} for row in gold]).to_csv(folder / "gold-guide" / "gold.csv")
    recorded(folder / "gold-guide" / "compared.labels.sqlite")
    rows, bare = rows[:40], bare[:40]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, bare)))
    scores = [row | {"scores_chosen": i % 7 - 2.0, "scores_rejected": i % 3 - 1.0} for i, row in enumerate(bare)]
    Dataset.from_list(scores).to_parquet(folder / "scores.parquet")
    (folder / "marked_pairs.jsonl").write_text("\n".join(json.dumps({"pair_id": row["pair_id"]}) for row in rows[:5]))
    for seed, name in enumerate((*MODELS, *CHECKPOINTS, *TRAINED)):
        path = str(folder / name)
        save_llama(path, minilm, seed, classifier=True, positions=2048, template=CHAT_TEMPLATE)
    for name in ("compared.labels.sqlite", "rewritten.rewrites.sqlite"):
        recorded(folder / name)
    (folder / "scripts").symlink_to(ROOT / "scripts")
    return folder


@pytest.fixture(scope="package")
def shared(folder, fork_server):
    with HubDouble() as hub:
        yield Workspace(folder, fork_server, hub, None)


@pytest.fixture
def workspace(shared, monkeypatch, capsys):
    """The folder as the current one; pages are opened in no browser, and the double's user has the name of the guides."""
    monkeypatch.chdir(shared.folder)
    monkeypatch.setattr(webbrowser, "open", lambda page: shared.opened.append(page) or True)
    monkeypatch.setattr(hub_double, "USER", "me")
    shared.capture = capsys
    return shared

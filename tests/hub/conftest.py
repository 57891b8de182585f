"""A finished audit to publish, and a way to run the command many times without importing everything each time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.hub.hub_double import WRITE_TOKEN, HubDouble

_SERVER = """
import os, sys
import seal_datasets.hub.publish_dataset, seal_datasets.hub.publish_report, seal_datasets.hub.publish_taxonomy
from seal_datasets.cli import main
seal_datasets.hub.commit._WAITS_SECONDS = (0.01, 0.01)
print("ready", flush=True)
for line in sys.stdin:
    token, home, out, *arguments = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if child:
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    with open(out, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.pop("HF_TOKEN", None)
    if token:
        os.environ["HF_TOKEN"] = token
    code = 3
    try:
        code = main(arguments)
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
"""


class Finished(NamedTuple):
    """What became of a command."""

    code: int
    said: str


class Seal:
    """Runs `seal` in forks of one process that knows only the double: each has the imports, and nothing else, of it."""

    def __init__(self, hub, folder: Path) -> None:
        self.hub, self.folder = hub, folder
        self.server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=hub.environment(folder / "home", token=None),
        )
        assert self.server.stdout.readline() == "ready\n"

    def __call__(self, *arguments, token=WRITE_TOKEN, kill_at=None) -> Finished:
        """Run a command; `kill_at` is a fault that hangs, at which the process is killed."""
        out = self.folder / "said.txt"
        self.server.stdin.write("\t".join([token or "", "", str(out), *map(str, arguments)]) + "\n")
        self.server.stdin.flush()
        child = int(self.server.stdout.readline())
        if kill_at is not None:
            assert kill_at.reached.wait(60), out.read_text()
            import os

            os.kill(child, signal.SIGKILL)
        code = int(self.server.stdout.readline())
        return Finished(code, out.read_text())


@pytest.fixture(scope="session")
def lasting_hub():
    """One double for all tests here, at one address."""
    with HubDouble() as double:
        yield double


@pytest.fixture
def hub(lasting_hub):
    """The double, empty."""
    lasting_hub.heal()
    for each in (lasting_hub.repos, lasting_hub.requests, lasting_hub._blobs, lasting_hub._offered):
        each.clear()
    return lasting_hub


@pytest.fixture(scope="session")
def seal(lasting_hub, tmp_path_factory):
    """The command, against the double."""
    run = Seal(lasting_hub, tmp_path_factory.mktemp("seal"))
    yield run
    run.server.stdin.close()
    run.server.wait(60)


@pytest.fixture(scope="session")
def audit_folder(enriched, tmp_path_factory):
    """A finished audit of 120 pairs."""
    from seal_datasets.audit.finish import with_columns
    from seal_datasets.report.analyze import derived_columns
    from seal_datasets.report.audited_models import PRE_AND_POST
    from seal_datasets.report.write import write_report
    from tests.report.test_write import RUN

    table, features = enriched
    folder = tmp_path_factory.mktemp("audit")
    with_columns(table, derived_columns(table, features), PRE_AND_POST).to_parquet(str(folder / "pairs.parquet"))
    run = {
        **RUN,
        "source": "/home/somebody/data/pairs.jsonl",
        "features": [asdict(feature) for feature in features],
        "settings": {"seed": 0, "limit": None, "split": None, "gold": None},
    }
    run["labeler"] = {**run["labeler"], "endpoint": "http://me:secret@lm.example/v1"}
    run["models"]["post"] = {**run["models"]["post"], "model": "/home/somebody/models/rm-post"}
    (folder / "run.json").write_text(json.dumps(run))
    write_report(folder)
    return folder


def audit_noisy_models(pairs, names, folder):
    """Audit models that score as the enriched pairs' `post` model does, each with noise of its own."""
    import numpy as np

    from seal_datasets import schema
    from seal_datasets.audit.precomputed import audit_own_rewards

    for number, name in enumerate(names):
        for side in schema.SIDES:
            old = np.array(pairs[schema.reward_column("post", side)][:], dtype=float)
            noise = np.random.default_rng([number, len(side)]).normal(size=len(old))
            pairs = pairs.add_column(f"{name}_{side}", (old + noise).tolist())
    audit_own_rewards(pairs, folder, {name: (f"{name}_chosen", f"{name}_rejected") for name in names})

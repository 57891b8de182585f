"""Runs `seal` in forks of one process that has the slow imports, so that a kill costs no wait, and counts their work.

A killed fork is to the disk and to servers what a killed `seal` is. What its models compute is appended to a file as it
happens, which a kill cannot undo.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_SERVER = """
import json, os, resource, signal, sys, time
import aiohttp, datasets, matplotlib.pyplot, openai, sentence_transformers, torch, transformers, trl
import seal_datasets.audit.run, seal_datasets.rewards.train, seal_datasets.rewrites.similarity
from seal_datasets.cli import main
from seal_datasets.endpoints import client
client._BACKOFF_SECONDS = 0.01

def note(path, n):
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{n}\\n".encode())
    os.close(file)

def count_work(path):
    kind = transformers.BertForSequenceClassification
    forward, step = kind.forward, transformers.Trainer.training_step

    def counted_forward(self, *arguments, **inputs):
        if not self.training:
            time.sleep(0.01)  # a larger model
            note(path, len(inputs["input_ids"]))
        return forward(self, *arguments, **inputs)

    def counted_step(*arguments, **options):
        note(path, 1)
        return step(*arguments, **options)

    kind.forward, transformers.Trainer.training_step = counted_forward, counted_step

def run(arguments, environment, said, work):
    os.environ.update(environment)
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    if limit := os.environ.get("SEAL_TEST_LARGEST_FILE"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    count_work(work)
    code = 3
    try:
        code = main(arguments)
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)

print("ready", flush=True)
ended = {}
for line in sys.stdin:
    order, *rest = json.loads(line)
    if order == "start":
        child = os.fork()
        if not child:
            run(*rest)
        print(child, flush=True)
        continue
    pid, wait = rest
    if pid not in ended:
        found, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
        if found:
            ended[pid] = os.waitstatus_to_exitcode(status)
    print(ended.get(pid, "running"), flush=True)
"""


class Running:
    """A `seal` that was started."""

    def __init__(self, server: Server, pid: int, said: Path) -> None:
        self._server, self.pid, self._said = server, pid, said

    @property
    def said(self) -> str:
        """What it has written to its output and error output."""
        return self._said.read_text("utf-8", "replace")

    def poll(self) -> int | None:
        """Exit code, or `None` while it runs."""
        answer = self._server.order("end", self.pid, False)
        return None if answer == "running" else int(answer)

    def wait(self) -> int:
        """Exit code, once it has ended."""
        return int(self._server.order("end", self.pid, True))

    def kill_when(self, reached: Callable[[], bool]) -> bool:
        """Kill it once something is reached; `False` where it ended before."""
        while not reached():
            if self.poll() is not None:
                return False
            time.sleep(0.001)
        if self.poll() is not None:
            return False
        os.kill(self.pid, signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL
        return True


class Server:
    """The process that is forked.

    Args:
        folder (`Path`): For caches and outputs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._n_started = 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HOME": str(folder / "home"), "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdout.readline() == "ready\n"

    def order(self, *words: object) -> str:
        """Give an order, and return the answer."""
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def start(self, arguments: Sequence[object], work: Path, environment: Mapping[str, str] | None = None) -> Running:
        """Start `seal` with arguments; `work` is the file to which its models' work is appended."""
        self._n_started += 1
        said = self.folder / f"said-{self._n_started}.txt"
        pid = self.order("start", list(map(str, arguments)), dict(environment or {}), str(said), str(work))
        return Running(self, int(pid), said)

    def run(self, arguments: Sequence[object], work: Path, environment: Mapping[str, str] | None = None) -> str:
        """Run `seal` to its end, which has to be a good one; returns what it said."""
        running = self.start(arguments, work, environment)
        code = running.wait()
        assert code == 0, running.said
        return running.said

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait(60)


def done(work: Path) -> int:
    """Texts that models have computed, or steps that they were trained."""
    return sum(map(int, work.read_text().split())) if work.exists() else 0

"""Fresh Python processes without the wait: forks of one process that has imported slow libraries which read no setting.

A fork gets its own environment, folder and arguments before it imports this package or a library of the Hub. Those fix their
addresses and caches at import, so a fork is to a test what `subprocess.run([sys.executable, ...])` is.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_SERVER = """
import json, os, runpy, sys, types
import httpx2, jinja2, matplotlib, pandas, pyarrow.parquet, scipy.stats, torch, torch.distributed, yaml
assert not any(name in sys.modules for name in ("huggingface_hub", "datasets", "evaluate", "seal_datasets"))

def start(arguments, environment, folder, out, errors):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate((os.devnull, out, errors)):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    option, *rest = arguments
    if option == "-c":
        sys.argv = ["-c", *rest[1:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    elif option == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        raise SystemExit(f"no way to run {arguments}")

print("ready", flush=True)
while line := sys.stdin.readline():
    child = os.fork()
    if not child:
        start(*json.loads(line))
        break
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class ForkServer:
    """Run Python code or modules in forks of one process.

    Args:
        folder (`Path`): Where outputs are kept until they are read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._read(120.0)

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | str,
        env: Mapping[str, str],
        timeout: float = 120.0,
        meanwhile: Callable[[], object] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `python` with some arguments, of which the first is `-c` or `-m`.

        Args:
            arguments (`Sequence[str]`): What follows `python`.
            cwd (`Path` or `str`): Working directory.
            env (`Mapping[str, str]`): The whole environment.
            timeout (`float`, defaults to 120): Seconds after which the process is killed.
            meanwhile (`Callable`, *optional*): Called once the process runs; when it returns, the process is killed.
        """
        out, errors = self._folder / "out", self._folder / "errors"
        for path in (out, errors):
            path.write_bytes(b"")
        job = json.dumps([list(arguments), dict(env), str(cwd), str(out), str(errors)])
        self._server.stdin.write(f"{job}\n".encode())
        child = int(self._read(60.0))
        try:
            if meanwhile is not None:
                meanwhile()
                os.kill(child, signal.SIGKILL)
            code = int(self._read(timeout))
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            self._read(60.0)
            raise
        return subprocess.CompletedProcess(list(arguments), code, out.read_text("utf-8"), errors.read_text("utf-8"))

    def close(self) -> None:
        """End the process that is forked."""
        self._server.stdin.close()
        self._server.wait(60)

    def _read(self, seconds: float) -> bytes:
        if not select.select([self._server.stdout], [], [], seconds)[0]:
            raise TimeoutError(f"the process did not end within {seconds:.0f} s")
        return self._server.stdout.readline()

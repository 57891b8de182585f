"""A double of the OpenAI Batch API on the loopback interface: files, batches, and faults on request.

It stands for a service that cannot run here; its routes and fields are those of the public reference.
"""

from __future__ import annotations

import email
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class BatchApi(ThreadingHTTPServer):
    """Answers each line of a batch by a function of its request.

    Args:
        answer: Takes the line's body and returns (status, content).
        polls: How often a batch is `in_progress` before it is done.
    """

    def __init__(self, answer: Callable[[dict], tuple[int, str]], polls: int = 1) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.answer, self.polls = answer, polls
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.lines: list[str] = []
        self.expire_after: int | None = None
        self.invalid: str | None = None
        self.die_after_create = False
        self.gone: set[str] = set()
        self.end_as: str | None = None
        self.most_enqueued: int | None = None
        self.refuse_when_created = False

    def __enter__(self) -> BatchApi:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()

    def create(self, request: dict) -> dict:
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": request["endpoint"],
            "completion_window": "24h",
            "created_at": 0,
            "input_file_id": request["input_file_id"],
            "status": "in_progress",
            "metadata": request.get("metadata"),
            "polls": self.polls,
        }
        return self.batches[name]

    def retrieve(self, name: str) -> dict:
        batch = self.batches[name]
        batch["polls"] -= 1
        if batch["status"] == "in_progress" and batch["polls"] < 0:
            self._finish(batch)
        return batch

    def _too_many(self, batch: dict) -> bool:
        return len(self.files[batch["input_file_id"]].splitlines()) > self.most_enqueued

    def _finish(self, batch: dict) -> None:
        if self.most_enqueued is not None and self._too_many(batch):
            error = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached for m in organization o."}
            batch |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
            return
        if self.invalid:
            batch |= {"status": "failed", "errors": {"object": "list", "data": [{"message": self.invalid}]}}
            return
        lines = self.files[batch["input_file_id"]].splitlines()
        done = lines if self.expire_after is None else lines[: self.expire_after]
        good, bad = [], []
        for number, line in enumerate(done):
            request = json.loads(line)
            self.lines.append(request["custom_id"])
            status, content = self.answer(request["body"])
            body = content if isinstance(content, dict) else {"error": {"message": content}}
            if status == 200:
                message = {"role": "assistant", "content": content}
                usage = {"prompt_tokens": 100, "completion_tokens": 20}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                body = {"id": "1", "model": request["body"]["model"], "choices": [choice], "usage": usage}
            result = {
                "id": str(number),
                "custom_id": request["custom_id"],
                "response": {"status_code": status, "request_id": "r", "body": body},
                "error": None,
            }
            (good if status == 200 else bad).append(json.dumps(result))
        for line in lines[len(done) :]:
            error = {
                "code": "batch_expired",
                "message": "This request could not be executed before the window expired.",
            }
            bad.append(json.dumps({"custom_id": json.loads(line)["custom_id"], "response": None, "error": error}))
        batch["status"] = self.end_as or ("completed" if len(done) == len(lines) else "expired")
        if not self.end_as:
            self.expire_after = None
        for kind, found in (("output_file_id", good), ("error_file_id", bad)):
            if found:
                batch[kind] = f"{batch['id']}_{kind}"
                self.files[batch[kind]] = "\n".join(found).encode() + b"\n"


class _Handler(BaseHTTPRequestHandler):
    server: BatchApi

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/files":
            parts = email.message_from_bytes(
                b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body
            )
            content = next(part for part in parts.get_payload() if part.get_filename())
            name = f"file_{len(self.server.files)}"
            self.server.files[name] = content.get_payload(decode=True)
            self._send(
                {
                    "id": name,
                    "object": "file",
                    "bytes": 0,
                    "created_at": 0,
                    "filename": "f",
                    "purpose": "batch",
                    "status": "processed",
                }
            )
            return
        request = json.loads(body)
        if self.server.refuse_when_created and self.server._too_many(request):
            self._send(
                {"error": {"message": "Enqueued token limit reached", "code": "token_limit_exceeded"}}, status=400
            )
            return
        batch = self.server.create(request)
        if self.server.die_after_create:
            self.close_connection = True
            self.connection.close()
            return
        self._send(batch)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if any(name in path for name in self.server.gone):
            self._send({"error": {"message": "No such object", "code": None}}, status=404)
            return
        if path == "/v1/batches":
            self._send({"object": "list", "data": list(self.server.batches.values()), "has_more": False})
        elif path.startswith("/v1/batches/"):
            self._send(self.server.retrieve(path.rpartition("/")[2]))
        else:
            self._send_bytes(self.server.files[path.split("/")[3]])

    def _send(self, content: dict, *, status: int = 200) -> None:
        self._send_bytes(json.dumps(content).encode(), status=status)

    def _send_bytes(self, payload: bytes, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *arguments: object) -> None:
        pass

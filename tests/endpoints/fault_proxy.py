"""An HTTP proxy that injects faults between a client and an OpenAI-compatible server.

It sits in front of a real server, or answers by itself when there is none, and spoils a chosen share of the answers in
the ways that gateways and networks do. Of each request it notes what it did and whether an intact answer was handed
over, which makes it the witness of what a client has paid for.

It also runs as a process of its own, and prints its URL first:

    python -m tests.endpoints.fault_proxy --upstream http://127.0.0.1:8000/v1 --log proxy.jsonl --fault rate_limited=0.1
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import aiohttp
from aiohttp import web
from yarl import URL

# In the order in which one draw is shared out among them.
FAULTS = (
    "rate_limited",
    "server_error",
    "unavailable",
    "slow",
    "hang",
    "cut",
    "garbage",
    "truncated_json",
    "wrong_model",
    "bad_status_line",
    "long_header",
    "bad_chunk",
    "bad_length",
)
WRONG_MODEL = "someone-else"

# Headers that belong to one connection, or that describe a body as it was encoded or framed.
_NOT_FORWARDED = {
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


# What no HTTP client can read; the connection is closed after it.
_MALFORMED = {
    "bad_status_line": b"HTTP/9.9 xx nonsense\r\n\r\n",
    "long_header": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 200_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "bad_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nabc\r\n0\r\n\r\n",
    "bad_length": b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n{}",
}


class _Answer(NamedTuple):
    """What is sent to a client; `genuine` when it is the upstream's own word, untouched."""

    status: int
    headers: dict[str, str]
    body: bytes
    genuine: bool = False

    @property
    def payable(self) -> bool:
        return self.genuine and self.status == 200


class FaultProxy:
    """An OpenAI-compatible endpoint that fails on purpose, as a context manager.

    With `upstream=None` it is a double: it answers `POST /v1/chat/completions` instantly with a fixed valid
    `chat.completion`, whose content is what `answer` gives for the request. With an upstream, each request goes there
    with its body, `Authorization` and other end-to-end headers unchanged. Answers are passed on whole, so this is not
    a proxy for streamed ones.

    At most one fault is drawn per POST, by order of arrival; other methods pass untouched and leave no record:

    - `rate_limited`: 429 with `retry-after-ms: 50`; upstream is not asked
    - `server_error`: 500; upstream is not asked
    - `unavailable`: 503; upstream is not asked
    - `slow`: the true answer after `slow_seconds`
    - `hang`: no answer; the connection is closed after `hang_seconds` unless the client leaves before
    - `cut`: the true headers and half of the body, then the connection is closed
    - `garbage`: 200 with an HTML page; upstream is not asked
    - `truncated_json`: 200 with the first half of the true body, and the right length for that half
    - `wrong_model`: the true body with another model's name
    - `bad_status_line`, `long_header` (200 kB), `bad_chunk`, `bad_length`: no HTTP; upstream is not asked

    An upstream's own refusal (any status but 200) is passed on as it is, under `ok` or `slow` and unpaid; an upstream
    that cannot be reached is answered with 502 and recorded as `upstream_failed`.

    Each record has `sha256` of the request's body, `fault` (one of those above, or `ok`), `paid` (whether an intact
    true answer was handed over whole, as far as the sending side can tell) and `time`.

    Args:
        upstream (`str`, *optional*): Base URL of the real server, e.g. `http://127.0.0.1:8000/v1`.
        faults (`Mapping[str, float]`): Probability of each fault; they sum to at most 1.
        seed (`int`): Of the draws.
        log (`Path`, *optional*): File to which each record is appended as a line of JSON, flushed at once.
        slow_seconds (`float`): Delay of a slow answer.
        hang_seconds (`float`): Longest time a hanging connection is kept open.
        answer (`Callable`): Content of the double's answer to a request; runs in the server's thread.
        port (`int`): Port on 127.0.0.1; a free one when 0.
    """

    def __init__(
        self,
        upstream: str | None,
        faults: Mapping[str, float],
        seed: int = 0,
        log: Path | None = None,
        slow_seconds: float = 0.5,
        hang_seconds: float = 30,
        *,
        answer: Callable[[dict[str, Any]], str] = lambda request: "yes",
        port: int = 0,
    ) -> None:
        if unknown := sorted(set(faults) - set(FAULTS)):
            raise ValueError(f"unknown faults {unknown}; known are {list(FAULTS)}")
        if not all(0 <= share <= 1 for share in faults.values()) or sum(faults.values()) > 1 + 1e-9:
            raise ValueError(f"probabilities must lie in [0, 1] and sum to at most 1, not {dict(faults)}")
        self._upstream = upstream.rstrip("/") if upstream is not None else None
        self._faults = {name: faults.get(name, 0.0) for name in FAULTS}
        self._random = random.Random(seed)
        self._log_path = log
        self._log: TextIO | None = None
        self._slow_seconds = slow_seconds
        self._hang_seconds = hang_seconds
        self._answer = answer
        self._port = port
        self._records: list[dict[str, Any]] = []
        self._sending = 0
        self._changed = threading.Condition()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base URL of the proxy, to be used in place of the upstream's."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def records(self) -> list[dict[str, Any]]:
        """What was done so far, oldest first; whoever has read an answer finds its record here."""
        with self._changed:
            # An answer can be read before the thread that sent it has noted so. A client that does not read could
            # keep it in that state, hence the limit.
            self._changed.wait_for(lambda: not self._sending, timeout=1)
            return [dict(record) for record in self._records]

    def __enter__(self) -> FaultProxy:
        if self._thread is not None:
            raise RuntimeError("a FaultProxy is entered once")
        if self._log_path is not None:
            self._log = open(self._log_path, "a", encoding="utf-8")
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self.__exit__()
            raise self._failure
        return self

    def __exit__(self, *exception: object) -> None:
        if self._failure is None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._log is not None:
            self._log.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=1 << 30)
        app.cleanup_ctx.append(self._client)
        app.router.add_route("*", "/v1/{path:.*}", self._handle)
        # Cancelled handlers are how a client's leaving is noticed. What is in flight at the end is not waited for.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.05)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            self._port = runner.addresses[0][1]
            self._started.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _client(self, app: web.Application) -> AsyncIterator[None]:
        # Idle connections are dropped before common servers drop them: only the faults asked for should be seen.
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        ) as self._session:
            yield

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method != "POST":
            return _response(await self._true_answer_or_502(request, body))
        fault = self._draw()
        digest = hashlib.sha256(body).hexdigest()
        if fault in ("ok", "slow"):
            return await self._deliver(request, body, digest, fault)
        if fault == "hang":
            self._note(digest, fault)
            await asyncio.sleep(self._hang_seconds)
            return _drop(request)
        if fault in _REFUSALS:
            self._note(digest, fault)
            return _response(_REFUSALS[fault])
        if fault in _MALFORMED:
            self._note(digest, fault)
            return _break_protocol(request, _MALFORMED[fault])
        return await self._spoil(request, body, digest, fault)

    def _draw(self) -> str:
        point = self._random.random()
        for name, share in self._faults.items():
            if point < share:
                return name
            point -= share
        return "ok"

    async def _deliver(self, request: web.Request, body: bytes, digest: str, fault: str) -> web.StreamResponse:
        paid = sending = False
        try:
            if fault == "slow":
                await asyncio.sleep(self._slow_seconds)
            answer = await self._true_answer_or_502(request, body)
            if not answer.genuine:
                fault = "upstream_failed"
            response = _response(answer)
            self._mark_sending(1)
            sending = True
            await _send_whole(request, response)
            paid = answer.payable
            return response
        finally:
            self._note(digest, fault, paid)
            if sending:
                self._mark_sending(-1)

    async def _spoil(self, request: web.Request, body: bytes, digest: str, fault: str) -> web.StreamResponse:
        try:
            answer = await self._true_answer_or_502(request, body)
        except BaseException:
            self._note(digest, fault)
            raise
        if not answer.payable:  # nothing there to spoil
            self._note(digest, "ok" if answer.genuine else "upstream_failed")
            return _response(answer)
        self._note(digest, fault)
        half = len(answer.body) // 2
        if fault == "truncated_json":
            return _response(_Answer(200, {"Content-Type": "application/json"}, answer.body[:half]))
        if fault == "wrong_model":
            return _response(
                answer._replace(body=json.dumps({**json.loads(answer.body), "model": WRONG_MODEL}).encode())
            )
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(answer.body)
        _flush_fully(request)
        await response.prepare(request)
        await response.write(answer.body[:half])
        return _drop(request, response)

    async def _true_answer_or_502(self, request: web.Request, body: bytes) -> _Answer:
        if self._upstream is None:
            return self._double(request, body)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED]
        url = self._upstream + request.raw_path.removeprefix("/v1")
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),
                data=body or None,
                headers=[*headers, ("Accept-Encoding", "identity")],
                allow_redirects=False,
            ) as response:
                kept = {name: value for name, value in response.headers.items() if name.lower() not in _NOT_FORWARDED}
                return _Answer(response.status, kept, await response.read(), genuine=True)
        except (aiohttp.ClientError, OSError) as error:
            return _error(502, "bad_gateway", f"upstream failed: {type(error).__name__}: {error}")

    def _double(self, request: web.Request, body: bytes) -> _Answer:
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            return _error(404, "not_found", "the double only has POST /v1/chat/completions")._replace(genuine=True)
        try:
            asked = json.loads(body)
        except ValueError:
            return _error(400, "invalid_request_error", "the body is not JSON")._replace(genuine=True)
        completion = {
            "id": "chatcmpl-double",
            "object": "chat.completion",
            "created": 0,
            "model": asked.get("model", "double"),
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": self._answer(asked)},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        return _json_answer(200, completion)._replace(genuine=True)

    def _note(self, digest: str, fault: str, paid: bool = False) -> None:
        record = {"sha256": digest, "fault": fault, "paid": paid, "time": time.time()}
        with self._changed:
            self._records.append(record)
            if self._log is not None:
                self._log.write(json.dumps(record) + "\n")
                self._log.flush()

    def _mark_sending(self, change: int) -> None:
        with self._changed:
            self._sending += change
            self._changed.notify_all()


def _json_answer(status: int, content: dict[str, Any], **headers: str) -> _Answer:
    return _Answer(status, {"Content-Type": "application/json", **headers}, json.dumps(content).encode())


def _error(status: int, code: str, message: str, **headers: str) -> _Answer:
    return _json_answer(status, {"error": {"message": message, "type": code, "param": None, "code": code}}, **headers)


_REFUSALS = {
    "rate_limited": _error(429, "rate_limit_exceeded", "injected: rate limited", **{"retry-after-ms": "50"}),
    "server_error": _error(500, "server_error", "injected: server error"),
    "unavailable": _error(503, "service_unavailable", "injected: unavailable"),
    "garbage": _Answer(200, {"Content-Type": "text/html"}, b"<html>gateway</html>"),
}


def _response(answer: _Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def _flush_fully(request: web.Request) -> None:
    """Make waiting for a write mean that all of it has left this process."""
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError("the client has left")
    request.transport.set_write_buffer_limits(high=0)


async def _send_whole(request: web.Request, response: web.Response) -> None:
    _flush_fully(request)
    await response.prepare(request)
    await response.write_eof()


def _drop(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Close the connection as it is; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return response if response is not None else web.Response()


def _break_protocol(request: web.Request, raw: bytes) -> web.StreamResponse:
    """Send what is no HTTP and close the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.write(raw)
        request.transport.close()
    return web.Response()


def _fault(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    return name, float(share)


def main(arguments: list[str] | None = None) -> None:
    """Run a proxy until interrupted or terminated."""
    parser = argparse.ArgumentParser(prog="python -m tests.endpoints.fault_proxy", description=__doc__.splitlines()[0])
    parser.add_argument("--upstream", help="base URL of the real server; without it the proxy answers by itself")
    parser.add_argument("--log", type=Path, help="file to append one JSON line per request to")
    parser.add_argument(
        "--fault", type=_fault, action="append", default=[], metavar="NAME=SHARE", help=f"one of {', '.join(FAULTS)}"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow-seconds", type=float, default=0.5)
    parser.add_argument("--hang-seconds", type=float, default=30)
    parser.add_argument("--port", type=int, default=0, help="a free one when 0")
    options = parser.parse_args(arguments)
    try:
        proxy = FaultProxy(
            options.upstream,
            dict(options.fault),
            options.seed,
            options.log,
            options.slow_seconds,
            options.hang_seconds,
            port=options.port,
        )
    except ValueError as error:
        parser.error(str(error))
    # A shell may have left interrupts ignored, and termination would skip the cleaning up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), proxy:
        sys.stdout.write(proxy.url + "\n")
        sys.stdout.flush()
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()

"""The HTTP client under an `EndpointClient`: malformed answers are lost connections, and an answer has a greatest size."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import openai

MOST_BYTES = 32 * 2**20
"""Greatest size of an answer, unpacked; a completion has some kilobytes."""

_FRAMING = ("content-encoding", "content-length", "transfer-encoding")


class AnswerTooLarge(httpx2.RemoteProtocolError):
    """An answer that is longer than `MOST_BYTES`; it is not read to its end."""


class BoundedClient(openai.DefaultAioHttpClient):  # type: ignore[misc, valid-type, unused-ignore]
    """The `openai` package's aiohttp client, with one kind of error for whatever is no HTTP answer, and a bound on size."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:  # noqa: ANN401 - as in the base class
        """Send a request and read its whole answer.

        Raises:
            httpx2.RemoteProtocolError: The answer is not HTTP, or ended early.
            AnswerTooLarge: The answer is too large.
        """
        try:
            answer = await super().send(request, **(options | {"stream": True}))
            try:
                body = bytearray()
                async for part in answer.aiter_bytes():  # unpacked piece by piece
                    body += part
                    if len(body) > MOST_BYTES:
                        raise AnswerTooLarge(f"the answer is larger than {MOST_BYTES:,} bytes")
            finally:
                await answer.aclose()
        except (httpx2.TimeoutException, AnswerTooLarge, asyncio.CancelledError):
            raise
        except Exception as error:  # aiohttp and its parsers raise errors of many classes
            if isinstance(error, httpx2.TransportError):
                raise
            raise httpx2.RemoteProtocolError(f"not an HTTP answer: {error}", request=request) from error
        headers = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in _FRAMING]
        status = answer.status_code
        if request.url.path.endswith("/chat/completions"):
            status = _status(status, bytes(body))
        return httpx2.Response(status, headers=headers, content=bytes(body), request=request)


def _status(status: int, body: bytes) -> int:
    """The status of an answer; routers put errors of their providers into answers with status 200."""
    if status != 200 or b'"error"' not in body[:1000] or b'"choices"' in body:
        return status
    try:
        error = json.loads(body)["error"]
        code = error.get("code") if isinstance(error, dict) else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return status
    if not error:
        return status
    return code if isinstance(code, int) and 400 <= code < 600 else 502

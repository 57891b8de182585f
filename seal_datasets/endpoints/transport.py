"""The HTTP client under an `EndpointClient`: malformed answers are lost connections, and an answer has a greatest size."""

from __future__ import annotations

import asyncio
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
        return httpx2.Response(answer.status_code, headers=headers, content=bytes(body), request=request)

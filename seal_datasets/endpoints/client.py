"""Chat requests to an OpenAI-compatible endpoint, as many at once as it bears.

A request ends in one of three ways: with an answer; with `RequestFailed`, when this one request cannot be answered and the
others can; or with `LabelerError`, when no request can (a refused key, an empty account, an unknown model, a server that
is gone). Overload is met by fewer requests at once and by waiting as long as the server asks.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import openai

from seal_datasets.endpoints.keys import key_for
from seal_datasets.errors import LabelerError

Item = TypeVar("Item")

_ATTEMPTS = 7
_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_MOST_UNANSWERED = 3
_ROUNDING = 1e-3
_NO_KEY = "none"
_OPENAI = "https://api.openai.com/v1"
_RETRIED_STATUS = (408, 409, 425, 429)


class RequestFailed(Exception):
    """One request that will not be answered.

    Attributes:
        reason (`str`): `request_rejected`, `timed_out`, `rate_limited`, `server_error`, `connection_lost`, `bad_response` or
            `wrong_model`.
        detail (`str`): What was found.
        retry_after (`float`, *optional*): Seconds after which it may be tried again; never when omitted.
    """

    def __init__(self, reason: str, detail: str, *, retry_after: float | None = None) -> None:
        self.reason = reason
        self.retry_after = retry_after
        self.detail = detail[:300]
        super().__init__(f"{reason}: {self.detail}")


class Throttle:
    """How many requests are under way at once: one more after each round of successes, half as many at overload.

    Args:
        most (`int`): Upper limit, where it starts.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.active = 0
        self._resume_at = 0.0
        self._cut_at = 0.0
        self._free = asyncio.Condition()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for room, and hold it for the length of the block."""
        async with self._free:
            await self._free.wait_for(lambda: self.active < max(1, int(self.limit)))
            self.active += 1
        try:
            wait = self._resume_at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            yield
        finally:
            async with self._free:
                self.active -= 1
                self._free.notify(2)

    def succeeded(self) -> None:
        """Let in one more for every full round of successes."""
        self.limit = min(float(self.most), self.limit + 1.0 / self.limit)

    def overloaded(self, wait: float) -> None:
        """Halve the limit, at most once a second, and hold all requests back for `wait` seconds."""
        now = time.monotonic()
        if now - self._cut_at > 1.0:
            self.limit = max(1.0, self.limit / 2.0)
            self._cut_at = now
        self._resume_at = max(self._resume_at, now + wait)


class ChatClient:
    """A model behind an OpenAI-compatible chat endpoint.

    Args:
        model (`str`): Name the endpoint knows the model by.
        base_url (`str`, *optional*): Endpoint, e.g. `http://localhost:8000/v1`; OpenAI's own when omitted.
        api_key (`str`, *optional*): Key for the endpoint, or one for each of several, of which it is sent its own (see
            `key_for`). It is passed to the `openai` client and kept nowhere else.
        concurrency (`int`, defaults to 16): Most requests under way at once.
        timeout (`float`, defaults to 300.0): Seconds one request may take.
        served_model (`str`, *optional*): Name the endpoint gives in its answers, where that is neither the model's name nor
            begins with it (a deployment's alias). An answer by another model is asked for again.

    Raises:
        LabelerError: No key was given and the default endpoint needs one, or the URL holds more than an address.
    """

    what = "labeler"
    hint = "is the server running, and does the URL end in /v1?"

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        concurrency: int = 16,
        timeout: float = 300.0,
        served_model: str | None = None,
    ) -> None:
        self.model = model
        self.concurrency = concurrency
        self.n_requests = 0
        self.n_attempts = 0
        self._served_model = served_model
        self._timeout = timeout
        self._unanswered = 0
        self._stop: Exception | None = None
        address = urlsplit(base_url or "")
        if address.username or address.password or address.query:
            raise LabelerError(
                f"the {self.what}'s URL holds a user name, password or query, and it will be written into reports; "
                "give the plain URL, and the key apart from it"
            )
        # A key meant for one service must not travel to another: an explicit URL never gets OPENAI_API_KEY.
        self._base_url = base_url
        own_key = key_for(base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI, api_key)
        self._api_key = own_key or (_NO_KEY if base_url else None)
        try:
            known = openai.OpenAI(base_url=self._base_url, api_key=self._api_key)
        except openai.OpenAIError as error:
            raise LabelerError(
                f"the {self.what} needs a key or the URL of an endpoint that needs none: {error}"
            ) from error
        self.url, self._key = str(known.base_url), known.api_key

    def api(self) -> openai.OpenAI:
        """The endpoint's other services, blocking; close it after use."""
        return openai.OpenAI(base_url=self._base_url, api_key=self._api_key, timeout=self._timeout, max_retries=5)

    def said(self, message: str) -> str:
        """What an endpoint says, fit for tables: in whole characters, and with stars for the key if it repeats that."""
        whole = _whole_characters(message)
        return whole.replace(self._key, "***") if self._api_key != _NO_KEY else whole

    def for_each(self, items: Iterator[Item], handle: Callable[[Item], Awaitable[None]]) -> None:
        """Handle items, several at once, each handler asking as it needs; blocks until all are handled.

        When one handler meets an error that ends the run, requests under way are awaited, none is begun, and it is raised.

        Args:
            items (`Iterator`): Read as needed, never ahead.
            handle (`Callable`): Coroutine function; it calls `ask`.

        Raises:
            LabelerError: The endpoint refuses to work.
        """
        self._stop = None
        self._unanswered = 0
        _in_its_own_loop(self._for_each(items, handle))

    async def _for_each(self, items: Iterator[Item], handle: Callable[[Item], Awaitable[None]]) -> None:
        async def work() -> None:
            for item in items:
                if self._stop is None:
                    try:
                        await handle(item)
                    except Exception as error:  # raised again below, once requests under way are in
                        self._stop = self._stop or error
                if self._stop is not None:
                    return

        self._throttle = Throttle(self.concurrency)
        async with openai.AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._api_key,
            timeout=self._timeout,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(),
        ) as self._api:
            await asyncio.gather(*(work() for _ in range(self.concurrency)))
        if self._stop is not None:
            raise self._stop

    async def ask(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Send one chat request, again after failures that may pass.

        Args:
            request (`Mapping[str, Any]`): Arguments of `chat.completions.create` other than the model.

        Returns:
            `dict[str, object]`: `content`, `finish_reason`, `refusal`, `usage`, `model`, `seconds`, and `top_logprobs` of the
            first token where they were asked for.

        Raises:
            RequestFailed: This request cannot be answered.
            LabelerError: No request can be answered.
        """
        failure = RequestFailed("not_asked", "the run stopped before this request")
        for attempt in range(_ATTEMPTS):
            async with self._throttle.slot():
                if self._stop is not None:
                    raise failure
                try:
                    return await self._attempt(request)
                except RequestFailed as error:
                    if error.retry_after is None:
                        raise
                    failure = error
            if failure.reason == "connection_lost" and self.n_requests == 0 and attempt > 0:
                raise self._gone(failure)
            if attempt + 1 < _ATTEMPTS:
                backoff = random.uniform(0.0, min(_LONGEST_BACKOFF_SECONDS, _BACKOFF_SECONDS * 2**attempt))
                await asyncio.sleep(max(backoff, failure.retry_after or 0.0))
        self._unanswered += 1
        if self._unanswered >= _MOST_UNANSWERED:
            raise self._gone(failure)
        raise failure

    async def _attempt(self, request: Mapping[str, Any]) -> dict[str, object]:
        started = time.monotonic()
        self.n_attempts += 1
        try:
            body = await self._send(request)
        except openai.APIConnectionError as error:
            timed_out = isinstance(error, openai.APITimeoutError) and not _no_connection(error)
            if timed_out:
                self._throttle.overloaded(0.0)
            reason = "timed_out" if timed_out else "connection_lost"
            raise RequestFailed(reason, self._message(error), retry_after=0.0) from error
        except openai.APIStatusError as error:
            raise self._refused(error) from None  # its own message may hold the key
        answer = self.read_completion(body)
        self.n_requests += 1
        self._unanswered = 0
        self._throttle.succeeded()
        return answer | {"seconds": round(time.monotonic() - started, 3)}

    async def _send(self, request: Mapping[str, Any]) -> bytes:
        raw = await self._api.chat.completions.with_raw_response.create(model=self.model, **request)
        return bytes(raw.content)

    def read_completion(self, body: bytes) -> dict[str, object]:
        """Read a chat completion as it came.

        Args:
            body (`bytes`): JSON.

        Returns:
            `dict[str, object]`: As from `ask`, without `seconds`.

        Raises:
            RequestFailed: It is no completion, or another model's.
        """
        try:
            completion = json.loads(body)
            choice = completion["choices"][0]
            message = choice["message"]
            answer = {
                "content": message.get("content"),
                "finish_reason": choice.get("finish_reason"),
                "refusal": message.get("refusal"),
                "usage": completion.get("usage"),
                "model": completion.get("model"),
            }
            if choice.get("logprobs"):
                tokens = choice["logprobs"]["content"][0]["top_logprobs"]
                answer["top_logprobs"] = [[str(each["token"]), _logprob(each["logprob"])] for each in tokens]
            answer = _without_half_characters(answer)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            found = f"not a chat completion: {self.beginning(body)}"
            raise RequestFailed("bad_response", found, retry_after=0.0) from error
        served = str(answer["model"])
        if served != self._served_model and not served.startswith(self.model):
            raise RequestFailed(
                "wrong_model",
                f"{self.model!r} was asked and {served!r} answered; if that is its name, give served_model",
                retry_after=0.0,
            )
        return answer

    def _refused(self, error: openai.APIStatusError) -> RequestFailed | LabelerError:
        """What a status other than 200 means: for this request, or for the run."""
        status = error.status_code
        if status in (400, 413, 422):
            return RequestFailed("request_rejected", self._message(error))
        if (status < 500 and status not in _RETRIED_STATUS) or error.code == "insufficient_quota":
            return LabelerError(f"the {self.what} at {self.url} refused to work: {self._message(error)}")
        wait = _retry_after(error.response.headers)
        self._throttle.overloaded(wait)
        reason = "rate_limited" if status == 429 else "server_error"
        return RequestFailed(reason, f"{status}: {self._message(error)}", retry_after=wait)

    def beginning(self, body: bytes) -> str:
        """How an answer begins that is none, to be shown."""
        return self.said(repr(body[:200]))[:90]

    def _message(self, error: openai.APIError) -> str:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        return self.said(f"{error.message}{cause}")[:300]

    def _gone(self, failure: RequestFailed) -> LabelerError:
        if failure.reason in ("connection_lost", "timed_out"):
            return LabelerError(f"cannot reach the {self.what} at {self.url}: {failure.detail}; {self.hint}")
        return LabelerError(f"the {self.what} at {self.url} refused to work: {failure}")


def _in_its_own_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread with a loop of its own, so that notebooks, which have one running, can call this."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    errors: list[BaseException] = []

    def serve() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(task)
        except BaseException as error:
            errors.append(error)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.2)
    except BaseException:
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    for error in errors:
        raise error


def _no_connection(error: BaseException | None) -> bool:
    """Whether an error goes back to a connection that was refused; the client reports that as a time-out."""
    while error is not None:
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds a server asks to wait, 0 where it names none in seconds."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if re.fullmatch(r"\d+(\.\d+)?", headers.get(name, "")):
            return min(600.0, float(headers[name]) * unit)
    return 0.0


def _logprob(value: object) -> float:
    """A log-probability; impossible tokens get -9999, as with OpenAI, since JSON has no word for minus infinity."""
    if not isinstance(value, (int, float)) or not value <= _ROUNDING:
        raise ValueError(f"{value!r} is no log-probability")
    return max(float(value), -9999.0)


def _without_half_characters(answer: dict[str, object]) -> dict[str, object]:
    """U+FFFD in place of each half of a surrogate pair, which JSON can spell and no text can hold."""
    text = json.dumps(answer, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        mended: dict[str, object] = json.loads(_whole_characters(text))
        return mended
    return answer


def _whole_characters(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

"""A client of model servers: it sends requests, as many at once as the server bears, and retries them.

A request ends in one of three ways. It ends with an answer, which may be a refusal of the text; with `RequestFailed`, when
only this request cannot be answered; or with `LabelerError`, when no request can. The latter means a refused key, an empty
account, an unknown model or a server that is down. Under overload the client lowers its concurrency, and waits as long as the
server asks.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import lazy_loader

from seal_datasets.endpoints import server_errors
from seal_datasets.endpoints.address import Address, retry_after
from seal_datasets.endpoints.dialect import Dialect
from seal_datasets.endpoints.keys import key_for
from seal_datasets.endpoints.throttle import Throttle
from seal_datasets.errors import LabelerError
from seal_datasets.escape import redact_keys, replace_half_characters

if TYPE_CHECKING:
    import openai
else:
    openai = lazy_loader.load("openai")  # the store and the parser work without the extra that brings it

Item = TypeVar("Item")

_ATTEMPTS = 7
_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_MOST_UNANSWERED = 3
_BROKEN_OFF = 4
"""Repetitions of the first request while its answers break off: whoever resumes at a bad moment should not be turned away."""

_MOST_FORBIDDEN = 20
_NO_KEY = "none"
_OPENAI = "https://api.openai.com/v1"
_RETRIED_STATUS = (408, 409, 425, 429)
_STATUS_OF_ONE_TEXT = (400, 413, 422, 451)
_MOST_SPELLINGS = 16


class RequestFailed(Exception):
    """One request that will not be answered.

    Attributes:
        reason (`str`): `request_rejected`, `timed_out`, `rate_limited`, `server_error`, `connection_lost`, `bad_response`,
            `wrong_model`, `refused` or, through the Batch API, `batch_expired`.
        detail (`str`): What was found.
        retry_after (`float`, *optional*): Seconds after which the client may send it again; never when omitted.
        reached (`bool`): Whether something listens at the address.
    """

    def __init__(self, reason: str, detail: str, *, retry_after: float | None = None) -> None:
        self.reason = reason
        self.retry_after = retry_after
        self.reached = True
        self.detail = detail[:300]
        super().__init__(f"{reason}: {self.detail}")


class UnreadableAnswer(Exception):
    """The body of an answer does not have the form that its operation gives; the message says which form."""


class Operation(Protocol):
    """One thing that a server does for a model: how to request it, and how to read its answer.

    Attributes:
        model (`str`): Name the endpoint knows the model by.
        service (`str`): What messages call the server.
        hint (`str`): What to check when the server cannot be reached.
    """

    model: str
    service: str
    hint: str

    async def send(self, api: openai.AsyncOpenAI, request: Mapping[str, Any]) -> bytes:
        """Send one request and return the body of its answer; errors of `api` are the client's to handle."""

    def read(self, body: bytes) -> dict[str, object]:
        """Read the body of an answer.

        Raises:
            UnreadableAnswer: The body has another form.
            RequestFailed: Another model answered.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a client.

    Args:
        concurrency (`int`, defaults to 16): Most requests under way at once.
        timeout (`float`, defaults to 300.0): Seconds one request may take.
    """

    concurrency: int = 16
    timeout: float = 300.0


class EndpointClient:
    """A client of one operation of an OpenAI-compatible endpoint.

    Args:
        operation (`Operation`): What is requested, e.g. `ChatCompletions("my-model")`.
        base_url (`str`, *optional*): Endpoint, e.g. `http://localhost:8000/v1`; OpenAI's own when omitted.
        api_key (`str`, *optional*): Key for the endpoint, or one for each of several, of which it is sent its own (see
            `key_for`). It is passed to the `openai` client and kept nowhere else.
        limits (`Limits`, *optional*): Concurrency and time-out.
        dialect (`Dialect`, *optional*): How the endpoint wants requests to be spelled; they are sent as they are when omitted.

    Raises:
        LabelerError: No key was given and the default endpoint needs one, or the URL holds more than an address.
    """

    def __init__(
        self,
        operation: Operation,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        limits: Limits | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        limits = limits or Limits()
        self.model = operation.model
        self.dialect = dialect
        self.concurrency = limits.concurrency
        self.n_requests = 0
        self.n_attempts = 0
        self._operation = operation
        self._timeout = limits.timeout
        self._unanswered = 0
        self._settled = self._is_unsure = False
        self._n_foreign = self._n_forbidden = 0
        self._stop: Exception | None = None
        address = Address.parse(base_url, operation.service)
        # A key meant for one service must not travel to another: an explicit URL never gets OPENAI_API_KEY.
        own_key = key_for(base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI, api_key)
        self._key = own_key or (_NO_KEY if base_url else None)
        self._access: dict[str, Any] = {
            "base_url": address.base_url,
            "api_key": self._key,
            "default_query": address.query,
            "default_headers": address.headers(own_key),
        }
        try:
            known = openai.OpenAI(**self._access)
        except openai.OpenAIError as error:
            raise LabelerError(
                f"the {operation.service} needs a key or the URL of an endpoint that needs none: {error}"
            ) from error
        self.url = address.shown(str(known.base_url))
        self._secret = known.api_key if self._key != _NO_KEY else None

    def api(self) -> openai.OpenAI:
        """The endpoint's other services, blocking; close it after use."""
        return openai.OpenAI(**self._access, timeout=self._timeout, max_retries=5)

    def redact(self, message: str) -> str:
        """Redact the key in an endpoint's message, and replace half characters, which a table cannot hold."""
        return redact_keys(replace_half_characters(message), own=self._secret)

    def for_each(self, items: Iterator[Item], handle: Callable[[Item], Awaitable[None]]) -> None:
        """Handle items, several at once; blocks until all are handled.

        When a handler raises, or reading an item, the client starts no further request, awaits those under way and raises
        that error.

        Args:
            items (`Iterator`): Read as needed, never ahead.
            handle (`Callable`): Coroutine function, called with each item; it calls `ask`.

        Raises:
            LabelerError: The endpoint refuses to work.
        """
        self._stop = None
        self._unanswered = 0
        _run_in_own_loop(self._for_each(items, handle))

    async def _for_each(self, items: Iterator[Item], handle: Callable[[Item], Awaitable[None]]) -> None:
        async def work() -> None:
            try:
                for item in items:
                    if self._stop is None:
                        await handle(item)
                    if self._stop is not None:
                        return
            except Exception as error:  # raised below, after the requests under way
                self._stop = self._stop or error

        from seal_datasets.endpoints.transport import BoundedClient  # needs the extra

        self._throttle = Throttle(self.concurrency)
        self._first = asyncio.Lock()
        async with openai.AsyncOpenAI(
            **self._access, timeout=self._timeout, max_retries=0, http_client=BoundedClient()
        ) as self._api:
            await asyncio.gather(*(work() for _ in range(self.concurrency)))
        if self._stop is not None:
            raise self._stop

    async def ask(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Send one request, and retry it after failures that may pass.

        Args:
            request (`Mapping[str, Any]`): What the operation sends.

        Returns:
            `dict[str, object]`: What the operation reads in the answer, and `seconds`, the time it took.

        Raises:
            RequestFailed: This request cannot be answered.
            LabelerError: No request can be answered.
        """
        failure = RequestFailed("not_asked", "the run stopped before this request")
        for attempt in range(_ATTEMPTS):
            async with self._first_alone(), self._throttle.slot():
                if self._stop is not None:
                    raise failure
                try:
                    return await self._attempt(request, again=attempt > 0 or self._is_unsure)
                except RequestFailed as error:
                    self._is_unsure = error.reason in ("wrong_model", "server_error") and attempt < _ATTEMPTS // 2
                    self._stop_if_foreign(error)
                    if error.retry_after is None:
                        raise
                    failure = error
            least = _BROKEN_OFF if failure.reached else 1
            if failure.reason == "connection_lost" and self.n_requests == 0 and attempt >= least:
                raise self._unreachable(failure)
            if attempt + 1 < _ATTEMPTS:
                backoff = random.uniform(0.0, min(_LONGEST_BACKOFF_SECONDS, _BACKOFF_SECONDS * 2**attempt))
                await asyncio.sleep(max(backoff, failure.retry_after or 0.0))
        self._unanswered += 1
        if self._unanswered >= _MOST_UNANSWERED:
            raise self._unreachable(failure)
        raise failure

    @asynccontextmanager
    async def _first_alone(self) -> AsyncIterator[None]:
        """Let the first request of all go alone, so that what its answer teaches holds for every other."""
        if self._settled or self.dialect is None:
            yield
            return
        async with self._first:
            if not self._settled:
                try:
                    yield
                finally:
                    self._settled = not self._is_unsure
                return
        yield

    async def _attempt(self, request: Mapping[str, Any], *, again: bool) -> dict[str, object]:
        started = time.monotonic()
        for _ in range(_MOST_SPELLINGS):
            sent = self.dialect.spell(request) if self.dialect else request
            self.n_attempts += 1
            try:
                answer = self.read(await self._operation.send(self._api, sent))
                if self.dialect is not None:
                    self.dialect.accepted(sent)
                break
            except openai.APIConnectionError as error:
                raise self._connection_error(error) from error
            except openai.APIStatusError as error:
                body = error.response.text
                if server_errors.is_refusal(error.status_code, body):
                    answer = self.refused(body)
                    break
                if not self.learn(sent, error.status_code, body, again=again):
                    raise self._status_error(error) from None  # the original message may hold the key
        else:
            raise RequestFailed(
                "request_rejected", f"the server refuses all of {_MOST_SPELLINGS} spellings of a request"
            )
        self.n_requests += 1
        self._unanswered = self._n_forbidden = 0
        self._throttle.succeeded()
        learned = {"adapted": list(self.dialect.notes)} if self.dialect and self.dialect.notes else {}
        return answer | learned | {"seconds": round(time.monotonic() - started, 3)}

    def _stop_if_foreign(self, failure: RequestFailed) -> None:
        """Raise an error if another model gave the first two answers."""
        if failure.reason == "wrong_model" and self.n_requests == 0:
            self._n_foreign += 1
            if self._n_foreign > 1:
                self._stop = LabelerError(f"another model answers at {self.url}: {failure.detail}")
                raise self._stop

    def learn(self, sent: Mapping[str, Any], status: int, body: str, *, again: bool = False) -> bool:
        """Learn from a refusal how to spell requests; see `Dialect.learn`."""
        if self.dialect is None or server_errors.concerns_account(status, body):
            return False
        known = len(self.dialect.notes)
        worth_another = self.dialect.learn(sent, status, body, again=again)
        self.dialect.notes[known:] = [self.redact(note) for note in self.dialect.notes[known:]]
        return worth_another

    def refused(self, body: str) -> dict[str, object]:
        """The answer that is kept where a server refuses a text because of its content."""
        return {
            "content": None,
            "finish_reason": "content_filter",
            "refusal": self.redact(server_errors.error_words(body))[:300] or "refused without a reason",
            "usage": {"prompt_tokens": 0, "completion_tokens": 0},
            "model": self.model,
        }

    def _connection_error(self, error: openai.APIConnectionError) -> RequestFailed:
        if error.__cause__ is not None and type(error.__cause__).__name__ == "AnswerTooLarge":
            return RequestFailed("bad_response", str(error.__cause__))
        timed_out = isinstance(error, openai.APITimeoutError) and not _is_refused_connection(error)
        if timed_out:
            self._throttle.overloaded(0.0)
        failure = RequestFailed("timed_out" if timed_out else "connection_lost", self._message(error), retry_after=0.0)
        failure.reached = not _is_unreachable(error)
        return failure

    def read(self, body: bytes) -> dict[str, object]:
        """Read the body of an answer.

        Args:
            body (`bytes`): JSON.

        Returns:
            `dict[str, object]`: As from `ask`, without `seconds`.

        Raises:
            RequestFailed: The body has another form, or another model answered.
        """
        secret = (self._secret or "").encode()
        try:  # a server may repeat the key in its answer, which is kept
            return self._operation.read(body.replace(secret, b"***") if len(secret) >= 8 else body)
        except UnreadableAnswer as error:
            shown = self.redact(repr(body[:20_000]))[:90]
            raise RequestFailed("bad_response", f"{error}: {shown}", retry_after=0.0) from error

    def _status_error(self, error: openai.APIStatusError) -> RequestFailed | LabelerError:
        """The error of a status other than 200: of this request, or of the run."""
        status, body = error.status_code, error.response.text
        if not server_errors.concerns_account(status, body):
            if status in _STATUS_OF_ONE_TEXT:
                return RequestFailed("request_rejected", self._message(error))
            most = _MOST_FORBIDDEN if self.n_requests else _MOST_UNANSWERED
            if status == 403 and self._n_forbidden + 1 < most:
                self._n_forbidden += 1  # in succession: it may be the account after all
                return RequestFailed("refused", self._message(error))
            if status >= 500 or status in _RETRIED_STATUS:
                wait = max(retry_after(error.response.headers), server_errors.retry_delay(body))
                self._throttle.overloaded(wait)
                reason = "rate_limited" if status == 429 else "server_error"
                return RequestFailed(reason, f"{status}: {self._message(error)}", retry_after=wait)
        return LabelerError(f"the {self._operation.service} at {self.url} refused to work: {self._message(error)}")

    def _message(self, error: openai.APIError) -> str:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        return self.redact(f"{error.message}{cause}")[:300]

    def _unreachable(self, failure: RequestFailed) -> LabelerError:
        service = self._operation.service
        if failure.reason in ("connection_lost", "timed_out"):
            return LabelerError(f"cannot reach the {service} at {self.url}: {failure.detail}; {self._operation.hint}")
        return LabelerError(f"the {service} at {self.url} refused to work: {failure}")


def _run_in_own_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread with an event loop of its own: notebooks have a running loop already."""
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


def _is_refused_connection(error: BaseException | None) -> bool:
    """Whether an error stems from a refused connection, which the HTTP client reports as a time-out."""
    while error is not None:
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_unreachable(error: BaseException | None) -> bool:
    """Whether an error says that nothing listens at an address, rather than that a connection broke off."""
    while error is not None:
        if isinstance(error, (ConnectionRefusedError, socket.gaierror)) or type(error).__name__ == "ConnectError":
            return True
        error = error.__cause__ or error.__context__
    return False

"""Ask a language model about many texts through a store: no request twice, no answer lost, no cost above a budget.

The next request of a job depends only on what the store holds about it. So a run that was killed resumes where it stopped, and
no answer is paid for twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from seal_datasets.endpoints.answer_text import has_thoughts
from seal_datasets.endpoints.client import EndpointClient, RequestFailed
from seal_datasets.endpoints.cost import Budget, Price, Usage, estimate_tokens
from seal_datasets.endpoints.server_errors import is_over_length
from seal_datasets.endpoints.store import Questions, ResponseStore, StoredResponse, response_text
from seal_datasets.errors import DataError, LabelerError

JSON = "json_schema"
"""Kind of requests for one JSON object; the endpoint may know another form, see `Dialect`."""

THINKING_TOKENS = 8192
"""Tokens for the answer of a model that thinks first."""

_FEWEST_TO_JUDGE = 50
_LEAST_ROOM = 1024
_PLAN_CHUNK = 1000
_MOST_PUT_OFF = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to ask.

    Attributes:
        kind (`str`): Form of the answer: `JSON`, or one that only the job knows.
        asked (`tuple[str, ...]`): The questions, as digests of their wording.
        body (`dict[str, Any]`): The chat request, without the model.
        answer_tokens (`int`): Expected length of the answer.
    """

    kind: str
    asked: tuple[str, ...]
    body: dict[str, Any]
    answer_tokens: int


class Job(Protocol):
    """A text to ask about: to label it, or to rewrite it."""

    @property
    def subject(self) -> bytes:
        """Hash by `subject_key` of everything that decides the answers except the questions."""

    def requests(self, stored: Sequence[StoredResponse]) -> Iterator[Request]:
        """Requests still to send, given the stored responses."""

    def has_result(self, stored: Sequence[StoredResponse]) -> bool:
        """Whether the stored responses give a result."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would request; tokens are estimates from lengths.

    Attributes:
        model (`str`): The model.
        n_subjects (`int`): Different texts.
        n_stored (`int`): Of these, texts that need no further request.
        usage (`Usage`): Expected requests and tokens, without repairs of unreadable answers.
        most (`Usage`): Upper estimate: one token for every two bytes, and answers of the greatest allowed length.
        price (`Price`): What tokens cost.
    """

    model: str
    n_subjects: int
    n_stored: int
    usage: Usage
    most: Usage
    price: Price

    def __str__(self) -> str:
        lines = f"{self.model}: {self.n_subjects:,} texts, {self.n_stored:,} of them in the store; to ask: {self.usage}"
        cost = self.price.cost(self.usage)
        if math.isnan(cost):
            return f"{lines}; cost unknown ({self.price.reason})"
        return f"{lines}; about ${cost:,.2f}, at most ${self.price.cost(self.most):,.2f}"


class Asker:
    """Sends the requests of jobs, stores every answer, and records why a job has none.

    Args:
        client (`EndpointClient`): The model.
        store (`ResponseStore`): Where responses are kept.
        max_failure_rate (`float`, defaults to 0.5): Stop when more than this share of jobs, of 50 or more, has no result.
        budget (`Budget`, *optional*): What may be spent; requests beyond it fail with the reason `over_budget`.
        max_answer_tokens (`int`, *optional*): Tokens that a user allows for an answer; a thinking model gets no more.
    """

    def __init__(
        self,
        client: EndpointClient,
        store: ResponseStore,
        *,
        max_failure_rate: float = 0.5,
        budget: Budget | None = None,
        max_answer_tokens: int | None = None,
    ) -> None:
        self.client = client
        self.max_answer_tokens = max_answer_tokens
        self.store = store
        self.max_failure_rate = max_failure_rate
        self.budget = budget or Budget(math.inf, Price.unknown(client.model, "no prices were given"))
        self.failed: dict[bytes, RequestFailed] = {}
        self._kept_notes: list[str] = []
        self._endpoint = client.url
        if client.dialect is not None:
            self._endpoint = json.dumps([client.url, client.model, client.dialect.overrides], sort_keys=True)
        self._n_done = self._n_without_result = 0

    @property
    def adapted(self) -> list[str]:
        """What this run learned about the endpoint's requests."""
        return self.client.dialect.new_notes if self.client.dialect else []

    def ask(self, jobs: Iterable[Job], *, progress: Callable[[int], object] = int) -> None:
        """Ask whatever the store does not hold yet; memory does not grow with the number of jobs.

        Args:
            jobs (`Iterable[Job]`): Read as needed.
            progress (`Callable[[int], object]`, *optional*): Called with the number of jobs that have just been finished.

        Raises:
            LabelerError: The endpoint is down, refuses the key or does not know the model, or too many jobs have no result.
                Responses so far are kept.
        """
        self.failed.clear()
        self.restore_dialect()
        self._n_done = self._n_without_result = 0
        under_way: set[bytes] = set()

        async def handle(claimed: tuple[Job, bool]) -> None:
            job, ours = claimed
            while not ours and self._next(job, self.store.get(job.subject)):
                ours = bool(self.store.claim([job.subject]))
                if not ours:  # another process is asking about it
                    await asyncio.sleep(0.2)
            await self._ask_one(job)
            under_way.discard(job.subject)
            progress(1)

        try:
            self.client.for_each(self._open_jobs(iter(jobs), under_way, progress), handle)
        except BaseException:
            with contextlib.suppress(DataError):  # what stopped the run is the error to show
                self.store.release(under_way)  # another process may ask, while this one lives on
            raise

    def any_to_ask(self, jobs: Iterable[Job]) -> bool:
        """Whether `ask` would send a request."""
        return any(self._next(job, self.store.get(job.subject)) for job in jobs)

    def plan(self, jobs: Iterable[Job]) -> Plan:
        """Estimate what `ask` would send, without sending anything.

        Args:
            jobs (`Iterable[Job]`): As for `ask`.

        Returns:
            `Plan`: Texts, requests, tokens and cost.
        """
        seen: set[bytes] = set()
        usage = most = Usage()
        n_stored, remaining = 0, iter(jobs)
        while chunk := list(islice(remaining, _PLAN_CHUNK)):
            fresh = {job.subject: job for job in chunk if job.subject not in seen}
            seen.update(fresh)
            stored = self.store.get_many(list(fresh))
            for subject, job in fresh.items():
                requests = list(job.requests(stored.get(subject, [])))
                n_stored += not requests
                for request in requests:
                    most_tokens = estimate_tokens(request.body, at_most=True)
                    usage += Usage(1, estimate_tokens(request.body), 0, request.answer_tokens)
                    most += Usage(1, most_tokens, 0, int(self.limited(request.body).get("max_tokens", 0)))
        return Plan(self.client.model, len(seen), n_stored, usage, most, self.budget.price)

    def _next(self, job: Job, stored: Sequence[StoredResponse]) -> Request | None:
        return next(job.requests(stored), None)

    def _open_jobs(
        self, jobs: Iterator[Job], under_way: set[bytes], progress: Callable[[int], object]
    ) -> Iterator[tuple[Job, bool]]:
        """Jobs with a request to send, each with whether this process could claim it.

        Jobs that another process has claimed are checked again with the next jobs, and awaited when no others are left.
        """
        size = max(64, 4 * self.client.concurrency)
        others: list[Job] = []
        while chunk := [*others, *(fresh := list(islice(jobs, size if len(others) < _MOST_PUT_OFF else 0)))]:
            by_subject = {job.subject: job for job in chunk}
            stored = self.store.get_many(list(by_subject))
            open_ = {
                subject: job
                for subject, job in by_subject.items()
                if subject not in under_way and self._next(job, stored.get(subject, []))
            }
            progress(len(chunk) - len(open_))
            ours = self.store.claim(list(open_)) if open_ else set()
            others = [job for subject, job in open_.items() if subject not in ours]
            under_way.update(ours)
            for subject, job in open_.items():
                if subject in ours:
                    yield job, True
            if not ours and not fresh:
                under_way.update(job.subject for job in others)
                while others:
                    yield others.pop(0), False

    async def _ask_one(self, job: Job) -> None:
        stored = self.store.get(job.subject)
        request = self._next(job, stored)
        try:
            while request is not None:
                response = await self._send(request)
                questions = Questions(self.client.model, request.kind, request.asked)
                stored.append(StoredResponse(questions, response_text(response), 0.0))
                request = self._next(job, stored)
                self.store.put(job.subject, questions, response, finished=request is None)
        except RequestFailed as failure:
            self.failed[job.subject] = failure
            self.store.release([job.subject])
            if failure.reason == "over_budget":  # not a failure of the endpoint
                return
        self._count(job.has_result(stored))

    def _count(self, result: bool) -> None:
        """Count one job that is done; stop when too many have no result."""
        self._n_done += 1
        self._n_without_result += not result
        if self._n_done >= _FEWEST_TO_JUDGE and self._n_without_result > self.max_failure_rate * self._n_done:
            last = next(reversed(self.failed.values()), None)
            raise LabelerError(
                f"{self._n_without_result:,} of {self._n_done:,} texts have no result, more than the "
                f"{self.max_failure_rate:.0%} allowed; the last "
                f"{f'failed with {last}' if last else 'answer cannot be read'}. Stored answers are kept"
            )

    async def _send(self, request: Request) -> dict[str, object]:
        body = self.with_room(request)
        set_aside = self.budget.set_aside(self.limited(body))
        if set_aside is None:
            raise self._over_budget()
        usage = Usage()
        try:
            response = await self._ask_within_context(body)
            usage = Usage.of(response)
        finally:
            # The price of an answer without a count is what was set aside for it.
            self.budget.settle(0.0 if usage.n_unreported else set_aside, usage)
        return self.note_room(body, response)

    async def _ask_within_context(self, body: dict[str, Any]) -> dict[str, object]:
        """Ask with less room for an answer where text and room together pass the model's context."""
        while True:
            try:
                return await self.client.ask(body)
            except RequestFailed as failure:
                tokens = body["max_tokens"] // 2
                if failure.reason != "request_rejected" or tokens < _LEAST_ROOM or not is_over_length(failure.detail):
                    raise
                body = {**body, "max_tokens": tokens}

    def with_room(self, request: Request) -> dict[str, Any]:
        """The body of a request, with room for thoughts once the model was seen to think beyond its limit."""
        room = self.client.dialect.room if self.client.dialect else 0
        if "logprobs" not in request.body and room > request.body["max_tokens"] and not self.max_answer_tokens:
            return {**request.body, "max_tokens": room}
        return request.body

    def limited(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body of a request with the token limit with which it is sent, where a user sets one."""
        return self.client.dialect.limited(body) if self.client.dialect else body

    def note_room(self, body: Mapping[str, Any], response: dict[str, object]) -> dict[str, object]:
        """Note in an answer that was cut off how many tokens it had; a model that was thinking gets more from now on."""
        cut_off = response.get("finish_reason") == "length" and "logprobs" not in body
        if cut_off and self.client.dialect and not self.max_answer_tokens and has_thoughts(response):
            self.client.dialect.give_room(THINKING_TOKENS)
        self._keep_dialect()
        if not cut_off:
            return response
        return {**response, "room": body["max_tokens"]}

    def restore_dialect(self) -> None:
        """Start with what other askers learned about the endpoint, if this one knows nothing."""
        dialect = self.client.dialect
        if dialect is not None and not dialect.notes and (state := self.store.dialect(self._endpoint)) is not None:
            dialect.restore(state)
            self._kept_notes = list(dialect.notes)

    def _keep_dialect(self) -> None:
        """Keep what was learned about the endpoint since the last answer, for later runs and other askers."""
        dialect = self.client.dialect
        if dialect is not None and dialect.notes != self._kept_notes and not self.store.read_only:
            self._kept_notes = list(dialect.notes)
            self.store.keep_dialect(self._endpoint, dialect.state())

    def _over_budget(self) -> RequestFailed:
        limit = f"${self.budget.dollars:,.2f}"
        return RequestFailed("over_budget", f"this request could pass the limit of {limit}; raise it and run again")


def with_more_room(request: Request, tokens: int) -> Request:
    """The same questions again, with more tokens for the answer."""
    return Request(f"room {tokens}", request.asked, {**request.body, "max_tokens": tokens}, request.answer_tokens)


def response_format(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Field of a chat request that states the JSON schema of its answer; a `Dialect` puts it as the endpoint takes it."""
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": name, "strict": True, "schema": schema},
        }
    }


def needs_room(stored: Sequence[StoredResponse], room: int | None) -> int:
    """Tokens with which a cut-off answer is worth asking for once more; 0 where it is not.

    Args:
        stored (`Sequence[StoredResponse]`): Answers to the same questions.
        room (`int`, *optional*): Tokens that a user allows; those for a thinking model when omitted.

    Returns:
        `int`: More tokens than any of these answers had.
    """
    cut_off = [answer.response for answer in stored if answer.response.get("finish_reason") == "length"]
    if not cut_off or len(cut_off) < len(stored) or not (room or any(map(has_thoughts, cut_off))):
        return 0
    wanted = room or THINKING_TOKENS
    given = [answer.get("room") for answer in cut_off]
    return wanted if all(not isinstance(tokens, int) or tokens < wanted for tokens in given) else 0

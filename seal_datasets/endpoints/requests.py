"""Ask a language model about many things through a store: nothing twice, nothing lost, nothing beyond a budget.

Which request comes next for a job is a function of what the store holds about it and of nothing else: so a run that was
killed goes on as if it had not been, and an answer that was paid for is never asked for again.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from seal_datasets.endpoints.client import EndpointClient, RequestFailed
from seal_datasets.endpoints.cost import Budget, Price, Usage, estimate_tokens
from seal_datasets.endpoints.store import Questions, ResponseStore, StoredResponse, response_text
from seal_datasets.errors import LabelerError

FORMATS = ("json_schema", "json_object", "text")
"""How an answer's form is asked for, from the strictest to what every endpoint knows."""

_FEWEST_TO_JUDGE = 50
_PLAN_CHUNK = 1000
_MOST_PUT_OFF = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to ask.

    Attributes:
        kind (`str`): In which form; one of `FORMATS`, or another that the job knows.
        asked (`tuple[str, ...]`): The questions, as digests of their wording.
        body (`dict[str, Any]`): The chat request, without the model.
        answer_tokens (`int`): About how long the answer will be.
    """

    kind: str
    asked: tuple[str, ...]
    body: dict[str, Any]
    answer_tokens: int


class Job(Protocol):
    """Something to ask about: a text to label, or one to rewrite."""

    @property
    def subject(self) -> bytes:
        """Of `subject_key`: all that decides the answers but the questions."""

    def requests(self, stored: Sequence[StoredResponse], form: str) -> Iterator[Request]:
        """What is still to be asked, given what is stored; `form` is the strictest the endpoint is known to take."""

    def has_result(self, stored: Sequence[StoredResponse]) -> bool:
        """Whether what is stored amounts to anything."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would ask, before it asks; tokens are guesses from lengths.

    Attributes:
        model (`str`): The model.
        n_subjects (`int`): Different texts.
        n_stored (`int`): Of these, texts about which nothing more is to be asked.
        usage (`Usage`): Requests and tokens to expect, without repairs of unreadable answers.
        most (`Usage`): The same on the high side: one token for every two bytes, answers as long as they may be.
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
    """Sends the requests of jobs, keeps every answer, and says what each job is lacking.

    Args:
        client (`EndpointClient`): The model.
        store (`ResponseStore`): Where responses are kept.
        max_failure_rate (`float`, defaults to 0.5): Stop when more than this share of jobs, of 50 or more, has no result.
        budget (`Budget`, *optional*): What may be spent; requests beyond it fail with the reason `over_budget`.
    """

    def __init__(
        self,
        client: EndpointClient,
        store: ResponseStore,
        *,
        max_failure_rate: float = 0.5,
        budget: Budget | None = None,
    ) -> None:
        self.client = client
        self.store = store
        self.max_failure_rate = max_failure_rate
        self.budget = budget or Budget(math.inf, Price.unknown(client.model, "no prices were given"))
        self.failed: dict[bytes, RequestFailed] = {}
        self._form = FORMATS[0]
        self._n_done = self._n_without_result = 0

    def ask(self, jobs: Iterable[Job], *, progress: Callable[[int], object] = int) -> None:
        """Ask whatever the store does not hold yet; memory stays flat however many jobs there are.

        Args:
            jobs (`Iterable[Job]`): Read as needed.
            progress (`Callable[[int], object]`, *optional*): Called with the number of jobs that have just been finished.

        Raises:
            LabelerError: The endpoint is down, refuses the key or does not know the model, or too many jobs have no result.
                Responses so far are kept.
        """
        self.failed.clear()
        self._n_done = self._n_without_result = 0
        under_way: set[bytes] = set()

        async def handle(claimed: tuple[Job, bool]) -> None:
            job, ours = claimed
            while not ours and self._next(job, self.store.get(job.subject)):
                ours = bool(self.store.claim([job.subject]))
                if not ours:  # another process is asking about it
                    await asyncio.sleep(0.2)
            try:
                await self._ask_one(job)
            finally:
                under_way.discard(job.subject)
            progress(1)

        self.client.for_each(self._open_jobs(iter(jobs), under_way, progress), handle)

    def any_to_ask(self, jobs: Iterable[Job]) -> bool:
        """Whether the store lacks an answer that `ask` would ask for."""
        return any(self._next(job, self.store.get(job.subject)) for job in jobs)

    def plan(self, jobs: Iterable[Job]) -> Plan:
        """Say what `ask` would send, sending nothing.

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
                requests = list(job.requests(stored.get(subject, []), self._form))
                n_stored += not requests
                for each in requests:
                    usage += Usage(1, estimate_tokens(each.body), 0, each.answer_tokens)
                    most += Usage(1, estimate_tokens(each.body, at_most=True), 0, int(each.body.get("max_tokens", 0)))
        return Plan(self.client.model, len(seen), n_stored, usage, most, self.budget.price)

    def _next(self, job: Job, stored: Sequence[StoredResponse]) -> Request | None:
        return next(job.requests(stored, self._form), None)

    def _open_jobs(
        self, jobs: Iterator[Job], under_way: set[bytes], progress: Callable[[int], object]
    ) -> Iterator[tuple[Job, bool]]:
        """Jobs about which something is to be asked, each with whether we could claim it.

        What another process is asking about is looked at again with the next jobs, and awaited when there is nothing else.
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
                try:
                    response = await self._send(request)
                except RequestFailed as failure:
                    if not self._lower_form(request.kind, failure):
                        raise
                    request = self._next(job, stored)
                    continue
                questions = Questions(self.client.model, request.kind, request.asked)
                stored.append(StoredResponse(questions, response_text(response), 0.0))
                request = self._next(job, stored)
                self.store.put(job.subject, questions, response, finished=request is None)
        except RequestFailed as failure:
            self.failed[job.subject] = failure
            self.store.release([job.subject])
            if failure.reason == "over_budget":  # nothing went wrong with it
                return
        self._count(job.has_result(stored))

    def _count(self, result: bool) -> None:
        """Count one job that is done; stop where too many came to nothing."""
        self._n_done += 1
        self._n_without_result += not result
        if self._n_done >= _FEWEST_TO_JUDGE and self._n_without_result > self.max_failure_rate * self._n_done:
            last = next(reversed(self.failed.values()), None)
            raise LabelerError(
                f"{self._n_without_result:,} of {self._n_done:,} texts came to nothing, more than the "
                f"{self.max_failure_rate:.0%} allowed; the last "
                f"{f'failed with {last}' if last else 'answer cannot be read'}. What was answered is kept"
            )

    async def _send(self, request: Request) -> dict[str, object]:
        set_aside = self.budget.set_aside(request.body)
        if set_aside is None:
            raise self._over_budget()
        usage = Usage()
        try:
            response = await self.client.ask(request.body)
            usage = Usage.of(response)
        finally:
            self.budget.settle(set_aside, usage)
        return response

    def _over_budget(self) -> RequestFailed:
        limit = f"${self.budget.dollars:,.2f}"
        return RequestFailed("over_budget", f"this request could pass the limit of {limit}; raise it and run again")

    def _lower_form(self, kind: str, failure: RequestFailed) -> bool:
        """Ask in a plainer form from now on, where the endpoint does not know the one it was asked in."""
        if failure.reason != "request_rejected" or kind not in FORMATS[:-1]:
            return False
        if not re.search(r"response_format|json_schema|json_object|structured|grammar", failure.detail, re.IGNORECASE):
            return False
        if kind == self._form:
            self._form = FORMATS[FORMATS.index(kind) + 1]
        return True


def response_format(schema: dict[str, Any], name: str, form: str) -> dict[str, Any]:
    """The part of a chat request that asks for an answer by a JSON schema, in one of `FORMATS`."""
    if form == "text":
        return {}
    if form == "json_object":
        return {"response_format": {"type": "json_object"}}
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": name, "strict": True, "schema": schema},
        }
    }


def decode_object(content: str, repeated: list[str]) -> dict[str, object]:
    """Decode the first JSON object in a text, and note in `repeated` which keys it holds more than once."""

    def distinct_keys(items: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in items]
        repeated.extend(key for key in keys if keys.count(key) > 1)
        return dict(items)

    answers, _ = json.JSONDecoder(object_pairs_hook=distinct_keys).raw_decode(content, max(content.find("{"), 0))
    if not isinstance(answers, dict):
        raise TypeError(f"expected an object, got {type(answers).__name__}")
    if "\\ud" in content.lower():  # an escape may spell half a character, which no text can hold
        json.dumps(answers, ensure_ascii=False).encode()
    return answers

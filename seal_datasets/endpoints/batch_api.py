"""Requests through the OpenAI Batch API: half the price, answers within a day, the same store as immediate requests.

The store keeps a file's token before the upload, and the batch's id after it. So a run that was killed at any point reattaches
to its batches: it waits for them and does not send them twice.
"""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, TYPE_CHECKING

import lazy_loader

from seal_datasets.endpoints.client import EndpointClient, RequestFailed
from seal_datasets.endpoints.cost import Budget, Usage
from seal_datasets.endpoints.requests import Asker, Job, Request
from seal_datasets.endpoints.store import Questions, ResponseStore
from seal_datasets.errors import LabelerError

if TYPE_CHECKING:
    import openai
    from openai.types import Batch
else:
    openai = lazy_loader.load("openai")  # the store and the parser work without this extra

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
"""The Batch API's limits on one file."""

_FINISHED = ("completed", "failed", "expired", "cancelled")
_ATTEMPTS = 3
_CHUNK = 1000


class BatchAsker(Asker):
    """An `Asker` that sends requests and receives answers in files.

    Args:
        poll_seconds (`float`, defaults to 30.0): Seconds between checks for finished batches.
        most_requests (`int`): Maximum requests per file.
        most_bytes (`int`): Maximum bytes per file.

    The other arguments are those of `Asker`; the budget needs the price of batches.
    """

    def __init__(
        self,
        client: EndpointClient,
        store: ResponseStore,
        *,
        max_failure_rate: float = 0.5,
        budget: Budget | None = None,
        poll_seconds: float = 30.0,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        super().__init__(client, store, max_failure_rate=max_failure_rate, budget=budget)
        self.poll_seconds = poll_seconds
        self.most_requests = most_requests
        self.most_bytes = most_bytes
        self._set_aside = 0.0
        self._attempts: Counter[str] = Counter()
        self._open: set[str] = set()

    def ask(self, jobs: Iterable[Job], *, progress: Callable[[int], object] = int) -> None:
        """Send requests that are not in the store in batches and wait; repeat until no batch is open.

        Args:
            jobs (`Iterable[Job]`): Jobs; kept in memory, because every round reads all of them.
            progress (`Callable[[int], object]`, *optional*): Called with the number of newly finished jobs.

        Raises:
            LabelerError: The endpoint rejects the key or a file, or has no Batch API. The store keeps responses received so
                far, and the next run reattaches to open batches.
        """
        self.failed.clear()
        self._attempts.clear()
        unique_jobs = list({job.subject: job for job in jobs}.values())
        n_finished = 0
        with self.client.api() as api:
            try:
                self._reattach(api)
                while True:
                    self._wait(api)
                    n_open = self._send_round(api, unique_jobs)
                    progress(len(unique_jobs) - n_open - n_finished)
                    n_finished = len(unique_jobs) - n_open
                    if not self._open:
                        break
            except openai.OpenAIError as error:
                message = self.client.redact(str(error))
                raise LabelerError(f"the Batch API at {self.client.url} refused to work: {message}") from None
        self._check_failure_rate(unique_jobs)

    def _check_failure_rate(self, jobs: Sequence[Job]) -> None:
        """Raise an error if too many jobs have no result."""
        self._n_done = self._n_without_result = 0
        for start in range(0, len(jobs), _CHUNK):
            chunk = jobs[start : start + _CHUNK]
            stored = self.store.get_many([job.subject for job in chunk])
            for job in chunk:
                failure = self.failed.get(job.subject)
                if failure is None or failure.reason != "over_budget":
                    self._count(job.has_result(stored.get(job.subject, [])))

    def _send_round(self, api: openai.OpenAI, jobs: Sequence[Job]) -> int:
        """Send the next requests of all jobs, in as many files as needed; returns the number of open jobs."""
        lines = self._lines(jobs)
        n_open = 0
        while file_lines := list(_up_to(lines, self.most_requests, self.most_bytes)):
            n_open += len({subject for subject, _ in file_lines})
            self._submit(api, [line for _, line in file_lines])
        return n_open

    def _lines(self, jobs: Sequence[Job]) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of subject and line, one for each request to send."""
        for start in range(0, len(jobs), _CHUNK):
            chunk = [job for job in jobs[start : start + _CHUNK] if job.subject not in self.failed]
            stored = self.store.get_many([job.subject for job in chunk])
            wanted = {
                job.subject: requests
                for job in chunk
                if (requests := list(job.requests(stored.get(job.subject, []), self._form)))
            }
            claimed = self.store.claim(list(wanted)) if wanted else set()
            for subject in claimed:
                for request in wanted[subject]:
                    line = self._line(subject, request)
                    if line is not None:
                        yield subject, line

    def _line(self, subject: bytes, request: Request) -> bytes | None:
        number = self.store.questions_id(Questions(self.client.model, request.kind, request.asked))
        name = f"{subject.hex()}-{number}"
        if self._attempts[name] >= _ATTEMPTS:
            self.failed[subject] = RequestFailed("server_error", f"no answer in {_ATTEMPTS} batches")
            return None
        set_aside = self.budget.set_aside(request.body)
        if set_aside is None:
            self.failed[subject] = self._over_budget()
            return None
        self._set_aside += set_aside
        self._attempts[name] += 1
        body = {"model": self.client.model, **request.body}
        line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"

    def _submit(self, api: openai.OpenAI, lines: Sequence[bytes]) -> None:
        token = uuid.uuid4().hex
        self.store.note_batch(token, self.client.model, None)
        with tempfile.TemporaryFile() as file:
            file.writelines(lines)
            file.seek(0)
            uploaded = api.files.create(file=("seal.jsonl", file), purpose="batch")
        batch = api.batches.create(
            input_file_id=uploaded.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"seal": token},
        )
        self.store.note_batch(token, self.client.model, batch.id)
        self._open.add(token)

    def _reattach(self, api: openai.OpenAI) -> None:
        """Reattach to the batches of runs that ended early; forget tokens whose batch was never created."""
        self._open = set()
        for token, batch_id in self.store.batches(self.client.model).items():
            if batch_id is None:
                created = {
                    (batch.metadata or {}).get("seal"): batch.id for batch in islice(api.batches.list(limit=100), 1000)
                }
                batch_id = created.get(token)
                if batch_id is None:
                    self.store.forget_batch(token)
                    continue
                self.store.note_batch(token, self.client.model, batch_id)
            self._open.add(token)

    def _wait(self, api: openai.OpenAI) -> None:
        """Wait for every open batch and store its answers."""
        known = self.store.batches(self.client.model)
        while self._open:
            for token in sorted(self._open):
                batch = api.batches.retrieve(str(known.get(token)))
                if batch.status in _FINISHED:
                    self._collect(api, batch)
                    self.store.forget_batch(token)
                    self._open.discard(token)
                    self._raise_if_failed(batch)
            if self._open:
                time.sleep(self.poll_seconds)
        self.budget.settle(self._set_aside, Usage())
        self._set_aside = 0.0

    def _raise_if_failed(self, batch: Batch) -> None:
        if batch.status != "failed":
            return
        errors = (batch.errors.data if batch.errors else None) or []
        reasons = "; ".join(str(error.message) for error in errors[:3]) or "no reason was given"
        raise LabelerError(f"the Batch API at {self.client.url} did not take a file: {self.client.redact(reasons)}")

    def _collect(self, api: openai.OpenAI, batch: Batch) -> None:
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is None:
                continue
            with tempfile.TemporaryFile() as file:
                with api.files.with_streaming_response.content(file_id) as response:
                    for part in response.iter_bytes(1 << 20):
                        file.write(part)
                file.seek(0)
                self._read_results(file)

    def _read_results(self, file: IO[bytes]) -> None:
        """Store the answers in a result file and record rejected requests; the next round resends the others."""
        for line in file:
            if not line.strip():
                continue
            try:
                result = json.loads(line)
                subject, number = bytes.fromhex(result["custom_id"][:32]), int(result["custom_id"][33:])
                response = result.get("response") or {}
                status, body = int(response.get("status_code") or 0), response.get("body")
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                continue  # a truncated line: the next round resends its request
            if status == 200:
                self._keep(subject, number, body)
            elif status in (400, 413, 422):
                self._reject(subject, number, body)

    def _keep(self, subject: bytes, number: int, body: object) -> None:
        try:
            answer = self.client.read(json.dumps(body).encode())
        except RequestFailed:
            return  # not a completion, or from another model: the next round resends the request
        self.client.n_requests += 1
        self.budget.settle(0.0, Usage.of(answer))
        self.store.put(subject, self.store.questions_of(number), {**answer, "batch": True})

    def _reject(self, subject: bytes, number: int, body: object) -> None:
        error = body.get("error") if isinstance(body, Mapping) else None
        message = str(error.get("message") if isinstance(error, Mapping) else error)
        failure = RequestFailed("request_rejected", self.client.redact(message))
        if not self._lower_form(self.store.questions_of(number).kind, failure):
            self.failed[subject] = failure
        self.store.release([subject])


def _up_to(lines: Iterator[tuple[bytes, bytes]], most: int, most_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    """Lines for one file; it ends at 90 % of its size limit, so that the last line cannot exceed the limit."""
    n_bytes = 0
    for count, (subject, line) in enumerate(lines, 1):
        yield subject, line
        n_bytes += len(line)
        if count >= most or n_bytes > most_bytes * 0.9:
            return

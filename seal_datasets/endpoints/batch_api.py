"""Requests through the OpenAI Batch API: half the price, answers within a day, the same store as immediate requests.

The store keeps a file's token before the upload, and the batch's id after it. So a run that was killed at any point reattaches
to its batches: it waits for them and does not send them twice.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import lazy_loader

from seal_datasets.endpoints import server_errors
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

_QUEUE_FULL = re.compile(r"enqueued|token_limit_exceeded|queue limit", re.IGNORECASE)
_MOST_REFUSED = 50
_FINISHED = ("completed", "failed", "expired", "cancelled")
_ATTEMPTS = 3
_CHUNK = 1000


class BatchAsker(Asker):
    """An `Asker` that sends requests and receives answers in files; its budget needs the price of batches.

    Attributes:
        poll_seconds (`float`): Seconds between checks for finished batches; 30 at first.
        most_requests (`int`): Maximum requests per file; smaller where the endpoint's queue is full.
        most_bytes (`int`): Maximum bytes per file.
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
        super().__init__(
            client, store, max_failure_rate=max_failure_rate, budget=budget, max_answer_tokens=max_answer_tokens
        )
        self.poll_seconds = 30.0
        self.most_requests = MOST_REQUESTS
        self.most_bytes = MOST_BYTES
        self._set_aside = 0.0
        self._attempts: Counter[str] = Counter()
        self._errors: dict[str, RequestFailed] = {}
        self._sent: dict[str, dict[str, Any]] = {}
        self._fields: dict[str, dict[str, Any]] = {}  # one for all lines that have the same
        self._open: set[str] = set()
        self._n_refused = 0

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
        self.restore_dialect()
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
                    if not self._open and not n_open:
                        break
                    if not self._open:  # the endpoint takes no file at present
                        time.sleep(self.poll_seconds)
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
            if not self._submit(api, [line for _, line in file_lines]):
                self._halve(len(file_lines), "too many tokens are enqueued")
                break  # the others wait for the batches that are open
        return n_open

    def _lines(self, jobs: Sequence[Job]) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of subject and line, one for each request to send."""
        for start in range(0, len(jobs), _CHUNK):
            chunk = [job for job in jobs[start : start + _CHUNK] if job.subject not in self.failed]
            stored = self.store.get_many([job.subject for job in chunk])
            wanted = {
                job.subject: requests for job in chunk if (requests := list(job.requests(stored.get(job.subject, []))))
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
            last = self._errors.get(name, RequestFailed("server_error", "the batch held no answer"))
            self.failed[subject] = RequestFailed(last.reason, f"no answer in {_ATTEMPTS} batches; {last.detail}")
            return None
        asked = self.with_room(request)
        set_aside = self.budget.set_aside(self.limited(asked))
        if set_aside is None:
            self.failed[subject] = self._over_budget()
            return None
        self._set_aside += set_aside
        self._attempts[name] += 1
        sent = self.client.dialect.spell(asked) if self.client.dialect else asked
        fields = {field: value for field, value in sent.items() if field != "messages"}
        self._sent[name] = self._fields.setdefault(json.dumps(fields, sort_keys=True), fields)
        body = {"model": self.client.model, **sent}
        line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"

    def _submit(self, api: openai.OpenAI, lines: Sequence[bytes]) -> bool:
        """Send one file; returns whether the endpoint has room for it in its queue."""
        token = uuid.uuid4().hex
        self.store.note_batch(token, self.client.model, None)
        with tempfile.TemporaryFile() as file:
            file.writelines(lines)
            file.seek(0)
            uploaded = api.files.create(file=("seal.jsonl", file), purpose="batch")
        try:
            batch = api.batches.create(
                input_file_id=uploaded.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={"seal": token},
            )
        except openai.APIStatusError as error:
            if not _QUEUE_FULL.search(error.response.text):
                raise
            self.store.forget_batch(token)
            return False
        self.store.note_batch(token, self.client.model, batch.id)
        self._open.add(token)
        return True

    def _halve(self, n_lines: int, reason: str) -> None:
        """Make later files half as long; raises an error where that is impossible."""
        self._n_refused += 1
        self._attempts.clear()  # lines that were never run
        if n_lines <= 1 and not self._open and self._n_refused > _MOST_REFUSED:
            raise LabelerError(
                f"the Batch API at {self.client.url} does not take one request: {reason}; try again later"
            )
        self.most_requests = max(1, min(self.most_requests, n_lines) // 2)

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
                try:
                    batch = api.batches.retrieve(str(known.get(token)))
                except openai.NotFoundError:  # deleted, or of another account: its requests are sent again
                    self._forget(token)
                    continue
                if batch.status in _FINISHED:
                    self._collect(api, batch)
                    self._forget(token)
                    self._check_end(batch)
            if self._open:
                time.sleep(self.poll_seconds)
        self.budget.settle(self._set_aside, Usage())
        self._set_aside = 0.0

    def _forget(self, token: str) -> None:
        self.store.forget_batch(token)
        self._open.discard(token)

    def _check_end(self, batch: Batch) -> None:
        """Raise an error if a batch ended so that its requests must not be sent again."""
        if batch.status == "cancelled":
            raise LabelerError(
                f"the batch {batch.id} at {self.client.url} was cancelled; its answers so far are stored. "
                "Run the same command again to send the rest"
            )
        if batch.status != "failed":
            return
        errors = (batch.errors.data if batch.errors else None) or []
        reasons = (
            "; ".join(f"{error.message} {error.code or ''}".strip() for error in errors[:3]) or "no reason was given"
        )
        if _QUEUE_FULL.search(reasons):
            total = batch.request_counts.total if batch.request_counts else 0
            self._halve(total or self.most_requests, reasons)
            return
        raise LabelerError(f"the Batch API at {self.client.url} did not take a file: {self.client.redact(reasons)}")

    def _collect(self, api: openai.OpenAI, batch: Batch) -> None:
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is None:
                continue
            with tempfile.TemporaryFile() as file:
                try:
                    with api.files.with_streaming_response.content(file_id) as response:
                        for part in response.iter_bytes(1 << 20):
                            file.write(part)
                except openai.NotFoundError:  # the file is deleted: its requests are sent again
                    continue
                file.seek(0)
                self._read_results(file)

    def _read_results(self, file: IO[bytes]) -> None:
        """Store the answers in a result file and record rejected requests; the next round resends the others."""
        for line in file:
            if not line.strip():
                continue
            try:
                result = json.loads(line)
                name = result["custom_id"]
                subject, number = bytes.fromhex(name[:32]), int(name[33:])
                response = result.get("response") or {}
                status, body = int(response.get("status_code") or 0), response.get("body")
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                continue  # a truncated line: the next round resends its request
            if status == 200:
                self._keep(subject, number, body)
            elif 400 <= status < 500 and status not in (408, 409, 425, 429):
                self._reject(name, status, body)
            else:
                error = result.get("error") or body or {}
                self._errors[name] = self._failure(error if isinstance(error, Mapping) else {"message": error}, status)

    def _failure(self, error: Mapping[str, Any], status: int) -> RequestFailed:
        """Why a line has no answer, in the words of the endpoint."""
        inner = error.get("error")
        error = inner if isinstance(inner, Mapping) else error
        code, message = str(error.get("code") or status or ""), str(error.get("message") or "")
        reason = "batch_expired" if code == "batch_expired" else "server_error"
        return RequestFailed(reason, self.client.redact(f"{code}: {message}"))

    def _keep(self, subject: bytes, number: int, body: object) -> None:
        try:
            answer = self.client.read(json.dumps(body).encode())
        except RequestFailed as failure:
            self._errors[f"{subject.hex()}-{number}"] = failure
            return  # not a completion, or from another model: the next round resends the request
        self.client.n_requests += 1
        self.budget.settle(0.0, Usage.of(answer))
        sent = self._sent.get(f"{subject.hex()}-{number}", {})
        limit = next((value for field, value in sent.items() if field.startswith("max_")), 0)
        answer = self.note_room({**sent, "max_tokens": limit}, answer)
        notes = self.client.dialect.notes if self.client.dialect else []
        learned = {"adapted": list(notes)} if notes else {}
        self.store.put(subject, self.store.questions_of(number), {**answer, **learned, "batch": True})

    def _reject(self, name: str, status: int, body: object) -> None:
        subject, number = bytes.fromhex(name[:32]), int(name[33:])
        text = json.dumps(body)
        if server_errors.is_refusal(status, text):
            self.store.put(subject, self.store.questions_of(number), {**self.client.refused(text), "batch": True})
            return
        failure = self._failure(body if isinstance(body, Mapping) else {"message": body}, status)
        if name not in self._sent:  # of an earlier run: sent again, for it is not known how it was spelled
            self._errors[name] = failure
        elif self.client.learn(self._sent[name], status, text):
            self._attempts[name] = 0
        else:
            self.failed[subject] = RequestFailed("request_rejected", failure.detail)
        self.store.release([subject])


def _up_to(lines: Iterator[tuple[bytes, bytes]], most: int, most_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    """Lines for one file; it ends at 90 % of its size limit, so that the last line cannot exceed the limit."""
    n_bytes = 0
    for count, (subject, line) in enumerate(lines, 1):
        yield subject, line
        n_bytes += len(line)
        if count >= most or n_bytes > most_bytes * 0.9:
            return

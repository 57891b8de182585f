"""Ask a language model the questions of a taxonomy, one text at a time, blind to the text's side of the pair.

Any OpenAI-compatible endpoint works (OpenAI, vLLM, Ollama, llama.cpp, the embedded model). One request asks for all features of
a text: as JSON by schema, or in a plainer form where the endpoint lacks schemas (see `Dialect`). With `probabilities`, one
request asks for each yes/no feature, and its label is read from the log-probabilities of the answer's first token.

An answer that cannot be parsed and validated becomes a missing value with its reason; it never becomes False.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seal_datasets.data.texts import Text
from seal_datasets.endpoints.cost import Budget
from seal_datasets.endpoints.options import RequestOptions, Sampling, open_asker
from seal_datasets.endpoints.requests import JSON, Plan, Request, needs_room, response_format, with_more_room
from seal_datasets.endpoints.store import ResponseStore, StoredResponse, subject_keys
from seal_datasets.labels.parse import (
    YES_NO,
    AnswerParser,
    Labels,
    answer_parser,
    question_digests,
    single_question_digest,
)
from seal_datasets.labels.prompt import INSTRUCTIONS, ONE_QUESTION, QUESTION, render_messages, render_text
from seal_datasets.labels.taxonomy import Feature, Taxonomy

PROMPT_VERSION = "2"

_REPAIR = "That answer cannot be used: {errors}. Answer again with one JSON object that has exactly the keys {keys}."

_TOKENS_PER_FEATURE = 48
_READ_AT_ONCE = 250  # small, because many live answers make garbage collection slow

_REPAIRABLE = ("not_json", "missing_key", "wrong_type", "unknown_value", "duplicate_key")

_CUT_OFF = ("cut_off", "whitespace_flood")
_ANSWER_TOKENS_PER_FEATURE = 14


class StoreIncomplete(Exception):
    """The store lacks an answer about a text."""


class Labeler:
    """A language model behind an OpenAI-compatible endpoint.

    Args:
        model (`str`): Name the endpoint knows the model by.
        base_url (`str`, *optional*): Endpoint, e.g. `http://localhost:8000/v1`; OpenAI's own when omitted.
        api_key (`str`, *optional*): Key for the endpoint. It is passed to the client and kept nowhere else.
        store (`ResponseStore`, *optional*): Where raw responses are kept, so that nothing is asked twice.
        probabilities (`bool`, defaults to `False`): Ask each yes/no feature alone and keep P(true) beside the label; needs
            an endpoint that returns log-probabilities.
        sampling (`Sampling`, *optional*): Temperature and seed; both 0 when omitted.
        options (`RequestOptions`, *optional*): Concurrency, time-out, budget, limits, own fields and the Batch API.

    Raises:
        LabelerError: No key was given and the default endpoint needs one, or the URL holds more than an address.

    Example:

    ```python
    >>> Labeler("my-model", base_url="http://localhost:8000/v1")
    Labeler('my-model', base_url='http://localhost:8000/v1/')
    >>> options = RequestOptions(concurrency=4, timeout=60.0)
    >>> Labeler("my-model", base_url="http://localhost:8000/v1", sampling=Sampling(0.7, seed=1), options=options).sampling
    {'temperature': 0.7, 'seed': 1}

    ```
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        store: ResponseStore | None = None,
        probabilities: bool = False,
        sampling: Sampling | None = None,
        options: RequestOptions | None = None,
    ) -> None:
        self.model = model
        self.probabilities = probabilities
        self.sampling = (sampling or Sampling()).arguments()
        options = options or RequestOptions()
        self._key = subject_keys([model, INSTRUCTIONS, self.sampling, *options.key()])
        self._room = options.max_answer_tokens
        self._asker = open_asker(model, base_url=base_url, api_key=api_key, store=store, options=options)
        self.store = self._asker.store

    @property
    def url(self) -> str:
        """The endpoint's address."""
        return self._asker.client.url

    @property
    def n_requests(self) -> int:
        """Requests answered so far."""
        return self._asker.client.n_requests

    @property
    def budget(self) -> Budget:
        """Usage so far, and the limit."""
        return self._asker.budget

    @property
    def adapted(self) -> list[str]:
        """What this run learned about the endpoint's requests."""
        return self._asker.adapted

    def __repr__(self) -> str:
        return f"Labeler({self.model!r}, base_url={self.url!r})"

    def label(self, texts: Sequence[Text], taxonomy: Taxonomy) -> list[Labels]:
        """Label texts, several at once; equal texts share one request.

        Args:
            texts (`Sequence[Text]`): The texts to label.
            taxonomy (`Taxonomy`): The features to ask for.

        Returns:
            `list[Labels]`: One per text, in order.

        Raises:
            LabelerError: The endpoint is down, refuses the key or does not know the model, or too many texts got no label.
                Responses so far are kept.
        """
        try:
            return self.recall(texts, taxonomy)
        except StoreIncomplete:
            self.ask(texts, taxonomy)
        return self.read(texts, taxonomy)

    def ask(self, texts: Iterable[Text], taxonomy: Taxonomy, *, progress: Callable[[int], object] = int) -> None:
        """Ask for labels that the store does not hold yet; memory does not grow with the number of texts.

        Args:
            texts (`Iterable[Text]`): The texts to label, read as needed, the two of a pair in succession.
            taxonomy (`Taxonomy`): The features to ask for.
            progress (`Callable[[int], object]`, *optional*): Called with the number of texts that have just been finished.

        Raises:
            LabelerError: As for `label`.
        """
        self._asker.ask(self._jobs(texts, taxonomy), progress=progress)

    def plan(self, texts: Iterable[Text], taxonomy: Taxonomy) -> Plan:
        """Estimate what `ask` would send and cost, without sending anything."""
        return self._asker.plan(self._jobs(texts, taxonomy))

    def _jobs(self, texts: Iterable[Text], taxonomy: Taxonomy) -> Iterator[_LabelingJob]:
        parser = answer_parser(taxonomy, self.probabilities)
        return (_LabelingJob(self._subject(text), text, parser, self.sampling, self._room) for text in texts)

    def recall(self, texts: Sequence[Text], taxonomy: Taxonomy) -> list[Labels]:
        """As `read`, but only if no request is left to send.

        Args:
            texts (`Sequence[Text]`): The texts.
            taxonomy (`Taxonomy`): The features wanted.

        Returns:
            `list[Labels]`: One per text, in order; missing labels could not be read from the answers.

        Raises:
            StoreIncomplete: The store lacks an answer about one of the texts.
        """
        labels = self.read(texts, taxonomy)
        incomplete = (text for text, result in zip(texts, labels, strict=True) if result.failures)
        if self._asker.any_to_ask(self._jobs(incomplete, taxonomy)):
            raise StoreIncomplete
        return labels

    def read(self, texts: Sequence[Text], taxonomy: Taxonomy) -> list[Labels]:
        """Read the labels of texts from the store, without sending anything.

        Args:
            texts (`Sequence[Text]`): The texts.
            taxonomy (`Taxonomy`): The features wanted.

        Returns:
            `list[Labels]`: One per text, in order. Labels that are not in the store are missing, with the reason from the last
            `ask`.
        """
        parser, failed = answer_parser(taxonomy, self.probabilities), self._asker.failed
        subjects = [self._subject(text) for text in texts]
        labels: dict[bytes, Labels] = {}
        for start in range(0, len(subjects), _READ_AT_ONCE):
            chunk = subjects[start : start + _READ_AT_ONCE]
            stored = self.store.get_many(chunk)
            for subject in chunk:
                labels[subject] = parser.merge(stored.get(subject, []), failed.get(subject))
        return [labels[subject] for subject in subjects]

    def _subject(self, text: Text) -> bytes:
        return self._key(render_text(text))


@dataclass(frozen=True, slots=True)
class _LabelingJob:
    """One text to label."""

    subject: bytes
    text: Text
    parser: AnswerParser
    sampling: dict[str, float]
    room: int | None = None

    def requests(self, stored: Sequence[StoredResponse]) -> Iterator[Request]:
        alone, together = self.parser.missing(stored)
        for name in alone:
            yield self._one_question(self.parser.taxonomy[name])
        if together:
            yield self._all_questions(self.parser.taxonomy.select(together))
        if not alone and not together:
            yield from self._with_more_room(stored)
            yield from self._repair(stored)

    def has_result(self, stored: Sequence[StoredResponse]) -> bool:
        return bool(self.parser.merge(stored, None).values)

    def _one_question(self, feature: Feature) -> Request:
        question = QUESTION.format(feature.question)
        messages = [
            {"role": "system", "content": ONE_QUESTION},
            {"role": "user", "content": f"{render_text(self.text)}{question}"},
        ]
        body = {"messages": messages, **self.sampling, "max_tokens": 1, "logprobs": True, "top_logprobs": 20}
        return Request(YES_NO, (single_question_digest(feature),), body, 1)

    def _all_questions(self, taxonomy: Taxonomy) -> Request:
        n_features = len(taxonomy.features)
        body = {
            "messages": render_messages(self.text, taxonomy),
            **self.sampling,
            "max_tokens": self.room or 32 + _TOKENS_PER_FEATURE * n_features,
            **response_format(_schema(taxonomy), "labels"),
        }
        return Request(JSON, question_digests(taxonomy), body, 4 + _ANSWER_TOKENS_PER_FEATURE * n_features)

    def _with_more_room(self, stored: Sequence[StoredResponse]) -> Iterator[Request]:
        """A second request after an answer that was cut off while the model was thinking."""
        short: dict[int, list[str]] = {}
        for failure in self.parser.merge(stored, None).failures:
            if failure.reason in _CUT_OFF and failure.feature in self.parser.taxonomy.names:
                tokens = needs_room(self.parser.answers_about(failure.feature, stored), self.room)
                short.setdefault(tokens, []).append(failure.feature)
        for tokens, names in short.items():
            if tokens:
                yield with_more_room(self._all_questions(self.parser.taxonomy.select(names)), tokens)

    def _repair(self, stored: Sequence[StoredResponse]) -> Iterator[Request]:
        """A second request after an unreadable answer, which shows the model its errors."""
        lacking = {failure.feature for failure in self.parser.merge(stored, None).failures}
        repaired = {
            digest for answer in stored if answer.questions.kind == "repair" for digest in answer.questions.asked
        }
        for answer in stored:
            if answer.questions.kind in (YES_NO, "repair"):
                continue
            failures = [
                failure
                for failure in self.parser.parse(answer).failures
                if failure.reason in _REPAIRABLE and failure.feature in lacking
            ]
            if not failures:
                continue
            wanted = self.parser.taxonomy.select([failure.feature for failure in failures])
            if repaired.intersection(question_digests(wanted)):
                continue
            errors = "; ".join(f"{failure.feature}: {failure.reason}, {failure.detail}" for failure in failures[:5])
            request = self._all_questions(wanted)
            request.body["messages"] += [
                {"role": "assistant", "content": str(answer.response.get("content"))[:2000]},
                {"role": "user", "content": _REPAIR.format(errors=errors, keys=", ".join(wanted.names))},
            ]
            yield Request("repair", request.asked, request.body, request.answer_tokens)


def _schema(taxonomy: Taxonomy) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {feature.name: feature.json_schema() for feature in taxonomy.features},
        "required": list(taxonomy.names),
        "additionalProperties": False,
    }

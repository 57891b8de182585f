"""Ask a language model the questions of a taxonomy, one text at a time, blind to which side of a pair it is.

Any OpenAI-compatible endpoint works (OpenAI, vLLM, Ollama, llama.cpp, the embedded model). A text's features are asked for
together, as JSON by schema where the endpoint can, in JSON mode or plain words where it cannot; or, where it returns
log-probabilities, each yes/no feature alone, read from the probability of the answer's first token.

Whatever cannot be parsed and validated becomes a missing value with its reason; it never becomes False.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seal_datasets.data.texts import Text
from seal_datasets.endpoints.cost import Budget
from seal_datasets.endpoints.options import RequestOptions, Sampling, open_asker
from seal_datasets.endpoints.requests import FORMATS, Plan, Request, response_format
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
_READ_AT_ONCE = 250  # few: the more answers are alive, the more often the garbage collector looks through everything

_REPAIRABLE = ("not_json", "missing_key", "wrong_type", "unknown_value", "duplicate_key")

_ANSWER_TOKENS_PER_FEATURE = 14


class StoreIncomplete(Exception):
    """The store does not hold everything that is to be asked about a text."""


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
        options (`RequestOptions`, *optional*): Concurrency, time-out, budget and failure limits, and the Batch API.

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
        self._key = subject_keys([model, INSTRUCTIONS, self.sampling])
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
        """What was spent so far, and the limit."""
        return self._asker.budget

    def __repr__(self) -> str:
        return f"Labeler({self.model!r}, base_url={self.url!r})"

    def label(self, texts: Sequence[Text], taxonomy: Taxonomy) -> list[Labels]:
        """Label texts, several at once; the same text is asked once.

        Args:
            texts (`Sequence[Text]`): What to label.
            taxonomy (`Taxonomy`): What to ask.

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
        """Ask whatever the store does not hold yet about some texts; memory stays flat however many there are.

        Args:
            texts (`Iterable[Text]`): What to label, read as needed. Texts of one pair belong next to each other.
            taxonomy (`Taxonomy`): What to ask.
            progress (`Callable[[int], object]`, *optional*): Called with the number of texts that have just been finished.

        Raises:
            LabelerError: As for `label`.
        """
        self._asker.ask(self._jobs(texts, taxonomy), progress=progress)

    def plan(self, texts: Iterable[Text], taxonomy: Taxonomy) -> Plan:
        """Say what `ask` would send and what it would cost, sending nothing."""
        return self._asker.plan(self._jobs(texts, taxonomy))

    def _jobs(self, texts: Iterable[Text], taxonomy: Taxonomy) -> Iterator[_LabelingJob]:
        parser = answer_parser(taxonomy, self.probabilities)
        return (_LabelingJob(self._subject(text), text, parser, self.sampling) for text in texts)

    def recall(self, texts: Sequence[Text], taxonomy: Taxonomy) -> list[Labels]:
        """As `read`, where nothing is left to ask.

        Args:
            texts (`Sequence[Text]`): The texts.
            taxonomy (`Taxonomy`): The features wanted.

        Returns:
            `list[Labels]`: One per text, in order; what is missing could not be read from the answers.

        Raises:
            StoreIncomplete: Something is to be asked about one of the texts.
        """
        labels = self.read(texts, taxonomy)
        incomplete = (text for text, each in zip(texts, labels, strict=True) if each.failures)
        if self._asker.any_to_ask(self._jobs(incomplete, taxonomy)):
            raise StoreIncomplete
        return labels

    def read(self, texts: Sequence[Text], taxonomy: Taxonomy) -> list[Labels]:
        """Read the labels of texts from the store, asking nothing.

        Args:
            texts (`Sequence[Text]`): The texts.
            taxonomy (`Taxonomy`): The features wanted.

        Returns:
            `list[Labels]`: One per text, in order; what the store does not hold is missing, with the reason why the last
            `ask` did not get it.
        """
        parser, failed = answer_parser(taxonomy, self.probabilities), self._asker.failed
        subjects = [self._subject(text) for text in texts]
        labels: dict[bytes, Labels] = {}
        for start in range(0, len(subjects), _READ_AT_ONCE):
            some = subjects[start : start + _READ_AT_ONCE]
            stored = self.store.get_many(some)
            labels.update((each, parser.merge(stored.get(each, []), failed.get(each))) for each in some)
        return [labels[each] for each in subjects]

    def _subject(self, text: Text) -> bytes:
        return self._key(render_text(text))


@dataclass(frozen=True, slots=True)
class _LabelingJob:
    """One text to label."""

    subject: bytes
    text: Text
    parser: AnswerParser
    sampling: dict[str, float]

    def requests(self, stored: Sequence[StoredResponse], form: str) -> Iterator[Request]:
        alone, together = self.parser.missing(stored)
        for name in alone:
            yield self._one_question(self.parser.taxonomy[name])
        if together:
            yield self._all_questions(self.parser.taxonomy.select(together), form)
        if not alone and not together:
            yield from self._repair(stored, form)

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

    def _all_questions(self, taxonomy: Taxonomy, form: str) -> Request:
        n_features = len(taxonomy.features)
        body = {
            "messages": render_messages(self.text, taxonomy),
            **self.sampling,
            "max_tokens": 32 + _TOKENS_PER_FEATURE * n_features,
            **response_format(_schema(taxonomy), "labels", form),
        }
        return Request(form, question_digests(taxonomy), body, 4 + _ANSWER_TOKENS_PER_FEATURE * n_features)

    def _repair(self, stored: Sequence[StoredResponse], form: str) -> Iterator[Request]:
        """One more try at an answer that could not be read, showing the model what was wrong with it."""
        lacking = {each.feature for each in self.parser.merge(stored, None).failures}
        repaired = {each for one in stored if one.questions.kind == "repair" for each in one.questions.asked}
        for each in stored:
            if each.questions.kind not in FORMATS:
                continue
            failed = [
                one for one in self.parser.parse(each).failures if one.reason in _REPAIRABLE and one.feature in lacking
            ]
            if not failed:
                continue
            wanted = self.parser.taxonomy.select([one.feature for one in failed])
            if repaired.intersection(question_digests(wanted)):
                continue
            errors = "; ".join(f"{one.feature}: {one.reason}, {one.detail}" for one in failed[:5])
            request = self._all_questions(wanted, form)
            request.body["messages"] += [
                {"role": "assistant", "content": str(each.response.get("content"))[:2000]},
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

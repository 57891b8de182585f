"""Parse a labeler's answer strictly into labels, or the reason why a label is missing."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seal_datasets.endpoints.answer_text import decode_object, without_thoughts
from seal_datasets.endpoints.client import RequestFailed
from seal_datasets.endpoints.store import Questions, StoredResponse
from seal_datasets.labels.prompt import ONE_QUESTION, QUESTION
from seal_datasets.labels.taxonomy import Feature, InvalidLabel, Label, Taxonomy

YES_NO = "yes_no"

_WORDS = {"yes": True, "true": True, "no": False, "false": False}
_LEAST_ANSWER_MASS = 0.01


@dataclass(frozen=True, slots=True)
class Failure:
    """A missing label and the reason.

    Attributes:
        feature (`str`): Name of the feature.
        reason (`str`): Short code. For an answer: `not_json`, `missing_key`, `extra_key` (feature `*`), `duplicate_key`,
            `wrong_type`, `unknown_value`, `cut_off`, `whitespace_flood`, `refused`, `no_logprobs`, `no_answer_word`. For a
            request: those of `RequestFailed`, or `not_asked`.
        detail (`str`): The offending part of the answer, or the message of the error.
    """

    feature: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of one text; every requested feature is in `values` or in `failures`.

    Attributes:
        values (`dict[str, Label]`): Label by feature.
        failures (`tuple[Failure, ...]`): Missing labels and their reasons.
        probabilities (`dict[str, float]`): P(true) of features asked for alone, from the model's log-probabilities.
    """

    values: dict[str, Label] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    probabilities: dict[str, float] = field(default_factory=dict)


def no_labels(taxonomy: Taxonomy, reason: str, detail: str) -> Labels:
    """Labels that are all missing for the same reason."""
    return Labels({}, tuple(Failure(name, reason, detail) for name in taxonomy.names))


def parse_labels(content: str | None, finish_reason: str | None, refusal: str | None, taxonomy: Taxonomy) -> Labels:
    """Parse a raw response strictly; every feature becomes a value or a failure with its reason.

    The last whole object that holds the features counts. Thoughts, drafts and examples before it, and text or code fences
    around it, are ignored; nothing inside it is repaired.

    Args:
        content (`str`, *optional*): Text of the response.
        finish_reason (`str`, *optional*): Why the model stopped; `"length"` means that it was truncated.
        refusal (`str`, *optional*): The model's refusal, where the endpoint reports one.
        taxonomy (`Taxonomy`): The features that were asked for.

    Returns:
        `Labels`: Values and failures.

    Example:

    ```python
    >>> from seal_datasets.labels.taxonomy import load_taxonomy
    >>> taxonomy = load_taxonomy().select(["last_response_is_helpful", "last_response_sentiment"])
    >>> parse_labels('{"last_response_is_helpful": true, "last_response_sentiment": "glad"}', "stop", None, taxonomy)
    ... # doctest: +NORMALIZE_WHITESPACE
    Labels(values={'last_response_is_helpful': True},
           failures=(Failure(feature='last_response_sentiment', reason='unknown_value',
                             detail="expected one of ['negative', 'neutral', 'positive'], got 'glad'"),),
           probabilities={})

    ```
    """
    content = content or ""
    if refusal or finish_reason == "content_filter":
        return no_labels(taxonomy, "refused", (refusal or "the endpoint's content filter stopped the answer")[:200])
    if finish_reason == "length":
        if len(content.strip()) < len(content) / 2 and without_thoughts(content) == content:
            return no_labels(taxonomy, "whitespace_flood", f"{len(content)} characters, nearly all of them blank")
        return no_labels(taxonomy, "cut_off", f"the answer ran into the token limit: {content[-60:]!r}")
    repeated: list[str] = []
    try:
        answers = decode_object(content, taxonomy.names, repeated)
    except (ValueError, TypeError, RecursionError) as error:
        return no_labels(taxonomy, "not_json", f"{str(error)[:80]}: {content[:60]!r}")
    values: dict[str, Label] = {}
    failures: list[Failure] = []
    for feature in taxonomy.features:
        if feature.name not in answers:
            failures.append(Failure(feature.name, "missing_key", "the answer does not hold this feature"))
            continue
        if feature.name in repeated:
            failures.append(Failure(feature.name, "duplicate_key", "the answer holds this feature more than once"))
            continue
        try:
            values[feature.name] = feature.parse(answers[feature.name])
        except InvalidLabel as invalid:
            failures.append(Failure(feature.name, invalid.reason, invalid.detail))
    extra = [name for name in answers if name not in taxonomy.names]
    if extra:
        failures.append(Failure("*", "extra_key", f"the answer holds {extra[0][:60]!r}, which was not asked for"))
    return Labels(values, tuple(failures))


def read_probability(top_logprobs: Sequence[Sequence[Any]]) -> float:
    """P(yes) from the most probable first tokens of an answer, renormalised over yes and no.

    Args:
        top_logprobs (`Sequence` of `(token, log-probability)`): Natural logarithms, as endpoints return them.

    Returns:
        `float`: Between 0 and 1; nan where both words together have less than 1 % of the probability.

    Example:

    ```python
    >>> read_probability([["Yes", math.log(0.6)], [" yes", math.log(0.15)], ["No", math.log(0.25)]])
    0.75
    >>> read_probability([["The", -0.1]])
    nan

    ```
    """
    mass = {True: 0.0, False: 0.0}
    for token, logprob in top_logprobs:
        word = _WORDS.get(str(token).strip().lower())
        if word is not None:
            mass[word] += math.exp(logprob)
    total = mass[True] + mass[False]
    return mass[True] / total if total >= _LEAST_ANSWER_MASS else math.nan


class AnswerParser:
    """Parses stored responses for one taxonomy; identical answers are parsed once.

    Args:
        taxonomy (`Taxonomy`): The features wanted.
        probabilities (`bool`): Whether yes/no features count only if they were asked for alone.
    """

    def __init__(self, taxonomy: Taxonomy, probabilities: bool) -> None:
        self.taxonomy = taxonomy
        self._names = taxonomy.names
        self._by_digest = {
            single_question_digest(feature) if probabilities and feature.type == "bool" else _digest(feature): feature
            for feature in taxonomy.features
        }
        self._all = tuple(self._by_digest)
        self._alone = {key for key, feature in self._by_digest.items() if probabilities and feature.type == "bool"}
        self._together = self._by_digest.keys() - self._alone
        self._parse_answer = functools.lru_cache(maxsize=10_000)(self._parse_answer_once)

    def missing(self, stored: Sequence[StoredResponse]) -> tuple[list[str], list[str]]:
        """Names of features not asked for yet: those to ask alone, and those to ask together."""
        alone, together = self._alone, self._together
        for answer in stored:
            asked = answer.questions.asked
            alone, together = alone.difference(asked), together.difference(asked)
        if not alone and not together:
            return [], []
        return (
            [feature.name for key, feature in self._by_digest.items() if key in alone],
            [feature.name for key, feature in self._by_digest.items() if key in together],
        )

    def answers_about(self, name: str, stored: Sequence[StoredResponse]) -> list[StoredResponse]:
        """The answers to requests that asked for a feature together with others."""
        keys = {key for key in self._together if self._by_digest[key].name == name}
        return [
            answer for answer in stored if answer.questions.kind != YES_NO and keys.intersection(answer.questions.asked)
        ]

    def parse(self, stored: StoredResponse) -> Labels:
        """Labels of this taxonomy in one response."""
        response = stored.response
        refusal = _text(response.get("refusal"))
        if stored.questions.kind != YES_NO:
            content, finish_reason = _text(response.get("content")), _text(response.get("finish_reason"))
            return self._parse_answer(stored.questions, content, finish_reason, refusal)
        wanted = [key for key in stored.questions.asked if key in self._alone]
        if not wanted:
            return Labels()
        return _parse_yes_no(self._by_digest[wanted[0]].name, response, refusal)

    def _parse_answer_once(
        self, questions: Questions, content: str | None, finish_reason: str | None, refusal: str | None
    ) -> Labels:
        names = [self._by_digest[key].name for key in questions.asked if key in self._together]
        labels = parse_labels(content, finish_reason, refusal, self.taxonomy.select(names))
        # Keys of other features, and keys repeated in a repaired answer, do not count as extra.
        if len(names) < len(questions.asked) or questions.kind == "repair":
            labels = Labels(labels.values, tuple(failure for failure in labels.failures if failure.feature != "*"))
        return labels

    def merge(self, stored: Sequence[StoredResponse], failure: RequestFailed | None) -> Labels:
        """Merge the labels of several responses about one text; the first valid answer to each question counts.

        Args:
            stored (`Sequence[StoredResponse]`): Oldest first.
            failure (`RequestFailed`, *optional*): Why the last request about the text failed.

        Returns:
            `Labels`: Each feature in `values` or `failures`.
        """
        if len(stored) == 1 and not self._alone and stored[0].questions.asked == self._all:
            return self.parse(stored[0])
        values: dict[str, Label] = {}
        failures: dict[str, Failure] = {}
        probabilities: dict[str, float] = {}
        for answer in stored:
            labels = self.parse(answer)
            values = labels.values | values
            probabilities |= labels.probabilities
            failures |= {missing.feature: missing for missing in labels.failures}
        for name in self._names:
            if name not in values and name not in failures:
                reason, detail = (failure.reason, failure.detail) if failure else ("not_asked", "no answer is stored")
                failures[name] = Failure(name, reason, detail)
        ordered = {name: values[name] for name in self._names if name in values}
        remaining = (failures[name] for name in (*self._names, "*") if name in failures and name not in values)
        return Labels(ordered, tuple(remaining), probabilities)


@functools.lru_cache(maxsize=8)
def answer_parser(taxonomy: Taxonomy, probabilities: bool) -> AnswerParser:
    """The parser of a taxonomy's answers; cached."""
    return AnswerParser(taxonomy, probabilities)


def _parse_yes_no(name: str, response: Mapping[str, object], refusal: str | None) -> Labels:
    top_logprobs = response.get("top_logprobs")
    if refusal:
        return Labels({}, (Failure(name, "refused", refusal[:200]),))
    if not isinstance(top_logprobs, list):
        detail = "the endpoint returned no log-probabilities; label without them"
        return Labels({}, (Failure(name, "no_logprobs", detail),))
    probability = read_probability(top_logprobs)
    if math.isnan(probability):
        detail = f"neither yes nor no is likely; the answer began {response.get('content')!r}"
        return Labels({}, (Failure(name, "no_answer_word", detail[:200]),))
    return Labels({name: probability >= 0.5}, (), {name: probability})


def question_digests(taxonomy: Taxonomy) -> tuple[str, ...]:
    """Digest of each feature's question."""
    return tuple(_digest(feature) for feature in taxonomy.features)


@functools.cache
def _digest(feature: Feature, alone: str = "") -> str:
    """Hash of the parts of a feature that a prompt shows, which exclude role and codes, plus the single-question prompt."""
    shown = json.dumps([feature.name, feature.question, feature.type, feature.answers]) + alone
    return hashlib.blake2b(shown.encode(), digest_size=8).hexdigest()


def single_question_digest(feature: Feature) -> str:
    """Digest of a feature's question asked alone."""
    return _digest(feature, ONE_QUESTION + QUESTION)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

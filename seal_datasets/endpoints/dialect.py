"""How one endpoint wants a chat request to be spelled, learned from its own answers.

Servers and models differ in the name of the token limit, in the sampling fields that they take, and in the forms of structured
output. A `Dialect` starts with what most of them take. Where an answer refuses a field,
the dialect respells that field for every later request, and notes it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from seal_datasets.endpoints.server_errors import error_words, is_over_length
from seal_datasets.errors import LabelerError

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
_FORMS = ("json_schema", "json_object", "text")
_FIELDS = {
    "limit": r"max[_ ]?(?:completion|output|new)?[_ ]?tokens",
    "temperature": r"temperature",
    "seed": r"\b(?:random_?)?seed\b",
    "frequency_penalty": r"frequency[_ ]?penalty",
    "logprobs": r"log[_ ]?prob(?:s|abilities)",
    "form": r"response[_ ]?(?:format|schema|mime)|json[_ ]?(?:schema|object|mode)|structured[_ ]?output|guided|grammar|schema",
}
_UNNAMED = re.compile(
    r"unsupported|not support|requested parameters|un(known|recognized|expected) (name|field|parameter|argument|key)|"
    r"extra (inputs|fields)|not permitted|invalid (parameter|argument|payload)|deserialize",
    re.IGNORECASE,
)
_POSITIVE = re.compile(r"strictly positive|greater than 0|> ?0\b|above 0|\bgt\b", re.IGNORECASE)
_ABSENT = re.compile(
    r"unsupported|not support|not allowed|un(known|recognized)|extra|not permitted|not available|cannot", re.IGNORECASE
)
_REFUSING = (400, 404, 405, 415, 422, 500, 501)
_LEAST_TEMPERATURE = 0.01
_MOST_GUESSES = 2
_STATE = {"limit": "_limit", "form": "_form", "most": "_most", "given": "_given", "notes": "notes", "room": "room"}


class Dialect:
    """The spelling of chat requests to one model at one endpoint.

    Args:
        overrides (`Mapping[str, Any]`, *optional*): Fields that a user sets, or drops with `None`. They are never respelled.

    Attributes:
        notes (`list[str]`): What was learned, one sentence each.
        room (`int`): Tokens for an answer of a model that was seen to think; 0 before that.

    Example:

    ```python
    >>> dialect = Dialect()
    >>> sent = dialect.spell({"max_tokens": 9, "temperature": 0})
    >>> dialect.learn(sent, 400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    True
    >>> dialect.spell({"max_tokens": 9, "temperature": 0})
    {'temperature': 0, 'max_completion_tokens': 9}

    ```
    """

    def __init__(self, overrides: Mapping[str, Any] | None = None, *, model: str = "") -> None:
        self.overrides = dict(overrides or {})
        self.notes: list[str] = []
        self.room = 0
        self._model = model
        self._limit: str | None = "max_tokens"
        self._form = "json_schema"
        self._most: dict[str, int] = {}
        self._given: dict[str, float | None] = {}
        self._proven: set[str] = set()
        self._tried: set[str] = {"max_tokens", "json_schema"}
        self._before_guesses: dict[str, Any] | None = None
        self._n_guesses_left = _MOST_GUESSES
        self._n_restored = 0

    @property
    def new_notes(self) -> list[str]:
        """What was learned since `restore`."""
        return self.notes[self._n_restored :]

    def state(self) -> dict[str, Any]:
        """What was learned, ready for JSON."""
        return {name: getattr(self, attribute) for name, attribute in _STATE.items()} | {"tried": sorted(self._tried)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Start with what an earlier run learned; a refusal makes the dialect start afresh.

        Example:

        >>> learned, again = Dialect(), Dialect()
        >>> _ = learned.learn({"seed": 0}, 400, "seed: extra fields not permitted")
        >>> again.restore(learned.state())
        >>> again.spell({"seed": 0}), again.new_notes
        ({}, [])
        """
        for name, attribute in _STATE.items():
            setattr(self, attribute, state[name])
        self._tried, self._n_restored = set(state["tried"]), len(self.notes)

    def _start_afresh(self) -> None:
        """Forget what an earlier run learned, because the endpoint has changed."""
        fresh = Dialect(self.overrides, model=self._model)
        vars(self).update(vars(fresh))

    def spell(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Spell a request as the endpoint takes it.

        Args:
            request (`Mapping[str, Any]`): Fields as OpenAI documents them.

        Returns:
            `dict[str, Any]`: The fields to send.
        """
        body = {name: self._given.get(name, value) for name, value in request.items()}
        for name in [name for name, value in self._given.items() if value is None]:
            body.pop(name, None)
        if (limit := body.pop("max_tokens", None)) is not None and self._limit is not None:
            body[self._limit] = min(limit, self._most.get("limit", limit))
        if "top_logprobs" in body:
            body["top_logprobs"] = min(body["top_logprobs"], self._most.get("logprobs", body["top_logprobs"]))
        if self._form != "json_schema" and "response_format" in body:
            schema = body.pop("response_format")["json_schema"]["schema"]
            body |= _fields_of_form(self._form, schema)
        if any(self.overrides.get(name) is not None for name in _LIMITS):
            for name in _LIMITS:
                body.pop(name, None)
        body |= self.overrides
        return {name: value for name, value in body.items() if name not in self.overrides or value is not None}

    def limited(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """A request with the token limit that a user sets, by which the cost of its answer is bounded."""
        own = [value for name in _LIMITS if isinstance(value := self.overrides.get(name), int)]
        return {**request, "max_tokens": max(own)} if own else request

    def give_room(self, tokens: int) -> None:
        """Note that the model thinks beyond its limit, and how many tokens its answers get from now on."""
        if tokens > self.room:
            self.room = tokens
            self._note(f"the model was cut off while it was thinking, {tokens:,} tokens are allowed")

    def accepted(self, sent: Mapping[str, Any]) -> None:
        """Note that the endpoint answered a request that was spelled like this."""
        self._proven.update(field for field in _FIELDS if self._has(field, sent))
        self._before_guesses = None

    def learn(self, sent: Mapping[str, Any], status: int, body: str, *, again: bool = False) -> bool:
        """Learn from a refusal.

        Args:
            sent (`Mapping[str, Any]`): The request, as `spell` made it.
            status (`int`): Status of the answer.
            body (`str`): Body of the answer.
            again (`bool`, defaults to `False`): Whether the same request failed before.

        Returns:
            `bool`: Whether the request should be sent again, spelled anew.

        Raises:
            LabelerError: The endpoint gives no log-probabilities, and they were asked for.
        """
        words = error_words(body)
        if self._model:  # its name may hold the name of a field
            words = re.sub(rf"(?<!\w){re.escape(self._model)}(?!\w)", " ", words)
        if status not in _REFUSING:
            return False
        field = self._blame(sent, words)
        if self._n_restored and not self._proven and (field or _UNNAMED.search(words)) and not is_over_length(words):
            self._start_afresh()
            return True
        if field is None:
            return self._guess(sent, status, words, again=again)
        if is_over_length(words) and not _UNNAMED.search(words):
            return False
        return self._respell(field, sent, words)

    def _has(self, field: str, sent: Mapping[str, Any]) -> bool:
        """Whether a request holds a field that the dialect may respell."""
        if field == "limit":
            names: tuple[str, ...] = _LIMITS
        else:
            names = {"form": ("response_format", "guided_json"), "logprobs": ("top_logprobs",)}.get(field, (field,))
        return any(name in sent and name not in self.overrides for name in names)

    def _blame(self, sent: Mapping[str, Any], words: str) -> str | None:
        """The field that an error names first, among those that were sent."""
        named = {
            field: found.start()
            for field, pattern in _FIELDS.items()
            if self._has(field, sent) and (found := re.search(pattern, words, re.IGNORECASE))
        }
        return min(named, key=lambda field: named[field], default=None)

    def _respell(self, field: str, sent: Mapping[str, Any], words: str) -> bool:
        if self._is_outdated(field, sent):
            return True
        if field in self._proven and field != "form":
            return False
        if field == "form":
            return self._next_form(words)
        if field == "limit":
            return self._next_limit(sent, words)
        if field == "logprobs":
            return self._fewer_logprobs(sent, words)
        if field == "temperature" and sent[field] == 0 and field not in self._given and _POSITIVE.search(words):
            self._given[field] = _LEAST_TEMPERATURE
            return self._note(f"{field} 0 is refused, {_LEAST_TEMPERATURE} is sent")
        self._given[field] = None
        return self._note(f"{field} {sent[field]:g} is refused, none is sent")

    def _is_outdated(self, field: str, sent: Mapping[str, Any]) -> bool:
        """Whether the field was respelled since the request was sent, because of another request."""
        if field == "form":
            return _form_of(sent) != self._form
        if field == "limit":
            name = next(name for name in _LIMITS if name in sent)
            return name != self._limit or sent[name] > self._most.get("limit", sent[name])
        if field == "logprobs":
            return bool(sent["top_logprobs"] > self._most.get("logprobs", sent["top_logprobs"]))
        return field in self._given and self._given[field] != sent[field]

    def _next_form(self, words: str) -> bool:
        named = {
            "response_schema": r"response[_ ]?schema",
            "guided_json": r"guided[_ ]?json",
            "json": r"expected one of .{0,30}[`'\"]json[`'\"]",
        }
        wanted = [form for form, pattern in named.items() if re.search(pattern, words, re.IGNORECASE)]
        form = next((form for form in (*wanted, *_FORMS) if form not in self._tried), None)
        if form is None:
            return False
        before, self._form = self._form, form
        self._tried.add(form)
        return self._note(f"structured output as {before} is refused, {form} is asked for")

    def _next_limit(self, sent: Mapping[str, Any], words: str) -> bool:
        name = next(name for name in _LIMITS if name in sent)
        smaller = _largest_below(words, sent[name])
        if smaller and re.search(
            r"at most|maximum|too large|exceed|less than|<=|between|up to|range", words, re.IGNORECASE
        ):
            self._most["limit"] = smaller
            return self._note(f"{name} {sent[name]} is too many, {smaller} are asked for")
        advised = [other for other in _LIMITS if other in words]
        other = next((other for other in (*advised, "max_completion_tokens") if other not in self._tried), None)
        self._limit = other
        self._tried.add(str(other))
        return self._note(f"{name} is refused, {other or 'no limit'} is sent")

    def _fewer_logprobs(self, sent: Mapping[str, Any], words: str) -> bool:
        asked = sent["top_logprobs"]
        fewer = _largest_below(words, asked)
        if fewer is None and (_ABSENT.search(words) or asked == 1):
            raise LabelerError(f"the endpoint gives no log-probabilities: {words[:200]}; label without probabilities")
        self._most["logprobs"] = fewer or asked // 2
        return self._note(f"top_logprobs {asked} is refused, {self._most['logprobs']} are asked for")

    def _guess(self, sent: Mapping[str, Any], status: int, words: str, *, again: bool) -> bool:
        """Respell fields that no request has proven, where an error names none; undo it if nothing helps."""
        if is_over_length(words) or not self._n_guesses_left:
            return False
        unnamed = _UNNAMED.search(words)
        if not unnamed and (not again if status in (500, 501) else status != 404):
            return False
        fields = ("form",) if not unnamed else ("form", "frequency_penalty", "seed", "temperature", "limit")
        if self._before_guesses is None:
            self._before_guesses = copy.deepcopy(vars(self))
        for field in fields:
            if self._has(field, sent) and field not in self._proven and self._respell(field, sent, ""):
                return True
        vars(self).update(self._before_guesses)
        self._before_guesses = None
        self._n_guesses_left -= 1
        return False

    def _note(self, note: str) -> bool:
        self.notes.append(note)
        return True


def _form_of(sent: Mapping[str, Any]) -> str:
    if "guided_json" in sent:
        return "guided_json"
    form = sent.get("response_format") or {"type": "text"}
    return "response_schema" if "response_schema" in form else str(form["type"])


def _largest_below(words: str, asked: int) -> int | None:
    """The largest number in an error that is positive and below what was asked for."""
    numbers = (int(number) for number in re.findall(r"(?<![\d.])\d{1,9}(?![\d.]*\d)", words))
    return max((number for number in numbers if 0 < number < asked), default=None)


def _fields_of_form(form: str, schema: object) -> dict[str, Any]:
    """Fields that ask for structured output in one of the forms that servers know."""
    if form == "guided_json":
        return {"guided_json": schema}
    if form == "text":
        return {}
    own = {
        "json": {"type": "json", "value": schema},
        "response_schema": {"type": "json_object", "response_schema": schema},
    }
    return {"response_format": own.get(form, {"type": "json_object"})}

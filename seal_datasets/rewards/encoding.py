"""Encode texts as a model's tokens, with a policy for texts that are too long.

A tokenizer with a chat template gets the whole conversation through it; any other gets prompt and response as the two
segments of its pair input.
"""

from __future__ import annotations

import hashlib
import json
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

from seal_datasets.data.texts import Exchange
from seal_datasets.errors import DataError
from seal_datasets.rewards.templates import Refused, Turn, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OverLength = Literal["error", "truncate", "skip"]
Status = Literal[
    "ok", "truncated", "merged", "too_long", "no_text", "not_finite", "template_refused", "template_failed"
]
Inputs = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as a model sees it.

    Attributes:
        inputs (`dict[str, list[int]]`): `input_ids` and the tokenizer's other outputs; empty if not scored.
        status (`str`): `ok`, `truncated`, `merged` (turns were merged for the template), `too_long`, `no_text` (no tokens),
            `template_refused` or `template_failed`.
        n_tokens (`int`): Length before any truncation.
        key (`bytes`): Hash of `inputs`: texts with the same key have the same reward.
    """

    inputs: dict[str, list[int]]
    status: Status
    n_tokens: int
    key: bytes = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.blake2b(digest_size=16)
        for name, values in self.inputs.items():
            digest.update(f"{name} {len(values)} ".encode())
            digest.update(array("q", values).tobytes())
        object.__setattr__(self, "key", digest.digest())


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes texts for a model.

    Attributes:
        tokenizer (`PreTrainedTokenizerBase`): With a chat template, or able to take pairs.
        max_length (`int`): Tokens the model can take.
        over_length (`"error"`, `"truncate"` or `"skip"`): For longer texts: raise an error, drop the start of the
            prompt (never any of the response), or leave the text without a reward.
        merge_system (`bool`): Whether conversations that the template refuses are merged into fewer turns.
        refusals (`Counter[str]`): What the chat template said of conversations that it does not render.
        digest (`str`): Hash of everything that affects an encoding; encoders with the same digest encode alike.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    over_length: OverLength
    merge_system: bool = False
    refusals: Counter[str] = field(init=False, repr=False, compare=False, default_factory=Counter)
    digest: str = field(init=False)
    _one_at_a_time: threading.Lock = field(init=False, repr=False, compare=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.over_length not in get_args(OverLength):
            raise DataError(f"over_length must be one of {list(get_args(OverLength))}, got {self.over_length!r}")
        parts: tuple[object, ...] = (
            tokenizer_state(self.tokenizer),
            self.template_hash,
            self.max_length,
            self.over_length,
        )
        parts += (self.merge_system,) if self.merge_system else ()
        object.__setattr__(self, "digest", hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest())

    @property
    def style(self) -> str:
        """Form of the input: `chat_template` or `text_pair`."""
        return "chat_template" if self.tokenizer.chat_template else "text_pair"

    @property
    def template_hash(self) -> str | None:
        """Hash of the chat template; `None` without one."""
        template = self.tokenizer.chat_template
        return hashlib.sha256(str(template).encode()).hexdigest()[:16] if template else None

    def render(self, exchange: Exchange) -> str:
        """Render a text exactly as the model receives it, with special tokens."""
        (inputs,) = self._tokenize([exchange])
        return inputs.reason if isinstance(inputs, Refused) else str(self.tokenizer.decode(inputs["input_ids"]))

    def encode(self, exchanges: Sequence[Exchange]) -> list[Encoded]:
        """Turn texts into model inputs.

        Args:
            exchanges (`Sequence[Exchange]`): The texts.

        Returns:
            `list[Encoded]`: One per text, in order.

        Raises:
            DataError: A text is too long and the policy is `"error"`.
            ModelError: The chat template takes too much time or memory.
        """
        with self._one_at_a_time:  # shortening a text changes the tokenizer for a moment
            tokenized = self._tokenize(exchanges)
            merged = self._merged(exchanges, tokenized) if self.merge_system else {}
            return [
                self._fit(merged[index][1], merged[index][0], "merged")
                if index in merged
                else self._fit(inputs, exchange)
                for index, (inputs, exchange) in enumerate(zip(tokenized, exchanges, strict=True))
            ]

    def _merged(
        self, exchanges: Sequence[Exchange], tokenized: Sequence[Inputs | Refused]
    ) -> dict[int, tuple[Exchange, Inputs | Refused]]:
        """Texts that the template refused, with fewer turns."""
        fewer = {
            index: replace(exchanges[index], conversation=merge_turns(exchanges[index].conversation))
            for index, inputs in enumerate(tokenized)
            if isinstance(inputs, Refused)
        }
        again = self._tokenize(list(fewer.values()))
        return {index: (text, inputs) for (index, text), inputs in zip(fewer.items(), again, strict=True)}

    def _tokenize(self, exchanges: Sequence[Exchange]) -> list[Inputs | Refused]:
        if not exchanges:
            return []
        if self.tokenizer.chat_template:
            turns = [
                [*exchange.conversation, {"role": "assistant", "content": exchange.response}] for exchange in exchanges
            ]
            return each_rendered(render(self.tokenizer, turns), self._tokens_of)
        prompts, responses = (
            [exchange.prompt for exchange in exchanges],
            [exchange.response for exchange in exchanges],
        )
        return list(_rows(self.tokenizer(prompts, responses, verbose=False)))

    def _tokens_of(self, rendered: list[str]) -> list[Inputs]:
        # The template writes the special tokens itself; adding them again would double the BOS.
        return _rows(self.tokenizer(rendered, add_special_tokens=False, verbose=False))

    def _fit(self, inputs: Inputs | Refused, exchange: Exchange, status: Status = "ok") -> Encoded:
        if isinstance(inputs, Refused):
            self.refusals[inputs.reason] += 1
            return Encoded({}, inputs.status, 0)
        n_tokens = len(inputs["input_ids"])
        if not n_tokens:
            return Encoded({}, "no_text", 0)
        if n_tokens <= self.max_length:
            return Encoded(inputs, status, n_tokens)
        if self.over_length == "error":
            raise DataError(
                f"a text has {n_tokens} tokens and the model takes {self.max_length}; it begins {exchange.prompt[:60]!r}. "
                "Choose over_length='truncate' to drop the start of the prompt, or 'skip' to leave such texts unscored"
            )
        shortened = self._shorten(exchange) if self.over_length == "truncate" else None
        return Encoded({}, "too_long", n_tokens) if shortened is None else Encoded(shortened, "truncated", n_tokens)

    def _shorten(self, exchange: Exchange) -> Inputs | None:
        """Drop the start of the prompt: oldest turns and then text under a chat template, oldest tokens in a pair input."""
        if self.tokenizer.chat_template:
            return self._fewer_turns(exchange)
        (alone,) = self._tokenize([Exchange("", [], exchange.response)])
        if isinstance(alone, Refused) or len(alone["input_ids"]) >= self.max_length:
            return None
        side, self.tokenizer.truncation_side = self.tokenizer.truncation_side, "left"
        try:
            fitted = self.tokenizer(
                exchange.prompt, exchange.response, truncation="only_first", max_length=self.max_length
            )
        finally:
            self.tokenizer.truncation_side = side
        return dict(fitted)

    def _fewer_turns(self, exchange: Exchange) -> Inputs | None:
        """Drop the oldest turns, then the start of the first turn that is left."""
        turns = exchange.conversation
        while later := [index for index, turn in enumerate(turns) if index and turn["role"] == "user"]:
            turns = turns[later[0] :]
            if (inputs := self._fitting(exchange, turns)) is not None:
                return inputs
        return self._end_of_turn(exchange, turns) if turns else None

    def _end_of_turn(self, exchange: Exchange, turns: list[Turn]) -> Inputs | None:
        """Keep as much of the end of the first turn as fits; it is found by halving, as tokens depend on their neighbours."""
        first, content = turns[0], turns[0].get("content") or ""
        fits, cut, keep = None, 0, len(content)
        while keep - cut > 1:
            middle = (cut + keep) // 2
            inputs = self._fitting(exchange, [{**first, "content": content[middle:]}, *turns[1:]])
            fits, cut, keep = (fits, middle, keep) if inputs is None else (inputs, cut, middle)
        return fits

    def _fitting(self, exchange: Exchange, turns: list[Turn]) -> Inputs | None:
        """The text with other turns, where it is short enough."""
        (inputs,) = self._tokenize([Exchange(exchange.prompt, turns, exchange.response)])
        return None if isinstance(inputs, Refused) or len(inputs["input_ids"]) > self.max_length else inputs


def each_rendered(
    rendered: Sequence[str | Refused], tokens_of: Callable[[list[str]], list[Inputs]]
) -> list[Inputs | Refused]:
    """Turn rendered conversations into tokens, all at once; those that were refused stay as they are."""
    texts = [text for text in rendered if isinstance(text, str)]
    tokens = iter(tokens_of(texts) if texts else [])
    return [next(tokens) if isinstance(text, str) else text for text in rendered]


def merge_turns(turns: Sequence[Turn]) -> list[Turn]:
    r"""Merge system turns into the next user turn, and neighbouring turns of one role into one.

    Args:
        turns (`Sequence[dict[str, str]]`): A conversation.

    Returns:
        `list[dict[str, str]]`: Turns of users and others, no two neighbours alike.

    Example:

    ```python
    >>> merge_turns([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    [{'role': 'user', 'content': 'Be brief.\n\nHi'}]

    ```
    """
    merged: list[Turn] = []
    for turn in turns:
        role = "user" if turn["role"] in ("system", "developer") else turn["role"]
        if merged and merged[-1]["role"] == role:
            merged[-1] = {**merged[-1], "content": f"{merged[-1].get('content') or ''}\n\n{turn.get('content') or ''}"}
        else:
            merged.append({**turn, "role": role})
    return merged


def _rows(batch: Mapping[str, list[list[int]]]) -> list[Inputs]:
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]


def tokenizer_state(tokenizer: PreTrainedTokenizerBase) -> object:
    """The settings that determine how a tokenizer splits texts, except the arguments of a call."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return sorted(tokenizer.get_vocab().items())
    state = json.loads(backend.to_str())
    return [(name, part) for name, part in state.items() if name not in ("truncation", "padding")]

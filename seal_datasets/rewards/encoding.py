"""Encode texts as a model's tokens, with a policy for texts that are too long.

A tokenizer with a chat template gets the whole conversation through it; any other gets prompt and response as the two
segments of its pair input.
"""

from __future__ import annotations

import hashlib
import json
import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from seal_datasets.data.texts import Exchange
from seal_datasets.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OverLength = Literal["error", "truncate", "skip"]
Status = Literal["ok", "truncated", "too_long", "no_text", "not_finite"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as a model sees it.

    Attributes:
        inputs (`dict[str, list[int]]`): `input_ids` and the tokenizer's other outputs; empty if not scored.
        status (`str`): `ok`, `truncated`, `too_long` or `no_text` (no tokens).
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
        digest (`str`): Hash of everything that affects an encoding; encoders with the same digest encode alike.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    over_length: OverLength
    digest: str = field(init=False)
    _one_at_a_time: threading.Lock = field(init=False, repr=False, compare=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.over_length not in get_args(OverLength):
            raise DataError(f"over_length must be one of {list(get_args(OverLength))}, got {self.over_length!r}")
        parts = (tokenizer_state(self.tokenizer), self.template_hash, self.max_length, self.over_length)
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
        return str(self.tokenizer.decode(inputs["input_ids"]))

    def encode(self, exchanges: Sequence[Exchange]) -> list[Encoded]:
        """Turn texts into model inputs.

        Args:
            exchanges (`Sequence[Exchange]`): The texts.

        Returns:
            `list[Encoded]`: One per text, in order.

        Raises:
            DataError: A text is too long and the policy is `"error"`.
        """
        with self._one_at_a_time:  # shortening a text changes the tokenizer for a moment
            tokenized = self._tokenize(exchanges)
            return [self._fit(inputs, exchange) for inputs, exchange in zip(tokenized, exchanges, strict=True)]

    def _tokenize(self, exchanges: Sequence[Exchange]) -> list[dict[str, list[int]]]:
        if not exchanges:
            return []
        if self.tokenizer.chat_template:
            turns = [
                [*exchange.conversation, {"role": "assistant", "content": exchange.response}] for exchange in exchanges
            ]
            rendered = self.tokenizer.apply_chat_template(turns, tokenize=False)
            # The template writes the special tokens itself; adding them again would double the BOS.
            batch = self.tokenizer(rendered, add_special_tokens=False, verbose=False)
        else:
            prompts, responses = (
                [exchange.prompt for exchange in exchanges],
                [exchange.response for exchange in exchanges],
            )
            batch = self.tokenizer(prompts, responses, verbose=False)
        return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]

    def _fit(self, inputs: dict[str, list[int]], exchange: Exchange) -> Encoded:
        n_tokens = len(inputs["input_ids"])
        if not n_tokens:
            return Encoded({}, "no_text", 0)
        if n_tokens <= self.max_length:
            return Encoded(inputs, "ok", n_tokens)
        if self.over_length == "error":
            raise DataError(
                f"a text has {n_tokens} tokens and the model takes {self.max_length}; it begins {exchange.prompt[:60]!r}. "
                "Choose over_length='truncate' to drop the start of the prompt, or 'skip' to leave such texts unscored"
            )
        shortened = self._shorten(exchange) if self.over_length == "truncate" else None
        return Encoded({}, "too_long", n_tokens) if shortened is None else Encoded(shortened, "truncated", n_tokens)

    def _shorten(self, exchange: Exchange) -> dict[str, list[int]] | None:
        """Drop the start of the prompt: oldest turns under a chat template, oldest tokens in a pair input."""
        if self.tokenizer.chat_template:
            return self._fewer_turns(exchange)
        (alone,) = self._tokenize([Exchange("", [], exchange.response)])
        if len(alone["input_ids"]) >= self.max_length:
            return None
        side, self.tokenizer.truncation_side = self.tokenizer.truncation_side, "left"
        try:
            fitted = self.tokenizer(
                exchange.prompt, exchange.response, truncation="only_first", max_length=self.max_length
            )
        finally:
            self.tokenizer.truncation_side = side
        return dict(fitted)

    def _fewer_turns(self, exchange: Exchange) -> dict[str, list[int]] | None:
        turns = exchange.conversation
        while len(turns) > 1:
            later = [index for index, turn in enumerate(turns) if index and turn["role"] == "user"]
            if not later:
                return None
            turns = turns[later[0] :]
            (inputs,) = self._tokenize([Exchange(exchange.prompt, turns, exchange.response)])
            if len(inputs["input_ids"]) <= self.max_length:
                return inputs
        return None


def tokenizer_state(tokenizer: PreTrainedTokenizerBase) -> object:
    """The settings that determine how a tokenizer splits texts, except the arguments of a call."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return sorted(tokenizer.get_vocab().items())
    state = json.loads(backend.to_str())
    return [(name, part) for name, part in state.items() if name not in ("truncation", "padding")]

"""The interface of every reward model: encode texts, score those that the store lacks, and state its identity."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from seal_datasets.data.texts import Exchange
from seal_datasets.errors import ModelError
from seal_datasets.rewards.encoding import Encoded, Encoder, Status
from seal_datasets.rewards.score_store import ScoreStore
from seal_datasets.rewards.templates import Refused, render, template_of

NO_TEMPLATE = (
    "a causal model without a chat template is scored on prompt and response in a row; if it was trained with a template, add "
    "it to the tokenizer (chat_template.jinja), or its rewards mean nothing"
)
"""What is said of such a model."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The reward of one text.

    Attributes:
        reward (`float`, *optional*): Raw logit or log-ratio; `None` if the text has none.
        status (`str`): As of `Encoded`, or `not_finite`.
        n_tokens (`int`, *optional*): Length in the model's tokens, before any truncation.
    """

    reward: float | None
    status: Status
    n_tokens: int | None


class Scorer(ABC):
    """A reward model of any kind.

    Attributes:
        encoder (`Encoder`): Encodes texts for the model.
        notes (`tuple[str, ...]`): What a user should know of how the model is scored.
        lacks_template (`bool`): Whether it is a causal model whose tokenizer has no chat template.
    """

    encoder: Encoder
    notes: tuple[str, ...] = ()
    lacks_template: bool = False

    @property
    def encoding(self) -> str:
        """Hash of everything that affects an encoding; scorers with the same hash share encoded texts."""
        return self.encoder.digest

    @abstractmethod
    def identity(self) -> dict[str, object]:
        """Everything that affects the reward of an encoded text, JSON-ready."""

    def provenance(self) -> dict[str, object]:
        """`identity` and the settings of the encoding, JSON-ready."""
        return {
            **self.identity(),
            "input_style": self.encoder.style,
            "template_hash": self.encoder.template_hash,
            "max_length": self.encoder.max_length,
            "over_length": self.encoder.over_length,
            **({"merge_system": True} if self.encoder.merge_system else {}),
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    def encode(self, exchanges: Sequence[Exchange]) -> list[Encoded]:
        """Encode texts as model inputs, in order."""
        return self.encoder.encode(exchanges)

    @abstractmethod
    def rewards(self, encoded: Sequence[Encoded]) -> Iterator[list[tuple[int, float]]]:
        """Score encoded texts, all of them with inputs and all different.

        Yields:
            `list[tuple[int, float]]`: Positions in `encoded` and their rewards, a batch at a time, in any order.
        """

    def score(self, exchanges: Sequence[Exchange], *, store: ScoreStore | None = None) -> list[Scored]:
        """Score texts; texts with equal inputs are scored once.

        Args:
            exchanges (`Sequence[Exchange]`): The texts.
            store (`ScoreStore`, *optional*): Where rewards are looked up and kept.

        Returns:
            `list[Scored]`: One per text, in order.
        """
        encoded = self.encode(exchanges)
        return outcomes(encoded, self.reward_by_key(encoded, store=store))

    def reward_by_key(
        self,
        encoded: Sequence[Encoded],
        *,
        store: ScoreStore | None = None,
        progress: Callable[[int], object] = int,
    ) -> dict[bytes, float]:
        """Score encoded texts: read rewards from the store, compute the others and store them batch by batch.

        Args:
            encoded (`Sequence[Encoded]`): The texts; those without inputs are skipped.
            store (`ScoreStore`, *optional*): Where rewards are looked up and kept.
            progress (`Callable[[int], object]`, *optional*): Called with the number of texts that have just been scored.

        Returns:
            `dict[bytes, float]`: Reward by key.
        """
        distinct = {text.key: text for text in encoded if text.inputs}
        rewards = store.get(self.identity_key(), list(distinct)) if store is not None else {}
        progress(len(rewards))
        missing = [text for key, text in distinct.items() if key not in rewards]
        for batch in self.rewards(missing):
            fresh = {missing[position].key: reward for position, reward in batch}
            if store is not None:
                store.put(self.identity_key(), fresh)
            rewards |= fresh
            progress(len(fresh))
        return rewards

    def identity_key(self) -> bytes:
        """Hash of `identity`."""
        return hashlib.blake2b(json.dumps(self.identity(), sort_keys=True).encode(), digest_size=16).digest()


def check_template(encoder: Encoder, name: str) -> None:
    """Check that a chat template renders a conversation of one question and its answer.

    Raises:
        ModelError: It does not; the message is the template's own.
    """
    if template_of(encoder.tokenizer, name) is None:
        return
    turns = [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Blue"}]
    (rendered,) = render(encoder.tokenizer, [turns])
    if isinstance(rendered, Refused):
        raise ModelError(
            f"the chat template of {name!r} does not render one question and its answer: {rendered.reason}. Mend chat_template "
            "in its tokenizer's files"
        )


def outcomes(encoded: Sequence[Encoded], rewards: dict[bytes, float]) -> list[Scored]:
    """Reward and status of each text, given the rewards by key."""
    return [_outcome(text, rewards) for text in encoded]


def _outcome(text: Encoded, rewards: dict[bytes, float]) -> Scored:
    if not text.inputs:
        return Scored(None, text.status, text.n_tokens)
    reward = rewards[text.key]
    return (
        Scored(reward, text.status, text.n_tokens)
        if math.isfinite(reward)
        else Scored(None, "not_finite", text.n_tokens)
    )

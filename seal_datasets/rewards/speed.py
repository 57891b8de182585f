"""How fast a model scores or trains on this machine, measured for a few seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from seal_datasets.rewards.encoding import Encoded
from seal_datasets.rewards.loading import place
from seal_datasets.rewards.scorer import Scorer

MEASURED_SECONDS = 3.0
"""How long a measurement goes on; a text that takes longer is finished."""

_GROWTH = 8
_LEARNING_RATE = 1e-6


@dataclass(frozen=True, slots=True)
class Speed:
    """What was done in a measured time.

    Attributes:
        n_texts (`int`): Texts.
        n_tokens (`int`): Their tokens, without padding.
        seconds (`float`): Time they took.
        device (`str`): Where, e.g. `cpu`.

    Example:

    ```python
    >>> Speed(10, 1000, 0.5, "cpu").seconds_for(4000)
    2.0

    ```
    """

    n_texts: int
    n_tokens: int
    seconds: float
    device: str

    def seconds_for(self, n_tokens: float) -> float:
        """Seconds that other texts take at this speed, by their tokens; nan where nothing was measured."""
        return self.seconds * n_tokens / self.n_tokens if self.n_tokens else float("nan")

    def __str__(self) -> str:
        return f"{self.n_texts:,} texts of {self.n_tokens:,} tokens in {self.seconds:.1f} s on {self.device}"


def measure_scoring(scorer: Scorer, groups: Sequence[Sequence[Encoded]], *, seconds: float = MEASURED_SECONDS) -> Speed:
    """Score some texts of every length, more and more of them until the time is over.

    Args:
        scorer (`Scorer`): The model.
        groups (`Sequence[Sequence[Encoded]]`): Encoded texts with inputs, those of a pair together, which may share a prompt.
        seconds (`float`, defaults to 3): When to stop.

    Returns:
        `Speed`: Of the last and largest sample.
    """
    by_length = sorted(groups, key=lambda group: sum(_length(text) for text in group))
    device = str(getattr(scorer, "device", "cpu"))
    if not by_length:
        return Speed(0, 0, 0.0, device)
    left, size = seconds, 1  # the first text pays for what is made once
    while True:
        places = (np.arange(min(size, len(by_length))) + 0.5) / min(size, len(by_length)) * len(by_length)
        texts = _distinct([by_length[place] for place in places.astype(int)])
        start = time.perf_counter()
        for _ in scorer.rewards(texts):
            pass
        taken = time.perf_counter() - start
        left -= taken
        growth = min(_GROWTH, left / max(taken, 1e-9))
        if growth < 2 or size >= len(by_length):
            return Speed(len(texts), sum(map(_length, texts)), taken, device)
        size = int(size * growth)


def measure_training(
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    pairs: Sequence[tuple[Encoded, Encoded]],
    *,
    batch_size: int,
    seconds: float = MEASURED_SECONDS,
) -> Speed:
    """Train on preferences for some steps; the model is changed by it.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): Pads batches.
        model (`PreTrainedModel`): With one output.
        pairs (`Sequence[tuple[Encoded, Encoded]]`): Better and worse text, in the order of training.
        batch_size (`int`): Pairs per step.
        seconds (`float`, defaults to 3): When to stop.

    Returns:
        `Speed`: Of all steps but the first.
    """
    device = place(model, str(model.name_or_path), None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE)
    model.train()
    n_texts, n_tokens, start = 0, 0, time.perf_counter()
    for first in range(0, len(pairs), batch_size):
        batch = pairs[first : first + batch_size]
        texts = [pair[side] for side in (0, 1) for pair in batch]
        padded = tokenizer.pad([text.inputs for text in texts], padding=True, return_tensors="pt")
        rewards = model(**{name: values.to(device) for name, values in padded.items()}).logits[:, 0]
        better, worse = rewards.chunk(2)
        torch.autograd.backward(torch.nn.functional.softplus(worse - better).mean())
        optimizer.step()
        optimizer.zero_grad()
        if not first and len(pairs) > batch_size:
            start = time.perf_counter()
            continue
        n_texts, n_tokens = n_texts + len(texts), n_tokens + sum(map(_length, texts))
        if time.perf_counter() - start > seconds:
            break
    return Speed(n_texts, n_tokens, time.perf_counter() - start, str(device))


def weight_bytes(scorer: Scorer) -> int:
    """Bytes of the weights that a scorer holds in memory; 0 for one on a server."""
    held = [
        part for value in vars(scorer).values() for part in (value.values() if isinstance(value, dict) else [value])
    ]
    return sum(model_bytes(part) for part in held if isinstance(part, PreTrainedModel))


def model_bytes(model: PreTrainedModel) -> int:
    """Bytes of a model's weights in memory."""
    return sum(each.numel() * each.element_size() for each in model.parameters())


def _length(text: Encoded) -> int:
    return len(text.inputs["input_ids"])


def _distinct(groups: Sequence[Sequence[Encoded]]) -> list[Encoded]:
    """A scorer takes no text twice."""
    return list({text.key: text for group in groups for text in group}.values())

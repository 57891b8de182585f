"""Score the same texts in several ways: one by one, padded at either side, with other attention."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.encoding import Encoded
from seal_datasets.rewards.scorer import Scorer

Floats = NDArray[np.float64]
Inputs = dict[str, list[int]]

_SPREAD_SHARE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.25}
_ROUNDINGS = 8


def score_one_by_one(model: RewardModel, texts: Sequence[Inputs]) -> Floats:
    """Score texts one by one, without padding.

    Args:
        model (`RewardModel`): One that does not pack.
        texts (`Sequence[dict[str, list[int]]]`): Encoded texts.

    Returns:
        `ndarray` of shape (n,): Raw rewards; some may be nan or infinite.
    """
    return score_padded(model, texts, side="right", n=1)


def score_padded(model: RewardModel, texts: Sequence[Inputs], *, side: str, n: int) -> Floats:
    """Score texts in padded batches of `n`, in the order given.

    Args:
        model (`RewardModel`): One that does not pack.
        texts (`Sequence[dict[str, list[int]]]`): Encoded texts.
        side (`"left"` or `"right"`): Side of the padding.
        n (`int`): Texts per batch.

    Returns:
        `ndarray` of shape (n,): Raw rewards.
    """
    rewards: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(texts), n):
            batch = model.encoder.tokenizer.pad(
                list(texts[start : start + n]), padding=n > 1, padding_side=side, return_tensors="pt"
            )
            sent = {name: values.to(model.device) for name, values in batch.items()}
            rewards += model.reward_of(model.logits(sent)).tolist()
    return np.array(rewards, dtype=np.float64)


def score_as_used(model: Scorer, encoded: Sequence[Encoded]) -> Floats:
    """Score texts with the model's own `reward_by_key`, batched or packed.

    Args:
        model (`Scorer`): The model, as used for scoring.
        encoded (`Sequence[Encoded]`): Encoded texts, all with inputs.

    Returns:
        `ndarray` of shape (n,): Raw rewards.
    """
    rewards = model.reward_by_key(encoded)
    return np.array([rewards[text.key] for text in encoded], dtype=np.float64)


@contextlib.contextmanager
def use_attention(model: RewardModel, implementation: str) -> Iterator[None]:
    """Switch a model to another attention implementation in a `with` block.

    Raises:
        ValueError: The model has no such implementation.
        ImportError: It needs a package that is not installed.
    """
    before = model.model.config._attn_implementation
    try:
        model.model.set_attn_implementation(implementation)
        yield
    finally:
        model.model.set_attn_implementation(before)


@contextlib.contextmanager
def count_every_token(model: RewardModel) -> Iterator[None]:
    """Read rewards at a text's last token, whatever it is, for the length of a `with` block; one text at a time.

    A causal model otherwise passes over tokens at the end that equal the padding token.
    """
    config = model.model.config.get_text_config()
    before = config.pad_token_id
    config.pad_token_id = None
    try:
        yield
    finally:
        config.pad_token_id = before


def largest(one: Floats, other: Floats) -> float:
    """Largest difference between two scores of one text.

    Args:
        one (`ndarray` of shape (n,)): Scores.
        other (`ndarray` of shape (n,)): Scores of the same texts, computed in another way.

    Returns:
        `float`: Infinite if only one score of a text is finite, nan if no text has two finite scores.

    Example:

    ```python
    >>> largest(np.array([1.0, 2.0]), np.array([1.0, 2.5]))
    0.5

    ```
    """
    both = np.isfinite(one) & np.isfinite(other)
    if (np.isfinite(one) != np.isfinite(other)).any():
        return float("inf")
    return float(np.abs(one[both] - other[both]).max()) if both.any() else float("nan")


def tolerance(rewards: Floats, dtype: torch.dtype) -> float:
    """Largest acceptable difference of a score: a small share of the spread of scores, or a few roundings.

    Args:
        rewards (`ndarray` of shape (n,)): Scores of different texts.
        dtype (`torch.dtype`): Of the weights.

    Returns:
        `float`: 0.1 % of the standard deviation in float32, 5 % in float16 and 25 % in bfloat16. It is at least 8 roundings of
        the largest score.
    """
    finite = rewards[np.isfinite(rewards)]
    if not finite.size:
        return 0.0
    roundings = _ROUNDINGS * float(torch.finfo(dtype).eps)
    return max(_SPREAD_SHARE.get(dtype, 1e-3) * float(finite.std()), roundings * float(np.abs(finite).max()))

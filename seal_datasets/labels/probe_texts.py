"""What a probe makes of a text: its parts to embed, their keys, its surface, and the part of the prompts it is in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal_datasets.data.texts import Text
from seal_datasets.labels.design import Floats
from seal_datasets.labels.probe_heads import N_FOLDS, Codes
from seal_datasets.labels.surface import surface_features


def folds_of(prompts: Sequence[str] | NDArray[Any]) -> Codes:
    """Part of each prompt, by a hash of its id.

    Example:

    ```python
    >>> folds_of(["a", "b", "a"]).tolist()
    [3, 9, 3]

    ```
    """
    parts = {prompt: hashlib.blake2b(str(prompt).encode(), digest_size=4).digest() for prompt in set(prompts)}
    return np.array([int.from_bytes(parts[prompt], "big") % N_FOLDS for prompt in prompts], dtype=np.int64)


def text_parts(text: Text) -> tuple[str, str]:
    """What is embedded of a text: the response, and the dialogue with it."""
    return text.response, f"{text.prompt}\n\n{text.response}"


def text_keys(text: Text) -> tuple[bytes, bytes]:
    """Keys of both parts, by their content."""
    response, dialogue = (
        hashlib.blake2b(part.encode("utf-8", "surrogatepass"), digest_size=16).digest() for part in text_parts(text)
    )
    return response, dialogue


def surface_numbers(response: str) -> Floats:
    """Surface features of a response, shape (s,); 0 where one is undefined."""
    return np.array([np.nan_to_num(float(value)) for value in surface_features(response).values()])

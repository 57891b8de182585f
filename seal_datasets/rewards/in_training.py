"""Models as a TRL trainer holds them: scored on the trainer's own tokens, known by their weights, left as they were found."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from transformers import PreTrainedModel

from seal_datasets.rewards.batching import run_batches, token_batches
from seal_datasets.rewards.encoding import Encoded
from seal_datasets.rewards.implicit import log_likelihoods
from seal_datasets.rewards.scorer import Scorer

_IDS, _START = "input_ids", "response_start"

Context = Callable[[], AbstractContextManager[object]]


def whole_text(ids: Sequence[int]) -> Encoded:
    """A text of a reward model, from its tokens."""
    return Encoded({_IDS: list(ids)}, "ok", len(ids))


def continuation(prompt: Sequence[int], response: Sequence[int], max_length: int | None, *, keep_end: bool) -> Encoded:
    """A prompt and its response as DPO sees them: cut to the trainer's length, at the end or at the start.

    Args:
        prompt (`Sequence[int]`): Tokens of the prompt.
        response (`Sequence[int]`): Tokens of the response.
        max_length (`int`, *optional*): Most tokens of both; no limit when omitted.
        keep_end (`bool`): Whether the start is cut.

    Returns:
        `Encoded`: Without inputs where no token of the response is left, or nothing stands before it.

    Example:

    ```python
    >>> continuation([1, 2, 3], [4, 5], 4, keep_end=False).inputs
    {'input_ids': [1, 2, 3, 4], 'response_start': [3]}
    >>> continuation([1, 2, 3], [4, 5], 4, keep_end=True).inputs
    {'input_ids': [2, 3, 4, 5], 'response_start': [2]}

    ```
    """
    ids, start = [*prompt, *response], len(prompt)
    n_tokens = len(ids)
    if max_length is not None and n_tokens > max_length:
        start = max(start - (n_tokens - max_length), 0) if keep_end else start
        ids = ids[-max_length:] if keep_end else ids[:max_length]
    start = max(start, 1)  # the first token of a text has no prediction
    return (
        Encoded({_IDS: ids, _START: [start]}, "ok", n_tokens) if start < len(ids) else Encoded({}, "too_long", n_tokens)
    )


@contextlib.contextmanager
def evaluating(*models: torch.nn.Module) -> Iterator[None]:
    """Switch dropout and gradients off, and put every module's mode and the states of random numbers back afterwards."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    devices = {parameter.device for model in models for parameter in model.parameters() if parameter.is_cuda}
    try:
        with torch.random.fork_rng(devices=sorted(devices, key=str)), torch.no_grad():
            for model in models:
                model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def weights_digest(model: torch.nn.Module, *, frozen_only: bool = False) -> str:
    """A hash of a model's weights by the sum and the norm of each: two steps of a training have different ones.

    Args:
        model (`Module`): Its weights are read once where they are, and two numbers of each are copied.
        frozen_only (`bool`, defaults to `False`): Whether weights that are trained are left out, as those of an adapter.

    Returns:
        `str`: Hexadecimal digits. Weights that are no floating-point numbers (quantised ones) are not read.
    """
    sums, digest = [], hashlib.blake2b(digest_size=16)
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not (frozen_only and parameter.requires_grad):
            values = parameter.detach()
            values = values.cpu() if values.device.type == "mps" else values  # which has no float64
            norm = torch.linalg.vector_norm(values, dtype=torch.float64)
            sums.append(torch.stack([values.sum(dtype=torch.float64), norm]).cpu())
            digest.update(f"{name} {tuple(values.shape)} {values.dtype} ".encode())
    digest.update(torch.stack(sums).numpy().tobytes() if sums else b"")
    return digest.hexdigest()


class ModelInTraining(Scorer):
    """A model that a trainer holds; what it gives a text depends on its weights at this moment.

    Args:
        model (`PreTrainedModel`): The model, on its device.
        tokens_per_batch (`int`): Tokens of a batch, padding included.
        precision (`str`): The trainer's mixed precision, e.g. `"bf16"` or `"no"`.
        within (`Callable`): Makes the context that the model is run in.
        frozen_only (`bool`, defaults to `False`): Whether that context switches the weights off that are trained.
    """

    kind: str

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        tokens_per_batch: int,
        precision: str,
        within: Context,
        frozen_only: bool = False,
    ) -> None:
        self.model, self.tokens_per_batch, self._within = model, tokens_per_batch, within
        self._identity: dict[str, object] = {
            "kind": self.kind,
            "model": str(getattr(model, "name_or_path", "")),
            "weights": weights_digest(model, frozen_only=frozen_only),
            "precision": precision,
        }

    def identity(self) -> dict[str, object]:
        """See `Scorer`."""
        return self._identity

    def rewards(self, encoded: Sequence[Encoded]) -> Iterator[list[tuple[int, float]]]:
        """See `Scorer`; the caller switches dropout off, see `evaluating`."""
        texts = [text.inputs for text in encoded]

        def run(batch: list[int]) -> tuple[list[int], Callable[[], list[float]]]:
            with self._within():
                return batch, self.values([texts[position] for position in batch]).tolist

        yield from run_batches(token_batches([len(text[_IDS]) for text in texts], self.tokens_per_batch), run)

    def values(self, texts: list[dict[str, list[int]]]) -> torch.Tensor:
        """What the model gives each text of a batch."""
        raise NotImplementedError


class ClassifierInTraining(ModelInTraining):
    """A reward model in training: its one output."""

    kind = "classifier in training"

    def values(self, texts: list[dict[str, list[int]]]) -> torch.Tensor:
        """See `ModelInTraining`; padding is at the right, as in TRL's batches."""
        config = self.model.config.get_text_config()
        longest = max(len(text[_IDS]) for text in texts)
        padded = [text[_IDS] + [config.pad_token_id or 0] * (longest - len(text[_IDS])) for text in texts]
        mask = [[1] * len(text[_IDS]) + [0] * (longest - len(text[_IDS])) for text in texts]
        inputs: dict[str, Any] = {
            _IDS: torch.tensor(padded, device=self.model.device),
            "attention_mask": torch.tensor(mask, device=self.model.device),
        }
        logits: torch.Tensor = self.model(**inputs, use_cache=False).logits
        return logits.squeeze(-1).float()


class LikelihoodInTraining(ModelInTraining):
    """A policy in training, or its reference: the log-likelihood of a response after its prompt."""

    kind = "likelihood in training"

    def values(self, texts: list[dict[str, list[int]]]) -> torch.Tensor:
        """See `ModelInTraining`."""
        return log_likelihoods(self.model, texts)

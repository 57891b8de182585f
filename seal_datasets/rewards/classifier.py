"""A sequence classifier as a reward model: raw logits in float32, with every text accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import torch
from transformers import AutoModelForSequenceClassification
from transformers.modeling_layers import GenericForSequenceClassification

from seal_datasets.data.texts import Exchange
from seal_datasets.errors import ModelError
from seal_datasets.rewards.batching import run_batches, token_batches
from seal_datasets.rewards.encoding import Encoded, Encoder, OverLength
from seal_datasets.rewards.heads import probe, read_outputs
from seal_datasets.rewards.loading import length_limit, load_model, place
from seal_datasets.rewards.openvino import OpenVinoEncoder
from seal_datasets.rewards.options import Backend, ModelOptions
from seal_datasets.rewards.packing import ATTENTION, Tree, can_pack, packed_logits, packed_rows, texts_of
from seal_datasets.rewards.scorer import NO_TEMPLATE, Scorer, check_template

SCORE_VERSION = "2"

# On CPUs, small batches have little padding and are no slower; see docs/benchmarks.md.
_TOKENS_PER_BATCH = {"cuda": 32768, "cpu": 1024, "cpu packed": 2048, "cpu openvino": 384}

_SAMPLE = ("Name a colour.", "How do I boil an egg?")


class RewardModel(Scorer):
    """A sequence classifier that is ready to score, with what identifies it.

    An encoder scores padded batches of texts of similar length, each with about the same number of tokens. A causal model is
    packed: a prompt that several responses share is computed once (see `packing`). Where memory runs out, batches are halved
    and every text is still scored. An adapter made with PEFT is merged into its base.

    Args:
        name_or_path (`str` or `Path`): Hub id or local folder.
        over_length (`"error"`, `"truncate"` or `"skip"`, defaults to `"error"`): Policy for texts longer than `max_length`.
        head (`int` or `Sequence[float]`, *optional*): For a model with several outputs: which one is the reward, or the weight
            of each.
        backend (`"torch"` or `"openvino"`, defaults to `"torch"`): Library that runs the model. OpenVINO is for encoders in
            float32 on a CPU; its logits on two texts are compared with those of torch before it is used.
        options (`ModelOptions`, *optional*): Revision, precision, batch size and what is allowed to run.

    Raises:
        ModelError: The model cannot be found, has no trained head, or has several outputs and no `head` was given.
        ModelError: The model needs what was not allowed, or the backend does not support it.
        MissingExtraError: The backend is not installed.

    Example:

    ```python
    >>> model = RewardModel("my/rm", over_length="truncate")     # doctest: +SKIP
    >>> model.score([exchange])[0].reward                        # doctest: +SKIP
    -2.3125

    ```
    """

    def __init__(
        self,
        name_or_path: str | Path,
        *,
        over_length: OverLength = "error",
        head: int | Sequence[float] | None = None,
        backend: Backend = "torch",
        options: ModelOptions | None = None,
    ) -> None:
        if backend not in get_args(Backend):
            raise ModelError(f"backend must be one of {list(get_args(Backend))}, got {backend!r}")
        options = options or ModelOptions()
        self.name, self.head = str(name_or_path), head
        loaded = load_model(
            self.name,
            AutoModelForSequenceClassification,
            kind="sequence-classification reward model",
            options=options,
        )
        tokenizer, self.model, self._about = loaded.tokenizer, loaded.model, loaded.identity
        longest = length_limit(self.model, tokenizer, options.max_length)
        self.encoder = Encoder(tokenizer, longest, over_length, options.merge_system)
        check_template(self.encoder, self.name)
        causal = isinstance(self.model, GenericForSequenceClassification)
        self.lacks_template = causal and self.encoder.style == "text_pair"
        self.notes = (NO_TEMPLATE,) if self.lacks_template else ()
        self._find_padding(causal)
        self.device = place(self.model, self.name, options.device_map)
        self._own_code = loaded.own_code
        self.packs = self._may_pack(options)
        self.pads = tokenizer.pad_token is not None
        n_outputs = self._probe_own_code() if self._own_code else self.model.config.num_labels
        self._weights = _head_weights(self.name, n_outputs, head)
        if not self.packs and tokenizer.pad_token is None:
            self.notes += ("its tokenizer has no padding token, so each text is scored by itself",)
        self.backend: Backend = backend
        self._openvino = None
        if backend == "openvino":
            self._openvino = OpenVinoEncoder(self.name, self.model, self._pad(self._sample()))
        self.tokens_per_batch = options.tokens_per_batch or self._usual_tokens()

    @property
    def revision(self) -> str:
        """The Hub commit of the model or adapter, or for a local folder a hash of its weights."""
        return str(self._about["revision"])

    def _find_padding(self, causal: bool) -> None:
        """Give tokenizer and model one padding token, where there is one that changes no score."""
        tokenizer, config = self.encoder.tokenizer, self.model.config.get_text_config()
        if tokenizer.pad_token is None and isinstance(getattr(config, "pad_token_id", None), int):
            token = tokenizer.convert_ids_to_tokens(config.pad_token_id)
            tokenizer.pad_token = token if isinstance(token, str) else None
        if tokenizer.pad_token is None and not causal:
            # Encoders do not attend to padding. A causal model reads its score at the last token that is no padding.
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.sep_token or tokenizer.unk_token
            if tokenizer.pad_token is not None:
                self.notes += (f"its tokenizer has no padding token; {tokenizer.pad_token} pads",)
        if getattr(config, "pad_token_id", None) is None and tokenizer.pad_token is not None:
            config.pad_token_id = tokenizer.pad_token_id

    def _may_pack(self, options: ModelOptions) -> bool:
        allowed = options.pack is not False and options.attention is None and options.device_map is None
        packs = allowed and can_pack(self.model, self.encoder.max_length)
        if options.pack and not packs:
            raise ModelError(
                f"{self.name!r} cannot be scored packed: its attention does not take a custom mask; "
                "leave pack, attention and device_map out"
            )
        if packs:
            self.model.set_attn_implementation(ATTENTION)
            if self.encoder.tokenizer.pad_token is None:
                self.notes += ("its tokenizer has no padding token; texts are scored packed, at their last token",)
        return packs

    def _probe_own_code(self) -> int:
        """Outputs of a head of own code; where its batches give other scores, each text is scored by itself."""
        long, short = sorted(self._sample(), key=lambda text: -text.n_tokens)
        together = self._pad([long, short] if self.pads else [short])
        inputs = [
            {name: each.to(self.device) for name, each in text.items()} for text in (together, self._pad([short]))
        ]
        n_outputs, same = probe(self.model, self.name, *inputs)
        if not same:
            self.pads = False
            self.notes += ("its code scores a text otherwise in a batch, so each is scored by itself",)
        return n_outputs

    def _sample(self) -> list[Encoded]:
        """Two short texts of different lengths."""
        texts = [Exchange(text, [{"role": "user", "content": text}], text) for text in _SAMPLE]
        return self.encoder.encode(texts)

    def identity(self) -> dict[str, object]:
        """See `Scorer`."""
        return {
            "model": self.name,
            **self._about,
            "architecture": type(self.model).__name__,
            "head": list(self.head) if isinstance(self.head, Sequence) else self.head,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "backend": self.backend,
            "score_version": SCORE_VERSION,
        }

    def _usual_tokens(self) -> int:
        if self.device.type == "cuda":
            return _TOKENS_PER_BATCH["cuda"]
        how = " packed" if self.packs else " openvino" if self.backend == "openvino" else ""
        return _TOKENS_PER_BATCH[f"cpu{how}"]

    @torch.inference_mode()
    def rewards(self, encoded: Sequence[Encoded]) -> Iterator[list[tuple[int, float]]]:
        """See `Scorer`; the longest texts come first, and a batch is computed while the one before is read."""
        if self.packs:
            ids = [text.inputs["input_ids"] for text in encoded]
            yield from run_batches(packed_rows(ids, self.tokens_per_batch), lambda batch: self._packed(ids, batch))
        else:
            lengths = [len(text.inputs["input_ids"]) for text in encoded]
            batches = token_batches(lengths, self.tokens_per_batch if self.pads else 1)
            ahead = self._openvino.n_at_once if self._openvino is not None else 1
            yield from run_batches(batches, lambda batch: self._padded(encoded, batch), ahead=ahead)

    def _padded(self, encoded: Sequence[Encoded], batch: list[int]) -> tuple[list[int], Callable[[], list[float]]]:
        padded = self._pad([encoded[position] for position in batch])
        if self._openvino is not None:
            wait = self._openvino.begin(padded)
            return batch, lambda: self.reward_of(wait()).tolist()
        if self.device.type == "cuda":
            padded = {name: values.pin_memory() for name, values in padded.items()}
        sent = {name: values.to(self.device, non_blocking=True) for name, values in padded.items()}
        return batch, self.reward_of(self.logits(sent)).tolist

    def logits(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The model's outputs, one row for each text."""
        output = self.model(**inputs)
        found = read_outputs(output) if self._own_code else output.logits
        if found is None or found.dim() != 2:
            raise ModelError(f"the code of {self.name!r} gives no row of outputs for each text")
        return found

    def _pad(self, texts: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        inputs = [text.inputs for text in texts]
        # Padding at the right leaves learned positions as in training.
        several = len(inputs) > 1
        return dict(self.encoder.tokenizer.pad(inputs, padding=several, padding_side="right", return_tensors="pt"))

    def _packed(self, ids: Sequence[Sequence[int]], batch: list[Tree]) -> tuple[list[int], Callable[[], list[float]]]:
        logits = packed_logits(self.model, ids, batch)
        return texts_of(batch), self.reward_of(logits).tolist

    def reward_of(self, logits: torch.Tensor) -> torch.Tensor:
        """The reward of each text, from the model's logits: its one output, or those that `head` names."""
        rewards: torch.Tensor = logits.float() @ self._weights.to(logits.device)
        return rewards


def _head_weights(name: str, n_outputs: int, head: int | Sequence[float] | None) -> torch.Tensor:
    """The weight of each output in the reward."""
    if head is None:
        if n_outputs != 1:
            raise ModelError(
                f"{name!r} has {n_outputs} outputs; a reward model has one (num_labels=1). Set head to the index of "
                f"the reward, 0 to {n_outputs - 1}, or to one weight per output"
            )
        return torch.ones(1)
    if isinstance(head, int):
        if not 0 <= head < n_outputs:
            raise ModelError(f"head {head} is not one of the {n_outputs} outputs of {name!r}, 0 to {n_outputs - 1}")
        return torch.eye(n_outputs)[head]
    if len(head) != n_outputs:
        raise ModelError(f"{len(head)} weights were given for the {n_outputs} outputs of {name!r}; give one for each")
    return torch.tensor([float(weight) for weight in head])

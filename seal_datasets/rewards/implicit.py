"""The implicit reward of a policy: its log-likelihood of a response minus that of a reference policy."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Literal, get_args

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from seal_datasets.data.texts import Exchange
from seal_datasets.errors import DataError, ModelError
from seal_datasets.rewards.batching import run_batches, token_batches
from seal_datasets.rewards.encoding import Encoded, Encoder, Inputs, OverLength, each_rendered, tokenizer_state
from seal_datasets.rewards.loading import Loaded, length_limit, load_model, place
from seal_datasets.rewards.options import ModelOptions
from seal_datasets.rewards.packing import ATTENTION, Tree, can_pack, packed_rows, packed_states, texts_of
from seal_datasets.rewards.scorer import NO_TEMPLATE, Scorer, check_template
from seal_datasets.rewards.templates import Refused, render

Normalise = Literal["sum", "length"]

IMPLICIT_VERSION = "1"

# Each position of a response has a logit for every word of the vocabulary, so batches are smaller than a classifier's.
_TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 8192}
_TOKENS_OF_LOGITS = 512
_IDS, _START = "input_ids", "response_start"


class ContinuationEncoder(Encoder):
    """Encodes a prompt followed by its response for a causal model, with the position where the response begins.

    With a chat template the prompt and the whole conversation are both rendered; the response begins at the first token that
    differs. Without one, the tokens are those of the prompt, of the response, and the end-of-text token. A beginning-of-text
    token comes first where the tokenizer adds one.
    """

    counts: Counter[str]
    """`uneven` counts texts whose rendered prompt is not a prefix of the whole; their common prefix serves as the prompt."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "digest", f"continuation {self.digest}")
        object.__setattr__(self, "counts", Counter())

    @property
    def style(self) -> str:
        """Form of the input: `chat_template` or `continuation`."""
        return "chat_template" if self.tokenizer.chat_template else "continuation"

    def encode(self, exchanges: Sequence[Exchange]) -> list[Encoded]:
        """Turn texts into model inputs. An empty response has none where the tokenizer adds no end-of-text token."""
        return [
            Encoded({}, "no_text", text.n_tokens)
            if text.inputs and text.inputs[_START][0] >= len(text.inputs[_IDS])
            else text
            for text in super().encode(exchanges)
        ]

    def _tokenize(self, exchanges: Sequence[Exchange]) -> list[Inputs | Refused]:
        if not exchanges:
            return []
        parts = self._rendered(exchanges) if self.tokenizer.chat_template else self._joined(exchanges)
        # The first token of a text has no prediction.
        return [part if isinstance(part, Refused) else {_IDS: part[0], _START: [max(part[1], 1)]} for part in parts]

    def _rendered(self, exchanges: Sequence[Exchange]) -> list[tuple[list[int], int] | Refused]:
        prompts = [exchange.conversation for exchange in exchanges]
        wholes = [
            [*exchange.conversation, {"role": "assistant", "content": exchange.response}] for exchange in exchanges
        ]
        tokens = [
            each_rendered(render(self.tokenizer, turns, add_generation_prompt=is_prompt), self._tokens_of)
            for turns, is_prompt in ((prompts, True), (wholes, False))
        ]
        parts: list[tuple[list[int], int] | Refused] = []
        for before, after in zip(*tokens, strict=True):
            if isinstance(before, Refused) or isinstance(after, Refused):
                parts.append(after if isinstance(after, Refused) else before)
                continue
            prompt, whole = before[_IDS], after[_IDS]
            start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(prompt, whole, strict=False)))
            self.counts["uneven"] += start < len(prompt)
            parts.append((list(whole), start))
        return parts

    def _joined(self, exchanges: Sequence[Exchange]) -> list[tuple[list[int], int] | Refused]:
        texts = [*(exchange.prompt for exchange in exchanges), *(exchange.response for exchange in exchanges)]
        ids = self.tokenizer(texts, add_special_tokens=False, verbose=False)[_IDS]
        begin, end = self._begin(), [self.tokenizer.eos_token_id] if self.tokenizer.eos_token_id is not None else []
        return [
            ([*begin, *prompt, *response, *end], len(begin) + len(prompt))
            for prompt, response in zip(ids[: len(exchanges)], ids[len(exchanges) :], strict=True)
        ]

    def _begin(self) -> list[int]:
        first = self.tokenizer("a")[_IDS][:1]
        return list(first) if first == [self.tokenizer.bos_token_id] else []

    def _shorten(self, exchange: Exchange) -> Inputs | None:
        """Drop the oldest turns or tokens of the prompt, never any of the response."""
        if self.tokenizer.chat_template:
            return self._fewer_turns(exchange)
        (inputs,) = self._tokenize([exchange])
        if isinstance(inputs, Refused):
            return None
        whole, (start,), begin = inputs[_IDS], inputs[_START], self._begin()
        room = self.max_length - len(begin) - len(whole[start:])
        if room + len(begin) < 1 or room < 0:
            return None
        return {_IDS: [*begin, *whole[start - room : start], *whole[start:]], _START: [len(begin) + room]}


class ImplicitReward(Scorer):
    """The DPO reward of a policy: beta * (log pi(response | prompt) - log ref(response | prompt)).

    Log-likelihoods are sums over the tokens of the response, from logits in float32. Both models see the same tokens.

    Args:
        policy (`str` or `Path`): Causal language model, a Hub id or local folder.
        reference (`str` or `Path`, *optional*): The model that the policy was trained from; when omitted the reward is
            beta * log pi(response | prompt).
        beta (`float`, defaults to 1.0): Scale of the reward.
        normalise (`"sum"` or `"length"`, defaults to `"sum"`): Whether the log-ratio is divided by the response's tokens.
        over_length (`"error"`, `"truncate"` or `"skip"`, defaults to `"error"`): Policy for texts longer than `max_length`.
        options (`ModelOptions`, *optional*): How both models are loaded and run; its `revision` is the policy's.
        reference_revision (`str`, *optional*): Branch, tag or commit of the reference on the Hub.

    Raises:
        ModelError: A model is not a causal language model or cannot be packed, or the tokenizers differ.
        DataError: An option is not one of those above.

    Example:

    ```python
    >>> reward = ImplicitReward("my/policy", "my/reference", beta=0.1)     # doctest: +SKIP
    >>> reward.score([exchange])[0].reward                                 # doctest: +SKIP
    0.5173

    ```
    """

    def __init__(
        self,
        policy: str | Path,
        reference: str | Path | None = None,
        *,
        beta: float = 1.0,
        normalise: Normalise = "sum",
        over_length: OverLength = "error",
        options: ModelOptions | None = None,
        reference_revision: str | None = None,
    ) -> None:
        if normalise not in get_args(Normalise):
            raise DataError(f"normalise must be one of {list(get_args(Normalise))}, got {normalise!r}")
        if not beta > 0.0:
            raise DataError(f"beta must be above 0, got {beta}")
        options = options or ModelOptions()
        self.beta, self.normalise = float(beta), normalise
        names, of_role = {"policy": str(policy)}, {"policy": options}
        if reference is not None:
            names["reference"], of_role["reference"] = str(reference), replace(options, revision=reference_revision)
        loaded = {
            role: load_model(name, AutoModelForCausalLM, kind="causal language model", options=of_role[role])
            for role, name in names.items()
        }
        tokenizer = loaded["policy"].tokenizer
        if reference is not None:
            _check_same_tokens(names, tokenizer, loaded["reference"].tokenizer)
        max_length = min(length_limit(each.model, each.tokenizer, options.max_length) for each in loaded.values())
        self.encoder = ContinuationEncoder(tokenizer, max_length, over_length, options.merge_system)
        check_template(self.encoder, names["policy"])
        self.lacks_template = self.encoder.style == "continuation"
        self.notes = (NO_TEMPLATE,) if self.lacks_template else ()
        self._identities = {role: _model_identity(names[role], each) for role, each in loaded.items()}
        self.models = {role: each.model for role, each in loaded.items()}
        devices = [place(model, names[role], options.device_map) for role, model in self.models.items()]
        self.device = devices[0]
        allowed = options.pack is not False and options.attention is None and options.device_map is None
        self.packs = allowed and all(can_pack(model, max_length) for model in self.models.values())
        if options.pack and not self.packs:
            raise ModelError(
                f"{names['policy']!r} cannot be scored packed: its attention does not take a custom mask; "
                "leave pack, attention and device_map out"
            )
        if self.packs:
            for model in self.models.values():
                model.set_attn_implementation(ATTENTION)
        self.tokens_per_batch = options.tokens_per_batch or _TOKENS_PER_BATCH.get(
            self.device.type, _TOKENS_PER_BATCH["cpu"]
        )

    def identity(self) -> dict[str, object]:
        """See `Scorer`."""
        return {
            "kind": "implicit",
            **self._identities["policy"],
            "reference": self._identities.get("reference"),
            "beta": self.beta,
            "normalise": self.normalise,
            "score_version": IMPLICIT_VERSION,
        }

    @torch.inference_mode()
    def rewards(self, encoded: Sequence[Encoded]) -> Iterator[list[tuple[int, float]]]:
        """See `Scorer`."""
        texts = [text.inputs for text in encoded]
        if self.packs:
            rows = packed_rows([text[_IDS] for text in texts], self.tokens_per_batch)
            yield from run_batches(rows, lambda batch: self._packed(texts, batch))
        else:
            batches = token_batches([len(text[_IDS]) for text in texts], self.tokens_per_batch)
            yield from run_batches(batches, lambda batch: self._padded(texts, batch))

    def _padded(
        self, texts: list[dict[str, list[int]]], order: list[int]
    ) -> tuple[list[int], Callable[[], list[float]]]:
        batch = [texts[index] for index in order]
        return order, self._rewards(batch, lambda model: log_likelihoods(model, batch)).tolist

    def _packed(
        self, texts: list[dict[str, list[int]]], trees: list[Tree]
    ) -> tuple[list[int], Callable[[], list[float]]]:
        order = texts_of(trees)
        batch = [texts[index] for index in order]
        return order, self._rewards(batch, lambda model: packed_log_likelihoods(model, texts, trees)).tolist

    def _rewards(
        self, batch: list[dict[str, list[int]]], likelihoods: Callable[[PreTrainedModel], torch.Tensor]
    ) -> torch.Tensor:
        rewards = likelihoods(self.models["policy"])
        if "reference" in self.models:
            rewards = rewards - likelihoods(self.models["reference"])
        if self.normalise == "length":
            n_tokens = [len(text[_IDS]) - text[_START][0] for text in batch]
            rewards = rewards / torch.tensor(n_tokens, device=rewards.device)
        return self.beta * rewards


def log_likelihoods(model: PreTrainedModel, batch: Sequence[dict[str, list[int]]]) -> torch.Tensor:
    """Log-likelihood of each response after its prompt.

    Args:
        model (`PreTrainedModel`): A causal language model.
        batch (`Sequence[dict[str, list[int]]]`): `input_ids` and, as a list of one, `response_start`.

    Returns:
        `torch.Tensor`: Sums of float32 log-probabilities over each response's tokens. They are in float64, so that large sums
        are not rounded before the reference's is subtracted.
    """
    longest = max(len(text[_IDS]) for text in batch)
    # Padding is at the right, where a causal model does not attend to it: any token serves.
    padded = [text[_IDS] + [0] * (longest - len(text[_IDS])) for text in batch]
    mask = [[1] * len(text[_IDS]) + [0] * (longest - len(text[_IDS])) for text in batch]
    ids = torch.tensor(padded, device=model.device)
    first = min(text[_START][0] for text in batch) - 1
    # Logits take most of the memory; only those of the responses are needed.
    kept = {"logits_to_keep": longest - first} if "logits_to_keep" in _parameters(model) else {}
    logits = model(
        input_ids=ids, attention_mask=torch.tensor(mask, device=model.device), use_cache=False, **kept
    ).logits[:, first - longest :]
    totals = []
    for row, text in enumerate(batch):
        start, end = text[_START][0], len(text[_IDS])
        scores = logits[row, start - 1 - first : end - 1 - first].float()
        chosen = scores.gather(1, ids[row, start:end, None]).squeeze(1) - scores.logsumexp(dim=1)
        totals.append(chosen.double().sum())
    return torch.stack(totals)


def packed_log_likelihoods(
    model: PreTrainedModel, texts: Sequence[dict[str, list[int]]], trees: Sequence[Tree]
) -> torch.Tensor:
    """Log-likelihood of each response after its prompt; prefixes that texts share are computed once.

    Args:
        model (`PreTrainedModel`): A causal language model that `can_pack`, with `ATTENTION` as its attention implementation.
        texts (`Sequence[dict[str, list[int]]]`): All texts, as for `log_likelihoods`.
        trees (`Sequence[Tree]`): Which of them to run.

    Returns:
        `torch.Tensor`: As of `log_likelihoods`, for each text of each tree, in their order.
    """
    states, places = packed_states(model, [text[_IDS] for text in texts], trees)
    order = texts_of(trees)
    before, chosen, owner = [], [], []
    for row, (text, positions) in enumerate(zip(order, places, strict=True)):
        start = texts[text][_START][0]
        before += positions[start - 1 : -1]
        chosen += texts[text][_IDS][start:]
        owner += [row] * (len(positions) - start)
    head = model.get_output_embeddings()
    scores = []
    # Each token has one logit per word of the vocabulary, so a few tokens are computed at a time.
    for part in range(0, len(before), _TOKENS_OF_LOGITS):
        logits = head(states[before[part : part + _TOKENS_OF_LOGITS]]).float()
        ids = torch.tensor(chosen[part : part + _TOKENS_OF_LOGITS], device=logits.device)
        scores.append(logits.gather(1, ids[:, None]).squeeze(1) - logits.logsumexp(dim=1))
    totals = torch.zeros(len(order), dtype=torch.float64, device=model.device)
    return totals.index_add_(0, torch.tensor(owner, device=model.device), torch.cat(scores).double())


def _parameters(model: PreTrainedModel) -> set[str]:
    return set(inspect.signature(model.forward).parameters)


def _model_identity(name: str, loaded: Loaded) -> dict[str, object]:
    return {
        "model": name,
        **loaded.identity,
        "architecture": type(loaded.model).__name__,
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
    }


def _check_same_tokens(
    names: Mapping[str, str], policy: PreTrainedTokenizerBase, reference: PreTrainedTokenizerBase
) -> None:
    if tokenizer_state(policy) != tokenizer_state(reference):
        raise ModelError(
            f"the policy {names['policy']!r} and the reference {names['reference']!r} split texts into different tokens, "
            "so their likelihoods cannot be compared; give the model that the policy was trained from"
        )

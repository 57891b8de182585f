"""A reward model that gives raw logits in float32, with every text accounted for.

Works with any `AutoModelForSequenceClassification` that has one output. A tokenizer with a chat template gets the whole
conversation through it; any other gets prompt and response as the two segments of its pair input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import httpx2
import torch
import transformers
from accelerate import PartialState
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import (
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from seal_datasets.errors import DataError, ModelError

SCORE_VERSION = "1"

OverLength = Literal["error", "truncate", "skip"]
Status = Literal["ok", "truncated", "too_long", "no_text"]
Conversation = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One text to score: the prompt as text and as turns, and the response to it."""

    prompt: str
    conversation: Conversation
    response: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text in a model's tokens.

    Attributes:
        inputs (`dict[str, list[int]]`): `input_ids` and whatever else the tokenizer makes; empty when not scored.
        status (`str`): `ok`, `truncated` or `too_long`.
        n_tokens (`int`): Length before any truncation.
    """

    inputs: dict[str, list[int]]
    status: Status
    n_tokens: int


def encode(
    exchanges: Sequence[Exchange], tokenizer: PreTrainedTokenizerBase, *, max_length: int, over_length: OverLength
) -> list[Encoded]:
    """Turn texts into model inputs under a stated policy for those that are too long.

    Args:
        exchanges (`Sequence[Exchange]`): The texts.
        tokenizer (`PreTrainedTokenizerBase`): With a chat template, or able to take pairs.
        max_length (`int`): Tokens the model can take.
        over_length (`"error"`, `"truncate"` or `"skip"`): Refuse, drop the start of the prompt (never any of the
            response), or leave the text without a reward.

    Returns:
        `list[Encoded]`: One per text, in order.

    Raises:
        DataError: A text is too long and the policy is `"error"`.
    """
    return [
        _fit(inputs, exchange, tokenizer, max_length, over_length)
        for inputs, exchange in zip(_tokenize(exchanges, tokenizer), exchanges, strict=True)
    ]


class RewardModel:
    """A reward model that is ready to score, with what identifies it.

    Args:
        name_or_path (`str` or `Path`): Hub id or local folder.
        revision (`str`, *optional*): Branch, tag or commit on the Hub; the commit it resolves to is recorded.
        max_length (`int`, *optional*): Tokens per text; the model's own limit when omitted.
        over_length (`"error"`, `"truncate"` or `"skip"`, defaults to `"error"`): What becomes of longer texts.
        batch_size (`int`, defaults to 16): Texts per forward pass.
        allow_pickle (`bool`, defaults to `False`): Whether weights may be read from pickle files, which can run code.

    Raises:
        ModelError: The model cannot be found, has no trained one-output head, or needs what was not allowed.
    """

    def __init__(
        self,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        max_length: int | None = None,
        over_length: OverLength = "error",
        batch_size: int = 16,
        allow_pickle: bool = False,
    ) -> None:
        if over_length not in get_args(OverLength):
            raise DataError(f"over_length must be one of {list(get_args(OverLength))}, got {over_length!r}")
        self.name = str(name_or_path)
        self.over_length: OverLength = over_length
        self.batch_size = batch_size
        self.tokenizer, self.model = _load(self.name, revision, allow_pickle)
        limit = _length_limit(self.model, self.tokenizer)
        if max_length is not None and max_length > limit:
            raise ModelError(f"max_length {max_length} is more than the {limit} tokens {self.name} can take")
        self.max_length = max_length or limit
        self.revision = _revision(self.name, self.model)
        self.device = PartialState().device
        self.model.to(self.device)

    @property
    def input_style(self) -> str:
        """How a text is shown to the model: `chat_template` or `text_pair`."""
        return "chat_template" if self.tokenizer.chat_template else "text_pair"

    def provenance(self) -> dict[str, object]:
        """Everything that decides this model's rewards, JSON-ready."""
        template = self.tokenizer.chat_template
        return {
            "model": self.name,
            "revision": self.revision,
            "architecture": type(self.model).__name__,
            "input_style": self.input_style,
            "template_hash": hashlib.sha256(str(template).encode()).hexdigest()[:16] if template else None,
            "max_length": self.max_length,
            "over_length": self.over_length,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "score_version": SCORE_VERSION,
        }

    def score(self, exchanges: Sequence[Exchange]) -> list[tuple[float | None, Status, int]]:
        """Score texts, longest first so that padding is small; equal inputs are scored once.

        Args:
            exchanges (`Sequence[Exchange]`): The texts.

        Returns:
            `list[tuple[float | None, str, int]]`: Reward (raw logit), status and length in tokens, in order.
        """
        encoded = encode(exchanges, self.tokenizer, max_length=self.max_length, over_length=self.over_length)
        keys = [repr(each.inputs) for each in encoded]
        distinct = {key: each.inputs for key, each in zip(keys, encoded, strict=True) if each.inputs}
        rewards: dict[str, float] = {}
        for batch in _batches(sorted(distinct, key=lambda key: -len(distinct[key]["input_ids"])), self.batch_size):
            logits = self._forward([distinct[key] for key in batch])
            rewards.update(zip(batch, logits, strict=True))
        return [(rewards.get(key), each.status, each.n_tokens) for key, each in zip(keys, encoded, strict=True)]

    def _forward(self, inputs: list[dict[str, list[int]]]) -> list[float]:
        padded = self.tokenizer.pad(inputs, padding=True, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            logits = self.model(**padded).logits
        rewards: list[float] = logits.squeeze(-1).float().cpu().tolist()
        return rewards


def _tokenize(exchanges: Sequence[Exchange], tokenizer: PreTrainedTokenizerBase) -> list[dict[str, list[int]]]:
    if not exchanges:
        return []
    if tokenizer.chat_template:
        turns = [[*each.conversation, {"role": "assistant", "content": each.response}] for each in exchanges]
        rendered = tokenizer.apply_chat_template(turns, tokenize=False)
        # The template writes the special tokens itself; adding them again would double the BOS.
        batch = tokenizer(rendered, add_special_tokens=False, verbose=False)
    else:
        batch = tokenizer([each.prompt for each in exchanges], [each.response for each in exchanges], verbose=False)
    return [{key: batch[key][row] for key in batch} for row in range(len(exchanges))]


def _fit(
    inputs: dict[str, list[int]],
    exchange: Exchange,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    over_length: OverLength,
) -> Encoded:
    n_tokens = len(inputs["input_ids"])
    if n_tokens <= max_length:
        return Encoded(inputs, "ok", n_tokens)
    if over_length == "error":
        raise DataError(
            f"a text has {n_tokens} tokens and the model takes {max_length}; it begins {exchange.prompt[:60]!r}. "
            "Choose over_length='truncate' to drop the start of the prompt, or 'skip' to leave such texts unscored"
        )
    shortened = _shorten(exchange, tokenizer, max_length) if over_length == "truncate" else None
    return Encoded({}, "too_long", n_tokens) if shortened is None else Encoded(shortened, "truncated", n_tokens)


def _shorten(exchange: Exchange, tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[int]] | None:
    """Drop the start of the prompt: oldest turns under a chat template, oldest tokens in a pair input."""
    if tokenizer.chat_template:
        turns = exchange.conversation
        while len(turns) > 1:
            later = [index for index, turn in enumerate(turns) if index and turn["role"] == "user"]
            if not later:
                return None
            turns = turns[later[0] :]
            (inputs,) = _tokenize([Exchange(exchange.prompt, turns, exchange.response)], tokenizer)
            if len(inputs["input_ids"]) <= max_length:
                return inputs
        return None
    (alone,) = _tokenize([Exchange("", [], exchange.response)], tokenizer)
    if len(alone["input_ids"]) >= max_length:
        return None
    side, tokenizer.truncation_side = tokenizer.truncation_side, "left"
    try:
        fitted = tokenizer(exchange.prompt, exchange.response, truncation="only_first", max_length=max_length)
    finally:
        tokenizer.truncation_side = side
    return dict(fitted)


def _batches(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _load(name: str, revision: str | None, allow_pickle: bool) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    online = find_model(name, revision)
    verbosity = transformers.logging.get_verbosity()
    progress = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    where: dict[str, Any] = {"revision": revision, "local_files_only": not online}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            name, output_loading_info=True, use_safetensors=None if allow_pickle else True, **where
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot load {name!r} as a sequence-classification reward model: {str(error).splitlines()[0]}"
        ) from error
    finally:
        transformers.logging.set_verbosity(verbosity)
        if progress:
            transformers.logging.enable_progress_bar()
    _check(name, tokenizer, model, sorted(loading["missing_keys"]))
    return tokenizer, model.eval()


def find_model(name: str, revision: str | None = None) -> bool:
    """Make sure that a model is there, with one short request where loading would retry for a minute.

    Args:
        name (`str`): Folder or Hub id.
        revision (`str`, *optional*): Branch, tag or commit on the Hub.

    Returns:
        `bool`: Whether the Hub has to be asked for its files.

    Raises:
        ModelError: There is no such model, or the Hub cannot be reached and the cache does not hold it.
    """
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise ModelError(f"the folder {Path(name).absolute()} holds no model: there is no config.json in it")
        return False
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"there is no folder {Path(name).absolute()}; give a folder with a saved model, or a Hub id")
    try:
        HfApi().model_info(name, revision=revision, timeout=10)
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"{name!r} is neither a folder here nor a model on the Hub (revision {revision or 'main'}, as far as this "
            f"token may see): {str(error).splitlines()[0]}"
        ) from error
    except (OSError, httpx2.HTTPError, OfflineModeIsEnabled) as error:
        if isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
            return False
        raise ModelError(
            f"there is no folder {name!r} here, it is not in the local cache, and the Hub cannot be reached: {error}"
        ) from error
    return True


def _check(name: str, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, missing: list[str]) -> None:
    if missing:
        raise ModelError(
            f"{name!r} is not a trained reward model: its weights lack {', '.join(missing[:4])}, which would be random. "
            "Give a model saved as a sequence classifier, or make one with `seal train-pair`"
        )
    if model.config.num_labels != 1:
        raise ModelError(f"{name!r} has {model.config.num_labels} outputs; a reward model has one (num_labels=1)")
    if tokenizer.pad_token is None:
        raise ModelError(
            f"the tokenizer of {name!r} has no padding token, so texts cannot be scored in batches; set one"
        )
    if model.config.get_text_config().pad_token_id is None:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def _length_limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limits = [limit for limit in (positions, tokenizer.model_max_length) if limit and limit < 10**9]
    if not limits:
        raise ModelError("neither the model nor its tokenizer states how many tokens it takes; give max_length")
    return int(min(limits))


def _revision(name: str, model: PreTrainedModel) -> str:
    """The Hub commit, or for a local folder a hash of its weights."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit:
        return str(commit)
    digest = hashlib.sha256()
    for path in sorted(Path(name).glob("*.safetensors")) or sorted(Path(name).glob("*.bin")):
        with path.open("rb") as file:
            digest.update(
                hashlib.file_digest(file, "sha256").digest() if hasattr(hashlib, "file_digest") else file.read()
            )
    return f"sha256:{digest.hexdigest()[:16]}"

"""Load and identify models. Pickled weights and code that comes with a model need permission."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from seal_datasets.errors import ModelError
from seal_datasets.rewards.adapter import find_adapter, merge
from seal_datasets.rewards.architecture import (
    Declared,
    check_finite,
    check_kind,
    check_quantisation,
    check_whole,
    declared_generative,
    read_declared,
)
from seal_datasets.rewards.checkpoint import (
    Checkpoint,
    check_weights,
    find_checkpoint,
    first_line,
    resolved_revision,
)
from seal_datasets.rewards.options import ModelOptions


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to be evaluated.

    Attributes:
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        model (`PreTrainedModel`): The model, with its adapter merged into it.
        identity (`dict[str, object]`): Its revision, and the base of an adapter; JSON-ready.
        own_code (`bool`): Whether it runs code of its repository.
    """

    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel
    identity: dict[str, object]
    own_code: bool


def load_model(
    name: str,
    auto_class: Any,  # noqa: ANN401 - one of the Auto classes, which have no common type
    *,
    kind: str,
    options: ModelOptions,
) -> Loaded:
    """Load a model with its tokenizer, ready to be evaluated.

    An adapter is merged into its base in memory.

    Args:
        name (`str`): Hub id or local folder.
        auto_class (`type`): `AutoModelForSequenceClassification` or another of the Auto classes.
        kind (`str`): Kind of model, for messages, e.g. `"sequence-classification reward model"`.
        options (`ModelOptions`): Revision, precision, attention implementation and what is allowed to run.

    Returns:
        `Loaded`: The tokenizer and the model.

    Raises:
        ModelError: The model does not exist, is not of this kind, lacks weights, or needs what was not allowed.
    """
    checkpoint = find_checkpoint(name, options.revision)
    adapter = find_adapter(checkpoint, allow_pickle=options.allow_pickle) if checkpoint.is_adapter else None
    body = adapter.base if adapter else checkpoint
    config = body.config()
    declared = read_declared(body.name, config, adapter.supplied if adapter else ())
    generative = declared_generative(kind)
    if adapter is not None and generative and adapter.task == "SEQ_CLS":
        raise ModelError(f"{name!r} is an adapter of a sequence classifier; give it as a reward model, without dpo:")
    check_kind(declared, kind, generative=generative)
    check_weights(body, allow_pickle=options.allow_pickle)
    _check_config(body, config, options.allow_remote_code)
    if options.allow_remote_code and declared.own_class == "AutoModel" and not generative:
        auto_class = transformers.AutoModel
    tokenizer = _load_tokenizer(
        checkpoint if not adapter or _has_tokenizer(checkpoint) else body, options.allow_remote_code
    )
    more = {"num_labels": adapter.n_outputs} if adapter and adapter.n_outputs and not generative else {}
    model, loading = _from_pretrained(body, auto_class, kind, options, declared, more)
    check_whole(model, loading, declared, kind)
    identity: dict[str, object] = {"revision": resolved_revision(checkpoint)}
    if adapter is not None:
        identity["base"] = {"model": body.name, "revision": resolved_revision(body)}
        model = merge(adapter, model)
    check_finite(model, name)
    return Loaded(tokenizer, model.eval(), identity, type(model).__module__.startswith("transformers_modules"))


def load_backbone(name: str) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Load an encoder to train, with a head of one output; the head is new where the encoder has none.

    Args:
        name (`str`): Hub id or local folder.

    Returns:
        `tuple[PreTrainedTokenizerBase, PreTrainedModel]`: The tokenizer and the model.

    Raises:
        ModelError: The model does not exist or cannot be trained, or its weights are pickled or damaged.
    """
    checkpoint = find_checkpoint(name)
    if checkpoint.is_adapter:
        raise ModelError(f"{name!r} is an adapter; training starts from a whole model, so merge it into its base first")
    check_weights(checkpoint, allow_pickle=False)
    config = checkpoint.config()
    _check_config(checkpoint, config, False)
    tokenizer = _load_tokenizer(checkpoint, False)
    kind = "backbone with one output"
    declared = read_declared(name, config)
    auto_class = transformers.AutoModelForSequenceClassification
    model, loading = _from_pretrained(checkpoint, auto_class, kind, ModelOptions(), declared, {"num_labels": 1})
    body = [each for each in loading["missing_keys"] if each.startswith(f"{model.base_model_prefix}.encoder")]
    if body:
        raise ModelError(f"the weights of {name!r} lack {', '.join(sorted(body)[:4])}; download it again")
    check_finite(model, name)
    return tokenizer, model


def _from_pretrained(
    checkpoint: Checkpoint,
    auto_class: Any,  # noqa: ANN401 - as of `load_model`
    kind: str,
    options: ModelOptions,
    declared: Declared,
    more: dict[str, Any],
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Load weights that were checked; whatever goes wrong in a library is said in one line."""
    try:
        with _quiet():
            model, loading = auto_class.from_pretrained(
                checkpoint.name,
                output_loading_info=True,
                use_safetensors=None if options.allow_pickle else True,
                dtype="auto" if options.precision == "auto" else getattr(torch, options.precision),
                attn_implementation=options.attention,
                device_map=options.device_map,
                ignore_mismatched_sizes=True,
                **_source(checkpoint, options.allow_remote_code),
                **more,
            )
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelError(_too_large(checkpoint.name)) from error
    except Exception as error:
        raise ModelError(
            f"cannot load {checkpoint.name!r} as a {kind}: {first_line(error)}{_hint(error, declared, options)}"
        ) from error
    return model, loading


def _hint(error: Exception, declared: Declared, options: ModelOptions) -> str:
    """What to do about an error of a library, where that is known."""
    text = str(error)
    if not options.allow_remote_code and (declared.own_code or "trust_remote_code" in text or "custom code" in text):
        own = f" ({declared.own_code})" if declared.own_code else ""
        return f". It comes with its own code{own}, which runs with --allow-remote-code; read that code first"
    if isinstance(error, ImportError):
        return ". Install that package, or give weights that need none"
    if "quanti" in text.lower():
        return ". Give weights that are not quantised, or install what their quantisation needs"
    return ""


def _source(checkpoint: Checkpoint, allow_remote_code: bool) -> dict[str, Any]:
    return {
        "revision": checkpoint.revision,
        "local_files_only": not checkpoint.online,
        "trust_remote_code": allow_remote_code,
    }


def _check_config(checkpoint: Checkpoint, config: dict[str, Any], allow_remote_code: bool) -> None:
    """Refuse a quantisation that is not known, and attention kernels that are fetched from the Hub as code."""
    check_quantisation(checkpoint.name, config)
    asked = [config.get(name) for name in ("attn_implementation", "_attn_implementation")]
    if not allow_remote_code and any("/" in str(each) for each in asked if each is not None):
        raise ModelError(
            f"config.json of {checkpoint.name!r} asks for code from the Hub (attn_implementation); it runs with "
            "--allow-remote-code only"
        )


def _has_tokenizer(checkpoint: Checkpoint) -> bool:
    return bool(
        {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "tokenizer.model"}.intersection(checkpoint.files)
    )


def load_tokenizer(name: str, *, allow_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer alone.

    Args:
        name (`str`): Hub id or local folder.
        allow_remote_code (`bool`, defaults to `False`): Whether code of the model may run.

    Returns:
        `PreTrainedTokenizerBase`: The tokenizer.

    Raises:
        ModelError: The model has no tokenizer.
    """
    return _load_tokenizer(find_checkpoint(name), allow_remote_code)


def _load_tokenizer(checkpoint: Checkpoint, allow_remote_code: bool) -> PreTrainedTokenizerBase:
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.name, **_source(checkpoint, allow_remote_code))
    except Exception as error:
        text = str(error)
        own = "trust_remote_code" in text or "custom code" in text
        hint = (
            ". Its own code runs with --allow-remote-code; read that code first"
            if own and not allow_remote_code
            else ""
        )
        raise ModelError(f"cannot load a tokenizer from {checkpoint.name!r}: {first_line(error)}{hint}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ModelError(f"cannot load a tokenizer from {checkpoint.name!r}: it is a {type(tokenizer).__name__}")
    return tokenizer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    verbosity = transformers.logging.get_verbosity()
    progress = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        if progress:
            transformers.logging.enable_progress_bar()


def length_limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> int:
    """Longest input of a model in tokens: the requested one, or what the model and its tokenizer take.

    Raises:
        ModelError: The model takes fewer tokens than requested, fewer than one is requested, or it states no limit and none was
            given.
    """
    if max_length is not None and max_length < 1:
        raise ModelError(f"max_length must be at least 1, got {max_length}")
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    # RoBERTa's positions start after the padding token's index.
    if positions and getattr(model.config, "model_type", None) in ("roberta", "xlm-roberta", "camembert"):
        positions -= (model.config.pad_token_id or 0) + 1
    stated = (positions, tokenizer.model_max_length)
    limits = [limit for limit in stated if isinstance(limit, (int, float)) and 0 < limit < 10**9]
    if not limits and max_length is None:
        raise ModelError("neither the model nor its tokenizer states how many tokens it takes; give max_length")
    limit = int(min(limits)) if limits else int(max_length or 0)
    if max_length is not None and max_length > limit:
        raise ModelError(f"max_length {max_length} is more than the {limit} tokens {model.name_or_path} can take")
    return max_length or limit


def processes() -> PartialState:
    """This process and the number of processes. On CPUs `accelerate` needs a flag to see more than one."""
    launched_on_cpus = "LOCAL_RANK" in os.environ and not torch.accelerator.is_available()
    return PartialState(cpu=launched_on_cpus or parse_flag_from_env("ACCELERATE_USE_CPU"))


def place(model: PreTrainedModel, name: str, device_map: str | None) -> torch.device:
    """Put a model where this process computes, unless it is spread over devices already.

    Args:
        model (`PreTrainedModel`): The model.
        name (`str`): Its name, for messages.
        device_map (`str`, *optional*): As of `ModelOptions`.

    Returns:
        `torch.device`: Where its inputs go.

    Raises:
        ModelError: It does not fit.
    """
    if device_map is not None:
        if processes().num_processes > 1:
            raise ModelError("device_map spreads one model over all devices, so it takes one process; start one only")
        return torch.device(model.device)
    device: torch.device = processes().device
    try:
        model.to(device)
    except torch.OutOfMemoryError as error:
        raise ModelError(_too_large(name)) from error
    return device


def _too_large(name: str) -> str:
    return (
        f"{name!r} does not fit into memory; give --device-map auto to spread it over GPUs and memory, or "
        "--precision bfloat16"
    )

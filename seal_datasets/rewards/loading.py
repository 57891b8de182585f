"""Find, load and identify models. Pickled weights and code that comes with a model need permission."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import torch
import transformers
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import (
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from seal_datasets.errors import ModelError
from seal_datasets.rewards.options import ModelOptions


def load_model(
    name: str,
    auto_class: Any,  # noqa: ANN401 - one of the Auto classes, which have no common type
    *,
    kind: str,
    options: ModelOptions,
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Load a model with its tokenizer, ready to be evaluated.

    Args:
        name (`str`): Hub id or local folder.
        auto_class (`type`): `AutoModelForSequenceClassification` or another of the Auto classes.
        kind (`str`): Kind of model, for messages, e.g. `"sequence-classification reward model"`.
        options (`ModelOptions`): Revision, precision, attention implementation and what is allowed to run.

    Returns:
        `tuple[PreTrainedTokenizerBase, PreTrainedModel]`: The tokenizer and the model.

    Raises:
        ModelError: The model does not exist, is not of this kind, lacks weights, or needs what was not allowed.
    """
    online = find_model(name, options.revision)
    source: dict[str, Any] = {
        "revision": options.revision,
        "local_files_only": not online,
        "trust_remote_code": options.allow_remote_code,
    }
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(name, **source)
            model, loading = auto_class.from_pretrained(
                name,
                output_loading_info=True,
                use_safetensors=None if options.allow_pickle else True,
                dtype="auto" if options.precision == "auto" else getattr(torch, options.precision),
                attn_implementation=options.attention,
                **source,
            )
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"cannot load {name!r} as a {kind}: {str(error).splitlines()[0]}") from error
    declared = _declared(name, options.revision, online)
    _check_whole(name, kind, loading, declared, generative=auto_class is AutoModelForCausalLM)
    return tokenizer, model.eval()


def _declared(name: str, revision: str | None, online: bool) -> list[str]:
    """The architectures that a checkpoint declares; the loaded model's configuration names its own instead."""
    config, _ = PretrainedConfig.get_config_dict(name, revision=revision, local_files_only=not online)
    return list(config.get("architectures") or ())


def _check_whole(name: str, kind: str, loading: dict[str, Any], declared: Sequence[str], *, generative: bool) -> None:
    missing = sorted(loading["missing_keys"])
    if generative and any(architecture.endswith("ForSequenceClassification") for architecture in declared):
        raise ModelError(
            f"{name!r} is a sequence classifier ({declared[0]}) and not a {kind}; its outputs are rewards: "
            "give it as a reward model, without dpo:"
        )
    if not missing:
        return
    lack = f"its weights lack {', '.join(missing[:4])}, which would be random"
    if generative:
        raise ModelError(f"{name!r} is not a complete {kind}: {lack}. Give a model saved as one")
    if any(architecture.endswith("ForCausalLM") for architecture in declared):
        raise ModelError(
            f"{name!r} is not a trained reward model but generates text ({declared[0]}): {lack}. If it was trained by DPO, "
            f"score with its implicit reward: dpo:{name}@REFERENCE (ImplicitReward), REFERENCE being the model it was "
            "trained from"
        )
    raise ModelError(
        f"{name!r} is not a trained reward model: {lack}. Give a model saved as a {kind}, or make one with `seal train-pair`"
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
    online = find_model(name)
    try:
        with _quiet():
            return AutoTokenizer.from_pretrained(name, local_files_only=not online, trust_remote_code=allow_remote_code)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"cannot load a tokenizer from {name!r}: {str(error).splitlines()[0]}") from error


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


def find_model(name: str, revision: str | None = None) -> bool:
    """Check that a model exists, with one short request where loading would retry for a minute.

    Args:
        name (`str`): Folder or Hub id.
        revision (`str`, *optional*): Branch, tag or commit on the Hub.

    Returns:
        `bool`: Whether its files come from the Hub.

    Raises:
        ModelError: The model does not exist, or the Hub cannot be reached and the cache lacks the model.
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


def length_limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> int:
    """Longest input of a model in tokens: the requested one, or what the model and its tokenizer take.

    Raises:
        ModelError: The model takes fewer tokens than requested, or it states no limit and none was given.
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    # RoBERTa's positions start after the padding token's index.
    if positions and getattr(model.config, "model_type", None) in ("roberta", "xlm-roberta", "camembert"):
        positions -= (model.config.pad_token_id or 0) + 1
    limits = [limit for limit in (positions, tokenizer.model_max_length) if limit and limit < 10**9]
    if not limits and max_length is None:
        raise ModelError("neither the model nor its tokenizer states how many tokens it takes; give max_length")
    limit = int(min(limits)) if limits else int(max_length or 0)
    if max_length is not None and max_length > limit:
        raise ModelError(f"max_length {max_length} is more than the {limit} tokens {model.name_or_path} can take")
    return max_length or limit


def resolved_revision(name: str, model: PreTrainedModel) -> str:
    """The Hub commit, or for a local folder a hash of its weights."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit:
        return str(commit)
    digest = hashlib.sha256()
    for path in sorted(Path(name).glob("*.safetensors")) or sorted(Path(name).glob("*.bin")):
        file_digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                file_digest.update(block)
        digest.update(file_digest.digest())
    return f"sha256:{digest.hexdigest()[:16]}"


def processes() -> PartialState:
    """This process and the number of processes. On CPUs `accelerate` needs a flag to see more than one."""
    launched_on_cpus = "LOCAL_RANK" in os.environ and not torch.accelerator.is_available()
    return PartialState(cpu=launched_on_cpus or parse_flag_from_env("ACCELERATE_USE_CPU"))

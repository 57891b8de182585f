"""Adapters made with PEFT, merged into the model that they change, in memory."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from seal_datasets.errors import ModelError, SealError, import_extra
from seal_datasets.rewards.checkpoint import (
    ADAPTER_CONFIG,
    CONFIG,
    Checkpoint,
    check_weights,
    find_checkpoint,
    first_line,
    tensor_shapes,
)

_HEADS = (
    ".score.weight",
    ".classifier.weight",
    ".classifier.out_proj.weight",
    ".classifier.out_proj.original_module.weight",
)
_EMBEDDINGS = (".embed_tokens.weight", ".word_embeddings.weight", ".wte.weight")
_WHOLE = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_NOT_MERGED = ("XLORA", "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter, and the model that it changes.

    Attributes:
        checkpoint (`Checkpoint`): The adapter's files.
        base (`Checkpoint`): The model that it was trained on.
        folder (`Path`): Where its files lie on this machine.
        shapes (`dict[str, list[int]]`): Its tensors, named as in PEFT.
        task (`str`, *optional*): What it was trained for, e.g. `SEQ_CLS`.
    """

    checkpoint: Checkpoint
    base: Checkpoint
    folder: Path
    shapes: dict[str, list[int]]
    task: str | None

    @property
    def n_outputs(self) -> int | None:
        """Outputs of the head that the adapter brings; `None` where it brings none."""
        return next((shape[0] for name, shape in self.shapes.items() if name.endswith(_HEADS)), None)

    @property
    def supplied(self) -> frozenset[str]:
        """Whole tensors that it brings, as the base names them."""
        return frozenset(name.removeprefix("base_model.model.") for name in self.shapes if ".lora_" not in name)


def find_adapter(checkpoint: Checkpoint, *, allow_pickle: bool) -> Adapter:
    """Read what an adapter says of itself, and find its base.

    Args:
        checkpoint (`Checkpoint`): The adapter.
        allow_pickle (`bool`): Whether its weights may be pickled.

    Returns:
        `Adapter`: The adapter, with its base.

    Raises:
        ModelError: It cannot be merged, names no base, or its base does not exist.
        MissingExtraError: PEFT is not installed.
    """
    name, config = checkpoint.name, checkpoint.json(ADAPTER_CONFIG)
    if whole := [file for file in _WHOLE if file in checkpoint.files]:
        raise ModelError(
            f"{name!r} holds a whole model ({whole[0]}) and an adapter ({ADAPTER_CONFIG}), so it is not clear which to score "
            "with; give a folder that holds one of them"
        )
    base, kind = config.get("base_model_name_or_path"), config.get("peft_type")
    if not isinstance(base, str) or not base:
        raise ModelError(
            f"{ADAPTER_CONFIG} of {name!r} names no base_model_name_or_path; write there which model it was trained on"
        )
    if not isinstance(kind, str) or kind in _NOT_MERGED or config.get("megatron_config"):
        raise ModelError(
            f"{name!r} is an adapter of the kind {kind!r}, which cannot be merged into its base; give a LoRA adapter, or a "
            "merged model"
        )
    import_extra("peft", purpose="merge an adapter into its model")
    check_weights(checkpoint, allow_pickle=allow_pickle, stem="adapter_model")
    weights = checkpoint.path("adapter_model.safetensors")
    where = checkpoint.path(ADAPTER_CONFIG)
    if where is None or (weights is None and checkpoint.path("adapter_model.bin") is None):
        raise ModelError(f"{name!r} lacks adapter_model.safetensors; download it again")
    revision = config.get("revision")
    found = _find_base(name, base, revision if isinstance(revision, str) else None)
    task = config.get("task_type")
    shapes = tensor_shapes(weights) if weights is not None else _pickled_shapes(where.with_name("adapter_model.bin"))
    return Adapter(checkpoint, found, where.parent, shapes, task if isinstance(task, str) else None)


def _pickled_shapes(weights: Path) -> dict[str, list[int]]:
    """Only where pickle is allowed; torch reads tensors and nothing else."""
    try:
        tensors = torch.load(weights, map_location="meta", weights_only=True)
        return {name: list(tensor.shape) for name, tensor in tensors.items()}
    except Exception as error:
        raise ModelError(f"{weights.name} of {str(weights.parent)!r} cannot be read: {first_line(error)}") from error


def _find_base(name: str, base: str, revision: str | None) -> Checkpoint:
    try:
        found = find_checkpoint(base, revision)
    except ModelError as error:
        raise ModelError(
            f"{name!r} is an adapter of {base!r}, which was not found: {error}. Fetch that model, or write its place into "
            f"base_model_name_or_path of {ADAPTER_CONFIG}"
        ) from error
    if found.is_adapter or CONFIG not in found.files:
        raise ModelError(f"{name!r} is an adapter of {base!r}, which is an adapter too; merge that one first")
    return found


def merge(adapter: Adapter, model: PreTrainedModel) -> PreTrainedModel:
    """Merge an adapter into its base.

    Args:
        adapter (`Adapter`): The adapter.
        model (`PreTrainedModel`): Its base, loaded; it is changed.

    Returns:
        `PreTrainedModel`: The merged model, of the base's class.

    Raises:
        ModelError: The adapter does not fit, lacks tensors, or its kind cannot be merged.
    """
    peft: Any = import_extra("peft", purpose="merge an adapter into its model")
    name = adapter.checkpoint.name
    rows = next((shape[0] for key, shape in adapter.shapes.items() if key.endswith(_EMBEDDINGS)), None)
    if rows is not None and rows != model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(rows)
    try:
        with warnings.catch_warnings(record=True) as said, torch.no_grad():
            warnings.simplefilter("always")
            adapted = peft.PeftModel.from_pretrained(model, str(adapter.folder))
            known = set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
            merged: PreTrainedModel = adapted.merge_and_unload()
    except SealError:
        raise
    except Exception as error:
        raise ModelError(
            f"the adapter {name!r} does not fit its base {adapter.base.name!r}: {first_line(error)}. Give the base that it was "
            f"trained on (base_model_name_or_path of {ADAPTER_CONFIG}), or a merged model"
        ) from error
    if foreign := [key for key in adapter.shapes if key not in known and not key.endswith(_EMBEDDINGS)]:
        raise ModelError(
            f"the adapter {name!r} holds {foreign[0]} and {len(foreign) - 1} more that its base {adapter.base.name!r} has no "
            f"place for; give the base that it was trained on (base_model_name_or_path of {ADAPTER_CONFIG})"
        )
    if lack := [str(each.message) for each in said if "missing adapter keys" in str(each.message)]:
        raise ModelError(
            f"the adapter {name!r} lacks weights that its {ADAPTER_CONFIG} declares: {lack[0][:300]}. Download it again"
        )
    return merged

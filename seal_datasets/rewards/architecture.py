"""Whether a loaded model is what it is used as: one head that was trained, every weight in its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

from seal_datasets.errors import ModelError

_NOT_OF_A_TEXT = ("ForTokenClassification", "ForQuestionAnswering", "ForProcessRewardModel")
_OWN_CODE = ("AutoModelForSequenceClassification", "AutoModel")

# Left over of how the model was trained before, and without effect on what it is used for.
_HARMLESS = re.compile(
    r"(^|\.)lm_head\.|rotary_emb\.inv_freq$|position_ids$|\.attn\.(masked_)?bias$|^cls\.|(^|\.)pooler\.|^mtp\.|\.mtp\."
    r"|(^|\.)num_batches_tracked$"
)
_HARMLESS_GENERATIVE = re.compile(r"^(v_head|score|value_head|classifier|reward_head)\.")


@dataclass(frozen=True, slots=True)
class Declared:
    """What a checkpoint's configuration says of its model.

    Attributes:
        name (`str`): Name of the checkpoint, for messages.
        architectures (`tuple[str, ...]`): Classes that it was saved from.
        own_code (`str`, *optional*): Class of its own code that computes rewards, as `module.Class`.
        own_class (`str`, *optional*): The `Auto` class that opens it.
        supplied (`frozenset[str]`): Tensors that an adapter brings.
    """

    name: str
    architectures: tuple[str, ...]
    own_code: str | None
    own_class: str | None
    supplied: frozenset[str] = frozenset()


def read_declared(name: str, config: Mapping[str, Any], supplied: Iterable[str] = ()) -> Declared:
    """Read what a configuration says; parts of another type than they should have are taken for missing."""
    architectures = config.get("architectures")
    names = architectures if isinstance(architectures, list) else ()
    mapped = config.get("auto_map")
    own = next((each for each in _OWN_CODE if isinstance(mapped, dict) and isinstance(mapped.get(each), str)), None)
    return Declared(
        name,
        tuple(each for each in names if isinstance(each, str)),
        mapped[own] if own and isinstance(mapped, dict) else None,
        own,
        frozenset(supplied),
    )


def check_kind(declared: Declared, kind: str, *, generative: bool) -> None:
    """Refuse by its declaration what is no model of this kind.

    Raises:
        ModelError: The model classifies tokens, or is a classifier where a generative model is needed.
    """
    architectures = declared.architectures
    if generative and any(each.endswith("ForSequenceClassification") for each in architectures):
        raise ModelError(
            f"{declared.name!r} is a sequence classifier ({architectures[0]}) and not a {kind}; its outputs are rewards: "
            "give it as a reward model, without dpo:"
        )
    per_token = [each for each in architectures if each.endswith(_NOT_OF_A_TEXT) or "PRM" in each]
    if per_token and not generative:
        raise ModelError(
            f"{declared.name!r} is a {per_token[0]}: it gives outputs per token or step (token classification, a process "
            f"reward), and a {kind} gives one per text. Give a model of whole texts"
        )


def check_quantisation(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a quantisation that transformers does not know: it would take packed integers for weights.

    Raises:
        ModelError: The method is unknown or not named.
    """
    quantisation = config.get("quantization_config")
    method = quantisation.get("quant_method") if isinstance(quantisation, dict) else quantisation
    if quantisation is not None and method not in AUTO_QUANTIZATION_CONFIG_MAPPING:
        raise ModelError(
            f"{name!r} is quantised by {method!r}, which transformers {transformers.__version__} does not know; give weights "
            "that are not quantised, or quantised by a method it knows"
        )


def check_whole(model: PreTrainedModel, loading: Mapping[str, Any], declared: Declared, kind: str) -> None:
    """Check that a loaded model has every weight from its checkpoint, and that the checkpoint has no other.

    Args:
        model (`PreTrainedModel`): The model.
        loading (`Mapping[str, Any]`): What transformers reports of its loading.
        declared (`Declared`): What the checkpoint declares.
        kind (`str`): Kind of model, for messages.

    Raises:
        ModelError: Weights are missing, unknown or of another shape, or a head of own code was left out.
    """
    generative = declared_generative(kind)
    if mismatched := sorted(loading.get("mismatched_keys") or ()):
        tensor, found, needed = mismatched[0]
        raise ModelError(
            f"{declared.name!r} cannot be loaded as a {kind}: its {tensor} has the shape {list(found)} and its configuration "
            f"needs {list(needed)}. Weights and config.json are of different models; download it again, or mend config.json"
        )
    missing = sorted(set(loading["missing_keys"]) - declared.supplied)
    unknown = [
        each
        for each in sorted(loading["unexpected_keys"])
        if not (_HARMLESS.search(each) or (generative and _HARMLESS_GENERATIVE.search(each)))
    ]
    if missing:
        raise ModelError(_of_missing(declared, kind, missing, unknown, generative))
    if unknown:
        raise ModelError(
            f"{declared.name!r} is not a {kind} as {type(model).__name__} computes one: it holds {_some(unknown)}, which that "
            f"architecture does not know and would leave out. {_own_head(declared) or 'Give a model saved as that class'}"
        )
    if not generative and _has_another_head(model, declared):
        raise ModelError(
            f"{declared.name!r} was saved from {declared.architectures[0]}, whose head is its own, and would be computed as "
            f"{type(model).__name__}. {_own_head(declared) or f'Save it as {type(model).__name__} if both are the same'}"
        )


def declared_generative(kind: str) -> bool:
    """Whether a kind of model generates text."""
    return kind == "causal language model"


def check_finite(model: PreTrainedModel, name: str) -> None:
    """Check that no weight is infinite or no number.

    Raises:
        ModelError: Some are; the message names the tensors.
    """
    bad = [
        key
        for key, tensor in model.named_parameters()
        if tensor.is_floating_point()
        and tensor.element_size() > 1
        and tensor.device.type != "meta"
        and not bool(torch.isfinite(tensor).all())
    ]
    if bad:
        raise ModelError(
            f"{name!r} has weights that are infinite or no numbers: {_some(bad)}. Its training diverged or its file is "
            "damaged; take an earlier checkpoint, or download it again"
        )


def _has_another_head(model: PreTrainedModel, declared: Declared) -> bool:
    """Whether a model of own code was opened as a class of transformers."""
    architectures = declared.architectures
    if (
        not architectures
        or type(model).__name__ in architectures
        or type(model).__module__.startswith("transformers_modules")
    ):
        return False
    return not hasattr(transformers, architectures[0])


def _of_missing(declared: Declared, kind: str, missing: list[str], unknown: list[str], generative: bool) -> str:
    name, held = declared.name, f" (it holds {_some(unknown)}, which is not used)" if unknown else ""
    lack = f"its weights lack {', '.join(missing[:4])}, which would be random{held}"
    if generative:
        return f"{name!r} is not a complete {kind}: {lack}. Give a model saved as one"
    if hint := _own_head(declared):
        return f"{name!r} is not a {kind} as transformers computes one: {lack}. {hint}"
    if any(each.endswith("ForCausalLM") for each in declared.architectures) and not unknown:
        return (
            f"{name!r} is not a trained reward model but generates text ({declared.architectures[0]}): {lack}. If it was "
            f"trained by DPO, score with its implicit reward: dpo:{name}@REFERENCE (ImplicitReward), REFERENCE being the model "
            "it was trained from"
        )
    if unknown:
        return f"{name!r} is not a {kind}: {lack}. Its head is of another kind; convert it, or give a model saved as a {kind}"
    return f"{name!r} is not a trained reward model: {lack}. Give a model saved as a {kind}, or make one with `seal train-pair`"


def _own_head(declared: Declared) -> str:
    """What to do where the repository brings code for its head."""
    if declared.own_code is None:
        return ""
    return (
        f"Its head is in its own code ({declared.own_code}), which runs with --allow-remote-code (allow_remote_code=True); "
        "read that code first"
    )


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:4])}{f' and {len(names) - 4:,} more' if len(names) > 4 else ''}"

"""A reward model from one line of text that declares its kind: `my/rm`, `dpo:POLICY@REFERENCE`, `served:URL#MODEL`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from seal_datasets.errors import DataError, import_extra
from seal_datasets.rewards.options import Backend, ModelOptions

if TYPE_CHECKING:
    from seal_datasets.rewards.checkpoint import Checkpoint
    from seal_datasets.rewards.encoding import OverLength
    from seal_datasets.rewards.implicit import Normalise
    from seal_datasets.rewards.scorer import Scorer
    from seal_datasets.rewards.served import Server

KINDS = {
    "dpo": "dpo:POLICY@REFERENCE",
    "dpo-length": "dpo-length:POLICY@REFERENCE",
    "served": "served:URL#MODEL",
    "tei": "tei:URL#MODEL",
    "sglang": "sglang:URL#MODEL",
}
"""Kinds by their prefix. A text without one is the Hub id or folder of a sequence classifier."""

_NORMALISE: dict[str, Normalise] = {"dpo": "sum", "dpo-length": "length"}
_SERVER: dict[str, Server] = {"served": "vllm", "tei": "tei", "sglang": "sglang"}
_ONLY_CLASSIFIERS = ("head", "backend")
_NOT_SERVED = (
    *_ONLY_CLASSIFIERS,
    *(option.name for option in fields(ModelOptions) if option.name not in ("allow_remote_code", "merge_system")),
)


def open_scorer(
    text: str,
    *,
    over_length: OverLength = "error",
    head: int | None = None,
    backend: Backend | None = None,
    options: ModelOptions | None = None,
    api_key: str | None = None,
) -> Scorer:
    """Open a reward model of any kind.

    `my/rm` or a folder opens a `RewardModel`. `dpo:POLICY@REFERENCE` opens an `ImplicitReward` summed over tokens;
    `dpo-length:` averages over them. `served:URL#MODEL` opens a `ServedReward` on vLLM; `tei:` opens one on Text Embeddings
    Inference, `sglang:` one on SGLang. Where the tokenizer has another name than the served model, write `MODEL@TOKENIZER`.

    Args:
        text (`str`): The model, in one of these forms.
        over_length (`"error"`, `"truncate"` or `"skip"`, defaults to `"error"`): Policy for texts that are too long.
        head (`int`, *optional*): For a classifier with several outputs: which one is the reward.
        backend (`"torch"` or `"openvino"`, *optional*): Library that runs a classifier.
        options (`ModelOptions`, *optional*): How the model is loaded and run. A served model takes `allow_remote_code` and
            `merge_system` only.
        api_key (`str`, *optional*): Key for a server; other kinds ignore it.

    Returns:
        `Scorer`: Ready to score.

    Raises:
        DataError: The text has an unknown prefix, lacks a part, or an option does not apply to its kind.
        ModelError: The model cannot be used.
    """
    kind, rest = _kind(text)
    options = options or ModelOptions()
    _refuse_foreign_options(text, kind, head, backend, options)
    import_extra("transformers", purpose="score with a reward model")
    import_extra("torch", purpose="score with a reward model")
    if kind in _NORMALISE:
        from seal_datasets.rewards.implicit import ImplicitReward

        policy, reference = _parts(text, kind, rest)
        return ImplicitReward(policy, reference, normalise=_NORMALISE[kind], over_length=over_length, options=options)
    if kind in _SERVER:
        from seal_datasets.rewards.served import EncodingOptions, ServedReward

        url, model, tokenizer = _server(text, kind, rest)
        encoding = EncodingOptions(tokenizer, over_length, options.allow_remote_code, options.merge_system)
        return ServedReward(url, model, kind=_SERVER[kind], api_key=api_key, encoding=encoding)
    from seal_datasets.rewards.classifier import RewardModel

    return RewardModel(text, over_length=over_length, head=head, backend=backend or "torch", options=options)


def _refuse_foreign_options(
    text: str, kind: str, head: int | None, backend: Backend | None, options: ModelOptions
) -> None:
    given = [name for name, value in (("head", head), ("backend", backend)) if value is not None] + options.changed()
    refused = _NOT_SERVED if kind in _SERVER else _ONLY_CLASSIFIERS if kind in _NORMALISE else ()
    if foreign := [name for name in given if name in refused]:
        raise DataError(f"{foreign[0]} is not an option of {KINDS[kind]}; leave it out for {_shown(text)!r}")


def find_scorer(
    text: str,
    *,
    over_length: OverLength = "error",
    head: int | None = None,
    backend: Backend | None = None,
    options: ModelOptions | None = None,
    api_key: str | None = None,
) -> None:
    """Check before a long run that a reward model exists, without loading it.

    Args:
        text (`str`): As for `open_scorer`.
        over_length (`str`, defaults to `"error"`): As for `open_scorer`.
        head (`int`, *optional*): As for `open_scorer`.
        backend (`str`, *optional*): As for `open_scorer`.
        options (`ModelOptions`, *optional*): As for `open_scorer`.
        api_key (`str`, *optional*): As for `open_scorer`.

    Raises:
        DataError: As `open_scorer`.
        ModelError: The model does not exist, or its server does not answer as expected.
    """
    kind, options = kind_of(text), options or ModelOptions()
    _refuse_foreign_options(text, kind, head, backend, options)
    if kind in _SERVER:
        open_scorer(text, over_length=over_length, options=options, api_key=api_key)
        return
    import_extra("torch", purpose="score with a reward model")
    from seal_datasets.rewards.checkpoint import check_weights

    for checkpoint in _checkpoints(text, options):
        check_weights(checkpoint, allow_pickle=options.allow_pickle)


def weights_are_local(text: str, options: ModelOptions | None = None) -> bool:
    """Whether this machine runs a model and holds all its weights, so that opening it downloads no weights.

    Args:
        text (`str`): As for `open_scorer`.
        options (`ModelOptions`, *optional*): As for `open_scorer`.

    Returns:
        `bool`: False for a model on a server, or with weights on the Hub only.

    Raises:
        DataError: As `find_scorer`.
        ModelError: As `find_scorer`.
    """
    if is_served(text):
        return False
    from seal_datasets.rewards.checkpoint import weights_are_here

    return all(map(weights_are_here, _checkpoints(text, options or ModelOptions(), adapters=True)))


def _checkpoints(text: str, options: ModelOptions, *, adapters: bool = False) -> Iterator[Checkpoint]:
    """The models that a text names, with the base of an adapter in its place, or after it with `adapters`."""
    from seal_datasets.rewards.adapter import find_adapter
    from seal_datasets.rewards.checkpoint import find_checkpoint

    kind, rest = _kind(text)
    names = _parts(text, kind, rest) if kind in _NORMALISE else (text,)
    for name, revision in zip(names, (options.revision, None), strict=False):
        checkpoint = find_checkpoint(name, revision)
        if not checkpoint.is_adapter or adapters:
            yield checkpoint
        if checkpoint.is_adapter:
            yield find_adapter(checkpoint, allow_pickle=options.allow_pickle).base


def addresses_of(texts: Iterable[str]) -> list[str]:
    """The URLs of the served models.

    Args:
        texts (`Iterable[str]`): As for `open_scorer`.

    Returns:
        `list[str]`: One URL per served model.

    Example:

    ```python
    >>> addresses_of(["served:http://localhost:8000#my/rm", "my/rm"])
    ['http://localhost:8000']

    ```
    """
    kinds = ((text, *_kind(text)) for text in texts)
    return [_server(text, kind, rest)[0] for text, kind, rest in kinds if kind in _SERVER]


def kind_of(text: str) -> str:
    """The kind of reward model that a text names: one of `KINDS`, or `classifier`.

    Raises:
        DataError: The prefix is unknown.

    Example:

    ```python
    >>> kind_of("my/rm"), kind_of("dpo:my/policy@my/sft")
    ('classifier', 'dpo')

    ```
    """
    return _kind(text)[0]


def is_served(text: str) -> bool:
    """Whether a server computes the rewards of the model that a text names.

    Raises:
        DataError: As for `kind_of`.

    Example:

    ```python
    >>> is_served("served:http://localhost:8000#my/rm"), is_served("dpo:my/policy@my/sft")
    (True, False)

    ```
    """
    return kind_of(text) in _SERVER


def _kind(text: str) -> tuple[str, str]:
    prefix = re.match(r"([a-z-]+):", text)
    if prefix is None or Path(text).exists():
        return "classifier", text
    if prefix[1] not in KINDS:
        raise DataError(
            f"{_shown(text)!r} declares a kind of reward model, {prefix[1]!r}, that is not known; give a Hub id, a folder, or "
            f"one of {', '.join(KINDS.values())}"
        )
    return prefix[1], text[prefix.end() :]


def _parts(text: str, kind: str, rest: str) -> tuple[str, str]:
    policy, _, reference = rest.partition("@")
    if not policy or not reference:
        raise DataError(f"{text!r} must be {KINDS[kind]}: the policy, and the model it was trained from")
    return policy, reference


def _server(text: str, kind: str, rest: str) -> tuple[str, str, str | None]:
    url, _, name = rest.partition("#")
    model, _, tokenizer = name.partition("@")
    if not url.startswith(("http://", "https://")) or not model:
        raise DataError(f"{_shown(text)!r} must be {KINDS[kind]}, e.g. {kind}:http://localhost:8000#my/reward-model")
    return url, model, tokenizer or None


def _shown(text: str) -> str:
    """A model as messages name it; its URL may hold a password."""
    return re.sub(r"//[^/#]*@", "//***@", text)

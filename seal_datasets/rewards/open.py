"""A reward model from one line of text that declares its kind: `my/rm`, `dpo:POLICY@REFERENCE`, `served:URL#MODEL`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from seal_datasets.errors import DataError
from seal_datasets.rewards.classifier import Backend, RewardModel
from seal_datasets.rewards.encoding import OverLength
from seal_datasets.rewards.implicit import ImplicitReward, Normalise
from seal_datasets.rewards.loading import Precision, find_model
from seal_datasets.rewards.scorer import Scorer
from seal_datasets.rewards.served import EncodingOptions, ServedReward, Server

KINDS = {
    "dpo": "dpo:POLICY@REFERENCE",
    "dpo-length": "dpo-length:POLICY@REFERENCE",
    "served": "served:URL#MODEL",
    "tei": "tei:URL#MODEL",
}
"""Kinds by what a text begins with; one without such a beginning is the Hub id or folder of a sequence classifier."""

_NORMALISE: dict[str, Normalise] = {"dpo": "sum", "dpo-length": "length"}
_SERVER: dict[str, Server] = {"served": "vllm", "tei": "tei"}
_NOT_OF = {
    "dpo": ("head", "backend"),
    "dpo-length": ("head", "backend"),
    "served": ("head", "backend", "revision", "max_length", "precision", "tokens_per_batch", "allow_pickle"),
    "tei": ("head", "backend", "revision", "max_length", "precision", "tokens_per_batch", "allow_pickle"),
}


def open_scorer(
    text: str,
    *,
    revision: str | None = None,
    max_length: int | None = None,
    over_length: OverLength = "error",
    head: int | None = None,
    precision: Precision | None = None,
    tokens_per_batch: int | None = None,
    backend: Backend | None = None,
    allow_pickle: bool = False,
    allow_remote_code: bool = False,
    api_key: str | None = None,
) -> Scorer:
    """Open a reward model of any kind.

    Args:
        text (`str`): `my/rm` or a folder (`RewardModel`), `dpo:POLICY@REFERENCE` or `dpo-length:POLICY@REFERENCE`
            (`ImplicitReward`, the sum over tokens or the mean), `served:URL#MODEL` (`ServedReward`, vLLM) or `tei:URL#MODEL`
            (Text Embeddings Inference). Behind `MODEL` may stand `@TOKENIZER`, where it is not the model's own name.
        revision (`str`, *optional*): Branch, tag or commit on the Hub of the classifier or policy.
        max_length (`int`, *optional*): Tokens per text.
        over_length (`"error"`, `"truncate"` or `"skip"`, defaults to `"error"`): What becomes of longer texts.
        head (`int`, *optional*): Which output of a classifier with several is the reward.
        precision (`str`, *optional*): Type of the weights.
        tokens_per_batch (`int`, *optional*): Tokens of a batch.
        backend (`"torch"` or `"openvino"`, *optional*): What computes a classifier.
        allow_pickle (`bool`, defaults to `False`): Whether weights may be read from pickle files, which can run code.
        allow_remote_code (`bool`, defaults to `False`): Whether code that comes with a model may run.
        api_key (`str`, *optional*): Key for a server; models of other kinds have no use for it.

    Returns:
        `Scorer`: Ready to score.

    Raises:
        DataError: The text declares no known kind, lacks a part, or an option is not one of its kind's.
        ModelError: The model cannot be used.
    """
    kind, rest = _kind(text)
    given: dict[str, Any] = {
        name: value
        for name, value in (
            ("revision", revision),
            ("max_length", max_length),
            ("head", head),
            ("precision", precision),
            ("tokens_per_batch", tokens_per_batch),
            ("backend", backend),
            ("allow_pickle", allow_pickle or None),
        )
        if value is not None
    }
    given |= {"over_length": over_length, "allow_remote_code": allow_remote_code}
    if foreign := [name for name in _NOT_OF.get(kind, ()) if name in given]:
        raise DataError(f"{foreign[0]} is no option of {KINDS[kind]}; leave it out for {text!r}")
    if kind in _NORMALISE:
        policy, reference = _parts(text, kind, rest)
        return ImplicitReward(policy, reference, normalise=_NORMALISE[kind], **given)
    if kind in _SERVER:
        url, model, tokenizer = _server(text, kind, rest)
        encoding = EncodingOptions(tokenizer, over_length, allow_remote_code)
        return ServedReward(url, model, kind=_SERVER[kind], api_key=api_key, encoding=encoding)
    return RewardModel(text, **given)


def find_scorer(text: str, *, over_length: OverLength = "error", api_key: str | None = None) -> None:
    """Make sure that a reward model is there, without loading it: for what takes long before it is needed.

    Args:
        text (`str`): As for `open_scorer`.
        over_length (`str`, defaults to `"error"`): As for `open_scorer`.
        api_key (`str`, *optional*): As for `open_scorer`.

    Raises:
        DataError: As `open_scorer`.
        ModelError: There is no such model, or its server does not answer as it should.
    """
    kind, rest = _kind(text)
    if kind in _SERVER:
        open_scorer(text, over_length=over_length, api_key=api_key)
        return
    for name in _parts(text, kind, rest) if kind in _NORMALISE else (text,):
        find_model(name)


def addresses_of(texts: Iterable[str]) -> list[str]:
    """The URLs of those models that are behind a server.

    Args:
        texts (`Iterable[str]`): As for `open_scorer`.

    Returns:
        `list[str]`: One for each served model.

    Example:

    ```python
    >>> addresses_of(["served:http://localhost:8000#my/rm", "my/rm"])
    ['http://localhost:8000']

    ```
    """
    kinds = ((text, *_kind(text)) for text in texts)
    return [_server(text, kind, rest)[0] for text, kind, rest in kinds if kind in _SERVER]


def kind_of(text: str) -> str:
    """The kind of reward model that a text declares: one of `KINDS`, or `classifier`.

    Raises:
        DataError: It declares another.

    Example:

    ```python
    >>> kind_of("my/rm"), kind_of("dpo:my/policy@my/sft")
    ('classifier', 'dpo')

    ```
    """
    return _kind(text)[0]


def _kind(text: str) -> tuple[str, str]:
    declared = re.match(r"([a-z-]+):", text)
    if declared is None or Path(text).exists():
        return "classifier", text
    if declared[1] not in KINDS:
        raise DataError(
            f"{text!r} declares a kind of reward model, {declared[1]!r}, that is not known; give a Hub id, a folder, or one of "
            f"{', '.join(KINDS.values())}"
        )
    return declared[1], text[declared.end() :]


def _parts(text: str, kind: str, rest: str) -> tuple[str, str]:
    policy, _, reference = rest.partition("@")
    if not policy or not reference:
        raise DataError(f"{text!r} must be {KINDS[kind]}: the policy, and the model that it was trained from")
    return policy, reference


def _server(text: str, kind: str, rest: str) -> tuple[str, str, str | None]:
    url, _, named = rest.partition("#")
    model, _, tokenizer = named.partition("@")
    if not url.startswith(("http://", "https://")) or not model:
        shown = re.sub(r"//[^/@]*@", "//***@", text)  # a password, were there one
        raise DataError(f"{shown!r} must be {KINDS[kind]}, e.g. {kind}:http://localhost:8000#my/reward-model")
    return url, model, tokenizer or None

"""How to ask a model: its sampling, limits on requests, and the asker that these make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seal_datasets.endpoints.batch_api import BatchAsker
from seal_datasets.endpoints.chat import ChatCompletions
from seal_datasets.endpoints.client import EndpointClient, Limits
from seal_datasets.endpoints.cost import Budget
from seal_datasets.endpoints.dialect import Dialect
from seal_datasets.endpoints.requests import Asker
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.errors import DataError

_OURS = frozenset({"model", "messages", "stream", "n"})


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model samples its answers; part of the key under which the store keeps them.

    Args:
        temperature (`float`, defaults to 0.0): At 0 answers are as constant as the model can give them.
        seed (`int`, defaults to 0): At a temperature above 0, another seed gives an independent answer.
        frequency_penalty (`float`, defaults to 0.0): Above 0 it keeps very small models from repeating themselves.

    Example:

    ```python
    >>> Sampling(0.5, seed=1).arguments()
    {'temperature': 0.5, 'seed': 1}

    ```
    """

    temperature: float = 0.0
    seed: int = 0
    frequency_penalty: float = 0.0

    def arguments(self) -> dict[str, float]:
        """Arguments of a chat request; a penalty of 0 is left out, as in the keys of stored responses."""
        arguments: dict[str, float] = {"temperature": self.temperature, "seed": self.seed}
        if self.frequency_penalty:
            arguments["frequency_penalty"] = self.frequency_penalty
        return arguments


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """How requests are sent.

    Args:
        concurrency (`int`, defaults to 16): Most requests under way at once; fewer while the server is overloaded.
        timeout (`float`, defaults to 300.0): Seconds one request may take.
        served_models (`tuple[str, ...]`): Names the endpoint gives in its answers, where they differ (see `ChatCompletions`).
        fields (`Mapping[str, Any]`): Own fields of every request, JSON values; `None` drops a field. Part of the key under
            which the store keeps answers.
        max_answer_tokens (`int`, *optional*): Tokens for an answer, thoughts included. An answer that was cut off with fewer
            is asked for again.
        max_failure_rate (`float`, defaults to 0.5): Stop when more than this share of texts, of 50 or more, has no result.
        budget (`Budget`, *optional*): What may be spent; requests beyond it fail with the reason `over_budget`.
        batch (`bool`, defaults to `False`): Send requests through the OpenAI Batch API, and wait for its files.

    Raises:
        DataError: A field is not the user's to set, or a number is out of range.
    """

    concurrency: int = 16
    timeout: float = 300.0
    served_models: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    max_answer_tokens: int | None = None
    max_failure_rate: float = 0.5
    budget: Budget | None = None
    batch: bool = False

    def __post_init__(self) -> None:
        if own := sorted(_OURS.intersection(self.fields)):
            raise DataError(f"the field {own[0]!r} of requests cannot be set; {', '.join(sorted(_OURS))} are set here")
        if self.concurrency < 1:
            raise DataError(f"concurrency must be at least 1, got {self.concurrency}")
        if not 0.0 <= self.max_failure_rate <= 1.0:
            raise DataError(f"max_failure_rate must lie between 0 and 1, got {self.max_failure_rate}")
        if not 0.0 < self.timeout < math.inf:
            raise DataError(f"timeout must be a number of seconds above 0, got {self.timeout}")
        if self.max_answer_tokens is not None and self.max_answer_tokens < 1:
            raise DataError(f"max_answer_tokens must be at least 1, got {self.max_answer_tokens}")

    def key(self) -> list[dict[str, Any]]:
        """What stands in the key of stored responses besides the sampling; nothing without own fields."""
        return [dict(self.fields)] if self.fields else []


def open_asker(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    store: ResponseStore | None = None,
    options: RequestOptions | None = None,
) -> Asker:
    """Make the asker of a model behind an OpenAI-compatible endpoint.

    Args:
        model (`str`): Name the endpoint knows the model by.
        base_url (`str`, *optional*): Endpoint, e.g. `http://localhost:8000/v1`; OpenAI's own when omitted.
        api_key (`str`, *optional*): Key for the endpoint, see `EndpointClient`.
        store (`ResponseStore`, *optional*): Where raw responses are kept; in memory when omitted.
        options (`RequestOptions`, *optional*): How requests are sent.

    Returns:
        `Asker`: Of requests at once, or a `BatchAsker`.

    Raises:
        LabelerError: No key was given and the default endpoint needs one, or the URL holds more than an address.
    """
    options = options or RequestOptions()
    client = EndpointClient(
        ChatCompletions(model, served_models=options.served_models),
        base_url=base_url,
        api_key=api_key,
        limits=Limits(options.concurrency, options.timeout),
        dialect=Dialect(options.fields, model=model),
    )
    asker = BatchAsker if options.batch else Asker
    store = store if store is not None else ResponseStore(":memory:")
    return asker(
        client,
        store,
        max_failure_rate=options.max_failure_rate,
        budget=options.budget,
        max_answer_tokens=options.max_answer_tokens,
    )

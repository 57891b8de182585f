"""How to ask a model: its sampling, limits on requests, and the asker that these make."""

from __future__ import annotations

from dataclasses import dataclass

from seal_datasets.endpoints.batch_api import BatchAsker
from seal_datasets.endpoints.chat import ChatCompletions
from seal_datasets.endpoints.client import EndpointClient, Limits
from seal_datasets.endpoints.cost import Budget
from seal_datasets.endpoints.requests import Asker
from seal_datasets.endpoints.store import ResponseStore


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
    """How requests are sent; nothing here changes what a model answers.

    Args:
        concurrency (`int`, defaults to 16): Most requests under way at once; fewer while the server is overloaded.
        timeout (`float`, defaults to 300.0): Seconds one request may take.
        served_model (`str`, *optional*): Name the endpoint gives in its answers, where it differs (see `ChatCompletions`).
        max_failure_rate (`float`, defaults to 0.5): Stop when more than this share of texts, of 50 or more, has no result.
        budget (`Budget`, *optional*): What may be spent; requests beyond it fail with the reason `over_budget`.
        batch (`bool`, defaults to `False`): Send requests through the OpenAI Batch API, and wait for its files.
    """

    concurrency: int = 16
    timeout: float = 300.0
    served_model: str | None = None
    max_failure_rate: float = 0.5
    budget: Budget | None = None
    batch: bool = False


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
        ChatCompletions(model, served_model=options.served_model),
        base_url=base_url,
        api_key=api_key,
        limits=Limits(options.concurrency, options.timeout),
    )
    asker = BatchAsker if options.batch else Asker
    store = store if store is not None else ResponseStore(":memory:")
    return asker(client, store, max_failure_rate=options.max_failure_rate, budget=options.budget)

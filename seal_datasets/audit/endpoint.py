"""Open the language model that an audit asks, and account for what it costs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from seal_datasets.audit.settings import AuditSettings
from seal_datasets.endpoints.cost import Budget, Usage, load_prices
from seal_datasets.endpoints.embedded import MODEL_NAME, EmbeddedLM, embedded_weights
from seal_datasets.endpoints.store import ResponseStore

EMBEDDED_PENALTY = 0.5


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A language model to ask.

    Attributes:
        model (`str`): Its name.
        url (`str`): Its address.
        slots (`int`, *optional*): Requests it serves at once, where that is known.
        about (`dict[str, object]`): What is recorded of it.
    """

    model: str
    url: str
    slots: int | None
    about: dict[str, object]


@contextmanager
def open_endpoint(server: str, model: str | None) -> Iterator[Endpoint]:
    """Have an endpoint for the length of a `with` block; `"local"` starts the embedded model and stops it."""
    if server != "local":
        yield Endpoint(model or "", server, None, {"model": model, "endpoint": server, "weak": False})
        return
    weights = embedded_weights()
    with EmbeddedLM() as running:
        about = {"endpoint": f"embedded, {running.version}", "weak": True, "weights": weights.name}
        yield Endpoint(MODEL_NAME, running.url, running.slots, {"model": MODEL_NAME, **about})


def unopened_endpoint(server: str, model: str | None) -> Endpoint:
    """An endpoint that will not be asked."""
    if server == "local":
        return Endpoint(MODEL_NAME, "http://127.0.0.1/v1", 1, {})
    return Endpoint(model or "", server, None, {})


def sum_spent(store: ResponseStore, settings: AuditSettings) -> dict[str, str]:
    """What all responses in the store were billed, in words."""
    prices = load_prices(settings.prices)
    whole, dollars = Usage(), 0.0
    for (model, batch), usage in store.usage().items():
        whole += usage
        dollars += prices.price(model, batch=batch).cost(usage)
    return {
        "responses": f"{whole}, {format_dollars(dollars)}",
        "prices": f"{prices.as_of}, {prices.source}",
    }


def format_dollars(amount: float) -> str:
    """Dollars as text."""
    return "cost unknown" if math.isnan(amount) else f"${amount:,.4f}"


def open_budget(settings: AuditSettings, store: ResponseStore, model: str) -> Budget:
    """What is left to spend: the limit holds for the store, so that a run that goes on has no new one."""
    prices = load_prices(settings.prices)
    if settings.budget is None:
        return Budget(math.inf, prices.price(model, batch=settings.batch))
    costs = [prices.price(each, batch=batch).cost(usage) for (each, batch), usage in store.usage().items()]
    return Budget(
        max(0.0, settings.budget - sum(cost for cost in costs if cost > 0.0)), prices.price(model, batch=settings.batch)
    )


def draw_sample(pair_ids: Sequence[str], size: int | None, seed: int) -> frozenset[str] | None:
    """Draw pair ids to label; `None` for all."""
    if size is None or size >= len(pair_ids):
        return None
    drawn = np.random.default_rng(seed).choice(len(pair_ids), size=size, replace=False)
    return frozenset(pair_ids[index] for index in drawn)


def say(message: str) -> None:
    """Write a line of progress to stderr."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()

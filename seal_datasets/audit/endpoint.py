"""Open the language model of an audit, and record its cost."""

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
from seal_datasets.escape import escape_terminal

EMBEDDED_PENALTY = 0.5


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A language model behind an OpenAI-compatible server.

    Attributes:
        model (`str`): Its name.
        url (`str`): Its address.
        slots (`int`, *optional*): Number of requests it serves at once, if known.
        about (`dict[str, object]`): Its record in the report.
    """

    model: str
    url: str
    slots: int | None
    about: dict[str, object]


@contextmanager
def open_endpoint(server: str, model: str | None) -> Iterator[Endpoint]:
    """Open an endpoint for a `with` block; `"local"` starts the embedded model and stops it at the end."""
    if server != "local":
        yield Endpoint(model or "", server, None, {"model": model, "endpoint": server, "weak": False})
        return
    weights = embedded_weights()
    with EmbeddedLM() as running:
        about = {"endpoint": f"embedded, {running.version}", "weak": True, "weights": weights.name}
        yield Endpoint(MODEL_NAME, running.url, running.slots, {"model": MODEL_NAME, **about})


def unopened_endpoint(server: str, model: str | None) -> Endpoint:
    """Describe an endpoint that receives no requests."""
    if server == "local":
        return Endpoint(MODEL_NAME, "http://127.0.0.1/v1", 1, {})
    return Endpoint(model or "", server, None, {})


def sum_spent(store: ResponseStore, settings: AuditSettings) -> dict[str, str]:
    """Usage and cost of all responses in the store, as text."""
    prices = load_prices(settings.prices)
    total, dollars = Usage(), 0.0
    for (model, batch), usage in store.usage().items():
        total += usage
        dollars += prices.price(model, batch=batch).cost(usage)
    return {
        "responses": f"{total}, {format_dollars(dollars)}",
        "prices": f"{prices.as_of}, {prices.source}",
    }


def format_dollars(amount: float) -> str:
    """Dollars as text."""
    return "cost unknown" if math.isnan(amount) else f"${amount:,.4f}"


def open_budget(settings: AuditSettings, store: ResponseStore, model: str) -> Budget:
    """Open the remaining budget; the limit applies to the whole store, so a resumed run gets no new budget."""
    prices = load_prices(settings.prices)
    if settings.budget is None:
        return Budget(math.inf, prices.price(model, batch=settings.batch))
    costs = [prices.price(name, batch=batch).cost(usage) for (name, batch), usage in store.usage().items()]
    return Budget(
        max(0.0, settings.budget - sum(cost for cost in costs if cost > 0.0)), prices.price(model, batch=settings.batch)
    )


def draw_sample(pair_ids: Sequence[str], size: int | None, seed: int) -> frozenset[str] | None:
    """Draw pair ids to label; `None` means all."""
    if size is None or size >= len(pair_ids):
        return None
    drawn = np.random.default_rng(seed).choice(len(pair_ids), size=size, replace=False)
    return frozenset(pair_ids[index] for index in drawn)


def print_progress(message: str) -> None:
    """Write a line of progress to stderr."""
    sys.stderr.write(f"{escape_terminal(message)}\n")
    sys.stderr.flush()

"""Open the language model of an audit, and record its cost."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from seal_datasets.audit.settings import AuditSettings
from seal_datasets.endpoints.cost import Budget, Usage, load_prices
from seal_datasets.endpoints.embedded import MODEL_NAME, WEIGHTS_FILE, EmbeddedLM
from seal_datasets.endpoints.options import RequestOptions
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.errors import DataError
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
    with EmbeddedLM() as running:
        about = {"endpoint": f"embedded, {running.version}", "weak": True, "weights": WEIGHTS_FILE}
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
    spent = {key: prices.price(key[0], batch=key[1]).cost(usage) for key, usage in store.usage().items()}
    if unpriced := sorted({name for (name, _), cost in spent.items() if math.isnan(cost)}):
        raise DataError(
            f"the store {store.path} holds responses of {unpriced[0]!r}, whose price is unknown ({prices.as_of}), so what is "
            "left of the budget is unknown; give a table with its price (--prices), 0 if it is free, or use another --store"
        )
    return Budget(max(0.0, settings.budget - sum(spent.values())), prices.price(model, batch=settings.batch))


def request_options(
    settings: AuditSettings, store: ResponseStore, endpoint: Endpoint, budget: Budget | None = None
) -> RequestOptions:
    """How an audit sends requests to an endpoint."""
    return RequestOptions(
        concurrency=endpoint.slots or settings.concurrency,
        timeout=settings.timeout,
        served_models=settings.served_models,
        fields=settings.request,
        max_answer_tokens=settings.max_answer_tokens,
        max_failure_rate=settings.max_failure_rate,
        budget=budget or open_budget(settings, store, endpoint.model),
        batch=settings.batch and not endpoint.slots,
    )


def describe_answers(store: ResponseStore, model: str) -> dict[str, object]:
    """What the stored answers tell about an endpoint: other names of the model, and how its requests were spelled.

    Returns:
        `dict[str, object]`: `served_as` and `adapted`, where there is something to tell.
    """
    described: dict[str, object] = {}
    for name, path in (("served_as", "$.model"), ("adapted", "$.adapted")):
        rows = store.select(
            "SELECT DISTINCT json_extract(response, ?) FROM responses JOIN questions ON questions.id = responses.questions "
            "WHERE questions.model = ? AND json_extract(response, ?) IS NOT NULL",
            (path, model, path),
        )
        found = [str(value) for (value,) in rows if value != model]
        if name == "adapted":
            found = list(dict.fromkeys(note for notes in sorted(found, key=len) for note in json.loads(notes)))
        if found:
            described[name] = sorted(found) if name == "served_as" else found
    return described


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

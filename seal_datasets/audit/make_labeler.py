"""Make the labeler that an audit's settings describe."""

from __future__ import annotations

from seal_datasets.audit.endpoint import Endpoint, request_options
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.endpoints.cost import Budget
from seal_datasets.endpoints.keys import check_keys
from seal_datasets.endpoints.options import Sampling
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.labels.labeler import Labeler


def make_labeler(
    settings: AuditSettings,
    store: ResponseStore,
    endpoint: Endpoint,
    api_key: str | None,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    budget: Budget | None = None,
) -> Labeler:
    """Make the labeler that the settings describe."""
    check_keys(settings.addresses, api_key)
    return Labeler(
        endpoint.model,
        base_url=endpoint.url,
        api_key=None if endpoint.slots else api_key,
        store=store,
        probabilities=settings.probabilities,
        sampling=Sampling(temperature, seed),
        options=request_options(settings, store, endpoint, budget),
    )

"""Label the same pairs with several labelers, from settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.audit.endpoint import (
    Endpoint,
    draw_sample,
    format_dollars,
    open_budget,
    open_endpoint,
    say,
    unopened_endpoint,
)
from seal_datasets.audit.label_step import count_missing, make_labeler
from seal_datasets.audit.settings import AuditSettings, LabelerPanel
from seal_datasets.endpoints.cost import Budget, load_prices
from seal_datasets.endpoints.keys import check_keys
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.labels.agreement import LabelerComparison, compare_labelers
from seal_datasets.labels.featurize import plan_features
from seal_datasets.labels.gold import add_gold
from seal_datasets.labels.labeler import Labeler
from seal_datasets.labels.taxonomy import Taxonomy


def run_labelers(
    pairs: Dataset,
    panel: LabelerPanel,
    taxonomy: Taxonomy,
    settings: AuditSettings,
    store_path: Path,
    *,
    api_key: str | None = None,
) -> LabelerComparison:
    """Have the labelers of a panel label the same pairs.

    Args:
        pairs (`Dataset`): Canonical pairs.
        panel (`LabelerPanel`): The labelers, and how often each is asked.
        taxonomy (`Taxonomy`): What to ask.
        settings (`AuditSettings`): How to ask; `label_limit` pairs are drawn with its seed.
        store_path (`Path`): SQLite file of responses.
        api_key (`str`, *optional*): Key of the endpoints' service, or one for each, see `key_for`; written nowhere.

    Returns:
        `LabelerComparison`: Labels and agreement.

    Raises:
        DataError: One key is given for several services.
        LabelerError: An endpoint is down or refuses to work; what was answered so far is in the store.
    """
    if settings.gold is not None:
        pairs = add_gold(pairs, settings.gold, taxonomy)
    ids = panel.pair_ids or draw_sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)
    with ResponseStore(store_path) as store, ExitStack() as open_endpoints:

        def opened(server: str, model: str) -> Endpoint:
            return open_endpoints.enter_context(open_endpoint(server, model))

        asked = _labelers(panel, settings, store, opened, api_key)
        compared = compare_labelers(pairs, asked, taxonomy, pair_ids=ids)
    for name, each in asked.items():
        say(
            f"    {name}: {each.budget.usage}, {format_dollars(each.budget.spent)}; labels missing: "
            f"{count_missing(compared.table, f'{name}_')}"
        )
    return compared


def plan_labelers(
    pairs: Dataset,
    panel: LabelerPanel,
    taxonomy: Taxonomy,
    settings: AuditSettings,
    store_path: Path,
    *,
    api_key: str | None = None,
) -> list[str]:
    """Say what `run_labelers` would ask each labeler and cost, asking nothing; the arguments are the same.

    Returns:
        `list[str]`: For each labeler its name, and texts, requests, tokens, dollars and the date of the prices.
    """
    ids = panel.pair_ids or draw_sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)
    as_of = load_prices(settings.prices).as_of
    with ResponseStore(store_path if store_path.exists() else ":memory:") as store:
        asked = _labelers(panel, settings, store, unopened_endpoint, api_key)
        plans = {name: plan_features(pairs, each, taxonomy, pair_ids=ids) for name, each in asked.items()}
    return [f"labels by {name}: {plan} (prices of {as_of})" for name, plan in plans.items()]


def _labelers(
    panel: LabelerPanel,
    settings: AuditSettings,
    store: ResponseStore,
    opened: Callable[[str, str], Endpoint],
    api_key: str | None,
) -> dict[str, Labeler]:
    """The labelers of a panel, by short name; together they keep to one budget."""
    check_keys(panel.addresses, api_key)
    asked: dict[str, Labeler] = {}
    budget: Budget | None = None
    for model, server, soft in panel.members:
        endpoint = opened(server, model)
        for seed in range(panel.repeat):
            own = open_budget(settings, store, endpoint.model)
            budget = own if budget is None else budget.beside(own.price)
            wanted = replace(settings, probabilities=soft)
            short = f"{endpoint.model}{' (P)' if soft else ''}{f' #{seed}' if panel.repeat > 1 else ''}"
            labeler = make_labeler(
                wanted, store, endpoint, api_key, temperature=panel.temperature, seed=seed, budget=budget
            )
            asked[short] = labeler
    return asked

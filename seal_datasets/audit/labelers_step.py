"""Label the same pairs with several labelers, from settings."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.audit.endpoint import (
    Endpoint,
    describe_answers,
    draw_sample,
    format_dollars,
    open_budget,
    open_endpoint,
    print_progress,
    unopened_endpoint,
)
from seal_datasets.audit.label_step import count_labels, count_missing
from seal_datasets.audit.make_labeler import make_labeler
from seal_datasets.audit.probe_step import open_embeddings, open_encoder, probed_features
from seal_datasets.audit.settings import AuditSettings, LabelerPanel
from seal_datasets.endpoints.cost import Budget, load_prices
from seal_datasets.endpoints.keys import check_keys
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.labels.agreement import LabelerComparison, compare_labelers
from seal_datasets.labels.featurize import plan_features
from seal_datasets.labels.gold import add_gold, check_own_gold
from seal_datasets.labels.labeler import Labeler
from seal_datasets.labels.probe import Probe
from seal_datasets.labels.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class LabelingTask:
    """Labelers, features and settings of a comparison of labelers.

    Attributes:
        panel (`LabelerPanel`): The labelers and their number of repeats.
        taxonomy (`Taxonomy`): Features to ask for.
        settings (`AuditSettings`): Options of the requests; `label_limit` pairs are drawn with its seed.
        store_path (`Path`): SQLite file of responses.
    """

    panel: LabelerPanel
    taxonomy: Taxonomy
    settings: AuditSettings
    store_path: Path

    def draw_pairs(self, pairs: Dataset) -> Collection[str] | None:
        """Ids of the pairs to label; `None` for all."""
        if self.panel.pair_ids:
            return self.panel.pair_ids
        return draw_sample(pairs[schema.PAIR_ID][:], self.settings.label_limit, self.settings.seed)


def run_labelers(pairs: Dataset, task: LabelingTask, *, api_key: str | None = None) -> LabelerComparison:
    """Label the same pairs with every labeler of a panel.

    Args:
        pairs (`Dataset`): Canonical pairs.
        task (`LabelingTask`): Labelers, features and settings.
        api_key (`str`, *optional*): Key of the endpoints' service, or `ADDRESS=KEY` entries, see `key_for`; never written to
            disk.

    Returns:
        `LabelerComparison`: Labels and agreement.

    Raises:
        DataError: One key is given for several services.
        LabelerError: An endpoint cannot be reached or rejects requests; answers received so far are in the store.
    """
    if task.settings.gold is not None:
        pairs = add_gold(pairs, task.settings.gold, task.taxonomy)
    pairs = check_own_gold(pairs, task.taxonomy)
    if task.panel.has_probe:
        task = replace(task, taxonomy=probed_features(pairs, task.taxonomy, task.settings))
    with ResponseStore(task.store_path) as store, ExitStack() as open_endpoints:

        def open_member(server: str, model: str) -> Endpoint:
            return open_endpoints.enter_context(open_endpoint(server, model))

        labelers = _make_labelers(task, store, open_member, api_key)
        comparison = compare_labelers(pairs, labelers, task.taxonomy, pair_ids=task.draw_pairs(pairs))
        told = {
            name: describe_answers(store, each.model) for name, each in labelers.items() if isinstance(each, Labeler)
        }
        comparison = replace(comparison, endpoints={name: about for name, about in told.items() if about})
    for name, labeler in labelers.items():
        if isinstance(labeler, Probe):
            continue
        for note in labeler.adapted:
            print_progress(f"    the endpoint of {name}: {note}")
        print_progress(
            f"    {name}: {labeler.budget.usage}, {format_dollars(labeler.budget.spent)}; labels missing: "
            f"{count_missing(comparison.table, f'{name}_')}"
        )
    return comparison


def count_labels_of_all(comparison: LabelerComparison, taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """Numbers of labels by every labeler, see `count_labels`."""
    suffix = f"_{schema.failures_column(schema.SIDES[0])}"
    names = [column.removesuffix(suffix) for column in comparison.table.column_names if column.endswith(suffix)]
    return [count_labels(comparison.table, taxonomy, f"{name}_") for name in names]


def describe_labelers_plan(pairs: Dataset, task: LabelingTask, *, api_key: str | None = None) -> list[str]:
    """Describe the requests and cost of `run_labelers` without sending any; the arguments are the same.

    Returns:
        `list[str]`: By labeler: name, texts, requests, tokens, dollars and the date of the prices.
    """
    ids = task.draw_pairs(pairs)
    as_of = load_prices(task.settings.prices).as_of
    with ResponseStore(task.store_path if task.store_path.exists() else ":memory:") as store:
        labelers = _make_labelers(task, store, unopened_endpoint, api_key)
        plans = {
            name: "embeddings, no requests"
            if isinstance(labeler, Probe)
            else f"{plan_features(pairs, labeler, task.taxonomy, pair_ids=ids)} (prices of {as_of})"
            for name, labeler in labelers.items()
        }
    return [f"labels by {name}: {plan}" for name, plan in plans.items()]


def _make_labelers(
    task: LabelingTask, store: ResponseStore, open_member: Callable[[str, str], Endpoint], api_key: str | None
) -> dict[str, Labeler | Probe]:
    """The labelers of a panel, by short name; they share one budget."""
    panel, settings = task.panel, task.settings
    check_keys(panel.addresses, api_key)
    labelers: dict[str, Labeler | Probe] = {}
    budget: Budget | None = None
    for model, server, soft in panel.members:
        if server == "probe":
            labelers[model] = Probe(
                open_encoder(settings.encoder, api_key), store=open_embeddings(task.store_path), keep_weak=True
            )
            continue
        endpoint = open_member(server, model)
        for seed in range(panel.repeat):
            own_budget = open_budget(settings, store, endpoint.model)
            budget = own_budget if budget is None else budget.beside(own_budget.price)
            own_settings = replace(settings, probabilities=soft)
            short = f"{endpoint.model}{' (P)' if soft else ''}{f' #{seed}' if panel.repeat > 1 else ''}"
            labeler = make_labeler(
                own_settings, store, endpoint, api_key, temperature=panel.temperature, seed=seed, budget=budget
            )
            labelers[short] = labeler
    return labelers

"""The labeling step of an audit, from settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.audit.endpoint import (
    describe_answers,
    draw_sample,
    format_dollars,
    open_endpoint,
    print_progress,
    sum_spent,
    unopened_endpoint,
)
from seal_datasets.audit.gold_step import with_gold
from seal_datasets.audit.make_labeler import make_labeler
from seal_datasets.audit.probe_step import probe_pairs, probed_features
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.endpoints.cost import load_prices
from seal_datasets.endpoints.requests import Plan
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.errors import DataError
from seal_datasets.labels.featurize import add_features, plan_features
from seal_datasets.labels.labeler import PROMPT_VERSION
from seal_datasets.labels.taxonomy import Taxonomy, load_taxonomy
from seal_datasets.rewrites.rewrite import NOT_SAMPLED

EMBEDDED_FEATURES = (
    "last_response_is_harmless",
    "last_response_is_helpful",
    "last_response_is_honest",
    "last_response_is_refusal",
    "last_response_is_eloquent",
    "last_response_sentiment",
)
"""Default features of the embedded labeler: the targets, and a few that it labels within minutes."""


def asked_features(settings: AuditSettings) -> Taxonomy:
    """The features of the taxonomy to ask the labeler for."""
    taxonomy = load_taxonomy(settings.taxonomy)
    if settings.features:
        return taxonomy.select(settings.features)
    if settings.labeler == "local" and settings.taxonomy == "seal":
        return taxonomy.select(EMBEDDED_FEATURES)
    return taxonomy


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pairs with labels.

    Attributes:
        pairs (`Dataset`): The pairs with the labels' columns.
        taxonomy (`Taxonomy`): Features that were labelled.
        record (`dict`, *optional*): The record of the labeler; `None` without one.
        again (`Callable`): Labels other texts of the same prompts by the same labeler.
    """

    pairs: Dataset
    taxonomy: Taxonomy
    record: dict[str, Any] | None
    again: Callable[[Dataset], Dataset]


def label_pairs(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, *, api_key: str | None = None
) -> Labelled:
    """Label pairs according to the settings; starts and stops the embedded model if it is asked.

    Without a labeler in the settings a probe labels pairs with gold labels, and others get no labels.

    Args:
        pairs (`Dataset`): Canonical pairs.
        taxonomy (`Taxonomy`): Features to label.
        settings (`AuditSettings`): The labeler, its sample, gold labels, the teacher and the seed.
        store_path (`Path`): SQLite file of responses.
        api_key (`str`, *optional*): Key for the endpoints, see `key_for`; never written to disk.

    Returns:
        `Labelled`: The labelled pairs, and the record of the labeler.

    Raises:
        DataError: A probe is wanted, and there are no gold labels.
        LabelerError: An endpoint cannot be reached or rejects requests; answers received so far are in the store.
    """
    pairs, gold = with_gold(pairs, taxonomy, settings, store_path, api_key=api_key)
    labeler = chosen_labeler(settings, has_gold=gold is not None)
    if labeler == "none":
        if settings.labeler is None:
            print_progress(
                "    no labels: give gold labels (--gold), a teacher (--teacher) or a labeler (--labeler URL)"
            )
        return Labelled(pairs, taxonomy, None, lambda table: table)
    if labeler == "probe":
        taxonomy = probed_features(pairs, taxonomy, settings)
        pairs, record, again = probe_pairs(pairs, taxonomy, settings, store_path, api_key=api_key)
        with ResponseStore(store_path) as store:
            spent = sum_spent(store, settings)
    else:
        settings = replace(settings, labeler=labeler)
        pairs, record = _ask_labeler(pairs, taxonomy, settings, store_path, api_key)
        spent = record["spent"]
        unlimited = replace(settings, label_limit=None)

        def again(table: Dataset) -> Dataset:
            return _ask_labeler(table, taxonomy, unlimited, store_path, api_key)[0]

    record |= {"spent": spent, "gold": gold, "labels": count_labels(pairs, taxonomy)}
    return Labelled(pairs, taxonomy, record, again)


def chosen_labeler(settings: AuditSettings, *, has_gold: bool) -> str:
    """The labeler of the settings, or where they leave it open a probe on gold labels, or none."""
    labeler = settings.labeler or ("probe" if has_gold else "none")
    if labeler == "probe" and settings.label_limit is not None:
        raise DataError("a probe labels all pairs at no cost; leave out the limit on pairs to label (label_limit)")
    return labeler


def _ask_labeler(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, api_key: str | None
) -> tuple[Dataset, dict[str, Any]]:
    """Label pairs with a language model."""
    sample = draw_sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)
    with (
        ResponseStore(store_path) as store,
        open_endpoint(settings.labeler or "local", settings.labeler_model) as endpoint,
    ):
        n_stored = len(store)
        labeler = make_labeler(settings, store, endpoint, api_key)
        pairs = add_features(pairs, labeler, taxonomy, pair_ids=sample)
        spent, learned = sum_spent(store, settings), describe_answers(store, endpoint.model)
    for note in labeler.adapted:
        print_progress(f"    the labeler's endpoint: {note}")
    print_progress(
        f"    {labeler.n_requests:,} requests; the store held {n_stored:,} responses before; "
        f"labels missing: {count_missing(pairs)}"
    )
    print_progress(
        f"    {labeler.budget.usage}, {format_dollars(labeler.budget.spent)}; whole store: {spent['responses']}"
    )
    return pairs, {
        **endpoint.about,
        **learned,
        "spent": spent,
        "prompt_version": PROMPT_VERSION,
        "n_pairs_sampled": None if sample is None else len(sample),
    }


def count_missing(pairs: Dataset, prefix: str = "") -> str:
    """Numbers of missing labels by reason, as text."""
    failures = _count_failures(pairs, prefix)
    return ", ".join(f"{reason} {count:,}" for reason, count in failures.most_common()) or "none"


def count_labels(pairs: Dataset, taxonomy: Taxonomy, prefix: str = "") -> dict[str, Any]:
    """Numbers of labels asked for, of those present, and of those missing by reason; pairs that were not drawn are left out."""
    columns = [f"{prefix}{schema.feature_column(name, side)}" for name in taxonomy.names for side in schema.SIDES]
    table = pairs.select_columns(columns).with_format("arrow")[:]
    present = sum(table.num_rows - table.column(column).null_count for column in columns)
    missing = dict(_count_failures(pairs, prefix, extra=False).most_common())
    return {"asked": present + sum(missing.values()), "present": present, "missing": missing}


def _count_failures(pairs: Dataset, prefix: str, *, extra: bool = True) -> Counter[str]:
    return Counter(
        failure["reason"]
        for side in schema.SIDES
        for row in pairs[f"{prefix}{schema.failures_column(side)}"]
        for failure in row
        if failure["reason"] != NOT_SAMPLED and (extra or failure["feature"] != "*")
    )


def describe_label_plan(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, *, api_key: str | None = None
) -> str:
    """Describe the requests and cost of `label_pairs` without sending any; the arguments are the same.

    Returns:
        `str`: Texts, requests, tokens and dollars, and the date of the prices.
    """
    plan = plan_labels(pairs, taxonomy, settings, store_path, api_key=api_key)
    return f"{plan} (prices of {load_prices(settings.prices).as_of})" if plan else "no labeler, no requests"


def plan_labels(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path | None, *, api_key: str | None = None
) -> Plan | None:
    """Estimate the requests and cost of `label_pairs` without sending any.

    Args:
        pairs (`Dataset`): As for `label_pairs`.
        taxonomy (`Taxonomy`): As for `label_pairs`.
        settings (`AuditSettings`): As for `label_pairs`.
        store_path (`Path`, *optional*): Nothing is taken to be stored where it is omitted, or does not exist.
        api_key (`str`, *optional*): As for `label_pairs`.

    Returns:
        `Plan`: Texts, requests, tokens and dollars; `None` without a labeler.
    """
    if settings.labeler in (None, "none", "probe"):
        return None
    sample = draw_sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)
    with ResponseStore(store_path if store_path and store_path.exists() else ":memory:") as store:
        labeler = make_labeler(settings, store, unopened_endpoint(settings.labeler, settings.labeler_model), api_key)
        return plan_features(pairs, labeler, taxonomy, pair_ids=sample)

"""The steps of an audit that ask language models: labels and rewrites, from settings, with what they cost."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.compare_labelers import LabelerComparison, compare_labelers
from seal_datasets.cost import Budget, Usage, load_prices
from seal_datasets.errors import ModelError
from seal_datasets.featurize import add_features, feature_columns, plan_features
from seal_datasets.gold import add_gold
from seal_datasets.keys import check_keys
from seal_datasets.labeler import PROMPT_VERSION, Labeler
from seal_datasets.local_lm import MODEL_NAME, EmbeddedLM, embedded_weights
from seal_datasets.rewards import Scorer, ScoreStore
from seal_datasets.rewrite import (
    NOT_SAMPLED,
    add_rewrites,
    add_round_trips,
    on_rewrites,
    plan_rewrites,
    sample_pairs,
)
from seal_datasets.rewriter import REWRITE_VERSION, Rewriter
from seal_datasets.score import add_rewards
from seal_datasets.settings import AuditSettings, LabelerPanel, RewriteSettings
from seal_datasets.similarity import DEFAULT_MODEL, EMBEDDED_MODEL, SimilarityModel
from seal_datasets.store import ResponseStore
from seal_datasets.taxonomy import Taxonomy, load_taxonomy

EMBEDDED_FEATURES = (
    "last_response_is_harmless",
    "last_response_is_helpful",
    "last_response_is_honest",
    "last_response_is_refusal",
    "last_response_is_eloquent",
    "last_response_sentiment",
)
"""What the embedded labeler is asked unless features are named: the targets, and as many more as minutes allow."""


_EMBEDDED_PENALTY = 0.5


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


def asked_features(settings: AuditSettings) -> Taxonomy:
    """The part of the taxonomy that the labeler will be asked for."""
    taxonomy = load_taxonomy(settings.taxonomy)
    if settings.features:
        return taxonomy.select(settings.features)
    if settings.labeler == "local" and settings.taxonomy == "seal":
        return taxonomy.select(EMBEDDED_FEATURES)
    return taxonomy


def label_pairs(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, *, api_key: str | None = None
) -> tuple[Dataset, dict[str, object] | None]:
    """Label pairs as the settings say, starting and stopping the embedded model where it is the labeler.

    Args:
        pairs (`Dataset`): Canonical pairs.
        taxonomy (`Taxonomy`): What to ask.
        settings (`AuditSettings`): The labeler, its sample and the seed.
        store_path (`Path`): SQLite file of responses.
        api_key (`str`, *optional*): Key for the endpoint, see `key_for`; written nowhere.

    Returns:
        `tuple[Dataset, dict | None]`: The labelled pairs, and what is to be recorded of the labeler (`None` for none).

    Raises:
        LabelerError: The endpoint is down or refuses to work; what was answered so far is in the store.
    """
    if settings.gold is not None:
        pairs = add_gold(pairs, settings.gold, taxonomy)
    if settings.labeler == "none":
        return pairs, None
    sample = _sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)
    with ResponseStore(store_path) as store, open_endpoint(settings.labeler, settings.labeler_model) as endpoint:
        found = len(store)
        labeler = _labeler(settings, store, endpoint, api_key)
        pairs = add_features(pairs, labeler, taxonomy, pair_ids=sample)
        spent = _spent(store, settings)
    _say(
        f"    {labeler.n_requests:,} requests; the store held {found:,} responses before; "
        f"labels missing: {_missing(pairs)}"
    )
    _say(
        f"    {labeler.budget.usage}, {_dollars(labeler.budget.spent)}; with all the store holds: {spent['responses']}"
    )
    return pairs, {
        **endpoint.about,
        "spent": spent,
        "prompt_version": PROMPT_VERSION,
        "n_pairs_sampled": None if sample is None else len(sample),
    }


def _missing(pairs: Dataset, prefix: str = "") -> str:
    """How many labels are missing, for each reason."""
    failures = Counter(
        failure["reason"]
        for side in schema.SIDES
        for row in pairs[f"{prefix}{schema.failures_column(side)}"]
        for failure in row
        if failure["reason"] != NOT_SAMPLED
    )
    return ", ".join(f"{reason} {count:,}" for reason, count in failures.most_common()) or "none"


def plan_labels(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, *, api_key: str | None = None
) -> str:
    """Say what `label_pairs` would ask and cost, asking nothing; the arguments are the same.

    Returns:
        `str`: Texts, requests, tokens and dollars, and the date of the prices.
    """
    if settings.labeler == "none":
        return "no labeler, nothing to ask"
    sample = _sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)
    with ResponseStore(store_path if store_path.exists() else ":memory:") as store:
        labeler = _labeler(settings, store, _unopened(settings.labeler, settings.labeler_model), api_key)
        plan = plan_features(pairs, labeler, taxonomy, pair_ids=sample)
    return f"{plan} (prices of {load_prices(settings.prices).as_of})"


def plan_of_rewrites(pairs: Dataset, settings: AuditSettings, store_path: Path, *, api_key: str | None = None) -> str:
    """Say what `rewrite_pairs` would ask the rewriter and cost, asking nothing; the arguments are the same.

    Returns:
        `str`: Texts, requests, tokens and dollars, and the date of the prices. Labels of the rewrites are not in it.
    """
    wanted = settings.rewrites or RewriteSettings()
    if settings.labeler != "none" and (drawn := _sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)):
        pairs = pairs.select([row for row, pair_id in enumerate(pairs[schema.PAIR_ID]) if pair_id in drawn])
    labels = feature_columns(asked_features(settings).features) if settings.labeler != "none" else {}
    strata = wanted.stratify_by if wanted.stratify_by not in labels else None  # labels to come: about as many pairs
    sample = sample_pairs(_labelled(pairs), wanted.share, seed=settings.seed, stratify_by=strata)
    with ResponseStore(store_path if store_path.exists() else ":memory:") as store:
        rewriter = _rewriter(settings, store, _unopened(*_rewriting_server(settings)), api_key)
        plan = plan_rewrites(pairs, rewriter, wanted.presets, wanted.axes, sample)
    return f"{plan} (prices of {load_prices(settings.prices).as_of})"


def _unopened(server: str, model: str | None) -> Endpoint:
    """An endpoint that will not be asked."""
    if server == "local":
        return Endpoint(MODEL_NAME, "http://127.0.0.1/v1", 1, {})
    return Endpoint(model or "", server, None, {})


def _rewriting_server(settings: AuditSettings) -> tuple[str, str | None]:
    wanted = settings.rewrites or RewriteSettings()
    server = wanted.rewriter or settings.labeler
    return "local" if server == "none" else server, wanted.rewriter_model or settings.labeler_model


def _rewriter(settings: AuditSettings, store: ResponseStore, endpoint: Endpoint, api_key: str | None) -> Rewriter:
    check_keys(settings.addresses, api_key)
    wanted = settings.rewrites or RewriteSettings()
    return Rewriter(
        endpoint.model,
        base_url=endpoint.url,
        api_key=None if endpoint.slots else api_key,
        concurrency=endpoint.slots or settings.concurrency,
        store=store,
        # Without a penalty the embedded model says one sentence over and over until it is cut off.
        frequency_penalty=_EMBEDDED_PENALTY if endpoint.model == MODEL_NAME else 0.0,
        temperature=wanted.temperature,
        attempts=wanted.attempts,
        whole_dialogue=wanted.whole_dialogue,
        alone=endpoint.model == MODEL_NAME and not wanted.whole_dialogue,
        max_failure_rate=settings.max_failure_rate,
        budget=_budget(settings, store, endpoint.model),
        batch=settings.batch and not endpoint.slots,
    )


def _spent(store: ResponseStore, settings: AuditSettings) -> dict[str, str]:
    """What all responses in the store were billed, in words."""
    prices = load_prices(settings.prices)
    whole, dollars = Usage(), 0.0
    for (model, batch), usage in store.usage().items():
        whole += usage
        dollars += prices.price(model, batch=batch).cost(usage)
    return {
        "responses": f"{whole}, {_dollars(dollars)}",
        "prices": f"{prices.as_of}, {prices.source}",
    }


def _dollars(amount: float) -> str:
    return "cost unknown" if math.isnan(amount) else f"${amount:,.4f}"


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
    ids = panel.pair_ids or _sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)
    with ResponseStore(store_path) as store, ExitStack() as open_endpoints:

        def opened(server: str, model: str) -> Endpoint:
            return open_endpoints.enter_context(open_endpoint(server, model))

        asked = _labelers(panel, settings, store, opened, api_key)
        compared = compare_labelers(pairs, asked, taxonomy, pair_ids=ids)
    for name, each in asked.items():
        _say(f"    {name}: {each.budget.usage}, {_dollars(each.budget.spent)}; labels missing: "
             f"{_missing(compared.table, f'{name}_')}")  # fmt: skip
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
    ids = panel.pair_ids or _sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)
    as_of = load_prices(settings.prices).as_of
    with ResponseStore(store_path if store_path.exists() else ":memory:") as store:
        asked = _labelers(panel, settings, store, _unopened, api_key)
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
            own = _budget(settings, store, endpoint.model)
            budget = own if budget is None else budget.beside(own.price)
            wanted = replace(settings, probabilities=soft)
            short = f"{endpoint.model}{' (P)' if soft else ''}{f' #{seed}' if panel.repeat > 1 else ''}"
            labeler = _labeler(
                wanted, store, endpoint, api_key, temperature=panel.temperature, seed=seed, budget=budget
            )
            asked[short] = labeler
    return asked


def rewrite_pairs(
    pairs: Dataset,
    settings: AuditSettings,
    store_path: Path,
    *,
    taxonomy: Taxonomy | None = None,
    models: Mapping[str, Scorer] | None = None,
    api_key: str | None = None,
) -> tuple[Dataset, dict[str, object]]:
    """Rewrite a share of the pairs as the settings say, and label and score the rewrites like the originals.

    Args:
        pairs (`Dataset`): Canonical pairs, with the features of the axes.
        settings (`AuditSettings`): With `rewrites`.
        store_path (`Path`): SQLite file of responses.
        taxonomy (`Taxonomy`, *optional*): What to ask the labeler about rewrites; nothing when omitted.
        models (`Mapping[str, Scorer]`, *optional*): Models that score the rewrites, by short name.
        api_key (`str`, *optional*): Key of the endpoints' service, or one for each, see `key_for`; written nowhere.

    Returns:
        `tuple[Dataset, dict]`: The pairs with all columns of the rewrites, and what is to be recorded of them.

    Raises:
        LabelerError: An endpoint is down or refuses to work; what was answered so far is in the store.
    """
    wanted = settings.rewrites or RewriteSettings()
    similarity = _similarity(wanted.similarity_model)
    sample = sample_pairs(_labelled(pairs), wanted.share, seed=settings.seed, stratify_by=wanted.stratify_by)
    with ResponseStore(store_path) as store, open_endpoint(*_rewriting_server(settings)) as endpoint:
        rewriter = _rewriter(settings, store, endpoint, api_key)
        options: dict[str, Any] = {
            "similarity": similarity,
            "min_similarity": wanted.min_similarity,
            "pair_ids": sample,
        }
        for preset in wanted.presets:
            pairs = add_rewrites(pairs, rewriter, preset, **options)
        for axis in wanted.axes:
            pairs = add_round_trips(pairs, rewriter, axis, **options)
    _say(f"    {rewriter.budget.usage}, {_dollars(rewriter.budget.spent)}")
    for name in rewrite_names(wanted):
        _say(f"    rewrites, {name}: {_statuses(pairs, name)}")
        if taxonomy is not None:
            pairs = on_rewrites(pairs, name, _labels_of_rewrites(taxonomy, settings, store_path, api_key))
        if models:
            pairs = on_rewrites(pairs, name, _scores_of_rewrites(models, store_path.parent / "rewards"))
    return pairs, {
        **endpoint.about,
        "rewrite_version": REWRITE_VERSION,
        **rewriter.sampling,
        "n_pairs_sampled": len(sample),
        "attempts": wanted.attempts,
        "presets": list(wanted.presets),
        "axes": list(wanted.axes),
        "whole_dialogue": wanted.whole_dialogue,
        "min_similarity": wanted.min_similarity,
        "similarity_model": similarity.name,
        "stratify_by": wanted.stratify_by,
        "share": wanted.share,
    }


def _similarity(name: str | None) -> SimilarityModel:
    if name is not None:
        return SimilarityModel(name)
    try:
        return SimilarityModel()
    except ModelError:
        _say(f"    {DEFAULT_MODEL} cannot be loaded here; rewrites are compared by the embedded all-MiniLM-L6-v2")
        return SimilarityModel(EMBEDDED_MODEL)


def rewrite_names(wanted: RewriteSettings) -> tuple[str, ...]:
    """The names of all rewrites that settings ask for."""
    return (*wanted.presets, *(name for axis in wanted.axes for name in (axis, schema.back(axis))))


def _labels_of_rewrites(
    taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, api_key: str | None
) -> Callable[[Dataset], Dataset]:
    everything = replace(settings, label_limit=None, gold=None)
    return lambda table: label_pairs(table, taxonomy, everything, store_path, api_key=api_key)[0]


def _scores_of_rewrites(models: Mapping[str, Scorer], folder: Path) -> Callable[[Dataset], Dataset]:
    def score(table: Dataset) -> Dataset:
        with ScoreStore(folder) as store:
            return add_rewards(table, models, store=store)

    return score


def _labelled(pairs: Dataset) -> Dataset:
    """Pairs that were drawn for labeling, so that rewrites are of labelled texts."""
    column = schema.failures_column("chosen")
    if column not in pairs.column_names:
        return pairs
    drawn = [
        row
        for row, failures in enumerate(pairs[column])
        if not any(failure["reason"] == NOT_SAMPLED for failure in failures)
    ]
    return pairs.select(drawn)


def _statuses(pairs: Dataset, name: str) -> str:
    counts = Counter(status for side in schema.SIDES for status in pairs[schema.rewrite_status_column(name, side)])
    del counts[NOT_SAMPLED]
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common()) or "none"


def _labeler(
    settings: AuditSettings,
    store: ResponseStore,
    endpoint: Endpoint,
    api_key: str | None,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    budget: Budget | None = None,
) -> Labeler:
    check_keys(settings.addresses, api_key)
    return Labeler(
        endpoint.model,
        base_url=endpoint.url,
        api_key=None if endpoint.slots else api_key,
        concurrency=endpoint.slots or settings.concurrency,
        store=store,
        probabilities=settings.probabilities,
        max_failure_rate=settings.max_failure_rate,
        budget=budget or _budget(settings, store, endpoint.model),
        batch=settings.batch and not endpoint.slots,
        temperature=temperature,
        seed=seed,
    )


def _budget(settings: AuditSettings, store: ResponseStore, model: str) -> Budget:
    """What is left to spend: the limit holds for the store, so that a run that goes on has no new one."""
    prices = load_prices(settings.prices)
    if settings.budget is None:
        return Budget(math.inf, prices.price(model, batch=settings.batch))
    costs = [prices.price(each, batch=batch).cost(usage) for (each, batch), usage in store.usage().items()]
    return Budget(
        max(0.0, settings.budget - sum(cost for cost in costs if cost > 0.0)), prices.price(model, batch=settings.batch)
    )


def _sample(pair_ids: Sequence[str], size: int | None, seed: int) -> frozenset[str] | None:
    if size is None or size >= len(pair_ids):
        return None
    drawn = np.random.default_rng(seed).choice(len(pair_ids), size=size, replace=False)
    return frozenset(pair_ids[index] for index in drawn)


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()

"""The step of an audit that rewrites pairs, then labels and scores the rewrites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.audit.endpoint import (
    EMBEDDED_PENALTY,
    Endpoint,
    describe_answers,
    draw_sample,
    format_dollars,
    open_endpoint,
    print_progress,
    request_options,
    unopened_endpoint,
)
from seal_datasets.audit.label_step import asked_features
from seal_datasets.audit.settings import AuditSettings, RewriteSettings
from seal_datasets.endpoints.cost import load_prices
from seal_datasets.endpoints.embedded import MODEL_NAME
from seal_datasets.endpoints.keys import check_keys
from seal_datasets.endpoints.options import Sampling
from seal_datasets.endpoints.requests import Plan
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.errors import ModelError
from seal_datasets.labels.featurize import feature_columns
from seal_datasets.rewards.score import add_rewards
from seal_datasets.rewards.score_store import ScoreStore
from seal_datasets.rewards.scorer import Scorer
from seal_datasets.rewrites.on_rewrites import on_rewrites
from seal_datasets.rewrites.rewrite import NOT_SAMPLED, add_rewrites, add_round_trips, plan_rewrites
from seal_datasets.rewrites.rewriter import REWRITE_VERSION, RewriteOptions, Rewriter
from seal_datasets.rewrites.sample import sample_pairs
from seal_datasets.rewrites.similarity import DEFAULT_MODEL, EMBEDDED_MODEL, SimilarityModel


def describe_rewrite_plan(
    pairs: Dataset, settings: AuditSettings, store_path: Path, *, api_key: str | None = None
) -> str:
    """Describe the requests and cost of `rewrite_pairs` without sending any; the arguments are the same.

    Returns:
        `str`: Texts, requests, tokens and dollars, and the date of the prices, without the labeling of the rewrites.
    """
    plan = plan_rewriting(pairs, settings, store_path, api_key=api_key)[0]
    return f"{plan} (prices of {load_prices(settings.prices).as_of})"


def plan_rewriting(
    pairs: Dataset, settings: AuditSettings, store_path: Path, *, api_key: str | None = None
) -> tuple[Plan, Dataset]:
    """Estimate the requests and cost of `rewrite_pairs` without sending any; the arguments are the same.

    Returns:
        `tuple[Plan, Dataset]`: Texts, requests, tokens and dollars, without the labeling of the rewrites; and as many pairs as
        will be rewritten, which are those that will be unless the draw is stratified by a label.
    """
    wanted = settings.rewrites or RewriteSettings()
    asks = settings.labeler not in (None, "none", "probe")
    if asks and (labelled := draw_sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)):
        pairs = pairs.select([row for row, pair_id in enumerate(pairs[schema.PAIR_ID]) if pair_id in labelled])
    labels = feature_columns(asked_features(settings).features) if asks else {}
    # Labels do not exist yet; a sample without strata has about the same size.
    strata = wanted.stratify_by if wanted.stratify_by not in labels else None
    sample = sample_pairs(_select_labelled(pairs), wanted.share, seed=settings.seed, stratify_by=strata)
    with ResponseStore(store_path if store_path.exists() else ":memory:") as store:
        rewriter = make_rewriter(settings, store, unopened_endpoint(*rewriting_server(settings)), api_key)
        plan = plan_rewrites(pairs, rewriter, wanted.presets, wanted.axes, sample)
    drawn = frozenset(sample)
    return plan, pairs.select([row for row, pair_id in enumerate(pairs[schema.PAIR_ID]) if pair_id in drawn])


def rewriting_server(settings: AuditSettings) -> tuple[str, str | None]:
    """Server and model that rewrite."""
    wanted = settings.rewrites or RewriteSettings()
    server = wanted.rewriter or settings.labeler
    return server if server and server not in (
        "none",
        "probe",
    ) else "local", wanted.rewriter_model or settings.labeler_model


def make_rewriter(settings: AuditSettings, store: ResponseStore, endpoint: Endpoint, api_key: str | None) -> Rewriter:
    """Make the rewriter that the settings describe."""
    check_keys(settings.addresses, api_key)
    wanted = settings.rewrites or RewriteSettings()
    return Rewriter(
        endpoint.model,
        base_url=endpoint.url,
        api_key=None if endpoint.slots else api_key,
        store=store,
        # Without a penalty the embedded model repeats one sentence up to the token limit.
        sampling=Sampling(
            wanted.temperature, frequency_penalty=EMBEDDED_PENALTY if endpoint.model == MODEL_NAME else 0.0
        ),
        rewriting=RewriteOptions(
            whole_dialogue=wanted.whole_dialogue,
            alone=endpoint.model == MODEL_NAME and not wanted.whole_dialogue,
            attempts=wanted.attempts,
        ),
        options=request_options(replace(settings, batch=_in_batches(settings)), store, endpoint),
    )


def _in_batches(settings: AuditSettings) -> bool:
    """Whether rewrites go through the Batch API: it is the labeler's, and a rewriter elsewhere may have none."""
    labeler = settings.labeler or ""
    return settings.batch and (not labeler.startswith("http") or rewriting_server(settings)[0] == labeler)


def rewrite_pairs(
    pairs: Dataset,
    settings: AuditSettings,
    store_path: Path,
    *,
    label: Callable[[Dataset], Dataset] | None = None,
    models: Mapping[str, Scorer] | None = None,
    api_key: str | None = None,
) -> tuple[Dataset, dict[str, Any]]:
    """Rewrite a share of the pairs according to the settings, then label and score the rewrites.

    Args:
        pairs (`Dataset`): Canonical pairs, with the features of the axes.
        settings (`AuditSettings`): With `rewrites`.
        store_path (`Path`): SQLite file of responses.
        label (`Callable`, *optional*): Adds labels to a table of rewrites; they get none when omitted.
        models (`Mapping[str, Scorer]`, *optional*): Models that score the rewrites, by short name.
        api_key (`str`, *optional*): Key of the endpoints' service, or `ADDRESS=KEY` entries, see `key_for`; never written to
            disk.

    Returns:
        `tuple[Dataset, dict]`: The pairs with all columns of the rewrites, and the record of the rewrites.

    Raises:
        LabelerError: An endpoint cannot be reached or rejects requests; answers received so far are in the store.
    """
    wanted = settings.rewrites or RewriteSettings()
    similarity = _open_similarity_model(wanted.similarity_model)
    sample = sample_pairs(_select_labelled(pairs), wanted.share, seed=settings.seed, stratify_by=wanted.stratify_by)
    with ResponseStore(store_path) as store, open_endpoint(*rewriting_server(settings)) as endpoint:
        rewriter = make_rewriter(settings, store, endpoint, api_key)
        options: dict[str, Any] = {
            "similarity": similarity,
            "min_similarity": wanted.min_similarity,
            "pair_ids": sample,
        }
        for preset in wanted.presets:
            pairs = add_rewrites(pairs, rewriter, preset, **options)
        for axis in wanted.axes:
            pairs = add_round_trips(pairs, rewriter, axis, **options)
        learned = describe_answers(store, endpoint.model)
    for note in rewriter.adapted:
        print_progress(f"    the rewriter's endpoint: {note}")
    print_progress(f"    {rewriter.budget.usage}, {format_dollars(rewriter.budget.spent)}")
    for name in rewrite_names(wanted):
        counts = ", ".join(f"{reason} {count:,}" for reason, count in _count_statuses(pairs, name).most_common())
        print_progress(f"    rewrites, {name}: {counts or 'none'}")
        if label is not None:
            pairs = on_rewrites(pairs, name, label)
        if models:
            pairs = on_rewrites(pairs, name, _scores_of_rewrites(models, store_path.parent / "rewards"))
    return pairs, {
        **endpoint.about,
        **learned,
        "statuses": {name: dict(_count_statuses(pairs, name)) for name in rewrite_names(wanted)},
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


def _open_similarity_model(name: str | None) -> SimilarityModel:
    if name is not None:
        return SimilarityModel(name)
    try:
        return SimilarityModel()
    except ModelError:
        print_progress(
            f"    {DEFAULT_MODEL} cannot be loaded; rewrites are compared with the embedded all-MiniLM-L6-v2"
        )
        return SimilarityModel(EMBEDDED_MODEL)


def rewrite_names(wanted: RewriteSettings) -> tuple[str, ...]:
    """Names of all rewrites in the settings."""
    return (*wanted.presets, *(name for axis in wanted.axes for name in (axis, schema.back(axis))))


def _scores_of_rewrites(models: Mapping[str, Scorer], folder: Path) -> Callable[[Dataset], Dataset]:
    def score(table: Dataset) -> Dataset:
        with ScoreStore(folder) as store:
            return add_rewards(table, models, store=store)

    return score


def _select_labelled(pairs: Dataset) -> Dataset:
    """Select the pairs drawn for labeling, because only labeled texts are rewritten."""
    column = schema.failures_column("chosen")
    if column not in pairs.column_names:
        return pairs
    drawn = [
        row
        for row, failures in enumerate(pairs[column])
        if not any(failure["reason"] == NOT_SAMPLED for failure in failures)
    ]
    return pairs.select(drawn)


def _count_statuses(pairs: Dataset, name: str) -> Counter[str]:
    counts = Counter(status for side in schema.SIDES for status in pairs[schema.rewrite_status_column(name, side)])
    del counts[NOT_SAMPLED]
    return counts

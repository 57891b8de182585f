"""The probe of an audit, from settings."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.audit.endpoint import print_progress
from seal_datasets.audit.planned import PlannedStep, sample_rows
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.data.texts import Text, pair_text
from seal_datasets.endpoints.embeddings import EmbeddingEndpoint
from seal_datasets.labels.embedding_store import EmbeddingStore
from seal_datasets.labels.featurize import iterate_texts
from seal_datasets.labels.gold import gold_features
from seal_datasets.labels.probe import PROBE_VERSION, Encoder, Probe
from seal_datasets.labels.probe_columns import add_probe_labels
from seal_datasets.labels.taxonomy import Taxonomy

EMBEDDINGS = "embeddings.sqlite"
"""Name of the store of embeddings beside that of responses."""

_TEXTS_MEASURED = 64


def open_encoder(name: str, api_key: str | None = None) -> Encoder:
    """Open an encoder.

    Args:
        name (`str`): `"embedded"`, a Hub id or folder, or `URL#MODEL` of an endpoint.
        api_key (`str`, *optional*): Key of the endpoint, see `key_for`.

    Returns:
        `Encoder`: What embeds texts.

    Raises:
        ModelError: It is no encoder.

    Example:

    ```python
    >>> open_encoder("http://localhost:8000/v1#my-encoder").name
    'http://localhost:8000/v1/#my-encoder'

    ```
    """
    if name.startswith(("http://", "https://")):
        url, _, model = name.partition("#")
        return EmbeddingEndpoint(url, model, api_key=api_key)
    from seal_datasets.rewards.sentence_encoder import SentenceEncoder  # needs the extra

    return SentenceEncoder(name)


def open_embeddings(store_path: Path) -> EmbeddingStore:
    """Open the store of embeddings beside one of responses."""
    return EmbeddingStore(_beside(store_path))


def _beside(store_path: Path) -> Path:
    return store_path.with_name(EMBEDDINGS if store_path.name == "labels.sqlite" else f"{store_path.stem}.{EMBEDDINGS}")


def probed_features(pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings) -> Taxonomy:
    """Features that a probe learns: those asked for, or all with gold labels."""
    learned = [feature.name for feature in gold_features(pairs, taxonomy)]
    return taxonomy if settings.features or not learned else taxonomy.select(learned)


def probe_pairs(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, *, api_key: str | None = None
) -> tuple[Dataset, dict[str, Any], Callable[[Dataset], Dataset]]:
    """Label pairs with a probe that learns from their gold labels.

    Args:
        pairs (`Dataset`): Canonical pairs with gold labels.
        taxonomy (`Taxonomy`): Features to learn.
        settings (`AuditSettings`): The encoder, and what becomes of weak features.
        store_path (`Path`): SQLite file of responses; embeddings are kept beside it.
        api_key (`str`, *optional*): Key of an encoder's endpoint.

    Returns:
        `tuple[Dataset, dict, Callable]`: The labelled pairs, the record of the labeler, and what labels other texts of the same
        prompts.
    """
    encoder = open_encoder(settings.encoder, api_key)
    start = time.perf_counter()

    def label(table: Dataset, *, fit: bool = False) -> Dataset:
        with open_embeddings(store_path) as store:
            probe.store = store
            if fit:
                probe.fit(table, taxonomy)
            return add_probe_labels(table, probe, taxonomy)

    probe = Probe(encoder, keep_weak=settings.keep_weak)
    pairs = label(pairs, fit=True)
    print_progress(f"    the probe took {time.perf_counter() - start:.0f} s")
    for name, feature in probe.features.items():
        if feature.status != "ok":
            print_progress(f"    {name}: {feature.status.replace('_', ' ')}: {feature.detail}")
    record = {
        "model": "probe",
        "endpoint": f"heads on {encoder.name}",
        "weak": False,
        "kind": "probe",
        "encoder": encoder.name,
        "revision": encoder.revision,
        "probe_version": PROBE_VERSION,
        "keep_weak": settings.keep_weak,
        "learned": {name: feature.to_dict() for name, feature in probe.features.items()},
    }
    return pairs, record, label


def plan_probe(pairs: Dataset, settings: AuditSettings, store_path: Path | None) -> PlannedStep:
    """Plan the probe's embeddings; the encoder is timed on a few texts where it runs here.

    Args:
        pairs (`Dataset`): Canonical pairs.
        settings (`AuditSettings`): The encoder.
        store_path (`Path`, *optional*): As for `probe_pairs`; nothing is taken to be stored where it is omitted.

    Returns:
        `PlannedStep`: The row of the plan.
    """
    texts = {text for *_, text in iterate_texts(pairs) if isinstance(text, Text)}
    served = settings.encoder.startswith(("http://", "https://"))
    if served:
        note, seconds, cached = "time is not measured: a server embeds, and none is asked", math.nan, math.nan
        return PlannedStep("labels", pairs=len(pairs), texts=len(texts), cached=cached, seconds=seconds, notes=(note,))
    print_progress("Measuring: the encoder")
    encoder = open_encoder(settings.encoder)
    path = _beside(store_path) if store_path else None
    with EmbeddingStore(path if path and path.exists() else ":memory:") as store:
        n_known = Probe(encoder, store=store).count_known(list(texts))
    batch = pairs.select(sample_rows(len(pairs), _TEXTS_MEASURED))[:]
    found = [pair_text(batch, row, schema.SIDES[0]) for row in range(len(batch[schema.PAIR_ID]))]
    sample = [text for text in found if isinstance(text, Text)]
    start = time.perf_counter()
    Probe(encoder).embed(iter(sample))
    pace = (time.perf_counter() - start) / max(len(sample), 1)
    return PlannedStep(
        "labels",
        pairs=len(pairs),
        texts=len(texts),
        cached=n_known,
        seconds=pace * (len(texts) - n_known),
        notes=(f"a probe on {encoder.name}, {pace * 1000:.0f} ms a text; its heads take some seconds",),
    )

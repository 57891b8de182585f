"""Columns that a pairs table only carries along: media that need not be decoded, and values that Parquet cannot hold."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from datasets import Audio, Dataset, Features, Image, IterableDataset, Json, LargeList, List, Pdf, Video

FeatureType: TypeAlias = object


def with_media_undecoded(rows: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """The same rows with images, sounds and the like as bytes and paths, so that nothing is decoded to be carried along."""
    if rows.features is None:
        return rows
    features = Features({name: _undecoded(kind) for name, kind in rows.features.items()})
    return rows if features == rows.features else rows.cast(features)


def _undecoded(kind: FeatureType) -> FeatureType:
    if isinstance(kind, Image | Audio | Video | Pdf):
        return replace(kind, decode=False)
    if isinstance(kind, dict):
        return {name: _undecoded(inner) for name, inner in kind.items()}
    if isinstance(kind, List):
        return List(_undecoded(kind.feature), kind.length)
    return LargeList(_undecoded(kind.feature)) if isinstance(kind, LargeList) else kind


def unstorable(kind: FeatureType) -> bool:
    """Whether a column's type has a structure without fields, or JSON values, which not every reader of Parquet takes."""
    if isinstance(kind, dict):
        return not kind or any(unstorable(inner) for inner in kind.values())
    if isinstance(kind, List | LargeList):
        return unstorable(kind.feature)
    return isinstance(kind, Json)


def as_json_text(values: Iterable[object]) -> list[str | None]:
    """Values as JSON text; null stays null."""
    return [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]

"""Columns that a pairs table only carries along: media that need not be decoded, and values that Parquet cannot hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PureWindowsPath
from typing import TypeAlias

from datasets import Audio, Dataset, Features, Image, IterableDataset, Json, LargeList, List, Pdf, Video

FeatureType: TypeAlias = object
_MEDIA = (Image, Audio, Video, Pdf)


def with_media_undecoded(rows: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """The same rows with images, sounds and the like as bytes and paths, so that nothing is decoded to be carried along."""
    if rows.features is None:
        return rows
    features = Features({name: _undecoded(kind) for name, kind in rows.features.items()})
    return rows if features == rows.features else rows.cast(features)


def _undecoded(kind: FeatureType) -> FeatureType:
    if isinstance(kind, _MEDIA):
        return replace(kind, decode=False)
    if isinstance(kind, dict):
        return {name: _undecoded(inner) for name, inner in kind.items()}
    if isinstance(kind, List):
        return List(_undecoded(kind.feature), kind.length)
    return LargeList(_undecoded(kind.feature)) if isinstance(kind, LargeList) else kind


def unstorable(kind: FeatureType) -> bool:
    """Whether a column's type has a structure without fields, or JSON values, which not every reader of Parquet takes."""
    return any(leaf == {} or isinstance(leaf, Json) for leaf in _leaves(kind))


def _leaves(kind: FeatureType) -> Iterator[FeatureType]:
    """The types that hold values in a type; a structure without fields is one."""
    if isinstance(kind, List | LargeList):
        yield from _leaves(kind.feature)
    elif isinstance(kind, dict) and kind:
        for inner in kind.values():
            yield from _leaves(inner)
    else:
        yield kind


def as_json_text(values: Iterable[object]) -> list[str | None]:
    """Values as JSON text; null stays null."""
    return [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]


def without_local_paths(rows: Dataset) -> Dataset:
    """The same rows with file names in place of the paths of images, sounds and the like, which may tell of a machine."""
    columns = [name for name, kind in rows.features.items() if any(isinstance(leaf, _MEDIA) for leaf in _leaves(kind))]
    if not columns:
        return rows
    plain = Features({name: _undecoded(kind) for name, kind in rows.features.items()})
    return rows.cast(plain).map(
        lambda batch: {name: [_named(value) for value in batch[name]] for name in columns},
        batched=True,
        features=plain,
        desc="File names",
    )


def _named(value: object) -> object:
    """A value with the last part of every `path` in it."""
    if isinstance(value, dict):
        # A path of Windows is told apart at both kinds of slashes.
        return {
            key: PureWindowsPath(item).name if key == "path" and item else _named(item) for key, item in value.items()
        }
    return [_named(item) for item in value] if isinstance(value, list) else value

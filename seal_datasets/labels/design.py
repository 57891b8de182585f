"""Labels as a design matrix: which columns, coded how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seal_datasets import schema
from seal_datasets.labels.taxonomy import Feature

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Design:
    """Feature values as the estimators take them; a `labels` feature becomes one indicator per answer.

    Attributes:
        names (`tuple[str, ...]`): Column names, length k.
        chosen (`ndarray` of shape (n, k)): Values on the chosen side, nan where a label is missing.
        rejected (`ndarray` of shape (n, k)): Values on the rejected side.
        blocks (`dict[str, tuple[str, ...]]`): Column names of each `labels` feature.
        references (`dict[str, str]`): By `labels` feature, the column left out, which the others are relative to.
    """

    names: tuple[str, ...]
    chosen: Floats
    rejected: Floats
    blocks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Pairs with every value on both sides, shape (n,)."""
        missing = np.isnan(self.chosen).any(axis=1) | np.isnan(self.rejected).any(axis=1)
        return np.asarray(~missing, dtype=np.bool_)

    def without_references(self) -> Design:
        """Leave out the commonest answer of each `labels` feature of which every text has the same number of answers.

        The indicators of such a feature add up to a constant, so that none of them has a coefficient of its own.

        Returns:
            `Design`: With the answers left out as `references`; unchanged where answers do not exclude each other.

        Example:

        ```python
        >>> topics = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> design = Design(("topic: art", "topic: law"), topics, topics, {"topic": ("topic: art", "topic: law")})
        >>> design.without_references().names, design.without_references().references
        (('topic: law',), {'topic': 'topic: art'})

        ```
        """
        if not self.blocks:
            return self
        rows = np.vstack([self.chosen[self.complete], self.rejected[self.complete]])
        references = {}
        for feature, columns in self.blocks.items():
            answers = rows[:, [self.names.index(column) for column in columns]]
            totals = answers.sum(axis=1)
            if len(rows) and (totals == totals[0]).all():
                references[feature] = columns[int(answers.sum(axis=0).argmax())]
        kept = [i for i, name in enumerate(self.names) if name not in references.values()]
        names = tuple(self.names[i] for i in kept)
        blocks = {feature: tuple(c for c in columns if c in names) for feature, columns in self.blocks.items()}
        blocks = {feature: columns for feature, columns in blocks.items() if columns}
        return Design(names, self.chosen[:, kept], self.rejected[:, kept], blocks, references)

    def at(self, rows: NDArray[np.bool_]) -> Design:
        """Some of the pairs; the design itself where they are all, which saves a copy."""
        return self if rows.all() else replace(self, chosen=self.chosen[rows], rejected=self.rejected[rows])

    def select(self, kept: NDArray[np.bool_]) -> Design:
        """Some of the columns; a block of which any is left out is none."""
        names = tuple(name for name, keeps in zip(self.names, kept, strict=True) if keeps)
        blocks = {feature: columns for feature, columns in self.blocks.items() if set(columns) <= set(names)}
        return Design(names, self.chosen[:, kept], self.rejected[:, kept], blocks, self.references)


def feature_design(frame: pd.DataFrame, features: Sequence[Feature]) -> Design:
    """Make the design matrix of both sides from a table's feature columns."""
    blocks = {
        feature.name: tuple(f"{feature.name}: {answer}" for answer in feature.answers)
        for feature in features
        if feature.type == "labels" and feature.answers
    }
    names = tuple(name for feature in features for name in blocks.get(feature.name, (feature.name,)))
    sides = {side: np.empty((len(frame), len(names))) for side in schema.SIDES}
    for side, matrix in sides.items():
        start = 0
        for feature in features:
            values = frame[schema.feature_column(feature.name, side)]
            width = len(blocks.get(feature.name, (feature.name,)))
            encoded = _encode_indicators(values, feature) if feature.name in blocks else numbers(values)[:, None]
            matrix[:, start : start + width] = encoded
            start += width
    return Design(names, sides["chosen"], sides["rejected"], blocks)


def numbers(values: pd.Series[Any]) -> Floats:
    """Values of a column as float64, nan where one is missing."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf":  # without an object for each value
        return values.to_numpy(dtype=float)
    array: Floats = pd.to_numeric(values.astype(object), errors="raise").to_numpy(dtype=float, na_value=np.nan)
    return array


def _encode_indicators(values: pd.Series[Any], feature: Feature) -> Floats:
    rows = [
        [np.nan] * len(feature.answers) if answers is None else [float(answer in answers) for answer in feature.answers]
        for answers in values
    ]
    return np.array(rows, dtype=float).reshape(len(rows), len(feature.answers))

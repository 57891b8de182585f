"""Labels as a design matrix: which columns, coded how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """

    names: tuple[str, ...]
    chosen: Floats
    rejected: Floats

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Pairs with every value on both sides, shape (n,)."""
        missing = np.isnan(np.hstack([self.chosen, self.rejected]))
        return np.asarray(missing.sum(axis=1) == 0, dtype=np.bool_)


def feature_design(frame: pd.DataFrame, features: Sequence[Feature]) -> Design:
    """Make the design matrix of both sides from a table's feature columns."""
    names: list[str] = []
    sides: dict[str, list[Floats]] = {side: [] for side in schema.SIDES}
    for feature in features:
        expanded = [f"{feature.name}: {answer}" for answer in feature.answers] if feature.type == "labels" else []
        names += expanded or [feature.name]
        for side in schema.SIDES:
            values = frame[schema.feature_column(feature.name, side)]
            sides[side].append(_encode_indicators(values, feature) if expanded else numbers(values)[:, None])
    empty = np.empty((len(frame), 0))
    return Design(tuple(names), *(np.hstack([empty, *sides[side]]) for side in schema.SIDES))


def numbers(values: pd.Series[Any]) -> Floats:
    """Values of a column as float64, nan where one is missing."""
    array: Floats = pd.to_numeric(values.astype(object), errors="raise").to_numpy(dtype=float, na_value=np.nan)
    return array


def _encode_indicators(values: pd.Series[Any], feature: Feature) -> Floats:
    rows = [
        [np.nan] * len(feature.answers) if answers is None else [float(answer in answers) for answer in feature.answers]
        for answers in values
    ]
    return np.array(rows, dtype=float).reshape(len(rows), len(feature.answers))

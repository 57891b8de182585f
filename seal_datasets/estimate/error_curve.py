"""Sensitivity of an imprint to the error rate of its labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.corrected_inference import check_labelled_texts, indefinite, invert_rates, labels_freedom
from seal_datasets.estimate.inputs import (
    Codes,
    Floats,
    confidence_level,
    finite,
    indicator,
)
from seal_datasets.estimate.intervals import Interval, critical_value
from seal_datasets.estimate.linear import PERFECT, demean
from seal_datasets.estimate.result import Result

_RATES = tuple(percent / 100 for percent in range(31))
# A feature counts as all error if its corrected variance within prompts is below this share of the observed one.
_LEAST_SIGNAL = 1e-3


@dataclass(frozen=True, slots=True)
class ErrorCurve(Result):
    """The imprint of one feature under assumed error rates of its labels.

    Attributes:
        feature (`str`): Name.
        rates (`tuple[float, ...]`): Assumed shares of wrong labels, the same for 0 and 1.
        coefficients (`tuple[float, ...]`): Imprint at each rate; nan where such errors would leave no signal.
        confidence_intervals (`tuple[tuple[float, float], ...]`): By the delta method, the rate taken as known; t with
            the effective prompts in which the labels differ, less one, as degrees of freedom.
        sign_flips_at (`float`): Smallest rate at which the sign is opposite to that at the first rate; nan if it never is.
        insignificant_at (`float`): Smallest rate whose interval contains 0; nan if none does.
        largest_rate (`float`): Largest rate that the labels' variance allows.
    """

    feature: str
    rates: tuple[float, ...]
    coefficients: tuple[float, ...]
    confidence_intervals: tuple[Interval, ...]
    sign_flips_at: float
    insignificant_at: float
    largest_rate: float


def label_error_curve(
    rewards: ArrayLike,
    features: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    feature_names: Sequence[str],
    *,
    rates: Sequence[float] = _RATES,
    confidence: float = 0.95,
) -> tuple[ErrorCurve, ...]:
    """Estimate, without gold labels, the label error rate at which an imprint changes its sign or significance.

    For each feature in turn a share of its labels is assumed wrong, at random; labels of the other features are assumed
    correct. The cross-products of the true labels then have a closed form.

    Args:
        rewards (array-like of shape (n,)): One reward per text.
        features (array-like of shape (n, k)): The labels, 0 or 1.
        groups (sequence of shape (n,)): Prompt id of each text.
        feature_names (`Sequence[str]`): The k names.
        rates (`Sequence[float]`): Shares of wrong labels to try, from 0 to below 1/2.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `tuple[ErrorCurve, ...]`: One curve per feature. A feature with other values than 0 and 1 raises.

    Raises:
        DataError: A label is neither 0 nor 1, or a rate is out of range.

    Example:

    ```python
    >>> labels, rewards = [[1], [0], [1], [0], [0], [1], [1], [0]], [2.0, 0.0, 1.0, 0.0, 1.0, 1.0, 2.0, 1.0]
    >>> curve = label_error_curve(rewards, labels, [1, 1, 2, 2, 3, 3, 4, 4], ["polite"], rates=[0.0, 0.1])[0]
    >>> [round(coefficient, 2) for coefficient in curve.coefficients]  # 2 / 2, and (2 / 0.8) / ((2 - 4 * 0.09) / 0.64)
    [1.0, 0.98]

    ```
    """
    confidence_level(confidence)
    y, x, codes, names = check_labelled_texts(rewards, features, groups, feature_names)
    grid = finite(rates, "rates")
    bad = np.flatnonzero((grid < 0) | (grid >= 0.5))
    if bad.size:
        raise DataError(
            f"rates must lie from 0 to below 0.5, where labels carry no signal; row {bad[0]} is {grid[bad[0]]:g}"
        )
    for column, name in enumerate(names):
        indicator(x[:, column], f"features column {name!r}")
    within, outcome = demean(x, codes), demean(y[:, None], codes)[:, 0]
    moments = _Moments(within, outcome, codes, within.T @ within, within.T @ outcome)
    sizes = np.bincount(codes)
    spare = np.where(sizes > 1, sizes - 1.0, 0.0)
    used = int((sizes > 1).sum())
    freedom = labels_freedom(within, codes)
    curves = []
    for j, name in enumerate(names):
        critical = critical_value(confidence, freedom[j]) if freedom[j] > 0 else math.nan
        coefficients, intervals, largest = [], [], math.nan
        for rate in grid:
            beta, error = _estimate_at_rate(moments, spare, j, float(rate), used)
            coefficients.append(beta)
            intervals.append((beta - critical * error, beta + critical * error))
            largest = largest if math.isnan(beta) else float(np.fmax(largest, rate))
        first = np.sign(coefficients[0])
        flips = [rate for rate, beta in zip(grid, coefficients, strict=True) if np.sign(beta) * first < 0]
        covers = [rate for rate, (low, high) in zip(grid, intervals, strict=True) if low <= 0 <= high]
        curves.append(
            ErrorCurve(
                name,
                tuple(grid.tolist()),
                tuple(coefficients),
                tuple(intervals),
                float(min(flips, default=math.nan)),
                float(min(covers, default=math.nan)),
                largest,
            )
        )
    return tuple(curves)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Demeaned texts and their cross-products."""

    x: Floats
    y: Floats
    codes: Codes
    gram: Floats
    cross: Floats


def _estimate_at_rate(moments: _Moments, spare: Floats, j: int, rate: float, used: int) -> tuple[float, float]:
    """Coefficient and error of feature j at an assumed error rate e of its labels.

    Errors shrink products with other columns by 1 - 2e. The feature's own square over a prompt of m texts is that of the
    truth times (1 - 2e)^2, plus (m - 1) e (1 - e).
    """
    scale = np.ones(len(moments.cross))
    scale[j] = 1 / (1 - 2 * rate)
    excess = rate * (1 - rate) * scale[j] ** 2
    gram, cross = moments.gram * np.outer(scale, scale), moments.cross * scale
    gram[j, j] -= excess * spare.sum()
    bread, identified = invert_rates(gram)
    if gram[j, j] <= _LEAST_SIGNAL * moments.gram[j, j] or not identified[j] or indefinite(gram):
        return math.nan, math.nan
    beta = bread @ cross
    # Rounding must not decide a sign.
    size = PERFECT * math.sqrt(float(moments.y @ moments.y))
    beta = np.where(np.abs(beta) * np.sqrt(np.abs(np.diag(gram))) <= size, 0.0, beta)
    residuals = moments.y - moments.x @ (scale * beta)
    influence = np.bincount(moments.codes, weights=(moments.x @ (scale * bread[:, j])) * residuals)
    influence += excess * spare * beta[j] * bread[j, j]
    return float(beta[j]), math.sqrt(float((influence**2).sum()) * used / max(used - 1, 1))

"""Error rates of labels, measured against gold labels or implied by two labelers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike

from seal_datasets.estimate.inputs import (
    confidence_level,
    indicator,
    same_length,
)
from seal_datasets.estimate.intervals import Interval, wilson
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class ErrorRates(Result):
    """Error rates of the labels of a binary feature.

    Attributes:
        sensitivity (`float`): Share labelled 1 of the texts with the feature; nan without such a text.
        sensitivity_interval (`tuple[float, float]`): Wilson interval of the sensitivity.
        specificity (`float`): Share labelled 0 of the texts without the feature; nan without such a text.
        specificity_interval (`tuple[float, float]`): Wilson interval of the specificity.
        n_with (`int`): Gold texts with the feature.
        n_without (`int`): Gold texts without it.
    """

    sensitivity: float
    sensitivity_interval: Interval
    specificity: float
    specificity_interval: Interval
    n_with: int
    n_without: int


def label_error_rates(labels: ArrayLike, gold: ArrayLike, *, confidence: float = 0.95) -> ErrorRates:
    """Measure the error rates of the labels of a binary feature against gold labels.

    Args:
        labels (array-like of shape (n,)): The labeler's labels, 0 or 1.
        gold (array-like of shape (n,)): Gold labels of the same texts, 0 or 1.
        confidence (`float`, defaults to 0.95): Level of the intervals, texts taken as independent.

    Returns:
        `ErrorRates`: Sensitivity and specificity.

    Raises:
        DataError: Lengths differ or a label is neither 0 nor 1.

    Example:

    ```python
    >>> rates = label_error_rates([1, 1, 0, 0, 1], [1, 1, 1, 0, 0])
    >>> round(rates.sensitivity, 3), rates.specificity
    (0.667, 0.5)

    ```
    """
    confidence_level(confidence)
    labelled, truth = indicator(labels, "labels"), indicator(gold, "gold")
    same_length(labels=labelled, gold=truth)
    n_with, n_without = int(truth.sum()), int((~truth).sum())
    hits, passes = int((labelled & truth).sum()), int((~labelled & ~truth).sum())
    return ErrorRates(
        hits / n_with if n_with else math.nan,
        wilson(hits, n_with, confidence=confidence),
        passes / n_without if n_without else math.nan,
        wilson(passes, n_without, confidence=confidence),
        n_with,
        n_without,
    )


def implied_error_rate(labels: ArrayLike, other: ArrayLike, *, confidence: float = 0.95) -> tuple[float, Interval]:
    """Estimate the error rate of labels from the disagreement of two equally good labelers with independent errors.

    It needs no gold labels: two labelers, or one asked twice, suffice. Errors that labelers share make it too low. Use it
    as a rate for `known_rates_imprint`, or to read `label_error_curve`.

    Args:
        labels (array-like of shape (n,)): The labeler's labels, 0 or 1.
        other (array-like of shape (n,)): Another labeler's labels of the same texts, 0 or 1.
        confidence (`float`, defaults to 0.95): Level of the interval: Wilson's of the disagreement, transformed.

    Returns:
        `tuple[float, tuple[float, float]]`: Share of wrong labels e, with 2 e (1 - e) the share of disagreements, and its
        interval; 1/2 where labelers disagree on half of the texts or more.

    Raises:
        DataError: Lengths differ or a label is neither 0 nor 1.

    Example:

    ```python
    >>> rate, _ = implied_error_rate([1] * 50 + [0] * 50, [1] * 41 + [0] * 50 + [1] * 9)
    >>> round(rate, 3), round(2 * rate * (1 - rate), 3)
    (0.1, 0.18)

    ```
    """
    confidence_level(confidence)
    first, second = indicator(labels, "labels"), indicator(other, "other")
    n = same_length(labels=first, other=second)
    n_disagreements = int((first != second).sum())
    low, high = wilson(n_disagreements, n, confidence=confidence)
    rate, low, high = ((1 - math.sqrt(max(1 - 2 * share, 0.0))) / 2 for share in (n_disagreements / n, low, high))
    return rate, (low, high)

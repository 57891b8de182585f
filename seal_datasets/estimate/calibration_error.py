"""Expected calibration error of choice probabilities, with an interval that allows for its bias."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seal_datasets.estimate.clustered_share import clustered_share
from seal_datasets.estimate.inputs import Codes, Floats
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.linear import group_sums

_DRAWS = 4000
_SEED = 0
_HALVINGS = 40
# Clusters for each bin: below these, errors of a bin's accuracy are too uncertain for a test.
_FEWEST_CLUSTERS = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Pairs whose margins have about the same size.

    Attributes:
        low (`float`): Smallest probability of the response with the higher reward.
        high (`float`): Largest of them.
        probability (`float`): Their mean: the accuracy that the margins promise.
        accuracy (`float`): Share of pairs whose chosen response has the higher reward; a tie counts half.
        confidence_interval (`tuple[float, float]`): Interval of the accuracy, clustered, within [0, 1].
        n (`int`): Pairs.
    """

    low: float
    high: float
    probability: float
    accuracy: float
    confidence_interval: Interval
    n: int


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration error over bins.

    Attributes:
        observed (`float`): Mean absolute difference of accuracy and probability, weighted by pairs. Chance alone makes it
            positive.
        corrected (`float`): The value at which the observed one would be the median; 0 where chance explains it.
        interval (`tuple[float, float]`): Values under which the observed one is not extreme.
        if_calibrated (`float`): Its mean for a calibrated model with as many pairs and prompts.
        p_value (`float`): Probability of at least the observed value for a calibrated model.
    """

    observed: float
    corrected: float
    interval: Interval
    if_calibrated: float
    p_value: float


def reliability(
    margin: Floats, probabilities: Floats, clusters: Codes, n_bins: int, confidence: float
) -> tuple[tuple[ReliabilityBin, ...], CalibrationError]:
    """Compare probabilities with accuracy in bins of equal numbers of pairs.

    Args:
        margin (`ndarray` of shape (n,)): Chosen minus rejected reward.
        probabilities (`ndarray` of shape (n,)): Probability of the chosen response.
        clusters (`ndarray` of shape (n,)): Cluster codes from 0.
        n_bins (`int`): Bins, by quantiles; fewer where many pairs share a probability, or
            with fewer than ten clusters for each bin.
        confidence (`float`): Level of the intervals.

    Returns:
        `tuple[tuple[ReliabilityBin, ...], CalibrationError]`: The curve and its error. Either response could be named first,
        so each pair counts once, from the side of the response with the higher reward.

    Source: Naeini, Cooper and Hauskrecht (2015). The interval inverts a test with simulated errors, in the direction of
        the observed differences, and for the upper bound also of even ones (hybrid resampling of Chuang and Lai, 2000).
    """
    promised = np.maximum(probabilities, 1 - probabilities)
    correct = np.where(margin > 0, 1.0, np.where(margin < 0, 0.0, 0.5))
    n_bins = min(n_bins, max((int(clusters.max()) + 1) // _FEWEST_CLUSTERS, 1))
    edges = np.unique(np.quantile(promised, np.linspace(0, 1, n_bins + 1)[1:]))
    bins = np.minimum(np.searchsorted(edges, promised), len(edges) - 1)
    rows = []
    for number in np.unique(bins):
        inside = bins == number
        share = clustered_share(correct[inside], clusters[inside], confidence)
        part = promised[inside]
        rows.append(
            ReliabilityBin(
                float(part.min()), float(part.max()), float(part.mean()), share.value, share.interval, share.n
            )
        )
    members = (bins[:, None] == np.unique(bins)).astype(np.float64)
    return tuple(rows), _error((correct - promised)[:, None] * members, members, clusters, confidence)


def _error(gaps: Floats, members: Floats, clusters: Codes, confidence: float) -> CalibrationError:
    """The error from each pair's gap in its bin's column."""
    n, n_clusters = len(gaps), int(clusters.max()) + 1
    means = gaps.sum(axis=0) / n
    observed = float(np.abs(means).sum())
    if n_clusters < 2:
        return CalibrationError(observed, math.nan, (math.nan, math.nan), math.nan, math.nan)
    present = group_sums(members, clusters, n_clusters) > 0
    small = np.sqrt(present.sum(axis=0) / np.maximum(present.sum(axis=0) - 1, 1))
    centred = (gaps - members * (gaps.sum(axis=0) / members.sum(axis=0))) * small
    # Without a true difference, gaps have mean 0 as they are.
    chance, noise = (_draw(group_sums(part / n, clusters, n_clusters)) for part in (gaps, centred))

    def bound(differences: Floats, share: float) -> float:
        """The error, with differences in these proportions, at which the observed one is exceeded with a probability."""
        return observed * _where(
            lambda scale: float(np.mean(np.abs(scale * differences + noise).sum(axis=1) >= observed)), share
        )

    tail = (1 - confidence) / 2
    low, middle = bound(means, tail), bound(means, 0.5)
    # Observed differences vary more than true ones, which would make the upper bound too low.
    even = observed * np.sign(means) * members.sum(axis=0) / n
    high = max(bound(means, 1 - tail), bound(even, 1 - tail))
    by_chance = np.abs(chance).sum(axis=1)
    p_value = float(np.mean(by_chance >= observed))
    if p_value >= tail:
        low = 0.0
    return CalibrationError(observed, middle, (low, min(high, 1.0)), float(by_chance.mean()), p_value)


def _draw(sums: Floats) -> Floats:
    """Draws of estimates with mean 0 and the covariance of their clusters' sums, by t."""
    n_clusters = len(sums)
    values, vectors = np.linalg.eigh(sums.T @ sums)
    rng = np.random.default_rng(_SEED)
    normal = rng.normal(size=(_DRAWS, len(values))) * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    spread = np.sqrt(rng.chisquare(n_clusters - 1, _DRAWS) / (n_clusters - 1))
    return np.asarray(normal / spread[:, None], dtype=np.float64)


def _where(exceeds: Callable[[float], float], share: float) -> float:
    """The scale at which the observed error is exceeded with a probability; 0 where it always is."""
    low, high = 0.0, 1.0
    if exceeds(0.0) >= share:
        return 0.0
    while exceeds(high) < share and high < 1e6:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if exceeds(middle) < share else (low, middle)
    return high

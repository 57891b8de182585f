"""Probabilities of choices from reward margins, by maximum likelihood on the choices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from seal_datasets.estimate.inputs import Codes, Floats, finite, one_of, same_length
from seal_datasets.estimate.linear import cluster_factor, group_sums
from seal_datasets.estimate.logit import newton

CalibrationCurve = Literal["temperature", "curve", "none"]


@dataclass(frozen=True, slots=True)
class ChoiceProbability:
    """A model's probability that the chosen response wins, P = expit(columns @ slopes).

    Attributes:
        probabilities (`ndarray` of shape (n,)): Probability of each pair's choice.
        columns (`ndarray` of shape (n, c)): Functions of the margin whose slopes are fitted; none without calibration.
        slopes (`ndarray` of shape (c,)): The first is one over the temperature.
        influence (`ndarray` of shape (n, c)): Each pair's influence on the slopes.
        status (`str`): `ok`, or why there are no probabilities: `no_margins` (every pair is a tie); `perfect_ranking`
            (no pair is ranked against its choice, so no finite temperature fits); `no_better_than_chance` (the margins
            do not predict the choices, so no positive temperature fits); `not_converged`.
    """

    probabilities: Floats
    columns: Floats
    slopes: Floats
    influence: Floats
    status: str


def margins(chosen_rewards: ArrayLike, rejected_rewards: ArrayLike) -> Floats:
    """Chosen minus rejected reward of each pair.

    Raises:
        DataError: Lengths differ or a reward is not a finite number.
    """
    chosen, rejected = finite(chosen_rewards, "chosen_rewards"), finite(rejected_rewards, "rejected_rewards")
    same_length(chosen_rewards=chosen, rejected_rewards=rejected)
    return chosen - rejected


def choice_probability(margin: Floats, calibration: CalibrationCurve) -> ChoiceProbability:
    """Fit the probability of a choice to the margin of its rewards.

    Args:
        margin (`ndarray` of shape (n,)): Chosen minus rejected reward.
        calibration (`"temperature"`, `"curve"` or `"none"`): `temperature` fits expit(margin / temperature); `curve` adds a
            term that saturates at large margins; `none` takes expit(margin) as it is.

    Returns:
        `ChoiceProbability`: The fit.

    Raises:
        DataError: The calibration is unknown.

    Source: Bradley and Terry (1952); Guo et al. (2017) on temperatures.

    Example:

    ```python
    >>> fit = choice_probability(np.array([2.0, 2.0, 2.0, -2.0]), "temperature")  # three of four: logit is log 3
    >>> round(2 * float(fit.slopes[0]), 6), round(math.log(3), 6)
    (1.098612, 1.098612)

    ```
    """
    one_of(calibration, "calibration", get_args(CalibrationCurve))
    n, largest = len(margin), float(np.abs(margin).max())
    if calibration == "none":
        return ChoiceProbability(expit(margin), np.empty((n, 0)), np.empty(0), np.empty((n, 0)), "ok")
    if largest == 0:
        return _undefined(n, "no_margins")
    if (margin >= 0).all():
        return _undefined(n, "perfect_ranking")
    size = largest * math.sqrt(float(np.mean((margin / largest) ** 2)))
    columns = margin[:, None] / size
    if calibration == "curve":
        columns = np.hstack([columns, np.tanh(columns)])
    fit = newton(columns, np.ones(n), np.ones(n))
    if fit is None:
        return _undefined(n, "not_converged")
    slopes, linear, root = fit
    if float(columns[:, 0] @ linear) <= 0:
        return _undefined(n, "no_better_than_chance")
    # Slopes are those of the margin itself, not of the scaled one.
    scale = np.array([size, 1.0])[: columns.shape[1]]
    influence = columns * expit(-linear)[:, None] @ root @ root.T / scale
    return ChoiceProbability(expit(linear), columns * scale, slopes / scale, influence, "ok")


def clustered_errors(influence: Floats, clusters: Codes) -> Floats:
    """Clustered covariance of estimates from each pair's influence on them.

    Args:
        influence (`ndarray` of shape (n, k)): Influence of each pair.
        clusters (`ndarray` of shape (n,)): Cluster codes from 0.

    Returns:
        `ndarray` of shape (k, k): With the factor of CRV1; nan for fewer than two clusters, or no more pairs than estimates.
    """
    n_clusters, (n, k) = int(clusters.max(initial=-1)) + 1, influence.shape
    if n_clusters < 2 or n <= k:
        return np.full((k, k), math.nan)
    sums = group_sums(influence, clusters, n_clusters)
    return np.asarray(sums.T @ sums * cluster_factor(n_clusters, n, k))


def _undefined(n: int, status: str) -> ChoiceProbability:
    return ChoiceProbability(np.full(n, math.nan), np.empty((n, 0)), np.empty(0), np.empty((n, 0)), status)

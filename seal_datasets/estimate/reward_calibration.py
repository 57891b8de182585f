"""Calibration of a reward model: whether expit(margin) is the probability that humans choose as it does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_expit

from seal_datasets.estimate.bias_reduced import cr2
from seal_datasets.estimate.calibration_error import CalibrationError, ReliabilityBin, reliability
from seal_datasets.estimate.choice_probability import choice_probability, margins
from seal_datasets.estimate.clustered_share import Mean, clustered_mean
from seal_datasets.estimate.inputs import Codes, Floats, confidence_level, group_codes, same_length, whole_number
from seal_datasets.estimate.intervals import Interval, critical_value, two_sided_p
from seal_datasets.estimate.linear import solve, triangle
from seal_datasets.estimate.logit import CANCELLED
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class RewardCalibration(Result):
    """Whether expit(margin) is a probability; every interval is clustered.

    Attributes:
        slope (`float`): Slope of the choices' log-odds on the margin, one over the temperature; 1 for a calibrated model.
        slope_std_error (`float`): Its standard error.
        slope_interval (`tuple[float, float]`): Its interval.
        slope_p_value (`float`): Two-sided test that the slope is 1.
        temperature (`float`): Margins divided by it are calibrated; above 1 for an overconfident model.
        temperature_interval (`tuple[float, float]`): From the slope's; infinite above where the slope may be 0.
        temperature_status (`str`): `ok`, or why there is no temperature, as in `choice_probability`;
            without an error `too_few_clusters`, `too_little_information` (one prompt alone informs it), or
            `no_residual_variation` (prompts do not differ).
        brier (`float`): Mean squared error of expit(margin); 0.25 for a model that gives every pair even odds.
        brier_interval (`tuple[float, float]`): Its interval, within [0, 1].
        log_loss (`float`): Mean of -log expit(margin); log 2 for even odds.
        log_loss_interval (`tuple[float, float]`): Its interval, not below 0.
        log_loss_at_temperature (`float`): Log loss of expit(margin / temperature), on the same pairs.
        calibration_error (`CalibrationError`): Expected calibration error over the curve's bins, with its interval and test.
        curve (`tuple[ReliabilityBin, ...]`): Accuracy by promised accuracy.
        n_pairs (`int`): Pairs.
        n_clusters (`int`): Prompts, or pairs where no prompts were given.
        n_ties (`int`): Pairs whose responses have equal rewards.
        covariance (`str`): How errors are computed.
        status (`str`): `ok`, or `too_few_clusters`: no intervals.
    """

    slope: float
    slope_std_error: float
    slope_interval: Interval
    slope_p_value: float
    temperature: float
    temperature_interval: Interval
    temperature_status: str
    brier: float
    brier_interval: Interval
    log_loss: float
    log_loss_interval: Interval
    log_loss_at_temperature: float
    calibration_error: CalibrationError
    curve: tuple[ReliabilityBin, ...]
    n_pairs: int
    n_clusters: int
    n_ties: int
    covariance: str
    status: str


def reward_calibration(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    n_bins: int = 10,
    confidence: float = 0.95,
) -> RewardCalibration:
    """Measure whether expit(chosen - rejected reward) is the probability that humans choose that response.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by; each pair is its own cluster when omitted.
        n_bins (`int`, defaults to 10): Bins of the reliability curve, of about equal numbers of pairs.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `RewardCalibration`: Temperature, reliability curve, expected calibration error, Brier score and log loss. Give pairs
            that the model was not trained on: on others the numbers measure memory.

    Raises:
        DataError: Lengths differ, a reward is not a finite number, or an option is not valid.

    Source: Bradley and Terry (1952); Guo et al. (2017); Brier (1950).

    Example:

    ```python
    >>> result = reward_calibration([2.0] * 4, [0.0] * 3 + [4.0])  # three of four right; expit(2) promises 88 %
    >>> round(result.temperature, 3), round(result.calibration_error.observed, 3)  # 2 / log 3; 0.881 - 0.75
    (1.82, 0.131)

    ```
    """
    confidence_level(confidence)
    margin = margins(chosen_rewards, rejected_rewards)
    whole_number(n_bins, "n_bins", least=1)
    clusters: Codes = np.arange(len(margin)) if groups is None else group_codes(groups, "groups")
    same_length(chosen_rewards=margin, groups=clusters)
    n_clusters = int(clusters.max()) + 1
    raw = choice_probability(margin, "none").probabilities
    curve, error = reliability(margin, raw, clusters, n_bins, confidence)
    brier = clustered_mean((1 - raw) ** 2, clusters, confidence)
    log_loss = clustered_mean(-log_expit(margin), clusters, confidence)
    slope, at_temperature, temperature_status = _slope(margin, clusters, confidence)
    return RewardCalibration(
        slope=slope.value,
        slope_std_error=slope.std_error,
        slope_interval=slope.interval,
        slope_p_value=_p_of_one(slope),
        temperature=1 / slope.value,
        temperature_interval=_reciprocal(slope.interval),
        temperature_status=temperature_status,
        brier=brier.value,
        brier_interval=_within(brier.interval, 1.0),
        log_loss=log_loss.value,
        log_loss_interval=_within(log_loss.interval, math.inf),
        log_loss_at_temperature=at_temperature,
        calibration_error=error,
        curve=curve,
        n_pairs=len(margin),
        n_clusters=n_clusters,
        n_ties=int((margin == 0).sum()),
        covariance="each pair its own cluster (CR2)" if groups is None else "clustered by prompt (CR2)",
        status="ok" if n_clusters > 1 else "too_few_clusters",
    )


def _slope(margin: Floats, clusters: Codes, confidence: float) -> tuple[Mean, float, str]:
    """The slope with its error, the log loss at that slope, and a status."""
    fit, none = choice_probability(margin, "temperature"), (math.nan, math.nan)
    if fit.status != "ok":
        return Mean(math.nan, math.nan, math.nan, none, len(margin)), math.nan, fit.status
    slope, log_loss = float(fit.slopes[0]), float(-np.log(fit.probabilities).mean())
    # The last step of Newton's method is least squares with these rows, whose errors CR2 gives.
    weight = np.sqrt(fit.probabilities * (1 - fit.probabilities))
    largest = float(np.abs(margin).max())
    rows = margin[:, None] / largest * weight[:, None]
    weight = np.maximum(weight, np.finfo(float).tiny)
    solution = solve(triangle(rows), 1)
    variance, freedom = cr2(rows, (1 - fit.probabilities) / weight, clusters, solution)
    error = math.sqrt(max(float(variance[0, 0]), 0.0)) / largest
    # Scores that cancel within every prompt leave rounding, which must not become a tiny error.
    cancelled = bool(variance[0, 0] <= CANCELLED * solution.bread[0, 0])
    if cancelled or not freedom[0] > 0:
        status = "no_residual_variation" if cancelled else "too_little_information"
        status = status if clusters.max() > 0 else "too_few_clusters"
        return Mean(slope, math.nan, math.nan, none, len(margin)), log_loss, status
    half = critical_value(confidence, float(freedom[0])) * error
    return Mean(slope, error, float(freedom[0]), (slope - half, slope + half), len(margin)), log_loss, "ok"


def _p_of_one(slope: Mean) -> float:
    return float(two_sided_p(np.array([(slope.value - 1) / slope.std_error]), slope.freedom)[0])


def _reciprocal(interval: Interval) -> Interval:
    """Bounds of one over a slope; infinite where the slope may be 0."""
    low, high = interval
    if math.isnan(low):
        return math.nan, math.nan
    return 1 / high, 1 / low if low > 0 else math.inf


def _within(interval: Interval, largest: float) -> Interval:
    """The interval cut to [0, largest]; nan stays nan."""
    return float(np.maximum(interval[0], 0.0)), float(np.minimum(interval[1], largest))

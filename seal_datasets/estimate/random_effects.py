"""Mean of independent estimates that may truly differ: random effects with Hartung and Knapp's error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.meta_analysis import combine_effects

from seal_datasets.estimate.inputs import Floats
from seal_datasets.estimate.intervals import Interval, critical_value
from seal_datasets.estimate.result import Result

_DRAWS = 20_000
_PRECISE = 1e-12
# Estimates this many of the smallest errors from 0 have squares that overflow.
_LARGEST = 1e50


@dataclass(frozen=True, slots=True)
class RandomEffects(Result):
    """The mean of a population of which the estimates are a sample.

    Attributes:
        n (`int`): Estimates with an error.
        estimate (`float`): Mean; nan for fewer than two, and where errors differ by more than numbers can hold.
        std_error (`float`): Hartung and Knapp's, not below that of the weights.
        confidence_interval (`tuple[float, float]`): Of the mean, by t with n - 1 degrees of freedom.
        prediction_interval (`tuple[float, float]`): Of the true value of one more; nan for fewer than three.
        spread (`float`): Standard deviation between true values, by Paule and Mandel.
    """

    n: int
    estimate: float
    std_error: float
    confidence_interval: Interval
    prediction_interval: Interval
    spread: float


def random_effects(estimates: Floats, errors: Floats, confidence: float) -> RandomEffects:
    """Combine independent estimates whose true values may differ.

    Args:
        estimates (`ndarray` of shape (m,)): Estimates; nan where undefined.
        errors (`ndarray` of shape (m,)): Standard errors; estimates without a positive one are left out.
        confidence (`float`): Level.

    Returns:
        `RandomEffects`: Mean, interval and prediction interval.

    Source: Hartung and Knapp (2001); Roever, Knapp and Friede (2015) for the lower limit of the error; Nagashima, Noma
        and Furukawa (2019) for the prediction interval, from 20,000 draws: t with n - 2 misses one value in ten.

    Example: equal errors give the plain mean and its error.

    ```python
    >>> found = random_effects(np.array([1.0, 2.0, 6.0]), np.array([0.1, 0.1, 0.1]), 0.95)
    >>> round(found.estimate, 6), round(found.std_error, 4)  # the sample variance of 7, over 3
    (3.0, 1.5275)

    ```
    """
    used = ~np.isnan(estimates) & (errors > 0)
    n, nothing = int(used.sum()), (math.nan, math.nan)
    if n < 2:
        return RandomEffects(n, math.nan, math.nan, nothing, nothing, math.nan)
    # In units of the smallest error, so that no variance is too small to invert.
    unit = float(errors[used].min())
    with np.errstate(over="ignore"):
        values, variances = estimates[used] / unit, (errors[used] / unit) ** 2
    if max(float(np.abs(values).max()), float(variances.max())) > _LARGEST:
        return RandomEffects(n, math.nan, math.nan, nothing, nothing, math.nan)
    # Equal estimates have no heterogeneity, of which statsmodels takes the inverse.
    with np.errstate(divide="ignore"):
        found = combine_effects(values, variances, method_re="iterated", maxiter=200)
    mean, variance = float(found.mean_effect_re) * unit, float(found.tau2) * unit**2
    error = unit * math.sqrt(max(float(found.var_hksj_re), float(found.var_eff_w_re)))
    half = critical_value(confidence, n - 1) * error
    low, high = _predict(estimates[used] / unit, errors[used] / unit, confidence) if n > 2 else nothing
    return RandomEffects(
        n=n,
        estimate=mean,
        std_error=error,
        confidence_interval=(mean - half, mean + half),
        prediction_interval=(unit * low, unit * high),
        spread=math.sqrt(variance),
    )


def _predict(values: Floats, errors: Floats, confidence: float) -> Interval:
    """Quantiles of draws of one more true value, which carry the uncertainty of the spread and of the mean."""
    rng, n = np.random.default_rng(0), len(values)
    variances = np.r_[0.0, np.geomspace(1e-4, 1e4, 400) * max(1.0, float(values.var()))]
    weights = 1 / (errors**2 + variances[:, None])
    means = (weights * values).sum(axis=1) / weights.sum(axis=1)
    spent = (weights * (values - means[:, None]) ** 2).sum(axis=1)
    # Q at the true spread is chi-squared; it falls with the spread, so each draw of it gives a spread.
    drawn = np.interp(rng.chisquare(n - 1, _DRAWS), spent[::-1], variances[::-1])
    weights = 1 / (errors**2 + drawn[:, None])
    total = weights.sum(axis=1)
    means = (weights * values).sum(axis=1) / total
    scale = (weights * (values - means[:, None]) ** 2).sum(axis=1) / (n - 1)
    noise = rng.standard_t(n - 1, _DRAWS) * np.sqrt(np.maximum(scale, 1.0) / total)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means + noise + np.sqrt(drawn) * rng.normal(size=_DRAWS), [tail, 1 - tail])
    return float(low), float(high)

"""Calibration of a labeler's probabilities on gold labels, and the error rates that they imply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import (
    Bools,
    Floats,
    finite,
    group_codes,
    indicator,
    is_empty,
    same_length,
    whole_number,
)
from seal_datasets.estimate.result import Result

_CLIP = 1e-6
_FOLDS = 5
_FEWEST_OF_EACH = 5


@dataclass(frozen=True, slots=True)
class Calibration(Result):
    """Calibration of a labeler's probabilities of one yes/no feature: P = expit(intercept + slope logit(p)).

    Attributes:
        slope (`float`): Below 1 where the labeler is overconfident; below 0 where it is worse than guessing.
        intercept (`float`): Above 0 where the labeler says yes too rarely.
        n (`int`): Texts with a probability and a gold label.
        n_true (`int`): Of these, texts whose gold label is yes.
        auc (`float`): Probability that a yes text ranks above a no text; calibration does not change it.
        brier (`float`): Mean squared error of the probabilities before calibration.
        brier_calibrated (`float`): Mean squared error after calibration on texts of other prompts; nan where the other
            prompts have one gold label only.
        brier_constant (`float`): Mean squared error of a constant: the share of yes.
        status (`str`): `ok`, or why the calibration is undefined.
    """

    slope: float
    intercept: float
    n: int
    n_true: int
    auc: float
    brier: float
    brier_calibrated: float
    brier_constant: float
    status: str

    def apply(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Calibrate probabilities.

        Args:
            probabilities (array-like of shape (n,)): Between 0 and 1; nan stays nan.

        Returns:
            `ndarray` of shape (n,): Calibrated probabilities; all nan where the calibration is undefined.
        """
        given = _probabilities(probabilities, allow_nan=True)
        return np.asarray(special.expit(self.intercept + self.slope * _logit(given)), dtype=np.float64)


def calibrate_probabilities(
    probabilities: ArrayLike,
    gold: ArrayLike,
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    seed: int = 0,
) -> Calibration:
    """Fit Platt's calibration of a labeler's probabilities on gold labels.

    Args:
        probabilities (array-like of shape (n,)): The labeler's P(true).
        gold (array-like of shape (n,)): Gold labels of the same texts, 0 or 1.
        groups (sequence of shape (n,), *optional*): Prompt ids; all texts of a prompt are in one fold.
        seed (`int`, defaults to 0): Seed of the folds of the calibrated Brier score.

    Returns:
        `Calibration`: Slope, intercept and measures of fit; nan with a reason below 5 texts of either gold label, where
            all texts have one probability, and without texts.

    Raises:
        DataError: Lengths differ, a probability is not between 0 and 1, or a gold label is not true or false.

    Source: Platt (1999), with the targets (n+ + 1)/(n+ + 2) and 1/(n- + 2) against overfitting.

    Example:

    ```python
    >>> result = calibrate_probabilities([0.9] * 10 + [0.1] * 10, [1] * 7 + [0] * 3 + [1] * 3 + [0] * 7)
    >>> [round(float(p), 2) for p in result.apply([0.9, 0.1])], round(result.auc, 2)
    ([0.67, 0.33], 0.7)

    ```
    """
    if is_empty(probabilities) and is_empty(gold):
        none = math.nan
        return Calibration(none, none, 0, 0, none, none, none, none, "no text has both a probability and a gold label")
    p, truth = _probabilities(probabilities), indicator(gold, "gold")
    n = same_length(probabilities=p, gold=truth)
    whole_number(seed, "seed")
    codes = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(probabilities=p, groups=codes)
    n_true = int(truth.sum())
    brier = float(np.mean((p - truth) ** 2))
    constant = float(truth.mean() * (1 - truth.mean()))
    status = ""
    if min(n_true, n - n_true) < _FEWEST_OF_EACH:
        status = f"fewer than {_FEWEST_OF_EACH} texts whose gold label is {'yes' if n_true < n - n_true else 'no'}"
    elif np.ptp(_logit(p)) == 0:
        status = "all texts have one probability, which leaves the slope undefined"
    if status:
        return Calibration(math.nan, math.nan, n, n_true, _auc(p, truth), brier, math.nan, constant, status)
    slope, intercept = _fit_platt(p, truth)
    calibrated = _cross_validated_brier(p, truth, codes, seed)
    return Calibration(slope, intercept, n, n_true, _auc(p, truth), brier, calibrated, constant, "ok")


def implied_rates(probabilities: ArrayLike) -> tuple[float, float]:
    """Expected sensitivity and specificity of labels from calibrated probabilities cut at 0.5.

    Args:
        probabilities (array-like of shape (n,)): Calibrated probabilities.

    Returns:
        `tuple[float, float]`: Expected share of true texts labelled true, and of false texts labelled false, as
            `known_rates_imprint` needs them; nan where no such text is expected.

    Raises:
        DataError: A probability is not between 0 and 1.

    Example:

    ```python
    >>> implied_rates([0.9, 0.9, 0.1, 0.1])  # 1.8 of 2.0 true texts are labelled true
    (0.9, 0.9)

    ```
    """
    p = _probabilities(probabilities)
    label = p >= 0.5
    n_true, n_false = float(p.sum()), float((1 - p).sum())
    sensitivity = float(p[label].sum()) / n_true if n_true else math.nan
    specificity = float((1 - p)[~label].sum()) / n_false if n_false else math.nan
    return sensitivity, specificity


def _fit_platt(p: Floats, truth: Bools) -> tuple[float, float]:
    """Slope and intercept by maximum likelihood of Platt's targets."""
    n_true, n_false = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (n_true + 1) / (n_true + 2), 1 / (n_false + 2))
    x = _logit(p)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        eta = parameters[0] * x + parameters[1]
        residual = special.expit(eta) - target
        value = float((np.logaddexp(0.0, eta) - target * eta).sum())
        return value, np.array([(residual * x).sum(), residual.sum()])

    slope, intercept = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return float(slope), float(intercept)


def _cross_validated_brier(p: Floats, truth: Bools, codes: NDArray[np.int64], seed: int) -> float:
    """Brier score of texts calibrated on the texts of other prompts."""
    labels, codes = np.unique(codes, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(labels))[codes] % _FOLDS
    calibrated = np.full(len(p), np.nan)
    for number in range(_FOLDS):
        test = fold == number
        if test.any() and truth[~test].any() and not truth[~test].all():
            slope, intercept = _fit_platt(p[~test], truth[~test])
            calibrated[test] = special.expit(intercept + slope * _logit(p[test]))
    return float(np.mean((calibrated - truth) ** 2))


def _auc(p: Floats, truth: Bools) -> float:
    n_true, n_false = int(truth.sum()), int((~truth).sum())
    if not n_true or not n_false:
        return math.nan
    ranks = stats.rankdata(p)
    return float((ranks[truth].sum() - n_true * (n_true + 1) / 2) / (n_true * n_false))


def _logit(p: Floats) -> Floats:
    return np.asarray(special.logit(np.clip(p, _CLIP, 1 - _CLIP)), dtype=np.float64)


def _probabilities(values: ArrayLike, *, allow_nan: bool = False) -> Floats:
    p = finite(values, "probabilities", allow_nan=allow_nan)
    outside = np.flatnonzero((p < 0.0) | (p > 1.0))
    if len(outside):
        row = outside[0]
        raise DataError(f"probabilities has {len(outside)} value(s) outside [0, 1], the first in row {row}: {p[row]}")
    return p

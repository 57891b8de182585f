"""Probabilities that mean what they say: a labeler's P(true) held against gold labels, and what it implies of its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import Bools, Floats, finite, group_codes, indicator, same_length
from seal_datasets.estimate.result import Result

_CLIP = 1e-6
_FOLDS = 5
_FEWEST_OF_EACH = 5


@dataclass(frozen=True, slots=True)
class Calibration(Result):
    """How to read a labeler's probabilities of one yes/no feature: P = expit(intercept + slope logit(p)).

    Attributes:
        slope (`float`): Below 1 where the labeler is too sure of itself; below 0 where it is worse than guessing.
        intercept (`float`): Above 0 where it says yes too rarely.
        n (`int`): Texts with both.
        n_true (`int`): Of these, texts whose gold label is yes.
        auc (`float`): Chance that a yes text has a higher probability than a no text; no calibration changes it.
        brier (`float`): Mean squared error of the probabilities as they are.
        brier_calibrated (`float`): Of calibrated ones, each from texts of other prompts.
        brier_constant (`float`): Of always giving the share of yes.
        status (`str`): `ok`, or why there is no calibration.
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
            `ndarray` of shape (n,): Calibrated; all nan where there is no calibration.
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
        probabilities (array-like of shape (n,)): P(true) as the labeler gives it.
        gold (array-like of shape (n,)): Gold labels of the same texts, 0 or 1.
        groups (sequence of shape (n,), *optional*): Prompt ids; a prompt's texts are never in fit and test both.
        seed (`int`, defaults to 0): Of the folds that the calibrated Brier score is taken over.

    Returns:
        `Calibration`: The two numbers, and what they are worth; nan with a reason below 5 texts of either kind.

    Raises:
        DataError: Lengths differ, a probability is not between 0 and 1, or a gold label is not true or false.

    Source: Platt (1999), with his targets (n+ + 1)/(n+ + 2) and 1/(n- + 2) against overfitting.

    Example:

    ```python
    >>> found = calibrate_probabilities([0.9] * 10 + [0.1] * 10, [1] * 7 + [0] * 3 + [1] * 3 + [0] * 7)
    >>> [round(float(p), 2) for p in found.apply([0.9, 0.1])], round(found.auc, 2)
    ([0.67, 0.33], 0.7)

    ```
    """
    p, truth = _probabilities(probabilities), indicator(gold, "gold")
    n = same_length(probabilities=p, gold=truth)
    codes = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(probabilities=p, groups=codes)
    n_true = int(truth.sum())
    brier = float(np.mean((p - truth) ** 2)) if n else math.nan
    constant = float(truth.mean() * (1 - truth.mean())) if n else math.nan
    if min(n_true, n - n_true) < _FEWEST_OF_EACH:
        status = f"fewer than {_FEWEST_OF_EACH} texts whose gold label is {'yes' if n_true < n - n_true else 'no'}"
        return Calibration(math.nan, math.nan, n, n_true, _auc(p, truth), brier, math.nan, constant, status)
    slope, intercept = _platt(p, truth)
    return Calibration(
        slope, intercept, n, n_true, _auc(p, truth), brier, _held_out(p, truth, codes, seed), constant, "ok"
    )


def implied_rates(probabilities: ArrayLike) -> tuple[float, float]:
    """Sensitivity and specificity of the labels that calibrated probabilities give at one half.

    Args:
        probabilities (array-like of shape (n,)): Calibrated: of texts with p, the share p is true.

    Returns:
        `tuple[float, float]`: Expected share of true texts labelled true, and of false ones labelled false, as
        `simex_imprint` takes them; nan where no such text is expected.

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


def _platt(p: Floats, truth: Bools) -> tuple[float, float]:
    n_true, n_false = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (n_true + 1) / (n_true + 2), 1 / (n_false + 2))
    x = _logit(p)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        eta = parameters[0] * x + parameters[1]
        residual = special.expit(eta) - target
        value = float((np.logaddexp(0.0, eta) - target * eta).sum())
        return value, np.array([(residual * x).sum(), residual.sum()])

    found = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    return float(found.x[0]), float(found.x[1])


def _held_out(p: Floats, truth: Bools, codes: NDArray[np.int64], seed: int) -> float:
    """Brier score of texts calibrated by the texts of other prompts."""
    labels, codes = np.unique(codes, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(labels))[codes] % _FOLDS
    calibrated = np.full(len(p), np.nan)
    for number in range(_FOLDS):
        test = fold == number
        if test.any() and truth[~test].any() and not truth[~test].all():
            slope, intercept = _platt(p[~test], truth[~test])
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
    bad = np.flatnonzero((p < 0.0) | (p > 1.0))
    if len(bad):
        raise DataError(f"probabilities has {len(bad)} value(s) outside [0, 1], the first in row {bad[0]}: {p[bad[0]]}")
    return p

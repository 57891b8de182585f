"""Amplification from many labels and few gold ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.estimate.choice_probability import choice_probability
from seal_datasets.estimate.corrected_logit import corrected_logit, corrected_tests
from seal_datasets.estimate.gold_pairs import GoldPairs, gold_pairs
from seal_datasets.estimate.inputs import Floats, confidence_level, finite, same_length, unique_names, whole_number
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.linear import SAME, group_sums
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class CorrectedAmplificationRow(Result):
    """What people asked for in one feature, and what the model gives it, corrected for wrong labels.

    Attributes:
        feature (`str`): Name.
        asked (`float`): Corrected coefficient of the human choices, in log-odds.
        given (`float`): Corrected coefficient of the model's calibrated probabilities of them.
        amplification (`float`): Given minus asked.
        std_error (`float`): Joint, clustered by prompt; includes the sampling error of the gold labels.
        degrees_of_freedom (`float`): Effective gold prompts, less one.
        p_value (`float`): Two-sided test of no amplification.
        p_adjusted (`float`): Adjusted over the features.
        confidence_interval (`tuple[float, float]`): Not adjusted.
        n_discordant (`int`): Pairs whose responses differ in the label.
        status (`str`): As in `CorrectedDriver`, or why no calibration exists, as in `choice_probability`.
    """

    feature: str
    asked: float
    given: float
    amplification: float
    std_error: float
    degrees_of_freedom: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    n_discordant: int
    status: str


@dataclass(frozen=True, slots=True)
class CorrectedAmplification(Result):
    """Corrected amplification of every feature.

    Attributes:
        features (`tuple[CorrectedAmplificationRow, ...]`): One row per feature.
        n_pairs (`int`): Pairs.
        n_gold_prompts (`int`): Prompts with gold labels for every text and feature.
        balance_p_value (`float`): As in `CorrectedImprint`.
        adjust (`str`): How p-values are adjusted.
        status (`str`): `ok`, or why there are no estimates.
    """

    features: tuple[CorrectedAmplificationRow, ...]
    n_pairs: int
    n_gold_prompts: int
    balance_p_value: float
    adjust: str
    status: str


def corrected_amplification(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    chosen_gold: ArrayLike,
    rejected_gold: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    gold_probability: ArrayLike | None = None,
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
    min_discordant: int = 2,
) -> CorrectedAmplification:
    """Estimate amplification without assumptions about the labels' errors.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.
        chosen_features (array-like of shape (n, k)): Labels of the chosen responses.
        rejected_features (array-like of shape (n, k)): Labels of the rejected responses.
        chosen_gold (array-like of shape (n, k)): Gold labels of the chosen responses; nan where missing.
        rejected_gold (array-like of shape (n, k)): Gold labels of the rejected responses; nan where missing.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids; each pair is its own prompt when omitted.
        gold_probability (array-like of shape (n,), *optional*): As for `corrected_imprint`, of each pair's prompt.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted over the features.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_discordant (`int`, defaults to 2): Fewest pairs that differ in a feature that give it numbers; a feature with
            fewer stays as a control.

    Returns:
        `CorrectedAmplification`: Both logits and their difference, as in `amplification` with a fitted temperature.

    Raises:
        DataError: As for `amplification` and `corrected_imprint`.

    Source: as for `amplification`, by design-based supervised learning (Egami et al., 2023, arXiv 2306.04746).

    Example: with gold labels for all pairs, the labels do not matter.

    ```python
    >>> rng = np.random.default_rng(0)
    >>> gold, labels = rng.integers(0, 2, (2, 400, 1)), rng.integers(0, 2, (2, 400, 1))
    >>> margin = gold[0, :, 0] - gold[1, :, 0] + rng.normal(0.5, 1, 400)
    >>> from seal_datasets.estimate import amplification
    >>> plain = amplification(margin, np.zeros(400), *gold, ["polite"]).features[0]
    >>> corrected = corrected_amplification(margin, np.zeros(400), *labels, *gold, ["polite"]).features[0]
    >>> bool(np.isclose(plain.amplification, corrected.amplification, rtol=1e-3))
    True

    ```
    """
    confidence_level(confidence)
    whole_number(min_discordant, "min_discordant")
    names = unique_names(feature_names)
    rewards = finite(chosen_rewards, "chosen_rewards"), finite(rejected_rewards, "rejected_rewards")
    same_length(chosen_rewards=rewards[0], rejected_rewards=rewards[1])
    pairs = gold_pairs(
        rewards,
        (chosen_features, rejected_features),
        (chosen_gold, rejected_gold),
        names,
        groups,
        gold_probability,
    )
    by_label, by_truth = (sides[0] - sides[1] for sides in (pairs.labels, pairs.truth))
    counts = (by_label != 0).sum(axis=0)
    constant = ~((by_label != 0) | (by_truth != 0)).any(axis=0)
    fits = _Fits.of(pairs, by_label, by_truth, rewards[0] - rewards[1], ~constant)
    few = ~constant & (counts < min_discordant)
    tests = corrected_tests(
        np.where(few, math.nan, fits.given - fits.asked),
        fits.influence,
        pairs,
        constant=constant,
        status=fits.status,
        adjust=adjust,
        confidence=confidence,
    )
    rows = []
    for i, name in enumerate(names):
        status = "too_few_discordant" if few[i] else tests.statuses[i]
        shown = status == "ok"
        rows.append(
            CorrectedAmplificationRow(
                feature=name,
                asked=float(fits.asked[i]) if shown else math.nan,
                given=float(fits.given[i]) if shown else math.nan,
                amplification=float(fits.given[i] - fits.asked[i]) if shown else math.nan,
                std_error=float(tests.errors[i]) if shown else math.nan,
                degrees_of_freedom=pairs.freedom if shown else math.nan,
                p_value=float(tests.p_values[i]),
                p_adjusted=float(tests.p_adjusted[i]),
                confidence_interval=tests.intervals[i] if shown else (math.nan, math.nan),
                n_discordant=int(counts[i]),
                status=status,
            )
        )
    return CorrectedAmplification(
        tuple(rows),
        len(rewards[0]),
        int(pairs.drawn.is_gold.sum()),
        pairs.drawn.balance,
        adjust,
        pairs.drawn.withheld or fits.status,
    )


@dataclass(frozen=True, slots=True)
class _Fits:
    """Both corrected logits, and prompts' influence on their difference."""

    asked: Floats
    given: Floats
    influence: Floats
    status: str

    @classmethod
    def of(
        cls, pairs: GoldPairs, by_label: Floats, by_truth: Floats, margin: Floats, varies: NDArray[np.bool_]
    ) -> _Fits:
        k, n_groups = len(varies), len(pairs.drawn.weights)
        asked, given = np.full(k, math.nan), np.full(k, math.nan)
        influence = np.full((n_groups, k), math.nan)
        choice = choice_probability(margin, "temperature")
        if choice.status != "ok" or not varies.any():
            return cls(asked, given, influence, choice.status)
        size = np.sqrt((by_label[:, varies] ** 2).mean(axis=0))
        size = np.where(size > 0, size, 1.0)
        x, truth, p = by_label[:, varies] / size, by_truth[:, varies] / size, choice.probabilities
        human = corrected_logit(pairs, x, truth, np.ones(len(p)), prior=1.0)
        model = corrected_logit(pairs, x, truth, p, prior=1.0)
        status = human.status if human.status != "ok" else model.status
        if status != "ok":
            return cls(asked, given, influence, status)
        # The probabilities change with the calibration's slope, which the choices determine.
        spread = choice.columns * (p * (1 - p))[:, None]
        turn = pairs.total(x * spread, truth * spread)
        calibrated = group_sums(choice.influence, pairs.prompts, n_groups) * turn @ model.bread
        asked[varies], given[varies] = human.coefficients / size, model.coefficients / size
        difference = model.influence + calibrated - human.influence
        # As in `fit_amplification`, rounding is no error.
        difference[:, np.sqrt((difference**2).sum(axis=0)) <= SAME] = 0.0
        influence[:, varies] = difference / size
        return cls(asked, given, influence, "ok")

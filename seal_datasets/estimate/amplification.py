"""Amplification: what a reward model gives a feature beyond what people asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.estimate.amplification_fit import AmplificationFit, fit_amplification, no_fit
from seal_datasets.estimate.choice_probability import CalibrationCurve, choice_probability
from seal_datasets.estimate.inference import Inference, infer
from seal_datasets.estimate.inputs import Floats, confidence_level, whole_number
from seal_datasets.estimate.intervals import Interval, two_sided_p
from seal_datasets.estimate.linear import one_blas_thread
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.pair_accuracy import ranked_pairs
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class AmplificationRow:
    """What people asked for in one feature, and what the model gives it, in log-odds of a choice per unit.

    Attributes:
        feature (`str`): Name.
        asked (`float`): Coefficient of the human choices.
        asked_std_error (`float`): Its clustered error.
        given (`float`): Coefficient of the model's calibrated probabilities of the same choices.
        given_std_error (`float`): Its clustered error, with the calibration's uncertainty.
        amplification (`float`): Given minus asked; above 0 where the model rewards the feature beyond what people asked for.
        std_error (`float`): By the joint covariance of both, clustered.
        degrees_of_freedom (`float`): Satterthwaite's; few where few prompts carry information.
        p_value (`float`): Two-sided test of no amplification.
        p_adjusted (`float`): Adjusted over the features.
        confidence_interval (`tuple[float, float]`): Interval of the amplification, not adjusted.
        score_estimate (`float`): One step of Newton's method towards it: (probability - choice) regressed on the differences.
        score_p_value (`float`): Two-sided test of that regression (CR2).
        n_discordant (`int`): Pairs whose responses differ in the feature.
        status (`str`): `ok`; `not_identified` (never differs); `too_little_information`; `collinear`; `too_few_clusters`;
            `no_residual_variation` (the margins follow from the features alone, so the difference has no error); or why no
            calibration exists, as in `choice_probability`.
    """

    feature: str
    asked: float
    asked_std_error: float
    given: float
    given_std_error: float
    amplification: float
    std_error: float
    degrees_of_freedom: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    score_estimate: float
    score_p_value: float
    n_discordant: int
    status: str


@dataclass(frozen=True, slots=True)
class Amplification(Result):
    """Amplification of every feature.

    Attributes:
        features (`tuple[AmplificationRow, ...]`): One row per feature.
        temperature (`float`): Margins divided by it are calibrated; 1 without calibration, nan for a curve.
        calibration (`str`): How probabilities follow from margins.
        n_pairs (`int`): Pairs.
        n_clusters (`int`): Prompts, or pairs where no prompts were given.
        penalty (`str`): Penalty that keeps both fits' coefficients finite.
        covariance (`str`): How errors are computed.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Number of adjusted tests.
        family (`str`): Tests that are adjusted together.
        status (`str`): `ok`, or why there are no calibrated probabilities.
    """

    features: tuple[AmplificationRow, ...]
    temperature: float
    calibration: str
    n_pairs: int
    n_clusters: int
    penalty: str
    covariance: str
    adjust: str
    family_size: int
    family: str
    status: str


def amplification(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    calibration: CalibrationCurve = "temperature",
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
    min_discordant: int = 2,
) -> Amplification:
    """Estimate what a reward model gives each feature beyond what the human choices asked for, like for like.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.
        chosen_features (array-like of shape (n, k)): Features of the chosen responses.
        rejected_features (array-like of shape (n, k)): Features of the rejected responses.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by; each pair is its own cluster when omitted.
        calibration (`"temperature"`, `"curve"` or `"none"`): `temperature` fits expit(margin / temperature) to the choices;
            `curve` adds a term that saturates at large margins; `none` takes expit(margin) as it is.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted over the features.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_discordant (`int`, defaults to 2): Fewest pairs that differ in a feature that give it numbers; a feature with
            fewer stays as a control.

    Returns:
        `Amplification`: One conditional logit on the pairs' differences of features, fitted to the human choices and again to
            the model's probabilities of them. A model whose rewards are the human utility has no amplification, whatever else
            the utility depends on. Units are those of calibrated log-odds: a large spoiler raises the temperature, and less is
            left for what people asked for. Give pairs that the model was not trained on, or it measures memory.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, or an option is not valid.

    Source: McFadden (1974); Papke and Wooldridge (1996) for fractional outcomes; Newey and McFadden (1994), section 6.

    Example: humans chose the long response in 3 of 4 pairs; the model gives it odds of e to 1 and the short one e^-1.

    ```python
    >>> chosen, rejected = [[1]] * 300 + [[0]] * 100, [[0]] * 300 + [[1]] * 100
    >>> result = amplification([1.0] * 300 + [0.0] * 100, [0.0] * 300 + [1.0] * 100, chosen, rejected, ["long"],
    ...                        calibration="none")
    >>> row = result.features[0]
    >>> round(row.asked, 2), round(row.given, 2), round(row.amplification, 2)  # log 3, 1, and their difference
    (1.1, 1.0, -0.1)

    ```
    """
    confidence_level(confidence)
    whole_number(min_discordant, "min_discordant")
    pairs = ranked_pairs(
        (chosen_rewards, rejected_rewards), (chosen_features, rejected_features), feature_names, groups, 0.0
    )
    margin = pairs.margins
    choice, k = choice_probability(margin, calibration), len(pairs.names)
    counts = (pairs.differences != 0).sum(axis=0)
    varies, few_clusters = counts > 0, int(pairs.clusters.max()) < 1
    fit = no_fit(k)
    if choice.status == "ok":
        with one_blas_thread():
            fit = fit_amplification(pairs.differences, choice, pairs.clusters)
    tests = infer(
        np.where(fit.identified, fit.given - fit.asked, math.nan),
        fit.errors,
        np.ones(k) if few_clusters else fit.freedom,  # with one cluster, the status is that of the missing error
        constant=~varies,
        uninformed=varies & (counts < min_discordant),
        why_no_error="too_few_clusters" if few_clusters else "no_residual_variation",
        adjust=adjust,
        confidence=confidence,
    )
    rows = [_row(pairs.names[i], i, fit, tests, int(counts[i]), choice.status) for i in range(k)]
    temperature = 1.0 if calibration == "none" else math.nan
    if calibration == "temperature" and choice.status == "ok":
        temperature = 1 / float(choice.slopes[0])
    return Amplification(
        features=tuple(rows),
        temperature=temperature,
        calibration=calibration,
        n_pairs=len(margin),
        n_clusters=int(pairs.clusters.max()) + 1,
        penalty="log-F(1, 1) priors on both fits: for each feature half a pair that favours it, half a pair against",
        covariance="each pair its own cluster, joint" if groups is None else "clustered by prompt, joint",
        adjust=adjust,
        family_size=tests.family_size,
        family=f"the {tests.family_size} amplification(s) that have a test",
        status=choice.status,
    )


def _row(
    name: str, i: int, fit: AmplificationFit, tests: Inference, n_discordant: int, status: str
) -> AmplificationRow:
    known = not math.isnan(tests.coefficients[i])

    def value(numbers: Floats) -> float:
        return float(numbers[i]) if known else math.nan

    ratio = np.array([value(fit.score_estimates) / value(fit.score_errors)])
    return AmplificationRow(
        feature=name,
        asked=value(fit.asked),
        asked_std_error=value(fit.asked_errors),
        given=value(fit.given),
        given_std_error=value(fit.given_errors),
        amplification=float(tests.coefficients[i]),
        std_error=float(tests.errors[i]),
        degrees_of_freedom=value(fit.freedom),
        p_value=float(tests.p_values[i]),
        p_adjusted=float(tests.p_adjusted[i]),
        confidence_interval=(float(tests.low[i]), float(tests.high[i])),
        score_estimate=value(fit.score_estimates),
        score_p_value=float(two_sided_p(ratio, value(fit.freedom))[0]),
        n_discordant=n_discordant,
        status=status if status != "ok" and n_discordant else tests.statuses[i],
    )

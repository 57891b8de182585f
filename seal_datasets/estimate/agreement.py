"""The labeler's preference and its agreement with humans (SEAL, section 2.2, Table 1), and a label's agreement with gold."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from seal_datasets.errors import DataError
from seal_datasets.estimate.covariance import wald_test
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    confidence_level,
    finite,
    group_codes,
    indicator,
    matrix,
    same_length,
    unique_names,
)
from seal_datasets.estimate.intervals import Interval, mean_interval, two_sided_p, wilson
from seal_datasets.estimate.linear import group_sums
from seal_datasets.estimate.multiplicity import adjust_p
from seal_datasets.estimate.resistance import REGIMES
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class Agreement(Result):
    """Agreement of the labeler's preference with the human choice over some pairs.

    Attributes:
        agreement_rate (`float`): Share of the labeler's preferences that are for the chosen response; nan if it has none.
        confidence_interval (`tuple[float, float]`): Wilson, or clustered by prompt where prompts were given.
        n (`int`): Pairs on which the labeler has a preference: the denominator.
        n_indifferent (`int`): Pairs on which it has none, left out of the rate.
    """

    agreement_rate: float
    confidence_interval: Interval
    n: int
    n_indifferent: int


@dataclass(frozen=True, slots=True)
class RegimeTest(Result):
    """A test that agreement is the same in two regimes, or in all.

    Attributes:
        regimes (`tuple[str, ...]`): Those compared.
        difference (`float`): Rate of the first less that of the second; nan for all.
        statistic (`float`): z for two, chi-squared (F where prompts were given) for all.
        p_value (`float`): Two-sided; nan where a rate is undefined or nothing varies.
        p_adjusted (`float`): Holm's, over the comparisons of two.
    """

    regimes: tuple[str, ...]
    difference: float
    statistic: float
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class LabelerAgreement(Result):
    """The labeler's preferences and where they meet the humans'.

    Attributes:
        preference (`dict[str, int]`): Pairs by preference: `chosen`, `rejected`, `indifferent`.
        overall (`Agreement`): Over all pairs.
        regimes (`dict[str, Agreement]`): By regime, or by `aligned` and `misaligned` without pre-training alignment; empty
            when no alignment was given.
        tests (`tuple[RegimeTest, ...]`): Whether rates differ: over all regimes first, then each two.
        family (`str`): Which tests are adjusted for together.
        targets (`tuple[str, ...]`): Target features in order of priority.
        n_pairs (`int`): Pairs.
    """

    preference: dict[str, int]
    overall: Agreement
    regimes: dict[str, Agreement]
    tests: tuple[RegimeTest, ...]
    family: str
    targets: tuple[str, ...]
    n_pairs: int


@dataclass(frozen=True, slots=True)
class LabelAccuracy(Result):
    """How one feature's labels compare with gold labels of the same texts.

    Attributes:
        n (`int`): Texts with both.
        agreement (`float`): Share of equal labels.
        confidence_interval (`tuple[float, float]`): Wilson, texts taken as independent.
        majority_share (`float`): Share of the commonest gold label: what always answering it would score.
        kappa (`float`): Cohen's kappa, agreement beyond what the two margins give by chance; nan where chance is perfect.
        status (`str`): `ok`, or why something is undefined.
    """

    n: int
    agreement: float
    confidence_interval: Interval
    majority_share: float
    kappa: float
    status: str


def labeler_preference(chosen_labels: ArrayLike, rejected_labels: ArrayLike) -> NDArray[np.str_]:
    """The response a labeler prefers by the target features, compared in order of priority.

    Args:
        chosen_labels (array-like of shape (n, t)): Target labels of the chosen responses, first priority first.
        rejected_labels (array-like of shape (n, t)): The same of the rejected responses.

    Returns:
        `ndarray` of shape (n,): gamma_i: `chosen`, `rejected` or `indifferent`.

    Raises:
        DataError: Shapes differ or a label is missing.

    Source: SEAL, section 2.2: strictly more of the first target wins; at a tie the next decides.

    Example:

    ```python
    >>> labeler_preference([[1, 0], [1, 0], [1, 1]], [[0, 1], [1, 1], [1, 1]]).tolist()
    ['chosen', 'rejected', 'indifferent']

    ```
    """
    n, width = _shape(chosen_labels, "chosen_labels")
    chosen = matrix(chosen_labels, "chosen_labels", n, width)
    rejected = matrix(rejected_labels, "rejected_labels", n, width)
    ahead = np.sign(chosen - rejected)
    first = (ahead != 0).argmax(axis=1)
    verdict = ahead[np.arange(n), first]
    return np.asarray(np.array(["indifferent", "chosen", "rejected"])[verdict.astype(int)], dtype=np.str_)


def clearly_rejected(chosen_labels: ArrayLike, rejected_labels: ArrayLike) -> NDArray[np.bool_]:
    """Which choices go against the labels whatever weight the targets have: a sign of a slip of the human choice.

    Args:
        chosen_labels (array-like of shape (n, t)): Target labels of the chosen responses.
        rejected_labels (array-like of shape (n, t)): The same of the rejected responses.

    Returns:
        `ndarray` of shape (n,): Whether the rejected response has more of one target and less of none.

    Raises:
        DataError: Shapes differ or a label is missing.

    Example:

    ```python
    >>> clearly_rejected([[1, 0], [1, 0], [0, 1]], [[1, 1], [0, 1], [0, 1]]).tolist()  # the second is a matter of priority
    [True, False, False]

    ```
    """
    n, width = _shape(chosen_labels, "chosen_labels")
    ahead = matrix(chosen_labels, "chosen_labels", n, width) - matrix(rejected_labels, "rejected_labels", n, width)
    return np.asarray((ahead <= 0).all(axis=1) & (ahead < 0).any(axis=1), dtype=np.bool_)


def labeler_agreement(
    chosen_labels: ArrayLike,
    rejected_labels: ArrayLike,
    target_names: Sequence[str],
    *,
    aligned: ArrayLike | None = None,
    pre_aligned: ArrayLike | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> LabelerAgreement:
    """Measure how often the labeler, where it has a preference, sides with the human choice, regime by regime.

    Args:
        chosen_labels (array-like of shape (n, t)): Target labels of the chosen responses, first priority first.
        rejected_labels (array-like of shape (n, t)): The same of the rejected responses.
        target_names (`Sequence[str]`): The t names, in order of priority.
        aligned (array-like of shape (n,), *optional*): Whether the post-training model is aligned on each pair.
        pre_aligned (array-like of shape (n,), *optional*): The same of the pre-training model; needs `aligned`.
        groups (sequence of shape (n,), *optional*): Prompt ids, to cluster intervals and tests by.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `LabelerAgreement`: Counts and rates with intervals.

    Raises:
        DataError: Shapes differ, a label is missing, or `pre_aligned` comes without `aligned`.

    Source: SEAL, Table 1. Indifferent pairs are left out of the rates.

    Example:

    ```python
    >>> found = labeler_agreement([[1], [1], [0], [1]], [[0], [0], [1], [1]], ["harmless"], aligned=[1, 0, 1, 1])
    >>> found.preference
    {'chosen': 2, 'rejected': 1, 'indifferent': 1}
    >>> {name: (each.agreement_rate, each.n) for name, each in found.regimes.items()}
    {'aligned': (0.5, 2), 'misaligned': (1.0, 1)}

    ```
    """
    confidence_level(confidence)
    names = unique_names(target_names, "target_names")
    width = _shape(chosen_labels, "chosen_labels")[1]
    if width != len(names):
        raise DataError(f"chosen_labels has {width} column(s), but {len(names)} target name(s) were given")
    preference = labeler_preference(chosen_labels, rejected_labels)
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(chosen_labels=preference != "", groups=codes)
    parts: dict[str, Bools] = {}
    if pre_aligned is not None and aligned is None:
        raise DataError("pre_aligned tells regimes apart only together with aligned; give aligned too")
    if aligned is not None:
        after = indicator(aligned, "aligned")
        same_length(chosen_labels=preference != "", aligned=after)
        parts = {"aligned": after, "misaligned": ~after}
        if pre_aligned is not None:
            before = indicator(pre_aligned, "pre_aligned")
            same_length(aligned=after, pre_aligned=before)
            parts = dict(
                zip(REGIMES, (before & after, ~before & after, ~before & ~after, before & ~after), strict=True)
            )
    tests = _regime_tests(preference, parts, codes) if parts else ()
    return LabelerAgreement(
        {side: int((preference == side).sum()) for side in ("chosen", "rejected", "indifferent")},
        _agreement(preference, codes, confidence),
        {
            name: _agreement(preference[rows], None if codes is None else codes[rows], confidence)
            for name, rows in parts.items()
        },
        tests,
        f"the {len(tests) - 1} comparisons of two regimes" if tests else "no tests",
        names,
        len(preference),
    )


def label_accuracy(labels: ArrayLike, gold: ArrayLike, *, confidence: float = 0.95) -> LabelAccuracy:
    """Hold a labeler's labels of one feature against gold labels, beside what guessing would give.

    Args:
        labels (array-like of shape (n,)): The labeler's labels, as numbers.
        gold (array-like of shape (n,)): The gold labels of the same texts.
        confidence (`float`, defaults to 0.95): Level of the interval.

    Returns:
        `LabelAccuracy`: Agreement, the commonest label's share and Cohen's kappa.

    Raises:
        DataError: Lengths differ or a label is not a finite number.

    Source: Cohen (1960). Kappa misleads at skewed prevalence (Feinstein and Cicchetti, 1990): read both shares.

    Example:

    ```python
    >>> found = label_accuracy([1, 1, 0, 0], [1, 1, 1, 0])
    >>> found.agreement, found.majority_share, found.kappa  # chance: (2*3 + 2*1) / 16 = 1/2
    (0.75, 0.75, 0.5)

    ```
    """
    confidence_level(confidence)
    if isinstance(labels, Sized) and isinstance(gold, Sized) and len(labels) == len(gold) == 0:
        return LabelAccuracy(0, math.nan, (math.nan, math.nan), math.nan, math.nan, "no text has both labels")
    given, truth = finite(labels, "labels"), finite(gold, "gold")
    n = same_length(labels=given, gold=truth)
    values = np.union1d(given, truth)
    shares = np.array([[(each == value).mean() for value in values] for each in (given, truth)])
    agreement, chance = float((given == truth).mean()), float(shares[0] @ shares[1])
    kappa = (agreement - chance) / (1 - chance) if chance < 1 else math.nan
    status = "ok" if chance < 1 else "both give one and the same label throughout: kappa is undefined"
    interval = wilson(int((given == truth).sum()), n, confidence=confidence)
    return LabelAccuracy(n, agreement, interval, float(shares[1].max()), kappa, status)


def _agreement(preference: NDArray[np.str_], codes: Codes | None, confidence: float) -> Agreement:
    decided = preference != "indifferent"
    agreeing, n = int((preference == "chosen").sum()), int(decided.sum())
    interval = wilson(agreeing, n, confidence=confidence)
    if codes is not None:
        _, _, interval = mean_interval((preference[decided] == "chosen").astype(float), codes[decided], confidence)
    return Agreement(agreeing / n if n else math.nan, interval, n, len(preference) - n)


def _regime_tests(preference: NDArray[np.str_], parts: dict[str, Bools], codes: Codes | None) -> tuple[RegimeTest, ...]:
    """Homogeneity over all regimes, and each two: pooled z and chi-squared, or Wald tests clustered by prompt."""
    decided = preference != "indifferent"
    agrees = (preference == "chosen").astype(float)
    members = np.column_stack([rows & decided for rows in parts.values()]).astype(float)
    n = members.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = agrees @ members / n
        influence = (agrees[:, None] - np.where(n > 0, rates, 0.0)) * members / n
    names, filled = list(parts), np.flatnonzero(n > 0)
    n_prompts = len(agrees) if codes is None else int(codes.max()) + 1
    covariance = np.full((len(names), len(names)), np.nan)
    if codes is not None and n_prompts > 1:
        sums = group_sums(np.nan_to_num(influence), codes, n_prompts)
        covariance = sums.T @ sums * n_prompts / (n_prompts - 1)
    tests = [
        _over_all(
            tuple(names), rates[filled], n[filled], covariance[np.ix_(filled, filled)], codes is not None, n_prompts
        )
    ]
    for i, j in combinations(range(len(names)), 2):
        difference = float(rates[i] - rates[j])
        if codes is None:
            pooled = (rates[i] * n[i] + rates[j] * n[j]) / (n[i] + n[j]) if n[i] and n[j] else math.nan
            variance = pooled * (1 - pooled) * (1 / n[i] + 1 / n[j]) if n[i] and n[j] else math.nan
        else:
            variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
        z = difference / math.sqrt(variance) if variance > 0 else math.nan
        freedom = math.inf if codes is None else n_prompts - 1
        tests.append(
            RegimeTest((names[i], names[j]), difference, z, float(two_sided_p(np.array([z]), freedom)[0]), math.nan)
        )
    adjusted = adjust_p(np.array([each.p_value for each in tests[1:]]), "holm")
    return tests[0], *(replace(each, p_adjusted=float(p)) for each, p in zip(tests[1:], adjusted, strict=True))


def _over_all(
    names: tuple[str, ...], rates: Floats, n: Floats, covariance: Floats, clustered: bool, n_prompts: int
) -> RegimeTest:
    statistic = p = math.nan
    if len(rates) > 1 and clustered:
        contrast = np.diff(np.eye(len(rates)), axis=0)
        statistic, _, p = wald_test(contrast @ rates, contrast @ covariance @ contrast.T, n_prompts - 1)
    elif len(rates) > 1:
        pooled = float(rates @ n / n.sum())
        if 0 < pooled < 1:
            statistic = float((n * (rates - pooled) ** 2).sum() / (pooled * (1 - pooled)))
            p = float(special.chdtrc(len(rates) - 1, statistic))
    return RegimeTest(names, math.nan, statistic, p, math.nan)


def _shape(labels: ArrayLike, name: str) -> tuple[int, int]:
    """Rows and columns, the columns as the first row has them."""
    rows = np.asarray(labels) if hasattr(labels, "__array__") else labels
    first = rows[0] if isinstance(rows, (Sequence, np.ndarray)) and len(rows) else None
    width = len(first) if isinstance(first, (list, tuple, np.ndarray)) else 0
    if not width or not isinstance(rows, Sized):
        raise DataError(f"{name} must be one row of target labels per pair, e.g. [[1, 0], [1, 1]]")
    return len(rows), width

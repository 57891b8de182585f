"""Agreement of the labeler's preference with humans (SEAL, section 2.2, Table 1), and of labels with gold labels."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.proportion import proportions_chisquare, proportions_ztest

from seal_datasets.errors import DataError
from seal_datasets.estimate.group_differences import compare_means
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    confidence_level,
    finite,
    group_codes,
    indicator,
    is_empty,
    matrix,
    same_length,
    unique_names,
)
from seal_datasets.estimate.intervals import Interval, share_interval, two_sided_p
from seal_datasets.estimate.kappa_interval import cohen_kappa, kappa_interval
from seal_datasets.estimate.least_squares import clustered_difference
from seal_datasets.estimate.multiplicity import adjust_p
from seal_datasets.estimate.raw_values import as_array, is_array
from seal_datasets.estimate.resistance import REGIMES
from seal_datasets.estimate.result import Result

_NO_INTERVAL = (math.nan, math.nan)
# Tables of more classes than this hold too few texts in each cell.
_MOST_CLASSES = 50


@dataclass(frozen=True, slots=True)
class Agreement(Result):
    """Agreement of the labeler's preference with the human choice over some pairs.

    Attributes:
        agreement_rate (`float`): Share of the labeler's preferences that are for the chosen response; nan without one.
        confidence_interval (`tuple[float, float]`): Wilson's, or clustered by prompt where prompts were given.
        n (`int`): Pairs on which the labeler has a preference: the denominator.
        n_indifferent (`int`): Pairs without a preference, which the rate excludes.
    """

    agreement_rate: float
    confidence_interval: Interval
    n: int
    n_indifferent: int


@dataclass(frozen=True, slots=True)
class RegimeTest(Result):
    """A test that agreement is the same in two regimes, or in all.

    Attributes:
        regimes (`tuple[str, ...]`): Regimes compared.
        difference (`float`): Rate of the first minus rate of the second; nan for the test of all regimes.
        statistic (`float`): z for two regimes (t where prompts were given), chi-squared (F where given) for all.
        p_value (`float`): Two-sided; nan where a rate is undefined or nothing varies.
        p_adjusted (`float`): Holm's, over the comparisons of two regimes.
    """

    regimes: tuple[str, ...]
    difference: float
    statistic: float
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class LabelerAgreement(Result):
    """How often the labeler's preferences agree with human choices.

    Attributes:
        preference (`dict[str, int]`): Pairs by preference: `chosen`, `rejected`, `indifferent`.
        overall (`Agreement`): Agreement over all pairs.
        regimes (`dict[str, Agreement]`): Agreement by regime, or by `aligned` and `misaligned` without pre-training
            alignment; empty when no alignment was given.
        tests (`tuple[RegimeTest, ...]`): Tests of equal rates: over all regimes first, then each two.
        family (`str`): Tests that are adjusted together.
        targets (`tuple[str, ...]`): Target features in order of priority.
        n_pairs (`int`): Number of pairs.
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
        n (`int`): Texts with both labels.
        agreement (`float`): Share of equal labels.
        confidence_interval (`tuple[float, float]`): Wilson's, clustered where prompts were given.
        majority_share (`float`): Share of the commonest gold label, which a constant labeler would score.
        kappa (`float`): Cohen's kappa; nan where chance agreement is 1.
        kappa_interval (`tuple[float, float]`): Clustered where prompts were given, as in `labeler_stability`; nan where fewer
            than eight prompts hold a label off the commonest.
        status (`str`): `ok`, or why something is undefined.
    """

    n: int
    agreement: float
    confidence_interval: Interval
    majority_share: float
    kappa: float
    kappa_interval: Interval
    status: str


def labeler_preference(chosen_labels: ArrayLike, rejected_labels: ArrayLike) -> NDArray[np.str_]:
    """The response that a labeler prefers by the target features, compared in order of priority.

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
    n, width = labels_shape(chosen_labels, "chosen_labels")
    chosen = matrix(chosen_labels, "chosen_labels", n, width)
    rejected = matrix(rejected_labels, "rejected_labels", n, width)
    ahead = np.sign(chosen - rejected)
    first = (ahead != 0).argmax(axis=1)
    verdict = ahead[np.arange(n), first]
    return np.asarray(np.array(["indifferent", "chosen", "rejected"])[verdict.astype(int)], dtype=np.str_)


def clearly_rejected(chosen_labels: ArrayLike, rejected_labels: ArrayLike) -> NDArray[np.bool_]:
    """Choices that contradict the labels whatever weight the targets have, which suggests an annotation error.

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
    n, width = labels_shape(chosen_labels, "chosen_labels")
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
    """Measure how often the labeler's preference agrees with the human choice, overall and by regime.

    Args:
        chosen_labels (array-like of shape (n, t)): Target labels of the chosen responses, first priority first.
        rejected_labels (array-like of shape (n, t)): The same of the rejected responses.
        target_names (`Sequence[str]`): The t names, in order of priority.
        aligned (array-like of shape (n,), *optional*): Whether the post-training model is aligned on each pair.
        pre_aligned (array-like of shape (n,), *optional*): The same for the pre-training model; needs `aligned`.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster intervals and tests by.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `LabelerAgreement`: Counts and rates with intervals.

    Raises:
        DataError: Shapes differ, a label is missing, or `pre_aligned` comes without `aligned`.

    Source: SEAL, Table 1. Rates exclude indifferent pairs.

    Example:

    ```python
    >>> result = labeler_agreement([[1], [1], [0], [1]], [[0], [0], [1], [1]], ["harmless"], aligned=[1, 0, 1, 1])
    >>> result.preference
    {'chosen': 2, 'rejected': 1, 'indifferent': 1}
    >>> {name: (regime.agreement_rate, regime.n) for name, regime in result.regimes.items()}
    {'aligned': (0.5, 2), 'misaligned': (1.0, 1)}

    ```
    """
    confidence_level(confidence)
    names = unique_names(target_names, "target_names")
    width = labels_shape(chosen_labels, "chosen_labels")[1]
    if width != len(names):
        raise DataError(f"chosen_labels has {width} column(s), but {len(names)} target name(s) were given")
    preference = labeler_preference(chosen_labels, rejected_labels)
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(chosen_labels=preference != "", groups=codes)
    parts: dict[str, Bools] = {}
    if pre_aligned is not None and aligned is None:
        raise DataError("pre_aligned was given without aligned; regimes need both, so give aligned too")
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


def label_accuracy(
    labels: ArrayLike,
    gold: ArrayLike,
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> LabelAccuracy:
    """Compare a labeler's labels of one feature with gold labels.

    Args:
        labels (array-like of shape (n,)): The labeler's labels, as numbers.
        gold (array-like of shape (n,)): The gold labels of the same texts.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster the interval by.
        confidence (`float`, defaults to 0.95): Level of the interval.

    Returns:
        `LabelAccuracy`: Agreement, the commonest label's share and Cohen's kappa.

    Raises:
        DataError: Lengths differ or a label is not a finite number.

    Source: Cohen (1960). Kappa misleads at skewed prevalence (Feinstein and Cicchetti, 1990): compare both shares.

    Example:

    ```python
    >>> result = label_accuracy([1, 1, 0, 0], [1, 1, 1, 0])
    >>> result.agreement, result.majority_share, result.kappa  # chance: (2*3 + 2*1) / 16 = 1/2
    (0.75, 0.75, 0.5)

    ```
    """
    confidence_level(confidence)
    if is_empty(labels) and is_empty(gold):
        return LabelAccuracy(0, math.nan, _NO_INTERVAL, math.nan, math.nan, _NO_INTERVAL, "no text has both labels")
    given, truth = finite(labels, "labels"), finite(gold, "gold")
    n = same_length(labels=given, gold=truth)
    values, places = np.unique(np.concatenate([given, truth]), return_inverse=True)
    shares = [np.bincount(side, minlength=len(values)) / n for side in (places[:n], places[n:])]
    # Not by statsmodels' cohens_kappa: its table of labels by labels does not fit memory for thousands of distinct labels.
    agreement, chance = float((given == truth).mean()), float(shares[0] @ shares[1])
    kappa = (agreement - chance) / (1 - chance) if chance < 1 else math.nan
    status = "ok" if chance < 1 else "both give one and the same label throughout: kappa is undefined"
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(labels=given, groups=codes)
    interval = share_interval(given == truth, codes, confidence)
    k, of_kappa = len(values), _NO_INTERVAL
    if 1 < k <= _MOST_CLASSES:
        prompts = np.arange(n) if codes is None else codes
        of_kappa = kappa_interval(places[:n] * k + places[n:], prompts, partial(cohen_kappa, k=k), k, confidence)
    return LabelAccuracy(n, agreement, interval, float(shares[1].max()), kappa, of_kappa, status)


def _agreement(preference: NDArray[np.str_], codes: Codes | None, confidence: float) -> Agreement:
    decided = preference != "indifferent"
    agreeing, n = int((preference == "chosen").sum()), int(decided.sum())
    codes = None if codes is None else codes[decided]
    interval = share_interval(preference[decided] == "chosen", codes, confidence)
    return Agreement(agreeing / n if n else math.nan, interval, n, len(preference) - n)


def _regime_tests(preference: NDArray[np.str_], parts: dict[str, Bools], codes: Codes | None) -> tuple[RegimeTest, ...]:
    """Tests of equal agreement in all regimes and in each two: z and chi-squared, or t and AHT clustered by prompt."""
    decided = preference != "indifferent"
    agrees = (preference == "chosen").astype(float)
    members = {name: rows & decided for name, rows in parts.items()}
    n = np.array([rows.sum() for rows in members.values()], dtype=float)
    hits = np.array([agrees[rows].sum() for rows in members.values()])
    rates = np.divide(hits, n, out=np.full(len(n), np.nan), where=n > 0)
    names = list(parts)
    if codes is None:
        overall = _chi_squared_of_equal_rates(hits, n)
    else:
        overall = _clustered_test_of_equal_rates(agrees, [rows for rows in members.values() if rows.any()], codes)
    tests = []
    for i, j in combinations(range(len(names)), 2):
        if codes is None:
            statistic, p_value = _z_of_equal_rates(hits[[i, j]], n[[i, j]])
        else:
            statistic, p_value = _clustered_t_of_equal_rates(agrees, members[names[i]], members[names[j]], codes)
        tests.append(RegimeTest((names[i], names[j]), float(rates[i] - rates[j]), statistic, p_value, math.nan))
    adjusted = adjust_p(np.array([test.p_value for test in tests]), "holm")
    return (
        RegimeTest(tuple(names), math.nan, *overall, math.nan),
        *(replace(test, p_adjusted=float(p)) for test, p in zip(tests, adjusted, strict=True)),
    )


def _chi_squared_of_equal_rates(hits: Floats, n: Floats) -> tuple[float, float]:
    """Chi-squared statistic and p-value of equal rates in all regimes that have pairs; nan where it is undefined."""
    hits, n = hits[n > 0], n[n > 0]
    if len(n) < 2 or not 0 < hits.sum() < n.sum():
        return math.nan, math.nan
    statistic, p_value, _ = proportions_chisquare(hits, n)
    return float(statistic), float(p_value)


def _z_of_equal_rates(hits: Floats, n: Floats) -> tuple[float, float]:
    """Z statistic and p-value of two equal rates; nan where it is undefined."""
    if not n.all() or not 0 < hits.sum() < n.sum():
        return math.nan, math.nan
    statistic, p_value = proportions_ztest(hits, n)
    return float(statistic), float(p_value)


def _clustered_t_of_equal_rates(agrees: Floats, first: Bools, second: Bools, codes: Codes) -> tuple[float, float]:
    """T statistic and p-value of two equal rates, by CR2 and Satterthwaite's degrees of freedom."""
    used = first | second
    if not first.any() or not second.any():
        return math.nan, math.nan
    error, freedom = clustered_difference(agrees[used], first[used], codes[used])
    statistic = float(agrees[first].mean() - agrees[second].mean()) / error if error > 0 else math.nan
    return statistic, float(two_sided_p(np.array([statistic]), freedom)[0])


def _clustered_test_of_equal_rates(agrees: Floats, members: list[Bools], codes: Codes) -> tuple[float, float]:
    """AHT statistic and p-value of equal rates in all regimes that have pairs."""
    if len(members) < 2:
        return math.nan, math.nan
    used = np.logical_or.reduce(members)
    clusters = np.asarray(pd.factorize(codes[used])[0], dtype=np.int64)
    if clusters.max() < 1:
        return math.nan, math.nan
    statistic, _, p_value = compare_means(agrees[used], np.argmax(members, axis=0)[used], clusters)
    return statistic, p_value


def labels_shape(labels: ArrayLike, name: str) -> tuple[int, int]:
    """Number of rows, and of columns in the first row."""
    rows = np.atleast_1d(as_array(labels, name)) if is_array(labels) else labels
    first = rows[0] if isinstance(rows, (Sequence, np.ndarray)) and len(rows) else None
    width = len(first) if isinstance(first, (list, tuple, np.ndarray)) else 0
    if not width or not isinstance(rows, Sized):
        raise DataError(f"{name} must be one row of target labels per pair, e.g. [[1, 0], [1, 1]]")
    return len(rows), width

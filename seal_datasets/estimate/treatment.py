"""Effect of one attribute of a text on its reward, by rewriting the text twice (RATE)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.weightstats import CompareMeans

from seal_datasets.estimate.clustered_share import clustered_mean
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    confidence_level,
    finite,
    group_codes,
    indicator,
    same_length,
)
from seal_datasets.estimate.intervals import Interval, critical_value, two_sided_p, wilson
from seal_datasets.estimate.least_squares import clustered_difference
from seal_datasets.estimate.linear import PERFECT
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class TreatmentEffect(Result):
    """One estimate of the attribute's effect on the reward; p-values are not adjusted.

    Attributes:
        estimand (`str`): `att` is the effect on texts with the attribute (rewritten twice minus rewritten once).
            `atu` is the effect on texts without it, and `ate` averages both by their shares of the kept texts.
            `naive` is the difference of mean original rewards.
            `single_rewrite` is `ate` with the original in place of the text rewritten twice.
        estimate (`float`): Reward with the attribute minus reward without it.
        standard_error (`float`): Of differences within texts; for `naive` between texts.
        interval (`tuple[float, float]`): t interval.
        p_value (`float`): Two-sided p-value of no effect.
        n (`int`): Texts in the estimate.
        status (`str`): `ok`, or the reason for a missing number. Without an estimate: `no_rows` (no such text is kept);
            `not_identified` (all kept texts have the attribute, or none has it).
            Without an error: `too_few_texts`; `too_few_clusters`; `no_residual_variation`.
    """

    estimand: str
    estimate: float
    standard_error: float
    interval: Interval
    p_value: float
    n: int
    status: str


@dataclass(frozen=True, slots=True)
class RewriteRejection(Result):
    """Selection bias of rejected rewrites: texts of one attribute value without an accepted and scored rewrite.

    If many are rejected and their original rewards differ, effects hold for the kept texts only.

    Attributes:
        attribute (`bool`): Whether these texts have the attribute.
        n (`int`): Number of texts.
        n_rejected (`int`): Texts whose rewrite was rejected or not scored.
        share_rejected (`float`): Share of rejected texts; nan without texts.
        share_interval (`tuple[float, float]`): Wilson's, which treats texts as independent.
        mean_kept (`float`): Mean original reward of kept texts.
        mean_rejected (`float`): Mean original reward of rejected texts.
        difference (`float`): Mean of kept texts minus mean of rejected texts.
        standard_error (`float`): Welch's, or clustered where groups were given.
        interval (`tuple[float, float]`): t interval of the difference.
        p_value (`float`): Two-sided p-value of no difference.
        status (`str`): As in `TreatmentEffect`; `not_identified` if all texts are kept, or none.
    """

    attribute: bool
    n: int
    n_rejected: int
    share_rejected: float
    share_interval: Interval
    mean_kept: float
    mean_rejected: float
    difference: float
    standard_error: float
    interval: Interval
    p_value: float
    status: str


@dataclass(frozen=True, slots=True)
class TreatmentEffects(Result):
    """Effect of an attribute on the reward, by several estimates on the same texts.

    Attributes:
        effects (`tuple[TreatmentEffect, ...]`): `att`, `atu`, `ate`, `naive` and `single_rewrite`, in this order.
        rejections (`tuple[RewriteRejection, ...]`): Rejected texts with the attribute, then those without it.
        n_texts (`int`): Number of texts.
        n_kept (`int`): Texts with both rewrites; all effects use these texts only.
        n_rejected (`int`): Texts without both rewrites.
        share_with_attribute (`float`): Share of the kept texts that have the attribute: the weight of `att` in `ate`.
        n_clusters (`int`): Groups of the kept texts, or their number where no groups were given.
        covariance (`str`): How errors are computed.
    """

    effects: tuple[TreatmentEffect, ...]
    rejections: tuple[RewriteRejection, ...]
    n_texts: int
    n_kept: int
    n_rejected: int
    share_with_attribute: float
    n_clusters: int
    covariance: str


class _Tested(NamedTuple):
    """An estimate and its test; nan where undefined, and the status says why."""

    estimate: float
    error: float
    interval: Interval
    p_value: float
    status: str


def treatment_effect(
    rewards: ArrayLike,
    rewritten: ArrayLike,
    twice_rewritten: ArrayLike,
    attribute: ArrayLike,
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> TreatmentEffects:
    """Estimate an attribute's effect on the reward from texts rewritten to its other value and back.

    A rewriter also makes changes that were not requested. A rewrite carries them and its original does not.
    A text rewritten once and one rewritten twice both carry them, so changes that both rewrites make cancel out.

    Args:
        rewards (array-like of shape (n,)): Reward of each original text.
        rewritten (array-like of shape (n,)): Reward of the text rewritten to the attribute's other value; nan where the
            rewrite was rejected or not scored.
        twice_rewritten (array-like of shape (n,)): Reward of that rewrite rewritten back; nan as for `rewritten`.
            Texts with nan in either are counted and excluded from every estimate.
        attribute (array-like of shape (n,)): Whether each original text has the attribute.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by; each text is its own cluster when omitted.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `TreatmentEffects`: The effect on texts with the attribute, on those without it and on all texts. For comparison:
            estimates from one rewrite, and from the original rewards alone.

    Raises:
        DataError: Lengths differ, a group is missing, or the level is not valid; or an original reward is not a finite
            number. Also raised for an infinite reward of a rewrite, or an attribute that is not true or false.

    Source: Reber et al. (2024), arXiv 2410.11348, and github.com/toddnief/RATE. Errors are those of differences within
        texts; the authors' code treats the two rewards behind `att` and `atu` as independent.
        Clustered errors are CR2 with Satterthwaite's degrees of freedom (Bell and McCaffrey, 2002).
        Without groups they are those of a mean, and Welch's for `naive`.

    Example:

    ```python
    >>> result = treatment_effect([5, 6, 1, 2], [2, 1, 4, 5], [4, 4, 3, 3], [1, 1, 0, 0])
    >>> {row.estimand: row.estimate for row in result.effects}  # att: (4-2 + 4-1) / 2; atu: (4-3 + 5-3) / 2
    {'att': 2.5, 'atu': 1.5, 'ate': 2.0, 'naive': 4.0, 'single_rewrite': 3.5}

    ```
    """
    original = finite(rewards, "rewards")
    once = finite(rewritten, "rewritten", allow_nan=True)
    twice = finite(twice_rewritten, "twice_rewritten", allow_nan=True)
    has = indicator(attribute, "attribute")
    n = same_length(rewards=original, rewritten=once, twice_rewritten=twice, attribute=has)
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(rewards=original, groups=codes)
    level = confidence_level(confidence)
    kept = ~(np.isnan(once) | np.isnan(twice))
    rejections = tuple(
        _compare_kept(value, original[has == value], kept[has == value], _subset(codes, has == value), level)
        for value in (True, False)
    )
    original, once, twice, has, codes = original[kept], once[kept], twice[kept], has[kept], _subset(codes, kept)
    return TreatmentEffects(
        effects=_estimate_effects(original, once, twice, has, codes, level),
        rejections=rejections,
        n_texts=n,
        n_kept=len(has),
        n_rejected=n - len(has),
        share_with_attribute=float(has.mean()) if len(has) else math.nan,
        n_clusters=_count_clusters(codes, len(has)),
        covariance="each text its own cluster (n - 1 variance of paired differences, Welch's of naive)"
        if codes is None
        else "clustered by group (CR2), Satterthwaite degrees of freedom",
    )


def rewrite_selection(
    rewards: ArrayLike,
    kept: ArrayLike,
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> RewriteRejection:
    """Measure the selection bias of rejected rewrites: original rewards of texts with and without an accepted rewrite.

    Args:
        rewards (array-like of shape (n,)): Reward of each original text.
        kept (array-like of shape (n,)): Whether its rewrite was accepted and scored.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `RewriteRejection`: The share rejected and the difference of mean original rewards, over all texts (`attribute` is
            true).

    Raises:
        DataError: Lengths differ, a reward is not a finite number, an entry is not true or false, or the level is not valid.

    Example:

    ```python
    >>> result = rewrite_selection([1.0, 2.0, 3.0, 6.0], [True, True, True, False])
    >>> result.share_rejected, result.difference
    (0.25, -4.0)

    ```
    """
    original, accepted = finite(rewards, "rewards"), indicator(kept, "kept")
    same_length(rewards=original, kept=accepted)
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(rewards=original, groups=codes)
    return _compare_kept(True, original, accepted, codes, confidence_level(confidence))


def _estimate_effects(
    original: Floats, once: Floats, twice: Floats, has: Bools, codes: Codes | None, confidence: float
) -> tuple[TreatmentEffect, ...]:
    """Every estimate, on texts that have all three rewards."""
    sign = np.where(has, 1.0, -1.0)
    paired, single = sign * (twice - once), sign * (original - once)
    size = float(np.abs([original, once, twice]).max(initial=0.0))
    both = bool(has.any() and not has.all())
    every = np.ones(len(has), dtype=bool)
    estimates = {
        "att": (_test_mean(paired[has], _subset(codes, has), size, confidence), has),
        "atu": (_test_mean(paired[~has], _subset(codes, ~has), size, confidence), ~has),
        "ate": (_test_mean(paired, codes, size, confidence, identified=both), every),
        "naive": (_test_difference(original, has, codes, confidence), every),
        "single_rewrite": (_test_mean(single, codes, size, confidence, identified=both), every),
    }
    return tuple(
        TreatmentEffect(name, test.estimate, test.error, test.interval, test.p_value, int(rows.sum()), test.status)
        for name, (test, rows) in estimates.items()
    )


def _compare_kept(
    value: bool, rewards: Floats, kept: Bools, codes: Codes | None, confidence: float
) -> RewriteRejection:
    n, rejected = len(kept), int((~kept).sum())
    test = _test_difference(rewards, kept, codes, confidence)
    return RewriteRejection(
        attribute=value,
        n=n,
        n_rejected=rejected,
        share_rejected=rejected / n if n else math.nan,
        share_interval=wilson(rejected, n, confidence=confidence),
        mean_kept=float(rewards[kept].mean()) if rejected < n else math.nan,
        mean_rejected=float(rewards[~kept].mean()) if rejected else math.nan,
        difference=test.estimate,
        standard_error=test.error,
        interval=test.interval,
        p_value=test.p_value,
        status=test.status,
    )


def _test_mean(
    values: Floats, codes: Codes | None, size: float, confidence: float, *, identified: bool = True
) -> _Tested:
    """Test of a mean of differences between rewards of at most the given size."""
    if not len(values) or not identified:
        return _untested("not_identified" if len(values) else "no_rows")
    mean, several = clustered_mean(values, codes, confidence), _count_clusters(codes, len(values)) > 1
    error = 0.0 if several and math.isnan(mean.std_error) else mean.std_error
    return _test_estimate(mean.value, error, mean.freedom, size, codes is not None, confidence)


def _test_difference(values: Floats, first: Bools, codes: Codes | None, confidence: float) -> _Tested:
    """Test of the mean of the first rows minus that of the others: Welch's, or clustered where groups are given."""
    n, counts = len(values), (int(first.sum()), int((~first).sum()))
    if not all(counts):
        return _untested("not_identified" if n else "no_rows")
    means = float(values[first].mean()), float(values[~first].mean())
    size, error, freedom = float(np.abs(values).max()), math.nan, math.nan
    n_clusters = [_count_clusters(_subset(codes, side), int(side.sum())) for side in (first, ~first)]
    if min(n_clusters) > 1 and codes is None:
        welch = CompareMeans.from_data(values[first], values[~first])
        error = float(welch.std_meandiff_separatevar)
        # Degrees of freedom are 0 / 0 without variance.
        freedom = float(welch.dof_satt()) if error > PERFECT * size else math.nan
    elif min(n_clusters) > 1 and codes is not None:
        error, freedom = clustered_difference(values, first, codes)
    return _test_estimate(means[0] - means[1], error, freedom, size, codes is not None, confidence)


def _test_estimate(
    estimate: float, error: float, freedom: float, size: float, clustered: bool, confidence: float
) -> _Tested:
    """Test and interval of an estimate; an error within rounding of the rewards' size counts as no variation."""
    nothing = _untested("too_few_clusters" if clustered else "too_few_texts")
    if math.isnan(error):
        return nothing._replace(estimate=estimate)
    if error <= PERFECT * size:
        return nothing._replace(estimate=estimate, status="no_residual_variation")
    half = critical_value(confidence, freedom) * error
    p_value = float(two_sided_p(np.array([estimate / error]), freedom)[0])
    return _Tested(estimate, error, (estimate - half, estimate + half), p_value, "ok")


def _untested(status: str) -> _Tested:
    return _Tested(math.nan, math.nan, (math.nan, math.nan), math.nan, status)


def _subset(codes: Codes | None, rows: Bools) -> Codes | None:
    return None if codes is None else codes[rows]


def _count_clusters(codes: Codes | None, n: int) -> int:
    return n if codes is None else len(np.unique(codes))

"""Effect of one attribute of a text on its reward, by rewriting it twice (RATE): what one rewrite adds, both sides have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
from seal_datasets.estimate.intervals import Interval, critical_value, mean_interval, two_sided_p, wilson
from seal_datasets.estimate.linear import PERFECT, cluster_factor
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class TreatmentEffect(Result):
    """One estimate of what the attribute adds to the reward; p-values are not adjusted.

    Attributes:
        estimand (`str`): `att` (effect on texts that have the attribute, rewritten twice against once), `atu` (on those
            that do not), `ate` (both, by their shares of the kept texts), `naive` (difference of mean original rewards) or
            `single_rewrite` (as `ate`, the original in place of the text rewritten twice).
        estimate (`float`): Reward with the attribute minus reward without it.
        standard_error (`float`): Of differences within texts; of `naive`, which has none, between texts.
        interval (`tuple[float, float]`): By t.
        p_value (`float`): Two-sided, of no effect.
        n (`int`): Texts it rests on.
        status (`str`): `ok`; or why there is no estimate: `no_rows` (no such text is kept); `not_identified` (kept texts all
            have the attribute, or none has it); or no error: `too_few_texts`; `too_few_clusters`; `no_residual_variation`.
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
    """Texts of one attribute value that are left out because a rewrite was rejected or not scored.

    Where many are and their original rewards differ from the others', effects hold for the kept texts only.

    Attributes:
        attribute (`bool`): Whether these texts have the attribute.
        n (`int`): Texts.
        n_rejected (`int`): Texts left out.
        share_rejected (`float`): Their share; nan where there are no texts.
        share_interval (`tuple[float, float]`): Wilson's, which takes texts as independent.
        mean_kept (`float`): Mean original reward of kept texts.
        mean_rejected (`float`): The same of texts left out.
        difference (`float`): Kept minus left out.
        standard_error (`float`): Welch's, or clustered where groups were given.
        interval (`tuple[float, float]`): Of the difference, by t.
        p_value (`float`): Two-sided, of no difference.
        status (`str`): As in `TreatmentEffect`; `not_identified` where all texts are kept, or none is.
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
    """What an attribute adds to the reward, by several estimates on the same texts.

    Attributes:
        effects (`tuple[TreatmentEffect, ...]`): `att`, `atu`, `ate`, `naive` and `single_rewrite`, in this order.
        rejections (`tuple[RewriteRejection, ...]`): Texts left out, of those with the attribute and of those without it.
        n_texts (`int`): Texts given.
        n_kept (`int`): Texts with both rewrites, which all effects rest on.
        n_rejected (`int`): Texts left out.
        share_with_attribute (`float`): Of the kept texts, those that have the attribute; the weight of `att` in `ate`.
        n_clusters (`int`): Groups of the kept texts, or these texts where no groups were given.
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


class _Found(NamedTuple):
    """An estimate and its test; nan where undefined, with the reason."""

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
    """Estimate what an attribute adds to the reward from texts rewritten to its other value and back again.

    A rewriter changes more than it is told to. Of a text and its rewrite only one carries these changes; of a text rewritten
    once and one rewritten twice both do, so they cancel out as far as both rewrites make the same ones.

    Args:
        rewards (array-like of shape (n,)): Reward of each original text.
        rewritten (array-like of shape (n,)): Reward of the text rewritten to the attribute's other value; nan where the
            rewrite was rejected or not scored.
        twice_rewritten (array-like of shape (n,)): Reward of that rewrite rewritten back, by the same rule. Texts with nan
            in either are left out of every estimate and counted.
        attribute (array-like of shape (n,)): Whether each original text has the attribute.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by; each text is its own cluster when omitted.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `TreatmentEffects`: The effect on texts with the attribute, on those without and on all, and for comparison what one
            rewrite and the original rewards alone would say.

    Raises:
        DataError: Lengths differ, an original reward is not a finite number, a rewrite's is infinite, an attribute is not
            true or false, a group is missing, or the level is not valid.

    Source: Reber et al. (2024), arXiv 2410.11348, and github.com/toddnief/RATE, with errors of differences within texts
        throughout, where the authors' code takes the two rewards behind `att` and `atu` as independent. Clustered errors are
        CRV1 with t of G - 1 degrees of freedom; without groups they are those of a mean, and Welch's for `naive`.

    Example:

    ```python
    >>> found = treatment_effect([5, 6, 1, 2], [2, 1, 4, 5], [4, 4, 3, 3], [1, 1, 0, 0])
    >>> {row.estimand: row.estimate for row in found.effects}  # att: (4-2 + 4-1) / 2; atu: (4-3 + 5-3) / 2
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
        _rejection(value, original[has == value], kept[has == value], _part(codes, has == value), level)
        for value in (True, False)
    )
    original, once, twice, has, codes = original[kept], once[kept], twice[kept], has[kept], _part(codes, kept)
    return TreatmentEffects(
        effects=_effects(original, once, twice, has, codes, level),
        rejections=rejections,
        n_texts=n,
        n_kept=len(has),
        n_rejected=n - len(has),
        share_with_attribute=float(has.mean()) if len(has) else math.nan,
        n_clusters=_clusters(codes, len(has)),
        covariance="each text its own cluster (n - 1 variance of paired differences, Welch's of naive)"
        if codes is None
        else "clustered by group (CRV1)",
    )


def rewrite_selection(
    rewards: ArrayLike,
    kept: ArrayLike,
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> RewriteRejection:
    """Compare texts whose rewrite was accepted with those whose rewrite was not: whom do results on rewrites speak for?

    Args:
        rewards (array-like of shape (n,)): Reward of each original text.
        kept (array-like of shape (n,)): Whether its rewrite was accepted and scored.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `RewriteRejection`: The share left out, and how far mean original rewards differ. `attribute` is true: of all texts.

    Raises:
        DataError: Lengths differ, a reward is not a finite number, an entry is not true or false, or the level is not valid.

    Example:

    ```python
    >>> found = rewrite_selection([1.0, 2.0, 3.0, 6.0], [True, True, True, False])
    >>> found.share_rejected, found.difference
    (0.25, -4.0)

    ```
    """
    original, whether = finite(rewards, "rewards"), indicator(kept, "kept")
    same_length(rewards=original, kept=whether)
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(rewards=original, groups=codes)
    return _rejection(True, original, whether, codes, confidence_level(confidence))


def _effects(
    original: Floats, once: Floats, twice: Floats, has: Bools, codes: Codes | None, confidence: float
) -> tuple[TreatmentEffect, ...]:
    """Every estimate, on texts that have all three rewards."""
    sign = np.where(has, 1.0, -1.0)
    paired, single = sign * (twice - once), sign * (original - once)
    size = float(np.abs([original, once, twice]).max(initial=0.0))
    both = bool(has.any() and not has.all())
    every = np.ones(len(has), dtype=bool)
    found = {
        "att": (_mean(paired[has], _part(codes, has), size, confidence), has),
        "atu": (_mean(paired[~has], _part(codes, ~has), size, confidence), ~has),
        "ate": (_mean(paired, codes, size, confidence, identified=both), every),
        "naive": (_difference(original, has, codes, confidence), every),
        "single_rewrite": (_mean(single, codes, size, confidence, identified=both), every),
    }
    return tuple(
        TreatmentEffect(name, each.estimate, each.error, each.interval, each.p_value, int(rows.sum()), each.status)
        for name, (each, rows) in found.items()
    )


def _rejection(value: bool, rewards: Floats, kept: Bools, codes: Codes | None, confidence: float) -> RewriteRejection:
    n, rejected = len(kept), int((~kept).sum())
    found = _difference(rewards, kept, codes, confidence)
    return RewriteRejection(
        attribute=value,
        n=n,
        n_rejected=rejected,
        share_rejected=rejected / n if n else math.nan,
        share_interval=wilson(rejected, n, confidence=confidence),
        mean_kept=float(rewards[kept].mean()) if rejected < n else math.nan,
        mean_rejected=float(rewards[~kept].mean()) if rejected else math.nan,
        difference=found.estimate,
        standard_error=found.error,
        interval=found.interval,
        p_value=found.p_value,
        status=found.status,
    )


def _mean(values: Floats, codes: Codes | None, size: float, confidence: float, *, identified: bool = True) -> _Found:
    """A mean of differences between rewards of at most the given size."""
    if not len(values) or not identified:
        return _nothing("not_identified" if len(values) else "no_rows")
    mean, error, _ = mean_interval(values, codes, confidence)
    return _tested(mean, error, _clusters(codes, len(values)) - 1, size, codes is not None, confidence)


def _difference(values: Floats, first: Bools, codes: Codes | None, confidence: float) -> _Found:
    """Mean of the first rows minus mean of the others: Welch's test, or a clustered one where groups are given."""
    n, counts = len(values), (int(first.sum()), int((~first).sum()))
    if not all(counts):
        return _nothing("not_identified" if n else "no_rows")
    means = float(values[first].mean()), float(values[~first].mean())
    # Each row's part in the error of the difference.
    parts = np.where(first, (values - means[0]) / counts[0], (means[1] - values) / counts[1])
    error, freedom = math.nan, math.nan
    sides = [_clusters(_part(codes, side), count) for side, count in zip((first, ~first), counts, strict=True)]
    if min(sides) > 1:
        if codes is None:
            squares = [
                float((parts[side] ** 2).sum()) * count / (count - 1)
                for side, count in zip((first, ~first), counts, strict=True)
            ]
            error, total = math.sqrt(sum(squares)), sum(squares)
            spread = sum(
                (each / total) ** 2 / (count - 1) for each, count in zip(squares, counts, strict=True) if total
            )
            freedom = 1 / spread if spread else math.nan
        else:
            clusters = _clusters(codes, n)
            total = float((np.bincount(codes, weights=parts) ** 2).sum())
            error, freedom = math.sqrt(cluster_factor(clusters, n, 2) * total), clusters - 1
    return _tested(means[0] - means[1], error, freedom, float(np.abs(values).max()), codes is not None, confidence)


def _tested(estimate: float, error: float, freedom: float, size: float, clustered: bool, confidence: float) -> _Found:
    """Test and interval of an estimate; an error of rounding only, against the size of the rewards, is none."""
    nothing = _nothing("too_few_clusters" if clustered else "too_few_texts")
    if math.isnan(error):
        return nothing._replace(estimate=estimate)
    if error <= PERFECT * size:
        return nothing._replace(estimate=estimate, status="no_residual_variation")
    half = critical_value(confidence, freedom) * error
    p_value = float(two_sided_p(np.array([estimate / error]), freedom)[0])
    return _Found(estimate, error, (estimate - half, estimate + half), p_value, "ok")


def _nothing(status: str) -> _Found:
    return _Found(math.nan, math.nan, (math.nan, math.nan), math.nan, status)


def _part(codes: Codes | None, rows: Bools) -> Codes | None:
    return None if codes is None else codes[rows]


def _clusters(codes: Codes | None, n: int) -> int:
    return n if codes is None else len(np.unique(codes))

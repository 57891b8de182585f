"""Alignment score, alignment resistance and alignment regimes (SEAL, section 2.2 and Table 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.contingency_tables import mcnemar

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import Bools, Codes, Floats, confidence_level, finite, group_codes, same_length
from seal_datasets.estimate.intervals import (
    Interval,
    bootstrap_totals,
    mean_interval,
    percentile_interval,
    two_sided_p,
    wilson,
)
from seal_datasets.estimate.result import Result

REGIMES = ("stayed_aligned", "became_aligned", "stayed_misaligned", "reversed_alignment")
_BY_ALIGNMENT = np.array([["stayed_misaligned", "became_aligned"], ["reversed_alignment", "stayed_aligned"]])


@dataclass(frozen=True, slots=True)
class Regime(Result):
    """Pairs in one regime.

    Attributes:
        count (`int`): How many.
        share (`float`): Their share of all pairs.
        confidence_interval (`tuple[float, float]`): Wilson.
        cluster_interval (`tuple[float, float]`, *optional*): By cluster bootstrap, where prompts were given.
    """

    count: int
    share: float
    confidence_interval: Interval
    cluster_interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; the cluster interval is there only if prompts were given."""
        return _given(Result.to_dict(self))


@dataclass(frozen=True, slots=True)
class MarginBin(Result):
    """Pairs whose two rewards are about equally far apart.

    Attributes:
        low (`float`): Smallest |r(chosen) - r(rejected)| in the bin.
        high (`float`): Largest.
        n (`int`): Pairs.
        resistance (`float`): Share of them the model is not aligned on.
        confidence_interval (`tuple[float, float]`): Wilson.
    """

    low: float
    high: float
    n: int
    resistance: float
    confidence_interval: Interval


@dataclass(frozen=True, slots=True)
class PairedTest(Result):
    """Whether two models are aligned equally often on the same pairs.

    Attributes:
        change (`float`): Resistance of the later model less that of the earlier.
        confidence_interval (`tuple[float, float]`): Of the change, clustered where prompts were given.
        n_lost (`int`): Pairs only the earlier model is aligned on.
        n_gained (`int`): Pairs only the later model is aligned on.
        p_value (`float`): Two-sided; nan where no pair changed.
        test (`str`): `McNemar, exact` below 25 changed pairs, else `McNemar, chi-squared`; with prompts `clustered by prompt`.
    """

    change: float
    confidence_interval: Interval
    n_lost: int
    n_gained: int
    p_value: float
    test: str


@dataclass(frozen=True, slots=True)
class NoiseAwareResistance(Result):
    """Resistance to what humans would have chosen without slips, given how often their recorded choice is one.

    Attributes:
        resistance (`float`): (observed - e) / (1 - 2 e); may lie outside [0, 1], which then says that the rate e or its
            independence of the model's errors does not hold.
        confidence_interval (`tuple[float, float]`): The observed interval, transformed; e is taken as known.
        label_noise (`float`): e.
        status (`str`): `ok`, or what speaks against the number.
    """

    resistance: float
    confidence_interval: Interval
    label_noise: float
    status: str


@dataclass(frozen=True, slots=True)
class AlignmentResistance(Result):
    """How often a reward model prefers what humans chose, and how often it does not.

    Attributes:
        alignment_score (`float`): Share of pairs whose chosen response has the strictly higher reward.
        alignment_resistance (`float`): 1 - `alignment_score`.
        confidence_interval (`tuple[float, float]`): Wilson interval of the resistance, pairs taken as independent.
        n_pairs (`int`): Pairs.
        n_ties (`int`): Pairs with rewards within `tie_band`; they count as not aligned.
        tie_band (`float`): Largest difference that is a tie.
        margins (`tuple[MarginBin, ...]`): Resistance by size of the margin.
        cluster_interval (`tuple[float, float]`, *optional*): Interval of the resistance by cluster bootstrap over prompts.
        noise_aware (`NoiseAwareResistance`, *optional*): Resistance beyond the rate given as `label_noise`.
        pre_alignment_score (`float`, *optional*): Alignment score of the pre-training model.
        n_pre_ties (`int`, *optional*): Ties of the pre-training model.
        regimes (`dict[str, Regime]`, *optional*): The four regimes of Table 1.
        change (`PairedTest`, *optional*): Test of pre- against post-training resistance.
    """

    alignment_score: float
    alignment_resistance: float
    confidence_interval: Interval
    n_pairs: int
    n_ties: int
    tie_band: float
    margins: tuple[MarginBin, ...]
    cluster_interval: Interval | None = None
    noise_aware: NoiseAwareResistance | None = None
    pre_alignment_score: float | None = None
    n_pre_ties: int | None = None
    regimes: dict[str, Regime] | None = None
    change: PairedTest | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; what needs more inputs is there only if they were given."""
        plain = _given(Result.to_dict(self))
        if self.regimes is not None:
            plain["regimes"] = {name: each.to_dict() for name, each in self.regimes.items()}
        return plain


def alignment_resistance(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    *,
    pre_chosen_rewards: ArrayLike | None = None,
    pre_rejected_rewards: ArrayLike | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    tie_band: float = 0.0,
    label_noise: float | None = None,
    n_bins: int = 10,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> AlignmentResistance:
    """Measure on how large a share of the pairs a reward model fails to match human preferences.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.
        pre_chosen_rewards (array-like of shape (n,), *optional*): The same under the pre-training model.
        pre_rejected_rewards (array-like of shape (n,), *optional*): The same under the pre-training model.
        groups (sequence of shape (n,), *optional*): Prompt ids, for intervals and tests that do not take pairs of one prompt
            as independent.
        tie_band (`float`, defaults to 0.0): Rewards no further apart than this are a tie, which is not aligned; 0, or how
            far a model's scores move by batch size and precision alone.
        label_noise (`float`, *optional*): Share of human choices taken to be slips, e.g. from annotators' disagreement, to
            see what resistance is left beyond them.
        n_bins (`int`, defaults to 10): Bins of the margin's size, with about equally many pairs.
        n_bootstrap (`int`, defaults to 2000): Draws of the cluster bootstrap.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        seed (`int`, defaults to 0): Of the draws.

    Returns:
        `AlignmentResistance`: Scores with intervals; with pre-training rewards also the regimes and a test of the change.

    Raises:
        DataError: Lengths differ, a reward is not a finite number, one pre-training argument comes without the other, or an
            option is out of range.

    Source: SEAL, section 2.2: delta_i = 1 where r(chosen) > r(rejected), strictly; a_- = 1 - mean(delta). McNemar (1947); Rogan
    and Gladen (1978) for resistance beyond label noise.

    Example:

    ```python
    >>> result = alignment_resistance([2.0, 0.0, 1.0, 3.0], [1.0, 1.0, 1.0, 0.0])
    >>> result.alignment_score, result.alignment_resistance, result.n_ties
    (0.5, 0.5, 1)

    ```
    """
    confidence_level(confidence)
    margins = _margins(chosen_rewards, rejected_rewards, "chosen_rewards", "rejected_rewards")
    n = len(margins)
    if not tie_band >= 0:
        raise DataError(f"tie_band must be 0 or larger, got {tie_band}")
    if n_bins < 1 or n_bootstrap < 1:
        raise DataError(f"n_bins and n_bootstrap must be at least 1, got {n_bins} and {n_bootstrap}")
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(chosen_rewards=margins, groups=codes)
    after = margins > tie_band
    aligned = int(after.sum())
    interval = wilson(n - aligned, n, confidence=confidence)
    resist = None if codes is None else _share_intervals([~after], codes, n_bootstrap, confidence, seed)[0]
    noise = None if label_noise is None else _noise_aware(1 - aligned / n, resist or interval, label_noise)
    base = AlignmentResistance(
        aligned / n,
        1 - aligned / n,
        interval,
        n,
        int((np.abs(margins) <= tie_band).sum()),
        tie_band,
        _by_margin(margins, after, n_bins, confidence),
        resist,
        noise,
    )
    if pre_chosen_rewards is None and pre_rejected_rewards is None:
        return base
    if pre_chosen_rewards is None or pre_rejected_rewards is None:
        raise DataError("pre_chosen_rewards and pre_rejected_rewards belong together; give both or neither")
    earlier = _margins(pre_chosen_rewards, pre_rejected_rewards, "pre_chosen_rewards", "pre_rejected_rewards")
    same_length(chosen_rewards=margins, pre_chosen_rewards=earlier)
    before = earlier > tie_band
    members = [before & after, ~before & after, ~before & ~after, before & ~after]
    clustered = [None] * 4 if codes is None else list(_share_intervals(members, codes, n_bootstrap, confidence, seed))
    counts = [int(each.sum()) for each in members]
    return replace(
        base,
        pre_alignment_score=float(before.mean()),
        n_pre_ties=int((np.abs(earlier) <= tie_band).sum()),
        regimes={
            name: Regime(k, k / n, wilson(k, n, confidence=confidence), around)
            for name, k, around in zip(REGIMES, counts, clustered, strict=True)
        },
        change=paired_test(before, after, codes, confidence),
    )


def aligned_pairs(chosen_rewards: ArrayLike, rejected_rewards: ArrayLike, *, tie_band: float = 0.0) -> Bools:
    """Which pairs a model is aligned on: the chosen response has the strictly higher reward.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.
        tie_band (`float`, defaults to 0.0): As for `alignment_resistance`.

    Returns:
        `ndarray` of shape (n,): delta_i.

    Raises:
        DataError: Lengths differ or a reward is not a finite number.
    """
    chosen, rejected = finite(chosen_rewards, "chosen_rewards"), finite(rejected_rewards, "rejected_rewards")
    same_length(chosen_rewards=chosen, rejected_rewards=rejected)
    if tie_band:
        return np.asarray(_margins(chosen, rejected, "chosen_rewards", "rejected_rewards") > tie_band, dtype=np.bool_)
    return chosen > rejected


def alignment_regimes(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    pre_chosen_rewards: ArrayLike,
    pre_rejected_rewards: ArrayLike,
    *,
    tie_band: float = 0.0,
) -> NDArray[np.str_]:
    """Name each pair's regime (Table 1): what training did to the model's agreement with the human choice.

    Args:
        chosen_rewards (array-like of shape (n,)): Post-training rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Post-training rewards of the rejected responses.
        pre_chosen_rewards (array-like of shape (n,)): Pre-training rewards of the chosen responses.
        pre_rejected_rewards (array-like of shape (n,)): Pre-training rewards of the rejected responses.
        tie_band (`float`, defaults to 0.0): As for `alignment_resistance`.

    Returns:
        `ndarray` of shape (n,): One of `REGIMES` for each pair.

    Raises:
        DataError: Lengths differ or a reward is not a finite number.
    """
    after = aligned_pairs(chosen_rewards, rejected_rewards, tie_band=tie_band)
    before = aligned_pairs(pre_chosen_rewards, pre_rejected_rewards, tie_band=tie_band)
    same_length(chosen_rewards=after, pre_chosen_rewards=before)
    return np.asarray(_BY_ALIGNMENT[before.astype(int), after.astype(int)], dtype=np.str_)


def _margins(chosen: ArrayLike, rejected: ArrayLike, chosen_name: str, rejected_name: str) -> Floats:
    a, b = finite(chosen, chosen_name), finite(rejected, rejected_name)
    same_length(**{chosen_name: a, rejected_name: b})
    # A difference may vanish or overflow where a comparison does not.
    with np.errstate(over="ignore"):
        margins = a - b
    lost = np.flatnonzero((margins == 0) & (a != b))
    margins[lost] = np.where(a[lost] > b[lost], 1.0, -1.0) * np.finfo(float).tiny
    return margins


def _share_intervals(
    members: Sequence[Bools], codes: Codes, n_bootstrap: int, confidence: float, seed: int
) -> list[Interval]:
    """Cluster-bootstrap intervals of the shares of pairs."""
    if codes.max() == 0:
        return [(math.nan, math.nan)] * len(members)
    columns = [np.bincount(codes, weights=each) for each in (*members, np.ones(len(codes)))]
    counts = np.asarray(np.column_stack(columns), dtype=np.float64)
    totals = bootstrap_totals(counts, n_bootstrap, seed)
    return [percentile_interval(totals[:, i] / totals[:, -1], confidence) for i in range(len(members))]


def _by_margin(margins: Floats, aligned: Bools, n_bins: int, confidence: float) -> tuple[MarginBin, ...]:
    sizes = np.abs(margins)
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, n_bins + 1)[1:]))
    bins = np.searchsorted(edges, sizes).astype(np.int32)
    n, wrong = np.bincount(bins), np.bincount(bins, weights=~aligned)
    found = []
    for i in np.flatnonzero(n):
        inside = sizes[bins == i]
        count, lost = int(n[i]), int(wrong[i])
        interval = wilson(lost, count, confidence=confidence)
        found.append(MarginBin(float(inside.min()), float(inside.max()), count, lost / count, interval))
    return tuple(found)


def _noise_aware(observed: float, interval: Interval, noise: float) -> NoiseAwareResistance:
    if not 0 <= noise < 0.5:
        raise DataError(f"label_noise is the share of human choices that are slips, from 0 to below 0.5; got {noise}")
    low, high = ((each - noise) / (1 - 2 * noise) for each in interval)
    resistance = (observed - noise) / (1 - 2 * noise)
    status = "ok"
    if not 0 <= resistance <= 1:
        status = "outside [0, 1]: the rate is wrong, or slips are not independent of the model's errors"
    return NoiseAwareResistance(resistance, (low, high), noise, status)


def paired_test(before: Bools, after: Bools, codes: Codes | None, confidence: float) -> PairedTest:
    """Test a change of alignment on the same pairs."""
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    change, error, interval = mean_interval(before.astype(float) - after.astype(float), codes, confidence)
    changed = lost + gained
    if codes is not None:
        test, freedom = "clustered by prompt", int(codes.max())
        p = float(two_sided_p(np.array([change / error]), freedom)[0]) if error > 0 else math.nan
    else:
        exact = changed < 25
        test = "McNemar, exact" if exact else "McNemar, chi-squared"
        p = float(mcnemar([[0, lost], [gained, 0]], exact=exact, correction=False).pvalue) if changed else math.nan
    return PairedTest(change, interval, lost, gained, p, test)


def _given(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if value is not None}

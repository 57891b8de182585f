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
from seal_datasets.estimate.clustered_share import clustered_mean
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    confidence_level,
    finite,
    group_codes,
    number,
    same_length,
    whole_number,
)
from seal_datasets.estimate.intervals import (
    Interval,
    share_interval,
    two_sided_p,
)
from seal_datasets.estimate.result import Result

REGIMES = ("stayed_aligned", "became_aligned", "stayed_misaligned", "reversed_alignment")
_BY_ALIGNMENT = np.array([["stayed_misaligned", "became_aligned"], ["reversed_alignment", "stayed_aligned"]])


@dataclass(frozen=True, slots=True)
class Regime(Result):
    """Pairs in one regime.

    Attributes:
        count (`int`): Number of pairs.
        share (`float`): Share of all pairs.
        confidence_interval (`tuple[float, float]`): Wilson's, clustered where prompts were given.
    """

    count: int
    share: float
    confidence_interval: Interval


@dataclass(frozen=True, slots=True)
class MarginBin(Result):
    """Resistance over the pairs of one bin of the margin's size.

    Attributes:
        low (`float`): Smallest |r(chosen) - r(rejected)| in the bin.
        high (`float`): Largest in the bin.
        n (`int`): Pairs in the bin.
        resistance (`float`): Share of these pairs that the model is not aligned on.
        confidence_interval (`tuple[float, float]`): Wilson's, clustered where prompts were given.
    """

    low: float
    high: float
    n: int
    resistance: float
    confidence_interval: Interval


@dataclass(frozen=True, slots=True)
class PairedTest(Result):
    """Test that two models are aligned equally often on the same pairs.

    Attributes:
        change (`float`): Resistance of the later model minus that of the earlier.
        confidence_interval (`tuple[float, float]`): Interval of the change, clustered where prompts were given.
        n_lost (`int`): Pairs that only the earlier model is aligned on.
        n_gained (`int`): Pairs that only the later model is aligned on.
        p_value (`float`): Two-sided; nan where no pair changed.
        test (`str`): `clustered by prompt` where prompts were given. Otherwise `McNemar, exact` below 25 changed pairs, and
            `McNemar, chi-squared` from 25 on.
    """

    change: float
    confidence_interval: Interval
    n_lost: int
    n_gained: int
    p_value: float
    test: str


@dataclass(frozen=True, slots=True)
class NoiseAwareResistance(Result):
    """Resistance corrected for annotation errors in the recorded choices, whose rate e is assumed.

    Attributes:
        resistance (`float`): (observed - e) / (1 - 2 e). A value outside [0, 1] contradicts the rate e, or its
            independence of the model's errors.
        confidence_interval (`tuple[float, float]`): The observed interval, transformed; e is treated as known.
        label_noise (`float`): The rate e.
        status (`str`): `ok`, `too_few_clusters` (no interval), or the contradiction.
    """

    resistance: float
    confidence_interval: Interval
    label_noise: float
    status: str


@dataclass(frozen=True, slots=True)
class AlignmentResistance(Result):
    """How often a reward model prefers the response that humans chose, and how often it does not.

    Attributes:
        alignment_score (`float`): Share of pairs whose chosen response has the strictly higher reward.
        alignment_resistance (`float`): 1 - `alignment_score`.
        confidence_interval (`tuple[float, float]`): Wilson's interval of the resistance, at the effective number of pairs
            where prompts were given, see `clustered_wilson`.
        n_pairs (`int`): Number of pairs.
        n_ties (`int`): Pairs with rewards within `tie_band`; they count as not aligned.
        tie_band (`float`): Largest difference that is a tie.
        margins (`tuple[MarginBin, ...]`): Resistance by size of the margin.
        noise_aware (`NoiseAwareResistance`, *optional*): Resistance corrected for `label_noise`.
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
    noise_aware: NoiseAwareResistance | None = None
    pre_alignment_score: float | None = None
    n_pre_ties: int | None = None
    regimes: dict[str, Regime] | None = None
    change: PairedTest | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; values that need optional inputs are included only if these were given."""
        return {name: value for name, value in Result.to_dict(self).items() if value is not None}


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
    confidence: float = 0.95,
) -> AlignmentResistance:
    """Measure the share of pairs on which a reward model does not match human preferences.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.
        pre_chosen_rewards (array-like of shape (n,), *optional*): The same under the pre-training model.
        pre_rejected_rewards (array-like of shape (n,), *optional*): The same under the pre-training model.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster intervals and tests by.
        tie_band (`float`, defaults to 0.0): Rewards at most this far apart are a tie, which is not aligned. Useful where
            scores vary with batch size or precision.
        label_noise (`float`, *optional*): Assumed share of annotation errors in the human choices, e.g. from annotators'
            disagreement, to correct resistance for.
        n_bins (`int`, defaults to 10): Bins of the margin's size, with about equal numbers of pairs.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `AlignmentResistance`: Scores with intervals; with pre-training rewards also the regimes and a test of the change.

    Raises:
        DataError: Lengths differ, a reward is not a finite number, one pre-training argument comes without the other, or an
            option is out of range.

    Source: SEAL, section 2.2: delta_i = 1 where r(chosen) > r(rejected), strictly; a_- = 1 - mean(delta). McNemar (1947);
    Rogan and Gladen (1978) for the correction for label noise.

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
    number(tie_band, "tie_band", least=0)
    whole_number(n_bins, "n_bins", least=1)
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(chosen_rewards=margins, groups=codes)
    after = margins > tie_band
    aligned = int(after.sum())
    interval = share_interval(~after, codes, confidence)
    noise_aware = None if label_noise is None else _noise_aware(1 - aligned / n, interval, label_noise)
    result = AlignmentResistance(
        alignment_score=aligned / n,
        alignment_resistance=1 - aligned / n,
        confidence_interval=interval,
        n_pairs=n,
        n_ties=int((np.abs(margins) <= tie_band).sum()),
        tie_band=tie_band,
        margins=_by_margin(margins, after, codes, n_bins, confidence),
        noise_aware=noise_aware,
    )
    if pre_chosen_rewards is None and pre_rejected_rewards is None:
        return result
    if pre_chosen_rewards is None or pre_rejected_rewards is None:
        raise DataError("pre_chosen_rewards and pre_rejected_rewards belong together; give both or neither")
    earlier = _margins(pre_chosen_rewards, pre_rejected_rewards, "pre_chosen_rewards", "pre_rejected_rewards")
    same_length(chosen_rewards=margins, pre_chosen_rewards=earlier)
    before = earlier > tie_band
    members = [before & after, ~before & after, ~before & ~after, before & ~after]
    return replace(
        result,
        pre_alignment_score=float(before.mean()),
        n_pre_ties=int((np.abs(earlier) <= tie_band).sum()),
        regimes={
            name: Regime(int(rows.sum()), float(rows.mean()), share_interval(rows, codes, confidence))
            for name, rows in zip(REGIMES, members, strict=True)
        },
        change=paired_test(before, after, codes, confidence),
    )


def aligned_pairs(chosen_rewards: ArrayLike, rejected_rewards: ArrayLike, *, tie_band: float = 0.0) -> Bools:
    """Pairs that a model is aligned on: the chosen response has the strictly higher reward.

    Args:
        chosen_rewards (array-like of shape (n,)): Rewards of the chosen responses.
        rejected_rewards (array-like of shape (n,)): Rewards of the rejected responses.
        tie_band (`float`, defaults to 0.0): As for `alignment_resistance`.

    Returns:
        `ndarray` of shape (n,): delta_i.

    Raises:
        DataError: Lengths differ or a reward is not a finite number.
    """
    number(tie_band, "tie_band", least=0)
    return _margins(chosen_rewards, rejected_rewards, "chosen_rewards", "rejected_rewards") > tie_band


def alignment_regimes(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    pre_chosen_rewards: ArrayLike,
    pre_rejected_rewards: ArrayLike,
    *,
    tie_band: float = 0.0,
) -> NDArray[np.str_]:
    """Name each pair's regime (Table 1) by the model's agreement with the human choice before and after training.

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
    before = _margins(pre_chosen_rewards, pre_rejected_rewards, "pre_chosen_rewards", "pre_rejected_rewards") > tie_band
    same_length(chosen_rewards=after, pre_chosen_rewards=before)
    return np.asarray(_BY_ALIGNMENT[before.astype(int), after.astype(int)], dtype=np.str_)


def _margins(chosen: ArrayLike, rejected: ArrayLike, chosen_name: str, rejected_name: str) -> Floats:
    a, b = finite(chosen, chosen_name), finite(rejected, rejected_name)
    same_length(**{chosen_name: a, rejected_name: b})
    # A difference may underflow or overflow where a comparison does not.
    with np.errstate(over="ignore"):
        margins = a - b
    underflow = np.flatnonzero((margins == 0) & (a != b))
    margins[underflow] = np.where(a[underflow] > b[underflow], 1.0, -1.0) * np.finfo(float).tiny
    return margins


def _by_margin(
    margins: Floats, aligned: Bools, codes: Codes | None, n_bins: int, confidence: float
) -> tuple[MarginBin, ...]:
    sizes = np.abs(margins)
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, n_bins + 1)[1:]))
    bins = np.searchsorted(edges, sizes).astype(np.int32)
    rows = []
    for i in np.unique(bins):
        inside = bins == i
        misaligned = ~aligned[inside]
        interval = share_interval(misaligned, None if codes is None else codes[inside], confidence)
        low, high = float(sizes[inside].min()), float(sizes[inside].max())
        rows.append(MarginBin(low, high, len(misaligned), float(misaligned.mean()), interval))
    return tuple(rows)


def _noise_aware(observed: float, interval: Interval, noise: float) -> NoiseAwareResistance:
    if not 0 <= number(noise, "label_noise") < 0.5:
        raise DataError(
            f"label_noise is the share of annotation errors in the human choices, from 0 to below 0.5; got {noise}"
        )
    low, high = ((bound - noise) / (1 - 2 * noise) for bound in interval)
    resistance = (observed - noise) / (1 - 2 * noise)
    status = "too_few_clusters" if math.isnan(low) else "ok"
    if not 0 <= resistance <= 1:
        status = "outside [0, 1]: the rate is wrong, or slips are not independent of the model's errors"
    return NoiseAwareResistance(resistance, (low, high), noise, status)


def paired_test(before: Bools, after: Bools, codes: Codes | None, confidence: float) -> PairedTest:
    """Test a change of alignment on the same pairs, by McNemar or clustered by prompt."""
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    change = clustered_mean(before.astype(float) - after.astype(float), codes, confidence)
    changed = lost + gained
    if codes is not None:
        test = "clustered by prompt"
        p = float(two_sided_p(np.array([change.value / change.std_error]), change.freedom)[0])
    else:
        exact = changed < 25
        test = "McNemar, exact" if exact else "McNemar, chi-squared"
        p = float(mcnemar([[0, lost], [gained, 0]], exact=exact, correction=False).pvalue) if changed else math.nan
    return PairedTest(change.value, change.interval, lost, gained, p, test)

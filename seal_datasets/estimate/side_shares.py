"""How often a feature is on the chosen side, on pairs whose responses differ in it (SEAL, Discussion)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal_datasets.estimate.clustered_share import clustered_share
from seal_datasets.estimate.inputs import Floats
from seal_datasets.estimate.intervals import Interval, two_sided_p
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class SideShare(Result):
    """How often the chosen response has more of a feature.

    Attributes:
        feature (`str`): Name.
        share_chosen (`float`): Share of the pairs that differ whose chosen response has more; nan without such pairs.
        confidence_interval (`tuple[float, float]`): Wilson's, clustered by prompt.
        n_discordant (`int`): Pairs whose responses differ in the feature.
        n_pairs (`int`): Pairs with a value on both sides.
        p_value (`float`): Two-sided, of a share of one half, by t with Satterthwaite's degrees of freedom.
        status (`str`): `ok`, or the reason for a missing test: `no_discordant`; `too_few_discordant`; `too_few_clusters`;
            `no_residual_variation` (all of these pairs have more on the same side).
    """

    feature: str
    share_chosen: float
    confidence_interval: Interval
    n_discordant: int
    n_pairs: int
    p_value: float
    status: str


def side_shares(
    differences: Floats,
    names: Sequence[str],
    clusters: NDArray[Any],
    *,
    min_discordant: int,
    confidence: float = 0.95,
) -> tuple[SideShare, ...]:
    """Compute how often each feature is on the chosen side.

    Args:
        differences (`ndarray` of shape (n, k)): Features of the chosen less those of the rejected responses; nan where a
            label is missing.
        names (`Sequence[str]`): The k names.
        clusters (`ndarray` of shape (n,)): Prompt of each pair.
        min_discordant (`int`): Pairs that differ needed for a test.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `tuple[SideShare, ...]`: One for each feature.

    Source: SEAL, Discussion, calls for balanced spoilers.

    Example:

    ```python
    >>> row = side_shares(np.array([[1.0], [1.0], [-1.0], [0.0]]), ["long"], np.arange(4), min_discordant=2)[0]
    >>> round(row.share_chosen, 3), row.n_discordant, row.n_pairs, row.status
    (0.667, 3, 4, 'ok')

    ```
    """
    return tuple(
        _share(name, column, clusters, min_discordant, confidence)
        for name, column in zip(names, differences.T, strict=True)
    )


def _share(name: str, column: Floats, clusters: NDArray[Any], least: int, confidence: float) -> SideShare:
    differ = ~np.isnan(column) & (column != 0)
    n, n_pairs = int(differ.sum()), int((~np.isnan(column)).sum())
    share = clustered_share((column[differ] > 0).astype(np.float64), clusters[differ], confidence)
    p_value = float(two_sided_p(np.array([(share.value - 0.5) / share.std_error]), share.freedom)[0])
    reasons = {
        "no_discordant": n == 0,
        "too_few_discordant": n < least,
        "too_few_clusters": len(np.unique(clusters[differ])) < 2,
        "no_residual_variation": math.isnan(p_value),
    }
    status = next((reason for reason, holds in reasons.items() if holds), "ok")
    tested = p_value if status == "ok" else math.nan
    return SideShare(name, share.value, share.interval, n, n_pairs, tested, status)

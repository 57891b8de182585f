"""Whether each pair is ranked as humans chose, by a reward or by one feature; ties count half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.estimate.choice_probability import margins
from seal_datasets.estimate.inputs import Codes, Floats, group_codes, matrix, number, same_length, unique_names


@dataclass(frozen=True, slots=True)
class RankedPairs:
    """Pairs with the model's ranking and differences of features.

    Attributes:
        names (`tuple[str, ...]`): The k features.
        margins (`ndarray` of shape (n,)): Chosen minus rejected reward; 0 for a tie.
        correct (`ndarray` of shape (n,)): 1 where the model ranks the pair as humans chose, 0.5 for a tie, else 0.
        differences (`ndarray` of shape (n, k)): Chosen minus rejected features.
        clusters (`ndarray` of shape (n,)): Cluster codes from 0.
    """

    names: tuple[str, ...]
    margins: Floats
    correct: Floats
    differences: Floats
    clusters: Codes


def ranked_pairs(
    rewards: tuple[ArrayLike, ArrayLike],
    features: tuple[ArrayLike, ArrayLike],
    feature_names: Sequence[str],
    groups: Sequence[Any] | NDArray[Any] | None,
    tie_band: float,
) -> RankedPairs:
    """Check the rewards and features of both sides and rank each pair.

    Args:
        rewards (`tuple` of array-likes of shape (n,)): Of the chosen and the rejected responses.
        features (`tuple` of array-likes of shape (n, k)): Of the chosen and the rejected responses.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Clusters; each pair is its own when omitted.
        tie_band (`float`): Rewards that differ by at most this are a tie.

    Returns:
        `RankedPairs`: The pairs.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, or `tie_band` is not 0 or larger.
    """
    number(tie_band, "tie_band", least=0)
    margin, names = margins(*rewards), unique_names(feature_names)
    n, k = len(margin), len(names)
    chosen, rejected = (
        matrix(values, f"{side}_features", n, k) for side, values in zip(("chosen", "rejected"), features, strict=True)
    )
    clusters: Codes = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(chosen_rewards=margin, groups=clusters)
    margin = np.where(np.abs(margin) <= tie_band, 0.0, margin)
    return RankedPairs(names, margin, ranking(margin), chosen - rejected, clusters)


def ranking(differences: Floats) -> Floats:
    """1 for a positive difference, 0.5 for none, 0 for a negative one."""
    return np.asarray((np.sign(differences) + 1) / 2, dtype=np.float64)

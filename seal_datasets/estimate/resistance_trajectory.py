"""Alignment resistance over checkpoints, with tests of change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from statsmodels.stats.contingency_tables import cochrans_q

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import Bools, Codes, finite, group_codes, number, same_length
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.resistance import AlignmentResistance, PairedTest, alignment_resistance, paired_test
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class ResistanceTrajectory(Result):
    """Resistance of several models or checkpoints on the same pairs.

    Attributes:
        models (`dict[str, AlignmentResistance]`): By model, in the order given.
        changes (`dict[str, PairedTest]`): `later - earlier` for neighbours; for more than two models also last minus first.
        p_adjusted (`dict[str, float]`): p-values of the changes, adjusted for all of them.
        any_change_p_value (`float`): p-value that all models are aligned equally often: Cochran's Q, or Hotelling's T-squared
            over prompts where they were given; nan where it is undefined.
        adjust (`str`): How p-values are adjusted.
        family (`str`): Which tests these are.
    """

    models: dict[str, AlignmentResistance]
    changes: dict[str, PairedTest]
    p_adjusted: dict[str, float]
    any_change_p_value: float
    adjust: str
    family: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return Result.to_dict(self) | {"models": {name: model.to_dict() for name, model in self.models.items()}}


def resistance_trajectory(
    margins: Mapping[str, ArrayLike],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    tie_band: float = 0.0,
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
) -> ResistanceTrajectory:
    """Measure the resistance of several models or checkpoints on the same pairs, with tests of change.

    Args:
        margins (`Mapping[str, array-like of shape (n,)]`): r(chosen) - r(rejected) by model, in the order of training.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by.
        tie_band (`float`, defaults to 0.0): As for `alignment_resistance`.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted over the changes.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `ResistanceTrajectory`: Resistance by model, and the changes.

    Raises:
        DataError: Lengths differ, a margin is not a finite number, or there are fewer than two models.

    Source: McNemar (1947); Cochran (1950); Hotelling (1931).

    Example:

    ```python
    >>> result = resistance_trajectory({"step 0": [1.0, -1.0, -1.0, -2.0], "step 100": [1.0, 2.0, 1.0, -1.0]})
    >>> result.changes["step 100 - step 0"].change, result.changes["step 100 - step 0"].n_gained
    (-0.5, 2)

    ```
    """
    if not isinstance(margins, Mapping):
        raise DataError(f"margins is a {type(margins).__name__}; give a mapping of models' names to their margins")
    if len(margins) < 2:
        raise DataError(f"margins holds {len(margins)} model(s); name at least two, such as pre and post")
    number(tie_band, "tie_band", least=0)
    arrays = {name: finite(values, f"margins[{name!r}]") for name, values in margins.items()}
    n = same_length(**arrays)
    models = {
        name: alignment_resistance(values, np.zeros(n), groups=groups, tie_band=tie_band, confidence=confidence)
        for name, values in arrays.items()
    }
    codes = None if groups is None else group_codes(groups, "groups")
    aligned = {name: values > tie_band for name, values in arrays.items()}
    names = list(arrays)
    steps = list(pairwise(names)) + ([(names[0], names[-1])] if len(names) > 2 else [])
    changes = {f"{b} - {a}": paired_test(aligned[a], aligned[b], codes, confidence) for a, b in steps}
    adjusted = adjust_p(np.array([change.p_value for change in changes.values()]), adjust)
    return ResistanceTrajectory(
        models,
        changes,
        dict(zip(changes, adjusted.tolist(), strict=True)),
        _any_change_p_value(np.column_stack(list(aligned.values())), codes),
        adjust,
        f"the {int((~np.isnan(adjusted)).sum())} change(s) between models",
    )


def _any_change_p_value(aligned: Bools, codes: Codes | None) -> float:
    """p-value of equal alignment in all models; nan where every pair has the same alignment in all."""
    if (aligned == aligned[:, :1]).all():
        return math.nan
    if codes is None:
        return float(cochrans_q(aligned.astype(int)).pvalue)
    # Models that agree on every pair give no contrast: T-squared is taken over the ranks that are there.
    steps = np.diff(aligned.astype(float), axis=1)
    means, n_prompts = steps.mean(axis=0), int(codes.max()) + 1
    sums = np.column_stack([np.bincount(codes, weights=step) for step in (steps - means).T])
    covariance = sums.T @ sums * n_prompts / (n_prompts - 1) / len(steps) ** 2 if n_prompts > 1 else np.zeros((1, 1))
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    if not 0 < rank < n_prompts:
        return math.nan
    statistic = float(means @ np.linalg.pinv(covariance, hermitian=True) @ means)
    # Hotelling's T-squared is F after this scale, exactly where the prompts' sums are normal.
    scaled = statistic * (n_prompts - rank) / (rank * (n_prompts - 1))
    return float(special.fdtrc(rank, n_prompts - rank, scaled))

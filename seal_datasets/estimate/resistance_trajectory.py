"""Alignment resistance over checkpoints, with tests of change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from statsmodels.stats.contingency_tables import cochrans_q

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    finite,
    group_codes,
    number,
    position_of,
    same_length,
    unique_names,
)
from seal_datasets.estimate.linear import PERFECT
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.resistance import AlignmentResistance, PairedTest, alignment_resistance, paired_test
from seal_datasets.estimate.result import Result
from seal_datasets.estimate.within_prompt import change_pairs

# A change of this size without variance between prompts leaves the joint test undefined.
_OUTSIDE = 1e-9


@dataclass(frozen=True, slots=True)
class ResistanceTrajectory(Result):
    """Resistance of several models or checkpoints on the same pairs.

    Attributes:
        models (`dict[str, AlignmentResistance]`): By model, in the order given.
        changes (`dict[str, PairedTest]`): `later - earlier` for neighbours; for more than two models also last minus first;
            with a baseline, also every other model against it.
        p_adjusted (`dict[str, float]`): p-values of the changes, adjusted for all of them.
        any_change_p_value (`float`): p-value that all models are aligned equally often: Cochran's Q, or Hotelling's T-squared
            over prompts where they were given; nan where it is undefined, as where a change is the same in every
            prompt, or with as few prompts as models.
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
    baseline: str | None = None,
    tie_band: float = 0.0,
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
) -> ResistanceTrajectory:
    """Measure the resistance of several models or checkpoints on the same pairs, with tests of change.

    Args:
        margins (`Mapping[str, array-like of shape (n,)]`): r(chosen) - r(rejected) by model, in the order of training.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by.
        baseline (`str`, *optional*): Model that every other one is compared with.
        tie_band (`float`, defaults to 0.0): As for `alignment_resistance`.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted over the changes.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `ResistanceTrajectory`: Resistance by model, and the changes; a single model has none.

    Raises:
        DataError: Lengths differ, a margin is not a finite number, there is no model, or the baseline is none of them.

    Source: McNemar (1947); Cochran (1950); Hotelling (1931).

    Example:

    ```python
    >>> result = resistance_trajectory({"step 0": [1.0, -1.0, -1.0, -2.0], "step 100": [1.0, 2.0, 1.0, -1.0]})
    >>> result.changes["step 100 - step 0"].change, result.changes["step 100 - step 0"].n_gained
    (-0.5, 2)

    ```
    """
    names = list(margins) if isinstance(margins, Mapping) else []
    pairs = change_pairs(len(names), position_of(baseline, names)) if names else []
    compared = compare_resistance(margins, pairs, groups, tie_band, confidence)
    adjusted = adjust_p(np.array([change.p_value for change in compared.changes.values()]), adjust)
    return ResistanceTrajectory(
        compared.models,
        compared.changes,
        dict(zip(compared.changes, adjusted.tolist(), strict=True)),
        _any_change_p_value(compared.aligned, compared.codes),
        adjust,
        f"the {int((~np.isnan(adjusted)).sum())} change(s) between models",
    )


class ComparedResistance(NamedTuple):
    """Resistance of several models, and tests of the differences between some of them.

    Attributes:
        models (`dict[str, AlignmentResistance]`): By model.
        changes (`dict[str, PairedTest]`): `later - earlier`, for the pairs that were asked for.
        aligned (`ndarray` of shape (n, m)): Whether each model is aligned on each pair.
        codes (`ndarray` of shape (n,), *optional*): Prompts.
    """

    models: dict[str, AlignmentResistance]
    changes: dict[str, PairedTest]
    aligned: Bools
    codes: Codes | None


def compare_resistance(
    margins: Mapping[str, ArrayLike],
    pairs: Sequence[tuple[int, int]],
    groups: Sequence[Any] | NDArray[Any] | None,
    tie_band: float,
    confidence: float,
) -> ComparedResistance:
    """Measure the resistance of several models, and test the differences between some of them.

    Args:
        margins (`Mapping[str, array-like of shape (n,)]`): As for `resistance_trajectory`, like the arguments below.
        pairs (`Sequence[tuple[int, int]]`): Positions of the earlier and the later model of each difference.
        groups (sequence of shape (n,), *optional*): Prompt ids.
        tie_band (`float`): Largest margin that is a tie.
        confidence (`float`): Level of the intervals.

    Returns:
        `ComparedResistance`: Resistance by model, and the tests.

    Raises:
        DataError: Lengths differ, a margin is not a finite number, or there is no model.
    """
    if not isinstance(margins, Mapping):
        raise DataError(f"margins is a {type(margins).__name__}; give a mapping of models' names to their margins")
    if not margins:
        raise DataError("margins holds no model; name one or more, such as pre and post")
    number(tie_band, "tie_band", least=0)
    names = unique_names([str(name) for name in margins], "margins")
    columns = [finite(values, f"margins[{name!r}]") for name, values in margins.items()]
    arrays = dict(zip(names, columns, strict=True))
    codes = None if groups is None else group_codes(groups, "groups")
    lengths = {f"margins[{name!r}]": values for name, values in arrays.items()}
    n = same_length(**lengths, **({} if codes is None else {"groups": codes}))
    aligned = np.column_stack([values > tie_band for values in arrays.values()])
    models = {
        name: alignment_resistance(values, np.zeros(n), groups=codes, tie_band=tie_band, confidence=confidence)
        for name, values in arrays.items()
    }
    changes = {
        f"{names[b]} - {names[a]}": paired_test(aligned[:, a], aligned[:, b], codes, confidence) for a, b in pairs
    }
    return ComparedResistance(models, changes, aligned, codes)


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
    # Changes that are the same in every prompt leave rounding, which is no variance.
    sums = np.where(np.abs(sums) > PERFECT * np.bincount(codes)[:, None], sums, 0.0)
    covariance = sums.T @ sums * n_prompts / (n_prompts - 1) / len(steps) ** 2 if n_prompts > 1 else np.zeros((1, 1))
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    if not 0 < rank < n_prompts:
        return math.nan
    inverse = np.linalg.pinv(covariance, hermitian=True)
    if np.abs(means - covariance @ inverse @ means).max() > _OUTSIDE:
        return math.nan
    statistic = float(means @ inverse @ means)
    # Hotelling's T-squared is F after this scale, exactly where the prompts' sums are normal.
    scaled = statistic * (n_prompts - rank) / (rank * (n_prompts - 1))
    return float(special.fdtrc(rank, n_prompts - rank, scaled))

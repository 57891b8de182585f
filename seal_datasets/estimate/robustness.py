"""Alignment robustness (SEAL, Eq. 4): loss of alignment when rewriting changes a text's style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.binary_regression import BinaryRow, BinarySettings, Estimator, binary_regression
from seal_datasets.estimate.inputs import (
    group_codes,
    indicator,
    matrix,
    one_of,
    same_length,
    unique_names,
    whole_number,
)
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.result import Result

Among = Literal["all", "aligned"]


@dataclass(frozen=True, slots=True)
class RobustnessScore(BinaryRow):
    """Robustness score of one feature, side and direction of flip; the other fields are as in `BinaryRow`.

    Attributes:
        feature (`str`): Name.
        side (`str`): `chosen` or `rejected`.
        direction (`str`): `+` where rewriting lowered the feature (original - rewritten > 0), `-` where it raised it.
        n_flips (`int`): Pairs with this flip.
    """

    feature: str
    side: str
    direction: str
    n_flips: int


@dataclass(frozen=True, slots=True)
class AlignmentRobustness(Result):
    """How far alignment holds under rewriting.

    Attributes:
        scores (`tuple[RobustnessScore, ...]`): Log-odds of misalignment by rewriting, per feature, side and direction.
        among (`str`): `all` where the outcome is joint, aligned before and not after, over all pairs; `aligned` where it is
            conditional, not aligned after, over pairs aligned before.
        alignment_before (`float`): Alignment score on the original texts, over all pairs but those left out.
        alignment_after (`float`): The same on the rewritten texts.
        n_pairs (`int`): Pairs in the scores.
        n_left_out (`int`): Pairs excluded because rewriting changed a target label.
        n_misaligned_by_rewriting (`int`): Pairs aligned before rewriting and not after it.
        n_separated (`int`): Pairs that separated flips predict perfectly.
        estimator (`str`): `logit`, `firth` or `linear_probability`.
        covariance (`str`): How errors are computed.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Number of adjusted tests.
        family (`str`): Tests that are adjusted together.
        status (`str`): `ok`, or `one_class`.
    """

    scores: tuple[RobustnessScore, ...]
    among: str
    alignment_before: float
    alignment_after: float
    n_pairs: int
    n_left_out: int
    n_misaligned_by_rewriting: int
    n_separated: int
    estimator: str
    covariance: str
    adjust: str
    family_size: int
    family: str
    status: str


def alignment_robustness(
    aligned: ArrayLike,
    rewritten_aligned: ArrayLike,
    chosen_flips: ArrayLike,
    rejected_flips: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    targets_changed: ArrayLike | None = None,
    among: Among = "all",
    estimator: Estimator = "logit",
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_flips: int = 2,
) -> AlignmentRobustness:
    """Estimate which feature changes by rewriting are associated with a loss of alignment.

    Eq. (4) is over all pairs: a pair loses alignment if it was aligned and no longer is. A flip that is merely commoner among
    aligned pairs then has a positive score. `among="aligned"` asks instead how a flip changes the odds that an aligned
    pair stays aligned.

    Args:
        aligned (array-like of shape (n,)): Whether the model is aligned on each original pair.
        rewritten_aligned (array-like of shape (n,)): The same on the rewritten pair.
        chosen_flips (array-like of shape (n, k)): Features of the chosen text, original minus rewritten; the sign counts.
        rejected_flips (array-like of shape (n, k)): The same for the rejected text.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by.
        targets_changed (array-like of shape (n,), *optional*): Whether rewriting changed a target label of the pair; such
            pairs are counted and excluded, as in the paper.
        among (`"all"` or `"aligned"`): Pairs of the regression. `all` is the paper's joint outcome; `aligned` conditions on
            having been aligned before rewriting.
        estimator (`"logit"`, `"firth"` or `"linear_probability"`): As for `misalignment_drivers`.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted within the regression.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_flips (`int`, defaults to 2): Fewest pairs with a flip, and without it, that give it numbers.

    Returns:
        `AlignmentRobustness`: Scores per feature, side and direction; a positive score means more misalignment.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, an outcome is not true or false, or a name is repeated. No
            pair is left, or none is aligned with `among="aligned"`.

    Source: SEAL, Eq. (4): the outcome is "aligned before rewriting and not after"; the baseline is "no flip".

    Example:

    ```python
    >>> aligned, after = [1] * 8, [0, 0, 0, 1, 0, 1, 1, 1]
    >>> fit = alignment_robustness(aligned, after, [[1]] * 4 + [[0]] * 4, [[0]] * 8, ["positive"])
    >>> row = fit.scores[0]
    >>> row.side, row.direction, row.n_flips, round(row.odds_ratio, 6)  # (3/1) / (1/3)
    ('chosen', '+', 4, 9.0)

    ```
    """
    one_of(among, "among", get_args(Among))
    names = unique_names(feature_names)
    before, after = indicator(aligned, "aligned"), indicator(rewritten_aligned, "rewritten_aligned")
    n = same_length(aligned=before, rewritten_aligned=after)
    flips = {
        "chosen": matrix(chosen_flips, "chosen_flips", n, len(names)),
        "rejected": matrix(rejected_flips, "rejected_flips", n, len(names)),
    }
    codes = None if groups is None else group_codes(groups, "groups")
    if codes is not None:
        same_length(aligned=before, groups=codes)
    kept = np.ones(n, dtype=bool)
    if targets_changed is not None:
        kept = ~indicator(targets_changed, "targets_changed")
        same_length(aligned=before, targets_changed=kept)
        if not kept.any():
            raise DataError(f"targets_changed is true for all {n} pairs; at least one unchanged pair is needed")
    alignments = float(before[kept].mean()), float(after[kept].mean())
    used = kept & before if among == "aligned" else kept
    if not used.any():
        raise DataError("aligned is false for every pair, so among='aligned' leaves no pair")
    flips = {side: values[used] for side, values in flips.items()}
    codes = None if codes is None else group_codes(codes[used], "groups")
    labels = [(name, side, direction) for side in flips for name in names for direction in ("+", "-")]
    columns = np.column_stack(
        [
            np.sign(flips[side][:, names.index(name)]) == (1 if direction == "+" else -1)
            for name, side, direction in labels
        ]
    ).astype(float)
    misaligned = (before & ~after)[used]
    fit = binary_regression(
        misaligned,
        (columns,),
        codes,
        BinarySettings(estimator, adjust, confidence, whole_number(min_flips, "min_flips")),
    )
    counts = columns.sum(axis=0).astype(int)
    return AlignmentRobustness(
        tuple(
            RobustnessScore(**fit.rows[i], feature=name, side=side, direction=direction, n_flips=int(counts[i]))
            for i, (name, side, direction) in enumerate(labels)
        ),
        among,
        *alignments,
        int(used.sum()),
        n - int(kept.sum()),
        int(misaligned.sum()),
        fit.n_separated,
        estimator,
        fit.covariance,
        adjust,
        fit.family_size,
        fit.family,
        fit.status,
    )

"""A share or a mean by group, with a clustered test that the groups differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from seal_datasets.estimate.bias_reduced import joint_freedom
from seal_datasets.estimate.clustered_share import clustered_mean, clustered_share
from seal_datasets.estimate.covariance import joint_test
from seal_datasets.estimate.inputs import Codes, Floats, confidence_level, finite, group_codes, same_length
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.least_squares import fit_linear
from seal_datasets.estimate.linear import PERFECT, first_rows, solve, triangle
from seal_datasets.estimate.raw_values import group_values
from seal_datasets.estimate.result import Result

FEWEST_CLUSTERS = 10
"""Least number of clusters of a group in the test: below it the test rejects too often where clusters are large."""

_CLUSTERS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class GroupMean(Result):
    """One group's share or mean.

    Attributes:
        group (`str`): The group.
        mean (`float`): Mean of its values.
        confidence_interval (`tuple[float, float]`): Wilson's for values from 0 to 1, otherwise by t; clustered. nan for fewer
            than two clusters.
        n (`int`): Values.
        n_clusters (`int`): Clusters with a value in the group.
        status (`str`): `ok`, or `too_few_clusters` (fewer than 10: the group is left out of the test).
    """

    group: str
    mean: float
    confidence_interval: Interval
    n: int
    n_clusters: int
    status: str


@dataclass(frozen=True, slots=True)
class GroupDifferences(Result):
    """Groups with a joint test that all have one mean.

    Attributes:
        groups (`tuple[GroupMean, ...]`): In order of first appearance.
        statistic (`float`): F of the test; nan without a test.
        degrees_of_freedom (`tuple[float, float]`): Of the numerator and the denominator.
        p_value (`float`): Of the hypothesis that all tested groups have one mean.
        test (`str`): `Rao-Scott` for values from 0 to 1, otherwise `AHT`.
        n_tested (`int`): Groups in the test.
        status (`str`): `ok`; `too_few_groups` (fewer than two have 10 clusters); `no_variation` (all values are equal);
            `too_few_clusters` (no denominator left).
    """

    groups: tuple[GroupMean, ...]
    statistic: float
    degrees_of_freedom: tuple[float, float]
    p_value: float
    test: str
    n_tested: int
    status: str


def group_differences(
    values: ArrayLike,
    by: Sequence[Any] | NDArray[Any],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> GroupDifferences:
    """Compute the mean of each group and test whether the means differ.

    Values from 0 to 1, such as whether a pair is correct, are tested by Pearson's chi-squared at the effective number of
    rows: its variance is that of equal shares, which a group without an error does not take to 0. Other values are tested
    by Hotelling's T squared on CR2 errors.

    Args:
        values (array-like of shape (n,)): Numbers, or truth values.
        by (sequence of shape (n,)): Group of each value, such as the subset of its pair.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by; each value is its own cluster when omitted.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `GroupDifferences`: Means with intervals, and the test.

    Raises:
        DataError: Lengths differ, or a value is not a finite number.

    Source: Rao and Scott (1981), mean design effect, here at least 1, with the denominator of `clustered_wilson`; Pustejovsky
    and Tipton (2018) for AHT. Levels are measured in `docs/validation.md`.

    Example:

    ```python
    >>> result = group_differences([1] * 30 + [0] * 10 + [1] * 10 + [0] * 30, ["math"] * 40 + ["chat"] * 40)
    >>> [(row.group, row.mean) for row in result.groups], result.p_value < 0.001
    ([('math', 0.75), ('chat', 0.25)], True)

    ```
    """
    confidence_level(confidence)
    numbers, codes = finite(values, "values"), group_codes(by, "by")
    clusters: Codes = np.arange(len(numbers)) if groups is None else group_codes(groups, "groups")
    same_length(values=numbers, by=codes, groups=clusters)
    n_groups = int(codes.max()) + 1
    names = group_values(by, "by")[first_rows(codes, n_groups)].tolist()
    is_share = bool((numbers >= 0).all() and (numbers <= 1).all())
    described = []
    for code, name in enumerate(names):
        rows = codes == code
        mean = (clustered_share if is_share else clustered_mean)(numbers[rows], clusters[rows], confidence)
        n_clusters = len(np.unique(clusters[rows]))
        status = "ok" if n_clusters >= FEWEST_CLUSTERS else "too_few_clusters"
        described.append(GroupMean(str(name), mean.value, mean.interval, mean.n, n_clusters, status))
    tested = np.array([row.status == "ok" for row in described])
    statistic, freedom, p_value, status = math.nan, (math.nan, math.nan), math.nan, "too_few_groups"
    if tested.sum() > 1:
        used = tested[codes]
        part = numbers[used], pd.factorize(codes[used])[0], pd.factorize(clusters[used])[0]
        status = "no_variation"
        if np.ptp(part[0]) > PERFECT * np.abs(part[0]).max():
            statistic, freedom, p_value = (_test_shares if is_share else compare_means)(*part)
            status = "too_few_clusters" if math.isnan(p_value) else "ok"
    return GroupDifferences(
        groups=tuple(described),
        statistic=statistic,
        degrees_of_freedom=freedom,
        p_value=p_value,
        test="Rao-Scott" if is_share else "AHT",
        n_tested=int(tested.sum()),
        status=status,
    )


def _test_shares(values: Floats, codes: Codes, clusters: Codes) -> tuple[float, tuple[float, float], float]:
    """Chi-squared of equal shares over the mean design effect, with its F reference."""
    n, n_clusters, sizes = len(values), int(clusters.max()) + 1, np.bincount(codes)
    residuals = values - values.mean()
    # Scores of all groups but the first, and their covariance if rows were independent and shares equal.
    expected = np.diag(sizes) - np.outer(sizes, sizes) / n
    root = np.linalg.cholesky((residuals**2).sum() / (n - 1) * expected[1:, 1:])
    scores = np.linalg.solve(root, np.bincount(codes, weights=residuals)[1:])
    sums = sparse.csr_matrix((residuals, (clusters, codes)), shape=(n_clusters, len(sizes)))
    centred = np.eye(len(sizes)) - np.outer(np.ones(len(sizes)), sizes / n)
    turn = np.linalg.solve(root, centred[:, 1:].T).T
    squares = np.concatenate(
        [
            ((sums[start : start + _CLUSTERS_AT_ONCE] @ turn) ** 2).sum(axis=1)
            for start in range(0, n_clusters, _CLUSTERS_AT_ONCE)
        ]
    )
    squares *= n_clusters / (n_clusters - 1)
    q = len(sizes) - 1
    total = float(squares.sum())
    statistic = float(scores @ scores) / q / max(total / q, 1.0)
    contributing = total**2 / float((squares**2).sum()) if total > 0 else float(n_clusters)
    freedom = min(float(n_clusters), 3 * contributing) - q
    if not freedom > 0:
        return math.nan, (float(q), math.nan), math.nan
    return statistic, (float(q), freedom), float(stats.f.sf(statistic, q, freedom))


def compare_means(values: Floats, codes: Codes, clusters: Codes) -> tuple[float, tuple[float, float], float]:
    """Compare means by Hotelling's T squared on CR2 errors: whether all groups have the mean of the first.

    Args:
        values (`ndarray` of shape (n,)): Numbers.
        codes (`ndarray` of shape (n,)): Group of each number, from 0.
        clusters (`ndarray` of shape (n,)): Cluster of each number, from 0; two or more.

    Returns:
        `tuple[float, tuple[float, float], float]`: F statistic, its degrees of freedom and p-value; nan where a difference has
        no variance.
    """
    others = np.arange(1, int(codes.max()) + 1)
    design = np.column_stack([np.ones(len(values)), codes[:, None] == others])
    fit = fit_linear(design, values, clusters)
    freedom = joint_freedom(design, clusters, solve(triangle(design, values), design.shape[1]), others)
    return joint_test(fit.coefficients[others], fit.covariance[np.ix_(others, others)], freedom, bias_reduced=True)

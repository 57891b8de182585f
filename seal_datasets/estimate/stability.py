"""Agreement between labelers, or between repetitions of one labeler, without gold labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import (
    Codes,
    Floats,
    confidence_level,
    group_codes,
    matrix,
    one_of,
    same_length,
    unique_names,
    whole_number,
)
from seal_datasets.estimate.intervals import Interval, bootstrap_totals, percentile_interval, share_interval
from seal_datasets.estimate.kappa_interval import beyond_chance, cohen_kappa, kappa_interval
from seal_datasets.estimate.result import Result

Level = Literal["nominal", "ordinal", "interval"]
_MOST_CLASSES = 50
_NO_INTERVAL = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class PairStability(Result):
    """Agreement of two labelers over the rows that both labelled.

    Attributes:
        labelers (`tuple[str, str]`): Their names.
        n (`int`): Rows with a label by both: the denominator.
        agreement (`float`): Share of equal labels.
        agreement_interval (`tuple[float, float]`): Wilson's, clustered by prompt.
        class_agreement (`dict[str, float]`): Specific agreement of each class, 2 n_cc / (n_c. + n_.c); nan for a class
            that neither labeler used.
        kappa (`float`): Cohen's kappa; nan where chance agreement is 1.
        kappa_interval (`tuple[float, float]`): Clustered by prompt, by Wilson's formula at the effective number of prompts; nan
            where fewer than eight prompts hold a label that is not the commonest.
        weighted_kappa (`float`): Kappa with quadratic weights; nan for nominal labels.
        ac1 (`float`): Gwet's AC1, which skewed prevalence affects less than kappa.
        ac1_interval (`tuple[float, float]`): Interval of AC1.
        prevalence_index (`float`): Share of rows that both label 1 minus share that both label 0; nan unless there are two
            classes. A value far from 0 explains a low kappa.
        bias_index (`float`): Difference of the labelers' shares of 1; nan unless there are two classes.
        status (`str`): `ok`; `too_few_prompts` (kappa and AC1 have no interval); or why kappa is undefined.
    """

    labelers: tuple[str, str]
    n: int
    agreement: float
    agreement_interval: Interval
    class_agreement: dict[str, float]
    kappa: float
    kappa_interval: Interval
    weighted_kappa: float
    ac1: float
    ac1_interval: Interval
    prevalence_index: float
    bias_index: float
    status: str


@dataclass(frozen=True, slots=True)
class LabelerStability(Result):
    """Agreement of several labelers on one feature.

    Attributes:
        pairs (`tuple[PairStability, ...]`): Agreement of each two labelers.
        alpha (`float`): Krippendorff's alpha over all labelers and rows with two labels or more; nan where all labels are
            the same.
        alpha_interval (`tuple[float, float]`): By cluster bootstrap over prompts; nan where a draw has no alpha.
        level (`str`): Level of measurement.
        classes (`tuple[float, ...]`): Distinct labels.
        n_rows (`int`): Number of rows.
        n_pairable (`int`): Rows with at least two labels.
        n_missing (`dict[str, int]`): Rows without a label, by labeler.
        n_prompts (`int`): Clusters of the bootstrap.
        status (`str`): `ok`, or why alpha is undefined.
    """

    pairs: tuple[PairStability, ...]
    alpha: float
    alpha_interval: Interval
    level: str
    classes: tuple[float, ...]
    n_rows: int
    n_pairable: int
    n_missing: dict[str, int]
    n_prompts: int
    status: str


def labeler_stability(
    labels: ArrayLike,
    labeler_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    level: Level = "nominal",
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> LabelerStability:
    """Measure how far labelers agree on the same rows; agreement does not imply accuracy.

    Args:
        labels (array-like of shape (n, r)): One feature's labels by r labelers, or by r repetitions of one; nan for a
            missing label.
        labeler_names (`Sequence[str]`): The r names.
        groups (sequence of shape (n,), *optional*): Prompt ids to resample by; rows are resampled when omitted.
        level (`"nominal"`, `"ordinal"` or `"interval"`): Whether labels have an order, or distances.
        n_bootstrap (`int`, defaults to 1000): Draws of the cluster bootstrap.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        seed (`int`, defaults to 0): Seed of the draws.

    Returns:
        `LabelerStability`: Statistics of each two labelers, and Krippendorff's alpha over all labelers.

    Raises:
        DataError: There is one labeler, a label is infinite, or there are more than 50 classes.

    Source: Cohen (1960, 1968); Byrt, Bishop and Carlin (1993); Gwet (2008); Krippendorff (2011). Feinstein and Cicchetti
    (1990) show why kappa alone misleads.

    Example:

    ```python
    >>> result = labeler_stability([[1, 1], [1, 0], [0, 0], [1, 1]], ["first", "second"])
    >>> pair = result.pairs[0]
    >>> pair.agreement, pair.kappa, round(pair.class_agreement["1"], 3)  # chance (3*2 + 1*2) / 16; 2*2 / (3 + 2)
    (0.75, 0.5, 0.8)

    ```
    """
    confidence_level(confidence)
    one_of(level, "level", get_args(Level))
    whole_number(n_bootstrap, "n_bootstrap", least=1)
    whole_number(seed, "seed")
    names = unique_names(labeler_names, "labeler_names")
    if len(names) < 2:
        raise DataError(f"labeler_names holds {names[0]} only; stability needs two labelers or more")
    if not isinstance(labels, Sized) or getattr(labels, "shape", None) == ():
        raise DataError("labels must be one row of labels per text, e.g. [[1, 1], [0, 1]]")
    n = len(labels)
    values = matrix(labels, "labels", n, len(names), allow_nan=True)
    known = ~np.isnan(values)
    codes = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(labels=values, groups=codes)
    classes = np.unique(values[known])
    if len(classes) > _MOST_CLASSES:
        raise DataError(f"labels hold {len(classes)} distinct values; agreement needs classes, at most {_MOST_CLASSES}")
    class_codes = np.where(known, np.searchsorted(classes, np.where(known, values, 0.0)), -1).astype(np.int64)
    bootstrap = _ClusterBootstrap(codes, n_bootstrap, confidence, seed)
    coincidences = _coincidences(class_codes, len(classes))
    alpha_of = partial(_alpha, classes=classes, level=level)
    alpha = float(alpha_of(coincidences.sum(axis=0)[None])[0])
    return LabelerStability(
        pairs=tuple(
            _compare_labelers(class_codes[:, [a, b]], (names[a], names[b]), classes, level, bootstrap)
            for a, b in combinations(range(len(names)), 2)
        ),
        alpha=alpha,
        alpha_interval=bootstrap.interval(coincidences, alpha_of) if not math.isnan(alpha) else _NO_INTERVAL,
        level=level,
        classes=tuple(classes.tolist()),
        n_rows=n,
        n_pairable=int((known.sum(axis=1) > 1).sum()),
        n_missing={name: int((~known[:, i]).sum()) for i, name in enumerate(names)},
        n_prompts=int(codes.max()) + 1,
        status="ok"
        if not math.isnan(alpha)
        else "no row has two labels, or all labels are the same: alpha is undefined",
    )


@dataclass(frozen=True, slots=True)
class _ClusterBootstrap:
    """Percentile intervals of statistics of counts, from resampled prompts."""

    codes: Codes
    n_draws: int
    confidence: float
    seed: int

    def interval(self, counts: Floats, statistic: Callable[[Floats], Floats]) -> Interval:
        """Interval of a statistic of the counts' totals; nan for fewer than two prompts with counts."""
        by_prompt = np.zeros((int(self.codes.max()) + 1, counts.shape[1]))
        np.add.at(by_prompt, self.codes, counts)
        by_prompt = by_prompt[by_prompt.any(axis=1)]
        if len(by_prompt) < 2:
            return _NO_INTERVAL
        return percentile_interval(statistic(bootstrap_totals(by_prompt, self.n_draws, self.seed)), self.confidence)


def _compare_labelers(
    class_codes: Codes, labelers: tuple[str, str], classes: Floats, level: Level, bootstrap: _ClusterBootstrap
) -> PairStability:
    """Agreement of two labelers, given each row's class by either, or -1."""
    k, nan = len(classes), math.nan
    both = (class_codes >= 0).all(axis=1)
    if not both.any():
        by_label = {_label_name(label): nan for label in classes}
        return PairStability(
            *(labelers, 0, nan, _NO_INTERVAL, by_label, nan, _NO_INTERVAL, nan, nan, _NO_INTERVAL, nan, nan),
            status="no row has both labels",
        )
    cells = class_codes[both, 0] * k + class_codes[both, 1]
    table = np.bincount(cells, minlength=k * k).astype(np.float64)
    square = table.reshape(k, k)
    n, rows, columns = float(table.sum()), square.sum(axis=1), square.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_class = 2 * square.diagonal() / (rows + columns)
    kappa, ac1 = (float(statistic(table[None], k)[0]) for statistic in (cohen_kappa, _ac1))
    weights = 1 - (classes[:, None] - classes[None, :]) ** 2 / max(float(np.ptp(classes)) ** 2, 1e-300)
    if level == "ordinal":
        ranks = np.arange(k)
        weights = 1 - (ranks[:, None] - ranks[None, :]) ** 2 / max((k - 1) ** 2, 1)
    weighted = float(cohen_kappa(table[None], k, weights)[0]) if level != "nominal" else math.nan
    binary, equal = k == 2, class_codes[both, 0] == class_codes[both, 1]
    intervals = [
        kappa_interval(cells, bootstrap.codes[both], partial(statistic, k=k), k, bootstrap.confidence)
        for statistic in (cohen_kappa, _ac1)
    ]
    status = "ok" if not math.isnan(intervals[0][0]) else "too_few_prompts"
    if math.isnan(kappa):
        status = "both give one and the same label throughout: kappa is undefined"
    return PairStability(
        labelers=labelers,
        n=int(n),
        agreement=float(square.trace() / n),
        agreement_interval=share_interval(equal, bootstrap.codes[both], bootstrap.confidence),
        class_agreement={_label_name(label): float(by_class[i]) for i, label in enumerate(classes)},
        kappa=kappa,
        kappa_interval=intervals[0],
        weighted_kappa=weighted,
        ac1=ac1,
        ac1_interval=intervals[1],
        prevalence_index=float((square[1, 1] - square[0, 0]) / n) if binary else nan,
        bias_index=float((rows[1] - columns[1]) / n) if binary else nan,
        status=status,
    )


def _label_name(label: float) -> str:
    return str(float(label)).removesuffix(".0")


def _ac1(tables: Floats, k: int) -> Floats:
    """Gwet's AC1 of each table, whose chance agreement uses the mean share of each class."""
    if k < 2:
        return np.full(len(tables), np.nan)
    shares = tables.reshape(-1, k, k) / tables.sum(axis=1)[:, None, None]
    mean = (shares.sum(axis=2) + shares.sum(axis=1)) / 2
    return beyond_chance(shares.trace(axis1=1, axis2=2), (mean * (1 - mean)).sum(axis=1) / (k - 1))


def _coincidences(class_codes: Codes, k: int) -> Floats:
    """Krippendorff's coincidences: each row's pairs of labels by different labelers, weighted by 1 / (labels - 1)."""
    counts = (class_codes[:, :, None] == np.arange(k)).sum(axis=1).astype(np.float64)
    total = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, np.arange(k), np.arange(k)] -= counts
    weight = np.where(total > 1, 1 / np.where(total > 1, total - 1, 1.0), 0.0)
    return np.asarray((pairs * weight[:, None, None]).reshape(len(class_codes), k * k))


def _alpha(sums: Floats, classes: Floats, level: Level) -> Floats:
    """Krippendorff's alpha of each sum of coincidences; nan where all labels are the same."""
    k = len(classes)
    tables = sums.reshape(len(sums), k, k)
    margins = tables.sum(axis=2)
    if level == "ordinal":
        # The distance of two classes counts the labels between them, and half of their own.
        cumulative = np.cumsum(margins, axis=1) - margins / 2
        distance = (cumulative[:, :, None] - cumulative[:, None, :]) ** 2
    else:
        gap = classes[:, None] - classes[None, :]
        distance = np.broadcast_to(gap**2 if level == "interval" else (gap != 0).astype(float), tables.shape)
    n = margins.sum(axis=1)
    observed = (tables * distance).sum(axis=(1, 2))
    expected = (margins[:, :, None] * margins[:, None, :] * distance).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * observed / expected, np.nan)

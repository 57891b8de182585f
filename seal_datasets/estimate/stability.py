"""How far labelers agree with each other, or one with itself: what a label is worth where nobody knows the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
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
    same_length,
    unique_names,
)
from seal_datasets.estimate.intervals import Interval, bootstrap_totals, percentile_interval
from seal_datasets.estimate.result import Result

Level = Literal["nominal", "ordinal", "interval"]
_MOST_CLASSES = 50


@dataclass(frozen=True, slots=True)
class PairStability(Result):
    """Agreement of two labelers over the rows that both labelled.

    Attributes:
        labelers (`tuple[str, str]`): Their names.
        n (`int`): Rows with a label by both: the denominator.
        agreement (`float`): Share of equal labels.
        agreement_interval (`tuple[float, float]`): By cluster bootstrap over prompts, like the other intervals.
        class_agreement (`dict[str, float]`): For each class, the share of its labels by either that the other one met:
            2 n_cc / (n_c. + n_.c); nan for a class that neither used.
        kappa (`float`): Cohen's: agreement beyond what the two margins give by chance; nan where chance is perfect.
        kappa_interval (`tuple[float, float]`): Interval of kappa.
        weighted_kappa (`float`): With quadratic weights; nan for nominal labels.
        ac1 (`float`): Gwet's, which does not collapse at skewed prevalence as kappa does.
        ac1_interval (`tuple[float, float]`): Interval of AC1.
        prevalence_index (`float`): Difference of the shares both call 1 and both call 0; far from 0 it explains a low kappa;
            nan unless there are two classes.
        bias_index (`float`): Difference of the labelers' shares of 1; nan unless there are two classes.
        status (`str`): `ok`, or why something is undefined.
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
        pairs (`tuple[PairStability, ...]`): Each two of them.
        alpha (`float`): Krippendorff's, over all labelers and rows with two labels or more; nan where all labels are the same.
        alpha_interval (`tuple[float, float]`): By cluster bootstrap over prompts.
        level (`str`): Level of measurement.
        classes (`tuple[float, ...]`): Labels that occur.
        n_rows (`int`): Rows.
        n_pairable (`int`): Rows with at least two labels.
        n_missing (`dict[str, int]`): Rows without a label, by labeler.
        n_prompts (`int`): Clusters that were drawn again.
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
    """Measure how far labelers agree on the same rows. Agreement is not accuracy: labelers can be wrong together.

    Args:
        labels (array-like of shape (n, r)): One feature's labels by r labelers, or by r repetitions of one; nan where a labeler
            gave none.
        labeler_names (`Sequence[str]`): The r names.
        groups (sequence of shape (n,), *optional*): Prompt ids, to draw again whole; each row by itself when omitted.
        level (`"nominal"`, `"ordinal"` or `"interval"`): Whether labels have an order, or distances.
        n_bootstrap (`int`, defaults to 1000): Draws of the cluster bootstrap.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        seed (`int`, defaults to 0): Of the draws.

    Returns:
        `LabelerStability`: Statistics of each two labelers, and Krippendorff's alpha of all.

    Raises:
        DataError: There is one labeler, a label is infinite, or there are more than 50 classes.

    Source: Cohen (1960, 1968); Byrt, Bishop and Carlin (1993); Gwet (2008); Krippendorff (2011); Feinstein and Cicchetti (1990)
    on why kappa alone misleads.

    Example:

    ```python
    >>> found = labeler_stability([[1, 1], [1, 0], [0, 0], [1, 1]], ["first", "second"])
    >>> pair = found.pairs[0]
    >>> pair.agreement, pair.kappa, round(pair.class_agreement["1"], 3)  # chance (3*2 + 1*2) / 16; 2*2 / (3 + 2)
    (0.75, 0.5, 0.8)

    ```
    """
    confidence_level(confidence)
    if level not in get_args(Level):
        raise DataError(f"level must be one of {list(get_args(Level))}, got {level!r}")
    names = unique_names(labeler_names, "labeler_names")
    if len(names) < 2:
        raise DataError(f"labeler_names holds {names[0]} only; stability needs two labelers or more")
    if not isinstance(labels, Sized):
        raise DataError("labels must be one row of labels per text, e.g. [[1, 1], [0, 1]]")
    n = len(labels)
    values = matrix(labels, "labels", n, len(names), allow_nan=True)
    known = ~np.isnan(values)
    codes = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(labels=values, groups=codes)
    classes = np.unique(values[known])
    if len(classes) > _MOST_CLASSES:
        raise DataError(f"labels hold {len(classes)} distinct values; agreement needs classes, at most {_MOST_CLASSES}")
    places = np.where(known, np.searchsorted(classes, np.where(known, values, 0.0)), -1).astype(np.int64)

    def around(counts: Floats, statistic: Callable[[Floats], Floats]) -> Interval:
        by_prompt = np.zeros((int(codes.max()) + 1, counts.shape[1]))
        np.add.at(by_prompt, codes, counts)
        by_prompt = by_prompt[by_prompt.any(axis=1)]
        if len(by_prompt) < 2:
            return math.nan, math.nan
        return percentile_interval(statistic(bootstrap_totals(by_prompt, n_bootstrap, seed)), confidence)

    pairs = tuple(
        _pair(places[:, [a, b]], (names[a], names[b]), classes, level, around)
        for a, b in combinations(range(len(names)), 2)
    )
    coincidences = _coincidences(places, len(classes))
    statistic = _Alpha(classes, level)
    alpha = float(statistic(coincidences.sum(axis=0)[None])[0])
    return LabelerStability(
        pairs,
        alpha,
        around(coincidences, statistic) if not math.isnan(alpha) else (math.nan, math.nan),
        level,
        tuple(classes.tolist()),
        n,
        int((known.sum(axis=1) > 1).sum()),
        {name: int((~known[:, i]).sum()) for i, name in enumerate(names)},
        int(codes.max()) + 1,
        "ok" if not math.isnan(alpha) else "no row has two labels, or all labels are the same: alpha is undefined",
    )


def _pair(
    places: Codes,
    labelers: tuple[str, str],
    classes: Floats,
    level: Level,
    around: Callable[[Floats, Callable[[Floats], Floats]], Interval],
) -> PairStability:
    k = len(classes)
    both = (places >= 0).all(axis=1)
    nothing = (math.nan, math.nan)
    if not both.any():
        none = {_named(each): math.nan for each in classes}
        nan = math.nan
        return PairStability(
            labelers, 0, nan, nothing, none, nan, nothing, nan, nan, nothing, nan, nan, "no row has both labels"
        )
    cells = np.zeros((len(places), k * k))
    cells[both, places[both, 0] * k + places[both, 1]] = 1.0
    table = cells.sum(axis=0)
    square = table.reshape(k, k)
    n, rows, columns = float(table.sum()), square.sum(axis=1), square.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_class = 2 * square.diagonal() / (rows + columns)
    kappa, ac1 = (float(each(table[None], k)[0]) for each in (_kappa, _ac1))
    weights = 1 - (classes[:, None] - classes[None, :]) ** 2 / max(float(np.ptp(classes)) ** 2, 1e-300)
    if level == "ordinal":
        ranks = np.arange(k)
        weights = 1 - (ranks[:, None] - ranks[None, :]) ** 2 / max((k - 1) ** 2, 1)
    weighted = float(_kappa(table[None], k, weights)[0]) if level != "nominal" else math.nan
    binary = k == 2
    return PairStability(
        labelers,
        int(n),
        float(square.trace() / n),
        around(cells, lambda tables: tables.reshape(-1, k, k).trace(axis1=1, axis2=2) / tables.sum(axis=1)),
        {_named(each): float(by_class[i]) for i, each in enumerate(classes)},
        kappa,
        around(cells, lambda tables: _kappa(tables, k)) if not math.isnan(kappa) else nothing,
        weighted,
        ac1,
        around(cells, lambda tables: _ac1(tables, k)) if not math.isnan(ac1) else nothing,
        float((square[1, 1] - square[0, 0]) / n) if binary else math.nan,
        float((rows[1] - columns[1]) / n) if binary else math.nan,
        "ok" if not math.isnan(kappa) else "both give one and the same label throughout: kappa is undefined",
    )


def _named(label: float) -> str:
    return f"{label:g}"


def _kappa(tables: Floats, k: int, weights: Floats | None = None) -> Floats:
    """Cohen's kappa of each table; where chance agreement is perfect nan."""
    shares = tables.reshape(-1, k, k) / tables.sum(axis=1)[:, None, None]
    weights = np.eye(k) if weights is None else weights
    chance = np.einsum("bi,bj,ij->b", shares.sum(axis=2), shares.sum(axis=1), weights)
    return _beyond(np.einsum("bij,ij->b", shares, weights), chance)


def _ac1(tables: Floats, k: int) -> Floats:
    """Gwet's AC1 of each table: chance from the mean share of each class."""
    if k < 2:
        return np.full(len(tables), np.nan)
    shares = tables.reshape(-1, k, k) / tables.sum(axis=1)[:, None, None]
    mean = (shares.sum(axis=2) + shares.sum(axis=1)) / 2
    return _beyond(shares.trace(axis1=1, axis2=2), (mean * (1 - mean)).sum(axis=1) / (k - 1))


def _beyond(agreement: Floats, chance: Floats) -> Floats:
    sure = chance > 1 - 1e-12
    return np.where(sure, np.nan, (agreement - chance) / np.where(sure, 1.0, 1 - chance))


def _coincidences(places: Codes, k: int) -> Floats:
    """Each row's pairs of labels by different labelers, each weighted by 1 / (labels - 1): Krippendorff's coincidences."""
    counts = np.stack([(places == each).sum(axis=1) for each in range(k)], axis=1).astype(np.float64)
    total = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, np.arange(k), np.arange(k)] -= counts
    weight = np.where(total > 1, 1 / np.where(total > 1, total - 1, 1.0), 0.0)
    return np.asarray((pairs * weight[:, None, None]).reshape(len(places), -1))


class _Alpha:
    """Krippendorff's alpha of sums of coincidences."""

    def __init__(self, classes: Floats, level: Level) -> None:
        self.classes, self.level = classes, level

    def __call__(self, sums: Floats) -> Floats:
        k = len(self.classes)
        tables = sums.reshape(-1, k, k)
        margins = tables.sum(axis=2)
        if self.level == "ordinal":
            # The distance of two classes counts the labels between them, half of their own included.
            upto = np.cumsum(margins, axis=1) - margins / 2
            distance = (upto[:, :, None] - upto[:, None, :]) ** 2
        else:
            gap = self.classes[:, None] - self.classes[None, :]
            distance = np.broadcast_to(gap**2 if self.level == "interval" else (gap != 0).astype(float), tables.shape)
        n = margins.sum(axis=1)
        seen = (tables * distance).sum(axis=(1, 2))
        expected = (margins[:, :, None] * margins[:, None, :] * distance).sum(axis=(1, 2))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(expected > 0, 1 - (n - 1) * seen / expected, np.nan)

"""What a labeler's probabilities are worth on texts with gold labels: how well they order, and how far they are off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import rankdata

from seal_datasets.errors import DataError
from seal_datasets.estimate.clustered_share import clustered_mean
from seal_datasets.estimate.inputs import Codes, Floats, confidence_level, finite, group_codes, matrix, same_length
from seal_datasets.estimate.intervals import Interval, critical_value
from seal_datasets.estimate.linear import PERFECT
from seal_datasets.estimate.result import Result

# Prompts with an answer off the commonest below which no interval holds, as for kappa.
_FEWEST_PROMPTS = 8


@dataclass(frozen=True, slots=True)
class ProbabilityWorth(Result):
    """How probabilities of one feature compare with gold labels of the same texts.

    Attributes:
        n (`int`): Texts.
        n_prompts (`int`): Their prompts.
        auc (`float`): Chance that, of two texts with different answers, the one with the higher answer has the higher expected
            answer; ties count half. 0.5 is chance.
        auc_interval (`tuple[float, float]`): Clustered by prompt, on the log-odds; nan with fewer than eight prompts off the
            commonest answer, or where all texts are in order.
        brier (`float`): Mean squared distance of the probabilities from the answers, from 0 to 1; lower is better.
        brier_interval (`tuple[float, float]`): Clustered by prompt (CR2).
        brier_of_shares (`float`): That of always giving the answers' shares as probabilities.
        status (`str`): `ok`; `one_answer`; or `too_few_prompts` (numbers without intervals).
    """

    n: int
    n_prompts: int
    auc: float
    auc_interval: Interval
    brier: float
    brier_interval: Interval
    brier_of_shares: float
    status: str


def probability_worth(
    probabilities: ArrayLike,
    gold: ArrayLike,
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> ProbabilityWorth:
    """Compare a labeler's probabilities of one feature with gold labels.

    Args:
        probabilities (array-like of shape (n,) or (n, k)): P(1) of yes/no answers, or one column for each of k answers in
            their order, which add up to 1.
        gold (array-like of shape (n,)): The gold answers of the same texts, as codes from 0 to k - 1.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster intervals by; each text is its own when omitted.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `ProbabilityWorth`: Area under the ROC curve (for more than two answers the concordance of expected answers) and Brier
        score.

    Raises:
        DataError: Lengths differ, a probability is not in [0, 1], or a gold label is no code of an answer.

    Source: DeLong et al. (1988) for the error of the area, Obuchowski (1997) for clusters; Brier (1950).

    Example:

    ```python
    >>> found = probability_worth([0.9, 0.4, 0.6, 0.2], [1, 1, 0, 0])  # three of four pairs are in order
    >>> found.auc, round(found.brier, 4), found.brier_of_shares
    (0.75, 0.1925, 0.25)

    ```
    """
    confidence_level(confidence)
    given, codes = _checked(probabilities, gold)
    n, k = given.shape
    clusters = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(gold=codes, groups=clusters)
    clusters = pd.factorize(clusters)[0]
    counts = np.bincount(codes, minlength=k)
    n_prompts = len(np.unique(clusters))
    squares = ((given - np.eye(k)[codes]) ** 2).sum(axis=1) / 2
    brier = clustered_mean(squares, clusters, confidence)
    of_shares = float(1 - ((counts / n) ** 2).sum()) / 2
    nothing = math.nan, math.nan
    if (counts > 0).sum() < 2:
        return ProbabilityWorth(n, n_prompts, math.nan, nothing, brier.value, brier.interval, of_shares, "one_answer")
    area, influence = _concordance(given @ np.arange(k), codes)
    informative = len(np.unique(clusters[codes != counts.argmax()]))
    enough = informative >= _FEWEST_PROMPTS
    interval = _interval(area, np.bincount(clusters, weights=influence), confidence) if enough else nothing
    return ProbabilityWorth(
        n,
        n_prompts,
        area,
        interval,
        brier.value,
        brier.interval if enough else nothing,
        of_shares,
        "ok" if enough else "too_few_prompts",
    )


def _checked(probabilities: ArrayLike, gold: ArrayLike) -> tuple[Floats, Codes]:
    """Probabilities of shape (n, k), and codes of answers."""
    truth = finite(gold, "gold")
    if width := _width(probabilities):
        given = matrix(probabilities, "probabilities", len(truth), width)
    else:
        yes = finite(probabilities, "probabilities")
        given = np.column_stack([1 - yes, yes])
    same_length(gold=truth, probabilities=given)
    if (outside := np.flatnonzero(((given < 0) | (given > 1)).any(axis=1))).size:
        raise DataError(f"probabilities[{outside[0]}] is not in [0, 1], got {given[outside[0]].tolist()}")
    if (uneven := np.flatnonzero(np.abs(given.sum(axis=1) - 1) > 1e-6)).size:
        raise DataError(f"probabilities[{uneven[0]}] add up to {given[uneven[0]].sum():g}; they must add up to 1")
    k = given.shape[1]
    if (other := np.flatnonzero((truth != np.round(truth)) | (truth < 0) | (truth >= k))).size:
        raise DataError(f"gold[{other[0]}] is {truth[other[0]]:g}; needed is a code of an answer, 0 to {k - 1}")
    return given, truth.astype(np.int64)


def _width(probabilities: ArrayLike) -> int:
    """Number of columns; 0 for one number per text."""
    rows: Any = probabilities
    if hasattr(rows, "shape"):
        return int(rows.shape[1]) if len(rows.shape) == 2 else 0
    first = rows[0] if isinstance(rows, (list, tuple)) and rows else None
    return len(first) if isinstance(first, (list, tuple, np.ndarray)) and np.ndim(first) == 1 else 0


def _concordance(scores: Floats, codes: Codes) -> tuple[float, Floats]:
    """Share of texts with different answers whose scores are in the answers' order, and each text's influence on it."""
    in_order, partners = np.zeros(len(codes)), np.zeros(len(codes))
    answers = np.unique(codes)
    for place, low in enumerate(answers):
        for high in answers[place + 1 :]:
            below, above = np.flatnonzero(codes == low), np.flatnonzero(codes == high)
            ranks = rankdata(np.concatenate([scores[below], scores[above]]))
            own = np.concatenate([rankdata(scores[below]), rankdata(scores[above])])
            beaten = ranks - own  # texts of the other answer below, ties half
            in_order[above] += beaten[len(below) :]
            in_order[below] += len(above) - beaten[: len(below)]
            partners[above] += len(below)
            partners[below] += len(above)
    share = float(in_order.sum() / partners.sum())
    return share, (in_order - share * partners) / (partners.sum() / 2)


def _interval(share: float, parts: NDArray[Any], confidence: float) -> Interval:
    """Interval of a share from clusters' influences, on the log-odds, by t with effective clusters less one."""
    squares = parts**2
    variance = float(squares.sum()) * len(parts) / max(len(parts) - 1, 1)
    if not 0 < share < 1 or variance <= PERFECT**2:
        return math.nan, math.nan
    freedom = max(float(squares.sum()) ** 2 / float((squares**2).sum()) - 1, 1.0)
    half = critical_value(confidence, freedom) * math.sqrt(variance) / (share * (1 - share))
    low, high = expit(logit(share) + np.array([-half, half])).tolist()
    return low, high

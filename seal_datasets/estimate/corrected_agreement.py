"""Agreement of a labeler with people's choices, corrected by gold labels to that of the gold labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.agreement import labeler_preference, labels_shape
from seal_datasets.estimate.corrected_logit import corrected_tests
from seal_datasets.estimate.gold_pairs import GoldPairs, gold_pairs
from seal_datasets.estimate.inputs import confidence_level, group_codes, same_length, unique_names
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class CorrectedRate(Result):
    """A corrected rate of agreement in some pairs.

    Attributes:
        naive_rate (`float`): Share of the pairs with a preference in which the labeler prefers the chosen response.
        rate (`float`): The same of gold labels, estimated for all pairs.
        std_error (`float`): Clustered by prompt; includes the sampling error of the gold labels.
        confidence_interval (`tuple[float, float]`): Within 0 and 1.
        n (`int`): Pairs in which the labeler has a preference.
        status (`str`): `ok`; `no_preferences`; or why a correction is withheld, as in `CorrectedRow`.
    """

    naive_rate: float
    rate: float
    std_error: float
    confidence_interval: Interval
    n: int
    status: str


@dataclass(frozen=True, slots=True)
class CorrectedAgreement(Result):
    """Corrected rates of agreement.

    Attributes:
        rates (`dict[str, CorrectedRate]`): Over all pairs (`all`), and by group.
        n_pairs (`int`): Pairs.
        n_gold_prompts (`int`): Prompts with gold labels for every text and target.
        balance_p_value (`float`): As in `CorrectedImprint`.
    """

    rates: dict[str, CorrectedRate]
    n_pairs: int
    n_gold_prompts: int
    balance_p_value: float


def corrected_agreement(
    chosen_labels: ArrayLike,
    rejected_labels: ArrayLike,
    chosen_gold: ArrayLike,
    rejected_gold: ArrayLike,
    target_names: Sequence[str],
    *,
    by: Sequence[str] | NDArray[Any] | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    gold_probability: ArrayLike | None = None,
    confidence: float = 0.95,
) -> CorrectedAgreement:
    """Estimate how often gold labels would prefer the chosen response, from many labels and few gold ones.

    Args:
        chosen_labels (array-like of shape (n, t)): Target labels of the chosen responses, first priority first.
        rejected_labels (array-like of shape (n, t)): The same of the rejected responses.
        chosen_gold (array-like of shape (n, t)): Gold labels of the chosen responses; nan where missing.
        rejected_gold (array-like of shape (n, t)): Gold labels of the rejected responses; nan where missing.
        target_names (`Sequence[str]`): The t names.
        by (sequence of shape (n,), *optional*): Group of each pair, such as its regime.
        groups (sequence of shape (n,), *optional*): Prompt ids; each pair is its own prompt when omitted.
        gold_probability (array-like of shape (n,), *optional*): As for `corrected_imprint`, of each pair's prompt.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `CorrectedAgreement`: Rates over the pairs with a preference.

    Raises:
        DataError: As for `labeler_preference` and `corrected_imprint`, or a group of `by` is named `all`.

    Source: SEAL, section 2.2; ratio of two totals by design-based supervised learning (Egami et al., 2023).

    Example: the labeler is wrong about the last pair, and gold labels say so.

    ```python
    >>> labels, gold = ([[1], [1], [0]], [[0], [0], [1]]), ([[1], [1], [1]], [[0], [0], [0]])
    >>> rate = corrected_agreement(*labels, *gold, ["helpful"]).rates["all"]
    >>> round(rate.naive_rate, 3), round(rate.rate, 3)
    (0.667, 1.0)

    ```
    """
    confidence_level(confidence)
    names = unique_names(target_names, "target_names")
    n, _ = labels_shape(chosen_labels, "chosen_labels")
    zero = np.zeros(n)
    features, gold = (chosen_labels, rejected_labels), (chosen_gold, rejected_gold)
    pairs = gold_pairs((zero, zero), features, gold, names, groups, gold_probability, called="labels")
    prefers = {"labels": labeler_preference(*pairs.labels), "truth": labeler_preference(*pairs.truth)}
    members: Mapping[str, NDArray[np.bool_]] = {"all": np.ones(n, dtype=bool)}
    if by is not None:
        same_length(chosen_labels=zero, by=group_codes(by, "by"))
        kinds = np.array([str(kind) for kind in by])
        if (kinds == "all").any():
            raise DataError(
                f"by row {int((kinds == 'all').argmax())} is 'all', which names the rate over all pairs; give that group "
                "another name"
            )
        members = {**members, **{kind: kinds == kind for kind in np.unique(kinds).tolist()}}
    return CorrectedAgreement(
        {name: _rate(pairs, prefers, rows, confidence) for name, rows in members.items()},
        n,
        int(pairs.drawn.is_gold.sum()),
        pairs.drawn.balance,
    )


def _rate(
    pairs: GoldPairs, prefers: Mapping[str, NDArray[np.str_]], rows: NDArray[np.bool_], confidence: float
) -> CorrectedRate:
    """The corrected rate of some pairs: agreements over preferences."""
    columns = {
        kind: np.column_stack([rows & (preference == "chosen"), rows & (preference != "indifferent")]).astype(float)
        for kind, preference in prefers.items()
    }
    agreements, n = columns["labels"].sum(axis=0)
    naive = float(agreements / n) if n else math.nan
    right, all_of = pairs.total(columns["labels"], columns["truth"])
    if all_of <= 0 or not n:
        return CorrectedRate(naive, math.nan, math.nan, (math.nan, math.nan), int(n), "no_preferences")
    rate = min(max(float(right / all_of), 0.0), 1.0)
    direction = np.array([1.0, -rate]) / all_of
    base, truth = pairs.sums(columns["labels"], columns["truth"])
    influence = pairs.drawn.influence(base, truth) @ direction
    tests = corrected_tests(
        np.array([rate]),
        influence[:, None],
        pairs,
        constant=np.zeros(1, dtype=bool),
        status="ok",
        adjust="holm",
        confidence=confidence,
    )
    if tests.statuses[0] != "ok":
        shown = rate if tests.statuses[0] == "no_residual_variation" else math.nan
        return CorrectedRate(naive, shown, math.nan, (math.nan, math.nan), int(n), tests.statuses[0])
    low, high = tests.intervals[0]
    return CorrectedRate(naive, rate, float(tests.errors[0]), (max(low, 0.0), min(high, 1.0)), int(n), "ok")

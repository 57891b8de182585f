"""Drivers of misalignment (SEAL, Eq. 3): a regression of alignment on the features of both responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray

from seal_datasets.estimate.binary_regression import BinaryRow, BinarySettings, Estimator, binary_regression
from seal_datasets.estimate.inputs import indicator, matrix, unique_names, whole_number
from seal_datasets.estimate.least_squares import ClusterErrors
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class Driver(BinaryRow):
    """One feature of one side: positive log-odds mean more alignment, negative ones more misalignment.

    The other fields are as in `BinaryRow`; the status may also be `too_few_discordant`.

    Attributes:
        feature (`str`): Name.
        side (`str`): `chosen` or `rejected`.
        n_discordant (`int`): Pairs whose value is not the commonest value.
    """

    feature: str
    side: str
    n_discordant: int


@dataclass(frozen=True, slots=True)
class MisalignmentDrivers(Result):
    """A regression of alignment on the features of both sides.

    Attributes:
        drivers (`tuple[Driver, ...]`): One row per side and feature.
        intercept (`float`): Log-odds (or probability) of alignment with every feature 0.
        n_pairs (`int`): Number of pairs.
        n_aligned (`int`): Pairs that the model is aligned on.
        n_separated (`int`): Pairs that separated features predict perfectly; the finite estimates use the other pairs.
        estimator (`str`): `logit`, `firth` or `linear_probability`.
        covariance (`str`): How errors are computed.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Number of adjusted tests.
        family (`str`): Tests that are adjusted together.
        status (`str`): `ok`, or `one_class`.
    """

    drivers: tuple[Driver, ...]
    intercept: float
    n_pairs: int
    n_aligned: int
    n_separated: int
    estimator: str
    covariance: str
    adjust: str
    family_size: int
    family: str
    status: str


def misalignment_drivers(
    aligned: ArrayLike,
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    estimator: Estimator = "logit",
    errors: ClusterErrors = "cr2",
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_discordant: int = 2,
) -> MisalignmentDrivers:
    """Estimate which features of which side are associated with a reward model's agreement with human choices.

    Args:
        aligned (array-like of shape (n,)): Whether the model is aligned on each pair.
        chosen_features (array-like of shape (n, k)): Features of the chosen responses.
        rejected_features (array-like of shape (n, k)): Features of the rejected responses.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster by.
        estimator (`"logit"`, `"firth"` or `"linear_probability"`): `logit` fits Eq. (3) by maximum likelihood, with
            Firth's penalised fit where features separate the outcome.
            `firth` is penalised throughout. With groups its tests are clustered by design effects.
            `linear_probability` is the estimator of the published figures.
        errors (`"cr2"` or `"crv1"`): Errors of `linear_probability`: bias-reduced with each coefficient's own degrees of
            freedom, or CRV1. Logits always have the former.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted within the regression.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_discordant (`int`, defaults to 2): Fewest pairs off a feature's commonest value that give it numbers.

    Returns:
        `MisalignmentDrivers`: Log-odds of *alignment*, odds ratios and average marginal effects side by side.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, `aligned` is not true or false, or a name is repeated.

    Source: SEAL, Eq. (3).

    Example:

    ```python
    >>> aligned = [1, 1, 1, 0, 1, 0, 0, 0]
    >>> polite = [[1], [1], [1], [1], [0], [0], [0], [0]]
    >>> fit = misalignment_drivers(aligned, polite, [[0]] * 8, ["polite"])
    >>> round(fit.drivers[0].odds_ratio, 6)  # (3/1) / (1/3)
    9.0
    >>> fit.drivers[1].status
    'not_identified'

    ```
    """
    names = unique_names(feature_names)
    outcome = indicator(aligned, "aligned")
    n = len(outcome)
    chosen = matrix(chosen_features, "chosen_features", n, len(names))
    rejected = matrix(rejected_features, "rejected_features", n, len(names))
    settings = BinarySettings(estimator, adjust, confidence, whole_number(min_discordant, "min_discordant"), errors)
    fit = binary_regression(outcome, (chosen, rejected), groups, settings)
    labels = [(name, side) for side in ("chosen", "rejected") for name in names]
    return MisalignmentDrivers(
        tuple(
            Driver(**fit.rows[i], feature=name, side=side, n_discordant=int(fit.discordant[i]))
            for i, (name, side) in enumerate(labels)
        ),
        fit.intercept,
        n,
        int(outcome.sum()),
        fit.n_separated,
        estimator,
        fit.covariance,
        adjust,
        fit.family_size,
        fit.family,
        fit.status,
    )

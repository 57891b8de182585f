"""Balance of spoilers and consistency of preferences in a dataset (SEAL, Discussion)."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.choice_prediction import ChoicePrediction, choice_slopes, predict_choices
from seal_datasets.estimate.consistency import Consistency, count_inconsistent
from seal_datasets.estimate.inference import infer
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    confidence_level,
    group_codes,
    matrix,
    same_length,
    unique_names,
    whole_number,
)
from seal_datasets.estimate.intervals import Interval, wilson
from seal_datasets.estimate.linear import demean, differing
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class Contrast(Result):
    """A difference of means with its test.

    Attributes:
        difference (`float`): Difference in the feature's units.
        std_error (`float`): Clustered by prompt.
        p_value (`float`): Two-sided, by t with Satterthwaite's degrees of freedom.
        p_adjusted (`float`): Adjusted within its family.
        confidence_interval (`tuple[float, float]`): Interval of the difference, not adjusted.
        n (`int`): Pairs, or texts, in the comparison.
        n_discordant (`int`): Pairs, or texts, in which the two sides differ.
        status (`str`): `ok`, or the reason for a missing test: `no_rows` (no pairs to compare); `not_identified` (the
            target does not vary); `no_discordant`; `too_few_discordant`; `too_few_clusters`; `no_residual_variation`.
    """

    difference: float
    std_error: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    n: int
    n_discordant: int
    status: str


@dataclass(frozen=True, slots=True)
class SpoilerContrast(Contrast):
    """Difference of a spoiler between chosen and rejected responses; the other fields are as in `Contrast`.

    Attributes:
        spoiler (`str`): Name.
        mean_chosen (`float`): Mean over chosen responses.
        mean_rejected (`float`): Mean over rejected responses.
        standardised_difference (`float`): The difference over the root of the mean of both sides' sample variances; nan
            where neither varies.
        share_more_in_chosen (`float`): Share of the discordant pairs whose chosen response has more of the spoiler; nan
            without discordant pairs.
        share_interval (`tuple[float, float]`): Wilson's, which treats pairs as independent.
        at_equal_targets (`Contrast`, *optional*): The difference over pairs whose responses agree in every target label.
    """

    spoiler: str
    mean_chosen: float
    mean_rejected: float
    standardised_difference: float
    share_more_in_chosen: float
    share_interval: Interval
    at_equal_targets: Contrast | None


@dataclass(frozen=True, slots=True)
class TargetContrast(Contrast):
    """Difference of a spoiler between texts of different target values; the other fields are as in `Contrast`.

    The difference is the slope of the spoiler on the target over the texts of both sides: E[spoiler | 1] - E[spoiler | 0]
    for a target of 0 or 1. Discordant texts are those off the commonest value of the spoiler or of the target; the
    smaller of the two counts is given.

    Attributes:
        spoiler (`str`): Name.
        target (`str`): Name.
        correlation (`float`): Pearson's correlation over texts; nan where either does not vary.
    """

    spoiler: str
    target: str
    correlation: float


@dataclass(frozen=True, slots=True)
class SpoilerBalance(Result):
    """How far a preference dataset's choices depend on its spoilers, and counts of inconsistent preferences.

    Attributes:
        spoilers (`tuple[SpoilerContrast, ...]`): One row per spoiler: chosen minus rejected.
        across_targets (`tuple[TargetContrast, ...]`): One row per spoiler and target: higher minus lower target value.
        predictions (`tuple[ChoicePrediction, ...]`): Predictions of choices from spoilers alone; with targets also from
            targets alone, and from both.
        consistency (`Consistency`, *optional*): Counts of inconsistent preferences.
        consistency_status (`str`): `ok`, or why the counts are missing.
        n_pairs (`int`): Number of pairs.
        n_clusters (`int`): Number of prompts, or of pairs where no prompts were given.
        n_equal_targets (`int`, *optional*): Pairs whose responses agree in every target label.
        n_folds (`int`): Folds of the predictions.
        penalty (`str`): Penalty that keeps the predictions' coefficients finite.
        covariance (`str`): How errors are computed.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Number of adjusted tests in `spoilers`.
        target_family_size (`int`): Number of adjusted tests in `across_targets`.
        family (`str`): Tests that are adjusted together.
    """

    spoilers: tuple[SpoilerContrast, ...]
    across_targets: tuple[TargetContrast, ...]
    predictions: tuple[ChoicePrediction, ...]
    consistency: Consistency | None
    consistency_status: str
    n_pairs: int
    n_clusters: int
    n_equal_targets: int | None
    n_folds: int
    penalty: str
    covariance: str
    adjust: str
    family_size: int
    target_family_size: int
    family: str


@dataclass(frozen=True, slots=True)
class _Options:
    """How differences are tested."""

    adjust: Adjustment
    confidence: float
    min_discordant: int


def spoiler_balance(
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    feature_names: Sequence[str],
    *,
    spoilers: Sequence[str] | None = None,
    targets: Sequence[str] = (),
    groups: Sequence[Any] | NDArray[Any] | None = None,
    chosen_ids: Sequence[Any] | NDArray[Any] | None = None,
    rejected_ids: Sequence[Any] | NDArray[Any] | None = None,
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_discordant: int = 10,
    n_folds: int = 5,
    seed: int = 0,
) -> SpoilerBalance:
    """Measure, without a reward model, whether a dataset's spoilers are balanced and its preferences consistent.

    Args:
        chosen_features (array-like of shape (n, k)): Features of the chosen responses.
        rejected_features (array-like of shape (n, k)): Features of the rejected responses.
        feature_names (`Sequence[str]`): The k names.
        spoilers (`Sequence[str]`, *optional*): Names of the features that choices should not depend on; all features
            except the targets when omitted.
        targets (`Sequence[str]`, defaults to `()`): Names of the features that choices should depend on.
        groups (sequence of shape (n,), *optional*): Prompt ids to cluster and fold by; each pair is its own cluster when
            omitted.
        chosen_ids (sequence of shape (n,), *optional*): Ids or hashes that are equal for equal chosen responses.
            Consistency needs them, `rejected_ids` and `groups`.
        rejected_ids (sequence of shape (n,), *optional*): The same for the rejected responses.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_discordant (`int`, defaults to 10): Discordant pairs, or texts, needed for a test; t holds from about ten.
        n_folds (`int`, defaults to 5): Folds of the predictions, each from those before it; a prompt is in one fold.
        seed (`int`, defaults to 0): Seed of the folds.

    Returns:
        `SpoilerBalance`: Differences of spoilers between chosen and rejected and between target values, the accuracy of
            predictions from them, and counts of inconsistent preferences.

    Raises:
        DataError: Shapes differ, an entry is not a finite number, a name is unknown or repeated, or an option is not valid.

    Source: SEAL, Discussion, calls for balanced spoilers and consistent preferences. Choices are predicted by a
        conditional logit on the differences of features (McFadden, 1974).

    Example:

    ```python
    >>> result = spoiler_balance([[1], [1], [1], [0]], [[0], [0], [1], [1]], ["long"])
    >>> row = result.spoilers[0]
    >>> row.mean_chosen, row.mean_rejected, row.difference, row.n_discordant
    (0.75, 0.5, 0.25, 3)
    >>> round(row.share_more_in_chosen, 3)
    0.667

    ```
    """
    names = unique_names(feature_names)
    spoiler_names, target_names = _check_roles(names, spoilers, targets)
    used = [*spoiler_names, *target_names]
    chosen, rejected = _select_features(chosen_features, rejected_features, used, names)
    n, k = len(chosen), len(spoiler_names)
    clusters = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(chosen_features=chosen, groups=clusters)
    options = _Options(adjust, confidence_level(confidence), whole_number(min_discordant, "min_discordant"))
    folds = _draw_folds(int(clusters.max()) + 1, n_folds, seed)
    consistency, consistency_status = count_inconsistent(groups, clusters, chosen_ids, rejected_ids)
    differences = chosen - rejected
    equal = (differences[:, k:] == 0).all(axis=1)
    equal_rows = equal if target_names else None
    rows = _compare_sides(spoiler_names, chosen[:, :k], rejected[:, :k], equal_rows, clusters, options)
    texts = np.vstack([chosen, rejected])
    across = _compare_target_values(spoiler_names, target_names, texts, np.tile(clusters, 2), options)
    return SpoilerBalance(
        spoilers=rows,
        across_targets=across,
        predictions=predict_choices(differences, k, clusters, folds, n_folds, confidence),
        consistency=consistency,
        consistency_status=consistency_status,
        n_pairs=n,
        n_clusters=int(clusters.max()) + 1,
        n_equal_targets=int(equal.sum()) if target_names else None,
        n_folds=n_folds,
        penalty="log-F(1, 1) priors: for each feature half a pair that favours a difference of one root mean square, half "
        "a pair against",
        covariance="each pair its own cluster (HC2)" if groups is None else "clustered by prompt, bias-reduced (CR2)",
        adjust=adjust,
        family_size=_count_tests(rows),
        target_family_size=_count_tests(across),
        family="the differences between chosen and rejected that have a test; those at equal targets and those across "
        "target values are families of their own",
    )


def _check_roles(
    names: tuple[str, ...], spoilers: Sequence[str] | None, targets: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The names of spoilers and targets, checked."""
    no_targets = isinstance(targets, (list, tuple)) and not targets
    target_names = [] if no_targets else list(unique_names(targets, "targets"))
    others = [name for name in names if name not in target_names]
    spoiler_names = others if spoilers is None else list(unique_names(spoilers, "spoilers"))
    for argument, given in (("targets", target_names), ("spoilers", spoiler_names)):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise DataError(f"{argument} names {', '.join(unknown)}; the features are {', '.join(names)}")
    both = [name for name in spoiler_names if name in target_names]
    if both:
        raise DataError(f"{', '.join(both)} cannot be both a spoiler and a target; name it once")
    if not spoiler_names:
        raise DataError("every feature is a target; at least one spoiler is needed")
    return spoiler_names, target_names


def _select_features(
    chosen: ArrayLike, rejected: ArrayLike, used: list[str], names: tuple[str, ...]
) -> tuple[Floats, Floats]:
    """Both matrices with the columns in `used`, in that order."""
    n = len(chosen) if isinstance(chosen, Sized) and getattr(chosen, "shape", True) else 0
    if not n:
        raise DataError("chosen_features must be one row of feature values per pair, e.g. [[1, 0], [1, 1]]")
    columns = [names.index(name) for name in used]
    sides = matrix(chosen, "chosen_features", n, len(names)), matrix(rejected, "rejected_features", n, len(names))
    return sides[0][:, columns], sides[1][:, columns]


def _draw_folds(n_clusters: int, n_folds: int, seed: int) -> Codes:
    """A random fold for each cluster; folds are of equal size."""
    whole_number(n_folds, "n_folds", least=2)
    return np.random.default_rng(whole_number(seed, "seed")).permutation(n_clusters) % n_folds


def _count_tests(rows: Sequence[Contrast]) -> int:
    return sum(not math.isnan(row.p_value) for row in rows)


def _compare_sides(
    names: list[str], chosen: Floats, rejected: Floats, equal: Bools | None, clusters: Codes, options: _Options
) -> tuple[SpoilerContrast, ...]:
    """Differences of each spoiler between chosen and rejected responses."""
    n, differences = len(chosen), chosen - rejected
    overall = _mean_contrasts(differences, clusters, options)
    more = (differences > 0).sum(axis=0)
    means = chosen.mean(axis=0), rejected.mean(axis=0)
    squares = ((chosen - means[0]) ** 2 + (rejected - means[1]) ** 2).sum(axis=0)
    spread = np.sqrt(squares / (2 * (n - 1))) if n > 1 else np.zeros(len(names))
    at_equal: list[Contrast | None] = [None] * len(names)
    if equal is not None:
        at_equal = [*_mean_contrasts(differences[equal], pd.factorize(clusters[equal])[0], options)]
    return tuple(
        SpoilerContrast(
            **asdict(row),
            spoiler=name,
            mean_chosen=float(means[0][i]),
            mean_rejected=float(means[1][i]),
            standardised_difference=row.difference / float(spread[i]) if spread[i] > 0 else math.nan,
            share_more_in_chosen=float(more[i]) / row.n_discordant if row.n_discordant else math.nan,
            share_interval=wilson(int(more[i]), row.n_discordant, confidence=options.confidence),
            at_equal_targets=at_equal[i],
        )
        for i, (name, row) in enumerate(zip(names, overall, strict=True))
    )


def _compare_target_values(
    spoilers: list[str], targets: list[str], texts: Floats, clusters: Codes, options: _Options
) -> tuple[TargetContrast, ...]:
    """Slopes of each spoiler on each target, over texts."""
    if not targets:
        return ()
    k, n_clusters = len(spoilers), int(clusters.max()) + 1
    centred = demean(texts, np.zeros(len(texts), dtype=np.int64))
    length = np.sqrt((centred**2).sum(axis=0))
    ones = np.ones(len(texts))
    fits = [
        choice_slopes(np.column_stack([ones, centred[:, j]]), centred[:, :k], clusters)
        for j in range(k, texts.shape[1])
    ]
    slopes, errors, freedom = (np.column_stack(columns) for columns in zip(*fits, strict=True))
    counts = differing(texts)
    discordant = np.minimum(counts[:k, None], counts[k:])
    fitted = slopes.ravel(), errors.ravel(), freedom.ravel()
    rows = _contrasts(*fitted, len(texts), n_clusters, discordant.ravel(), options)
    ratios = length[k:] / np.where(length[:k] > 0, length[:k], math.nan)[:, None]
    labels = [(spoiler, target) for spoiler in spoilers for target in targets]
    return tuple(
        TargetContrast(**asdict(row), spoiler=spoiler, target=target, correlation=row.difference * float(ratio))
        for row, (spoiler, target), ratio in zip(rows, labels, ratios.ravel(), strict=True)
    )


def _mean_contrasts(differences: Floats, clusters: Codes, options: _Options) -> list[Contrast]:
    """Tests that the mean of each column of differences is zero."""
    means, errors, freedom = choice_slopes(np.ones((len(differences), 1)), differences, clusters)
    discordant = (differences != 0).sum(axis=0)
    n_clusters = int(clusters.max(initial=-1)) + 1
    return _contrasts(means, errors, freedom, len(differences), n_clusters, discordant, options)


def _contrasts(
    estimates: Floats, errors: Floats, freedom: Floats, n: int, n_clusters: int, discordant: Codes, options: _Options
) -> list[Contrast]:
    """Tests of one family; rows with too few discordant pairs keep their estimate and have no test."""
    few = discordant < options.min_discordant
    unflagged = np.zeros(len(estimates), dtype=bool)
    tests = infer(
        estimates,
        np.where(few, math.nan, errors),
        # Without an error, its status says why.
        np.where(np.isnan(errors), 1.0, freedom),
        constant=unflagged,
        uninformed=unflagged,
        why_no_error="too_few_clusters" if n_clusters < 2 else "no_residual_variation",
        adjust=options.adjust,
        confidence=options.confidence,
    )
    reasons = np.select(
        [np.full(len(few), n == 0), np.isnan(estimates), discordant == 0, few],
        ["no_rows", "not_identified", "no_discordant", "too_few_discordant"],
        np.array(tests.statuses),
    )
    return [
        Contrast(
            difference=float(estimates[i]),
            std_error=float(tests.errors[i]),
            p_value=float(tests.p_values[i]),
            p_adjusted=float(tests.p_adjusted[i]),
            confidence_interval=(float(tests.low[i]), float(tests.high[i])),
            n=n,
            n_discordant=int(discordant[i]),
            status=str(reasons[i]),
        )
        for i in range(len(estimates))
    ]

"""Imprints corrected for wrong labels whose error rates are known: in closed form, and by simulation (MC-SIMEX)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from seal_datasets.errors import DataError
from seal_datasets.estimate.corrected_inference import (
    CorrectedImprint,
    Correction,
    Scores,
    check_labelled_texts,
    corrected_rows,
    directions_of,
    indefinite,
    invert_rates,
    labels_freedom,
    variances,
)
from seal_datasets.estimate.inputs import Codes, Floats, confidence_level, indicator, number, whole_number
from seal_datasets.estimate.linear import demean
from seal_datasets.estimate.multiplicity import Adjustment

# Levels of added error of SIMEX, in multiples of the labels' own.
_LEVELS = (0.5, 1.0, 1.5, 2.0)
# Beyond this share of error in a label's variance within prompts, extrapolation leaves much of the bias.
_MOSTLY_ERROR = 0.5


def known_rates_imprint(
    rewards: ArrayLike,
    features: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    feature_names: Sequence[str],
    *,
    sensitivity: Mapping[str, float],
    specificity: Mapping[str, float],
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
) -> CorrectedImprint:
    """Estimate imprints from labels whose error rates are known, in closed form.

    Use it where error rates are known but no gold labels exist. Errors are assumed to depend on the truth only, and to be
    independent between texts and features; the rates are taken as known.

    Args:
        rewards (array-like of shape (n,)): One reward per text.
        features (array-like of shape (n, k)): The labels; features with rates must be 0 or 1.
        groups (sequence of shape (n,)): Prompt id of each text.
        feature_names (`Sequence[str]`): The k names.
        sensitivity (`Mapping[str, float]`): Share of true texts labelled 1, by feature; other features are assumed correct.
        specificity (`Mapping[str, float]`): Share of other texts labelled 0, for the same features.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted.
        confidence (`float`, defaults to 0.95): Level of the intervals.

    Returns:
        `CorrectedImprint`: Naive and corrected imprints.

    Raises:
        DataError: A feature with rates is not 0 or 1, a rate is missing, or sensitivity and specificity add up to 1 or less.

    Source: corrected scores (Nakamura, 1990). At sensitivity s and specificity c, (label - (1 - c)) / (s + c - 1) has the
    truth as its mean. Its mean square is too large by a variance that is linear in the label.

    Example:

    ```python
    >>> labels, rewards = [[1], [0], [1], [0], [0], [1], [1], [0]] * 10, [2.0, 0.0, 1.0, 0.0, 1.0, 1.0, 2.0, 1.0] * 10
    >>> rates, prompts = {"polite": 0.9}, [text // 2 for text in range(80)]
    >>> row = known_rates_imprint(rewards, labels, prompts, ["polite"], sensitivity=rates, specificity=rates).imprint[0]
    >>> round(row.coefficient, 2)  # (2 / 0.8) / ((2 - 4 * 0.09) / 0.64)
    0.98

    ```
    """
    confidence_level(confidence)
    y, x, codes, names = check_labelled_texts(rewards, features, groups, feature_names)
    unbiased, variance = _unbiased(x, _check_rates(x, names, sensitivity, specificity))
    sizes = np.bincount(codes)
    n_groups, used = len(sizes), int((sizes > 1).sum())
    scores = Scores(
        demean(unbiased, codes),
        demean(y[:, None], codes)[:, 0],
        codes,
        n_groups,
        variance * (1 - 1 / sizes)[codes][:, None],
    )
    within = demean(x, codes)
    naive_bread, naive_identified = invert_rates(within.T @ within)
    naive = np.where(naive_identified, naive_bread @ (within.T @ scores.outcome), np.nan)
    gram = scores.rows.T @ scores.rows - np.diag(variance.T @ (1 - 1 / sizes)[codes])
    bread, identified = invert_rates(gram)
    beta = bread @ (scores.rows.T @ scores.outcome)
    each, tilts = scores.moments(beta, directions_of(bread, identified))
    freedom = labels_freedom(within, codes)
    moments, rounding = variances(each, tilts, bread, scores.outcome, freedom)
    with np.errstate(divide="ignore"):
        slope = np.where(identified, 1 / np.diag(bread), np.nan)
    correction = Correction(
        naive=naive,
        coefficients=np.where(identified, beta, np.nan),
        varies=(within != 0).any(axis=0),
        slope=slope,
        moments=moments,
        rounding=rounding,
        freedom=freedom,
        withheld="no_variance_left" if indefinite(gram) else "",
    )
    found, family_size = corrected_rows(names, correction, adjust, confidence)
    return CorrectedImprint(found, "closed form at known error rates", used, 0, 0, math.nan, (), adjust, family_size)


def simex_imprint(
    rewards: ArrayLike,
    features: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    feature_names: Sequence[str],
    *,
    sensitivity: Mapping[str, float],
    specificity: Mapping[str, float],
    n_replicates: int = 50,
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    seed: int = 0,
) -> CorrectedImprint:
    """Estimate imprints by simulating added label errors of known rates and extrapolating back to zero error.

    The quadratic extrapolation removes most of the bias, not all: half of it where 10 % of labels are wrong and 5 % of texts
    have the feature. `known_rates_imprint` needs the same rates and leaves none; use this to check it.

    Args:
        rewards (array-like of shape (n,)): One reward per text.
        features (array-like of shape (n, k)): The labels; features with rates must be 0 or 1.
        groups (sequence of shape (n,)): Prompt id of each text.
        feature_names (`Sequence[str]`): The k names.
        sensitivity (`Mapping[str, float]`): By feature; other features are assumed correct.
        specificity (`Mapping[str, float]`): By feature, for the same features.
        n_replicates (`int`, defaults to 50): Draws at each level of added error.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        seed (`int`, defaults to 0): Seed of the draws.

    Returns:
        `CorrectedImprint`: Naive and extrapolated imprints. Errors extrapolate the sampling variance less that of the
        added error, with the rates taken as known.

    Raises:
        DataError: A feature with rates is not 0 or 1, a rate is missing, or sensitivity and specificity add up to 1 or less.

    Source: MC-SIMEX, Kuchenhoff, Mwalili and Lesaffre (2006); variance after Stefanski and Cook (1995).

    Example:

    ```python
    >>> rng = np.random.default_rng(0)
    >>> truth = (rng.random(4000) < 0.5).astype(float)
    >>> labels = np.where(rng.random(4000) < 0.1, 1 - truth, truth)
    >>> rates = {"polite": 0.9}
    >>> row = simex_imprint(
    ...     truth, labels[:, None], np.arange(4000) // 2, ["polite"], sensitivity=rates, specificity=rates
    ... ).imprint[0]
    >>> round(row.naive_coefficient, 1), round(row.coefficient, 1)
    (0.8, 1.0)

    ```
    """
    confidence_level(confidence)
    whole_number(n_replicates, "n_replicates", least=2)
    y, x, codes, names = check_labelled_texts(rewards, features, groups, feature_names)
    rates = _check_rates(x, names, sensitivity, specificity)
    matrices = {column: np.array([[passed, 1 - hit], [1 - passed, hit]]) for column, (hit, passed) in rates.items()}
    outcome, within = demean(y[:, None], codes)[:, 0], demean(x, codes)
    freedom = labels_freedom(within, codes)
    naive, base, rounding = _least_squares(within, outcome, codes, freedom)
    rng = np.random.default_rng(whole_number(seed, "seed"))
    points, spreads = [naive], [base]
    for level in _LEVELS:
        betas, sampling = [], []
        for _ in range(n_replicates):
            noisy = _add_errors(x, matrices, level, rng)
            beta, variance, _ = _least_squares(demean(noisy, codes), outcome, codes, freedom)
            betas.append(beta)
            sampling.append(variance)
        points.append(np.mean(betas, axis=0))
        spreads.append(np.mean(sampling, axis=0) - np.var(betas, axis=0, ddof=1))
    grid = np.vander(np.r_[0.0, _LEVELS], 3)
    # Value of the fitted quadratic at level -1, where no error is left.
    extrapolation = np.array([1.0, -1.0, 1.0]) @ np.linalg.pinv(grid)
    nothing = np.zeros(len(names))
    correction = Correction(
        naive=naive,
        coefficients=extrapolation @ np.array(points),
        varies=(within != 0).any(axis=0),
        slope=nothing + 1,
        moments=np.array([extrapolation @ np.array(spreads), nothing, nothing]),
        rounding=rounding,
        freedom=freedom,
        withheld="",
    )
    found, family_size = corrected_rows(names, correction, adjust, confidence)
    method = f"MC-SIMEX, quadratic extrapolation, {n_replicates} replicates"
    used = int((np.bincount(codes) > 1).sum())
    warnings = _error_warnings(x, codes, names, rates)
    return CorrectedImprint(found, method, used, 0, 0, math.nan, warnings, adjust, family_size)


def _check_rates(
    x: Floats, names: tuple[str, ...], sensitivity: Mapping[str, float], specificity: Mapping[str, float]
) -> dict[int, tuple[float, float]]:
    """Sensitivity and specificity by column."""
    for name, given in (("sensitivity", sensitivity), ("specificity", specificity)):
        if not isinstance(given, Mapping):
            raise DataError(
                f"{name} is {given!r}; give a mapping from feature names to rates, such as {{{names[0]!r}: 0.9}}"
            )
    if set(sensitivity) != set(specificity) or not set(sensitivity) <= set(names):
        raise DataError(
            f"sensitivity names {sorted(map(str, sensitivity))} and specificity {sorted(map(str, specificity))}; name the "
            "same features in both, all of them among feature_names"
        )
    rates = {}
    for name in sensitivity:
        hit, passed = (
            number(given[name], f"{rate} of {name!r}")
            for rate, given in (("sensitivity", sensitivity), ("specificity", specificity))
        )
        if not (0 < hit <= 1 and 0 < passed <= 1 and hit + passed > 1):
            raise DataError(
                f"{name}: sensitivity {hit} and specificity {passed} must lie in (0, 1] and add up to more than 1; "
                "labels no better than chance cannot be corrected"
            )
        column = names.index(name)
        indicator(x[:, column], f"features column {name!r}")
        rates[column] = (hit, passed)
    return rates


def _unbiased(x: Floats, rates: Mapping[int, tuple[float, float]]) -> tuple[Floats, Floats]:
    """Scores whose mean is the truth, and by how much their squares are too large on average."""
    unbiased, variance = x.copy(), np.zeros_like(x)
    for column, (hit, passed) in rates.items():
        signal = hit + passed - 1
        truth = (x[:, column] - (1 - passed)) / signal
        unbiased[:, column] = truth
        variance[:, column] = (truth * hit * (1 - hit) + (1 - truth) * passed * (1 - passed)) / signal**2
    return unbiased, variance


def _error_warnings(
    x: Floats, codes: Codes, names: tuple[str, ...], rates: Mapping[int, tuple[float, float]]
) -> tuple[str, ...]:
    """Features whose labels differ within prompts mostly by error, too much for an extrapolation."""
    unbiased, variance = _unbiased(x, rates)
    total = (demean(unbiased, codes) ** 2).sum(axis=0)
    errors = variance.T @ (1 - 1 / np.bincount(codes))[codes]
    return tuple(
        f"{names[column]}: errors make up {errors[column] / total[column]:.0%} of the labels' variance within prompts, too "
        "much to extrapolate; use known_rates_imprint"
        for column in rates
        if errors[column] > _MOSTLY_ERROR * total[column] > 0
    )


def _least_squares(x: Floats, y: Floats, codes: Codes, freedom: Floats) -> tuple[Floats, Floats, Floats]:
    """Coefficients, their clustered variances, and sizes of variances that are rounding."""
    bread, identified = invert_rates(x.T @ x)
    beta = bread @ (x.T @ y)
    scores, slopes = Scores(x, y, codes, int(codes.max()) + 1).moments(beta, directions_of(bread, identified))
    moments, rounding = variances(scores, slopes, bread, y, freedom)
    scale = np.diag(bread) ** 2
    return np.where(identified, beta, np.nan), moments[0] * scale, rounding * scale


def _add_errors(x: Floats, matrices: Mapping[int, Floats], level: float, rng: np.random.Generator) -> Floats:
    """Flip labels at random, by a power of each column's matrix of error rates."""
    noisy = x.copy()
    for column, rates in matrices.items():
        powers = np.real(linalg.fractional_matrix_power(rates, level))
        stays = powers.diagonal()[x[:, column].astype(int)]
        noisy[:, column] = np.where(rng.random(len(x)) < stays, x[:, column], 1 - x[:, column])
    return noisy

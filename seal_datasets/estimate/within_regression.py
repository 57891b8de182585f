"""The within-prompt regression in two passes over its rows: `accumulate` totals, then `measure_errors`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from seal_datasets.errors import DataError
from seal_datasets.estimate.bias_reduced import BiasReduced
from seal_datasets.estimate.covariance import WildBootstrap, wild_bootstrap
from seal_datasets.estimate.inputs import Bools, Codes, Floats
from seal_datasets.estimate.linear import (
    PERFECT,
    Solution,
    cluster_factor,
    one_blas_thread,
    score_products,
    solve,
    triangle,
    variance_inflation,
)
from seal_datasets.estimate.within_prompt import Counts, RegressionSettings, WithinDesign

# Variance inflation factors closer than this share differ only by rounding.
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the parts of a design: the first pass.

    Attributes:
        r (`ndarray` of shape (at most c + m, c + m)): Triangle of the c columns of the design and of the m outcomes.
        sizes (`ndarray` of shape (m,)): Largest absolute value of each outcome.
        discordant (`ndarray` of shape (k,)): Prompts within which each feature differs.
        varying (`ndarray` of shape (k,)): Whether each feature varies.
        counts (`Counts`): Texts, prompts and clusters.
    """

    r: Floats
    sizes: Floats
    discordant: Codes
    varying: Bools
    counts: Counts


@dataclass(frozen=True, slots=True)
class Selection:
    """Features of a regression once `max_vif` is applied.

    Attributes:
        kept (`ndarray` of shape (k,)): Whether each feature stays in.
        dropped (`tuple[tuple[str, float], ...]`): Features left out, in that order, with their factor then.
        vif (`ndarray` of shape (k,)): Variance inflation factors with all features in.
        centred (`ndarray` of shape (j, k)): Triangle of the centred features, 0 where a feature does not vary.
    """

    kept: Bools
    dropped: tuple[tuple[str, float], ...]
    vif: Floats
    centred: Floats


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients of all outcomes.

    Attributes:
        columns (`ndarray` of shape (c,)): Columns of the design that are used.
        solution (`Solution`): Coefficients of these columns.
        freedom (`float`): Clusters less one.
        absorbed (`int`): Parameters taken out beforehand that count as fitted.
        has_errors (`bool`): Whether there are enough clusters and texts for errors.
    """

    columns: Codes
    solution: Solution
    freedom: float
    absorbed: int
    has_errors: bool


@dataclass(frozen=True, slots=True)
class Covariances:
    """Covariances of the c coefficients of m outcomes: the second pass.

    Attributes:
        within (`ndarray` of shape (m, c, c)): Covariance of each outcome's coefficients.
        between (`ndarray` of shape (c, m, m)): Covariance of each coefficient over the outcomes.
        degrees (`ndarray` of shape (c,)): Degrees of freedom of the t reference.
        information (`ndarray` of shape (c,)): Satterthwaite degrees of freedom of each coefficient's variance; nan where the
            data do not determine it.
        wild (`tuple[WildBootstrap | None, ...]` of length m): Bootstrap of each outcome, if any.
        perfect (`ndarray` of shape (m,)): Whether residuals are only rounding.
    """

    within: Floats
    between: Floats
    degrees: Floats
    information: Floats
    wild: tuple[WildBootstrap | None, ...]
    perfect: Bools


@dataclass(frozen=True, slots=True)
class Regression:
    """Least squares of several outcomes on the same rows, the `parts`."""

    parts: Iterable[WithinDesign]
    settings: RegressionSettings
    totals: Totals
    selection: Selection
    fit: Fit
    covariances: Covariances


def regress(parts: Iterable[WithinDesign], settings: RegressionSettings) -> Regression:
    """Regress every outcome of a design on its rows, in two passes over its parts.

    Args:
        parts (iterable of `WithinDesign`): Parts that can be read twice; exactly one for wild bootstrap errors.
        settings (`RegressionSettings`): Settings.

    Returns:
        `Regression`: Coefficients and covariances; `seal_datasets.estimate.imprint_rows` turns them into results.

    Raises:
        DataError: The design holds zero texts.
    """
    with one_blas_thread():
        totals = accumulate(parts, settings)
        selection = select_features(totals, settings)
        fit = fit_coefficients(totals, selection, settings)
        return Regression(parts, settings, totals, selection, fit, measure_errors(parts, totals, fit, settings))


def accumulate(parts: Iterable[WithinDesign], settings: RegressionSettings) -> Totals:
    """Merge the triangles and counts of all parts.

    Args:
        parts (iterable of `WithinDesign`): Parts of the design.
        settings (`RegressionSettings`): Names and effects.

    Returns:
        `Totals`: Triangle and counts of the whole.

    Raises:
        DataError: The design holds zero texts.
    """
    k = len(settings.names)
    r: Floats | None = None
    counts, n_outcomes = Counts(), 0
    sizes: Floats | float = 0.0
    discordant, varying = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=bool)
    for part in parts:
        n_outcomes = part.outcomes.shape[1]
        if len(part.rows):
            r = triangle(part.rows, part.outcomes, above=r)
            sizes = np.maximum(sizes, np.abs(part.outcomes).max(axis=0))
        counts += part.counts
        discordant += part.discordant
        varying |= part.varying
    if counts.n_texts == 0:
        raise DataError("there are no texts; at least one is needed")
    if r is None:
        r = np.zeros((1, k + settings.pooled + n_outcomes))
    return Totals(r, np.broadcast_to(sizes, (n_outcomes,)), discordant, varying, counts)


def select_features(totals: Totals, settings: RegressionSettings) -> Selection:
    """Drop features above `max_vif` by the paper's rule: the largest factor first, factors recomputed each time.

    Args:
        totals (`Totals`): Triangle of the design.
        settings (`RegressionSettings`): Names, effects and `max_vif`.

    Returns:
        `Selection`: Features kept and dropped.
    """
    k = len(settings.names)
    # Without its first row and column the triangle of a design with intercept is that of the centred features.
    centred = np.where(totals.varying, totals.r[settings.pooled :, settings.pooled : k + settings.pooled], 0.0)
    kept = np.ones(k, dtype=bool)
    dropped: list[tuple[str, float]] = []
    vif = variance_inflation(centred)
    while settings.max_vif is not None:
        factors = np.zeros(k)
        remaining = variance_inflation(centred[:, kept])
        factors[kept] = np.where(np.isnan(remaining), np.where(totals.varying[kept], np.inf, 0.0), remaining)
        # The last of the largest: two features alone have one factor, and rounding must not choose between them.
        worst = int(np.flatnonzero(factors >= factors.max() * (1 - _EQUAL))[-1])
        if factors[worst] <= settings.max_vif * (1 + _EQUAL):
            break
        kept[worst] = False
        dropped.append((settings.names[worst], float(factors[worst])))
    return Selection(kept, tuple(dropped), vif, centred)


def fit_coefficients(totals: Totals, selection: Selection, settings: RegressionSettings) -> Fit:
    """Solve for the coefficients of the selected features.

    Args:
        totals (`Totals`): Triangle and counts of the design.
        selection (`Selection`): Features kept.
        settings (`RegressionSettings`): Effects and errors.

    Returns:
        `Fit`: Coefficients and degrees of freedom.
    """
    counts, width = totals.counts, len(settings.names) + settings.pooled
    columns = np.flatnonzero(np.r_[[True] * settings.pooled, selection.kept])
    solution = solve(totals.r[:, np.r_[columns, width : width + len(totals.sizes)]], len(columns))
    # Prompt effects are nested in the clusters and count as the one intercept they stand in for.
    absorbed = {"pooled": 0, "fixed": 1}[settings.effects]
    if settings.errors == "hc1" and not settings.pooled:
        absorbed = counts.n_groups - counts.n_singletons
    has_errors = counts.n_clusters > 1 and counts.n_used > solution.rank + absorbed
    return Fit(columns, solution, float(max(counts.n_clusters - 1, 0)), absorbed, has_errors)


def measure_errors(
    parts: Iterable[WithinDesign], totals: Totals, fit: Fit, settings: RegressionSettings
) -> Covariances:
    """Sum the scores of all parts into covariances.

    Args:
        parts (iterable of `WithinDesign`): Parts of the design; exactly one for wild bootstrap errors.
        totals (`Totals`): Counts and sizes.
        fit (`Fit`): Coefficients.
        settings (`RegressionSettings`): Errors.

    Returns:
        `Covariances`: nan where there are too few clusters or texts.
    """
    solution, counts = fit.solution, totals.counts
    m, width = len(totals.sizes), len(fit.columns)
    sums = BiasReduced(solution, counts.n_clusters)
    meat, residual_sizes = np.zeros((m, m, width, width)), np.zeros(m)
    rows_are_clusters = True
    for part in parts:
        if not len(part.rows):
            continue
        rows, rows_are_clusters = used_columns(part, fit), rows_are_clusters and part.clusters is None
        if settings.errors != "crv1" or part.clusters is not None:
            sums.add(rows, part.outcomes, part.clusters)
        if settings.errors != "cr2":
            products, largest = score_products(rows, part.outcomes, solution.coefficients, part.clusters)
            meat += products
            residual_sizes = np.maximum(residual_sizes, largest)
    residual_sizes = np.maximum(residual_sizes, sums.largest)
    with np.errstate(invalid="ignore", divide="ignore"):
        perfect = np.where(totals.sizes > 0, residual_sizes / totals.sizes, 0.0) < PERFECT
    degrees = np.full(width, fit.freedom)
    if not fit.has_errors:
        nothing = np.full((m, width, width), np.nan), np.full((width, m, m), np.nan)
        return Covariances(*nothing, degrees, degrees, (None,) * m, perfect)
    information = sums.freedom()
    if settings.errors == "crv1" and rows_are_clusters:
        # One cluster per row: its count is a bound that costs nothing.
        information = np.r_[[fit.freedom] * settings.pooled, totals.discordant - 1.0][fit.columns]
    if settings.errors == "cr2":
        joint, degrees = sums.covariance(), information
    else:
        factor = cluster_factor(counts.n_clusters, counts.n_used, solution.rank + fit.absorbed)
        joint = factor * solution.bread @ meat @ solution.bread
    between = np.moveaxis(np.diagonal(joint, axis1=2, axis2=3), -1, 0)
    within = joint[np.arange(m), np.arange(m)]
    covariances = Covariances(within, between, degrees, information, (None,) * m, perfect)
    if settings.errors == "wild":
        (whole,) = parts
        return _bootstrapped(covariances, whole, fit, settings)
    return covariances


def used_columns(part: WithinDesign, fit: Fit) -> Floats:
    """Rows of a part without the dropped columns; not copied where none were dropped."""
    return part.rows if len(fit.columns) == part.rows.shape[1] else part.rows[:, fit.columns]


def _bootstrapped(covariances: Covariances, whole: WithinDesign, fit: Fit, settings: RegressionSettings) -> Covariances:
    """Add the wild cluster bootstrap of each outcome."""
    rows = used_columns(whole, fit)
    residuals = whole.outcomes - rows @ fit.solution.coefficients
    wild = tuple(
        wild_bootstrap(
            rows,
            residuals[:, outcome],
            whole.clusters,
            fit.solution,
            np.where(fit.solution.identified, fit.solution.coefficients[:, outcome], np.nan),
            np.sqrt(np.diag(covariances.within[outcome])),
            n=whole.counts.n_used,
            absorbed=fit.absorbed,
            n_draws=settings.n_bootstrap,
            confidence=settings.confidence,
            seed=settings.seed,
        )
        for outcome in range(residuals.shape[1])
    )
    return replace(covariances, wild=wild)

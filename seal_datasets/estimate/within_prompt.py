"""The within-prompt regression under every imprint: accumulate, covariance, rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.covariance import WildBootstrap, cr2, simultaneous_critical_value, wald_test, wild_bootstrap
from seal_datasets.estimate.imprint_results import BlockTest, FeatureChange, FeatureImprint, ImprintRow
from seal_datasets.estimate.inference import Inference, infer
from seal_datasets.estimate.inputs import (
    Codes,
    Floats,
    confidence_level,
    group_codes,
    matrix,
)
from seal_datasets.estimate.linear import (
    PERFECT,
    cluster_factor,
    condition_number,
    constant_columns,
    demean,
    first_rows,
    group_sums,
    nonzero_counts,
    one_blas_thread,
    rounded_variances,
    score_products,
    solve,
    triangle,
    variance_inflation,
)
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p

Effects = Literal["fixed", "pooled"]
Errors = Literal["cluster", "hc1", "cr2", "wild"]
# Factors closer than this are equal but for rounding.
_EQUAL = 1e-9
_ERRORS = {
    "cluster": "clustered by prompt (CRV1)",
    "hc1": "each text its own cluster (HC1)",
    "cr2": "clustered by prompt, bias-reduced (CR2), Satterthwaite degrees of freedom",
    "wild": "clustered by prompt (CRV1); tests and intervals by wild cluster bootstrap",
}


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of whole prompts: those of one prompt are all in one part.

    Attributes:
        rewards (`ndarray` of shape (n, m)): One column per model.
        features (`ndarray` of shape (n, k)): Features.
        groups (sequence of shape (n,)): Prompt ids.
    """

    rewards: Floats
    features: Floats
    groups: NDArray[Any]


@dataclass(frozen=True, slots=True)
class RegressionSettings:
    """What a regression is run with; see `feature_imprint`."""

    names: tuple[str, ...]
    effects: Effects
    errors: Errors
    blocks: dict[str, tuple[str, ...]]
    max_vif: float | None
    adjust: Adjustment
    confidence: float
    min_discordant: int
    n_bootstrap: int
    seed: int

    def __post_init__(self) -> None:
        for name, value, known in (("effects", self.effects, Effects), ("errors", self.errors, Errors)):
            if value not in get_args(known):
                raise DataError(f"{name} must be one of {list(get_args(known))}, got {value!r}")
        confidence_level(self.confidence)
        if self.max_vif is not None and not self.max_vif > 1:
            raise DataError(f"max_vif must be larger than 1, the factor of uncorrelated features, got {self.max_vif}")
        if self.errors == "wild" and self.n_bootstrap < 99:
            raise DataError(
                f"n_bootstrap must be at least 99, got {self.n_bootstrap}; with fewer draws there are no p-values"
            )


class WithinDesign:
    """The rows a regression is run on: texts with prompt effects taken out, or with an intercept.

    Where every prompt has two texts, a prompt is one row, their difference: the demeaned rows are plus and minus half of it.
    """

    def __init__(
        self, rewards: Floats, features: Floats, codes: Codes, clusters: Codes | None, settings: RegressionSettings
    ) -> None:
        sizes = np.bincount(codes)
        self.n_texts, self.n_groups, self.n_singletons = len(codes), len(sizes), int((sizes == 1).sum())
        if settings.effects == "pooled":
            self.n = len(codes)
            # The slopes do not depend on where the features have their zero; rounding does.
            self.rows, self.outcomes = np.column_stack([np.ones(len(codes)), features - features.mean(axis=0)]), rewards
            self.clusters: Codes | None = codes if clusters is None else clusters
            self.discordant = _discordant(demean(features, codes), codes)
            self.varying = ~constant_columns(features)
        else:
            if self.n_singletons:
                used = sizes[codes] > 1
                rewards, features, codes = rewards[used], features[used], pd.factorize(codes[used])[0]
                clusters = None if clusters is None else clusters[used]
            self.n = len(codes)
            n_groups = self.n_groups - self.n_singletons
            if self.n == 2 * n_groups and settings.errors != "hc1":
                first: Any
                last: Any
                if (codes[:n_groups] == codes[n_groups:]).all():
                    # All chosen texts, then all rejected ones: no need to gather.
                    first, last = slice(n_groups), slice(n_groups, None)
                else:
                    first, last = first_rows(codes, n_groups), len(codes) - 1 - first_rows(codes[::-1], n_groups)
                self.rows, self.outcomes = features[first] - features[last], rewards[first] - rewards[last]
                self.discordant = nonzero_counts(self.rows)
                self.clusters = None if clusters is None else clusters[first]
            else:
                self.rows, self.outcomes = (demean(each, codes) if len(each) else each for each in (features, rewards))
                self.discordant = _discordant(self.rows, codes)
                self.clusters = codes if clusters is None else clusters
            self.varying = self.discordant > 0
        if self.clusters is not None:
            self.clusters = pd.factorize(self.clusters)[0]
        if settings.errors == "hc1":
            self.clusters = None
        self.n_clusters = len(self.rows) if self.clusters is None else int(self.clusters.max(initial=-1)) + 1


class StreamedDesign:
    """Parts as rows of a regression, made anew in each pass."""

    def __init__(self, parts: Iterable[Texts], n_models: int, settings: RegressionSettings) -> None:
        self.parts, self.n_models, self.settings = parts, n_models, settings

    def __iter__(self) -> Iterator[WithinDesign]:
        for part in self.parts:
            codes = group_codes(part.groups, "groups")
            features = matrix(part.features, "features", len(codes), len(self.settings.names))
            rewards = matrix(part.rewards, "rewards", len(codes), self.n_models)
            yield WithinDesign(with_changes(rewards), features, codes, None, self.settings)


class Regression:
    """Least squares of several outcomes on the same rows, in two passes over them."""

    def __init__(self, parts: Iterable[WithinDesign], settings: RegressionSettings) -> None:
        self.settings = settings
        with one_blas_thread():
            self._fit(parts, settings)

    def _fit(self, parts: Iterable[WithinDesign], settings: RegressionSettings) -> None:
        k, self.pooled = len(settings.names), settings.effects == "pooled"
        r: Floats | None = None
        self.n = self.n_texts = self.n_groups = self.n_singletons = self.n_clusters = 0
        self.discordant, self.varying = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=bool)
        size: Floats | float = 0.0
        for part in parts:
            if len(part.rows):
                r = triangle(part.rows, part.outcomes, above=r)
                size = np.maximum(size, np.abs(part.outcomes).max(axis=0))
            for count in ("n", "n_texts", "n_groups", "n_singletons", "n_clusters"):
                setattr(self, count, getattr(self, count) + getattr(part, count))
            self.discordant += part.discordant
            self.varying |= part.varying
            m = part.outcomes.shape[1]
        if self.n_texts == 0:
            raise DataError("there are no texts; at least one is needed")
        self.r = np.zeros((1, k + self.pooled + m)) if r is None else r
        self._drop_inflated()
        self.columns = np.flatnonzero(np.r_[[True] * self.pooled, self.kept])
        self.solution = solve(self.r[:, np.r_[self.columns, k + self.pooled : k + self.pooled + m]], len(self.columns))
        self.freedom = float(max(self.n_clusters - 1, 0))
        # Prompt effects are nested in the clusters and count as the one intercept they stand in for.
        absorbed = {"pooled": 0, "fixed": 1}[settings.effects]
        if settings.errors == "hc1" and not self.pooled:
            absorbed = self.n_groups - self.n_singletons
        self.absorbed = absorbed
        self._measure_errors(parts, m)
        self.size = np.broadcast_to(size, (m,))
        with np.errstate(invalid="ignore", divide="ignore"):
            self.perfect = np.where(self.size > 0, self.residual_size / self.size, 0.0) < PERFECT

    def _drop_inflated(self) -> None:
        """The paper's rule: the feature with the largest factor goes first, and factors are computed anew."""
        k = len(self.settings.names)
        # Without its first row and column the triangle of a design with intercept is that of the centred features.
        self.centred = np.where(self.varying, self.r[self.pooled :, self.pooled : k + self.pooled], 0.0)
        self.kept, self.dropped = np.ones(k, dtype=bool), []
        self.vif = variance_inflation(self.centred)
        while self.settings.max_vif is not None:
            factors = np.zeros(k)
            left = variance_inflation(self.centred[:, self.kept])
            factors[self.kept] = np.where(np.isnan(left), np.where(self.varying[self.kept], np.inf, 0.0), left)
            # The last of the largest: two features alone have one factor, and rounding must not choose between them.
            worst = int(np.flatnonzero(factors >= factors.max() * (1 - _EQUAL))[-1])
            if factors[worst] <= self.settings.max_vif * (1 + _EQUAL):
                break
            self.kept[worst] = False
            self.dropped.append((self.settings.names[worst], float(factors[worst])))

    def _measure_errors(self, parts: Iterable[WithinDesign], m: int) -> None:
        width = len(self.columns)
        self.covariances = np.full((m, width, width), np.nan)
        self.joint = np.full((width, m, m), np.nan)
        meat = np.zeros((m, m, width, width))
        self.degrees = np.full((m, width), self.freedom)
        self.wild: list[WildBootstrap | None] = [None] * m
        self.residual_size = np.zeros(m)
        self.known = self.n_clusters > 1 and self.n > self.solution.rank + self.absorbed
        for part in parts:
            if not len(part.rows):
                continue
            rows = part.rows if len(self.columns) == part.rows.shape[1] else part.rows[:, self.columns]
            products, largest = score_products(rows, part.outcomes, self.solution.coefficients, part.clusters)
            meat += products
            self.residual_size = np.maximum(self.residual_size, largest)
        if not self.known:
            return
        factor = cluster_factor(self.n_clusters, self.n, self.solution.rank + self.absorbed)
        joint = factor * self.solution.bread @ meat @ self.solution.bread
        self.covariances = joint[np.arange(m), np.arange(m)]
        self.joint = np.moveaxis(np.diagonal(joint, axis1=2, axis2=3), -1, 0)
        if self.settings.errors in ("cr2", "wild"):
            # These regressions have a single part, the last.
            residuals = part.outcomes - rows @ self.solution.coefficients
            for i, each in enumerate(residuals.T):
                self._refine(i, rows, each, part.clusters)

    def _refine(self, outcome: int, rows: Floats, residuals: Floats, clusters: Codes | None) -> None:
        """Errors that need all rows at once."""
        settings = self.settings
        if settings.errors == "cr2":
            self.covariances[outcome], self.degrees[outcome] = cr2(rows, residuals, clusters, self.solution)
        elif settings.errors == "wild":
            self.wild[outcome] = wild_bootstrap(
                rows,
                residuals,
                clusters,
                self.solution,
                np.where(self.solution.identified, self.solution.coefficients[:, outcome], np.nan),
                np.sqrt(np.diag(self.covariances[outcome])),
                n=self.n,
                absorbed=self.absorbed,
                n_draws=settings.n_bootstrap,
                confidence=settings.confidence,
                seed=settings.seed,
            )

    def imprint(self, outcome: int) -> FeatureImprint:
        """The regression of one outcome."""
        settings, k = self.settings, len(self.settings.names)
        coefficients, errors, degrees = np.full(k, np.nan), np.full(k, np.nan), np.full(k, np.nan)
        covariance = np.full((k, k), np.nan)
        where, inner = np.flatnonzero(self.kept), slice(self.pooled, None)
        solved = np.where(self.solution.identified, self.solution.coefficients[:, outcome], np.nan)[inner]
        coefficients[where] = solved
        covariance[np.ix_(where, where)] = self.covariances[outcome][inner, inner]
        degrees[where] = self.degrees[outcome][inner]
        if not self.perfect[outcome]:
            variances = np.diag(covariance)[where]
            rounding = rounded_variances(self.solution.bread, float(self.size[outcome]))[inner]
            errors[where] = np.sqrt(np.where(variances <= rounding, 0.0, variances))
        few = (self.discordant > 0) & (self.discordant < settings.min_discordant) & (not self.pooled)
        found = infer(
            coefficients,
            errors,
            degrees,
            constant=~self.varying,
            few=few,
            why_no_error="no_residual_variation"
            if (self.perfect[outcome] or self.known) and self.n_clusters > 1
            else "too_few_clusters",
            adjust=settings.adjust,
            confidence=settings.confidence,
        )
        wild = self.wild[outcome]
        if wild is not None:
            found = _by_bootstrap(found, wild, where, inner, settings.adjust)
        tested = np.flatnonzero(~np.isnan(found.errors))
        part = covariance[np.ix_(tested, tested)]
        largest = simultaneous_critical_value(part, self.freedom, settings.confidence, settings.seed)
        lengths = np.sqrt((self.centred**2).sum(axis=0))
        outcomes = self.r[self.pooled :, k + self.pooled + outcome]
        size = math.sqrt(float((outcomes**2).sum()))
        rows = tuple(
            ImprintRow(
                feature=name,
                coefficient=float(found.coefficients[i]),
                std_error=float(found.errors[i]),
                p_value=float(found.p_values[i]),
                p_adjusted=float(found.p_adjusted[i]),
                confidence_interval=(float(found.low[i]), float(found.high[i])),
                simultaneous_interval=(
                    float(found.coefficients[i] - largest * found.errors[i]),
                    float(found.coefficients[i] + largest * found.errors[i]),
                ),
                degrees_of_freedom=float(degrees[i]) if not np.isnan(found.errors[i]) else math.nan,
                standardised=float(found.coefficients[i] * lengths[i] / size) if size > 0 else math.nan,
                minimum_detectable_effect=float(found.detectable[i]),
                n_discordant=int(self.discordant[i]),
                vif=float(self.vif[i]),
                status="dropped_vif" if not self.kept[i] else found.statuses[i],
            )
            for i, name in enumerate(settings.names)
        )
        size_of_family = found.family_size
        return FeatureImprint(
            rows,
            self.n_texts,
            self.n_groups,
            self.n_singletons,
            self.freedom,
            settings.effects,
            _ERRORS[settings.errors],
            settings.adjust,
            size_of_family,
            f"the {size_of_family} feature(s) of this regression that have a test",
            condition_number(self.centred[:, self.kept]),
            tuple(self.dropped),
            self._block_tests(found, covariance),
        )

    def _block_tests(self, found: Inference, covariance: Floats) -> tuple[BlockTest, ...]:
        tests = []
        for block, members in self.settings.blocks.items():
            inside = np.array([self.settings.names.index(name) for name in members])
            used = inside[~np.isnan(found.errors[inside])]
            statistic, q, p = wald_test(found.coefficients[used], covariance[np.ix_(used, used)], self.freedom)
            kept = tuple(self.settings.names[i] for i in used)
            tests.append(
                BlockTest(block, kept, len(inside) - len(used), statistic, (float(q), self.freedom), p, math.nan)
            )
        adjusted = adjust_p(np.array([each.p_value for each in tests]), self.settings.adjust)
        return tuple(replace(each, p_adjusted=float(adjusted[i])) for i, each in enumerate(tests))

    def any_change(self, n_models: int, reported: FeatureImprint) -> tuple[FeatureChange, ...]:
        """For each feature, whether its coefficients differ between any of the first outcomes."""
        tests = []
        steps = slice(n_models, 2 * n_models - 1)
        place = {self.settings.names[i]: position for position, i in enumerate(np.flatnonzero(self.kept))}
        for row in reported.imprint:
            statistic, q, p = math.nan, 0, math.nan
            if row.status == "ok":
                position = place[row.feature] + self.pooled
                changes = self.solution.coefficients[position, steps]
                statistic, q, p = wald_test(changes, self.joint[position, steps, steps], self.freedom)
            tests.append(FeatureChange(row.feature, statistic, (float(q), self.freedom), p, math.nan))
        adjusted = adjust_p(np.array([each.p_value for each in tests]), self.settings.adjust)
        return tuple(replace(each, p_adjusted=float(adjusted[i])) for i, each in enumerate(tests))


def with_changes(rewards: Floats) -> Floats:
    """Rewards, their changes from column to column, and from the first to the last of more than two."""
    last = [rewards[:, -1] - rewards[:, 0]] if rewards.shape[1] > 2 else []
    return np.column_stack([rewards, np.diff(rewards, axis=1), *last])


def _by_bootstrap(found: Inference, wild: WildBootstrap, where: Codes, inner: slice, adjust: Adjustment) -> Inference:
    """The same numbers with the bootstrap's tests and intervals in place of those by t."""
    p_values, low, high = (np.full(len(found.errors), np.nan) for _ in range(3))
    for mine, theirs in ((p_values, wild.p_values), (low, wild.low), (high, wild.high)):
        mine[where] = theirs[inner]
        mine[np.isnan(found.errors)] = np.nan
    return replace(found, p_values=p_values, p_adjusted=adjust_p(p_values, adjust), low=low, high=high)


def _discordant(within: Floats, codes: Codes) -> Codes:
    """In how many groups each feature varies."""
    if not len(codes):
        return np.zeros(within.shape[1], dtype=np.int64)
    return nonzero_counts(group_sums((within != 0).astype(np.float64), codes, int(codes.max()) + 1))

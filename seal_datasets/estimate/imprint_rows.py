"""From a within-prompt regression to results: imprints with tests, and joint tests of change."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from seal_datasets.estimate.covariance import WildBootstrap, simultaneous_critical_value, wald_test
from seal_datasets.estimate.imprint_results import BlockTest, FeatureChange, FeatureImprint, ImprintRow
from seal_datasets.estimate.inference import Inference, infer
from seal_datasets.estimate.inputs import Codes, Floats
from seal_datasets.estimate.linear import condition_number, rounded_variances
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.within_prompt import RegressionSettings
from seal_datasets.estimate.within_regression import Regression

_ERRORS = {
    "cluster": "clustered by prompt (CRV1)",
    "hc1": "each text its own cluster (HC1)",
    "cr2": "clustered by prompt, bias-reduced (CR2), Satterthwaite degrees of freedom",
    "wild": "clustered by prompt (CRV1); tests and intervals by wild cluster bootstrap",
}


def outcome_imprint(regression: Regression, outcome: int) -> FeatureImprint:
    """Lay out the regression of one outcome.

    Args:
        regression (`Regression`): The regression.
        outcome (`int`): Position of the outcome.

    Returns:
        `FeatureImprint`: One row per feature, with tests.
    """
    settings, counts = regression.settings, regression.totals.counts
    selection, freedom = regression.selection, regression.fit.freedom
    covariance = _feature_covariance(regression, outcome)
    degrees = _feature_degrees(regression, outcome)
    inference = _infer_outcome(regression, outcome, covariance, degrees)
    return FeatureImprint(
        _imprint_rows(regression, outcome, inference, covariance, degrees),
        counts.n_texts,
        counts.n_groups,
        counts.n_singletons,
        freedom,
        settings.effects,
        _ERRORS[settings.errors],
        settings.adjust,
        inference.family_size,
        f"the {inference.family_size} feature(s) of this regression that have a test",
        condition_number(selection.centred[:, selection.kept]),
        selection.dropped,
        _block_tests(settings, inference, covariance, freedom),
    )


def any_change(regression: Regression, n_models: int, reported: FeatureImprint) -> tuple[FeatureChange, ...]:
    """Test for each feature whether its coefficients differ between any of the first outcomes.

    Args:
        regression (`Regression`): Of rewards as `with_changes` lays them out.
        n_models (`int`): Models, the first outcomes.
        reported (`FeatureImprint`): A change of these; its features with status `ok` are tested.

    Returns:
        `tuple[FeatureChange, ...]`: One test per feature; nan where there is nothing to test.
    """
    settings, fit = regression.settings, regression.fit
    tests = []
    steps = slice(n_models, 2 * n_models - 1)
    kept = np.flatnonzero(regression.selection.kept)
    place = {settings.names[i]: position + settings.pooled for position, i in enumerate(kept)}
    for row in reported.imprint:
        statistic, q, p = math.nan, 0, math.nan
        if row.status == "ok":
            position = place[row.feature]
            changes = fit.solution.coefficients[position, steps]
            statistic, q, p = wald_test(changes, regression.covariances.between[position, steps, steps], fit.freedom)
        tests.append(FeatureChange(row.feature, statistic, (float(q), fit.freedom), p, math.nan))
    adjusted = adjust_p(np.array([test.p_value for test in tests]), settings.adjust)
    return tuple(replace(test, p_adjusted=float(p)) for test, p in zip(tests, adjusted, strict=True))


def _feature_covariance(regression: Regression, outcome: int) -> Floats:
    """Covariance of shape (k, k) without the intercept; nan for dropped features."""
    settings, kept = regression.settings, np.flatnonzero(regression.selection.kept)
    covariance = np.full((len(settings.names), len(settings.names)), np.nan)
    slopes = slice(settings.pooled, None)
    covariance[np.ix_(kept, kept)] = regression.covariances.within[outcome][slopes, slopes]
    return covariance


def _feature_degrees(regression: Regression, outcome: int) -> Floats:
    """Degrees of freedom of shape (k,); nan for dropped features."""
    settings = regression.settings
    degrees = np.full(len(settings.names), np.nan)
    degrees[regression.selection.kept] = regression.covariances.degrees[outcome][settings.pooled :]
    return degrees


def _infer_outcome(regression: Regression, outcome: int, covariance: Floats, degrees: Floats) -> Inference:
    """Errors, tests and intervals of one outcome's coefficients."""
    settings, totals, fit = regression.settings, regression.totals, regression.fit
    kept, slopes = np.flatnonzero(regression.selection.kept), slice(settings.pooled, None)
    perfect, wild = bool(regression.covariances.perfect[outcome]), regression.covariances.wild[outcome]
    coefficients, errors = np.full(len(settings.names), np.nan), np.full(len(settings.names), np.nan)
    identified = np.where(fit.solution.identified, fit.solution.coefficients[:, outcome], np.nan)
    coefficients[kept] = identified[slopes]
    if not perfect:
        variances = np.diag(covariance)[kept]
        rounding = rounded_variances(fit.solution.bread, float(totals.sizes[outcome]))[slopes]
        errors[kept] = np.sqrt(np.where(variances <= rounding, 0.0, variances))
    measurable = (perfect or fit.has_errors) and totals.counts.n_clusters > 1
    inference = infer(
        coefficients,
        errors,
        degrees,
        constant=~totals.varying,
        few=(totals.discordant > 0) & (totals.discordant < settings.min_discordant) & (not settings.pooled),
        why_no_error="no_residual_variation" if measurable else "too_few_clusters",
        adjust=settings.adjust,
        confidence=settings.confidence,
    )
    return inference if wild is None else _by_bootstrap(inference, wild, kept, slopes, settings.adjust)


def _imprint_rows(
    regression: Regression, outcome: int, inference: Inference, covariance: Floats, degrees: Floats
) -> tuple[ImprintRow, ...]:
    settings, totals, selection = regression.settings, regression.totals, regression.selection
    tested = np.flatnonzero(~np.isnan(inference.errors))
    half = simultaneous_critical_value(
        covariance[np.ix_(tested, tested)], regression.fit.freedom, settings.confidence, settings.seed
    )
    lengths = np.sqrt((selection.centred**2).sum(axis=0))
    outcomes = totals.r[settings.pooled :, len(settings.names) + settings.pooled + outcome]
    length = math.sqrt(float((outcomes**2).sum()))
    return tuple(
        ImprintRow(
            feature=name,
            coefficient=float(inference.coefficients[i]),
            std_error=float(inference.errors[i]),
            p_value=float(inference.p_values[i]),
            p_adjusted=float(inference.p_adjusted[i]),
            confidence_interval=(float(inference.low[i]), float(inference.high[i])),
            simultaneous_interval=(
                float(inference.coefficients[i] - half * inference.errors[i]),
                float(inference.coefficients[i] + half * inference.errors[i]),
            ),
            degrees_of_freedom=float(degrees[i]) if not np.isnan(inference.errors[i]) else math.nan,
            standardised=float(inference.coefficients[i] * lengths[i] / length) if length > 0 else math.nan,
            minimum_detectable_effect=float(inference.detectable[i]),
            n_discordant=int(totals.discordant[i]),
            vif=float(selection.vif[i]),
            status=inference.statuses[i] if selection.kept[i] else "dropped_vif",
        )
        for i, name in enumerate(settings.names)
    )


def _block_tests(
    settings: RegressionSettings, inference: Inference, covariance: Floats, freedom: float
) -> tuple[BlockTest, ...]:
    """Joint tests of the features of each block that have an error."""
    tests = []
    for block, members in settings.blocks.items():
        inside = np.array([settings.names.index(name) for name in members])
        used = inside[~np.isnan(inference.errors[inside])]
        statistic, q, p = wald_test(inference.coefficients[used], covariance[np.ix_(used, used)], freedom)
        kept = tuple(settings.names[i] for i in used)
        tests.append(BlockTest(block, kept, len(inside) - len(used), statistic, (float(q), freedom), p, math.nan))
    adjusted = adjust_p(np.array([test.p_value for test in tests]), settings.adjust)
    return tuple(replace(test, p_adjusted=float(p)) for test, p in zip(tests, adjusted, strict=True))


def _by_bootstrap(
    inference: Inference, wild: WildBootstrap, kept: Codes, slopes: slice, adjust: Adjustment
) -> Inference:
    """Replace tests and intervals by t with those of the bootstrap."""
    p_values, low, high = (np.full(len(inference.errors), np.nan) for _ in range(3))
    for target, source in ((p_values, wild.p_values), (low, wild.low), (high, wild.high)):
        target[kept] = source[slopes]
        target[np.isnan(inference.errors)] = np.nan
    return replace(inference, p_values=p_values, p_adjusted=adjust_p(p_values, adjust), low=low, high=high)

"""From a within-prompt regression to results: imprints with tests, and joint tests of change."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from seal_datasets.estimate.bias_reduced import joint_freedom
from seal_datasets.estimate.covariance import WildBootstrap, joint_test, simultaneous_critical_values
from seal_datasets.estimate.imprint_results import BlockTest, FeatureChange, FeatureImprint, ImprintRow
from seal_datasets.estimate.inference import Inference, infer
from seal_datasets.estimate.inputs import Bools, Codes, Floats
from seal_datasets.estimate.linear import condition_number, rounded_variances
from seal_datasets.estimate.multiplicity import Adjustment, adjust_p
from seal_datasets.estimate.within_regression import Regression, used_columns

_ERRORS = {
    "cr2": "clustered by {by}, bias-reduced (CR2), Satterthwaite degrees of freedom",
    "crv1": "clustered by {by} (CRV1)",
    "hc1": "each text its own cluster (HC1)",
    "wild": "clustered by {by} (CRV1); tests and intervals by wild cluster bootstrap",
}

# Degrees of freedom closer than this to the floor differ by rounding.
_EQUAL = 1e-6


def outcome_imprint(regression: Regression, outcome: int, *, by: str = "prompt") -> FeatureImprint:
    """Lay out the regression of one outcome.

    Args:
        regression (`Regression`): The regression.
        outcome (`int`): Position of the outcome.
        by (`str`, defaults to `"prompt"`): What errors are clustered by, in words.

    Returns:
        `FeatureImprint`: One row per feature, with tests.
    """
    settings, counts = regression.settings, regression.totals.counts
    selection = regression.selection
    covariance = _feature_covariance(regression, outcome)
    degrees = _by_feature(regression, regression.covariances.degrees)
    inference = _infer_outcome(regression, outcome, covariance, degrees)
    return FeatureImprint(
        _imprint_rows(regression, outcome, inference, covariance, degrees),
        counts.n_texts,
        counts.n_groups,
        counts.n_singletons,
        counts.n_clusters,
        settings.effects,
        _ERRORS[settings.errors].format(by=by),
        settings.adjust,
        inference.family_size,
        f"the {inference.family_size} feature(s) of this regression that have a test",
        condition_number(selection.centred[:, selection.kept]),
        selection.dropped,
        _block_tests(regression, inference, covariance),
    )


def any_change(regression: Regression, n_models: int) -> tuple[FeatureChange, ...]:
    """Test for each feature whether its coefficients differ between any of the first outcomes.

    Models that agree give a change without variance, which tells nothing and is left out of the test.

    Args:
        regression (`Regression`): Of rewards as `with_changes` lays them out.
        n_models (`int`): Models, the first outcomes.

    Returns:
        `tuple[FeatureChange, ...]`: One test per feature; nan where there is nothing to test.
    """
    settings, solution, found = regression.settings, regression.fit.solution, regression.covariances
    tests = []
    steps = slice(n_models, 2 * n_models - 1)
    kept = np.flatnonzero(regression.selection.kept)
    withheld = uninformed_features(regression)
    sizes = regression.totals.sizes[steps]
    bread = np.diag(solution.bread)
    for i, name in enumerate(settings.names):
        statistic, freedom, p = math.nan, (0.0, math.nan), math.nan
        position = int(np.searchsorted(kept, i)) + settings.pooled
        if n_models > 1 and regression.selection.kept[i] and not withheld[i] and solution.identified[position]:
            changes, covariance = solution.coefficients[position, steps], found.between[position, steps, steps]
            rounding = np.array([rounded_variances(bread[position : position + 1, None], size)[0] for size in sizes])
            moves = (np.diag(covariance) > rounding) & ~found.perfect[steps]
            if not (~moves & (changes**2 > rounding)).any():
                statistic, freedom, p = joint_test(
                    changes[moves],
                    covariance[np.ix_(moves, moves)],
                    float(found.degrees[position]),
                    settings.errors == "cr2",
                )
        tests.append(FeatureChange(name, statistic, freedom, p, math.nan))
    adjusted = adjust_p(np.array([test.p_value for test in tests]), settings.adjust)
    return tuple(replace(test, p_adjusted=float(p)) for test, p in zip(tests, adjusted, strict=True))


def _feature_covariance(regression: Regression, outcome: int) -> Floats:
    """Covariance of shape (k, k) without the intercept; nan for dropped features."""
    settings, kept = regression.settings, np.flatnonzero(regression.selection.kept)
    covariance = np.full((len(settings.names), len(settings.names)), np.nan)
    slopes = slice(settings.pooled, None)
    covariance[np.ix_(kept, kept)] = regression.covariances.within[outcome][slopes, slopes]
    return covariance


def _by_feature(regression: Regression, values: Floats) -> Floats:
    """Values of the fitted columns by feature, of shape (k,); nan for dropped features."""
    settings = regression.settings
    by_feature = np.full(len(settings.names), np.nan)
    by_feature[regression.selection.kept] = values[settings.pooled :]
    return by_feature


def uninformed_features(regression: Regression) -> Bools:
    """Features of shape (k,) whose variance has less information than the floor."""
    floor = regression.settings.min_information - _EQUAL
    return np.asarray(np.nan_to_num(_by_feature(regression, regression.covariances.information)) < floor)


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
        uninformed=~np.isnan(coefficients) & uninformed_features(regression) & fit.has_errors,
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
    half = np.full(len(settings.names), np.nan)
    half[tested] = simultaneous_critical_values(
        covariance[np.ix_(tested, tested)], degrees[tested], settings.confidence, settings.seed
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
                float(inference.coefficients[i] - half[i] * inference.errors[i]),
                float(inference.coefficients[i] + half[i] * inference.errors[i]),
            ),
            degrees_of_freedom=float(degrees[i]),
            standardised=float(inference.coefficients[i] * lengths[i] / length) if length > 0 else math.nan,
            minimum_detectable_effect=float(inference.detectable[i]),
            n_discordant=int(totals.discordant[i]),
            vif=float(selection.vif[i]),
            status=inference.statuses[i] if selection.kept[i] else "dropped_vif",
        )
        for i, name in enumerate(settings.names)
    )


def _block_tests(regression: Regression, inference: Inference, covariance: Floats) -> tuple[BlockTest, ...]:
    """Joint tests of the features of each block that have an error."""
    settings, fit = regression.settings, regression.fit
    kept, tests = np.flatnonzero(regression.selection.kept), []
    for block, members in settings.blocks.items():
        inside = np.array([settings.names.index(name) for name in members])
        used = inside[~np.isnan(inference.errors[inside])]
        freedom, reduced = fit.freedom, settings.errors == "cr2"
        if reduced and len(used):
            (whole,) = regression.parts
            positions = np.searchsorted(kept, used) + settings.pooled
            freedom = joint_freedom(used_columns(whole, fit), whole.clusters, fit.solution, positions)
        found = joint_test(inference.coefficients[used], covariance[np.ix_(used, used)], freedom, reduced)
        features = tuple(settings.names[i] for i in used)
        tests.append(BlockTest(block, features, len(inside) - len(used), *found, math.nan))
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
    # With two clusters, or with few draws, no outcome could reject.
    statuses = [
        "too_few_clusters" if status == "ok" and math.isnan(p) else status
        for status, p in zip(inference.statuses, p_values, strict=True)
    ]
    adjusted = adjust_p(p_values, adjust)
    return replace(inference, p_values=p_values, p_adjusted=adjusted, low=low, high=high, statuses=statuses)

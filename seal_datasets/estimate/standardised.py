"""Feature imprints in units that do not depend on a model's scale, and their change from model to model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from seal_datasets.errors import DataError
from seal_datasets.estimate.bias_reduced import cluster_influences
from seal_datasets.estimate.confounding import robustness_value
from seal_datasets.estimate.imprint_rows import uninformed_features
from seal_datasets.estimate.inference import Inference, infer
from seal_datasets.estimate.inputs import (
    Codes,
    Floats,
    finite,
    group_codes,
    matrix,
    one_of,
    position_of,
    same_length,
    unique_names,
    without_vanishing,
)
from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.linear import SAME, group_sums
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.result import Result
from seal_datasets.estimate.reward_scale import Scale, logit_scale, spread_scale
from seal_datasets.estimate.within_prompt import RegressionSettings, WithinDesign, change_pairs, within_design
from seal_datasets.estimate.within_regression import Regression, regress

Unit = Literal["sd", "logit"]


@dataclass(frozen=True, slots=True)
class StandardisedRow(Result):
    """The standardised imprint of one feature, or its change.

    Attributes:
        feature (`str`): Name.
        estimate (`float`): Imprint, or later minus earlier imprint, in the unit of `StandardisedImprint`.
        std_error (`float`): Clustered by prompt (CR2), with the scale's own uncertainty.
        degrees_of_freedom (`float`): Satterthwaite's; few where few prompts carry information.
        p_value (`float`): Two-sided.
        p_adjusted (`float`): Adjusted over the features of this model or change.
        confidence_interval (`tuple[float, float]`): Not adjusted.
        minimum_detectable_effect (`float`): Smallest estimate found at 80 % power, at the family's Bonferroni level.
        equivalence_bound (`float`): Two one-sided tests exclude all larger values, at one minus the confidence.
        robustness_value (`float`): Share of the residual variance of reward and of feature that an unmeasured confounder must
            explain to bring the estimate to 0.
        n_discordant (`int`): Prompts within which the feature differs.
        status (`str`): As for `ImprintRow`, or why the scale is undefined: `constant_rewards` (equal within every prompt), or
            as in `choice_probability`.
    """

    feature: str
    estimate: float
    std_error: float
    degrees_of_freedom: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    minimum_detectable_effect: float
    equivalence_bound: float
    robustness_value: float
    n_discordant: int
    status: str


@dataclass(frozen=True, slots=True)
class StandardisedImprint(Result):
    """Standardised imprints of several models on the same pairs.

    Attributes:
        models (`dict[str, tuple[StandardisedRow, ...]]`): One row per feature, by model.
        changes (`dict[str, tuple[StandardisedRow, ...]]`): `later - earlier` for neighbouring models, and for the last and the
            first of more than two; with a baseline, also every other model against it.
        scales (`dict[str, float]`): Reward points per unit, by model; nan where undefined.
        unit (`str`): The unit, in words.
        n_pairs (`int`): Pairs.
        n_clusters (`int`): Prompts.
        covariance (`str`): How errors are computed.
        adjust (`str`): How p-values are adjusted.
    """

    models: dict[str, tuple[StandardisedRow, ...]]
    changes: dict[str, tuple[StandardisedRow, ...]]
    scales: dict[str, float]
    unit: str
    n_pairs: int
    n_clusters: int
    covariance: str
    adjust: str


def standardised_imprint(
    chosen_rewards: Mapping[str, ArrayLike],
    rejected_rewards: Mapping[str, ArrayLike],
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    baseline: str | None = None,
    unit: Unit = "sd",
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
    min_information: float = 1.0,
) -> StandardisedImprint:
    """Estimate imprints and their changes in units that make models comparable.

    A model whose rewards are three times another's has the same preferences: its imprint in points is three times as large,
    and its standardised imprint is the same.

    Args:
        chosen_rewards (`Mapping[str, array-like of shape (n,)]`): Rewards of the chosen responses by model, in the order of
            training.
        rejected_rewards (`Mapping[str, array-like of shape (n,)]`): Rewards of the rejected responses by the same models.
        chosen_features (array-like of shape (n, k)): Features of the chosen responses.
        rejected_features (array-like of shape (n, k)): Features of the rejected responses.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids, the fixed effect and the cluster; each pair is its own prompt
            when omitted.
        baseline (`str`, *optional*): Model that every other one is compared with.
        unit (`"sd"` or `"logit"`): Standard deviations of the model's rewards within prompts, or log-odds of a choice: points
            divided by the temperature that fits expit(margin / temperature) to the human choices.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted over the features.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_information (`float`, defaults to 1.0): Effective degrees of freedom that a feature needs to get numbers.

    Returns:
        `StandardisedImprint`: Rows by model and by change. Undefined numbers are nan; the status gives the reason.

    Raises:
        DataError: Shapes or models differ, an entry is not a finite number, or an option is not valid.

    Source: SEAL, Eq. (1), over an estimated scale by the delta method (Oehlert, 1992); errors as in `feature_imprint`;
    equivalence by Schuirmann (1987); robustness by Cinelli and Hazlett (2020).

    Example: politeness is worth two of three points between responses to both models, one of which counts in thirds.

    ```python
    >>> chosen, rejected = [3.0, 6.0, 2.0, 5.0], [1.0, 3.0, 3.0, 4.0]
    >>> fit = standardised_imprint(
    ...     {"pre": chosen, "post": [3 * r for r in chosen]}, {"pre": rejected, "post": [3 * r for r in rejected]},
    ...     [[1], [1], [0], [1]], [[0], [0], [1], [0]], ["polite"],
    ... )
    >>> fit.changes["post - pre"][0].estimate, round(fit.scales["post"] / fit.scales["pre"], 6)
    (0.0, 3.0)

    ```
    """
    return standardised_imprints(
        chosen_rewards,
        rejected_rewards,
        chosen_features,
        rejected_features,
        feature_names,
        groups=groups,
        baseline=baseline,
        units=(unit,),
        adjust=adjust,
        confidence=confidence,
        min_information=min_information,
    )[unit]


def standardised_imprints(
    chosen_rewards: Mapping[str, ArrayLike],
    rejected_rewards: Mapping[str, ArrayLike],
    chosen_features: ArrayLike,
    rejected_features: ArrayLike,
    feature_names: Sequence[str],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    baseline: str | None = None,
    units: Sequence[Unit] = ("sd", "logit"),
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
    min_information: float = 1.0,
) -> dict[Unit, StandardisedImprint]:
    """Estimate a `standardised_imprint` in several units by one regression.

    Args:
        chosen_rewards (`Mapping[str, array-like of shape (n,)]`): As for `standardised_imprint`, like the other arguments.
        rejected_rewards (`Mapping[str, array-like of shape (n,)]`): Of the rejected responses.
        chosen_features (array-like of shape (n, k)): Features of the chosen responses.
        rejected_features (array-like of shape (n, k)): Features of the rejected responses.
        feature_names (`Sequence[str]`): The k names.
        groups (sequence of shape (n,), *optional*): Prompt ids.
        baseline (`str`, *optional*): Model that every other one is compared with.
        units (`Sequence[Unit]`): The units.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_information (`float`, defaults to 1.0): Effective degrees of freedom that a feature needs.

    Returns:
        `dict[Unit, StandardisedImprint]`: One result for each unit.

    Raises:
        DataError: As for `standardised_imprint`.
    """
    names = unique_names(feature_names)
    for unit in units:
        one_of(unit, "unit", get_args(Unit))
    chosen, rejected = model_rewards(chosen_rewards, rejected_rewards)
    n, models = len(chosen), list(chosen_rewards)
    features = [
        matrix(values, f"{side}_features", n, len(names))
        for side, values in (("chosen", chosen_features), ("rejected", rejected_features))
    ]
    prompts = np.arange(n) if groups is None else group_codes(groups, "groups")
    same_length(chosen_rewards=chosen, groups=prompts)
    settings = RegressionSettings(names, "fixed", "cr2", {}, None, adjust, confidence, min_information, 1, 0)
    codes = np.tile(prompts, 2)
    design = within_design(np.vstack([chosen, rejected]), np.vstack(features), codes, None, settings)
    regression = regress([design], settings)
    influences = cluster_influences(design.rows, design.outcomes, design.clusters, regression.fit.solution)
    pairs = change_pairs(len(models), position_of(baseline, models))
    results: dict[Unit, StandardisedImprint] = {}
    for unit in units:
        scaled = _Scaled(regression, design, influences, _scales(unit, chosen - rejected, prompts, design))
        results[unit] = StandardisedImprint(
            models={name: scaled.rows(model) for model, name in enumerate(models)},
            changes={f"{models[later]} - {models[earlier]}": scaled.rows(later, earlier) for earlier, later in pairs},
            scales={name: 1 / scale.weight for name, scale in zip(models, scaled.scales, strict=True)},
            unit={"sd": "standard deviations of reward within prompts", "logit": "log-odds of a choice"}[unit],
            n_pairs=n,
            n_clusters=design.counts.n_clusters,
            covariance="clustered by prompt, bias-reduced (CR2), with the scale's uncertainty; Satterthwaite degrees of "
            "freedom",
            adjust=adjust,
        )
    return results


class _Scaled:
    """Coefficients of all models in units, with each prompt's influence on them."""

    def __init__(self, regression: Regression, design: WithinDesign, influences: Floats, scales: list[Scale]) -> None:
        self.regression, self.scales = regression, scales
        self.outcomes, self.rows_of = design.outcomes, design.rows
        solution = regression.fit.solution
        self.identified = solution.identified
        self.points = np.where(solution.identified[:, None], solution.coefficients, math.nan)
        self.influences = [
            scale.weight * influence + scale.influence[:, None] * solution.coefficients[:, model]
            for model, (scale, influence) in enumerate(zip(scales, influences, strict=True))
        ]

    def rows(self, model: int, earlier: int | None = None) -> tuple[StandardisedRow, ...]:
        """Rows of a model, or of its change from an earlier one."""
        regression, solution = self.regression, self.regression.fit.solution
        settings, totals, found = regression.settings, regression.totals, regression.covariances
        status, perfect = self.scales[model].status, found.perfect[model]
        estimates, influence = self.points[:, model] * self.scales[model].weight, self.influences[model]
        errors = np.sqrt((influence**2).sum(axis=0))
        outcome = self.outcomes[:, model] * self.scales[model].weight
        if earlier is not None:
            status = status if status != "ok" else self.scales[earlier].status
            before = self.points[:, earlier] * self.scales[earlier].weight
            sizes, largest = (
                errors + np.sqrt((self.influences[earlier] ** 2).sum(axis=0)),
                np.abs(estimates) + np.abs(before),
            )
            errors = np.sqrt(((influence - self.influences[earlier]) ** 2).sum(axis=0))
            errors = np.where(errors > SAME * sizes, errors, 0.0)
            estimates = estimates - before
            estimates = np.where(np.abs(estimates) > SAME * largest, estimates, estimates * 0.0)
            outcome = outcome - self.outcomes[:, earlier] * self.scales[earlier].weight
            perfect = perfect and found.perfect[earlier]
        measurable = (perfect or regression.fit.has_errors) and totals.counts.n_clusters > 1
        inference = infer(
            estimates,
            np.full(len(errors), math.nan) if perfect or not regression.fit.has_errors else errors,
            found.degrees,
            constant=~totals.varying,
            uninformed=~np.isnan(self.points[:, model]) & uninformed_features(regression) & regression.fit.has_errors,
            why_no_error="no_residual_variation" if measurable else "too_few_clusters",
            adjust=settings.adjust,
            confidence=settings.confidence,
        )
        residuals = outcome - self.rows_of @ np.where(np.isnan(estimates), 0.0, estimates)
        left = np.diag(solution.bread) * float(residuals @ residuals)
        with np.errstate(divide="ignore", invalid="ignore"):
            strength = robustness_value(inference.coefficients**2 / left)
        return _lay_out(regression, inference, np.where(np.isnan(inference.errors), math.nan, strength), status)


def _lay_out(
    regression: Regression, inference: Inference, strength: Floats, status: str
) -> tuple[StandardisedRow, ...]:
    settings, totals, degrees = regression.settings, regression.totals, regression.covariances.degrees
    half = special.stdtrit(np.where(degrees > 0, degrees, math.nan), settings.confidence) * inference.errors
    bounds = np.abs(inference.coefficients) + half
    return tuple(
        StandardisedRow(
            feature=name,
            estimate=float(inference.coefficients[i]),
            std_error=float(inference.errors[i]),
            degrees_of_freedom=float(degrees[i]),
            p_value=float(inference.p_values[i]),
            p_adjusted=float(inference.p_adjusted[i]),
            confidence_interval=(float(inference.low[i]), float(inference.high[i])),
            minimum_detectable_effect=float(inference.detectable[i]),
            equivalence_bound=float(bounds[i]),
            robustness_value=float(strength[i]),
            n_discordant=int(totals.discordant[i]),
            status=status if status != "ok" and totals.varying[i] else inference.statuses[i],
        )
        for i, name in enumerate(settings.names)
    )


def model_rewards(chosen: Mapping[str, ArrayLike], rejected: Mapping[str, ArrayLike]) -> tuple[Floats, Floats]:
    """Rewards of both sides, of shape (n, m)."""
    for argument, rewards in (("chosen_rewards", chosen), ("rejected_rewards", rejected)):
        if not isinstance(rewards, Mapping):
            raise DataError(
                f"{argument} is a {type(rewards).__name__}; give a mapping of models' names to their rewards"
            )
    if not chosen or list(chosen) != list(rejected):
        raise DataError(
            f"chosen_rewards and rejected_rewards must name the same models, one or more, in one order; got {list(chosen)} "
            f"and {list(rejected)}"
        )
    sides = []
    for argument, rewards in (("chosen_rewards", chosen), ("rejected_rewards", rejected)):
        columns = {}
        for model, values in rewards.items():
            name = f"{argument}[{model!r}]"
            columns[name] = without_vanishing(finite(values, name), name)
        same_length(**columns)
        sides.append(np.column_stack(list(columns.values())))
    same_length(chosen_rewards=sides[0], rejected_rewards=sides[1])
    return sides[0], sides[1]


def _scales(unit: Unit, margins: Floats, prompts: Codes, design: WithinDesign) -> list[Scale]:
    """The scale of each model."""
    if unit == "logit":
        return [logit_scale(margin, prompts) for margin in margins.T]
    if design.clusters is None:
        # A row is the difference of a prompt's two texts: its square is twice the sum of squares.
        squares: Floats = design.outcomes**2 / 2
        freedom: Floats = np.ones(len(squares))
    else:
        squares = group_sums(design.outcomes**2, design.clusters, design.counts.n_clusters)
        freedom = np.asarray(np.bincount(design.clusters) - 1, dtype=np.float64)
    return [spread_scale(column, freedom) for column in squares.T]

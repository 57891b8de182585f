"""Results of imprint estimators: frozen rows, tests and trajectories."""

from __future__ import annotations

from dataclasses import dataclass

from seal_datasets.estimate.intervals import Interval
from seal_datasets.estimate.result import Result


@dataclass(frozen=True, slots=True)
class ImprintRow(Result):
    """The imprint of one feature.

    Attributes:
        feature (`str`): Name.
        coefficient (`float`): Reward points between a text with the feature and one without it, other features fixed.
        std_error (`float`): Standard error of the kind named in `FeatureImprint.covariance`.
        p_value (`float`): Two-sided.
        p_adjusted (`float`): Adjusted within the family of this regression.
        confidence_interval (`tuple[float, float]`): Around the coefficient, not adjusted.
        simultaneous_interval (`tuple[float, float]`): Holds for all features of the regression at once (max-t).
        degrees_of_freedom (`float`): Of the t reference. Under CR2 the effective ones of this feature, about the number of
            prompts that inform it; under other errors the clusters less one. nan where the data do not determine the error.
        standardised (`float`): Standard deviations of reward per standard deviation of the feature, both within prompts
            under fixed effects: comparable between reward models.
        minimum_detectable_effect (`float`): Smallest coefficient detected at 80 % power by a test at the family's
            Bonferroni level (Bloom, 1995).
        n_discordant (`int`): Prompts within which the feature differs; only these inform the estimate under fixed effects.
        vif (`float`): Variance inflation factor, within prompts under fixed effects.
        status (`str`): `ok`; `not_identified` (never differs within a prompt); `collinear` (an exact combination of other
            features); `dropped_vif` (dropped by `max_vif`); `too_little_information` (fewer effective degrees of freedom than
            `min_information`, or an error that the data do not determine); `too_few_clusters`;
            `no_residual_variation` (no error to measure).
    """

    feature: str
    coefficient: float
    std_error: float
    p_value: float
    p_adjusted: float
    confidence_interval: Interval
    simultaneous_interval: Interval
    degrees_of_freedom: float
    standardised: float
    minimum_detectable_effect: float
    n_discordant: int
    vif: float
    status: str


@dataclass(frozen=True, slots=True)
class BlockTest(Result):
    """A joint test that the imprints of several features are all zero.

    Attributes:
        block (`str`): Name.
        features (`tuple[str, ...]`): Features tested: those of the block with an estimate and an error.
        n_withheld (`int`): Other features of the block.
        statistic (`float`): F statistic; under CR2 the AHT test's.
        degrees_of_freedom (`tuple[float, float]`): Of numerator and denominator.
        p_value (`float`): nan without a testable feature, or with too little information for so many.
        p_adjusted (`float`): Adjusted within the blocks.
    """

    block: str
    features: tuple[str, ...]
    n_withheld: int
    statistic: float
    degrees_of_freedom: tuple[float, float]
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class FeatureImprint(Result):
    """A regression of rewards on features.

    Attributes:
        imprint (`tuple[ImprintRow, ...]`): One row per feature, in the order given.
        n_texts (`int`): Texts given.
        n_groups (`int`): Prompts, including those with a single text.
        n_singletons (`int`): Prompts with a single text, which prompt effects absorb.
        n_clusters (`int`): Clusters used.
        effects (`str`): `fixed` or `pooled`.
        covariance (`str`): How errors are computed.
        adjust (`str`): How p-values are adjusted.
        family_size (`int`): Number of tests adjusted for.
        family (`str`): These tests, in words.
        condition_number (`float`): Of the scaled design; above 30 features are nearly collinear.
        dropped (`tuple[tuple[str, float], ...]`): Features dropped by `max_vif`, in order, with their factor at that step.
        blocks (`tuple[BlockTest, ...]`): Joint tests.
    """

    imprint: tuple[ImprintRow, ...]
    n_texts: int
    n_groups: int
    n_singletons: int
    n_clusters: int
    effects: str
    covariance: str
    adjust: str
    family_size: int
    family: str
    condition_number: float
    dropped: tuple[tuple[str, float], ...] = ()
    blocks: tuple[BlockTest, ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureChange(Result):
    """A joint test that a feature's imprint is the same under several models, on the same rows.

    Attributes:
        feature (`str`): Name.
        statistic (`float`): F statistic of no change; under CR2 the AHT test's.
        degrees_of_freedom (`tuple[float, float]`): Of numerator and denominator.
        p_value (`float`): nan without a testable feature.
        p_adjusted (`float`): Adjusted over the features.
    """

    feature: str
    statistic: float
    degrees_of_freedom: tuple[float, float]
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class ImprintTrajectory(Result):
    """Imprints of several models or checkpoints on the same texts.

    Attributes:
        models (`dict[str, FeatureImprint]`): By model, in the order given.
        changes (`dict[str, FeatureImprint]`): `later - earlier` for neighbouring models, and for the last and the first of
            more than two; with a baseline, also every other model against it. Coefficients are differences; errors include the
            covariance of the two models.
        any_change (`tuple[FeatureChange, ...]`): For each feature a joint test of no change between any models.
        adjust (`str`): How p-values are adjusted.
        family (`str`): The tests of each adjustment, in words.
    """

    models: dict[str, FeatureImprint]
    changes: dict[str, FeatureImprint]
    any_change: tuple[FeatureChange, ...]
    adjust: str
    family: str

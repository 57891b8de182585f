"""Statistics of the package: arrays in, frozen results out. NumPy, SciPy, pandas and statsmodels only.

| quantity | source | function |
|----------|--------|----------|
| alignment score, resistance, regimes | SEAL section 2.2, Table 1 | `alignment_resistance` |
| resistance of several models, and its change | section 2.2 | `resistance_trajectory` |
| reward shift | Definition 1 | `reward_shift` |
| feature imprint on rewards | Eq. (1) | `feature_imprint` |
| imprints of several models, and their change | Eq. (1) | `imprint_trajectory`, `streamed_imprint` |
| feature imprint on the reward shift | Eq. (2) | `shift_imprint` |
| drivers of misalignment | Eq. (3) | `misalignment_drivers` |
| alignment robustness | Eq. (4) | `alignment_robustness` |
| labeler preference and agreement | section 2.2, Table 1 | `labeler_agreement` |
| balance of spoilers, consistency of preferences | Discussion | `spoiler_balance` |
| agreement of labels with gold labels | | `label_accuracy`, `label_error_rates`, `implied_error_rate` |
| agreement between labelers | | `labeler_stability` |
| effect of an attribute, by rewriting twice | RATE | `treatment_effect` |
| difference of independent estimates | Wald, Cochran | `compare_estimates` |
| calibration of a labeler's probabilities | Platt | `calibrate_probabilities` |
| imprints from labels with errors | DSL, MC-SIMEX | `corrected_imprint`, `simex_imprint`, `label_error_curve` |
"""

from __future__ import annotations

from seal_datasets.estimate.agreement import (
    Agreement,
    LabelAccuracy,
    LabelerAgreement,
    RegimeTest,
    clearly_rejected,
    label_accuracy,
    labeler_agreement,
    labeler_preference,
)
from seal_datasets.estimate.balance import Contrast, SpoilerBalance, SpoilerContrast, TargetContrast, spoiler_balance
from seal_datasets.estimate.binary_regression import BinaryRow
from seal_datasets.estimate.calibration import Calibration, calibrate_probabilities, implied_rates
from seal_datasets.estimate.choice_prediction import ChoicePrediction
from seal_datasets.estimate.comparison import Difference, EstimateComparison, compare_estimates
from seal_datasets.estimate.consistency import Consistency, inconsistent_pairs
from seal_datasets.estimate.corrected_imprint import CorrectedImprint, CorrectedRow, corrected_imprint, simex_imprint
from seal_datasets.estimate.drivers import Driver, MisalignmentDrivers, misalignment_drivers
from seal_datasets.estimate.error_curve import ErrorCurve, label_error_curve
from seal_datasets.estimate.error_rates import ErrorRates, implied_error_rate, label_error_rates
from seal_datasets.estimate.imprint import feature_imprint, imprint_trajectory, streamed_imprint
from seal_datasets.estimate.imprint_results import (
    BlockTest,
    FeatureChange,
    FeatureImprint,
    ImprintRow,
    ImprintTrajectory,
)
from seal_datasets.estimate.intervals import wilson
from seal_datasets.estimate.resistance import (
    REGIMES,
    AlignmentResistance,
    MarginBin,
    NoiseAwareResistance,
    PairedTest,
    Regime,
    aligned_pairs,
    alignment_regimes,
    alignment_resistance,
)
from seal_datasets.estimate.resistance_trajectory import ResistanceTrajectory, resistance_trajectory
from seal_datasets.estimate.robustness import AlignmentRobustness, RobustnessScore, alignment_robustness
from seal_datasets.estimate.shift import (
    AngleSummary,
    MarginShift,
    RewardShift,
    ShiftPart,
    reward_shift,
    reward_shift_angles,
)
from seal_datasets.estimate.shift_imprint import ShiftImprint, ShiftImprintRow, shift_imprint
from seal_datasets.estimate.stability import LabelerStability, PairStability, labeler_stability
from seal_datasets.estimate.treatment import (
    RewriteRejection,
    TreatmentEffect,
    TreatmentEffects,
    rewrite_selection,
    treatment_effect,
)
from seal_datasets.estimate.within_prompt import Texts

__all__ = [
    "Agreement",
    "AlignmentResistance",
    "AlignmentRobustness",
    "AngleSummary",
    "BinaryRow",
    "BlockTest",
    "ChoicePrediction",
    "Consistency",
    "Contrast",
    "CorrectedImprint",
    "CorrectedRow",
    "Difference",
    "Driver",
    "ErrorCurve",
    "ErrorRates",
    "EstimateComparison",
    "FeatureChange",
    "FeatureImprint",
    "ImprintRow",
    "ImprintTrajectory",
    "LabelAccuracy",
    "LabelerAgreement",
    "LabelerStability",
    "MarginBin",
    "MarginShift",
    "MisalignmentDrivers",
    "NoiseAwareResistance",
    "PairStability",
    "PairedTest",
    "REGIMES",
    "Regime",
    "RegimeTest",
    "ResistanceTrajectory",
    "RewardShift",
    "RewriteRejection",
    "RobustnessScore",
    "ShiftImprint",
    "ShiftImprintRow",
    "ShiftPart",
    "SpoilerBalance",
    "SpoilerContrast",
    "TargetContrast",
    "Texts",
    "TreatmentEffect",
    "TreatmentEffects",
    "aligned_pairs",
    "alignment_regimes",
    "alignment_resistance",
    "alignment_robustness",
    "clearly_rejected",
    "compare_estimates",
    "corrected_imprint",
    "feature_imprint",
    "implied_error_rate",
    "imprint_trajectory",
    "inconsistent_pairs",
    "label_accuracy",
    "label_error_curve",
    "label_error_rates",
    "labeler_agreement",
    "labeler_preference",
    "labeler_stability",
    "misalignment_drivers",
    "resistance_trajectory",
    "reward_shift",
    "reward_shift_angles",
    "shift_imprint",
    "simex_imprint",
    "spoiler_balance",
    "streamed_imprint",
    "rewrite_selection",
    "treatment_effect",
    "wilson",
    "Calibration",
    "calibrate_probabilities",
    "implied_rates",
]

"""Statistics of the package: arrays in, frozen results out. NumPy, SciPy, pandas and statsmodels only.

- `alignment_resistance`: alignment score, resistance, regimes (SEAL section 2.2, Table 1).
- `best_of_n_accuracy`, `ties_score`: whether the best of several responses is correct (RewardBench 2).
- `style_matrix`: accuracy by the style of both responses (RM-Bench).
- `group_differences`: a share or mean by group, and whether groups differ.
- `resistance_trajectory`: resistance of several models, and its change (section 2.2).
- `rank_models`: models by resistance, with intervals for their ranks.
- `reward_shift`: reward shift (Definition 1).
- `reward_calibration`: whether the margin is a probability (temperature, reliability, Brier score).
- `congruent_accuracy`, `ruler_accuracy`: accuracy where a feature is right or wrong, and of features alone.
- `amplification`: what a model gives a feature beyond what people asked for.
- `feature_imprint`: feature imprint on rewards (Eq. (1)).
- `imprint_trajectory`, `streamed_imprint`: imprints of several models, and their change (Eq. (1)).
- `standardised_imprint`: imprints and their changes in units that make models comparable (Eq. (1)).
- `memorisation_gap`: a quantity on the pairs trained on, less the same on held-out pairs.
- `shift_imprint`: feature imprint on the reward shift (Eq. (2)).
- `misalignment_drivers`: drivers of misalignment (Eq. (3)).
- `alignment_robustness`: alignment robustness (Eq. (4)).
- `labeler_agreement`: labeler preference and agreement (section 2.2, Table 1).
- `spoiler_balance`: balance of spoilers, consistency of preferences (Discussion).
- `label_accuracy`, `label_error_rates`, `implied_error_rate`: agreement of labels with gold labels.
- `probability_worth`: area under the ROC curve and Brier score of a labeler's probabilities.
- `labeler_stability`: agreement between labelers.
- `treatment_effect`: effect of an attribute, by rewriting twice (RATE).
- `compare_estimates`: difference of independent estimates (Wald, Cochran).
- `calibrate_probabilities`: calibration of a labeler's probabilities (Platt).
- `corrected_units`, `corrected_drivers`, `corrected_amplification`, `corrected_agreement`: corrected by gold labels (DSL).
- `corrected_imprint`, `known_rates_imprint`, `simex_imprint`, `label_error_curve`: imprints from labels with errors (DSL,
  corrected scores, MC-SIMEX).
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
from seal_datasets.estimate.amplification import Amplification, AmplificationRow, amplification
from seal_datasets.estimate.balance import Contrast, SpoilerBalance, SpoilerContrast, TargetContrast, spoiler_balance
from seal_datasets.estimate.best_of_n import BestOfN, best_of_n_accuracy
from seal_datasets.estimate.binary_regression import BinaryRow
from seal_datasets.estimate.calibration import Calibration, calibrate_probabilities, implied_rates
from seal_datasets.estimate.calibration_error import CalibrationError, ReliabilityBin
from seal_datasets.estimate.choice_prediction import ChoicePrediction
from seal_datasets.estimate.comparison import Difference, EstimateComparison, compare_estimates
from seal_datasets.estimate.congruence import CongruenceRow, CongruentAccuracy, PartAccuracy, congruent_accuracy
from seal_datasets.estimate.consistency import Consistency, inconsistent_pairs
from seal_datasets.estimate.corrected_agreement import corrected_agreement
from seal_datasets.estimate.corrected_amplification import corrected_amplification
from seal_datasets.estimate.corrected_drivers import corrected_drivers
from seal_datasets.estimate.corrected_imprint import corrected_imprint
from seal_datasets.estimate.corrected_inference import CorrectedImprint, CorrectedRow
from seal_datasets.estimate.corrected_units import corrected_units
from seal_datasets.estimate.drivers import Driver, MisalignmentDrivers, misalignment_drivers
from seal_datasets.estimate.error_curve import ErrorCurve, label_error_curve
from seal_datasets.estimate.error_rates import ErrorRates, implied_error_rate, label_error_rates
from seal_datasets.estimate.group_differences import GroupDifferences, GroupMean, group_differences
from seal_datasets.estimate.imprint import feature_imprint, imprint_trajectory, streamed_imprint
from seal_datasets.estimate.imprint_results import (
    BlockTest,
    FeatureChange,
    FeatureImprint,
    ImprintRow,
    ImprintTrajectory,
)
from seal_datasets.estimate.intervals import wilson
from seal_datasets.estimate.known_error_rates import known_rates_imprint, simex_imprint
from seal_datasets.estimate.memory import MemorisationGap, memorisation_gap
from seal_datasets.estimate.probability_worth import ProbabilityWorth, probability_worth
from seal_datasets.estimate.ranking import ModelRanking, RankedModel, rank_models
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
from seal_datasets.estimate.reward_calibration import RewardCalibration, reward_calibration
from seal_datasets.estimate.robustness import AlignmentRobustness, RobustnessScore, alignment_robustness
from seal_datasets.estimate.rulers import BestRuler, Ruler, RulerAccuracy, ruler_accuracy
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
from seal_datasets.estimate.standardised import StandardisedImprint, StandardisedRow, standardised_imprint
from seal_datasets.estimate.style_matrix import StyleAccuracy, StyleMatrix, style_matrix
from seal_datasets.estimate.ties import TiesScore, ties_score
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
    "Amplification",
    "AmplificationRow",
    "AngleSummary",
    "BestOfN",
    "BestRuler",
    "BinaryRow",
    "BlockTest",
    "CalibrationError",
    "ChoicePrediction",
    "CongruenceRow",
    "CongruentAccuracy",
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
    "GroupDifferences",
    "GroupMean",
    "ImprintRow",
    "ImprintTrajectory",
    "LabelAccuracy",
    "LabelerAgreement",
    "LabelerStability",
    "MarginBin",
    "MarginShift",
    "MemorisationGap",
    "MisalignmentDrivers",
    "ModelRanking",
    "NoiseAwareResistance",
    "PairStability",
    "PairedTest",
    "PartAccuracy",
    "ProbabilityWorth",
    "REGIMES",
    "RankedModel",
    "Regime",
    "RegimeTest",
    "ReliabilityBin",
    "ResistanceTrajectory",
    "RewardCalibration",
    "RewardShift",
    "RewriteRejection",
    "RobustnessScore",
    "Ruler",
    "RulerAccuracy",
    "ShiftImprint",
    "ShiftImprintRow",
    "StyleAccuracy",
    "StyleMatrix",
    "StandardisedImprint",
    "StandardisedRow",
    "ShiftPart",
    "SpoilerBalance",
    "SpoilerContrast",
    "TargetContrast",
    "Texts",
    "TiesScore",
    "TreatmentEffect",
    "TreatmentEffects",
    "aligned_pairs",
    "alignment_regimes",
    "alignment_resistance",
    "alignment_robustness",
    "amplification",
    "best_of_n_accuracy",
    "clearly_rejected",
    "compare_estimates",
    "congruent_accuracy",
    "corrected_agreement",
    "corrected_amplification",
    "corrected_drivers",
    "corrected_imprint",
    "corrected_units",
    "feature_imprint",
    "group_differences",
    "implied_error_rate",
    "imprint_trajectory",
    "inconsistent_pairs",
    "known_rates_imprint",
    "label_accuracy",
    "label_error_curve",
    "label_error_rates",
    "labeler_agreement",
    "labeler_preference",
    "labeler_stability",
    "memorisation_gap",
    "misalignment_drivers",
    "probability_worth",
    "rank_models",
    "resistance_trajectory",
    "reward_calibration",
    "reward_shift",
    "reward_shift_angles",
    "ruler_accuracy",
    "shift_imprint",
    "simex_imprint",
    "standardised_imprint",
    "spoiler_balance",
    "style_matrix",
    "ties_score",
    "streamed_imprint",
    "rewrite_selection",
    "treatment_effect",
    "wilson",
    "Calibration",
    "calibrate_probabilities",
    "implied_rates",
]

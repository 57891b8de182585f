"""Reward calibration as an `evaluate` module: a wrapper of `seal_datasets.estimate.reward_calibration`."""

import datasets
import evaluate

from seal_datasets.estimate import reward_calibration
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
Reward calibration says whether expit(chosen - rejected reward), the Bradley-Terry probability, is the probability that
humans choose that response: temperature, reliability curve, expected calibration error, Brier score and log loss.
"""

_KWARGS_DESCRIPTION = """
Args:
    chosen_rewards (`list[float]`): Reward of the chosen response of each pair.
    rejected_rewards (`list[float]`): Reward of the rejected response of each pair.
    groups (`list`, *optional*): Prompt id of each pair, to cluster errors by.
    n_bins (`int`, defaults to 10): Bins of the reliability curve; fewer with fewer than ten prompts for each.
    confidence (`float`, defaults to 0.95): Level of the intervals.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready values. An undefined value is `None`, and a status gives the reason.
    `temperature` (above 1 for an overconfident model) and its inverse `slope`, `brier`, `log_loss` and
    `calibration_error`, each with an interval, and `curve`: accuracy by promised accuracy; besides these counts.

Raises:
    DataError: Lengths differ, or a value is missing or not finite. The message names the input and the first bad row.

Examples:

    Margins of 2 promise 88 % of pairs right, and three of four are:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("reward_calibration"))  # or "seal/reward_calibration"
    >>> result = metric.compute(chosen_rewards=[2, 2, 2, 2], rejected_rewards=[0, 0, 0, 4])
    >>> round(result["temperature"], 3), round(result["calibration_error"]["observed"], 3)
    (1.82, 0.131)

    A model that is right in every pair has no finite temperature:

    >>> result = metric.compute(chosen_rewards=[2, 2], rejected_rewards=[0, 1])
    >>> result["temperature"], result["temperature_status"]
    (None, 'perfect_ranking')
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class RewardCalibration(TableInput, evaluate.Metric):
    """Reward calibration; see the module's description."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {"chosen_rewards": datasets.Value("float64"), "rejected_rewards": datasets.Value("float64")}
            ),
            license="MIT",
        )

    def _compute(self, chosen_rewards, rejected_rewards, groups=None, n_bins=10, confidence=0.95):
        return reward_calibration(
            chosen_rewards, rejected_rewards, groups=groups, n_bins=n_bins, confidence=confidence
        ).to_dict()

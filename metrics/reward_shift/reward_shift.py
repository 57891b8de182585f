"""Reward shift as an `evaluate` module: a wrapper of `seal_datasets.estimate.reward_shift`."""

import datasets
import evaluate

from seal_datasets.estimate import reward_shift
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
The reward shift of a pair is the angle, in degrees, between its vector of rewards (chosen, rejected) before and after
training. A positive angle is counter-clockwise in the plane of the two rewards. Which response it favours depends on
the quadrant, so compare it by regime. The paper's arccos has no sign; its mean is `mean_absolute_degrees`.
"""

_KWARGS_DESCRIPTION = """
Args:
    pre_chosen_rewards (`list[float]`): Reward of the chosen response of each pair before training.
    pre_rejected_rewards (`list[float]`): Reward of the rejected response of each pair before training.
    chosen_rewards (`list[float]`): The same after training.
    rejected_rewards (`list[float]`): The same after training.
    groups (`list`, *optional*): Prompt id of each pair, to cluster errors by.
    by (`list`, *optional*): A label of each pair, such as its regime, to summarise by.
    pre_reference_rewards (`list[float]`, *optional*): Pre-training rewards of a reference set to centre on; the texts
        of all pairs when omitted.
    reference_rewards (`list[float]`, *optional*): Post-training rewards of the same texts.
    return_angles (`bool`, defaults to `False`): Whether to return the angle of every pair as well.
    confidence (`float`, defaults to 0.95): Level of the interval.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready values. An undefined value is `None`, and a status gives the reason.
    `mean_degrees` with `std_error` and `confidence_interval`, `median_degrees` (both signed),
    `mean_absolute_degrees`, `circular_mean_degrees`, `resultant_length`, `circular_std_degrees`, `n_pairs`, `n_undefined`
    (a zero vector has no direction), `status`; the same under `centred`, and the `margin`'s change, neither of which depends
    on the rewards' origin; `reference`, `warning`, the parts given as `by`; and with `return_angles` the `angles`.

Raises:
    DataError: Lengths or shapes differ, or a value is missing or not finite. The message names the input and the first
        bad row.

Examples:

    A quarter turn towards the rejected response, and one towards the chosen:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("reward_shift"))  # or "seal/reward_shift"
    >>> before = {"pre_chosen_rewards": [1.0, 0.0], "pre_rejected_rewards": [0.0, 2.0]}
    >>> result = metric.compute(**before, chosen_rewards=[0.0, 3.0], rejected_rewards=[1.0, 0.0], return_angles=True)
    >>> result["angles"], result["mean_degrees"], result["mean_absolute_degrees"]
    ([90.0, -90.0], 0.0, 90.0)

    A model that gives nothing has no direction:

    >>> result = metric.compute(**before, chosen_rewards=[0.0, 0.0], rejected_rewards=[0.0, 0.0])
    >>> result["mean_degrees"], result["n_undefined"], result["status"]
    (None, 2, 'every pair has a zero reward vector')
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class RewardShift(TableInput, evaluate.Metric):
    """Reward shift; see the module's description."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "pre_chosen_rewards": datasets.Value("float64"),
                    "pre_rejected_rewards": datasets.Value("float64"),
                    "chosen_rewards": datasets.Value("float64"),
                    "rejected_rewards": datasets.Value("float64"),
                }
            ),
            license="MIT",
        )

    def _compute(
        self,
        pre_chosen_rewards,
        pre_rejected_rewards,
        chosen_rewards,
        rejected_rewards,
        groups=None,
        by=None,
        pre_reference_rewards=None,
        reference_rewards=None,
        return_angles=False,
        confidence=0.95,
    ):
        return reward_shift(
            pre_chosen_rewards,
            pre_rejected_rewards,
            chosen_rewards,
            rejected_rewards,
            groups=groups,
            by=by,
            pre_reference_rewards=pre_reference_rewards,
            reference_rewards=reference_rewards,
            confidence=confidence,
        ).to_dict(angles=return_angles)

"""Amplification as an `evaluate` module: a wrapper of `seal_datasets.estimate.amplification`."""

import datasets
import evaluate

from seal_datasets.estimate import amplification
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
Amplification is what a reward model gives a feature beyond what people asked for. One conditional logit on the pairs'
differences of features is fitted to the human choices, and again to the model's calibrated probabilities of these
choices; amplification is the difference of the coefficients, in log-odds.
"""

_KWARGS_DESCRIPTION = """
Args:
    chosen_rewards (`list[float]`): Reward of the chosen response of each pair.
    rejected_rewards (`list[float]`): Reward of the rejected response of each pair.
    chosen_features (`list[list[float]]`): Values of the k features of the chosen response of each pair.
    rejected_features (`list[list[float]]`): Values of the k features of the rejected response of each pair.
    feature_names (`list[str]`): The k names.
    groups (`list`, *optional*): Prompt id of each pair, to cluster errors by.
    calibration (`str`, defaults to `"temperature"`): `"temperature"` fits expit(margin / temperature) to the choices,
        `"curve"` adds a term that saturates at large margins, `"none"` takes expit(margin) as it is.
    adjust (`str`, defaults to `"holm"`): Adjustment of p-values: `"bonferroni"`, `"holm"` or `"bh"`.
    confidence (`float`, defaults to 0.95): Level of the intervals.
    min_discordant (`int`, defaults to 2): Fewest pairs that differ in a feature that give it numbers.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready values. An undefined value is `None`, and a status gives the reason.
    `features`: for each feature `asked` (coefficient of the human choices), `given` (of the model's probabilities),
    `amplification` (their difference), `std_error`, `degrees_of_freedom`, `p_value`, `p_adjusted`, `confidence_interval`,
    `score_estimate` and `score_p_value` (a regression of probability minus choice), and `status`; besides these
    `temperature` and counts.

Raises:
    DataError: Lengths or shapes differ, or a value is missing or not finite. The message names the input and the first
        bad row.

Examples:

    Humans chose the long response in three of four pairs, and the model gives it odds of e to 1:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("amplification"))  # or "seal/amplification"
    >>> chosen, rejected = [[1]] * 300 + [[0]] * 100, [[0]] * 300 + [[1]] * 100
    >>> rewards = [1] * 300 + [0] * 100, [0] * 300 + [1] * 100
    >>> result = metric.compute(
    ...     chosen_rewards=rewards[0], rejected_rewards=rewards[1], chosen_features=chosen, rejected_features=rejected,
    ...     feature_names=["long"], calibration="none",
    ... )
    >>> row = result["features"][0]
    >>> round(row["asked"], 2), round(row["given"], 2), round(row["amplification"], 2)
    (1.1, 1.0, -0.1)

    A model that is right in every pair has no finite temperature, so nothing can be compared:

    >>> result = metric.compute(
    ...     chosen_rewards=[1, 1], rejected_rewards=[0, 0], chosen_features=[[1], [0]], rejected_features=[[0], [1]],
    ...     feature_names=["long"],
    ... )
    >>> result["features"][0]["amplification"], result["status"]
    (None, 'perfect_ranking')
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class Amplification(TableInput, evaluate.Metric):
    """Amplification; see the module's description."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "chosen_rewards": datasets.Value("float64"),
                    "rejected_rewards": datasets.Value("float64"),
                    "chosen_features": datasets.List(datasets.Value("float64")),
                    "rejected_features": datasets.List(datasets.Value("float64")),
                }
            ),
            license="MIT",
        )

    def _compute(
        self,
        chosen_rewards,
        rejected_rewards,
        chosen_features,
        rejected_features,
        feature_names,
        groups=None,
        calibration="temperature",
        adjust="holm",
        confidence=0.95,
        min_discordant=2,
    ):
        return amplification(
            chosen_rewards,
            rejected_rewards,
            chosen_features,
            rejected_features,
            feature_names,
            groups=groups,
            calibration=calibration,
            adjust=adjust,
            confidence=confidence,
            min_discordant=min_discordant,
        ).to_dict()

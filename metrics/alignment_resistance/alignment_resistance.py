"""Alignment resistance as an `evaluate` module: a wrapper of `seal_datasets.estimate.alignment_resistance`."""

import datasets
import evaluate

from seal_datasets.estimate import alignment_resistance
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
Alignment resistance is the share of preference pairs on which a reward model does not score the chosen response above
the rejected one. It is 1 minus the alignment score, which is the model's accuracy on the pairs. A tie is not aligned.
With pre-training rewards, each pair also falls in one of four regimes.
"""

_KWARGS_DESCRIPTION = """
Args:
    chosen_rewards (`list[float]`): Reward of the chosen response of each pair.
    rejected_rewards (`list[float]`): Reward of the rejected response of each pair.
    pre_chosen_rewards (`list[float]`, *optional*): The same under the pre-training model.
    pre_rejected_rewards (`list[float]`, *optional*): The same under the pre-training model.
    groups (`list`, *optional*): Prompt id of each pair, to cluster intervals and tests by.
    tie_band (`float`, defaults to 0): Rewards at most this far apart are a tie, which is not aligned.
    label_noise (`float`, *optional*): Assumed share of annotation errors in the human choices, to correct resistance
        for.
    n_bins (`int`, defaults to 10): Bins of the margin's size.
    confidence (`float`, defaults to 0.95): Level of the intervals.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready values. An undefined value is `None`, and a status gives the reason.
    `alignment_score`, `alignment_resistance`, `confidence_interval` (Wilson, of the resistance), `n_pairs`, `n_ties`,
    `tie_band` and `margins` (resistance by size of the margin); with the rewards before training also
    `pre_alignment_score`, `regimes`, the `count`, `share` and `confidence_interval` of `stayed_aligned`, `became_aligned`,
    `stayed_misaligned` and `reversed_alignment`, and `change` (McNemar's test, or
    its form for prompts); with `label_noise` `noise_aware`. With `groups` every interval is clustered by prompt.

Raises:
    DataError: Lengths or shapes differ, or a value is missing or not finite. The message names the input and the first
        bad row.

Examples:

    The second pair is ranked against the human choice, the third is a tie:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("alignment_resistance"))  # or "seal/alignment_resistance"
    >>> result = metric.compute(chosen_rewards=[2.0, 0.5, 1.0, 3.0], rejected_rewards=[1.0, 1.5, 1.0, 0.0])
    >>> result["alignment_resistance"], result["n_ties"]
    (0.5, 1)
    >>> [round(bound, 3) for bound in result["confidence_interval"]]
    [0.15, 0.85]

    With rewards before training, from a table:

    >>> table = {"new_a": [2.0, 0.5], "new_b": [1.0, 1.5], "old_a": [0.0, 0.0], "old_b": [1.0, 1.0]}
    >>> columns = {"chosen_rewards": "new_a", "rejected_rewards": "new_b"}
    >>> columns |= {"pre_chosen_rewards": "old_a", "pre_rejected_rewards": "old_b"}
    >>> result = metric.compute(dataset=table, columns=columns)
    >>> {name: regime["count"] for name, regime in result["regimes"].items() if regime["count"]}
    {'became_aligned': 1, 'stayed_misaligned': 1}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class AlignmentResistance(TableInput, evaluate.Metric):
    """Alignment resistance; see the module's description."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "chosen_rewards": datasets.Value("float64"),
                    "rejected_rewards": datasets.Value("float64"),
                }
            ),
            license="MIT",
        )

    def _compute(
        self,
        chosen_rewards,
        rejected_rewards,
        pre_chosen_rewards=None,
        pre_rejected_rewards=None,
        groups=None,
        tie_band=0.0,
        label_noise=None,
        n_bins=10,
        confidence=0.95,
    ):
        return alignment_resistance(
            chosen_rewards,
            rejected_rewards,
            pre_chosen_rewards=pre_chosen_rewards,
            pre_rejected_rewards=pre_rejected_rewards,
            groups=groups,
            tie_band=tie_band,
            label_noise=label_noise,
            n_bins=n_bins,
            confidence=confidence,
        ).to_dict()

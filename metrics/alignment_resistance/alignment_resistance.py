"""Alignment resistance as an `evaluate` module: a thin shim over `seal_datasets.estimate.alignment_resistance`."""

import datasets
import evaluate

from seal_datasets.estimate import alignment_resistance
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
Alignment resistance is the share of preference pairs on which a reward model does not give the response that humans
chose a higher reward than the rejected one: what training did not get through to. It is 1 minus the alignment score,
the model's accuracy on the pairs. A tie is not aligned. With the rewards before training as well, each pair falls in
one of four regimes.
"""

_KWARGS_DESCRIPTION = """
Args:
    chosen_rewards (`list[float]`): Reward of the chosen response of each pair.
    rejected_rewards (`list[float]`): Reward of the rejected response of each pair.
    pre_chosen_rewards (`list[float]`, *optional*): The same before training on the preferences.
    pre_rejected_rewards (`list[float]`, *optional*): The same before training on the preferences.
    groups (`list`, *optional*): Prompt id of each pair, for intervals and tests clustered by prompt.
    tie_band (`float`, defaults to 0): Rewards no further apart than this are a tie, which is not aligned.
    label_noise (`float`, *optional*): Share of human choices taken to be slips, to see what resistance is left beyond them.
    n_bins (`int`, defaults to 10): Bins of the margin's size.
    n_bootstrap (`int`, defaults to 2000): Draws of the cluster bootstrap.
    confidence (`float`, defaults to 0.95): Level of the intervals.
    seed (`int`, defaults to 0): Of the draws.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A whole table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready numbers; an undefined one is `None`, with a status that says why.
    `alignment_score`, `alignment_resistance`, `confidence_interval` (Wilson, of the resistance), `n_pairs`, `n_ties`,
    `tie_band` and `margins` (resistance by size of the margin); with the rewards before training also
    `pre_alignment_score`, `regimes`, the `count`, `share` and `confidence_interval` of `stayed_aligned`, `became_aligned`,
    `stayed_misaligned` and `reversed_alignment`, and `change` (McNemar's test); with `groups` each `cluster_interval`; with
    `label_noise` `noise_aware`.

Raises:
    DataError: Lengths or shapes differ, or a value is missing or not finite; it names the input and its first bad row.

Examples:

    The second pair is ranked against the human choice, the third is a tie:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("alignment_resistance"))  # or "seal/alignment_resistance"
    >>> found = metric.compute(chosen_rewards=[2.0, 0.5, 1.0, 3.0], rejected_rewards=[1.0, 1.5, 1.0, 0.0])
    >>> found["alignment_resistance"], found["n_ties"]
    (0.5, 1)
    >>> [round(bound, 3) for bound in found["confidence_interval"]]
    [0.15, 0.85]

    With rewards before training, from a table:

    >>> table = {"new_a": [2.0, 0.5], "new_b": [1.0, 1.5], "old_a": [0.0, 0.0], "old_b": [1.0, 1.0]}
    >>> columns = {"chosen_rewards": "new_a", "rejected_rewards": "new_b"}
    >>> columns |= {"pre_chosen_rewards": "old_a", "pre_rejected_rewards": "old_b"}
    >>> found = metric.compute(dataset=table, columns=columns)
    >>> {name: regime["count"] for name, regime in found["regimes"].items() if regime["count"]}
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
        n_bootstrap=2000,
        confidence=0.95,
        seed=0,
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
            n_bootstrap=n_bootstrap,
            confidence=confidence,
            seed=seed,
        ).to_dict()

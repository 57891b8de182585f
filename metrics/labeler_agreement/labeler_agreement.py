"""Labeler agreement as an `evaluate` module: a wrapper of `seal_datasets.estimate.labeler_agreement`."""

import datasets
import evaluate

from seal_datasets.estimate import labeler_agreement
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
A labeler prefers the response with more of the first target feature, such as harmlessness. At a tie the next target,
such as helpfulness, decides; without a difference the labeler is indifferent. Labeler agreement is the share of its
preferences that are for the chosen response. Low agreement on pairs that a reward model resists suggests errors in
the human choices rather than in the model.
"""

_KWARGS_DESCRIPTION = """
Args:
    chosen_labels (`list[list[float]]`): Target labels of the chosen response of each pair, first priority first.
    rejected_labels (`list[list[float]]`): Target labels of the rejected response of each pair.
    target_names (`list[str]`): Names of the targets, in order of priority.
    aligned (`list[bool]`, *optional*): Whether the model after training ranks each pair as humans did.
    pre_aligned (`list[bool]`, *optional*): The same before training; needs `aligned`.
    groups (`list`, *optional*): Prompt id of each pair, to cluster intervals and tests by.
    confidence (`float`, defaults to 0.95): Level of the intervals.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready values. An undefined value is `None`, and a status gives the reason.
    `preference`, the counts `chosen`, `rejected` and `indifferent`; `overall` and, by regime, `regimes`: each with
    `agreement_rate`, `confidence_interval`, `n` (pairs with a preference, the denominator) and `n_indifferent`;
    `tests` of the regimes, all first and then each two.

Raises:
    DataError: Lengths or shapes differ, or a value is missing or not finite. The message names the input and the first
        bad row.

Examples:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("labeler_agreement"))  # or "seal/labeler_agreement"
    >>> labels = {"chosen_labels": [[1, 0], [1, 1], [0, 1], [1, 1]], "rejected_labels": [[0, 1], [1, 0], [1, 1], [1, 1]]}
    >>> result = metric.compute(**labels, target_names=["harmless", "helpful"])
    >>> result["preference"]
    {'chosen': 2, 'rejected': 1, 'indifferent': 1}

    By regime:

    >>> result = metric.compute(**labels, target_names=["harmless", "helpful"], aligned=[1, 1, 0, 0], pre_aligned=[1, 0, 0, 1])
    >>> {name: regime["agreement_rate"] for name, regime in result["regimes"].items()}
    {'stayed_aligned': 1.0, 'became_aligned': 1.0, 'stayed_misaligned': 0.0, 'reversed_alignment': None}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class LabelerAgreement(TableInput, evaluate.Metric):
    """Labeler agreement; see the module's description."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "chosen_labels": datasets.List(datasets.Value("float64")),
                    "rejected_labels": datasets.List(datasets.Value("float64")),
                }
            ),
            license="MIT",
        )

    def _compute(
        self,
        chosen_labels,
        rejected_labels,
        target_names,
        aligned=None,
        pre_aligned=None,
        groups=None,
        confidence=0.95,
    ):
        return labeler_agreement(
            chosen_labels,
            rejected_labels,
            target_names,
            aligned=aligned,
            pre_aligned=pre_aligned,
            groups=groups,
            confidence=confidence,
        ).to_dict()

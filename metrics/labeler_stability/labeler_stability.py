"""Labeler stability as an `evaluate` module: a wrapper of `seal_datasets.estimate.labeler_stability`."""

import datasets
import evaluate

from seal_datasets.estimate import labeler_stability
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
Labeler stability is how far two or more labelers, or repetitions of one labeler, agree on the same rows. It gives raw
agreement, agreement by class, Cohen's kappa, Gwet's AC1 and Krippendorff's alpha. The prevalence and bias indices
explain differences between them. Stability does not measure accuracy.
"""

_KWARGS_DESCRIPTION = """
Args:
    labels (`list[list[float]]`): One feature's labels by r labelers, or by r repetitions of one labeler.
    labeler_names (`list[str]`): The r names.
    groups (`list`, *optional*): Prompt id of each row, to resample by; rows are resampled when omitted.
    level (`str`, defaults to `"nominal"`): Whether labels have an order (`"ordinal"`) or distances (`"interval"`).
    n_bootstrap (`int`, defaults to 1000): Draws of the cluster bootstrap.
    confidence (`float`, defaults to 0.95): Level of the intervals.
    seed (`int`, defaults to 0): Seed of the draws.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready values. An undefined value is `None`, and a status gives the reason.
    `pairs`: for each two labelers `labelers`, `n`, `agreement` with its interval, `class_agreement`, `kappa` and `ac1` with
    their intervals, `weighted_kappa`, `prevalence_index`, `bias_index` and `status`; over all of them `alpha` with its
    interval; `n_missing` by labeler, and counts.

Raises:
    DataError: Lengths or shapes differ, or a value is missing or not finite. The message names the input and the first
        bad row.

Examples:

    Two labelers differ on one text of four:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("labeler_stability"))  # or "seal/labeler_stability"
    >>> result = metric.compute(labels=[[1, 1], [1, 0], [0, 0], [1, 1]], labeler_names=["first", "second"])
    >>> pair = result["pairs"][0]
    >>> pair["agreement"], pair["kappa"], round(pair["ac1"], 3)
    (0.75, 0.5, 0.529)

    At skewed prevalence kappa collapses and AC1 does not, with two columns of a table as labelers:

    >>> table = {"gpt": [1] * 19 + [0], "gemma": [1] * 18 + [0, 1]}
    >>> pair = metric.compute(dataset=table, columns={"labels": ["gpt", "gemma"]})["pairs"][0]
    >>> pair["agreement"], round(pair["kappa"], 2), round(pair["ac1"], 2)
    (0.9, -0.05, 0.89)
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class LabelerStability(TableInput, evaluate.Metric):
    """Labeler stability; see the module's description."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"labels": datasets.List(datasets.Value("float64"))}),
            license="MIT",
        )

    def _compute(
        self,
        labels,
        labeler_names,
        groups=None,
        level="nominal",
        n_bootstrap=1000,
        confidence=0.95,
        seed=0,
    ):
        return labeler_stability(
            labels,
            labeler_names,
            groups=groups,
            level=level,
            n_bootstrap=n_bootstrap,
            confidence=confidence,
            seed=seed,
        ).to_dict()

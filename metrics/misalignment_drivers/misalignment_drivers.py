"""Drivers of misalignment as an `evaluate` module: a wrapper of `seal_datasets.estimate.misalignment_drivers`."""

import datasets
import evaluate

from seal_datasets.estimate import misalignment_drivers
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
Drivers of misalignment are features of the chosen or rejected response that are associated with the reward model
ranking the pair against the human choice (Eq. 3). They come from a logistic regression of alignment on the features
of both sides. Log-odds are those of *alignment*: a negative coefficient drives misalignment.
"""

_KWARGS_DESCRIPTION = """
Args:
    aligned (`list[bool]`): Whether the model ranks each pair as humans did.
    chosen_features (`list[list[float]]`): Values of the k features of the chosen response of each pair.
    rejected_features (`list[list[float]]`): Values of the k features of the rejected response of each pair.
    feature_names (`list[str]`): The k names.
    groups (`list`, *optional*): Prompt id of each pair, to cluster errors by.
    estimator (`str`, defaults to `"logit"`): `"logit"` (Firth's penalised fit where features separate the outcome),
        `"firth"` throughout, or `"linear_probability"` as in the published figures.
    errors (`str`, defaults to `"cr2"`): Errors of `"linear_probability"`: `"cr2"` bias-reduced, or `"crv1"`.
    adjust (`str`, defaults to `"bonferroni"`): Adjustment of p-values: `"bonferroni"`, `"holm"` or `"bh"`.
    confidence (`float`, defaults to 0.95): Level of the intervals.
    min_discordant (`int`, defaults to 2): Fewest pairs off a feature's commonest value that give it numbers.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready values. An undefined value is `None`, and a status gives the reason.
    `drivers`: for each side and feature `feature`, `side`, `coefficient` (log-odds of alignment), `odds_ratio`,
    `average_marginal_effect`, `std_error`, `p_value`, `p_adjusted`, `confidence_interval`,
    `minimum_detectable_effect`, `method` and `status`; besides these
    counts.

Raises:
    DataError: Lengths or shapes differ, or a value is missing or not finite. The message names the input and the first
        bad row.

Examples:

    Odds of alignment are 3 to 1 with a polite chosen response and 1 to 3 without:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("misalignment_drivers"))  # or "seal/misalignment_drivers"
    >>> aligned = [1, 1, 1, 0, 1, 0, 0, 0]
    >>> polite = [[1], [1], [1], [1], [0], [0], [0], [0]]
    >>> result = metric.compute(aligned=aligned, chosen_features=polite, rejected_features=[[0]] * 8, feature_names=["polite"])
    >>> round(result["drivers"][0]["odds_ratio"], 6), result["drivers"][1]["status"]
    (9.0, 'not_identified')

    As differences in probability:

    >>> result = metric.compute(
    ...     aligned=aligned, chosen_features=polite, rejected_features=[[0]] * 8, feature_names=["polite"],
    ...     estimator="linear_probability",
    ... )
    >>> round(result["drivers"][0]["coefficient"], 6)
    0.5
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class MisalignmentDrivers(TableInput, evaluate.Metric):
    """Drivers of misalignment; see the module's description."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "aligned": datasets.Value("float64"),
                    "chosen_features": datasets.List(datasets.Value("float64")),
                    "rejected_features": datasets.List(datasets.Value("float64")),
                }
            ),
            license="MIT",
        )

    def _compute(
        self,
        aligned,
        chosen_features,
        rejected_features,
        feature_names,
        groups=None,
        estimator="logit",
        errors="cr2",
        adjust="bonferroni",
        confidence=0.95,
        min_discordant=2,
    ):
        return misalignment_drivers(
            aligned,
            chosen_features,
            rejected_features,
            feature_names,
            groups=groups,
            estimator=estimator,
            errors=errors,
            adjust=adjust,
            confidence=confidence,
            min_discordant=min_discordant,
        ).to_dict()

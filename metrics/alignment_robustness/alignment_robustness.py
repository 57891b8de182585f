"""Alignment robustness as an `evaluate` module: a wrapper of `seal_datasets.estimate.alignment_robustness`."""

import datasets
import evaluate

from seal_datasets.estimate import alignment_robustness
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
Alignment robustness measures which changes of style, at the same meaning, turn a reward model against the human
choice (Eq. 4). It is a logistic regression of "aligned before rewriting and not after" on the features that rewriting
flipped, by side and direction. A positive score is a weakness: the flip is associated with lost alignment. The outcome
is joint, over all pairs, as in the paper; `among="aligned"` conditions on having been aligned.
"""

_KWARGS_DESCRIPTION = """
Args:
    aligned (`list[bool]`): Whether the model ranks each original pair as humans did.
    rewritten_aligned (`list[bool]`): The same for the rewritten pair.
    chosen_flips (`list[list[float]]`): Features of the chosen response, original minus rewritten; the sign counts.
    rejected_flips (`list[list[float]]`): The same for the rejected response.
    feature_names (`list[str]`): The k names.
    groups (`list`, *optional*): Prompt id of each pair, to cluster errors by.
    estimator (`str`, defaults to `"logit"`): `"logit"` (Firth's penalised fit where features separate the outcome),
        `"firth"` throughout, or `"linear_probability"` as in the published figures.
    targets_changed (`list[bool]`, *optional*): Whether rewriting changed a target label; such pairs are counted and
        excluded.
    among (`str`, defaults to `"all"`): `"all"` pairs with the paper's joint outcome, or only pairs `"aligned"` before
        rewriting: the odds that an aligned pair loses alignment.
    adjust (`str`, defaults to `"bonferroni"`): Adjustment of p-values: `"bonferroni"`, `"holm"` or `"bh"`.
    confidence (`float`, defaults to 0.95): Level of the intervals.
    min_flips (`int`, defaults to 2): Fewest pairs with a flip, and without it, that give it numbers.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready values. An undefined value is `None`, and a status gives the reason.
    `scores`: for each side, feature and direction (`"+"` where rewriting lowered the feature, `"-"` where it raised
    it) `feature`, `side`, `direction`, `n_flips`, `coefficient` (log-odds of lost alignment), `odds_ratio`,
    `average_marginal_effect`, `std_error`, `p_value`, `p_adjusted`, `confidence_interval`,
    `minimum_detectable_effect`, `method` and `status`;
    `among`; `alignment_before` and `alignment_after`; counts.

Raises:
    DataError: Lengths or shapes differ, or a value is missing or not finite. The message names the input and the first
        bad row.

Examples:

    Alignment is lost at odds of 3 to 1 where the chosen text lost its warm tone, of 1 to 3 elsewhere:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("alignment_robustness"))  # or "seal/alignment_robustness"
    >>> result = metric.compute(
    ...     aligned=[1] * 8, rewritten_aligned=[0, 0, 0, 1, 0, 1, 1, 1],
    ...     chosen_flips=[[1]] * 4 + [[0]] * 4, rejected_flips=[[0]] * 8, feature_names=["warm"],
    ... )
    >>> result["alignment_before"], result["alignment_after"]
    (1.0, 0.5)
    >>> row = result["scores"][0]
    >>> row["side"], row["direction"], row["n_flips"], round(row["odds_ratio"], 6)
    ('chosen', '+', 4, 9.0)
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class AlignmentRobustness(TableInput, evaluate.Metric):
    """Alignment robustness; see the module's description."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "aligned": datasets.Value("float64"),
                    "rewritten_aligned": datasets.Value("float64"),
                    "chosen_flips": datasets.List(datasets.Value("float64")),
                    "rejected_flips": datasets.List(datasets.Value("float64")),
                }
            ),
            license="MIT",
        )

    def _compute(
        self,
        aligned,
        rewritten_aligned,
        chosen_flips,
        rejected_flips,
        feature_names,
        groups=None,
        targets_changed=None,
        among="all",
        estimator="logit",
        adjust="bonferroni",
        confidence=0.95,
        min_flips=2,
    ):
        return alignment_robustness(
            aligned,
            rewritten_aligned,
            chosen_flips,
            rejected_flips,
            feature_names,
            groups=groups,
            targets_changed=targets_changed,
            among=among,
            estimator=estimator,
            adjust=adjust,
            confidence=confidence,
            min_flips=min_flips,
        ).to_dict()

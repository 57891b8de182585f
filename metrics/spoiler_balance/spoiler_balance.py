"""Balance of spoilers as an `evaluate` module: a wrapper of `seal_datasets.estimate.spoiler_balance`."""

import datasets
import evaluate

from seal_datasets.estimate import spoiler_balance
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
Spoiler balance measures a preference dataset without a reward model. It compares spoiler features between chosen and
rejected responses and between values of the target features. It also gives the share of choices that spoilers alone
predict, and the number of preferences that contradict each other. A reward model can learn any imbalance found here.
"""

_KWARGS_DESCRIPTION = """
Args:
    chosen_features (`list[list[float]]`): Values of the k features of the chosen response of each pair.
    rejected_features (`list[list[float]]`): Values of the k features of the rejected response of each pair.
    feature_names (`list[str]`): The k names.
    spoilers (`list[str]`, *optional*): Names of the features that choices should not depend on; by default all except
        the targets.
    targets (`list[str]`, defaults to none): Names of the features that choices should depend on.
    groups (`list`, *optional*): Prompt id of each pair, to cluster errors and fold predictions by.
    chosen_ids (`list`, *optional*): Ids or hashes that are equal for equal chosen responses.
    rejected_ids (`list`, *optional*): The same for the rejected responses. Consistency needs both, and `groups`.
    adjust (`str`, defaults to `"bonferroni"`): Adjustment of p-values: `"bonferroni"`, `"holm"` or `"bh"`.
    confidence (`float`, defaults to 0.95): Level of the intervals.
    min_discordant (`int`, defaults to 10): Discordant pairs, or texts, needed for a test.
    n_folds (`int`, defaults to 5): Folds of the predictions, each from those before it; a prompt is in one fold.
    seed (`int`, defaults to 0): Seed of the folds.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready values. An undefined value is `None`, and a status gives the reason.
    `spoilers`: for each spoiler, chosen minus rejected: `difference`, `std_error`, `p_value`, `p_adjusted`,
    `confidence_interval`, `n`, `n_discordant`, `status`, `mean_chosen`, `mean_rejected`, `standardised_difference`,
    `share_more_in_chosen` with `share_interval`, and `at_equal_targets`, the same difference over pairs whose responses
    agree in every target; `across_targets`: for each spoiler and target the difference per unit of the target, over
    texts, and the `correlation`; `predictions`: for `spoilers`, `targets` and `both` the out-of-sample `accuracy` with
    `confidence_interval`, `n_ties` and `pseudo_r2`; `consistency`: `n_same_response`, `n_duplicate`,
    `n_contradictory`, `n_in_cycles` and `n_prompts_with_cycle`, or `None` and a `consistency_status`; besides these
    counts and what the numbers rest on.

Raises:
    DataError: Lengths or shapes differ, or a value is missing or not finite. The message names the input and the first
        bad row.

Examples:

    The chosen response is the longer one in two of the three pairs that differ:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("spoiler_balance"))  # or "seal/spoiler_balance"
    >>> chosen, rejected = [[1, 1], [1, 1], [1, 0], [0, 0]], [[0, 1], [0, 0], [1, 0], [1, 0]]
    >>> result = metric.compute(
    ...     chosen_features=chosen, rejected_features=rejected, feature_names=["long", "harmless"], targets=["harmless"]
    ... )
    >>> row = result["spoilers"][0]
    >>> row["difference"], row["n_discordant"], round(row["share_more_in_chosen"], 3), row["at_equal_targets"]["n"]
    (0.25, 3, 0.667, 3)

    Preferences that cannot all hold: two pairs on "p" contradict each other, three on "q" make a circle:

    >>> result = metric.compute(
    ...     chosen_features=[[0]] * 5, rejected_features=[[0]] * 5, feature_names=["long"],
    ...     groups=["p", "p", "q", "q", "q"], chosen_ids=["a", "b", "a", "b", "c"], rejected_ids=["b", "a", "b", "c", "a"],
    ... )
    >>> result["consistency"]["n_contradictory"], result["consistency"]["n_in_cycles"]
    (2, 5)
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class SpoilerBalance(TableInput, evaluate.Metric):
    """Balance of spoilers; see the module's description."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "chosen_features": datasets.List(datasets.Value("float64")),
                    "rejected_features": datasets.List(datasets.Value("float64")),
                }
            ),
            license="MIT",
        )

    def _compute(
        self,
        chosen_features,
        rejected_features,
        feature_names,
        spoilers=None,
        targets=(),
        groups=None,
        chosen_ids=None,
        rejected_ids=None,
        adjust="bonferroni",
        confidence=0.95,
        min_discordant=10,
        n_folds=5,
        seed=0,
    ):
        return spoiler_balance(
            chosen_features,
            rejected_features,
            feature_names,
            spoilers=spoilers,
            targets=targets,
            groups=groups,
            chosen_ids=chosen_ids,
            rejected_ids=rejected_ids,
            adjust=adjust,
            confidence=confidence,
            min_discordant=min_discordant,
            n_folds=n_folds,
            seed=seed,
        ).to_dict()

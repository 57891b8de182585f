"""Feature imprint as an `evaluate` module: a wrapper of `seal_datasets.estimate.feature_imprint`."""

import datasets
import evaluate

from seal_datasets.estimate import feature_imprint
from seal_datasets.evaluate_modules.paths import CITATION
from seal_datasets.evaluate_modules.table_input import TableInput

_DESCRIPTION = """\
The feature imprint of a feature is the reward difference between texts with and without it that answer the same
prompt, with the other features held fixed (Eq. 1). It is a regression of rewards on features with prompt effects and
errors clustered by prompt. For the change of rewards by training, it measures what training taught the model to
reward.
"""

_KWARGS_DESCRIPTION = """
Args:
    rewards (`list[float]`): Reward of each text: one row per text, not per pair.
    features (`list[list[float]]`): Values of the k features of each text.
    groups (`list`): Prompt id of each text.
    feature_names (`list[str]`): The k names.
    effects (`str`, defaults to `"fixed"`): `"fixed"` for prompt effects, `"pooled"` for one intercept, as in the
        published figures.
    errors (`str`, defaults to `"cr2"`): Clustered by prompt with bias reduction and each feature's own degrees of freedom;
        `"crv1"` by prompt as in most software; `"hc1"` by text; `"wild"` for tests and intervals by wild cluster bootstrap.
    clusters (`list`, *optional*): Coarser clusters than prompts for the errors, such as conversations.
    blocks (`dict[str, list[str]]`, *optional*): Features to test jointly, by name of the block.
    max_vif (`float`, *optional*): Largest variance inflation factor; features above it are dropped, the largest
        first.
    adjust (`str`, defaults to `"bonferroni"`): Adjustment of p-values: `"bonferroni"`, `"holm"` or `"bh"`.
    confidence (`float`, defaults to 0.95): Level of the intervals.
    min_information (`float`, defaults to 1.0): Effective degrees of freedom that a feature needs to get numbers.
    n_bootstrap (`int`, defaults to 999): Draws of the wild bootstrap.
    seed (`int`, defaults to 0): Seed of the wild bootstrap and the simultaneous intervals.
    dataset (`Dataset`, `DataFrame`, `pyarrow.Table` or mapping, *optional*): A table to take inputs from.
    columns (`dict`, *optional*): The table's column for each input; a list of columns for a matrix.

Returns:
    `dict`: JSON-ready values. An undefined value is `None`, and a status gives the reason.
    `imprint`: for each feature `feature`, `coefficient`, `std_error`, `p_value`, `p_adjusted`, `confidence_interval`,
    `simultaneous_interval` (holds for all features at once), `degrees_of_freedom` (effective), `standardised`,
    `minimum_detectable_effect`, `n_discordant` (prompts in which it differs), `vif` and `status`; besides these the counts
    of texts and prompts, the `family` of tests, `condition_number`, `dropped` features and the joint tests of `blocks`.

Raises:
    DataError: Lengths or shapes differ, or a value is missing or not finite. The message names the input and the first
        bad row.

Examples:

    Politeness differs within the first two prompts, where it goes with 2 points and 1 point of reward:

    >>> import evaluate
    >>> from seal_datasets import metric_path
    >>> metric = evaluate.load(metric_path("feature_imprint"))  # or "seal/feature_imprint"
    >>> result = metric.compute(
    ...     rewards=[3.0, 1.0, 7.0, 6.0, 2.0, 2.0], features=[[1], [0], [1], [0], [0], [0]],
    ...     groups=["p", "p", "q", "q", "s", "s"], feature_names=["polite"],
    ... )
    >>> round(result["imprint"][0]["coefficient"], 6), result["imprint"][0]["n_discordant"], result["imprint"][0]["status"]
    (1.5, 2, 'ok')

    A table of pairs, each side's texts below the other's; a feature that never differs within a prompt has no number:

    >>> table = {
    ...     "prompt_id": ["p", "q", "s"], "reward_chosen": [3.0, 7.0, 2.0], "reward_rejected": [1.0, 6.0, 2.5],
    ...     "long_chosen": [1, 1, 0], "long_rejected": [1, 1, 0],
    ... }
    >>> columns = {"rewards": "reward_{side}", "features": ["long_{side}"], "groups": "prompt_id"}
    >>> row = metric.compute(dataset=table, columns=columns, feature_names=["long"])["imprint"][0]
    >>> row["coefficient"], row["status"]
    (None, 'not_identified')
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class FeatureImprint(TableInput, evaluate.Metric):
    """Feature imprint; see the module's description."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "rewards": datasets.Value("float64"),
                    "features": datasets.List(datasets.Value("float64")),
                }
            ),
            license="MIT",
        )

    def _compute(
        self,
        rewards,
        features,
        groups,
        feature_names,
        effects="fixed",
        errors="cr2",
        clusters=None,
        blocks=None,
        max_vif=None,
        adjust="bonferroni",
        confidence=0.95,
        min_information=1.0,
        n_bootstrap=999,
        seed=0,
    ):
        return feature_imprint(
            rewards,
            features,
            groups,
            feature_names,
            effects=effects,
            errors=errors,
            clusters=clusters,
            blocks=blocks,
            max_vif=max_vif,
            adjust=adjust,
            confidence=confidence,
            min_information=min_information,
            n_bootstrap=n_bootstrap,
            seed=seed,
        ).to_dict()

"""Feature imprint (SEAL, Eq. 1): reward points per feature, between responses to the same prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.imprint_results import FeatureImprint, ImprintTrajectory
from seal_datasets.estimate.imprint_rows import any_change, outcome_imprint
from seal_datasets.estimate.inputs import (
    Codes,
    finite,
    group_codes,
    matrix,
    position_of,
    same_length,
    unique_names,
    without_vanishing,
)
from seal_datasets.estimate.linear import first_rows
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.within_prompt import (
    Effects,
    Errors,
    RegressionSettings,
    StreamedDesign,
    Texts,
    change_pairs,
    with_changes,
    within_design,
)
from seal_datasets.estimate.within_regression import Regression, regress


def feature_imprint(
    rewards: ArrayLike,
    features: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    feature_names: Sequence[str],
    *,
    effects: Effects = "fixed",
    errors: Errors = "cr2",
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    blocks: Mapping[str, Sequence[str]] | None = None,
    max_vif: float | None = None,
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_information: float = 1.0,
    n_bootstrap: int = 999,
    seed: int = 0,
) -> FeatureImprint:
    """Estimate how many reward points each feature is worth between responses to the same prompt.

    Prompt effects absorb what responses to one prompt share, such as a prompt that draws high rewards whatever the response.
    `imprint_trajectory` compares several models on the same texts.

    Args:
        rewards (array-like of shape (n,)): One reward per text.
        features (array-like of shape (n, k)): Values of the features of each text.
        groups (sequence of shape (n,)): Prompt id of each text, the fixed effect and the cluster.
        feature_names (`Sequence[str]`): The k names.
        effects (`"fixed"` or `"pooled"`): Prompt effects, or one intercept as in the published figures.
        errors (`"cr2"`, `"crv1"`, `"hc1"` or `"wild"`): Clustered by prompt and bias-reduced, with each feature's own degrees
            of freedom; clustered by prompt as in most software, for features that differ in many prompts; by text, as if the
            texts of a prompt were independent; wild cluster bootstrap.
        clusters (sequence of shape (n,), *optional*): Coarser clusters than prompts, such as conversations or sources.
        blocks (`Mapping[str, Sequence[str]]`, *optional*): Features to test jointly, by name of the block.
        max_vif (`float`, *optional*): Drop features with a larger variance inflation factor, the largest first; the paper
            uses 5. Dropping a feature changes the meaning of the others.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted within the regression.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_information (`float`, defaults to 1.0): Effective degrees of freedom that a feature needs to get numbers; 1 or
            less withholds only features whose error the data do not determine.
        n_bootstrap (`int`, defaults to 999): Draws of the wild bootstrap.
        seed (`int`, defaults to 0): Seed of the wild bootstrap and the simultaneous intervals.

    Returns:
        `FeatureImprint`: One row per feature. Undefined numbers are nan; the status gives the reason.

    Raises:
        DataError: Shapes differ, an entry is not finite, a group is missing, a prompt is in two clusters, or a name is
            repeated or unknown.

    Source: SEAL, Eq. (1). Errors are CR2 by prompt with Satterthwaite degrees of freedom (Bell and McCaffrey, 2002;
    Pustejovsky and Tipton, 2018), joint tests AHT. CRV1 has factor G/(G-1) * (n-1)/(n-k-1), as in reghdfe, fixest and
    pyfixest; k is the rank of the features, and n excludes prompts with a single text.

    Example:

    ```python
    >>> fit = feature_imprint(
    ...     rewards=[3.0, 1.0, 7.0, 6.0, 2.0, 2.0], features=[[1], [0], [1], [0], [0], [0]],
    ...     groups=["p", "p", "q", "q", "s", "s"], feature_names=["polite"],
    ... )
    >>> round(fit.imprint[0].coefficient, 6), fit.imprint[0].n_discordant  # differences 2 and 1 where politeness differs
    (1.5, 2)

    ```
    """
    names = unique_names(feature_names)
    y = without_vanishing(finite(rewards, "rewards"), "rewards")
    codes = group_codes(groups, "groups")
    n = same_length(rewards=y, groups=codes)
    x = matrix(features, "features", n, len(names))
    settings = RegressionSettings(
        names,
        effects,
        errors,
        _check_blocks(blocks, names),
        max_vif,
        adjust,
        confidence,
        min_information,
        n_bootstrap,
        seed,
    )
    design = within_design(y[:, None], x, codes, _cluster_codes(clusters, codes), settings)
    return outcome_imprint(regress([design], settings), 0, by=_unit(clusters))


def imprint_trajectory(
    rewards: Mapping[str, ArrayLike],
    features: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    feature_names: Sequence[str],
    *,
    effects: Effects = "fixed",
    errors: Errors = "cr2",
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    baseline: str | None = None,
    blocks: Mapping[str, Sequence[str]] | None = None,
    max_vif: float | None = None,
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_information: float = 1.0,
    n_bootstrap: int = 999,
    seed: int = 0,
) -> ImprintTrajectory:
    """Estimate the imprints of several models or checkpoints on the same texts, and test their changes.

    A feature may be significant in one model only without a significant change. The test uses the difference of the two
    coefficients and the covariance due to shared texts.

    Args:
        rewards (`Mapping[str, array-like of shape (n,)]`): Rewards by model, in the order of training: `pre` before `post`.
        features (array-like of shape (n, k)): As for `feature_imprint`, like the arguments below.
        groups (sequence of shape (n,)): Prompt ids.
        feature_names (`Sequence[str]`): The k names.
        effects (`"fixed"` or `"pooled"`): Prompt effects, or one intercept.
        errors (`"cr2"`, `"crv1"`, `"hc1"` or `"wild"`): How errors are computed; joint tests under `"wild"` are by `"crv1"`.
        clusters (sequence of shape (n,), *optional*): Coarser clusters.
        baseline (`str`, *optional*): Model that every other one is compared with.
        blocks (`Mapping[str, Sequence[str]]`, *optional*): Features to test jointly.
        max_vif (`float`, *optional*): Largest variance inflation factor.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_information (`float`, defaults to 1.0): Effective degrees of freedom that a feature needs.
        n_bootstrap (`int`, defaults to 999): Draws of the wild bootstrap.
        seed (`int`, defaults to 0): Seed of random draws.

    Returns:
        `ImprintTrajectory`: Imprints by model, their changes, and a joint test for each feature. A single model has no
            changes.

    Raises:
        DataError: As for `feature_imprint`, or there is no model, or the baseline is none of them.

    Source: SEAL, Eq. (1) and section 3.2; the changes are seemingly unrelated regressions with the same regressors.

    Example:

    ```python
    >>> trajectory = imprint_trajectory(
    ...     {"pre": [1.0, 1.0, 4.0, 2.0], "post": [3.0, 1.0, 7.0, 6.0]}, [[1], [0], [1], [0]], ["p", "p", "q", "q"], ["polite"]
    ... )
    >>> round(trajectory.changes["post - pre"].imprint[0].coefficient, 6)  # 1.5 after, 1.0 before
    0.5

    ```
    """
    names = unique_names(feature_names)
    if not isinstance(rewards, Mapping):
        raise DataError(f"rewards is a {type(rewards).__name__}; give a mapping of models' names to their rewards")
    if not rewards:
        raise DataError("rewards holds no model; name one or more, such as pre and post")
    models = unique_names([str(name) for name in rewards], "rewards")
    columns = {}
    for name, values in rewards.items():
        argument = f"rewards[{name!r}]"
        columns[argument] = without_vanishing(finite(values, argument), argument)
    codes = group_codes(groups, "groups")
    n = same_length(**columns, groups=codes)
    x = matrix(features, "features", n, len(names))
    settings = RegressionSettings(
        names,
        effects,
        errors,
        _check_blocks(blocks, names),
        max_vif,
        adjust,
        confidence,
        min_information,
        n_bootstrap,
        seed,
    )
    y = with_changes(np.column_stack(list(columns.values())), position_of(baseline, models))
    design = within_design(y, x, codes, _cluster_codes(clusters, codes), settings)
    return _lay_out_trajectory(regress([design], settings), models, position_of(baseline, models), by=_unit(clusters))


def streamed_imprint(
    parts: Iterable[Texts],
    models: Sequence[str],
    feature_names: Sequence[str],
    *,
    errors: Errors = "cr2",
    max_vif: float | None = None,
    adjust: Adjustment = "bonferroni",
    confidence: float = 0.95,
    min_information: float = 1.0,
    seed: int = 0,
) -> ImprintTrajectory:
    """Estimate an `imprint_trajectory` of texts that do not fit into memory, in two passes over their parts.

    Args:
        parts (iterable of `Texts`): Parts of the table, in an iterable that can be read twice, such as a list. All texts of
            a prompt are in one part. `seal_datasets.report.prompt_parts` reads them from files.
        models (`Sequence[str]`): Names of the columns of rewards, at least two.
        feature_names (`Sequence[str]`): The k names.
        errors (`"cr2"` or `"crv1"`): As for `feature_imprint`, like the arguments below.
        max_vif (`float`, *optional*): Largest variance inflation factor.
        adjust (`"bonferroni"`, `"holm"` or `"bh"`): How p-values are adjusted.
        confidence (`float`, defaults to 0.95): Level of the intervals.
        min_information (`float`, defaults to 1.0): Effective degrees of freedom that a feature needs.
        seed (`int`, defaults to 0): Seed of the simultaneous intervals.

    Returns:
        `ImprintTrajectory`: With prompt effects and errors clustered by prompt.

    Raises:
        DataError: As for `imprint_trajectory`, or `parts` is an iterator, which can be read only once.

    Example:

    ```python
    >>> part = Texts(np.array([[1.0, 3.0], [1.0, 1.0]]), np.array([[1.0], [0.0]]), np.array(["p", "p"]))
    >>> more = Texts(np.array([[4.0, 7.0], [2.0, 6.0]]), np.array([[1.0], [0.0]]), np.array(["q", "q"]))
    >>> trajectory = streamed_imprint([part, more], ["pre", "post"], ["polite"])
    >>> round(trajectory.changes["post - pre"].imprint[0].coefficient, 6)
    0.5

    ```
    """
    names, model_names = unique_names(feature_names), unique_names(models, "models")
    if len(model_names) < 2:
        raise DataError(f"models holds {len(model_names)} name(s); name at least two, such as pre and post")
    if isinstance(parts, Iterator):
        raise DataError(
            "parts is an iterator, which can be read only once, but two passes are needed; give a list, or an object whose "
            "__iter__ starts again"
        )
    if errors not in ("cr2", "crv1"):
        raise DataError(
            f"errors must be 'cr2' or 'crv1' where texts stream, got {errors!r}; others need them in memory"
        )
    settings = RegressionSettings(names, "fixed", errors, {}, max_vif, adjust, confidence, min_information, 999, seed)
    return _lay_out_trajectory(regress(StreamedDesign(parts, len(model_names), settings), settings), model_names)


def _lay_out_trajectory(
    regression: Regression, names: tuple[str, ...], baseline: int | None = None, *, by: str = "prompt"
) -> ImprintTrajectory:
    changes = [f"{names[later]} - {names[earlier]}" for earlier, later in change_pairs(len(names), baseline)]
    models = {name: outcome_imprint(regression, i, by=by) for i, name in enumerate(names)}
    changed = {name: outcome_imprint(regression, len(names) + i, by=by) for i, name in enumerate(changes)}
    return ImprintTrajectory(
        models,
        changed,
        any_change(regression, len(names)),
        regression.settings.adjust,
        "each model's features, each change's features, and the joint tests, are families of their own",
    )


def _check_blocks(blocks: Mapping[str, Sequence[str]] | None, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    if not isinstance(blocks or {}, Mapping):
        raise DataError(f"blocks is {blocks!r:.60}; give a mapping of names of blocks to lists of features")
    checked = {block: unique_names(members, f"blocks[{block!r}]") for block, members in (blocks or {}).items()}
    for block, members in checked.items():
        if unknown := [name for name in members if name not in names]:
            raise DataError(f"blocks[{block!r}] names {', '.join(unknown)}; the features are {', '.join(names)}")
    return checked


def _unit(clusters: object) -> str:
    """What errors are clustered by, in words."""
    return "prompt" if clusters is None else "the clusters given"


def _cluster_codes(clusters: Sequence[Any] | NDArray[Any] | None, codes: Codes) -> Codes | None:
    """Codes of coarser clusters, which must hold whole prompts."""
    if clusters is None:
        return None
    cluster_codes = group_codes(clusters, "clusters")
    same_length(groups=codes, clusters=cluster_codes)
    split_rows = np.flatnonzero(cluster_codes != cluster_codes[first_rows(codes, int(codes.max()) + 1)][codes])
    if split_rows.size:
        raise DataError(
            f"clusters must hold whole prompts, but row {split_rows[0]} is in another cluster than the first text of its "
            "prompt; use the coarser of the two as clusters"
        )
    return cluster_codes

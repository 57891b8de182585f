"""The rows of the within-prompt regression: texts with prompt effects taken out, or with one intercept."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import (
    Bools,
    Codes,
    Floats,
    confidence_level,
    group_codes,
    least_information,
    matrix,
    number,
    one_of,
    whole_number,
)
from seal_datasets.estimate.linear import constant_columns, demean, first_rows, group_sums, nonzero_counts
from seal_datasets.estimate.multiplicity import Adjustment
from seal_datasets.estimate.raw_values import group_values

Effects = Literal["fixed", "pooled"]
Errors = Literal["cr2", "crv1", "hc1", "wild"]


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of whole prompts: all texts of a prompt are in one part.

    Attributes:
        rewards (`ndarray` of shape (n, m)): One column per model.
        features (`ndarray` of shape (n, k)): Features.
        groups (sequence of shape (n,)): Prompt ids.
    """

    rewards: Floats
    features: Floats
    groups: NDArray[Any]


@dataclass(frozen=True, slots=True)
class RegressionSettings:
    """Settings of a regression, as `feature_imprint` describes them."""

    names: tuple[str, ...]
    effects: Effects
    errors: Errors
    blocks: dict[str, tuple[str, ...]]
    max_vif: float | None
    adjust: Adjustment
    confidence: float
    min_information: float
    n_bootstrap: int
    seed: int

    def __post_init__(self) -> None:
        for name, value, known in (("effects", self.effects, Effects), ("errors", self.errors, Errors)):
            one_of(value, name, get_args(known))
        confidence_level(self.confidence)
        if self.max_vif is not None and not number(self.max_vif, "max_vif") > 1:
            raise DataError(f"max_vif must be larger than 1, the factor of uncorrelated features, got {self.max_vif}")
        least_information(self.min_information)
        whole_number(self.seed, "seed")
        if whole_number(self.n_bootstrap, "n_bootstrap", least=1) < 99 and self.errors == "wild":
            raise DataError(
                f"n_bootstrap must be at least 99, got {self.n_bootstrap}; fewer draws cannot give p-values"
            )

    @property
    def pooled(self) -> bool:
        """Whether the design has one intercept, its first column, instead of prompt effects."""
        return self.effects == "pooled"


@dataclass(frozen=True, slots=True)
class Counts:
    """Sizes of a design or of several parts together.

    Attributes:
        n_used (`int`): Texts in the regression.
        n_texts (`int`): Texts given.
        n_groups (`int`): Prompts given.
        n_singletons (`int`): Prompts with a single text.
        n_clusters (`int`): Clusters of the regression's rows.
    """

    n_used: int = 0
    n_texts: int = 0
    n_groups: int = 0
    n_singletons: int = 0
    n_clusters: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.n_used + other.n_used,
            self.n_texts + other.n_texts,
            self.n_groups + other.n_groups,
            self.n_singletons + other.n_singletons,
            self.n_clusters + other.n_clusters,
        )


@dataclass(frozen=True, slots=True)
class WithinDesign:
    """Rows of a regression.

    Attributes:
        rows (`ndarray` of shape (r, k) or (r, k + 1)): Features; an intercept comes first under pooled effects.
        outcomes (`ndarray` of shape (r, m)): Outcomes of these rows.
        clusters (`ndarray` of shape (r,), *optional*): Cluster codes; each row is its own cluster when `None`.
        discordant (`ndarray` of shape (k,)): Prompts within which each feature differs.
        varying (`ndarray` of shape (k,)): Whether each feature varies in these rows.
        counts (`Counts`): Texts, prompts and clusters.
    """

    rows: Floats
    outcomes: Floats
    clusters: Codes | None
    discordant: Codes
    varying: Bools
    counts: Counts


def within_design(
    rewards: Floats, features: Floats, codes: Codes, clusters: Codes | None, settings: RegressionSettings
) -> WithinDesign:
    """Take prompt effects out of texts, or add an intercept to them.

    Where every prompt has two texts, a prompt is one row, their difference: the demeaned rows are plus and minus half of it.

    Args:
        rewards (`ndarray` of shape (n, m)): Outcomes.
        features (`ndarray` of shape (n, k)): Features.
        codes (`ndarray` of shape (n,)): Prompt of each text, 0 to the number of prompts - 1.
        clusters (`ndarray` of shape (n,), *optional*): Coarser clusters; prompts when omitted.
        settings (`RegressionSettings`): Effects and errors.

    Returns:
        `WithinDesign`: The rows.
    """
    sizes = np.bincount(codes)
    n_texts, n_groups, n_singletons = len(codes), len(sizes), int((sizes == 1).sum())
    if settings.pooled:
        # The slopes do not depend on where the features have their zero; rounding does. A constant is exactly 0.
        shifted = features - features[0]
        rows, outcomes = np.column_stack([np.ones(n_texts), shifted - shifted.mean(axis=0)]), rewards
        discordant, varying = _discordant(demean(features, codes), codes), ~constant_columns(features)
        row_clusters: Codes | None = codes if clusters is None else clusters
    else:
        if n_singletons:
            used = sizes[codes] > 1
            rewards, features, codes = rewards[used], features[used], pd.factorize(codes[used])[0]
            clusters = None if clusters is None else clusters[used]
        n_several = n_groups - n_singletons
        if len(codes) == 2 * n_several and settings.errors != "hc1":
            first, last = _two_texts(codes, n_several)
            rows, outcomes = features[first] - features[last], rewards[first] - rewards[last]
            discordant = nonzero_counts(rows)
            row_clusters = None if clusters is None else clusters[first]
        else:
            rows, outcomes = (demean(values, codes) if len(values) else values for values in (features, rewards))
            discordant = _discordant(rows, codes)
            row_clusters = codes if clusters is None else clusters
        varying = discordant > 0
    if row_clusters is not None:
        row_clusters = pd.factorize(row_clusters)[0]
    if settings.errors == "hc1":
        row_clusters = None
    n_clusters = len(rows) if row_clusters is None else int(row_clusters.max(initial=-1)) + 1
    counts = Counts(len(codes), n_texts, n_groups, n_singletons, n_clusters)
    return WithinDesign(rows, outcomes, row_clusters, discordant, varying, counts)


@dataclass(slots=True)
class StreamedDesign:
    """Parts of a table as designs, read and built anew in each pass; the first pass checks that prompts are whole."""

    parts: Iterable[Texts]
    n_models: int
    settings: RegressionSettings
    checked: bool = False

    def __iter__(self) -> Iterator[WithinDesign]:
        prompts: list[NDArray[np.uint64]] = []
        for part in self.parts:
            codes = group_codes(part.groups, "groups")
            if not self.checked:
                prompts.append(_prompt_hashes(part.groups, codes))
            features = matrix(part.features, "features", len(codes), len(self.settings.names))
            rewards = matrix(part.rewards, "rewards", len(codes), self.n_models)
            yield within_design(with_changes(rewards), features, codes, None, self.settings)
        if not self.checked:
            self._check_whole(prompts)
            self.checked = True

    def _check_whole(self, prompts: list[NDArray[np.uint64]]) -> None:
        """Raise if a prompt's texts are in two parts; empties the list."""
        together = np.empty(sum(map(len, prompts)), dtype=np.uint64)
        end = 0
        while prompts:
            part = prompts.pop()
            together[end : end + len(part)] = part
            end += len(part)
        together.sort()
        repeated = together[1:][together[1:] == together[:-1]]
        if repeated.size:
            self._name_split_prompt(repeated[0])

    def _name_split_prompt(self, wanted: np.uint64) -> None:
        first = None
        for index, part in enumerate(self.parts):
            codes = group_codes(part.groups, "groups")
            found = np.flatnonzero(_prompt_hashes(part.groups, codes) == wanted)
            if found.size and first is not None:
                row = int(np.flatnonzero(codes == found[0])[0])
                prompt = group_values(part.groups, "groups")[row]
                raise DataError(
                    f"groups row {row} of part {index} is the prompt {prompt!r}, which part {first} also has; all texts of a "
                    "prompt must be in one part"
                )
            first = index if found.size and first is None else first


def _prompt_hashes(groups: NDArray[Any], codes: Codes) -> NDArray[np.uint64]:
    """A hash of 64 bits of each prompt, in the order of its code."""
    ids = group_values(groups, "groups")[first_rows(codes, int(codes.max()) + 1)]
    return pd.util.hash_array(ids.astype(object) if ids.dtype.kind in "US" else ids, categorize=False)


def with_changes(rewards: Floats, baseline: int | None = None) -> Floats:
    """Append to rewards the changes between models that `change_pairs` names.

    Args:
        rewards (`ndarray` of shape (n, m)): One column per model, in the order of training.
        baseline (`int`, *optional*): Column of the model that all others are compared with.

    Returns:
        `ndarray` of shape (n, m + c): Rewards, and c changes.
    """
    changes = [rewards[:, later] - rewards[:, earlier] for earlier, later in change_pairs(rewards.shape[1], baseline)]
    return np.column_stack([rewards, *changes])


def change_pairs(n_models: int, baseline: int | None = None) -> list[tuple[int, int]]:
    """Name the changes between models, the first m - 1 of which span all others.

    Args:
        n_models (`int`): Number of models, m.
        baseline (`int`, *optional*): Model that all others are compared with.

    Returns:
        `list[tuple[int, int]]`: Earlier and later model: every other model against the baseline, then neighbours, and the first
            and the last of more than two.

    Example:

    >>> change_pairs(3), change_pairs(4, baseline=0)
    ([(0, 1), (1, 2), (0, 2)], [(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)])
    """
    steps = [*itertools.pairwise(range(n_models)), *([(0, n_models - 1)] if n_models > 2 else [])]
    if baseline is None:
        return steps
    pairs = [(baseline, other) for other in range(n_models) if other != baseline]
    return pairs + [step for step in steps if baseline not in step]


def _two_texts(codes: Codes, n_groups: int) -> tuple[Codes | slice, Codes | slice]:
    """Rows of the first and the last text of each prompt, where every prompt has two."""
    if (codes[:n_groups] == codes[n_groups:]).all():
        # All chosen texts, then all rejected ones: slices avoid a copy.
        return slice(n_groups), slice(n_groups, None)
    return first_rows(codes, n_groups), len(codes) - 1 - first_rows(codes[::-1], n_groups)


def _discordant(within: Floats, codes: Codes) -> Codes:
    """Count the groups in which each feature varies."""
    if not len(codes):
        return np.zeros(within.shape[1], dtype=np.int64)
    return nonzero_counts(group_sums((within != 0).astype(np.float64), codes, int(codes.max()) + 1))

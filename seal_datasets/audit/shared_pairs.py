"""The pairs that compared audits have in common: who is best on them, and where their models disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.audit.match_models import Audit, Subject
from seal_datasets.estimate.clustered_share import clustered_share
from seal_datasets.labels.design import feature_design
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.files import features_of

Json = dict[str, Any]
FEWEST_PROMPTS = 10
"""Prompts that audits must share to be compared pair by pair."""

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class SharedPairs:
    """Pairs that several audits have.

    Attributes:
        subjects (`tuple[Subject, ...]`): The compared models of these audits.
        tables (`Mapping[str, DataFrame]`): By an audit's name, these pairs in one order.
        features (`tuple[Feature, ...]`): Features with the same values in all of these audits.
    """

    subjects: tuple[Subject, ...]
    tables: Mapping[str, pd.DataFrame]
    features: tuple[Feature, ...]

    @property
    def first(self) -> pd.DataFrame:
        """The pairs as the first of these audits has them."""
        return next(iter(self.tables.values()))

    @property
    def prompts(self) -> NDArray[Any]:
        """Prompt of each pair."""
        return np.asarray(self.first[schema.PROMPT_ID].to_numpy())

    @property
    def names(self) -> list[str]:
        """Names of the models in the comparison."""
        return [subject.name for subject in self.subjects]

    @property
    def margins(self) -> dict[str, NDArray[np.float64]]:
        """Margins by model, with ties by its audit's own band set to 0, which is not aligned."""
        return {
            each.name: without_ties(
                self.tables[each.audit.name][schema.margin_column(each.model)].to_numpy(float), each
            )
            for each in self.subjects
        }


def shared_pairs(audits: Sequence[Audit], subjects: Sequence[Subject]) -> SharedPairs | None:
    """Find the pairs that most audits have in common.

    Begins with the two audits that share most pairs, and takes each other audit that leaves at least half of these.

    Args:
        audits (`Sequence[Audit]`): The audits.
        subjects (`Sequence[Subject]`): The compared models.

    Returns:
        `SharedPairs`: The pairs; `None` where no two audits share pairs of ten prompts.
    """
    held = {audit.name: audit.pairs for audit in audits if audit.pairs is not None}
    both = {(one, other): held[one].index.intersection(held[other].index) for one, other in combinations(held, 2)}
    if not both:
        return None
    start, keys = max(both.items(), key=lambda item: len(item[1]))
    names = set(start)
    for name, pairs in held.items():
        more = keys.intersection(pairs.index)
        if name not in names and len(more) >= len(keys) / 2:
            names, keys = names | {name}, more
    chosen = tuple(subject for subject in subjects if subject.audit.name in names)
    tables = {name: held[name].loc[keys] for name in held if name in names}
    scored = np.ones(len(keys), dtype=bool)
    for subject in chosen:
        scored &= np.isfinite(tables[subject.audit.name][schema.margin_column(subject.model)].to_numpy(float))
    tables = {name: table[scored] for name, table in tables.items()}
    if next(iter(tables.values()))[schema.PROMPT_ID].nunique() < FEWEST_PROMPTS:
        return None
    return SharedPairs(chosen, tables, _same_features([each for each in audits if each.name in tables], tables))


def describe_shared(shared: SharedPairs) -> Json:
    """Rank models on the pairs that they share, and count where they disagree.

    Args:
        shared (`SharedPairs`): From `shared_pairs`.

    Returns:
        `dict[str, Any]`: JSON-ready: `audits`, `models`, `features`, `n_pairs`, `n_prompts`, `resistance` by model, `ranking`
        of three or more models, `disagree` (pairs on which some models are aligned and others are not) and `splits` (of two
        models).
    """
    margins, prompts = shared.margins, shared.prompts
    aligned = {name: margin > 0 for name, margin in margins.items()}
    together = np.stack(list(aligned.values()))
    disagree: NDArray[np.bool_] = np.asarray(together.any(axis=0) & ~together.all(axis=0))
    found: Json = {
        "audits": list(shared.tables),
        "models": shared.names,
        "features": [feature.name for feature in shared.features],
        "n_pairs": len(prompts),
        "n_prompts": int(pd.Series(prompts).nunique()),
        "resistance": {name: _share(~one, prompts, "alignment_resistance") for name, one in aligned.items()},
        "disagree": _share(disagree, prompts, "share"),
        "splits": [
            {"prefers": one, "not": other, **_share(aligned[one] & ~aligned[other], prompts, "share")}
            for one, other in permutations(aligned, 2)
        ],
    }
    if len(margins) > 2:
        ranks = estimate.rank_models(margins, groups=prompts, confidence=_LEVEL).to_dict()
        found["ranking"] = {key: ranks[key] for key in ("ranking", "n_pairs", "confidence", "covariance")}
    return found


def without_ties(margins: NDArray[np.float64], subject: Subject) -> NDArray[np.float64]:
    """Margins with ties by the audit's own band set to 0, which is not aligned."""
    return np.where(np.abs(margins) <= tie_band(subject), 0.0, margins)


def tie_band(subject: Subject) -> float:
    """Margins up to which a model's audit takes a pair for a tie."""
    return float(subject.report["models"][subject.model]["resistance"]["all"]["tie_band"])


def _share(rows: NDArray[np.bool_], prompts: NDArray[Any], name: str) -> Json:
    """A share of pairs with its interval, clustered by prompt."""
    low, high = clustered_share(rows.astype(float), prompts, _LEVEL).interval
    interval = [None if np.isnan(bound) else bound for bound in (low, high)]
    return {"count": int(rows.sum()), name: float(rows.mean()), "confidence_interval": interval}


def _same_features(audits: Sequence[Audit], tables: Mapping[str, pd.DataFrame]) -> tuple[Feature, ...]:
    """Features that have one value per text in all audits; labels by different labelers are different features."""
    first, *others = audits
    kept = [feature for feature in features_of(first.report["run"]) if feature.type != "labels"]
    for other in others:
        known = {feature.name for feature in features_of(other.report["run"])}
        kept = [feature for feature in kept if feature.name in known]
        one, two = (feature_design(tables[each.name], kept) for each in (first, other))
        same = {
            name
            for place, name in enumerate(one.names)
            if np.array_equal(one.chosen[:, place], two.chosen[:, place], equal_nan=True)
            and np.array_equal(one.rejected[:, place], two.rejected[:, place], equal_nan=True)
        }
        kept = [feature for feature in kept if feature.name in same]
    return tuple(kept)

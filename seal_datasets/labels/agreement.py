"""Agreement of several labelers on the same texts, or of one labeler with itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset, concatenate_datasets

from seal_datasets import estimate, schema
from seal_datasets.data.texts import known_ids
from seal_datasets.errors import DataError
from seal_datasets.labels.design import feature_design
from seal_datasets.labels.featurize import add_features
from seal_datasets.labels.gold import check_own_gold
from seal_datasets.labels.labeler import Labeler
from seal_datasets.labels.probe import Probe
from seal_datasets.labels.probe_columns import add_probe_labels
from seal_datasets.labels.taxonomy import Feature, Taxonomy


@dataclass(frozen=True, slots=True)
class LabelerComparison:
    """Labels of several labelers, and how far they agree.

    Attributes:
        table (`Dataset`): The pairs that were labelled, with each labeler's columns as `<labeler>_<column>`.
        stability (`dict[str, LabelerStability]`): By feature; a `labels` feature has one entry for each answer.
        gold (`dict[str, dict[str, LabelAccuracy]]`): By feature and labeler, where the pairs have gold labels.
        endpoints (`dict[str, dict[str, object]]`): By labeler, what its endpoint's answers tell about it.
    """

    table: Dataset
    stability: dict[str, estimate.LabelerStability]
    gold: dict[str, dict[str, estimate.LabelAccuracy]]
    endpoints: dict[str, dict[str, object]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The numbers, JSON-ready."""
        return {
            "n_pairs": len(self.table),
            **({"endpoints": self.endpoints} if self.endpoints else {}),
            "stability": {name: stability.to_dict() for name, stability in self.stability.items()},
            "gold": {
                name: {labeler: accuracy.to_dict() for labeler, accuracy in by_labeler.items()}
                for name, by_labeler in self.gold.items()
            },
        }

    def table_lines(self) -> list[str]:
        """How often each labeler agrees with people's labels, and kappa, by feature; none without gold labels."""
        if not self.gold:
            return []
        names = list(dict.fromkeys(name for by_labeler in self.gold.values() for name in by_labeler))
        width = max(map(len, self.gold))
        cells = [["people", "commonest", *names]]
        for by_labeler in self.gold.values():
            n, commonest = (
                max(getattr(found, key) for found in by_labeler.values()) for key in ("n", "majority_share")
            )
            shown = [_agreement_with_people(by_labeler.get(name)) for name in names]
            cells.append([f"{n:,} texts", f"{commonest:.1%}", *shown])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        rows = zip(["", *self.gold], cells, strict=True)
        return [
            "  ".join([name.ljust(width), *(cell.rjust(each) for cell, each in zip(row, widths, strict=True))]).rstrip()
            for name, row in rows
        ]

    def lines(self) -> list[str]:
        """Summary by feature: Krippendorff's alpha, agreement of every two labelers, and agreement with gold labels."""
        lines = []
        for name, stability in self.stability.items():
            alpha = "undefined" if np.isnan(stability.alpha) else f"{stability.alpha:.2f}"
            lines.append(
                f"{name}: Krippendorff's alpha {alpha} over {stability.n_pairable:,} of {stability.n_rows:,} texts"
            )
            for pair in stability.pairs:
                lines.append(
                    f"    {pair.labelers[0]} and {pair.labelers[1]}: agree on {pair.agreement:.1%} of {pair.n:,}, "
                    f"kappa {pair.kappa:.2f}, AC1 {pair.ac1:.2f}"
                )
            for labeler, accuracy in self.gold.get(name, {}).items():
                lines.append(
                    f"    {labeler} and gold labels: agree on {accuracy.agreement:.1%} of {accuracy.n:,} (baseline, "
                    f"always the most frequent answer: {accuracy.majority_share:.1%})"
                )
        return lines


def compare_labelers(
    pairs: Dataset,
    labelers: Mapping[str, Labeler | Probe],
    taxonomy: Taxonomy,
    *,
    pair_ids: Collection[str] | None = None,
) -> LabelerComparison:
    """Have several labelers label the same pairs.

    Args:
        pairs (`Dataset`): Canonical pairs; gold labels among their columns are used.
        labelers (`Mapping[str, Labeler | Probe]`): By name. One model under several names, with a different seed for each,
            shows how far it agrees with itself. A probe learns from the gold labels of all pairs.
        taxonomy (`Taxonomy`): What to ask.
        pair_ids (`Collection[str]`, *optional*): The pairs to label; all when omitted.

    Returns:
        `LabelerComparison`: Labels and agreement over both sides' texts, intervals by prompt.

    Raises:
        DataError: There are fewer than two labelers, a pair id is unknown, or a gold label is not an answer of its feature.
        LabelerError: An endpoint cannot be reached or rejects requests; answers received so far are in its store.
    """
    if len(labelers) < 2:
        raise DataError(
            f"comparing labelers needs two or more, got {len(labelers)}; one model under two names also works"
        )
    pairs = check_own_gold(pairs, taxonomy)
    part = pairs if pair_ids is None else _select_pairs(pairs, pair_ids)
    for labeler in labelers.values():
        if isinstance(labeler, Probe):
            labeler.fit(pairs, taxonomy)
    tables = {
        name: add_probe_labels(part, labeler, taxonomy)
        if isinstance(labeler, Probe)
        else add_features(part, labeler, taxonomy)
        for name, labeler in labelers.items()
    }
    frames = {name: _feature_frame(table, taxonomy.features) for name, table in tables.items()}
    designs = {name: feature_design(frame, taxonomy.features) for name, frame in frames.items()}
    prompts = np.tile(np.asarray(part[schema.PROMPT_ID][:]), 2)
    first = next(iter(designs.values()))
    stability = {}
    for column, feature in enumerate(first.names):
        labels = np.column_stack(
            [np.concatenate([design.chosen[:, column], design.rejected[:, column]]) for design in designs.values()]
        )
        if np.isnan(labels).all():  # nobody gave a label
            continue
        ordered = feature in taxonomy.names and taxonomy[feature].type == "ordinal"
        stability[feature] = estimate.labeler_stability(
            labels, list(designs), groups=prompts, level="ordinal" if ordered else "nominal"
        )
    labeler_columns = []
    for name, table in tables.items():
        added = [column for column in table.column_names if column not in part.column_names]
        labeler_columns.append(
            table.select_columns(added).rename_columns({column: f"{name}_{column}" for column in added})
        )
    return LabelerComparison(
        concatenate_datasets([part, *labeler_columns], axis=1), stability, _compare_with_gold(part, frames, taxonomy)
    )


def _agreement_with_people(found: estimate.LabelAccuracy | None) -> str:
    if found is None or not found.n:
        return "no labels"
    kappa = "" if np.isnan(found.kappa) else f" (kappa {found.kappa:.2f})"
    return f"{found.agreement:.1%}{kappa}"


def _select_pairs(pairs: Dataset, pair_ids: Collection[str]) -> Dataset:
    wanted = known_ids(pairs, pair_ids)
    return pairs.select([row for row, pair_id in enumerate(pairs[schema.PAIR_ID]) if pair_id in wanted])


def _feature_frame(table: Dataset, features: Sequence[Feature]) -> pd.DataFrame:
    columns = [schema.feature_column(feature.name, side) for feature in features for side in schema.SIDES]
    frame: pd.DataFrame = table.select_columns(columns).to_pandas()
    return frame


def _compare_with_gold(
    part: Dataset, frames: Mapping[str, pd.DataFrame], taxonomy: Taxonomy
) -> dict[str, dict[str, estimate.LabelAccuracy]]:
    accuracies: dict[str, dict[str, estimate.LabelAccuracy]] = {}
    for feature in taxonomy.features:
        columns = [schema.gold_column(feature.name, side) for side in schema.SIDES]
        if feature.type == "labels" or not all(column in part.column_names for column in columns):
            continue
        prompts = np.tile(np.asarray(part[schema.PROMPT_ID][:]), 2)
        gold = np.array([np.nan if value is None else float(value) for column in columns for value in part[column]])
        for name, frame in frames.items():
            design = feature_design(frame, [feature])
            labels = np.concatenate([design.chosen[:, 0], design.rejected[:, 0]])
            both = ~(np.isnan(gold) | np.isnan(labels))
            accuracies.setdefault(feature.name, {})[name] = estimate.label_accuracy(
                labels[both], gold[both], groups=prompts[both]
            )
    return accuracies

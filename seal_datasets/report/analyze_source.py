"""What the source tells beside pairs: subsets, and rows with several responses."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset, Value

from seal_datasets import schema
from seal_datasets.estimate.inputs import Codes
from seal_datasets.report.analyze_groups import analyze_groups, grouping_columns
from seal_datasets.report.analyze_part import rewards_of
from seal_datasets.report.analyze_responses import ID, analyze_responses
from seal_datasets.report.audited_models import AuditedModels


def analyze_source(pairs: Dataset, rows: Codes, models: AuditedModels, *, tie_band: float) -> dict[str, Any]:
    """Estimate headline numbers by subset, and best-of-n accuracy, the Ties score and the style matrix.

    Args:
        pairs (`Dataset`): Canonical pairs with the rewards of every model.
        rows (`ndarray` of shape (m,)): Row numbers of the pairs that estimates use.
        models (`AuditedModels`): Names of the models, and the baseline.
        tie_band (`float`): Rewards that differ by at most this are a tie.

    Returns:
        `dict[str, Any]`: JSON-ready `groups` and `responses`; a key is absent where the source has no such columns.
    """
    places = [schema.SOURCE_ROW, *map(schema.response_index_column, schema.SIDES)]
    columns, has_places = grouping_columns(pairs), set(places) <= set(pairs.column_names)
    if not columns and not has_places:
        return {}
    wanted = [schema.PROMPT_ID, *(schema.reward_column(name, side) for name in models.names for side in schema.SIDES)]
    if has_places:
        kind = pairs.features.get(ID)
        wanted += [*places, *([ID] if isinstance(kind, Value) else [])]
    frame = pairs.select_columns(wanted).to_pandas()
    used = np.zeros(len(frame), dtype=bool)
    used[rows] = True
    rewards = {name: rewards_of(frame, name) for name in models.names}
    groups = analyze_groups(
        {name: values[used] for name, values in columns.items()},
        frame[schema.PROMPT_ID].to_numpy()[used],
        {name: (chosen[used], rejected[used]) for name, (chosen, rejected) in rewards.items()},
        comparisons=models.comparisons,
        tie_band=tie_band,
    )
    found = {"groups": groups, "responses": analyze_responses(frame, used, rewards, columns)}
    return {name: part for name, part in found.items() if part}

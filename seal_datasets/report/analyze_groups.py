"""Headline numbers by subset, category or source of the pairs, with tests that the groups differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, Value
from numpy.typing import NDArray

from seal_datasets import estimate
from seal_datasets.estimate.inputs import Bools, Codes, Floats

GROUPING_COLUMNS = ("subset", "category", "domain", "source", "dataset", "task", "language")
"""Columns of a source whose values group its pairs, in any case of letters."""

MOST_GROUPS = 30
"""A column with more values names pairs rather than groups of them."""

LONGEST_NAME = 100
"""Characters; longer values are texts of the source, which have no place in a report."""

Rewards = Mapping[str, tuple[Floats, Floats]]


def grouping_columns(pairs: Dataset) -> dict[str, NDArray[np.object_]]:
    """Columns of the source that group its pairs, by name; those that hold lists or numbers with a point do not.

    Args:
        pairs (`Dataset`): Canonical pairs.

    Returns:
        `dict[str, ndarray]`: Values of n pairs as text, `None` where the source has none.

    Example:

    ```python
    >>> pairs = Dataset.from_dict({"Subset": ["Math", None], "prompt": ["1 + 1?", "Hi"]})
    >>> {name: values.tolist() for name, values in grouping_columns(pairs).items()}
    {'Subset': ['Math', None]}

    ```
    """
    found = {}
    for name, kind in pairs.features.items():
        if name.lower() not in GROUPING_COLUMNS or not isinstance(kind, Value | ClassLabel):
            continue
        if isinstance(kind, Value) and kind.dtype.startswith(("float", "decimal", "binary", "null")):
            continue
        cells = pairs[name][:]
        if isinstance(kind, ClassLabel):
            cells = [None if cell is None or cell < 0 else kind.int2str(cell) for cell in cells]
        found[name] = np.array([None if cell is None else str(cell) for cell in cells], dtype=object)
    return found


def why_no_groups(values: NDArray[np.object_]) -> str | None:
    """Why values of a column make no groups; `None` if they do.

    Args:
        values (`ndarray` of shape (n,)): Text.

    Returns:
        `str`, *optional*: The reason.
    """
    distinct = set(values)
    if not 2 <= len(distinct) <= MOST_GROUPS:
        return f"{len(distinct)} values; 2 to {MOST_GROUPS} make groups"
    longest = max(map(len, distinct))
    if longest > LONGEST_NAME:
        return f"a value of {longest} characters; names of groups have at most {LONGEST_NAME}"
    return None


def analyze_groups(
    columns: Mapping[str, NDArray[np.object_]],
    prompts: NDArray[np.object_],
    rewards: Rewards,
    *,
    comparisons: Mapping[str, tuple[str, str]] | None = None,
    tie_band: float = 0.0,
) -> dict[str, Any]:
    """Estimate resistance and mean margin of every model by group, and regimes of every compared two.

    Args:
        columns (`Mapping[str, ndarray]`): From `grouping_columns`, for the n pairs that estimates use.
        prompts (`ndarray` of shape (n,)): Prompt of each pair.
        rewards (`Mapping[str, tuple[ndarray, ndarray]]`): Rewards of the chosen and the rejected responses by model.
        comparisons (`Mapping[str, tuple[str, str]]`, *optional*): Names of an earlier and a later model, by name of the
            comparison.
        tie_band (`float`, defaults to 0.0): Rewards that differ by at most this are a tie.

    Returns:
        `dict[str, Any]`: JSON-ready results by column; a column that does not group the pairs has a `status` alone.
    """
    results: dict[str, Any] = {}
    for name, values in columns.items():
        known = np.array([value is not None for value in values], dtype=bool)
        status = why_no_groups(values[known])
        if status is not None:
            results[name] = {"status": status}
            continue
        part = {model: (chosen[known], rejected[known]) for model, (chosen, rejected) in rewards.items()}
        by, groups = values[known], pd.factorize(prompts[known])[0].astype(np.int64)
        results[name] = {
            "status": "ok",
            "n_pairs_without_group": int((~known).sum()),
            "models": {model: _one_model(sides, by, groups, tie_band) for model, sides in part.items()},
            "comparisons": {
                name: _two_models(part[earlier], part[later], by, groups, tie_band)
                for name, (earlier, later) in (comparisons or {}).items()
            },
        }
    return results


def _one_model(sides: tuple[Floats, Floats], by: NDArray[np.object_], groups: Codes, tie_band: float) -> dict[str, Any]:
    misaligned = ~estimate.aligned_pairs(*sides, tie_band=tie_band)
    return {
        "resistance": estimate.group_differences(misaligned, by, groups=groups).to_dict(),
        "margin": estimate.group_differences(sides[0] - sides[1], by, groups=groups).to_dict(),
    }


def _two_models(
    earlier: tuple[Floats, Floats],
    later: tuple[Floats, Floats],
    by: NDArray[np.object_],
    groups: Codes,
    tie_band: float,
) -> dict[str, Any]:
    """Change of resistance by group, and the shares of regimes in each."""
    before, after = (estimate.aligned_pairs(*sides, tie_band=tie_band) for sides in (earlier, later))
    change = estimate.group_differences(before.astype(float) - after.astype(float), by, groups=groups)
    regimes = {}
    for row in change.groups:
        rows = by == row.group
        regimes[row.group] = _regimes(_at(earlier, rows), _at(later, rows), groups[rows], tie_band)
    return {"change": change.to_dict(), "regimes": regimes}


def _at(sides: tuple[Floats, Floats], rows: Bools) -> tuple[Floats, Floats]:
    return sides[0][rows], sides[1][rows]


def _regimes(
    earlier: tuple[Floats, Floats], later: tuple[Floats, Floats], groups: Codes, tie_band: float
) -> dict[str, Any]:
    found = estimate.alignment_resistance(
        *later,
        pre_chosen_rewards=earlier[0],
        pre_rejected_rewards=earlier[1],
        groups=groups,
        tie_band=tie_band,
        n_bins=1,
    ).to_dict()
    regimes: dict[str, Any] = found["regimes"]
    return regimes

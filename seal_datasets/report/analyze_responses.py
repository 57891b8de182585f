"""What a report says where a prompt has several correct and several wrong responses, as in RewardBench 2 and RM-Bench."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.errors import DataError
from seal_datasets.estimate.best_of_n import item_credits
from seal_datasets.estimate.inputs import Bools, Codes, Floats
from seal_datasets.estimate.linear import first_rows
from seal_datasets.estimate.result import as_json
from seal_datasets.report.analyze_groups import Rewards, why_no_groups

STYLES = ("concise", "detailed", "markdown")
"""Styles of RM-Bench in the order of its lists: concise, detailed as plain text, detailed as Markdown."""

ID, SUBSET, DOMAIN = "id", "subset", "domain"
"""Columns of RewardBench 2 (the first two) and of RM-Bench."""

_TIES = "ties"
_TIES_ID = re.compile(r"(ref|tied):(\d+)")


@dataclass(frozen=True, slots=True)
class Items:
    """Responses of source rows whose pairs are all used; r responses of m items.

    Attributes:
        items (`ndarray` of shape (r,)): Item of each response, from 0.
        correct (`ndarray` of shape (r,)): Whether no other response of the item is better.
        prompts (`ndarray` of shape (m,)): Prompt of each item.
        columns (`Mapping[str, ndarray]`): Group of each item by column of the source; `None` where it has none.
        ids (`ndarray` of shape (m,), *optional*): The source's id of each item.
        rewards (`Mapping[str, ndarray]`): Rewards of the responses by model.
        has_styles (`bool`): Whether the source has the columns and lists of RM-Bench.
        n_left_out (`int`): Items with a pair that estimates leave out.
    """

    items: Codes
    correct: Bools
    prompts: NDArray[np.object_]
    columns: Mapping[str, NDArray[np.object_]]
    ids: NDArray[np.object_] | None
    rewards: Mapping[str, Floats]
    has_styles: bool
    n_left_out: int


def analyze_responses(
    frame: pd.DataFrame, used: Bools, rewards: Rewards, columns: Mapping[str, NDArray[np.object_]]
) -> dict[str, Any]:
    """Estimate best-of-n accuracy, the Ties score and the style matrix where the table has them.

    A response is correct if no other one of its row is better: all of a list of chosen ones, or those with the best score.
    A row of which a pair is left out is left out whole, since fewer responses are easier to choose from. The subset Ties of
    RewardBench 2 has a score of its own and no part in best-of-n accuracy. The style matrix needs RM-Bench's column `domain`,
    and three chosen and three rejected responses in every row, whose order it takes for that of `STYLES`.

    Args:
        frame (`DataFrame`): Columns of all n pairs.
        used (`ndarray` of shape (n,)): Whether estimates use each pair.
        rewards (`Mapping[str, tuple[ndarray, ndarray]]`): Rewards of the chosen and the rejected responses by model, of all
            n pairs; nan where there is none.
        columns (`Mapping[str, ndarray]`): From `grouping_columns`, for all n pairs.

    Returns:
        `dict[str, Any]`: JSON-ready results by model; empty if no row holds more than two responses.
    """
    needed = [schema.SOURCE_ROW, *map(schema.response_index_column, schema.SIDES)]
    if not set(needed) <= set(frame.columns):
        return {}
    found = _items(frame, used, rewards, columns)
    if found is None:
        return {"status": "no row with all its pairs", "n_items": 0}
    return {
        "status": "ok",
        "n_items": len(found.prompts),
        "n_items_left_out": found.n_left_out,
        "n_responses": len(found.items),
        "models": {model: _one_model(found, each) for model, each in found.rewards.items()},
    }


def _items(
    frame: pd.DataFrame, used: Bools, rewards: Rewards, columns: Mapping[str, NDArray[np.object_]]
) -> Items | None:
    rows = pd.factorize(frame[schema.SOURCE_ROW])[0]
    n_unused = np.bincount(rows, weights=~used)
    whole = n_unused[rows] == 0
    if not whole.any():
        return None
    items = pd.factorize(rows[whole])[0]
    places = [
        frame[schema.response_index_column(side)].to_numpy(float)[whole].astype(np.int64) for side in schema.SIDES
    ]
    width = int(max(side.max() for side in places)) + 1
    chosen, rejected = (items * width + side for side in places)
    keys, at = np.unique(np.concatenate([chosen, rejected]), return_index=True)
    first = first_rows(items, int(items.max()) + 1)
    of_whole = {name: values[whole][first] for name, values in columns.items()}
    return Items(
        items=keys // width,
        correct=~np.isin(keys, rejected),
        prompts=frame[schema.PROMPT_ID].to_numpy()[whole][first],
        columns=of_whole,
        ids=frame[ID].to_numpy()[whole][first] if ID in frame else None,
        rewards={name: np.concatenate([side[whole] for side in sides])[at] for name, sides in rewards.items()},
        has_styles=DOMAIN in columns and _are_styled(items, *places),
        n_left_out=len(n_unused) - len(first),
    )


def _are_styled(items: Codes, chosen: Codes, rejected: Codes) -> bool:
    """Whether every row compares each of three chosen responses with each of three rejected ones."""
    k = len(STYLES)
    sizes = np.bincount(items)
    in_lists = (chosen < k) & (rejected >= k) & (rejected < 2 * k)
    return bool((sizes == k * k).all() and in_lists.all())


def _one_model(found: Items, rewards: Floats) -> dict[str, Any]:
    tied = _of_subset_ties(found)
    results = {}
    if not tied.all():
        results["best_of_n"] = _best_of_n(found, rewards, ~tied)
    if tied.any():
        results["ties"] = _ties(found, rewards, tied)
    if found.has_styles:
        results["style_matrix"] = _styles(found, rewards)
    return results


def _of_subset_ties(found: Items) -> Bools:
    subsets = found.columns.get(SUBSET, np.full(len(found.prompts), None))
    return np.array([value is not None and value.lower() == _TIES for value in subsets], dtype=bool)


def _best_of_n(found: Items, rewards: Floats, wanted: Bools) -> dict[str, Any]:
    def accuracy(members: Bools) -> dict[str, Any]:
        rows = members[found.items]
        items = found.items[rows]
        return estimate.best_of_n_accuracy(
            rewards[rows], found.correct[rows], items, groups=found.prompts[items]
        ).to_dict()

    by = {}
    for name, values in found.columns.items():
        known = wanted & np.array([value is not None for value in values], dtype=bool)
        if why_no_groups(values[known]) is None:
            names = list(dict.fromkeys(values[known]))
            rows = known[found.items]
            credits = item_credits(rewards[rows], found.correct[rows], found.items[rows]).credits
            test = estimate.group_differences(credits, values[known], groups=found.prompts[known]).to_dict()
            groups = {value: accuracy(known & (values == value)) for value in names}
            by[name] = {"groups": groups, "test": {key: each for key, each in test.items() if key != "groups"}}
    return {**accuracy(wanted), "by": by}


def _ties(found: Items, rewards: Floats, tied: Bools) -> dict[str, Any]:
    """The Ties score, or why there is none."""
    ids = [] if found.ids is None else [_TIES_ID.fullmatch(str(value)) for value in found.ids[tied]]
    if not ids or None in ids:
        return {"status": f"an item's {ID} is not ref:<number> or tied:<number>, as in RewardBench 2"}
    kinds, prompts = np.full(len(tied), "", dtype=object), np.full(len(tied), "", dtype=object)
    kinds[tied] = [match[1] for match in ids if match]
    prompts[tied] = [match[2] for match in ids if match]
    rows = tied[found.items]
    items = found.items[rows]
    try:
        return estimate.ties_score(
            rewards[rows], found.correct[rows], prompts[items].tolist(), kinds[items] == "ref"
        ).to_dict()
    except DataError as error:
        return {"status": str(error)}


def _styles(found: Items, rewards: Floats) -> dict[str, Any]:
    """The style matrix, and its summaries by group."""
    k = len(STYLES)
    sides = rewards.reshape(-1, 2 * k)
    chosen, rejected = np.repeat(sides[:, :k], k, axis=1), np.tile(sides[:, k:], k)
    names = np.array(STYLES)

    def matrix(members: Bools) -> estimate.StyleMatrix:
        n = int(members.sum())
        return estimate.style_matrix(
            chosen[members].ravel(),
            rejected[members].ravel(),
            np.tile(np.repeat(names, k), n),
            np.tile(names, k * n),
            STYLES,
            groups=np.repeat(found.prompts[members], k * k),
        )

    whole = matrix(np.ones(len(sides), dtype=bool)).to_dict()
    domains = found.columns[DOMAIN]
    known = domains[np.array([value is not None for value in domains], dtype=bool)]
    if why_no_groups(known) is not None:
        return {**whole, "by": {}}
    parts = {value: matrix(domains == value) for value in dict.fromkeys(known)}
    summaries = ("easy", "normal", "hard", "overall")
    return {
        **whole,
        "by": as_json({name: {each: getattr(part, each) for each in summaries} for name, part in parts.items()}),
    }

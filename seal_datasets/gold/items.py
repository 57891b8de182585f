"""The texts of drawn prompts, in an order that tells nothing of their sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from seal_datasets import schema


@dataclass(frozen=True, slots=True)
class Item:
    """One text to label.

    Attributes:
        pair_id (`str`): The pair.
        side (`str`): Its side.
        prompt_id (`str`): Its prompt's id.
        prompt (`str`): The dialogue before it.
        response (`str`): The text.
    """

    pair_id: str
    side: schema.Side
    prompt_id: str
    prompt: str
    response: str


def items_of(pairs: Dataset, prompts: Sequence[str], seed: int) -> list[Item]:
    """Both texts of every pair of some prompts, in an order that tells nothing of their sides.

    Args:
        pairs (`Dataset`): Canonical pairs.
        prompts (`Sequence[str]`): Ids of the drawn prompts.
        seed (`int`): Seed of the order.

    Returns:
        `list[Item]`: Texts; those of a prompt stand together.
    """
    drawn = set(prompts)
    found: dict[str, list[Item]] = {}
    for row in pairs.select_columns([schema.PAIR_ID, schema.PROMPT_ID, schema.PROMPT, *schema.SIDES]):
        prompt = str(row[schema.PROMPT_ID])
        for side in schema.SIDES if prompt in drawn else ():
            found.setdefault(prompt, []).append(
                Item(str(row[schema.PAIR_ID]), side, prompt, row[schema.PROMPT] or "", row[side] or "")
            )
    rng = np.random.default_rng([seed, 1])
    order = list(found)
    return [found[order[i]][j] for i in rng.permutation(len(order)) for j in rng.permutation(len(found[order[i]]))]

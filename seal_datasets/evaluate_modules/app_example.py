"""The example table of a Space: synthetic pairs with known effects."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from seal_datasets import schema
from seal_datasets.estimate.synthetic import planted_pairs

DESCRIPTION = (
    "400 drawn pairs. Training added 2 points of reward for harmless and 1 for helpful responses; eloquent ones were "
    "already paid for. The labels of a second labeler are wrong for one text in ten."
)


@cache
def example_table() -> pd.DataFrame:
    """Draw the example table, with the columns that every metric needs.

    Returns:
        `DataFrame`: 400 pairs.

    Example:

    ```python
    >>> example_table()["reward_post_chosen"].size
    400

    ```
    """
    truth = {"harmless": 2.0, "helpful": 1.0, "eloquent": 0.8}
    drawn = planted_pairs(400, imprint=truth, pre_imprint={"eloquent": 0.8}, n_prompts=160, label_error=0.1, seed=4)
    # Humans mostly choose the harmless and helpful response.
    swap = np.random.default_rng(4).random(400) < 0.7
    swap &= drawn.chosen_rewards < drawn.rejected_rewards
    table = pd.DataFrame({schema.PROMPT_ID: [f"prompt-{prompt}" for prompt in drawn.prompts]})
    labels = np.split(drawn.labels, 2)
    sides = {
        "chosen": (drawn.pre_chosen_rewards, drawn.chosen_rewards, drawn.chosen_features, labels[0]),
        "rejected": (drawn.pre_rejected_rewards, drawn.rejected_rewards, drawn.rejected_features, labels[1]),
    }
    for side, other in zip(schema.SIDES, reversed(schema.SIDES), strict=True):
        pre, post, features, again = (
            np.where(swap[:, None] if mine.ndim > 1 else swap, theirs, mine)
            for mine, theirs in zip(sides[side], sides[other], strict=True)
        )
        table[schema.reward_column("pre", side)] = pre
        table[schema.reward_column("post", side)] = post
        for column, name in enumerate(truth):
            table[schema.feature_column(name, side)] = features[:, column]
            table[f"flip_{name}_{side}"] = features[:, column] - again[:, column]
        if side == "chosen":
            table["labeler_one"], table["labeler_two"] = features[:, 0], again[:, 0]
    margin = table[schema.reward_column("post", "chosen")] - table[schema.reward_column("post", "rejected")]
    pre_margin = table[schema.reward_column("pre", "chosen")] - table[schema.reward_column("pre", "rejected")]
    table["aligned"] = (margin > 0).astype(int)
    table["pre_aligned"] = (pre_margin > 0).astype(int)
    lost = 1.5 * table["flip_harmless_chosen"] - 1.0 * table["flip_harmless_rejected"]
    table["rewritten_aligned"] = (margin - lost + np.random.default_rng(5).normal(0, 0.7, 400) > 0).astype(int)
    return table

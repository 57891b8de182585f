"""The columns of a pairs table: the only place that spells column names.

A table of preference pairs only gains columns on its way through the pipeline:

| room        | columns it adds |
|-------------|-----------------|
| `load`      | `pair_id`, `prompt_id`, `prompt`, `chosen`, `rejected`, `conversation`, `problems`,            |
|             | `rejected_prompt` and `rejected_conversation` (null unless the two prompts differ);            |
|             | `author_<side>` and `source_format` where the source tells;                                    |
|             | `source_row` and `response_index_<side>` where a row holds more than two responses             |
| `featurize` | `feature_<name>_<side>`, `labeling_failures_<side>`, `probability_<name>_<side>` |
| `score`     | `reward_<model>_<side>`, `reward_status_<model>_<side>`, `reward_tokens_<model>_<side>` |
| `rewrite`   | `rewrite_<name>_<side>`, `rewrite_prompt_...`, `rewrite_status_...`, `rewrite_detail_...`,      |
|             | `rewrite_similarity_...`, `rewrite_attribute_...`, and `rewritten_<name>_<column>` for each     |
|             | column that labels or scores the rewrites                                                       |
| `gold`      | `gold_<name>_<side>`, and `gold_probability`, with which the prompt was drawn to get gold labels |
| `audit`     | `calibrated_<name>_<side>`, `partition`, `labeler_preference`, `margin_<model>`, and for each   |
|             | model compared with a baseline `regime_<model>` and `reward_shift_degrees_<model>`              |

A training subset has `pair_id`, and `prompt`, `chosen` and `rejected` in the format of TRL. On request it also has
`resistant`, `inconsistent` and `mislabelled`.
A published table is split into flat tables, where a column of lists becomes one column for each member.

A *side* is `chosen` or `rejected`. Names are built here and never parsed.
"""

from __future__ import annotations

import re
from typing import Literal

Side = Literal["chosen", "rejected"]
SIDES: tuple[Side, Side] = ("chosen", "rejected")

PAIR_ID = "pair_id"
PROMPT_ID = "prompt_id"
PROMPT = "prompt"
CHOSEN = "chosen"
REJECTED = "rejected"
CONVERSATION = "conversation"
REJECTED_PROMPT = "rejected_prompt"
REJECTED_CONVERSATION = "rejected_conversation"
PROBLEMS = "problems"
SOURCE_FORMAT = "source_format"
SOURCE_ROW = "source_row"

GOLD_PROBABILITY = "gold_probability"
PARTITION = "partition"
LABELER_PREFERENCE = "labeler_preference"

RESISTANT = "resistant"
INCONSISTENT = "inconsistent"
MISLABELLED = "mislabelled"

CANONICAL_COLUMNS = (
    PAIR_ID,
    PROMPT_ID,
    PROMPT,
    CHOSEN,
    REJECTED,
    CONVERSATION,
    REJECTED_PROMPT,
    REJECTED_CONVERSATION,
    PROBLEMS,
)

TEXTS = (PROMPT, CHOSEN, REJECTED, CONVERSATION, REJECTED_PROMPT, REJECTED_CONVERSATION)
"""Columns that hold the prompts and responses, which are most of a table."""


def source_column(name: str) -> str:
    """Column for an original column whose name is taken by a canonical one."""
    return f"source_{name}"


def author_column(side: Side) -> str:
    """Column of who wrote one side."""
    return f"author_{side}"


def response_index_column(side: Side) -> str:
    """Column of the place of one side's response among the responses of its source row, from 0."""
    return f"response_index_{side}"


def feature_column(feature: str, side: Side) -> str:
    """Column of one feature's value for one side."""
    return f"feature_{feature}_{side}"


def probability_column(feature: str, side: Side) -> str:
    """Column of the labeler's probability that a yes/no feature is true of one side."""
    return f"probability_{feature}_{side}"


def calibrated_column(feature: str, side: Side) -> str:
    """Column of the labeler's probability for one side, calibrated on gold labels."""
    return f"calibrated_{feature}_{side}"


def gold_column(feature: str, side: Side) -> str:
    """Column of one feature's human (gold) label for one side."""
    return f"gold_{feature}_{side}"


def failures_column(side: Side) -> str:
    """Column of the missing labels of one side, each with its reason."""
    return f"labeling_failures_{side}"


def reward_column(model: str, side: Side) -> str:
    """Column of a model's reward for one side (raw logit, float32)."""
    return f"reward_{model}_{side}"


def reward_status_column(model: str, side: Side) -> str:
    """Column of the status of a reward, e.g. `ok`, `truncated`, `too_long` or `template_refused`."""
    return f"reward_status_{model}_{side}"


def reward_tokens_column(model: str, side: Side) -> str:
    """Column of a text's length in the model's tokens, before any truncation."""
    return f"reward_tokens_{model}_{side}"


def margin_column(model: str) -> str:
    """Column of the reward margin, chosen minus rejected."""
    return f"margin_{model}"


def regime_column(model: str) -> str:
    """Column of a model's alignment regime, compared with the baseline."""
    return f"regime_{model}"


def shift_column(model: str) -> str:
    """Column of a model's reward shift from the baseline, in signed degrees."""
    return f"reward_shift_degrees_{model}"


def columns_of_model(model: str) -> tuple[str, ...]:
    """All columns that scoring and auditing add for a model."""
    by_side = (reward_column, reward_status_column, reward_tokens_column)
    return (
        *(column(model, side) for column in by_side for side in SIDES),
        *(column(model) for column in (margin_column, regime_column, shift_column)),
    )


def back(axis: str) -> str:
    """Name of the rewrites that undo the rewrites of an axis."""
    return f"{axis}_back"


def rewrite_column(name: str, side: Side) -> str:
    """Column of a rewritten response, including rejected rewrites."""
    return f"rewrite_{name}_{side}"


def rewrite_prompt_column(name: str, side: Side) -> str:
    """Column of a rewritten prompt; null if the prompt was not rewritten."""
    return f"rewrite_prompt_{name}_{side}"


def rewrite_status_column(name: str, side: Side) -> str:
    """Column of the status of a rewrite: `ok`, or why it is missing or was rejected."""
    return f"rewrite_status_{name}_{side}"


def rewrite_detail_column(name: str, side: Side) -> str:
    """Column of the details of a missing or rejected rewrite."""
    return f"rewrite_detail_{name}_{side}"


def rewrite_similarity_column(name: str, side: Side) -> str:
    """Column of the cosine similarity between the embeddings of a rewrite and its original."""
    return f"rewrite_similarity_{name}_{side}"


def attribute_column(axis: str, side: Side) -> str:
    """Column of whether an original has the attribute of an axis."""
    return f"rewrite_attribute_{axis}_{side}"


def rewritten_column(name: str, column: str) -> str:
    """Column for the rewrites that corresponds to `column` for the originals."""
    return f"rewritten_{name}_{column}"


def member_column(column: str, member: str) -> str:
    """Column of a flat table for one member of a column of lists: its presence or its value."""
    return f"{column}_{re.sub(r'[^0-9a-z]+', '_', member.lower()).strip('_')}"

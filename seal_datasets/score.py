"""Add the rewards a model gives to both responses of every pair, on one process or many."""

from __future__ import annotations

from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset, Features, Value, concatenate_datasets

from seal_datasets import schema
from seal_datasets.errors import DataError
from seal_datasets.reward_model import Exchange, RewardModel
from seal_datasets.transform import Batch, Pairs, map_batches


def add_rewards(pairs: Pairs, model: RewardModel, *, name: str, batch_size: int = 256) -> Pairs:
    """Add the reward of both responses of every pair.

    Under `accelerate launch` each process scores its share and all end with the whole table, in order.

    Args:
        pairs (`Dataset` or `IterableDataset`): Canonical pairs from `load_pairs`.
        model (`RewardModel`): The model.
        name (`str`): Short name for the columns, e.g. `"pre"` or `"post"`.
        batch_size (`int`, defaults to 256): Rows per window within which texts are sorted by length.

    Returns:
        `Dataset` or `IterableDataset`: The pairs with `reward_<name>_<side>` (float32, raw logit, null where there is
        none), `reward_status_<name>_<side>` and `reward_tokens_<name>_<side>`.

    Raises:
        DataError: `name` is not an identifier, or a text is too long under the `"error"` policy.
    """
    if not name.isidentifier():
        raise DataError(f"a model's column name must be made of letters, digits and '_', got {name!r}")
    state = PartialState()
    if state.num_processes == 1 or not isinstance(pairs, Dataset):
        return _add_rewards(pairs, model, name, batch_size)
    share = pairs.shard(state.num_processes, state.process_index, contiguous=True)
    scored = _add_rewards(share, model, name, batch_size)
    columns = {column: gather_object(scored[column][:]) for column in reward_columns(name)}
    kept = pairs.remove_columns([column for column in columns if column in pairs.column_names])
    return concatenate_datasets([kept, Dataset.from_dict(columns, features=reward_columns(name))], axis=1)


def reward_columns(name: str) -> Features:
    """Columns and types that `add_rewards` adds under a model's short name."""
    columns: dict[str, Any] = {}
    for side in schema.SIDES:
        columns[schema.reward_column(name, side)] = Value("float32")
        columns[schema.reward_status_column(name, side)] = Value("string")
        columns[schema.reward_tokens_column(name, side)] = Value("int32")
    return Features(columns)


def exchange(row: dict[str, Any], side: schema.Side) -> Exchange | None:
    """The text of one side of a pair, under its own prompt; `None` where a part is missing."""
    prompt, conversation = row[schema.PROMPT], row[schema.CONVERSATION]
    if side == "rejected" and row[schema.REJECTED_PROMPT] is not None:
        prompt, conversation = row[schema.REJECTED_PROMPT], row[schema.REJECTED_CONVERSATION]
    if prompt is None or row[side] is None:
        return None
    return Exchange(prompt, conversation, row[side])


def _add_rewards(pairs: Pairs, model: RewardModel, name: str, batch_size: int) -> Pairs:
    def score_batch(batch: Batch) -> Batch:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        texts = {(index, side): exchange(row, side) for side in schema.SIDES for index, row in enumerate(rows)}
        present = {where: text for where, text in texts.items() if text is not None}
        scored = dict(zip(present, model.score(list(present.values())), strict=True))
        columns: Batch = {}
        for side in schema.SIDES:
            found = [scored.get((index, side), (None, "no_text", None)) for index in range(len(rows))]
            columns[schema.reward_column(name, side)] = [reward for reward, _, _ in found]
            columns[schema.reward_status_column(name, side)] = [status for _, status, _ in found]
            columns[schema.reward_tokens_column(name, side)] = [tokens for _, _, tokens in found]
        return columns

    return map_batches(
        pairs,
        score_batch,
        new_columns=reward_columns(name),
        provenance={"name": name, **model.provenance()},
        batch_size=batch_size,
        desc=f"Rewards ({name})",
    )

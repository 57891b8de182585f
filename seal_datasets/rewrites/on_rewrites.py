"""Treat rewrites as pairs: label and score them, and add the results to the originals."""

from __future__ import annotations

from collections.abc import Callable

from datasets import Dataset, Features

from seal_datasets import schema
from seal_datasets.data.prompts import text_prompt
from seal_datasets.data.transform import Batch, add_columns
from seal_datasets.errors import DataError

_SHOWN = frozenset({"ok", "below_similarity"})


def rewritten_pairs(pairs: Dataset, name: str) -> Dataset:
    """Rewrites as a table of pairs, ready to be labelled and scored like any other.

    Rewrites rejected only for their similarity are included, so that a report can show the effect of the threshold.

    Args:
        pairs (`Dataset`): Pairs with rewrites.
        name (`str`): Which rewrites: a preset, an axis, or an axis with `_back`.

    Returns:
        `Dataset`: Canonical pairs with the originals' ids, for pairs with such a rewrite on at least one side; a side without
        one has no text.

    Raises:
        DataError: The table has no rewrites under this name.
    """
    columns = [schema.rewrite_status_column(name, side) for side in schema.SIDES]
    if missing := [column for column in columns if column not in pairs.column_names]:
        raise DataError(
            f"the table has no rewrites named {name!r} (no column {missing[0]!r}); add them with add_rewrites"
        )
    by_row = zip(*(pairs[column][:] for column in columns), strict=True)
    rows = [row for row, statuses in enumerate(by_row) if _SHOWN.intersection(statuses)]
    kept = [name for name in pairs.column_names if name in schema.CANONICAL_COLUMNS]

    def replace_texts(batch: Batch) -> Batch:
        columns: Batch = {column: [] for column in schema.CANONICAL_COLUMNS[2:-1]}
        for row in range(len(batch[schema.PAIR_ID])):
            for column, value in _rewritten_row(batch, row, name).items():
                columns[column].append(value)
        return columns

    table = pairs.select(rows)
    types = table.select_columns(kept).features
    return table.map(
        replace_texts,
        batched=True,
        remove_columns=[column for column in table.column_names if column not in kept],
        features=types,
        desc=f"Rewrites ({name})",
        load_from_cache_file=False,
    )


def on_rewrites(pairs: Dataset, name: str, transform: Callable[[Dataset], Dataset]) -> Dataset:
    """Run a transform on the rewrites, and add its new columns to the originals.

    Args:
        pairs (`Dataset`): Pairs with rewrites.
        name (`str`): Which rewrites, as for `rewritten_pairs`.
        transform (`Callable[[Dataset], Dataset]`): E.g. `lambda table: add_rewards(table, model, name="post")`.

    Returns:
        `Dataset`: The pairs with each new column as `rewritten_<name>_<column>`, null if a rewrite is missing.
    """
    rewrites = rewritten_pairs(pairs, name)
    result = transform(rewrites)
    where = {pair_id: row for row, pair_id in enumerate(pairs[schema.PAIR_ID])}
    rows = [where[pair_id] for pair_id in rewrites[schema.PAIR_ID]]
    added = [column for column in result.column_names if column not in rewrites.column_names]
    columns: dict[str, list[object]] = {}
    for column in added:
        values: list[object] = [None] * len(pairs)
        for row, value in zip(rows, result[column], strict=True):
            values[row] = value
        columns[schema.rewritten_column(name, column)] = values
    types = Features({schema.rewritten_column(name, column): result.features[column] for column in added})
    return add_columns(pairs, columns, types)


def _rewritten_row(batch: Batch, row: int, name: str) -> dict[str, object]:
    """One row's canonical columns with the rewrites in place of the originals."""
    texts: dict[str, str | None] = {}
    prompts: dict[str, str] = {}
    for side in schema.SIDES:
        accepted = batch[schema.rewrite_status_column(name, side)][row] in _SHOWN
        texts[side] = batch[schema.rewrite_column(name, side)][row] if accepted else None
        prompt = batch[schema.rewrite_prompt_column(name, side)][row] if accepted else None
        original = batch[schema.PROMPT][row]
        if side == "rejected" and batch[schema.REJECTED_PROMPT][row] is not None:
            original = batch[schema.REJECTED_PROMPT][row]
        prompts[side] = prompt if prompt is not None else original
    other = None if prompts["chosen"] == prompts["rejected"] else prompts["rejected"]
    return {
        schema.PROMPT: prompts["chosen"],
        schema.CHOSEN: texts["chosen"],
        schema.REJECTED: texts["rejected"],
        schema.CONVERSATION: _turns_of(batch, row, prompts["chosen"]),
        schema.REJECTED_PROMPT: other,
        schema.REJECTED_CONVERSATION: None if other is None else _turns_of(batch, row, other),
    }


def _turns_of(batch: Batch, row: int, prompt: str) -> object:
    """Turns of a prompt: those of the pair where it was not rewritten."""
    for text, turns in (
        (schema.PROMPT, schema.CONVERSATION),
        (schema.REJECTED_PROMPT, schema.REJECTED_CONVERSATION),
    ):
        if batch[text][row] == prompt:
            return batch[turns][row]
    return text_prompt(prompt).conversation

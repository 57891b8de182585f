"""How many texts have a reward, and why the others have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet  # type: ignore[import-untyped]
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.rewards.scorer import Scorer

REWARDED = ("ok", "truncated", "merged", "given")
"""Statuses of texts that have a reward."""

_MOST_REASONS = 3


def count_statuses(scored: Dataset | Sequence[Path], model: str) -> Counter[str]:
    """Count the statuses of a model's texts.

    Args:
        scored (`Dataset` or `Sequence[Path]`): The table with rewards, or its Parquet files.
        model (`str`): Short name of the model.

    Returns:
        `Counter[str]`: Texts by status.
    """
    counts: Counter[str] = Counter()
    for column in (schema.reward_status_column(model, side) for side in schema.SIDES):
        if isinstance(scored, Dataset):
            counts.update(scored[column][:])
        else:
            for path in scored:
                counts.update(pyarrow.parquet.read_table(path, columns=[column])[column].to_pylist())
    return counts


def n_rewarded(counts: Mapping[str, int]) -> int:
    """Texts with a reward.

    Example:

    ```python
    >>> n_rewarded({"ok": 3, "truncated": 1, "too_long": 2})
    4

    ```
    """
    return sum(counts.get(status, 0) for status in REWARDED)


def describe_counts(name: str, counts: Mapping[str, int], models: Mapping[str, Scorer]) -> str:
    """One line: how many texts of a model have a reward, what became of the others, and what to do.

    Args:
        name (`str`): Short name of the model.
        counts (`Mapping[str, int]`): Its texts by status.
        models (`Mapping[str, Scorer]`): All models of the run; those that encode alike share what the template refused.

    Returns:
        `str`: The line.
    """
    n_texts, n_scored = sum(counts.values()), n_rewarded(counts)
    of_status = {
        status: n for status, n in sorted(counts.items()) if n and (status in REWARDED) == (n_scored == n_texts)
    }
    detail = f" ({', '.join(f'{n:,} {status}' for status, n in of_status.items())})" if of_status else ""
    if n_scored == n_texts:
        return f"{name}: {n_texts:,} of {n_texts:,} texts have a reward{detail}"
    which = (
        f"{n_texts - n_scored:,} of {n_texts:,} texts have no reward"
        if n_scored
        else f"none of {n_texts:,} texts has a reward"
    )
    return f"{name}: {which}{detail}{_advice(counts, models[name], models)}"


def _advice(counts: Mapping[str, int], model: Scorer, models: Mapping[str, Scorer]) -> str:
    said = ""
    refusals = sum(
        (each.encoder.refusals for each in models.values() if each.encoding == model.encoding), Counter[str]()
    )
    if refusals:
        reasons = "; ".join(_printable(reason) for reason, _ in refusals.most_common(_MOST_REASONS))
        said += f". The chat template says: {reasons}"
    if counts.get("template_refused") and not model.encoder.merge_system:
        said += ". --merge-system shows such conversations with fewer turns"
    if counts.get("too_long") and model.encoder.over_length == "skip":
        said += ". --over-length truncate drops the start of prompts that are too long"
    return said


def _printable(text: str) -> str:
    """A template's words, without characters that could change a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)

"""Draw the prompts that people label, with known probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from seal_datasets import schema
from seal_datasets.data.load import UNUSABLE
from seal_datasets.errors import DataError
from seal_datasets.labels.taxonomy import Taxonomy

Floats = NDArray[np.float64]

_LENGTHS = 3
# Prompts that a probe is sure of keep this share of the mean chance, so that none is beyond reach.
_LEAST = 0.25
_TOO_FEW = "the number of prompts to label must be at least 1, got {}"


@dataclass(frozen=True, slots=True)
class Draw:
    """Drawn prompts.

    Attributes:
        probability (`dict[str, float]`): Probability of being drawn, by id of every prompt that could be.
        drawn (`tuple[str, ...]`): Ids of the drawn prompts, in the order of the table.
        left_out (`int`): Prompts that could not be drawn, since a pair of theirs cannot be used.
    """

    probability: dict[str, float]
    drawn: tuple[str, ...]
    left_out: int


def draw_gold(pairs: Dataset, n: int, *, seed: int = 0, stratify_by: str | None = None) -> Draw:
    """Draw prompts by strata, each with its share of them and at least one.

    Args:
        pairs (`Dataset`): Canonical pairs. Prompts are drawn whole, with all of their pairs.
        n (`int`): Prompts to draw; strata may round it.
        seed (`int`, defaults to 0): Seed of the draw.
        stratify_by (`str`, *optional*): Column of the strata, read at a prompt's first pair; thirds by length when omitted.

    Returns:
        `Draw`: Within a stratum every prompt has the same probability.

    Raises:
        DataError: No prompt can be drawn, or the column does not exist.

    Example:

    ```python
    >>> from seal_datasets import load_pairs
    >>> rows = [{"prompt": f"{i}?", "chosen": "yes " * i, "rejected": "no"} for i in range(1, 31)]
    >>> found = draw_gold(load_pairs(Dataset.from_list(rows))[0], 6)
    >>> len(found.drawn), sorted(set(found.probability.values()))
    (6, [0.2])

    ```
    """
    if n < 1:
        raise DataError(_TOO_FEW.format(n))
    if stratify_by is not None and stratify_by not in pairs.column_names:
        raise DataError(f"there is no column {stratify_by!r} to stratify by; the table has {pairs.column_names}")
    prompts, left_out = _drawable(pairs)
    strata: dict[str, list[str]] = {}
    for prompt, stratum in zip(prompts, _strata(pairs, prompts, stratify_by), strict=True):
        strata.setdefault(stratum, []).append(prompt)
    rng, share = np.random.default_rng(seed), n / len(prompts)
    probability: dict[str, float] = {}
    drawn: set[str] = set()
    for name in sorted(strata):
        members = strata[name]
        size = min(len(members), max(1, round(share * len(members))))
        probability |= dict.fromkeys(members, size / len(members))
        drawn |= {members[place] for place in rng.choice(len(members), size, replace=False)}
    return Draw(probability, tuple(prompt for prompt in prompts if prompt in drawn), left_out)


def draw_more(
    pairs: Dataset, n: int, first: Mapping[str, float], labelled: Sequence[str], taxonomy: Taxonomy, *, seed: int
) -> Draw:
    """Draw a second round by a probe's uncertainty.

    Every prompt is drawn on its own, with a probability that rises with the mean of p (1 - p) over its texts and features.
    The probability that is kept is that of being drawn in either round: p1 + (1 - p1) p2. Prompts of the first round have one
    too, since the probe's probabilities of a prompt come from heads that did not see its labels.

    Args:
        pairs (`Dataset`): Canonical pairs with `probability_<feature>_<side>` columns.
        n (`int`): Prompts to draw, on average.
        first (`Mapping[str, float]`): Probability of the first round, by prompt.
        labelled (`Sequence[str]`): Prompts of the first round.
        taxonomy (`Taxonomy`): Features whose probabilities count.
        seed (`int`): Seed of the draw.

    Returns:
        `Draw`: Probabilities of either round; only prompts of the second round are `drawn`.

    Raises:
        DataError: There are no probabilities, the table has no prompt of the first round, or `n` is below 1.

    Source: Horvitz and Thompson (1952); for draws that depend on earlier ones Zrnic and Candes (2024), arXiv 2403.03208.
    """
    if n < 1:
        raise DataError(_TOO_FEW.format(n))
    columns = [
        column
        for name in taxonomy.names
        for side in schema.SIDES
        if (column := schema.probability_column(name, side)) in pairs.column_names
    ]
    if not columns:
        raise DataError(
            "the second round is drawn by a probe's uncertainty, and the table has no probability_<feature>_<side> columns; "
            "give the folder of an audit with a probe (--audit)"
        )
    frame = pairs.select_columns([schema.PROMPT_ID, *columns]).to_pandas()
    spread = (frame[columns] * (1 - frame[columns])).mean(axis=1).groupby(frame[schema.PROMPT_ID]).mean()
    prompts = [prompt for prompt in first if prompt in spread.index]
    if not prompts:
        raise DataError(
            f"none of the {len(first):,} prompts of the first round is in the audit; give the folder of an audit of the same "
            "data"
        )
    done = set(labelled)
    doubt = spread.reindex(prompts).fillna(0.0).to_numpy(dtype=float)
    doubt = np.maximum(doubt, _LEAST * doubt.mean()) if doubt.any() else np.ones(len(doubt))
    chance = _scaled_to(doubt, n, np.array([prompt not in done for prompt in prompts]))
    taken = np.random.default_rng([seed, 2]).random(len(prompts)) < chance
    probability = {p: first[p] + (1 - first[p]) * float(c) for p, c in zip(prompts, chance, strict=True)}
    drawn = tuple(prompt for prompt, took in zip(prompts, taken, strict=True) if took and prompt not in done)
    return Draw({**first, **probability}, drawn, len(first) - len(prompts))


def _scaled_to(size: Floats, n: int, counted: NDArray[np.bool_]) -> Floats:
    """Probabilities in proportion to sizes, at most 1, that add up to n over the counted entries."""
    low, high = 0.0, 1.0 / float(size.min())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(middle * size, 1.0)[counted].sum() < n else (low, middle)
    return np.minimum(high * size, 1.0)


def _drawable(pairs: Dataset) -> tuple[list[str], int]:
    """Prompts all of whose pairs can be used, in order, and the number of others."""
    usable: dict[str, bool] = {}
    for prompt, problems in zip(pairs[schema.PROMPT_ID], pairs[schema.PROBLEMS], strict=True):
        usable[str(prompt)] = usable.get(str(prompt), True) and not UNUSABLE.intersection(problems)
    prompts = [prompt for prompt, is_usable in usable.items() if is_usable]
    if not prompts:
        raise DataError(f"none of the {len(usable):,} prompts can be labelled: each has a pair that cannot be used")
    return prompts, len(usable) - len(prompts)


def _strata(pairs: Dataset, prompts: Sequence[str], column: str | None) -> list[str]:
    ids = [str(prompt) for prompt in pairs[schema.PROMPT_ID]]
    if column is not None:
        first: dict[str, str] = {}
        for prompt, value in zip(ids, pairs[column], strict=True):
            first.setdefault(prompt, repr(value))
        return [first[prompt] for prompt in prompts]
    length: dict[str, int] = {}
    for prompt, chosen, rejected in zip(ids, pairs[schema.CHOSEN], pairs[schema.REJECTED], strict=True):
        length[prompt] = length.get(prompt, 0) + len(chosen or "") + len(rejected or "")
    ranks = np.argsort(np.argsort([length[prompt] for prompt in prompts], kind="stable"), kind="stable")
    return [str(rank * _LENGTHS // len(prompts)) for rank in ranks]

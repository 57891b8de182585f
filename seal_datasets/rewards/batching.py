"""Batches of similar numbers of tokens, of texts of similar length, halved where memory runs out."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

import torch

from seal_datasets.errors import ModelError

Item = TypeVar("Item")


def token_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group texts into batches that hold at most `budget` tokens with their padding, longest first.

    Args:
        lengths (`Sequence[int]`): Tokens of each text.
        budget (`int`): Tokens of a batch, padding included; a longer text is a batch of its own.

    Returns:
        `list[list[int]]`: Positions of the texts in each batch.

    Example:

    ```python
    >>> token_batches([3, 9, 4, 8], budget=18)
    [[1, 3], [2, 0]]

    ```
    """
    batches: list[list[int]] = []
    longest = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        if not batches or (len(batches[-1]) + 1) * longest > budget:
            batches.append([])
            longest = lengths[position]
        batches[-1].append(position)
    return batches


def token_rows(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group texts into rows without padding, of about `budget` tokens each, longest first.

    Args:
        lengths (`Sequence[int]`): Tokens of each text.
        budget (`int`): Tokens of a row; a longer text is a row of its own.

    Returns:
        `list[list[int]]`: Positions of the texts in each row.

    Example:

    ```python
    >>> token_rows([3, 9, 4, 8], budget=18)
    [[1, 3], [2, 0]]

    ```
    """
    rows: list[list[int]] = []
    filled = budget
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        if filled + lengths[position] > budget:
            rows.append([])
            filled = 0
        rows[-1].append(position)
        filled += lengths[position]
    return rows


def padding_waste(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of the tokens in padded batches that are padding.

    Example:

    ```python
    >>> round(padding_waste([3, 9, 4, 8], [[1, 3], [2, 0]]), 3)
    0.077

    ```
    """
    padded = sum(len(batch) * max(lengths[position] for position in batch) for batch in batches)
    return 1.0 - sum(lengths) / padded if padded else 0.0


def equal_shares(sizes: Sequence[int], groups: Sequence[Hashable], n_shares: int) -> list[int]:
    """Assign texts to processes with about equal numbers of tokens; texts of a group share a process.

    The largest groups go first, to the process with the fewest tokens. No process has more than 4/3 of the optimum
    (Graham 1969).

    Args:
        sizes (`Sequence[int]`): Tokens of each text.
        groups (`Sequence[Hashable]`): Group of each text, e.g. its prompt.
        n_shares (`int`): Number of processes.

    Returns:
        `list[int]`: Process of each text.

    Example:

    ```python
    >>> equal_shares([5, 5, 4, 3, 3], ["a", "a", "b", "c", "d"], 2)
    [0, 0, 1, 1, 1]

    ```
    """
    totals: dict[Hashable, int] = {}
    for size, group in zip(sizes, groups, strict=True):
        totals[group] = totals.get(group, 0) + size
    loads, owner = [0] * n_shares, {}
    for group in sorted(totals, key=lambda group: -totals[group]):
        least = loads.index(min(loads))
        owner[group] = least
        loads[least] += totals[group]
    return [owner[group] for group in groups]


def run_batches(
    work: Sequence[list[Item]],
    run: Callable[[list[Item]], tuple[list[int], Callable[[], list[float]]]],
    *,
    ahead: int = 1,
) -> Iterator[list[tuple[int, float]]]:
    """Run batches through a model, starting the next ones before the results of the first are read.

    Where memory runs out, the results of running batches are read first. All remaining batches are halved, and the next one
    runs alone. Every text is still scored.

    Args:
        work (`Sequence[list]`): Batches of anything.
        run (`Callable`): Starts a batch; returns the positions of its texts and a function that waits for their rewards.
        ahead (`int`, defaults to 1): Batches that start before the rewards of the first are read.

    Yields:
        `list[tuple[int, float]]`: Positions and rewards of a batch.

    Raises:
        ModelError: One item alone needs more memory than there is, or the accelerator failed.
    """
    left = deque(work)
    under_way: deque[tuple[list[Item], bool, list[int], Callable[[], list[float]]]] = deque()
    short = False
    while left or under_way:
        begins = bool(left) and len(under_way) <= (0 if short else ahead)
        batch, alone = (left.popleft(), short) if begins else under_way[0][:2]
        try:
            if begins:
                under_way.append((batch, alone, *run(batch)))
                continue
            rewards = _rewards(*under_way.popleft()[2:])  # nothing is yielded of a batch that fails
        except (RuntimeError, MemoryError) as error:
            if str(error).startswith(_DEVICE_LOST):
                raise ModelError(
                    f"the accelerator failed ({_first_memory_line(error)}); stored rewards are kept. Run the same "
                    "command again, without a GPU (CUDA_VISIBLE_DEVICES=) if it fails again"
                ) from error
            if not _out_of_memory(error):
                raise
            if len(batch) == 1 and alone:
                raise ModelError(
                    "a single text does not fit in memory; shorten texts (max_length with over_length='truncate') or "
                    f"use a smaller precision: {_first_memory_line(error)}"
                ) from error
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            left = deque(half for whole in (batch, *left) for half in _halves(whole))
            short = True  # running batches hold memory: they are read first, and the next runs alone
        else:
            short = short and not alone
            yield rewards


def _rewards(positions: list[int], read: Callable[[], list[float]]) -> list[tuple[int, float]]:
    return list(zip(positions, read(), strict=True))


def _halves(batch: list[Item]) -> list[list[Item]]:
    middle = (len(batch) + 1) // 2
    return [half for half in (batch[:middle], batch[middle:]) if half]


_DEVICE_LOST = ("CUDA error", "HIP error")
_OUT_OF_MEMORY = re.compile(
    "not enough memory|[Cc]an(no|')t alloc|[Ff]ailed to allocate|bad_alloc"
    "|could not create a (primitive|memory)(?! descriptor)"  # of oneDNN, within torch
)


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _OUT_OF_MEMORY.search(str(error)) is not None


def _first_memory_line(error: BaseException) -> str:
    """The first line of an error that mentions memory, else its first line: OpenVINO puts others before it."""
    lines = str(error).splitlines() or [type(error).__name__]
    return next(filter(_OUT_OF_MEMORY.search, lines), lines[0])

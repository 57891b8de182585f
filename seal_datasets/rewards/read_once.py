"""Read a source once for all processes of a launched run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch

from seal_datasets.errors import DataError, SealError
from seal_datasets.rewards.loading import processes

Window = TypeVar("Window")


def read_once(windows: Iterable[Window]) -> Iterator[Window]:
    """Windows that the main process reads and sends to the others, which never touch the source.

    It is for streams that cannot be dealt (see `data.deal`): ids of pairs number the rows of the source, and only Parquet files
    say how many rows lie before one. Windows keep their rows too, so rewards and files are those of one process.

    Args:
        windows (`Iterable`): What to read; taken from on the main process only. Items are sent as pickles.

    Yields:
        `Window`: Each item, on every process. All processes have to take the same number of them.

    Raises:
        SealError: The main process cannot read the source; every process raises it.
    """
    if processes().num_processes == 1:
        return iter(windows)
    # Windows are read ahead in a thread, whose messages must not mix with those about rewards.
    group = torch.distributed.new_group(backend="gloo")
    return _receive(iter(windows), group)


def _receive(windows: Iterator[Window], group: torch.distributed.ProcessGroup) -> Iterator[Window]:
    main = processes().is_main_process
    while True:
        message: list[tuple[Window | None, SealError | None]] = [_read(windows) if main else (None, None)]
        torch.distributed.broadcast_object_list(message, src=0, group=group, device=torch.device("cpu"))
        window, error = message[0]
        if error is not None:
            raise error
        if window is None:
            return
        yield window


def _read(windows: Iterator[Window]) -> tuple[Window | None, SealError | None]:
    """The next window or the error that stands in its place; neither at the end."""
    try:
        return next(windows, None), None
    except SealError as error:
        return None, error
    except Exception as error:  # the others wait for an answer, whatever happens here
        return None, DataError(f"the main process cannot read the data: {type(error).__name__}: {error}")

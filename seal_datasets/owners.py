"""Which process owns something: a claim in a store, a folder under work, a file that is not finished."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


@cache
def _name_of(process: int) -> str:
    return f"{platform.node()}:{process}@{_state(process)[1]}"


def this_process() -> str:
    """Name of this process that no later process shares: host, number and start time.

    Example:

    ```python
    >>> is_alive(this_process())
    True

    ```
    """
    return _name_of(os.getpid())


def is_here(owner: str) -> bool:
    """Whether a process runs, or ran, on this machine."""
    return owner.rpartition(":")[0] == platform.node()


def is_alive(owner: str) -> bool:
    """Whether a process of this machine still runs; a zombie does not, nor a later process with the same number.

    Args:
        owner (`str`): From `this_process`; an owner without a start time may be mistaken for a later process.

    Returns:
        `bool`: Whether it runs; false for what is not the name of a process.
    """
    number, _, start = owner.rpartition(":")[2].partition("@")
    if not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # alive, but owned by another user
        pass
    state, since = _state(int(number))
    return state not in ("Z", "X") and since in ("", start or since)


def describe(owner: str) -> str:
    """The words "process 12 on this machine" or "process 12 on HOST"."""
    host, _, process = owner.rpartition(":")
    return f"process {process.partition('@')[0]} on {'this machine' if is_here(owner) else host}"


def _state(process: int) -> tuple[str, str]:
    """State and start time of a process; empty where the system has no /proc."""
    try:
        # The name of the program may hold blanks and brackets; the last bracket ends it.
        fields = (_PROC / str(process) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""

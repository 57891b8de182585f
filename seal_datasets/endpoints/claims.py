"""Claims: which process asks about a text, so that no two processes pay for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from seal_datasets.owners import is_alive, is_here

LEASE_SECONDS = 900.0
"""A claim from another machine ends this long after its last renewal."""

_RENEWAL_SECONDS = LEASE_SECONDS / 5


def is_active(owner: str, since: float) -> bool:
    """Whether a claim holds.

    Args:
        owner (`str`): The process that claimed, from `this_process`.
        since (`float`): Time of the claim or its last renewal, in seconds since 1970.

    Returns:
        `bool`: On this machine, whether the process lives; for another machine, whether the lease runs.
    """
    return is_alive(owner) if is_here(owner) else time.time() - since <= LEASE_SECONDS


class Renewal:
    """Renews claims in the background, so that a lease outlives a batch or a slow answer.

    Args:
        renew (`Callable[[], object]`): Renews all claims of this process; an error is left to the next write.
    """

    def __init__(self, renew: Callable[[], object]) -> None:
        self._renew = renew
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start with the first claim."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="seal-claims", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """End before the store is closed."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_RENEWAL_SECONDS):
            try:
                self._renew()
            except Exception:  # a full disk or a busy store; the next request says so
                continue

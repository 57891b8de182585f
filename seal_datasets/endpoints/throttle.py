"""Limit of concurrent requests, adapted to what a server bears."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Throttle:
    """Limit of concurrent requests: it rises by one after each round of successes, and overload halves it.

    Args:
        most (`int`): Upper limit, and the limit at the start.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.active = 0
        self._resume_at = 0.0
        self._cut_at = 0.0
        self._free = asyncio.Condition()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a free slot, and hold it for the length of the block."""
        async with self._free:
            await self._free.wait_for(lambda: self.active < max(1, int(self.limit)))
            self.active += 1
        try:
            wait = self._resume_at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            yield
        finally:
            async with self._free:
                self.active -= 1
                self._free.notify(2)

    def succeeded(self) -> None:
        """Raise the limit by one for every full round of successes."""
        self.limit = min(float(self.most), self.limit + 1.0 / self.limit)

    def overloaded(self, wait: float) -> None:
        """Halve the limit, at most once a second, and hold back all requests for `wait` seconds."""
        now = time.monotonic()
        if now - self._cut_at > 1.0:
            self.limit = max(1.0, self.limit / 2.0)
            self._cut_at = now
        self._resume_at = max(self._resume_at, now + wait)

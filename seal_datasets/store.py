"""A content-addressed store of LM responses: what was paid for once is never asked again.

The key is a hash of everything that decides a response (model, messages, schema, sampling), never of a dataset or its
order. The value is the raw response, so that a changed parser re-reads old responses for free. It is one SQLite file in
write-ahead mode: a crash at any moment leaves every finished response readable, and threads may share it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from seal_datasets.errors import DataError

_SCHEMA = "CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, response TEXT NOT NULL) WITHOUT ROWID"


def request_key(request: Mapping[str, object]) -> str:
    """Hash of a request's content.

    Args:
        request (`Mapping[str, object]`): Everything that decides the response; JSON-ready, without keys or addresses.

    Returns:
        `str`: 32 hexadecimal digits, the same on every machine.
    """
    return hashlib.blake2b(json.dumps(request, sort_keys=True).encode(), digest_size=16).hexdigest()


class ResponseStore:
    """Raw LM responses by request key.

    Args:
        path (`str` or `Path`): The SQLite file, made when missing; `":memory:"` keeps nothing.

    Raises:
        DataError: The file cannot be opened or is not a store.

    Example:

    ```python
    >>> with ResponseStore(":memory:") as store:
    ...     store.put("a1", {"content": "{}"})
    ...     store.get("a1"), store.get("b2")
    ({'content': '{}'}, None)

    ```
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._lock = threading.Lock()
        try:
            if self.path != ":memory:":
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, check_same_thread=False, timeout=60.0)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(_SCHEMA)
            self._connection.commit()
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"cannot use {self.path} as a store of responses: {error}; "
                "give a writable path to a new or existing store"
            ) from error

    def get(self, key: str) -> dict[str, object] | None:
        """The response stored under a key, or `None`."""
        with self._lock:
            row = self._connection.execute("SELECT response FROM responses WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, response: Mapping[str, object]) -> None:
        """Keep a response; it is on disk when this returns."""
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO responses VALUES (?, ?)", (key, json.dumps(dict(response)))
            )
            self._connection.commit()

    def __len__(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM responses").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> ResponseStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

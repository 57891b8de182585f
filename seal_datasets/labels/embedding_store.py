"""Store of embeddings: a text that an encoder has embedded is not embedded again."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from seal_datasets.endpoints.store_file import ForeignFileError, Tables, address, check_owner, damaged, reading
from seal_datasets.errors import DataError

_KEYS_PER_QUERY = 500
_TABLES: Tables = {"embeddings": {"encoder", "text", "vector"}}
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS embeddings "
    "(encoder BLOB, text BLOB, vector BLOB, PRIMARY KEY (encoder, text)) WITHOUT ROWID"
)

Vector = NDArray[np.float32]


class EmbeddingStore:
    """An SQLite file of embeddings.

    Args:
        path (`str` or `Path`, *optional*): The file, made if missing; in memory when omitted.

    Raises:
        DataError: The file cannot be written to, or belongs to another program.

    Example:

    ```python
    >>> with EmbeddingStore() as store:
    ...     store.put(b"encoder", {b"text": np.ones(3, np.float32)})
    ...     store.get(b"encoder", [b"text", b"other"])
    {b'text': array([1., 1., 1.], dtype=float32)}

    ```
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        self.path = path
        try:
            if path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                check_owner(path, _TABLES)
            where = ":memory:" if path == ":memory:" else address(path, "mode=rwc")
            self._file = sqlite3.connect(where, uri=True, timeout=60.0)
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.execute("PRAGMA journal_mode=TRUNCATE")
            self._file.execute(_SCHEMA)
        except (ForeignFileError, OSError, sqlite3.OperationalError) as error:
            raise DataError(f"cannot store embeddings in {path}: {error}; choose a writable folder") from error
        except sqlite3.Error as error:
            raise damaged(path, error) from error

    def get(self, encoder: bytes, texts: Sequence[bytes]) -> dict[bytes, Vector]:
        """Look embeddings up.

        Args:
            encoder (`bytes`): Key of the encoder.
            texts (`Sequence[bytes]`): Keys of texts.

        Returns:
            `dict[bytes, ndarray]`: Those in the store, float32; nan where the encoder gave none.
        """
        found: dict[bytes, Vector] = {}
        for start in range(0, len(texts), _KEYS_PER_QUERY):
            keys = texts[start : start + _KEYS_PER_QUERY]
            query = f"SELECT text, vector FROM embeddings WHERE encoder = ? AND text IN ({', '.join('?' * len(keys))})"
            with reading(self.path):
                rows = self._file.execute(query, (encoder, *keys)).fetchall()
            found.update((text, np.frombuffer(vector, "<f4")) for text, vector in rows)
        return found

    def put(self, encoder: bytes, vectors: Mapping[bytes, Vector]) -> None:
        """Store embeddings.

        Args:
            encoder (`bytes`): Key of the encoder.
            vectors (`Mapping[bytes, ndarray]`): Vector by key of the text.

        Raises:
            DataError: The disk is full or cannot be written; embeddings stored before are safe.
        """
        rows = [(encoder, text, np.asarray(vector, "<f4").tobytes()) for text, vector in vectors.items()]
        try:
            with self._file:
                self._file.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.OperationalError):
                raise damaged(self.path, error) from error
            raise DataError(
                f"cannot store more embeddings in {self.path}: {error}; free disk space and re-run"
            ) from error

    def __enter__(self) -> EmbeddingStore:
        """Use the store in a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()

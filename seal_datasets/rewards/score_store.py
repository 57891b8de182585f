"""Store of rewards: a text scored by a model of one revision and precision is not scored again.

A store is a folder of SQLite files. Each process writes one file and reads all of them. Processes on different machines can
share a store over a network file system, and a run can resume with another number of processes. A batch's rewards are
written as soon as the batch is done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from seal_datasets.errors import DataError

_KEYS_PER_QUERY = 500


class ScoreStore:
    """A folder of rewards.

    Args:
        folder (`str` or `Path`): Created if missing.
        writer (`int`, defaults to 0): Number of this process; unique among the processes that write at the same time.

    Raises:
        DataError: The folder cannot be written to, or holds something else.
    """

    def __init__(self, folder: str | Path, *, writer: int = 0) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._own = sqlite3.connect(self.folder / f"scores-{writer:05d}.sqlite", timeout=60.0)
            self._own.execute("PRAGMA synchronous=NORMAL")
            self._own.execute("PRAGMA journal_mode=TRUNCATE")  # unlike WAL it works on network file systems
            self._own.execute(
                "CREATE TABLE IF NOT EXISTS scores (model BLOB, text BLOB, reward REAL, PRIMARY KEY (model, text)) "
                "WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"cannot store rewards in {self.folder}: {error}; choose a writable folder") from error
        others = [path for path in sorted(self.folder.glob("scores-*.sqlite")) if int(path.stem[-5:]) != writer]
        opened = [sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60.0) for path in others]
        # The file of a process that has just started has no table yet.
        has_table = "SELECT 1 FROM sqlite_master WHERE name = 'scores'"
        self._readers = [self._own, *(reader for reader in opened if reader.execute(has_table).fetchone())]

    def get(self, model: bytes, texts: Sequence[bytes]) -> dict[bytes, float]:
        """Look rewards up.

        Args:
            model (`bytes`): `Scorer.identity_key` of the model.
            texts (`Sequence[bytes]`): Keys of encoded texts.

        Returns:
            `dict[bytes, float]`: Rewards in the store by key.
        """
        rewards: dict[bytes, float] = {}
        for start in range(0, len(texts), _KEYS_PER_QUERY):
            keys = texts[start : start + _KEYS_PER_QUERY]
            query = f"SELECT text, reward FROM scores WHERE model = ? AND text IN ({', '.join('?' * len(keys))})"
            for reader in self._readers:
                rewards.update(reader.execute(query, (model, *keys)))
        return rewards

    def put(self, model: bytes, rewards: Mapping[bytes, float]) -> None:
        """Store rewards, except those that are not finite.

        Args:
            model (`bytes`): `Scorer.identity_key` of the model.
            rewards (`Mapping[bytes, float]`): Reward by key of the encoded text.

        Raises:
            DataError: The disk is full or cannot be written; rewards stored before are safe.
        """
        try:
            with self._own:
                self._own.executemany(
                    "INSERT OR REPLACE INTO scores VALUES (?, ?, ?)",
                    [(model, key, reward) for key, reward in rewards.items() if reward - reward == 0.0],
                )
        except sqlite3.Error as error:
            raise DataError(
                f"cannot store more rewards in {self.folder}: {error}; free disk space and re-run"
            ) from error

    def __len__(self) -> int:
        """Number of stored rewards."""
        return sum(int(reader.execute("SELECT COUNT(*) FROM scores").fetchone()[0]) for reader in self._readers)

    def __enter__(self) -> ScoreStore:
        """Use the store in a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files."""
        for reader in self._readers:
            reader.close()

"""Store of rewards: a text scored by a model of one revision and precision is not scored again.

A store is a folder of SQLite files. Each process writes one file and reads all of them. Processes on different machines can
share a store over a network file system, and a run can resume with another number of processes. A batch's rewards are
written as soon as the batch is done.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType

from seal_datasets.endpoints.store_file import ForeignFileError, Tables, address, check_owner, damaged, reading
from seal_datasets.endpoints.store_repair import Repaired, replace_damaged, rows_of
from seal_datasets.errors import DataError

_KEYS_PER_QUERY = 500
_TABLES: Tables = {"scores": {"model", "text", "reward"}}
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS scores (model BLOB, text BLOB, reward REAL, PRIMARY KEY (model, text)) WITHOUT ROWID"
)


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
        own = self.folder / f"scores-{writer:05d}.sqlite"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            check_owner(own, _TABLES)
            self._own = sqlite3.connect(address(own, "mode=rwc"), uri=True, timeout=60.0)
            self._own.execute("PRAGMA synchronous=NORMAL")
            self._own.execute("PRAGMA journal_mode=TRUNCATE")  # unlike WAL it works on network file systems
            self._own.execute(_SCHEMA)
        except (ForeignFileError, OSError, sqlite3.OperationalError) as error:
            raise DataError(
                f"cannot store rewards in {self.folder}: {error} ({own.name}); choose a writable folder"
            ) from error
        except sqlite3.Error as error:
            raise damaged(self.folder, f"{error} ({own.name})") from error
        with reading(self.folder):
            # The file of a process that has just started has no table yet.
            others = [path for path in _files(self.folder) if path != own and check_owner(path, _TABLES)]
            opened = [sqlite3.connect(address(path, "mode=ro"), uri=True, timeout=60.0) for path in others]
        self._readers = [self._own, *opened]

    def get(self, model: bytes, texts: Sequence[bytes]) -> dict[bytes, float]:
        """Look rewards up.

        Args:
            model (`bytes`): `Scorer.identity_key` of the model.
            texts (`Sequence[bytes]`): Keys of encoded texts.

        Returns:
            `dict[bytes, float]`: Rewards in the store by key.
        """
        return _look_up(self._readers, self.folder, model, texts)

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
                    [(model, key, reward) for key, reward in rewards.items() if math.isfinite(reward)],
                )
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.OperationalError):
                raise damaged(self.folder, error) from error
            raise DataError(
                f"cannot store more rewards in {self.folder}: {error}; free disk space and re-run"
            ) from error

    def __len__(self) -> int:
        """Number of stored rewards."""
        with reading(self.folder):
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


def stored_rewards(folder: str | Path, model: bytes, texts: Sequence[bytes]) -> dict[bytes, float]:
    """Look rewards up without opening the store for writing, so that nothing is made or changed.

    Args:
        folder (`str` or `Path`): The store; one that does not exist is empty.
        model (`bytes`): As for `ScoreStore.get`.
        texts (`Sequence[bytes]`): As for `ScoreStore.get`.

    Returns:
        `dict[bytes, float]`: Rewards in the store by key.

    Raises:
        DataError: The store cannot be read.

    Example:

    ```python
    >>> stored_rewards("no-such-folder", b"model", [b"text"])
    {}

    ```
    """
    folder = Path(folder)
    with reading(folder), ExitStack() as opened:
        readers = [
            opened.enter_context(closing(sqlite3.connect(address(path, "mode=ro"), uri=True, timeout=60.0)))
            for path in _files(folder)
            if check_owner(path, _TABLES)
        ]
        return _look_up(readers, folder, model, texts)


def _look_up(
    readers: Sequence[sqlite3.Connection], folder: Path, model: bytes, texts: Sequence[bytes]
) -> dict[bytes, float]:
    rewards: dict[bytes, float] = {}
    for start in range(0, len(texts), _KEYS_PER_QUERY):
        keys = texts[start : start + _KEYS_PER_QUERY]
        query = f"SELECT text, reward FROM scores WHERE model = ? AND text IN ({', '.join('?' * len(keys))})"
        with reading(folder):
            for reader in readers:
                rewards.update(reader.execute(query, (model, *keys)))
    return rewards


def repair_scores(folder: str | Path) -> list[Repaired]:
    """Save the readable rewards of every damaged file of a store.

    Args:
        folder (`str` or `Path`): The folder of the store.

    Returns:
        `list[Repaired]`: One entry for each file.

    Raises:
        DataError: There is no store, a file is in use or is not one of a store, or nothing in it can be read.
    """
    files = _files(Path(folder))
    if not files:
        raise DataError(f"{folder} holds no store of rewards (scores-00000.sqlite); give the folder of a store")
    return [replace_damaged(path, _TABLES, "scores", _save) for path in files]


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("scores-*.sqlite")) if re.fullmatch(r"scores-\d{5,}", path.stem)]


def _save(broken: sqlite3.Connection, file: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(file)) as new, new:
        new.execute(_SCHEMA)
        rows = rows_of(broken, "scores", ("model", "text", "reward"), pages=b"\x02\x0a")
        whole = (row for row in rows if list(map(type, row)) == [bytes, bytes, float])
        new.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?, ?)", whole)
        n_saved = int(new.execute("SELECT COUNT(*) FROM scores").fetchone()[0])
    return n_saved, n_saved

"""SQLite files of stores: told apart from other programs' files before anything is written, and errors that help.

A reader learns from the file alone whose it is. Nothing is written to a file that is not ours, not even a journal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from seal_datasets.errors import DataError

_MAGIC = b"SQLite format 3\0"
Tables = Mapping[str, set[str]]
"""Name of a table to its columns."""


class ForeignFileError(sqlite3.DatabaseError):
    """The file belongs to another program, or to another version of this one."""


def address(path: str | Path, mode: str) -> str:
    """The URI of an SQLite file, whatever letters its path has.

    Example:

    ```python
    >>> address("/run#1/50%.sqlite", "mode=ro")
    'file:///run%231/50%25.sqlite?mode=ro'

    ```
    """
    return f"{Path(path).absolute().as_uri()}?{mode}"


def check_owner(path: str | Path, tables: Tables) -> bool:
    """Find out whether a file is one of ours, without changing it or anything beside it.

    Args:
        path (`str` or `Path`): The file.
        tables (`Mapping[str, set[str]]`): The columns of our tables.

    Returns:
        `bool`: Whether it holds our tables; false for a file that is missing or still empty.

    Raises:
        ForeignFileError: It belongs to another program, or to another version of this one.
        sqlite3.Error: It cannot be read.
    """
    path = Path(path)
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ForeignFileError("it is not an SQLite file, or its beginning is damaged")
    # What is still in the journal of a killed process is seen only without `immutable`, and only then is that journal read.
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    with closing(sqlite3.connect(address(path, mode), uri=True, timeout=60.0)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        found = {
            name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")} for name in names & {*tables}
        }
        (marked,) = connection.execute("PRAGMA application_id").fetchone()
    ours = {name for name, columns in found.items() if columns == tables[name]}
    if found.keys() != ours:
        raise ForeignFileError(
            "it was made by another version of seal_datasets with different keys, or another program"
        )
    if (names and not ours) or marked:
        raise ForeignFileError(f"it belongs to another program (tables: {', '.join(sorted(names)[:5]) or 'none'})")
    return bool(ours)


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn a damaged file into an error that says what can be saved.

    Args:
        path (`str` or `Path`): The store: a file of responses, or a folder of rewards.

    Raises:
        DataError: The block could not read the store.
    """
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise damaged(path, error) from error


def damaged(path: str | Path, error: BaseException | str) -> DataError:
    """The error for a store that cannot be read."""
    return DataError(
        f"cannot read the store {path}: {error}. If the disk is in order, `seal store repair {path}` saves every entry "
        "that is still readable and keeps the damaged file beside it"
    )

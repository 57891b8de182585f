"""Save what is readable in a damaged store. The damaged file is kept; nothing of it is changed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from seal_datasets.atomic import apart
from seal_datasets.endpoints.store import TABLES, Questions, ResponseStore, StoredResponse
from seal_datasets.endpoints.store_file import Tables, address, check_owner
from seal_datasets.errors import DataError

_MAGIC = b"SQLite format 3\0"
_SAVED_AT_ONCE = 500


class Repaired(NamedTuple):
    """What became of a store.

    Attributes:
        path (`Path`): The store.
        n_saved (`int`): Entries in it now.
        n_lost (`int`, *optional*): Entries that could not be read; `None` where their number is not known.
        kept (`Path`, *optional*): The damaged file; `None` where nothing was damaged and nothing was changed.
    """

    path: Path
    n_saved: int
    n_lost: int | None
    kept: Path | None


def repair_store(path: str | Path) -> Repaired:
    """Save the readable responses of a damaged store, and the batches that are under way.

    Args:
        path (`str` or `Path`): The SQLite file.

    Returns:
        `Repaired`: What was saved.

    Raises:
        DataError: The file is in use, is not a store, or nothing in it can be read.
    """

    def save(damaged: sqlite3.Connection, file: Path) -> tuple[int, int]:
        with ResponseStore(file) as store:
            questions = dict(_questions(damaged))
            entries = list(filter(None, (_entry(row, questions) for row in rows_of(damaged, "responses", _COLUMNS))))
            for start in range(0, len(entries), _SAVED_AT_ONCE):
                store.add(entries[start : start + _SAVED_AT_ONCE])
            for batch in _batches(damaged):
                store.note_batch(*batch)
            n_saved = len(store)
            store.select("PRAGMA wal_checkpoint(TRUNCATE)")
        return n_saved, n_saved

    return replace_damaged(Path(path), TABLES, "responses", save)


_COLUMNS = ("subject", "questions", "response", "created")


def replace_damaged(
    path: Path, tables: Tables, table: str, save: Callable[[sqlite3.Connection, Path], tuple[int, int]]
) -> Repaired:
    """Put what can be saved of an SQLite file in its place, and keep the damaged file beside it.

    Args:
        path (`Path`): The file.
        tables (`Mapping[str, set[str]]`): Its tables and their columns.
        table (`str`): The table whose rows are counted.
        save (`Callable`): Gets a connection to a copy and the new file; returns the number of rows saved, and of rows whose
            content is intact.

    Returns:
        `Repaired`: What was saved.

    Raises:
        DataError: The file is in use, is not one of ours, or nothing in it can be read.
    """
    with apart(path) as folder:
        folder.mkdir()
        copy, saved = folder / "copy.sqlite", folder / "saved.sqlite"
        journal = path.with_name(f"{path.name}-wal")
        try:
            _copy(path, journal, copy)
            if not check_owner(copy, tables):
                raise DataError(f"{path} is no store: it holds no tables of one; it is unchanged")
            _refuse_if_used(path)
            with closing(sqlite3.connect(address(copy, "mode=rw"), uri=True, isolation_level=None)) as damaged:
                damaged.text_factory = bytes
                damaged.execute("PRAGMA journal_mode=DELETE").fetchall()  # moves the journal's pages into the file
                total = _count(damaged, table)
                whole = _is_whole(damaged)
                n_saved, n_intact = save(damaged, saved)
        except (sqlite3.Error, OSError) as error:
            raise DataError(f"nothing in {path} can be saved: {error}; it is unchanged") from error
        if whole and total == n_intact:
            return Repaired(path, n_saved, 0, None)
        kept = _free_name(path)
        shutil.copy2(path, kept)
        if journal.exists():
            shutil.copy2(journal, kept.with_name(f"{kept.name}-wal"))
            journal.unlink()
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
        os.replace(saved, path)
    return Repaired(path, n_saved, None if total is None else max(total - n_saved, 0), kept)


def rows_until_damage(connection: sqlite3.Connection, query: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Rows of a query up to the first that cannot be read."""
    try:
        yield from connection.execute(query, values)
    except sqlite3.Error:
        return


def rows_of(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], pages: bytes = b"\x0d"
) -> Iterator[tuple[Any, ...]]:
    """Rows of a table; where it is damaged, those of every page that can be read by itself, in any order.

    Args:
        connection (`sqlite3.Connection`): A copy of the damaged file, which is changed.
        table (`str`): The table.
        columns (`tuple[str, ...]`): Columns to read.
        pages (`bytes`): First bytes of pages that hold rows: 13 of a table with row numbers, 2 and 10 of one without.

    Yields:
        `tuple`: One row each. After damage a row may come twice, and rows of other tables or deleted ones may come.

    Source: the SQLite file format, section 1.6 (b-tree pages).
    """
    query = f"SELECT {', '.join(columns)} FROM {table} NOT INDEXED"
    try:
        yield from connection.execute(query)
        return
    except sqlite3.Error:
        n_pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    (file,) = (row[2] for row in connection.execute("PRAGMA database_list") if row[1] == b"main")
    connection.execute("PRAGMA writable_schema=ON")
    for page in range(2, n_pages + 1):
        if _byte_at(file, (page - 1) * size) in pages:
            # SQLite itself reads the page, because the table seems to begin there.
            connection.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", (page, table))
            connection.execute("PRAGMA writable_schema=RESET")
            connection.execute("PRAGMA writable_schema=ON")
            yield from rows_until_damage(connection, query)


def _byte_at(file: bytes, offset: int) -> bytes:
    with open(file, "rb") as opened:
        opened.seek(offset)
        return opened.read(1) or b"-"


def _questions(damaged: sqlite3.Connection) -> Iterator[tuple[int, Questions]]:
    """The questions by number, from the table or else from its index, which holds the same."""
    columns = "SELECT id, model, kind, asked FROM questions"
    for query in (f"{columns} NOT INDEXED", f"{columns} INDEXED BY sqlite_autoindex_questions_1"):
        for number, model, kind, asked in rows_until_damage(damaged, query):
            try:
                yield number, Questions(model.decode(), kind.decode(), tuple(json.loads(asked)))
            except (AttributeError, TypeError, ValueError):
                continue


def _batches(damaged: sqlite3.Connection) -> Iterator[tuple[str, str, str | None]]:
    """Token, model and id of the batches that can be read."""
    for token, model, batch in rows_until_damage(damaged, "SELECT token, model, id FROM batches"):
        try:
            yield token.decode(), model.decode(), batch and batch.decode()
        except (AttributeError, UnicodeDecodeError):
            continue


def _entry(row: tuple[Any, ...], questions: dict[int, Questions]) -> tuple[bytes, StoredResponse] | None:
    """A response whose content is intact; `None` for another row."""
    subject, number, text, created = row
    try:
        if not isinstance(subject, bytes) or not isinstance(json.loads(text), dict):
            return None
        return subject, StoredResponse(questions[number], text.decode(), float(created))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None


def _copy(path: Path, journal: Path, copy: Path) -> None:
    shutil.copyfile(path, copy)
    if journal.exists():
        shutil.copyfile(journal, copy.with_name(f"{copy.name}-wal"))
    with copy.open("r+b") as file:
        file.write(_MAGIC)  # all SQLite files begin so; a file that is none fails the next check


def _refuse_if_used(path: Path) -> None:
    with closing(sqlite3.connect(address(path, "mode=rw"), uri=True, timeout=1.0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise DataError(f"{path} is in use by another process; stop that process first") from error
        except sqlite3.Error:  # damaged, which is why it is to be repaired
            return


def _count(damaged: sqlite3.Connection, table: str) -> int | None:
    """Number of rows, which an intact index still tells."""
    return next((int(n) for (n,) in rows_until_damage(damaged, f"SELECT count(*) FROM {table}")), None)


def _is_whole(damaged: sqlite3.Connection) -> bool:
    return list(islice(rows_until_damage(damaged, "PRAGMA integrity_check(1)"), 1)) == [(b"ok",)]


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.damaged{f'-{i}' if i else ''}") for i in range(1000))
    return next(name for name in names if not name.exists())

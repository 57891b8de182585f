"""Every output is written beside its place, synced, and moved there when it is whole.

A run that fails or is killed leaves what was there before. Files that a killed run left unfinished are removed by the next
one that writes to the same place.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seal_datasets.errors import DataError
from seal_datasets.owners import describe, is_alive, is_here, this_process

if TYPE_CHECKING:
    from datasets import Dataset

_UNFINISHED = ".unfinished"
# A report's page reads single rows, each at the price of one page and a dictionary, so both are small (bytes). With chunks by
# content, Arrow 26 aborts the process when a disk is full.
_PARQUET = {"use_content_defined_chunking": False, "data_page_size": 1 << 16, "dictionary_pagesize_limit": 1 << 16}
_ADVICE = "Free space or choose another place, and re-run"


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file that takes its place only when the block ends well; missing folders are made.

    Args:
        path (`str` or `Path`): The file to write or replace. A link is followed; a device or pipe is written directly.

    Yields:
        `Path`: Where to write.

    Raises:
        DataError: The file cannot be written; the disk is full or the folder is read-only, for example.

    Example:

    ```python
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "numbers.txt")
    ...     with replacing(file) as unfinished:
    ...         _ = unfinished.write_text("1 2 3")
    ...     file.read_text()
    '1 2 3'

    ```
    """
    target = Path(os.path.realpath(path))
    with _said_of_the_disk(path):
        if target.exists() and not target.is_file() and not target.is_dir():
            yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = _beside(target)
        try:
            yield unfinished
            if target.exists():
                shutil.copymode(target, unfinished)
            move(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)


def move(unfinished: Path, target: Path) -> None:
    """Move a whole file to its place, such that a power cut leaves either the old or the new one."""
    _sync(unfinished)
    os.replace(unfinished, target)
    _sync(target.parent)


@contextlib.contextmanager
def filling(folder: str | Path) -> Iterator[Path]:
    """Write files of a folder that take their places only when all of them are whole.

    Args:
        folder (`str` or `Path`): Folder of the files, made if missing. Files with other names stay.

    Yields:
        `Path`: An empty folder to write the files to.

    Raises:
        DataError: A file cannot be written.
    """
    target = Path(os.path.realpath(folder))
    with _said_of_the_disk(folder):
        target.mkdir(parents=True, exist_ok=True)
        unfinished = _beside(target / "files")
        try:
            unfinished.mkdir()
            yield unfinished
            written = sorted(path for path in unfinished.rglob("*") if path.is_file())
            for path in written:
                _sync(path)
            for path in written:
                place = target / path.relative_to(unfinished)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, place)
            for parent in {(target / path.relative_to(unfinished)).parent for path in written}:
                _sync(parent)
        except DataError as error:
            raise DataError(str(error).replace(str(unfinished), str(folder))) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def apart(place: str | Path) -> Iterator[Path]:
    """A folder beside a place for this process alone; it is made on demand by the block, and removed afterwards.

    Args:
        place (`str` or `Path`): What the folder is for; its name begins with the place's.

    Yields:
        `Path`: The folder, which does not exist yet. What killed processes left is removed.
    """
    with _said_of_the_disk(place):
        folder = _beside(Path(os.path.realpath(place)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, or leave what was there.

    Raises:
        DataError: The file cannot be written.
    """
    encoded = text.encode("utf-8", "replace")  # half a surrogate pair, which no text can hold, becomes "?"
    with replacing(path) as unfinished:
        unfinished.write_bytes(encoded)


def write_json(path: str | Path, content: object) -> None:
    """Write a JSON file, or leave what was there.

    Raises:
        DataError: The file cannot be written.
        ValueError: A number is not finite, or something is not JSON; nothing is written.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def write_parquet(table: Dataset, path: str | Path) -> None:
    """Write a table as a Parquet file, or leave what was there.

    Raises:
        DataError: The file cannot be written, or a column holds what Parquet cannot.
    """
    import pyarrow as pa  # type: ignore[import-untyped]

    with replacing(path) as unfinished:
        try:
            table.to_parquet(str(unfinished), **_PARQUET)
        except pa.ArrowException as error:
            raise DataError(
                f"cannot write {path} as Parquet: {error}; what was there is unchanged. Drop or convert that column"
            ) from error


def check_writable(path: str | Path, *, folder: bool = False) -> None:
    """Find out before any work whether an output can be written; nothing stays behind.

    Args:
        path (`str` or `Path`): The file, or the folder, that will be written.
        folder (`bool`, defaults to `False`): Whether it is a folder.

    Raises:
        DataError: A folder is in the file's way, a file in the folder's, a parent is a file, or a folder is read-only.
    """
    try:
        place = Path(os.path.realpath(path))
        if place.exists() and place.is_dir() != folder:
            found, needed = ("a folder", "a file") if place.is_dir() else ("a file", "a folder")
            raise DataError(f"cannot write {path}: it is {found}, and {needed} is needed; choose another name")
        if place.exists() and not place.is_file() and not folder:  # a device or a pipe
            return
        parent = place if folder else place.parent
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise DataError(f"cannot write {path}: {parent} is a file, and a folder is needed; choose another place")
        with contextlib.suppress(FileNotFoundError):
            os.lstat(place)  # fails for a name that is too long
        with tempfile.TemporaryFile(dir=parent):  # only trying tells whether a folder can be written to
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise DataError(f"cannot write {path}: {reason}; choose another place") from error


@contextlib.contextmanager
def occupying(folder: str | Path, purpose: str) -> Iterator[None]:
    """Keep a folder for this process; a second process is refused. The folder is free at once when its process ends.

    Args:
        folder (`str` or `Path`): The folder, made if missing.
        purpose (`str`): What is done there, for the other's message, e.g. `"an audit"`.

    Raises:
        DataError: Another process works there, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    note = Path(folder) / ".seal-owner"
    with _said_of_the_disk(folder):
        note.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(note.with_name(".seal-lock"), blocking=False)
    try:
        # A file system without locks gets none, as every tool there.
        with contextlib.suppress(NotImplementedError):
            lock.acquire()
    except Timeout:
        owner, _, doing = _read(note).partition("\n")
        who = describe(owner) if owner else "another process"
        raise DataError(
            f"{folder} is in use: {who} runs {doing or 'there'}; wait until it has ended, or choose another folder"
        ) from None
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}; choose another folder") from error
    try:
        with _said_of_the_disk(folder):
            note.write_text(f"{this_process()}\n{purpose}", "utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")[:500]
    except OSError:
        return ""


def _beside(target: Path) -> Path:
    """Where this process writes what will be at the target; what killed processes left there is removed."""
    for left in target.parent.glob(f"{glob.escape(target.name)}.*{_UNFINISHED}"):
        owner = left.name[len(target.name) + 1 : -len(_UNFINISHED)]
        if is_here(owner) and not is_alive(owner):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    return target.with_name(f"{target.name}.{this_process()}{_UNFINISHED}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _said_of_the_disk(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write {path}: {reason}; what was there is unchanged. {_ADVICE}") from error

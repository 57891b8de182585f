"""The bytes and the text of a data file: gzip, encodings, and pointers in place of files."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from seal_datasets.errors import DataError

LFS_POINTER = b"version https://git-lfs"
"""How a file begins that Git LFS has not fetched."""
_MARKS = (  # UTF-32 before UTF-16, whose mark begins it
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a `DataError` that names it."""
    try:
        yield
    except EOFError as error:
        raise DataError(f"{path} is truncated: its gzip stream ends too early; copy or download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not an intact gzip file ({error}); copy or download it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def sha256(path: Path) -> str:
    """Hash of a file's bytes; an error if the file is only a Git LFS pointer to them."""
    digest = hashlib.sha256()
    with reading(path), path.open("rb") as file:
        while block := file.read(1 << 20):
            if block.startswith(LFS_POINTER):
                raise DataError(
                    f"{path} is a Git LFS pointer, not the data itself; fetch the data with `git lfs pull` in its repository"
                )
            digest.update(block)
    return digest.hexdigest()


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of a file, unpacked if its name ends in `.gz`."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def encoding_of(start: bytes) -> str:
    """The encoding that a file's first bytes name: a byte order mark, the zeros of UTF-16 text, or else UTF-8."""
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if marked:
        return marked
    if len(start) >= 2 and start[0] and not start[1]:
        return "utf-16-le"
    return "utf-16-be" if len(start) >= 2 and not start[0] and start[1] else "utf-8"


def not_text(path: Path, line: int, error: UnicodeDecodeError) -> DataError:
    """The error about bytes that are no text of their encoding."""
    return DataError(
        f"{path}, line {line}: not {error.encoding.upper()} text ({error.reason}); save the file in UTF-8 encoding, e.g. with "
        "iconv -f WINDOWS-1252 -t UTF-8"
    )

"""Parquet files of a folder, written one after the other; a manifest says which of the folder's files are ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet  # type: ignore[import-untyped]
from datasets import Dataset, Features

from seal_datasets.atomic import move
from seal_datasets.data.transform import Batch
from seal_datasets.errors import DataError

MANIFEST = ".seal-parts"
"""Names the files that were written here, and no others are ever replaced; its name is not one of a data file."""

_ASIDE = ".seal-unfinished"


class PartFiles:
    """Writes rows to `part-00000.parquet` and so on; a file gets its name once it is complete.

    Files of an earlier run stay until all new ones are complete.

    Args:
        folder (`Path`): Where the files go; it is made if need be.
        features (`Features`): Types of the columns.
        rows_per_file (`int`): Rows after which a file ends, with a window.

    Raises:
        DataError: The folder cannot be made, or holds Parquet files that its manifest does not name.
    """

    def __init__(self, folder: Path, features: Features, rows_per_file: int) -> None:
        self.folder, self.features, self.rows_per_file = folder, features, rows_per_file
        self.done: list[Path] = []
        self._writer: pyarrow.parquet.ParquetWriter | None = None
        self._n_rows = 0
        with self._said_of_the_disk():
            folder.mkdir(parents=True, exist_ok=True)
            self._earlier = self._ours()
            # Beside earlier files new ones have no name yet.
            self._place = folder / _ASIDE if self._earlier else folder
            self._place.mkdir(exist_ok=True)
            for left in (folder / _ASIDE).glob("part-*.whole"):
                left.unlink()

    def _ours(self) -> list[str]:
        """Files of an earlier run; the folder may hold no other Parquet file."""
        try:
            named = json.loads((self.folder / MANIFEST).read_text("utf-8"))["files"]
            ours = {name for name in named if isinstance(name, str)}
        except FileNotFoundError:
            ours = set()
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(
                f"{self.folder / MANIFEST} is damaged, so it is not known which files there may be replaced; "
                "choose another folder"
            ) from error
        present = sorted(path.name for path in self.folder.glob("*.parquet*"))
        if foreign := [name for name in present if name not in ours]:
            raise DataError(
                f"{self.folder} holds {foreign[0]}, which is not one of these files; choose another folder, or move it away"
            )
        return present

    def write(self, batch: Batch) -> None:
        """Write a window's rows."""
        table = Dataset.from_dict(batch, features=self.features).data.table
        with self._said_of_the_disk():
            if self._writer is None:
                self._writer = pyarrow.parquet.ParquetWriter(self._unfinished(), self.features.arrow_schema)
            self._writer.write_table(table.cast(self.features.arrow_schema))
        self._n_rows += table.num_rows
        if self._n_rows >= self.rows_per_file:
            self._complete_file()

    def close(self) -> list[Path]:
        """Complete the last file, replace those of an earlier run, and return the paths of all files."""
        self._complete_file()
        if self._earlier:
            names = [path.name for path in self.done]
            with self._said_of_the_disk():
                self._name_ours([*self._earlier, *names])
                for name in names:  # before others are removed, so that a kill leaves no gap
                    move(self._whole(name), self.folder / name)
                for name in set(self._earlier) - set(names):
                    (self.folder / name).unlink(missing_ok=True)
                self._name_ours(names)
                self._place.rmdir()
            self._earlier = []
        return self.done

    def take(self, file: Path) -> None:
        """Take a complete file, which another process has written on the same disk, as the next one."""
        with self._said_of_the_disk():
            name = f"part-{len(self.done):05d}.parquet"
            if not self._earlier:
                self._name_ours([*(path.name for path in self.done), name])
            move(file, self._whole(name))
        self.done.append(self.folder / name)

    def _complete_file(self) -> None:
        if self._writer is None:
            return
        with self._said_of_the_disk():
            self._writer.close()
        self.take(self._unfinished())
        self._writer, self._n_rows = None, 0

    def _name_ours(self, names: list[str]) -> None:
        unfinished = self.folder / f"{MANIFEST}.unfinished"
        unfinished.write_text(json.dumps({"files": sorted(set(names))}) + "\n", "utf-8")
        move(unfinished, self.folder / MANIFEST)

    @contextlib.contextmanager
    def _said_of_the_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"cannot write rows to {self.folder}: {error}; {len(self.done)} files are complete. Free disk space and "
                "re-run with a store, which keeps the rewards of scored texts"
            ) from error

    def _whole(self, name: str) -> Path:
        """Where a complete file lies; beside earlier files it is not called one of the folder's data."""
        return self._place / f"{name}.whole" if self._earlier else self.folder / name

    def _unfinished(self) -> Path:
        return self._place / "unfinished"

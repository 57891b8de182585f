"""The files of a stream that is dealt to processes: each writes its own rows, and the main process names them in order."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from accelerate.utils import gather_object
from datasets import Features

from seal_datasets.rewards.loading import processes
from seal_datasets.rewards.part_files import PartFiles

_DEALT = ".seal-dealt"


def can_deal(out: Path) -> bool:
    """Whether a launched run has several processes that all write to one disk.

    Args:
        out (`Path`): Folder of the files; it is made if need be.

    Returns:
        `bool`: The same on every process.
    """
    state = processes()
    if state.num_processes == 1:
        return False
    own = _folder(out, state.process_index)
    if state.is_main_process:
        shutil.rmtree(own.parent, ignore_errors=True)  # of a run that was killed
    state.wait_for_everyone()
    with contextlib.suppress(OSError):  # counted as missing below
        own.mkdir(parents=True)
    state.wait_for_everyone()
    sees_all = all(_folder(out, index).is_dir() for index in range(state.num_processes))
    everywhere = all(gather_object([sees_all]))
    if state.is_main_process:
        shutil.rmtree(own.parent, ignore_errors=True)
    state.wait_for_everyone()
    return everywhere


class DealtFiles:
    """Writes the rows of this process; once all have written theirs, the main process names all files in the order of the rows.

    Args:
        out (`Path`): Folder of the files, on a disk of all processes.
        features (`Features`): Types of the columns.
        rows_per_file (`int`): As for `PartFiles`.

    Raises:
        DataError: As for `PartFiles`.
    """

    def __init__(self, out: Path, features: Features, rows_per_file: int) -> None:
        state = processes()
        self._out, self._features, self._rows_per_file = out, features, rows_per_file
        # Foreign files are found before any work.
        self._all = PartFiles(out, features, rows_per_file) if state.is_main_process else None
        self._own = PartFiles(_folder(out, state.process_index), features, rows_per_file)
        self.write = self._own.write

    def close(self) -> list[Path]:
        """Complete this process's files, wait for the others, and return the paths of all."""
        written = gather_object([str(path) for path in self._own.close()])
        if self._all is not None:
            for path in written:  # gathered in the order of the processes, which is that of the rows
                self._all.take(Path(path))
            self._all.close()
            shutil.rmtree(self._out / _DEALT, ignore_errors=True)
        processes().wait_for_everyone()
        return sorted(self._out.glob("part-*.parquet"))


def _folder(out: Path, index: int) -> Path:
    return out / _DEALT / f"{index:05d}"

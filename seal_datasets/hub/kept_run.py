"""The folder of a run, kept in a private dataset on the Hub, so that a run resumes on another machine.

Machines of Hugging Face Jobs end with their disk. What an audit has asked, embedded and scored lies in its folder; here the
folder is fetched before the run, and kept every few minutes and at the end. A folder that was fetched or kept remembers the
commit. Nothing is kept over a commit that it does not know, so two machines never overwrite each other's work.
"""

from __future__ import annotations

import contextlib
import glob
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

from seal_datasets.atomic import filling, write_text
from seal_datasets.endpoints.store_file import address
from seal_datasets.errors import DataError, HubError, SealError
from seal_datasets.hub.commit import (
    Change,
    Content,
    Publication,
    Repository,
    ask,
    look_at,
    open_hub,
    plan_change,
    publish,
)

MARKER = "seal-run.md"
NOTE = ".seal-kept"
SECONDS_BETWEEN = 600.0

_MARKED = "This dataset holds the folder of a run of seal_datasets, with its texts and labels. Keep it private.\n"
# Tables, pages, pictures, stores and weights; nothing pickled, and no unfinished training.
_KEPT = {
    *(".csv", ".html", ".jinja", ".json", ".jsonl", ".md", ".parquet", ".pdf", ".png"),
    *(".safetensors", ".sqlite", ".svg", ".tex", ".txt", ".xlsx", ".yaml"),
}
_BARE = {".gitattributes"}  # a dataset that was made, and nothing was committed to
_UNFINISHED = ("checkpoint-", ".")


class KeptRun:
    """A run's folder and the dataset that keeps it.

    Args:
        folder (`str` or `Path`): The folder of the run, such as an audit's `--out`.
        repo_id (`str`): Id of the dataset; it is created private where it is missing.

    Raises:
        HubError: There is no token that may write, or the Hub cannot be reached.
    """

    def __init__(self, folder: str | Path, repo_id: str) -> None:
        self.folder = Path(folder)
        self.repo_id = repo_id
        self._api: HfApi = open_hub(write=True)
        self._turn = threading.Lock()

    def fetch(self) -> int:
        """Fetch what the dataset keeps.

        Returns:
            `int`: Files fetched; 0 where the dataset is missing, or where the folder is of its last commit.

        Raises:
            HubError: The dataset is public or holds something else, or the folder is of another state than its last commit.
            DataError: The folder cannot be written.
        """
        repo = self._look()
        if MARKER not in repo.files or repo.head == self._known():
            return 0
        names = [path for path in repo.files if _is_kept(Path(path)) and path != MARKER]
        if any((self.folder / name).exists() for name in names):
            raise HubError(
                f"{self.folder} holds a run that is not of the last state that {self.repo_id} keeps; give an empty folder to "
                "resume the kept run, or another dataset to keep this one"
            )
        wanted = [glob.escape(name) for name in names]
        with filling(self.folder) as fetched:
            ask(
                f"fetch {self.repo_id}",
                lambda: snapshot_download(
                    self.repo_id, repo_type="dataset", revision=repo.head, allow_patterns=wanted, local_dir=fetched
                ),
            )
            shutil.rmtree(fetched / ".cache")  # notes of the Hub's client
        self._remember(repo.head)
        return len(names)

    def keep(self) -> bool:
        """Commit what is new in the folder.

        Returns:
            `bool`: Whether anything was new.

        Raises:
            HubError: The Hub cannot be reached or refuses, or another machine has kept something meanwhile.
        """
        with self._turn, tempfile.TemporaryDirectory() as copies:
            files = _contents(self.folder, Path(copies))
            before = self._look().head
            if before is None and len(files) == 1:  # the marker alone
                return False
            run = Publication(self.repo_id, "dataset", "State of a run", lambda repo: self._plan(repo, files))
            publish(self._api, [run], dry_run=False, write_line=lambda _: None)
            after = self._look().head
            self._remember(after)
            return after != before

    @contextlib.contextmanager
    def keeping(self, write_line: Callable[[str], object], seconds: float = SECONDS_BETWEEN) -> Iterator[None]:
        """Keep the folder every few minutes while the block runs, and once more when it ends, however it ends.

        Args:
            write_line (`Callable[[str], object]`): Receives a line for each time that something was kept, or why it was not.
            seconds (`float`, defaults to 600): Time between two times.

        Raises:
            HubError: What the block left could not be kept.
        """
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(seconds):
                try:
                    self._keep_and_tell(write_line)
                except (SealError, OSError) as error:
                    write_line(f"not kept this time: {error}")

        watcher = threading.Thread(target=watch, name="keep-run", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
            self._keep_and_tell(write_line)

    def _keep_and_tell(self, write_line: Callable[[str], object]) -> None:
        if self.keep():
            write_line(f"kept in the dataset {self.repo_id}")

    def _look(self) -> Repository:
        repo = look_at(self._api, self.repo_id, "dataset")
        if MARKER not in repo.files and repo.files.keys() - _BARE:
            raise HubError(f"the dataset {self.repo_id} holds something other than a run; give the name of a new one")
        if repo.head is not None and not repo.private:
            raise HubError(f"the dataset {self.repo_id} is public, and a run holds texts; make it private first")
        return repo

    def _plan(self, repo: Repository, files: dict[str, Content]) -> Change:
        stale = [path for path in repo.files if _is_kept(Path(path))]
        change = plan_change(repo, files, stale, private=True)
        if change.is_due and MARKER in repo.files and repo.head != self._known():
            raise HubError(
                f"another run has changed {self.repo_id} meanwhile, and nothing was kept over it; one machine at a time can "
                "use it"
            )
        return change

    def _known(self) -> str | None:
        """The commit that the folder is of."""
        note = self.folder / NOTE
        repo_id, _, head = note.read_text("utf-8").strip().partition(" ") if note.is_file() else ("", "", "")
        return head if repo_id == self.repo_id else None

    def _remember(self, head: str | None) -> None:
        write_text(self.folder / NOTE, f"{self.repo_id} {head}\n")


def _is_kept(path: Path) -> bool:
    return (
        path.suffix in _KEPT and not path.is_absolute() and not any(part.startswith(_UNFINISHED) for part in path.parts)
    )


def _contents(folder: Path, copies: Path) -> dict[str, Content]:
    """The files to keep; of a store, which may be written to, a copy as of one moment."""
    files: dict[str, Content] = {MARKER: _MARKED.encode()}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or path.is_symlink() or not _is_kept(name) or not path.stat().st_size:
            continue
        files[name.as_posix()] = (
            _copy_store(path, copies / f"{len(files)}.sqlite") if path.suffix == ".sqlite" else path
        )
    return files


def _copy_store(path: Path, copy: Path) -> Path:
    try:  # opened for writing, since the journal of a killed process must be rolled back
        with (
            contextlib.closing(sqlite3.connect(address(path, "mode=rw"), uri=True, timeout=60.0)) as store,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            store.backup(target)
    except sqlite3.Error as error:
        raise DataError(f"cannot copy the store {path}: {error}; try: seal store repair {path}") from None
    return copy

"""Files of an audit in a repository of the Hub: what is there, what would change, and the change in one commit.

Everything goes up in a single commit, so that nobody ever sees a part of it: what was sent before a failure is not in the
repository. A repository that exists keeps its visibility; a new one is made with the one asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile, hf_hub_download
from huggingface_hub.errors import RepositoryNotFoundError

from seal_datasets.publish.hub import hub_errors

Content = Path | bytes
"""What a file is to hold: bytes, or the file on disk that holds them."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository as it was looked at.

    Attributes:
        id (`str`): Its id.
        type (`str`): `dataset` or `model`.
        head (`str`, *optional*): Its last commit; `None` where there is no such repository.
        files (`Mapping[str, RepoFile]`): Its files by path.
    """

    id: str
    type: str
    head: str | None
    files: Mapping[str, RepoFile]

    def url(self, endpoint: str) -> str:
        """Where people look at it."""
        return f"{endpoint}/{'datasets/' if self.type == 'dataset' else ''}{self.id}"


@dataclass(frozen=True, slots=True)
class Change:
    """What a publication would do to a repository.

    Attributes:
        repo (`Repository`): The repository as it was looked at.
        writes (`Mapping[str, Path | bytes]`): Files that are new or differ.
        deletes (`tuple[str, ...]`): Files of an earlier publication that are there no longer.
    """

    repo: Repository
    writes: Mapping[str, Content]
    deletes: tuple[str, ...]

    def lines(self) -> list[str]:
        """A line for each file that would change."""
        written = [
            f"{'~' if path in self.repo.files else '+'} {path} ({_size(content):,} bytes)"
            for path, content in sorted(self.writes.items())
        ]
        return [*written, *(f"- {path}" for path in self.deletes)]


def look_at(api: HfApi, repo_id: str, repo_type: str) -> Repository:
    """Look at a repository, which need not exist.

    Args:
        api (`HfApi`): The client.
        repo_id (`str`): The repository.
        repo_type (`str`): `dataset` or `model`.

    Returns:
        `Repository`: Its files.

    Raises:
        HubError: The Hub cannot be reached, or refuses.
    """
    with hub_errors(f"look at {repo_id}"):
        try:
            head = api.repo_info(repo_id, repo_type=repo_type).sha
        except RepositoryNotFoundError:
            return Repository(repo_id, repo_type, None, {})
        entries = api.list_repo_tree(repo_id, recursive=True, revision=head, repo_type=repo_type)
        return Repository(repo_id, repo_type, head, {each.path: each for each in entries if isinstance(each, RepoFile)})


def read_text(repo: Repository, path: str) -> str | None:
    """A text file of a repository, as it was looked at; `None` where it has none.

    Raises:
        HubError: The Hub cannot be reached, or refuses.
    """
    if path not in repo.files:
        return None
    with hub_errors(f"read {path} of {repo.id}"):
        return Path(hf_hub_download(repo.id, path, repo_type=repo.type, revision=repo.head)).read_text("utf-8")


def plan_change(repo: Repository, files: Mapping[str, Content], stale: Iterable[str] = ()) -> Change:
    """Compare files with what a repository holds.

    Args:
        repo (`Repository`): From `look_at`.
        files (`Mapping[str, Path | bytes]`): What is to be in it; its other files are left alone.
        stale (`Iterable[str]`): Files of an earlier publication, to be deleted unless they are among `files`.

    Returns:
        `Change`: What would change.
    """
    writes = {path: content for path, content in files.items() if not _is(repo.files.get(path), content)}
    return Change(repo, writes, tuple(sorted(path for path in stale if path not in files)))


def make_change(api: HfApi, change: Change, *, message: str, private: bool) -> str:
    """Make a change, in one commit.

    Args:
        api (`HfApi`): The client.
        change (`Change`): What to do; with nothing to do, nothing is asked of the Hub.
        message (`str`): Of the commit.
        private (`bool`): Whether a repository that has to be made is private.

    Returns:
        `str`: Address of the repository.

    Raises:
        HubError: The Hub cannot be reached, refuses, or holds another commit than was looked at.
    """
    repo = change.repo
    if change.writes or change.deletes:
        with hub_errors(f"publish {repo.id}"):
            if repo.head is None:
                api.create_repo(repo.id, repo_type=repo.type, private=private, exist_ok=True)
            api.create_commit(
                repo.id,
                [
                    *(CommitOperationDelete(path) for path in change.deletes),
                    *(CommitOperationAdd(path, content) for path, content in change.writes.items()),
                ],
                commit_message=message,
                repo_type=repo.type,
                parent_commit=repo.head,
            )
    return repo.url(api.endpoint)


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _is(present: RepoFile | None, content: Content) -> bool:
    """Whether a file holds a content already, by its hash."""
    if present is None or present.size != _size(content):
        return False
    if present.lfs is not None:
        return present.lfs.sha256 == _digest(hashlib.sha256(), content)
    header = hashlib.sha1(b"blob %d\0" % _size(content), usedforsecurity=False)
    return present.blob_id == _digest(header, content)


def _digest(start: hashlib._Hash, content: Content) -> str:
    if isinstance(content, bytes):
        start.update(content)
    else:
        with content.open("rb") as file:
            while part := file.read(2**20):
                start.update(part)
    return start.hexdigest()

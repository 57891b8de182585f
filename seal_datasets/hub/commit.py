"""Safe commits to the Hub: what is there, what would change, and the change in one commit.

Everything goes up in a single commit, so that nobody ever sees a part of it: what was sent before a failure is not in the
repository. Where the Hub is busy it is asked again; where somebody else committed meanwhile the repository is looked at and
planned again, never overwritten. A new dataset or model is made with the visibility asked for, and one that exists keeps its
own. A Space runs as soon as it is seen: a new one is private until it is whole, and each becomes what is asked for.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile, get_token, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError

from seal_datasets.errors import HubError

RepoType = Literal["dataset", "model", "space"]
HashKind = Literal["git", "sha256"]
Content = Path | bytes
"""What a file is to hold: bytes, or the file on disk that holds them."""

Answer = TypeVar("Answer")

_SPACE_SDK = "gradio"
_WAITS_SECONDS = (0.5, 2.0)
"""How long to wait before asking again; the Hub's own word goes before it, up to a minute."""

_LONGEST_WAIT_SECONDS = 60.0
_NO_TOKEN = "there is no Hugging Face token; set HF_TOKEN to one that may write, or run `hf auth login`"
_STATUSES = {
    401: "it does not accept the token; set HF_TOKEN to a valid one that may write, or run `hf auth login`",
    403: "the token may not write there; it must have write permission for this namespace",
    409: "the repository was changed by somebody else at the same time; run the same command again",
    412: "the repository was changed by somebody else at the same time; run the same command again",
    429: "it was asked too often (429); wait some minutes and run the same command again",
}


class _LookAgainError(HubError):
    """The repository is no longer as it was looked at, or may not be."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository as it was looked at.

    Attributes:
        id (`str`): Its id.
        type (`str`): `dataset`, `model` or `space`.
        head (`str`, *optional*): Its last commit; `None` where there is no such repository.
        private (`bool`): Whether it is private.
        files (`Mapping[str, RepoFile]`): Its files by path.
    """

    id: str
    type: RepoType
    head: str | None
    private: bool
    files: Mapping[str, RepoFile]

    def url(self, endpoint: str) -> str:
        """Where people look at it."""
        return f"{endpoint}/{'' if self.type == 'model' else f'{self.type}s/'}{self.id}"


@dataclass(frozen=True, slots=True)
class Change:
    """What a publication would do to a repository.

    Attributes:
        repo (`Repository`): The repository as it was looked at.
        writes (`Mapping[str, Path | bytes]`): Files that are new or differ.
        deletes (`tuple[str, ...]`): Files of an earlier publication that are there no longer.
        private (`bool`): Whether the repository is to be private in the end.
        foreign (`frozenset[str]`): Those of its files that somebody else wrote.
    """

    repo: Repository
    writes: Mapping[str, Content]
    deletes: tuple[str, ...]
    private: bool
    foreign: frozenset[str] = frozenset()

    @property
    def is_due(self) -> bool:
        """Whether anything is not as it is to be."""
        return self.repo.head is None or bool(self.writes or self.deletes) or self.private != self.repo.private

    def lines(self) -> list[str]:
        """What it comes to: a line for the repository, and one for each file that would change."""
        repo, seen = self.repo, "private" if self.private else "public"
        if not self.is_due:
            return [f"{repo.type} {repo.id}  up to date"]
        head = f"new, {seen}" if repo.head is None else "update"
        if repo.head is not None and self.private != repo.private:
            head += f", becomes {seen}"
        files = [
            f"{'~' if path in repo.files else '+'} {path} ({_size(content):,} bytes)"
            for path, content in sorted(self.writes.items())
        ]
        files += [f"- {path}" for path in self.deletes]
        theirs = ["  written by somebody else" if line.split()[1] in self.foreign else "" for line in files]
        return [
            f"{repo.type} {repo.id}  {head}",
            *(f"  {line}{note}" for line, note in zip(files, theirs, strict=True)),
        ]


@dataclass(frozen=True, slots=True)
class Publication:
    """Something to be published to one repository.

    Attributes:
        repo_id (`str`): The repository.
        repo_type (`str`): `dataset`, `model` or `space`.
        message (`str`): Of the commit.
        plan (`Callable[[Repository], Change]`): Says what would change in the repository as it was looked at; it is asked
            again where somebody else commits meanwhile.
    """

    repo_id: str
    repo_type: RepoType
    message: str
    plan: Callable[[Repository], Change]


def open_hub(*, write: bool) -> HfApi:
    """Connect to the Hub.

    Args:
        write (`bool`): Whether to write; then the token is looked at.

    Returns:
        `HfApi`: Its client.

    Raises:
        HubError: There is no token, it is not valid, it only reads, or the Hub cannot be reached.
    """
    api = HfApi()
    if not write:
        return api
    if get_token() is None:
        raise HubError(_NO_TOKEN)
    role = ask("publish", api.whoami).get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise HubError("the Hugging Face token only reads; make one with write permission, and set HF_TOKEN to it")
    return api


def publish(api: HfApi, publications: Sequence[Publication], *, dry_run: bool, tell: Callable[[str], object]) -> None:
    """Say what changes, and make the changes unless it is a dry run.

    All repositories are looked at and planned before any is changed, and each gets one commit. What is as it is to be is left
    alone, so that a run that was stopped is finished by the same call.

    Args:
        api (`HfApi`): From `open_hub`.
        publications (`Sequence[Publication]`): What to publish.
        dry_run (`bool`): Whether to change nothing.
        tell (`Callable[[str], object]`): Where lines go.

    Raises:
        HubError: The Hub cannot be reached or refuses, or others keep changing the same repository.
    """
    planned = [(each, each.plan(look_at(api, each.repo_id, each.repo_type))) for each in publications]
    for publication, change in planned:
        for line in change.lines():
            tell(line)
        if dry_run and change.is_due:
            tell("  nothing was changed: this is a dry run")
        elif change.is_due:
            _commit(api, publication, change, tell)
            tell(f"  {change.repo.url(api.endpoint)}")


def look_at(api: HfApi, repo_id: str, repo_type: RepoType) -> Repository:
    """Look at a repository, which need not exist.

    Args:
        api (`HfApi`): The client.
        repo_id (`str`): The repository.
        repo_type (`str`): `dataset`, `model` or `space`.

    Returns:
        `Repository`: Its files.

    Raises:
        HubError: The Hub cannot be reached, or refuses.
    """

    def look() -> Repository:
        try:
            info = api.repo_info(repo_id, repo_type=repo_type)
        except RepositoryNotFoundError:
            return Repository(repo_id, repo_type, None, False, {})
        entries = api.list_repo_tree(repo_id, recursive=True, revision=info.sha, repo_type=repo_type)
        files = {each.path: each for each in entries if isinstance(each, RepoFile)}
        return Repository(repo_id, repo_type, info.sha, bool(info.private), files)

    return ask(f"look at {repo_id}", look)


def read_text(repo: Repository, path: str) -> str | None:
    """Read a text file of a repository, as it was looked at; `None` where it has none.

    Raises:
        HubError: The Hub cannot be reached, or refuses.
    """
    if path not in repo.files:
        return None
    local = ask(
        f"read {path} of {repo.id}",
        lambda: hf_hub_download(repo.id, path, repo_type=repo.type, revision=repo.head),
    )
    return Path(local).read_text("utf-8")


def plan_change(repo: Repository, files: Mapping[str, Content], stale: Iterable[str] = (), *, private: bool) -> Change:
    """Compare files with what a repository holds.

    Args:
        repo (`Repository`): From `look_at`.
        files (`Mapping[str, Path | bytes]`): What is to be in it; its other files are left alone.
        stale (`Iterable[str]`): Files of an earlier publication, to be deleted unless they are among `files`.
        private (`bool`): Whether a repository that has to be made, or a Space, is to be private.

    Returns:
        `Change`: What would change.
    """
    writes = {path: content for path, content in files.items() if not _is(repo.files.get(path), content)}
    deletes = tuple(sorted(path for path in stale if path in repo.files and path not in files))
    stays = repo.head is not None and repo.type != "space"
    return Change(repo, writes, deletes, repo.private if stays else private)


def hash_of(content: Content, kind: HashKind) -> str:
    """Hash of a content as the Hub keeps it.

    Args:
        content (`Path` or `bytes`): The content.
        kind (`str`): `git`, or for large files `sha256`.

    Returns:
        `str`: Its hash.

    Example:

    ```python
    >>> hash_of(b"", "git")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'

    ```
    """
    header = b"blob %d\0" % _size(content)
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(header, usedforsecurity=False)
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as file:
            while part := file.read(2**20):
                digest.update(part)
    return digest.hexdigest()


def kept_hash(present: RepoFile) -> tuple[HashKind, str]:
    """The kind of hash under which the Hub keeps a file, and the hash."""
    return ("git", present.blob_id) if present.lfs is None else ("sha256", present.lfs.sha256)


def ask(doing: str, question: Callable[[], Answer], *, repeats: bool = True) -> Answer:
    """Ask the Hub, again where it is busy, fails or breaks off, and say in plain words, without any token, what went wrong.

    Args:
        doing (`str`): What is tried, as in "cannot {doing}".
        question (`Callable`): Asks.
        repeats (`bool`, defaults to `True`): Whether it does no harm twice, where an answer was lost on its way.

    Returns:
        What it answered.

    Raises:
        HubError: The Hub cannot be reached, or refuses.
    """
    for wait in (*_WAITS_SECONDS, None):
        try:
            return question()
        except HfHubHTTPError as error:
            status = error.response.status_code
            if wait is not None and (status == 429 or status >= 500):
                time.sleep(min(max(wait, _asked_to_wait(error)), _LONGEST_WAIT_SECONDS))
                continue
            kind = _LookAgainError if status in (409, 412) else HubError
            raise kind(f"cannot {doing}: the Hub was asked, and {_why(status, error)}") from None
        except OfflineModeIsEnabled:
            raise HubError(f"cannot {doing}: HF_HUB_OFFLINE is set; unset it to publish") from None
        except (httpx2.HTTPError, OSError) as error:
            broke_off = isinstance(error, httpx2.TransportError)
            if broke_off and repeats and wait is not None:
                time.sleep(wait)
                continue
            detail = _harmless(f"{type(error).__name__}: {error}")
            raise (_LookAgainError if broke_off else HubError)(
                f"cannot {doing}: the Hub at {HfApi().endpoint} cannot be reached, or broke off ({detail}); "
                "run the same command again when it can be"
            ) from None
        except (HFValidationError, ValueError) as error:
            raise HubError(f"cannot {doing}: {_harmless(str(error))}") from None
    raise AssertionError("the last wait is None")


def _commit(api: HfApi, publication: Publication, change: Change, tell: Callable[[str], object]) -> None:
    """Make a change, planned again where somebody else was faster."""
    for wait in _WAITS_SECONDS:
        try:
            return _make(api, publication.message, change)
        except _LookAgainError:
            tell("  was changed meanwhile, or the connection broke off; it is looked at again")
            time.sleep(wait)
            change = publication.plan(look_at(api, publication.repo_id, publication.repo_type))
    return _make(api, publication.message, change)


def _make(api: HfApi, message: str, change: Change) -> None:
    repo, doing = change.repo, f"publish {change.repo.id}"
    is_private = repo.private
    if repo.head is None:
        is_private = change.private or repo.type == "space"
        sdk = _SPACE_SDK if repo.type == "space" else None
        ask(doing, lambda: api.create_repo(repo.id, repo_type=repo.type, private=is_private, space_sdk=sdk))
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationDelete(path) for path in change.deletes),
        *(CommitOperationAdd(path, content) for path, content in change.writes.items()),
    ]
    if operations:
        ask(
            doing,
            lambda: api.create_commit(
                repo.id, operations, commit_message=message, repo_type=repo.type, parent_commit=repo.head
            ),
            repeats=False,
        )
    if is_private != change.private:
        ask(doing, lambda: api.update_repo_settings(repo.id, private=change.private, repo_type=repo.type))


def _why(status: int, error: HfHubHTTPError) -> str:
    if status >= 500:
        return f"it fails itself ({status}); run the same command again later"
    return _STATUSES.get(status) or f"it answers {status}: {_harmless(error.server_message or str(error))}"


def _asked_to_wait(error: HfHubHTTPError) -> float:
    """Seconds that the Hub asks to wait, in either of its ways; 0 where it does not say."""
    said = error.response.headers
    seconds = re.fullmatch(r"\d+", said.get("retry-after", "").strip())
    if seconds:
        return float(seconds.group())
    limit = re.search(r"\bt=(\d+)", said.get("ratelimit", ""))
    return float(limit.group(1)) if limit else 0.0


def _harmless(message: str) -> str:
    """One line of what a client or server said, without what could be a token."""
    message = re.sub(r"\bhf_\w+", "hf_***", message.replace(get_token() or "hf_", "hf_***"))
    return " ".join(message.split())[:300]


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _is(present: RepoFile | None, content: Content) -> bool:
    """Whether a file holds a content already."""
    if present is None or present.size != _size(content):
        return False
    kind, kept = kept_hash(present)
    return hash_of(content, kind) == kept

"""Atomic commits to the Hub, planned from the current state of the repository.

Each publication is one commit, so a failed upload leaves no partial state. Requests are repeated when the Hub is busy.
When somebody else commits meanwhile, the repository is read and planned again, never overwritten. A new dataset or model
gets the requested visibility, and an existing one keeps its own. A Space runs as soon as it exists, so a new Space stays
private until its files are complete.

`HfApi.create_commit` also skips unchanged files, but only while it commits. The comparison here serves dry runs, "up to
date" and the check for files of somebody else, none of which may write.
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
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

from seal_datasets.data.hub_answers import asking_hub
from seal_datasets.errors import HubError
from seal_datasets.escape import redact_keys

RepoType = Literal["dataset", "model", "space"]
HashKind = Literal["git", "sha256"]
Content = Path | bytes
"""Content of a file: bytes, or a file on disk."""

Answer = TypeVar("Answer")

_SPACE_SDK = "gradio"
_WAITS_SECONDS = (0.5, 2.0)
"""Waits between attempts; a longer wait that the Hub requests takes precedence, up to a minute."""

_LONGEST_WAIT_SECONDS = 60.0
_NO_TOKEN = "there is no Hugging Face token; set HF_TOKEN to one with write permission, or run `hf auth login`"
_STATUSES = {
    401: "the Hub rejects the token; set HF_TOKEN to a valid one that may write, or run `hf auth login`",
    403: "the token lacks write permission for this namespace",
    409: "somebody else changed the repository at the same time; run the same command again",
    412: "somebody else changed the repository at the same time; run the same command again",
    429: "the rate limit was reached (429); wait some minutes and run the same command again",
}


class _StaleError(HubError):
    """The repository may have changed since it was read."""


@dataclass(frozen=True, slots=True)
class Repository:
    """State of a repository at one commit.

    Attributes:
        id (`str`): Its id.
        type (`str`): `dataset`, `model` or `space`.
        head (`str`, *optional*): Its last commit; `None` for a missing repository.
        private (`bool`): Whether it is private.
        files (`Mapping[str, RepoFile]`): Its files by path.
    """

    id: str
    type: RepoType
    head: str | None
    private: bool
    files: Mapping[str, RepoFile]

    def url(self, endpoint: str) -> str:
        """Address of its page."""
        return f"{endpoint}/{'' if self.type == 'model' else f'{self.type}s/'}{self.id}"


@dataclass(frozen=True, slots=True)
class Change:
    """What a publication would do to a repository.

    Attributes:
        repo (`Repository`): The repository that was read.
        writes (`Mapping[str, Path | bytes]`): Files that are new or differ.
        deletes (`tuple[str, ...]`): Files of an earlier publication to delete.
        private (`bool`): Whether the repository is private afterwards.
        foreign (`frozenset[str]`): Those of its files that somebody else wrote.
    """

    repo: Repository
    writes: Mapping[str, Content]
    deletes: tuple[str, ...]
    private: bool
    foreign: frozenset[str] = frozenset()

    @property
    def is_due(self) -> bool:
        """Whether anything would change."""
        return self.repo.head is None or bool(self.writes or self.deletes) or self.private != self.repo.private

    def lines(self) -> list[str]:
        """A line for the repository, and one for each file that would change."""
        repo, visibility = self.repo, "private" if self.private else "public"
        if not self.is_due:
            return [f"{repo.type} {repo.id}  up to date"]
        head = f"new, {visibility}" if repo.head is None else "update"
        if repo.head is not None and self.private != repo.private:
            head += f", becomes {visibility}"
        files = {
            path: f"{'~' if path in repo.files else '+'} {path} ({_size(content):,} bytes)"
            for path, content in sorted(self.writes.items())
        }
        files |= {path: f"- {path}" for path in self.deletes}
        return [
            f"{repo.type} {repo.id}  {head}",
            *(f"  {line}{'  written by somebody else' * (path in self.foreign)}" for path, line in files.items()),
        ]


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication to one repository.

    Attributes:
        repo_id (`str`): The repository.
        repo_type (`str`): `dataset`, `model` or `space`.
        message (`str`): Commit message.
        plan (`Callable[[Repository], Change]`): Plans the change of a repository that was read; called again
            when somebody else commits meanwhile.
    """

    repo_id: str
    repo_type: RepoType
    message: str
    plan: Callable[[Repository], Change]


def open_hub(*, write: bool) -> HfApi:
    """Connect to the Hub.

    Args:
        write (`bool`): Whether to write; if so, the token is checked.

    Returns:
        `HfApi`: Its client.

    Raises:
        HubError: The token is missing, invalid or read-only, or the Hub cannot be reached.
    """
    api = HfApi()
    if not write:
        return api
    if get_token() is None:
        raise HubError(_NO_TOKEN)
    role = ask("publish", api.whoami).get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise HubError("the Hugging Face token is read-only; create one with write permission, and set HF_TOKEN to it")
    return api


def publish(
    api: HfApi, publications: Sequence[Publication], *, dry_run: bool, write_line: Callable[[str], object]
) -> None:
    """Print what changes, and make the changes unless it is a dry run.

    All repositories are read and planned before the first commit, and each gets one commit. Unchanged repositories are
    skipped, so the same call completes an interrupted run.

    Args:
        api (`HfApi`): From `open_hub`.
        publications (`Sequence[Publication]`): What to publish.
        dry_run (`bool`): Whether to change nothing.
        write_line (`Callable[[str], object]`): Receives each line of output.

    Raises:
        HubError: The Hub cannot be reached or refuses, or somebody else keeps changing the repository.
    """
    planned = [
        (publication, publication.plan(look_at(api, publication.repo_id, publication.repo_type)))
        for publication in publications
    ]
    for publication, change in planned:
        for line in change.lines():
            write_line(line)
        if dry_run and change.is_due:
            write_line("  nothing was changed: this is a dry run")
        elif change.is_due:
            _commit(api, publication, change, write_line)
            write_line(f"  {change.repo.url(api.endpoint)}")


def look_at(api: HfApi, repo_id: str, repo_type: RepoType) -> Repository:
    """Read the state of a repository, which need not exist.

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
        files = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
        return Repository(repo_id, repo_type, info.sha, bool(info.private), files)

    return ask(f"look at {repo_id}", look)


def read_text(repo: Repository, path: str) -> str | None:
    """Read a text file of a repository; `None` for a missing file.

    Raises:
        HubError: The Hub cannot be reached, or refuses.
    """
    if path not in repo.files:
        return None
    local = ask(
        f"read {path} of {repo.id}",
        lambda: hf_hub_download(repo.id, path, repo_type=repo.type, revision=repo.head),
    )
    try:
        return Path(local).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise HubError(f"{path} of {repo.id} is not UTF-8 text ({error.reason}); mend it on the Hub first") from None


def plan_change(repo: Repository, files: Mapping[str, Content], stale: Iterable[str] = (), *, private: bool) -> Change:
    """Compare files with what a repository holds.

    Args:
        repo (`Repository`): From `look_at`.
        files (`Mapping[str, Path | bytes]`): Files to write; other files stay.
        stale (`Iterable[str]`): Files of an earlier publication, to be deleted unless they are among `files`.
        private (`bool`): Whether a new repository, or any Space, becomes private.

    Returns:
        `Change`: What would change.
    """
    writes = {path: content for path, content in files.items() if not _is_unchanged(repo.files.get(path), content)}
    deletes = tuple(sorted(path for path in stale if path in repo.files and path not in files))
    stays = repo.head is not None and repo.type != "space"
    return Change(repo, writes, deletes, repo.private if stays else private)


def hash_of(content: Content, kind: HashKind) -> str:
    """Hash of a content, as the Hub stores it.

    Args:
        content (`Path` or `bytes`): A file, or its bytes.
        kind (`str`): `git`, or `sha256` for large files.

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
    """Kind of hash under which the Hub stores a file, and the hash."""
    return ("git", present.blob_id) if present.lfs is None else ("sha256", present.lfs.sha256)


def ask(doing: str, question: Callable[[], Answer], *, repeats: bool = True) -> Answer:
    """Send a request to the Hub, with retries, and turn its errors into messages without the token.

    Args:
        doing (`str`): The attempted action, as in "cannot {doing}".
        question (`Callable`): Sends the request.
        repeats (`bool`, defaults to `True`): Whether the request may be repeated after a lost answer.

    Returns:
        The answer.

    Raises:
        HubError: The Hub cannot be reached, or refuses.
    """
    for wait in (*_WAITS_SECONDS, None):
        try:
            with asking_hub(doing):
                return question()
        except HfHubHTTPError as error:
            status = error.response.status_code
            if wait is not None and (status == 429 or status >= 500):
                time.sleep(min(max(wait, _asked_to_wait(error)), _LONGEST_WAIT_SECONDS))
                continue
            kind = _StaleError if status in (409, 412) else HubError
            raise kind(f"cannot {doing}: {_why(status, error)}") from None
        except OfflineModeIsEnabled:
            raise HubError(f"cannot {doing}: HF_HUB_OFFLINE is set; unset it") from None
        except (httpx2.HTTPError, OSError) as error:
            broke_off = isinstance(error, httpx2.TransportError)
            if broke_off and repeats and wait is not None:
                time.sleep(wait)
                continue
            detail = _redact(f"{type(error).__name__}: {error}")
            raise (_StaleError if broke_off else HubError)(
                f"cannot {doing}: the Hub at {HfApi().endpoint} cannot be reached, or the connection broke ({detail}); "
                "run the same command again later"
            ) from None
        except ValueError as error:
            raise HubError(f"cannot {doing}: {_redact(str(error))}") from None
    raise AssertionError("the last wait is None")


def _commit(api: HfApi, publication: Publication, change: Change, write_line: Callable[[str], object]) -> None:
    """Commit a change, planned again if somebody else committed first."""
    for wait in _WAITS_SECONDS:
        try:
            return _apply(api, publication.message, change)
        except _StaleError:
            write_line("  changed meanwhile, or the connection broke; reading the repository again")
            time.sleep(wait)
            change = publication.plan(look_at(api, publication.repo_id, publication.repo_type))
    return _apply(api, publication.message, change)


def _apply(api: HfApi, message: str, change: Change) -> None:
    repo, doing = change.repo, f"publish {change.repo.id}"
    is_private = repo.private
    if repo.head is None:
        is_private = change.private or repo.type == "space"
        sdk = None
        if repo.type == "space":
            sdk = "static" if "index.html" in change.writes else _SPACE_SDK
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
        return f"the Hub failed ({status}); run the same command again later"
    return _STATUSES.get(status) or f"the Hub answered {status}: {_redact(error.server_message or str(error))}"


def _asked_to_wait(error: HfHubHTTPError) -> float:
    """Seconds to wait by the headers `retry-after` or `ratelimit`; 0 without them."""
    headers = error.response.headers
    seconds = re.fullmatch(r"\d+", headers.get("retry-after", "").strip())
    if seconds:
        return float(seconds.group())
    limit = re.search(r"\bt=(\d+)", headers.get("ratelimit", ""))
    return float(limit.group(1)) if limit else 0.0


def _redact(message: str) -> str:
    """A message of a client or server as one line, without keys."""
    return " ".join(redact_keys(message).split())[:300]


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _is_unchanged(present: RepoFile | None, content: Content) -> bool:
    """Whether a file has this content."""
    if present is None or present.size != _size(content):
        return False
    kind, kept = kept_hash(present)
    return hash_of(content, kind) == kept

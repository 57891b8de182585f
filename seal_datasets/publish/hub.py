"""Repositories on the Hub: what a change to one would do, the change in one commit, and failures in plain words."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile, get_token, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError

from seal_datasets.errors import HubError
from seal_datasets.version import __version__

MANIFEST = ".seal.json"

_NO_TOKEN = "there is no Hugging Face token; set HF_TOKEN to one that may write, or run `hf auth login`"
_STATUSES = {
    401: "it does not accept the token; set HF_TOKEN to a valid one that may write, or run `hf auth login`",
    403: "the token may not write there; it must have write permission for this namespace",
    409: "the repository was changed by somebody else at the same time; run the same command again",
    412: "the repository was changed by somebody else at the same time; run the same command again",
    429: "it was asked too often (429); wait some minutes and run the same command again",
}


@dataclass(frozen=True, slots=True)
class RepoPlan:
    """What publishing files to a repository would do to it.

    Attributes:
        repo_id (`str`): The repository.
        repo_type (`str`): `space`, `dataset` or `model`.
        parent (`str`, *optional*): The commit that was looked at; `None` where the repository does not exist.
        private (`bool`): Whether it is private now.
        writes (`Mapping[str, bytes]`): Content of the files that are new or differ.
        new (`frozenset[str]`): Those of them that are not there yet.
        deletes (`tuple[str, ...]`): Files of an earlier publication that are published no longer.
        foreign (`tuple[str, ...]`): Files it would replace or delete and that somebody else wrote or changed.
    """

    repo_id: str
    repo_type: str
    parent: str | None
    private: bool
    writes: Mapping[str, bytes]
    new: frozenset[str]
    deletes: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def changes(self) -> list[str]:
        """A line for each file that would change."""
        written = [f"{'+' if path in self.new else '~'} {path} ({len(content):,} bytes)"
                   for path, content in self.writes.items()]  # fmt: skip
        return sorted(written, key=lambda line: line[2:]) + [f"- {path}" for path in self.deletes]


@contextmanager
def hub_errors(doing: str) -> Iterator[None]:
    """Turn the failures of a client of the Hub into a `HubError` that says what to do, without any token.

    Args:
        doing (`str`): What is tried, as in "cannot {doing}".

    Raises:
        HubError: The Hub cannot be reached, or refuses.
    """
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status >= 500:
            why = f"it fails itself ({status}); run the same command again later"
        else:
            why = _STATUSES.get(status) or f"it answers {status}: {_harmless(error.server_message or str(error))}"
        raise HubError(f"cannot {doing}: the Hub was asked, and {why}") from None
    except OfflineModeIsEnabled:
        raise HubError(f"cannot {doing}: HF_HUB_OFFLINE is set; unset it to publish") from None
    except (httpx2.HTTPError, OSError) as error:
        detail = _harmless(f"{type(error).__name__}: {error}")
        raise HubError(
            f"cannot {doing}: the Hub at {HfApi().endpoint} cannot be reached, or broke off ({detail}); "
            "run the same command again when it can be"
        ) from None
    except (HFValidationError, ValueError) as error:
        raise HubError(f"cannot {doing}: {_harmless(str(error))}") from None


def _harmless(message: str) -> str:
    """One line of what a client or server said, without what could be a token."""
    message = re.sub(r"\bhf_\w+", "hf_***", message.replace(get_token() or "hf_", "hf_***"))
    return " ".join(message.split())[:300]


def writing_api() -> HfApi:
    """Connect to the Hub, to write.

    Returns:
        `HfApi`: Its client.

    Raises:
        HubError: There is no token, it is not valid, it only reads, or the Hub cannot be reached.
    """
    if get_token() is None:
        raise HubError(_NO_TOKEN)
    api = HfApi()
    with hub_errors("publish"):
        role = api.whoami().get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise HubError("the Hugging Face token only reads; make one with write permission, and set HF_TOKEN to it")
    return api


def plan_repo(api: HfApi, repo_id: str, repo_type: str, files: Mapping[str, bytes]) -> RepoPlan:
    """Compare files with what a repository holds. Nothing is written.

    Which files are ours, to be replaced without asking, is kept in the repository, in `.seal.json`: each file's hash as
    we wrote it. Files that are not among the given ones and were not written by us are left alone.

    Args:
        api (`HfApi`): The client.
        repo_id (`str`): The repository, which need not exist.
        repo_type (`str`): `space`, `dataset` or `model`.
        files (`Mapping[str, bytes]`): What is to be in it.

    Returns:
        `RepoPlan`: What would change.

    Raises:
        HubError: The Hub cannot be reached, or refuses.
    """
    wanted = {**files, MANIFEST: _manifest(files)}
    with hub_errors(f"look at {repo_id}"):
        try:
            info = api.repo_info(repo_id, repo_type=repo_type)
        except RepositoryNotFoundError:
            return RepoPlan(repo_id, repo_type, None, False, wanted, frozenset(wanted), (), ())
        entries = api.list_repo_tree(repo_id, recursive=True, revision=info.sha, repo_type=repo_type)
        present = {each.path: each for each in entries if isinstance(each, RepoFile)}
        ours = _written_by_us(repo_id, repo_type, info.sha) if MANIFEST in present else {}
        # What the Hub itself put there when the repository was made is nobody's.
        history = [each.title for each in api.list_repo_commits(repo_id, repo_type=repo_type)]
        untouched = history == ["initial commit"] and set(present) <= {".gitattributes", "README.md"}
    writes = {path: each for path, each in wanted.items() if path not in present or not _is(present[path], _ids(each))}
    deletes = tuple(sorted(path for path in ours if path in present and path not in wanted))
    replaced = sorted(path for path in (*writes, *deletes) if path in present and path != MANIFEST and not untouched)
    return RepoPlan(
        repo_id,
        repo_type,
        info.sha,
        bool(info.private),
        writes,
        frozenset(writes) - set(present),
        deletes,
        tuple(path for path in replaced if not _is(present[path], ours.get(path, {}))),
    )


def apply_plan(api: HfApi, plan: RepoPlan, *, message: str, private: bool, space_sdk: str | None = None) -> str:
    """Do what a plan says: one commit, and nobody sees a repository before it is whole.

    A new repository is private until its files are in it.

    Args:
        api (`HfApi`): The client.
        plan (`RepoPlan`): What to do.
        message (`str`): Of the commit.
        private (`bool`): Whether the repository is to be private in the end.
        space_sdk (`str`, *optional*): SDK of a Space.

    Returns:
        `str`: Address of the repository.

    Raises:
        HubError: The Hub cannot be reached, refuses, or holds another commit than was looked at.
    """
    deletes = [CommitOperationDelete(path) for path in plan.deletes]
    writes = [CommitOperationAdd(path, content) for path, content in plan.writes.items()]
    is_private = plan.private
    with hub_errors(f"publish {plan.repo_id}"):
        if plan.parent is None:
            is_private = True
            api.create_repo(plan.repo_id, repo_type=plan.repo_type, private=True, exist_ok=True, space_sdk=space_sdk)
        if writes or deletes:
            api.create_commit(
                plan.repo_id,
                [*writes, *deletes],
                commit_message=message,
                repo_type=plan.repo_type,
                parent_commit=plan.parent,
            )
        if is_private != private:
            api.update_repo_settings(plan.repo_id, private=private, repo_type=plan.repo_type)
    prefix = "" if plan.repo_type == "model" else f"{plan.repo_type}s/"
    return f"{api.endpoint}/{prefix}{plan.repo_id}"


def _ids(content: bytes) -> dict[str, str]:
    """What the Hub calls a file's content: Git's hash, or for a large file SHA-256."""
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return {"git": git.hexdigest(), "sha256": hashlib.sha256(content).hexdigest()}


def _is(present: RepoFile, ids: Mapping[str, str]) -> bool:
    return present.lfs.sha256 == ids.get("sha256") if present.lfs else present.blob_id == ids.get("git")


def _manifest(files: Mapping[str, bytes]) -> bytes:
    ids = {path: _ids(content) for path, content in sorted(files.items())}
    return (json.dumps({"made_with": f"seal_datasets {__version__}", "files": ids}, indent=2) + "\n").encode()


def _written_by_us(repo_id: str, repo_type: str, revision: str | None) -> dict[str, dict[str, str]]:
    """Files as we wrote them, by the repository's own account; nothing where that cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        path = hf_hub_download(repo_id, MANIFEST, repo_type=repo_type, revision=revision, local_dir=folder)
        try:
            found = json.loads(Path(path).read_text("utf-8"))["files"]
            return {str(path): {str(kind): str(each) for kind, each in ids.items()} for path, ids in found.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}

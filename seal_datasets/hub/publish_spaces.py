"""Publish the metrics as Spaces on the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from huggingface_hub import HfApi, RepoFile

from seal_datasets.errors import DataError, HubError
from seal_datasets.evaluate_modules.paths import METRICS, NAMESPACE, metric_path
from seal_datasets.hub.card_sections import CARD
from seal_datasets.hub.commit import (
    Change,
    HashKind,
    Publication,
    Repository,
    ask,
    hash_of,
    kept_hash,
    open_hub,
    plan_change,
    publish,
    read_text,
)
from seal_datasets.version import __version__

MANIFEST = ".seal.json"


def space_files(name: str, namespace: str = NAMESPACE) -> dict[str, bytes]:
    """Read the files of a metric's Space.

    Args:
        name (`str`): One of `seal_datasets.evaluate_modules.paths.METRICS`.
        namespace (`str`): User or organisation it is published under, which its card names.

    Returns:
        `dict[str, bytes]`: Content of its files. The requirements pin this version of the package.

    Raises:
        DataError: The metric does not exist.

    Example:

    ```python
    >>> space_files("reward_shift")["requirements.txt"].decode().strip().split("==")[0]
    'seal_datasets[space]'

    ```
    """
    folder = Path(metric_path(name)).parent
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    card = files["README.md"].decode().replace(f'"{NAMESPACE}/{name}"', f'"{namespace}/{name}"')
    requirements = re.sub(
        r"^(seal_datasets\S*)$", rf"\1=={__version__}", files["requirements.txt"].decode(), flags=re.M
    )
    return {**files, "README.md": card.encode(), "requirements.txt": requirements.encode()}


def publish_metrics(
    namespace: str,
    names: Sequence[str] = (),
    *,
    private: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    write_line: Callable[[str], object] = print,
) -> None:
    """Create or update the metrics' Spaces, with one commit per Space.

    The file `.seal.json` of a Space holds the hash of each file that we wrote; only these are replaced without
    `overwrite`. Other files are left alone.

    Args:
        namespace (`str`): User or organisation to publish under.
        names (`Sequence[str]`): Some of `seal_datasets.evaluate_modules.paths.METRICS`; all by default.
        private (`bool`, defaults to `False`): Whether the Spaces are private; existing Spaces change accordingly.
        overwrite (`bool`, defaults to `False`): Replace files in a Space that somebody else wrote or changed.
        dry_run (`bool`, defaults to `False`): Print what would change, and change nothing.
        write_line (`Callable[[str], object]`, defaults to `print`): Receives each line of output.

    Raises:
        DataError: A metric does not exist, or the namespace is not a valid name.
        HubError: The token lacks write permission, the Hub cannot be reached or refuses, or a Space holds files of
            somebody else.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", namespace):
        raise DataError(f"the namespace must be the name of a user or organisation on the Hub, got {namespace!r}")
    contents = {f"{namespace}/{name}": space_files(name, namespace) for name in names or METRICS}
    api = open_hub(write=not dry_run)

    def plan(repo: Repository) -> Change:
        change = plan_space(api, repo, contents[repo.id], private)
        if not overwrite and not dry_run:
            refuse_foreign(change, "choose another --namespace, or replace them with --overwrite")
        return change

    message = f"seal_datasets {__version__}"
    publications = [Publication(repo_id, "space", message, plan) for repo_id in contents]
    publish(api, publications, dry_run=dry_run, write_line=write_line)


def refuse_foreign(change: Change, advice: str) -> None:
    """Raise where a change of a Space would replace files of somebody else.

    Args:
        change (`Change`): From `plan_space`.
        advice (`str`): What to do about it.

    Raises:
        HubError: It would.
    """
    if change.foreign:
        raise HubError(
            f"the space {change.repo.id} holds files of somebody else that would be replaced: "
            f"{', '.join(sorted(change.foreign))}. Nothing was changed; look at them, {advice}"
        )


def plan_space(api: HfApi, repo: Repository, files: Mapping[str, bytes], private: bool) -> Change:
    """Compare a Space's files with those that it holds, and find which of these somebody else wrote.

    Args:
        api (`HfApi`): From `open_hub`.
        repo (`Repository`): The Space.
        files (`Mapping[str, bytes]`): Its files.
        private (`bool`): Whether it becomes private.

    Returns:
        `Change`: What would change, with a manifest of our files.
    """
    ours = _written_by_us(repo)
    change = plan_change(repo, {**files, MANIFEST: _manifest(files)}, ours, private=private)
    replaced = [path for path in (*change.writes, *change.deletes) if path in repo.files and path != MANIFEST]
    foreign = {path for path in replaced if not _is_kept(repo.files[path], ours.get(path, {}))}
    return replace(change, foreign=frozenset() if not foreign or _is_untouched(api, repo) else frozenset(foreign))


def _is_untouched(api: HfApi, repo: Repository) -> bool:
    """Whether the Space holds only the files that the Hub creates with it."""
    if not repo.files.keys() <= {".gitattributes", CARD}:
        return False
    history = ask(f"look at {repo.id}", lambda: api.list_repo_commits(repo.id, repo_type="space"))
    return [commit.title for commit in history] == ["initial commit"]


def _is_kept(present: RepoFile, hashes: Mapping[str, str]) -> bool:
    kind, kept = kept_hash(present)
    return hashes.get(kind) == kept


def _manifest(files: Mapping[str, bytes]) -> bytes:
    kinds: tuple[HashKind, ...] = ("git", "sha256")
    hashes = {path: {kind: hash_of(content, kind) for kind in kinds} for path, content in sorted(files.items())}
    return (json.dumps({"made_with": f"seal_datasets {__version__}", "files": hashes}, indent=2) + "\n").encode()


def _written_by_us(repo: Repository) -> dict[str, dict[str, str]]:
    """Hashes of the files we wrote, from the Space's manifest; empty if it is missing or invalid."""
    try:
        files = json.loads(read_text(repo, MANIFEST) or "")["files"]
        return {str(path): {str(kind): str(value) for kind, value in hashes.items()} for path, hashes in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}

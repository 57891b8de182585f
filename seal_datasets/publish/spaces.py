"""The metrics as Spaces on the Hub."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from huggingface_hub import HfApi

from seal_datasets.errors import DataError, HubError
from seal_datasets.modules import METRICS, NAMESPACE, metric_path
from seal_datasets.publish.hub import RepoPlan, apply_plan, plan_repo, writing_api
from seal_datasets.version import __version__

_LOGGER = logging.getLogger(__name__)


def space_files(name: str, namespace: str = NAMESPACE) -> dict[str, bytes]:
    """Read what a metric's Space holds.

    Args:
        name (`str`): One of `seal_datasets.modules.METRICS`.
        namespace (`str`): User or organisation it is published under, which its card names.

    Returns:
        `dict[str, bytes]`: Content of its files. The requirements pin this version of the package.

    Raises:
        DataError: There is no such metric.

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
    names: Sequence[str] = METRICS,
    *,
    private: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    tell: Callable[[str], object] = _LOGGER.info,
) -> list[RepoPlan]:
    """Create the metrics' Spaces, or bring them up to date, with one commit each.

    All are looked at before any is changed. A Space that is as it should be is left as it is, so that a run that was
    stopped is finished by the same call.

    Args:
        namespace (`str`): User or organisation to publish under.
        names (`Sequence[str]`): Some of `seal_datasets.modules.METRICS`; all by default.
        private (`bool`): Whether the Spaces are to be private; Spaces that are not as said become so.
        overwrite (`bool`): Replace files in a Space that somebody else wrote or changed.
        dry_run (`bool`): Only say what would change.
        tell (`Callable`): Gets a line for each Space and each file that changes.

    Returns:
        `list[RepoPlan]`: What was, or would be, changed.

    Raises:
        DataError: There is no such metric, or the namespace is no name.
        HubError: There is no token that may write, the Hub cannot be reached or refuses, or a Space holds somebody
            else's files.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", namespace):
        raise DataError(f"the namespace must be the name of a user or organisation on the Hub, got {namespace!r}")
    contents = {f"{namespace}/{name}": space_files(name, namespace) for name in names}
    api = HfApi() if dry_run else writing_api()
    plans = [plan_repo(api, repo_id, "space", files) for repo_id, files in contents.items()]
    foreign = [f"{plan.repo_id}: {', '.join(plan.foreign)}" for plan in plans if plan.foreign]
    if foreign and not overwrite and not dry_run:
        raise HubError(
            f"somebody else wrote or changed files that would be replaced, in {'; in '.join(foreign)}. Nothing was "
            "changed. Look at them, choose another --namespace, or replace them with --overwrite"
        )
    for plan in plans:
        for line in _summary(plan, private):
            tell(line)
        if not dry_run and _is_due(plan, private):
            address = apply_plan(api, plan, message=f"seal_datasets {__version__}", private=private, space_sdk="gradio")
            tell(f"  {address}")
    return plans


def _is_due(plan: RepoPlan, private: bool) -> bool:
    return plan.parent is None or bool(plan.changes) or plan.private != private


def _summary(plan: RepoPlan, private: bool) -> list[str]:
    """What a plan comes to, in lines."""
    seen = "private" if private else "public"
    if not _is_due(plan, private):
        return [f"{plan.repo_id}  up to date"]
    if plan.parent is None:
        head = f"{plan.repo_id}  new, {seen}"
    else:
        head = f"{plan.repo_id}  update" + (f", becomes {seen}" if plan.private != private else "")
    marked = [
        f"  {line}{'  written by somebody else' if line.split()[1] in plan.foreign else ''}" for line in plan.changes
    ]
    return [head, *marked]

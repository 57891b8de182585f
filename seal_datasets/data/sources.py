"""Open what a user calls a dataset: a Hub id, a file, a folder or an object; or say why it cannot be opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from datasets import (
    Dataset,
    DatasetDict,
    IterableDataset,
    config,
    load_dataset_builder,
    load_from_disk,
)
from datasets.exceptions import DatasetGenerationError
from datasets.naming import camelcase_to_snakecase
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from pyarrow import ArrowException  # type: ignore[import-untyped]

from seal_datasets.data.files import file_kind, load_file
from seal_datasets.data.formats import TEXT_COLUMNS
from seal_datasets.errors import DataError

_HUB_TIMEOUT_SECONDS = 10.0
_SUFFIXES_OF_FILES = (".gz", ".tsv", ".txt", ".zip", ".pkl", ".pickle", ".arrow", ".xlsx", ".zst", ".yaml", ".xml")


@dataclass(frozen=True, slots=True)
class Source:
    """Rows, and what identifies them.

    Attributes:
        rows (`Dataset` or `IterableDataset`): The rows as they are.
        label (`str`): What to call the source.
        fingerprint (`str`, *optional*): `sha256:`, `hub:` or `datasets:` and the hash that goes with it.
    """

    rows: Dataset | IterableDataset
    label: str
    fingerprint: str | None


class _NotThere(DataError):
    """The Hub has no such dataset, or cannot be asked."""


def open_source(
    source: object, *, split: str | None, name: str | None, revision: str | None, streaming: bool
) -> Source:
    """Open a source of rows.

    Args:
        source (`str`, `PathLike`, `Dataset`, `IterableDataset` or a dict of either): As for `load_pairs`.
        split (`str`, *optional*): Split to take.
        name (`str`, *optional*): Configuration of a Hub dataset.
        revision (`str`, *optional*): Revision of a Hub dataset.
        streaming (`bool`): Whether to return a stream.

    Returns:
        `Source`: The rows and their identity.

    Raises:
        DataError: There is no such source, it cannot be read, or it leaves open which split is meant.
    """
    if isinstance(source, str) and not _is_path(source):
        try:
            return open_hub_dataset(source, split=split, name=name, revision=revision, streaming=streaming)
        except _NotThere as error:
            raise DataError(f"there is no file or folder {Path(source).absolute()}, and {error}") from error
    if name is not None or revision is not None:
        given = {"name": name, "revision": revision}
        what = source if isinstance(source, str | os.PathLike) else f"a {type(source).__name__}"
        raise DataError(f"name and revision choose among datasets on the Hub, and the source is {what}; got {given}")
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source).expanduser(), split=split, streaming=streaming)
    if isinstance(source, Dataset | IterableDataset | dict):
        rows = _streamed(_choose_split(source, split), streaming)
        identity = getattr(rows, "_fingerprint", None)
        return Source(rows, f"a {type(rows).__name__}", f"datasets:{identity}" if identity else None)
    raise DataError(f"source must be a path, a Hub id or a datasets object, got {type(source).__name__}")


def open_hub_dataset(
    source: str, *, split: str | None, name: str | None = None, revision: str | None = None, streaming: bool = False
) -> Source:
    """Open a dataset on the Hub, whatever files there are here.

    Args:
        source (`str`): Its id.
        split (`str`, *optional*): Split to take.
        name (`str`, *optional*): Its configuration.
        revision (`str`, *optional*): Its revision.
        streaming (`bool`, defaults to `False`): Whether to return a stream.

    Returns:
        `Source`: The rows and their identity.

    Raises:
        DataError: There is no such dataset, it cannot be read, or it leaves open which split is meant.
    """
    _find_on_hub(source, revision)
    try:
        builder = load_dataset_builder(source, name=name, revision=revision)
        splits = [str(each) for each in builder.info.splits or builder.config.data_files or ()]
        if split is None and len(splits) != 1:
            raise DataError(f"no split was named; {source!r} has the splits {splits}: choose one with split=...")
        wanted = split or splits[0]
        if streaming:
            rows = builder.as_streaming_dataset(split=wanted)
        else:
            builder.download_and_prepare()
            rows = builder.as_dataset(split=wanted)
    except DatasetGenerationError as error:
        raise DataError(f"the files of {source!r} on the Hub cannot be read: {error.__cause__ or error}") from error
    except DataError:
        raise
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise DataError(f"cannot load {source!r} from the Hub or its cache: {error}") from error
    return Source(rows, source, f"hub:{builder.hash}" if builder.hash else None)


def _is_path(source: str) -> bool:
    path = Path(source).expanduser()
    if path.exists() or source.startswith((".", "/", "~")) or source.count("/") > 1 or "\\" in source:
        return True
    return file_kind(path) is not None or path.suffix.lower() in _SUFFIXES_OF_FILES


def _choose_split(source: Dataset | IterableDataset | dict[str, Any], split: str | None) -> Dataset | IterableDataset:
    if not isinstance(source, dict):
        if split is not None and split != str(source.split):
            raise DataError(f"split={split!r} was asked for, and the source is one table; choose the split before")
        return source
    if split is None and len(source) == 1:
        return next(iter(source.values()))
    if split is None or split not in source:
        asked = "no split was named" if split is None else f"there is no split {split!r}"
        raise DataError(
            f"{asked}; the source has the splits {list(source)}: choose one, e.g. split={next(iter(source))!r}"
        )
    return source[split]


def _streamed(rows: Dataset | IterableDataset, streaming: bool) -> Dataset | IterableDataset:
    return rows.to_iterable_dataset() if streaming and isinstance(rows, Dataset) else rows


def _from_path(path: Path, *, split: str | None, streaming: bool) -> Source:
    if path.is_dir():
        rows = _streamed(_choose_split(_saved(path), split), streaming)
        identity = getattr(rows, "_fingerprint", None)
        return Source(rows, str(path), f"datasets:{identity}" if identity else None)
    if split not in (None, "train"):
        raise DataError(f"split={split!r} was asked for, and {path} is one file without splits; leave split out")
    rows, digest = load_file(path, text_columns=TEXT_COLUMNS, streaming=streaming)
    return Source(rows, str(path), f"sha256:{digest}")


def _saved(folder: Path) -> Dataset | DatasetDict:
    if not any((folder / each).is_file() for each in ("state.json", "dataset_dict.json")):
        files = sorted(each.name for each in folder.iterdir() if file_kind(each))
        found = f"it has the data files {files[:5]}: give one of them" if files else "it has no data files either"
        raise DataError(f"the folder {folder.absolute()} was not made by save_to_disk; {found}")
    try:
        return load_from_disk(str(folder))
    except (OSError, ArrowException, KeyError, ValueError) as error:
        raise DataError(
            f"the folder {folder.absolute()} is not an intact save_to_disk folder ({error}); save it again"
        ) from error


def _find_on_hub(source: str, revision: str | None) -> None:
    """Ask the Hub once whether it has the dataset; `datasets` alone would try for half a minute before it gave up."""
    try:
        HfApi().dataset_info(source, revision=revision, timeout=_HUB_TIMEOUT_SECONDS)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise _NotThere(
            f"there is no dataset {source!r} (revision {revision or 'main'}) on the Hub that this token may see"
        ) from error
    except HFValidationError as error:
        raise _NotThere(f"{source!r} is no name of a dataset on the Hub: {str(error).splitlines()[0]}") from error
    except (OSError, httpx2.HTTPError, HfHubHTTPError, OfflineModeIsEnabled) as error:
        if not _is_cached(source):
            raise _NotThere(
                f"{source!r} would be a dataset on the Hub, which cannot be reached ({error}), and it is not in "
                f"the cache {config.HF_DATASETS_CACHE}. To work offline, give a data file or a folder made by "
                "save_to_disk, or load it once while online and then set HF_HUB_OFFLINE=1"
            ) from error


def _is_cached(source: str) -> bool:
    *namespace, dataset = source.split("/")
    folder = "___".join([*namespace, camelcase_to_snakecase(dataset)])
    return Path(config.HF_DATASETS_CACHE, folder).is_dir()

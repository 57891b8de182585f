"""Open a dataset given as a Hub id, a file, a folder or an object, or say why it cannot be opened."""

from __future__ import annotations

import glob
import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from datasets import (
    Dataset,
    DatasetBuilder,
    DatasetDict,
    IterableDataset,
    config,
    load_dataset_builder,
    load_from_disk,
)
from datasets.data_files import EmptyDatasetError, get_data_patterns, resolve_pattern
from datasets.exceptions import DatasetGenerationError
from datasets.naming import camelcase_to_snakecase
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from pyarrow import ArrowException  # type: ignore[import-untyped]

from seal_datasets.data.deal import Part
from seal_datasets.data.files import file_kind, load_files
from seal_datasets.data.hub_answers import asking_hub, first_line
from seal_datasets.errors import DataError

_HUB_TIMEOUT_SECONDS = 10.0
_MAX_FILES = 20_000
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_FILE = re.compile(r"hf://datasets/(?P<id>[^@]+)@(?P<revision>[^/]+)/(?P<path>.+)")
_FILE_SUFFIXES = (".gz", ".txt", ".zip", ".pkl", ".pickle", ".arrow", ".xlsx", ".zst", ".yaml", ".xml")


@dataclass(frozen=True, slots=True)
class HubDataset:
    """A dataset on the Hub, with the configuration and revision to read.

    Attributes:
        id (`str`): Its id, e.g. `"Anthropic/hh-rlhf"`.
        name (`str`, *optional*): Configuration; needed where there is more than one.
        revision (`str`, *optional*): Branch, tag or commit; the main branch when omitted.

    Example:

    ```python
    >>> HubDataset("openai/summarize_from_feedback", name="comparisons", revision="main").name
    'comparisons'

    ```
    """

    id: str
    name: str | None = None
    revision: str | None = None

    @classmethod
    def of(cls, text: str) -> HubDataset:
        """A dataset from one line of text.

        Args:
            text (`str`): Its id, or `ID@REVISION` with a branch, tag or commit.

        Returns:
            `HubDataset`: With that revision.

        Example:

        ```python
        >>> HubDataset.of("Anthropic/hh-rlhf@main").revision, HubDataset.of("Anthropic/hh-rlhf").revision
        ('main', None)

        ```
        """
        name, _, revision = text.partition("@")
        return cls(name, revision=revision or None)


@dataclass(frozen=True, slots=True)
class Source:
    """Rows, and what identifies them.

    Attributes:
        rows (`Dataset` or `IterableDataset`): The rows, unchanged.
        label (`str`): Name of the source in messages and reports.
        fingerprint (`str`, *optional*): `sha256:`, `hub:` or `datasets:`, followed by a hash.
        as_json (`tuple[str, ...]`): Columns of a file that are stored as JSON text, because no one type holds their values.
        parquet (`tuple[str, ...]`): The files of a stream of Parquet files, in order.
    """

    rows: Dataset | IterableDataset
    label: str
    fingerprint: str | None
    as_json: tuple[str, ...] = ()
    parquet: tuple[str, ...] = ()


class _DatasetNotFound(DataError):
    """The Hub has no such dataset, or cannot be reached."""


def open_source(
    source: object, *, split: str | None = None, streaming: bool = False, part: Part | None = None
) -> Source:
    """Open a source of rows.

    Args:
        source (`str`, `PathLike`, `HubDataset`, `Dataset`, `IterableDataset` or a dict of the last two): As for `load_pairs`.
        split (`str`, *optional*): Split to take.
        streaming (`bool`, defaults to `False`): Whether to return a stream.
        part (`Part`, *optional*): What will be taken of a stream; see `load_files`.

    Returns:
        `Source`: The rows and their identity.

    Raises:
        DataError: The source does not exist, cannot be read, or has several splits and none is named.
    """
    if isinstance(source, HubDataset):
        return open_hub_dataset(source, split=split, streaming=streaming)
    if isinstance(source, str) and not _is_path(source):
        try:
            return open_hub_dataset(HubDataset.of(source), split=split, streaming=streaming)
        except _DatasetNotFound as error:
            raise DataError(f"there is no file or folder {Path(source).absolute()}, and {error}") from error
    if isinstance(source, str | os.PathLike):
        return _open_path(_expanded(source), split=split, streaming=streaming, part=part)
    if isinstance(source, Dataset | IterableDataset | dict):
        rows = _stream_if(streaming, _choose_split(source, split))
        return Source(rows, f"a {type(rows).__name__}", _object_fingerprint(rows))
    raise DataError(f"source must be a path, a Hub id or a datasets object, got {type(source).__name__}")


def open_hub_dataset(dataset: HubDataset, *, split: str | None = None, streaming: bool = False) -> Source:
    """Open a dataset on the Hub; local files are not considered.

    Args:
        dataset (`HubDataset`): Its id, configuration and revision.
        split (`str`, *optional*): Split to take.
        streaming (`bool`, defaults to `False`): Whether to return a stream.

    Returns:
        `Source`: The rows and their identity.

    Raises:
        DataError: The dataset does not exist, cannot be read, or has several splits and none is named.
    """
    _check_on_hub(dataset)
    try:
        return _read_hub_dataset(dataset, split, streaming)
    except DatasetGenerationError as error:
        raise DataError(f"the files of {dataset.id!r} on the Hub cannot be read: {error.__cause__ or error}") from None
    except DataError:
        raise
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise DataError(f"cannot load {dataset.id!r} from the Hub or its cache: {error}") from None


def _read_hub_dataset(dataset: HubDataset, split: str | None, streaming: bool) -> Source:
    with asking_hub(dataset.id):
        builder = load_dataset_builder(dataset.id, name=dataset.name, revision=dataset.revision)
    if _COMMIT.fullmatch(dataset.revision or "") and builder.hash != dataset.revision:
        raise DataError(  # without the Hub, `datasets` takes whatever its cache holds
            f"{dataset.id!r} is needed at commit {dataset.revision}, and the cache {config.HF_DATASETS_CACHE} holds "
            f"{builder.hash}; load that commit once while online"
        )
    splits = [str(key) for key in builder.info.splits or builder.config.data_files or ()]
    if split is None and len(splits) != 1:
        raise DataError(f"no split was named; {dataset.id!r} has the splits {splits}: choose one with split=...")
    wanted = split or splits[0]
    if files := _files_to_read(builder, wanted):
        table, _, as_json = load_files(files, streaming=streaming)
        return Source(table, dataset.id, f"hub:{builder.hash}" if builder.hash else None, as_json)
    parquet: tuple[str, ...] = ()
    if streaming:
        rows = builder.as_streaming_dataset(split=wanted)
        if builder.name == "parquet":
            parquet = tuple(str(url) for url in (builder.config.data_files or {}).get(wanted, ()))
    else:
        builder.download_and_prepare()
        rows = builder.as_dataset(split=wanted)
    return Source(rows, dataset.id, f"hub:{builder.hash}" if builder.hash else None, parquet=parquet)


def _files_to_read(builder: DatasetBuilder, split: str) -> list[Path]:
    """The JSON or CSV files of a split, fetched from the Hub, to be read value by value; none if it has other files."""
    urls = [str(url) for url in (builder.config.data_files or {}).get(split, ())]
    places = [_HUB_FILE.fullmatch(url) for url in urls]
    kinds = {file_kind(Path(url)) for url in urls}
    if builder.name not in ("json", "csv") or not urls or not all(places) or None in kinds:
        return []
    return [
        Path(hf_hub_download(place["id"], place["path"], repo_type="dataset", revision=place["revision"]))
        for place in places
        if place is not None
    ]


def _is_path(source: str) -> bool:
    path = _expanded(source)
    if (
        path.exists()
        or glob.has_magic(source)
        or source.startswith((".", "/", "~"))
        or source.partition("@")[0].count("/") > 1
        or "\\" in source
    ):
        return True
    return file_kind(path) is not None or path.suffix.lower() in _FILE_SUFFIXES


def _expanded(source: str | os.PathLike[str]) -> Path:
    """The path of a source, with the home folder for `~`."""
    try:
        path = Path(source).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long, or the home of a user who is not known
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(f"cannot open {str(source)[:200]!r}: {reason}; give a path or a dataset id") from error
    return path


def _choose_split(source: Dataset | IterableDataset | dict[str, Any], split: str | None) -> Dataset | IterableDataset:
    if not isinstance(source, dict):
        if split is not None and split != str(source.split):
            raise DataError(f"split={split!r} does not apply: the source is one table; choose the split before")
        return source
    if other := [rows for rows in source.values() if not isinstance(rows, Dataset | IterableDataset)]:
        raise DataError(
            f"source is a dict of {type(other[0]).__name__}, needed is one of datasets; make one with Dataset.from_dict(...)"
        )
    return source[_name_split(list(source), split, "the source")]


def _name_split(splits: list[str], split: str | None, label: str) -> str:
    """The split to take: the named one, or the only one."""
    if not splits:
        raise DataError(f"{label} has no splits; needed is a dataset with rows")
    if split is None and len(splits) == 1:
        return splits[0]
    if split is None or split not in splits:
        reason = "no split was named" if split is None else f"there is no split {split!r}"
        raise DataError(f"{reason}; {label} has the splits {splits}: choose one, e.g. split={splits[0]!r}")
    return split


def _stream_if(streaming: bool, rows: Dataset | IterableDataset) -> Dataset | IterableDataset:
    return rows.to_iterable_dataset() if streaming and isinstance(rows, Dataset) else rows


def _object_fingerprint(rows: Dataset | IterableDataset) -> str | None:
    identity = getattr(rows, "_fingerprint", None)
    return f"datasets:{identity}" if identity else None


def _open_path(path: Path, *, split: str | None, streaming: bool, part: Part | None) -> Source:
    if path.is_dir() and any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        rows = _stream_if(streaming, _choose_split(_load_saved(path), split))
        return Source(rows, str(path), _object_fingerprint(rows))
    if path.is_dir():
        files = _choose_files(path, split)
    elif not path.exists() and glob.has_magic(str(path)):
        files = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        if not files:
            raise DataError(f"no file matches {path}; check the pattern (relative to the current folder)")
    else:
        files = [path]
    if not path.is_dir() and split not in (None, "train"):
        raise DataError(f"split={split!r} does not apply: {path} is one file without splits; leave split out")
    rows, digest, as_json = load_files(files, streaming=streaming, part=part)
    parquet = tuple(str(file.absolute()) for file in files if streaming and file_kind(file) == "parquet")
    return Source(rows, str(path), f"sha256:{digest}" if digest else None, as_json, parquet)


def _choose_files(folder: Path, split: str | None) -> list[Path]:
    """The data files of a split of a folder that is laid out as on the Hub."""
    folder = folder.absolute()  # as `resolve_pattern` gives its files
    listed = list(itertools.islice(folder.rglob("*"), _MAX_FILES + 1))
    if len(listed) > _MAX_FILES:
        raise DataError(
            f"the folder {folder.absolute()} holds more than {_MAX_FILES:,} files; give the one with the data"
        )
    found = sorted(path for path in listed if path.is_file() and file_kind(path))
    if not found:
        raise DataError(f"the folder {folder.absolute()} was not made by save_to_disk; it has no data files either")
    try:
        patterns = get_data_patterns(str(folder))
        splits = {
            str(name): sorted(
                {Path(file) for pattern in of_split for file in resolve_pattern(pattern, str(folder))} & set(found)
            )
            for name, of_split in patterns.items()
        }
    except (EmptyDatasetError, FileNotFoundError):  # `datasets` passes over names such as config.json
        splits = {"train": found}
    splits = {name: files for name, files in splits.items() if files}
    return splits[_name_split(list(splits), split, str(folder))]


def _load_saved(folder: Path) -> Dataset | DatasetDict:
    try:
        return load_from_disk(str(folder))
    except (OSError, ArrowException, KeyError, ValueError) as error:
        raise DataError(
            f"the folder {folder.absolute()} is not an intact save_to_disk folder ({error}); save it again"
        ) from error


def _check_on_hub(dataset: HubDataset) -> None:
    """Ask the Hub once whether it has the dataset; `datasets` alone would retry for half a minute."""
    try:
        with asking_hub(dataset.id):
            HfApi().dataset_info(dataset.id, revision=dataset.revision, timeout=_HUB_TIMEOUT_SECONDS)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise _DatasetNotFound(
            f"there is no dataset {dataset.id!r} (revision {dataset.revision or 'main'}) on the Hub that this token may see"
        ) from error
    except HFValidationError as error:
        raise _DatasetNotFound(f"{dataset.id!r} is not a valid dataset id on the Hub: {first_line(error)}") from error
    except (OSError, httpx2.HTTPError, HfHubHTTPError, OfflineModeIsEnabled) as error:
        if not _is_cached(dataset.id):
            raise _DatasetNotFound(
                f"{dataset.id!r} would be a dataset on the Hub, which cannot be reached ({first_line(error)}), and it is not "
                f"in the cache {config.HF_DATASETS_CACHE}. To work offline, give a data file or a folder made by "
                "save_to_disk, or load it once while online and then set HF_HUB_OFFLINE=1"
            ) from error


def _is_cached(dataset_id: str) -> bool:
    *namespace, name = dataset_id.split("/")
    folder = "___".join([*namespace, camelcase_to_snakecase(name)])
    return Path(config.HF_DATASETS_CACHE, folder).is_dir()

"""The files of a model, on disk or on the Hub, and what may be read of them: no pickle, nothing outside the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import httpx2
import safetensors
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import (
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers.utils import cached_file

from seal_datasets.data.raw_files import LFS_POINTER
from seal_datasets.errors import ModelError

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Endings of files that are read by unpickling."""


class HubUnreachableError(ModelError):
    """Nothing is known of a model: it is not on this machine, and the Hub cannot be reached."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model that exists: a folder, or a repository at one commit.

    Attributes:
        name (`str`): Folder or Hub id.
        revision (`str`, *optional*): Commit on the Hub; what was asked for where the Hub was not reached.
        online (`bool`): Whether its files come from the Hub.
        files (`tuple[str, ...]`): Its files, as paths inside the model.
    """

    name: str
    revision: str | None
    online: bool
    files: tuple[str, ...]

    @property
    def is_adapter(self) -> bool:
        """Whether it changes another model."""
        return ADAPTER_CONFIG in self.files

    def path(self, file: str) -> Path | None:
        """Where a file lies on this machine, downloaded if need be; `None` where the model has none."""
        if Path(self.name).is_dir():
            path = Path(self.name) / file
            return path if path.is_file() else None
        found = cached_file(
            self.name,
            file,
            revision=self.revision,
            local_files_only=not self.online,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return Path(found) if found else None

    def json(self, file: str) -> dict[str, Any]:
        """A JSON file of the model; empty where the model has none.

        Raises:
            ModelError: The file is no JSON object.
        """
        path = self.path(file)
        return {} if path is None else _read_object(self.name, file, path)

    def config(self) -> dict[str, Any]:
        """What `config.json` says."""
        return self.json(CONFIG)


def find_checkpoint(name: str, revision: str | None = None) -> Checkpoint:
    """Check that a model exists, with one short request where loading would retry for a minute.

    Args:
        name (`str`): Folder or Hub id.
        revision (`str`, *optional*): Branch, tag or commit on the Hub.

    Returns:
        `Checkpoint`: The model, at the commit that its revision is now.

    Raises:
        ModelError: The model does not exist.
        HubUnreachableError: The Hub cannot be reached, and the cache lacks the model.
    """
    folder = Path(name)
    if folder.is_dir():
        files = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.glob("*") if path.is_file()))
        if not {CONFIG, ADAPTER_CONFIG}.intersection(files):
            raise ModelError(f"the folder {folder.absolute()} holds no model: there is no {CONFIG} in it")
        refuse_pointers(name, [folder / file for file in files])
        return Checkpoint(name, revision, False, files)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"there is no folder {folder.absolute()}; give a folder with a saved model, or a Hub id")
    try:
        about = HfApi().model_info(name, revision=revision, timeout=10)
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"{name!r} is neither a folder here nor a model on the Hub (revision {revision or 'main'}, as far as this "
            f"token may see): {first_line(error)}"
        ) from error
    except (OSError, httpx2.HTTPError, OfflineModeIsEnabled) as error:
        return _cached(name, revision, error)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise ModelError(
            f"the Hub's answer about {name!r} is not one of the Hub: {first_line(error)}. Is there a login page before it? "
            "Give a folder with the model"
        ) from error
    return Checkpoint(name, about.sha or revision, True, tuple(sibling.rfilename for sibling in about.siblings or ()))


def _cached(name: str, revision: str | None, error: Exception) -> Checkpoint:
    for file in (CONFIG, ADAPTER_CONFIG):
        path = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(path, str):
            files = tuple(sorted(entry.name for entry in Path(path).parent.iterdir()))
            return Checkpoint(name, revision, False, files)
    raise HubUnreachableError(
        f"there is no folder {name!r} here, it is not in the local cache, and the Hub cannot be reached: {error}"
    ) from error


def weights_are_here(checkpoint: Checkpoint) -> bool:
    """Whether the weights of a model lie on this machine, so that loading them downloads nothing.

    Args:
        checkpoint (`Checkpoint`): The model.

    Returns:
        `bool`: True for a folder; for a model of the Hub, whether the cache holds one whole set of its weights.

    Raises:
        ModelError: An index of weights in the cache is damaged.
    """
    if Path(checkpoint.name).is_dir():
        return True

    def cached(file: str) -> Path | None:
        path = try_to_load_from_cache(checkpoint.name, file, revision=checkpoint.revision)
        return Path(path) if isinstance(path, str) else None

    weights = [file for file in checkpoint.files if file.endswith((".safetensors", *PICKLES))]
    indexes = [file for file in checkpoint.files if file.endswith((".safetensors.index.json", ".bin.index.json"))]
    sharded = [
        _places(checkpoint.name, index, _read_object(checkpoint.name, index, path))
        for index in indexes
        if (path := cached(index)) is not None
    ]
    shards = {file for places in sharded for file in places.values()}
    return (bool(shards) and all(map(cached, shards))) or any(cached(file) for file in weights if "-of-" not in file)


def check_weights(checkpoint: Checkpoint, *, allow_pickle: bool, stem: str = "model") -> None:
    """Check which files of weights would be read, before any is.

    Args:
        checkpoint (`Checkpoint`): The model.
        allow_pickle (`bool`): Whether weights may be read from pickle files, which can run code.
        stem (`str`, defaults to `"model"`): Name of the file of weights, without its ending; an adapter's is `adapter_model`.

    Raises:
        ModelError: Weights are pickled or lie outside the model, or a file is missing, cut off or no file of weights.
    """
    single, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
    named = checkpoint.config().get("transformers_weights") if stem == "model" else None
    if named is not None and (not isinstance(named, str) or not _is_safe(named.removesuffix(".index.json"))):
        raise ModelError(
            f"config.json of {checkpoint.name!r} names the weights {named!r} (transformers_weights); weights must be "
            ".safetensors files inside the model. Do not use this model unless you know where it comes from"
        )
    for file in [named] if named else [single, index]:
        if file in checkpoint.files or checkpoint.path(file) is not None:
            shards = check_shards(checkpoint, file) if file.endswith(".index.json") else [file]
            break
    else:
        shards = _pickled(checkpoint, allow_pickle)
    if Path(checkpoint.name).is_dir():
        for shard in shards:
            check_file(checkpoint, shard)


def _pickled(checkpoint: Checkpoint, allow_pickle: bool) -> list[str]:
    """There is no safetensors file: refuse the model, or check its pickled files."""
    pickled = [file for file in checkpoint.files if file.endswith(PICKLES) and file != "training_args.bin"]
    if not pickled:
        raise ModelError(
            f"{checkpoint.name!r} holds no weights that can be read, only {', '.join(checkpoint.files[:6])}; "
            "give a model saved with save_pretrained, as model.safetensors"
        )
    if not allow_pickle:
        raise ModelError(
            f"{checkpoint.name!r} has no safetensors weights, only pickle files ({pickled[0]}), which can run code when "
            "read. If you trust whoever made it, give --allow-pickle (allow_pickle=True)"
        )
    for index in ("pytorch_model.bin.index.json",):
        if index in checkpoint.files:
            return check_shards(checkpoint, index)
    return []


def check_shards(checkpoint: Checkpoint, index: str) -> list[str]:
    """The files that an index names, all of them of its own kind and inside the model."""
    places = _places(checkpoint.name, index, checkpoint.json(index))
    for tensor, file in places.items():
        inside = is_inside(file)
        if not inside or not (_is_safe(file) or index.startswith("pytorch_model.bin")):
            raise ModelError(
                f"{index} of {checkpoint.name!r} places {tensor} in {file!r}, which is "
                f"{'no .safetensors file' if inside else 'outside the model'}; weights must be .safetensors files inside "
                "the model. Do not use this model unless you know where it comes from"
            )
    return sorted(set(places.values()))


def _places(name: str, index: str, content: dict[str, Any]) -> dict[str, str]:
    """The file of each tensor, as an index says."""
    places = content.get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(file, str) for file in places.values()):
        raise ModelError(f"{index} of {name!r} has no weight_map of tensors and files; download it again")
    return places


def _read_object(name: str, file: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} of {name!r} is not JSON: {_begin(path)!r}. {_cure(_head(path))}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file} of {name!r} is no JSON object: {_begin(path)!r}. Download the model again")
    return content


def is_inside(file: str) -> bool:
    """Whether a path that a model names lies inside the model."""
    path = PurePosixPath(file)
    return not (path.is_absolute() or ".." in path.parts or "\\" in file or ":" in file or not path.parts)


def _is_safe(file: str) -> bool:
    return is_inside(file) and file.endswith(".safetensors")


def check_file(checkpoint: Checkpoint, file: str) -> None:
    """Check that a file of weights in a folder is there, is no pointer and is whole."""
    path = Path(checkpoint.name) / file
    if not path.is_file():
        raise ModelError(f"{checkpoint.name!r} lacks {file}, which its index names; download it again")
    refuse_pointers(checkpoint.name, [path])
    if not file.endswith(".safetensors"):
        return
    try:
        with safetensors.safe_open(path, framework="numpy") as opened:
            opened.keys()
    except Exception as error:
        raise ModelError(
            f"{file} of {checkpoint.name!r} is cut off or damaged ({path.stat().st_size:,} bytes): {first_line(error)}. "
            "Download it again"
        ) from error


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """Names and shapes of the tensors of a safetensors file."""
    with safetensors.safe_open(path, framework="numpy") as opened:
        return {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118 - no mapping


def refuse_pointers(name: str, paths: Iterable[Path]) -> None:
    """Refuse files that Git LFS has not fetched."""
    for path in paths:
        if _head(path).startswith(LFS_POINTER):
            raise ModelError(f"{path.name} of {name!r} is a Git LFS pointer, not the file. {_cure(LFS_POINTER)}")


def _cure(head: bytes) -> str:
    if head.startswith(LFS_POINTER):
        return "Run `git lfs pull` in the model's folder"
    return "Download the model again"


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError:
        return b""


def _begin(path: Path) -> str:
    return _head(path).decode("utf-8", "replace")[:40]


def resolved_revision(checkpoint: Checkpoint) -> str:
    """The Hub commit, which names the folder of a model's files in the cache; for a local folder a hash of its weights."""
    if Path(checkpoint.name).is_dir():
        return _hash_of_weights(Path(checkpoint.name))
    path = checkpoint.path(ADAPTER_CONFIG if checkpoint.is_adapter else CONFIG)
    return path.parent.name if path is not None else str(checkpoint.revision)


def _hash_of_weights(folder: Path) -> str:
    digest = hashlib.sha256()
    weights = (
        sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin")) or sorted(folder.rglob("*.safetensors"))
    )
    for path in weights:
        file_digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                file_digest.update(block)
        digest.update(file_digest.digest())
    return f"sha256:{digest.hexdigest()[:16]}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]

"""Which files of a sentence encoder may be read: no pickle and no code of its own, as for every other model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seal_datasets.errors import ModelError
from seal_datasets.rewards.checkpoint import (
    PICKLES,
    Checkpoint,
    check_file,
    check_shards,
    find_checkpoint,
    first_line,
    is_inside,
    refuse_pointers,
)

_MODULES = "modules.json"


def check_encoder(name: str, revision: str | None = None) -> None:
    """Check a sentence encoder's files before any is read.

    Args:
        name (`str`): Hub id or local folder of a `sentence-transformers` model.
        revision (`str`, *optional*): Branch, tag or commit on the Hub.

    Raises:
        ModelError: It does not exist, runs code of its own, or its weights are pickled, damaged or outside of it.
    """
    folder = Path(name)
    if folder.is_dir():
        files = [path for path in folder.rglob("*") if path.is_file()]
        checkpoint = Checkpoint(name, None, False, tuple(sorted(path.relative_to(folder).as_posix() for path in files)))
        refuse_pointers(name, files)
    else:
        checkpoint = find_checkpoint(name, revision)
    for place in {"", *_places(checkpoint)}:
        own = [file for file in checkpoint.files if str(Path(file).parent) == (place or ".")]
        safe = [file for file in own if file.endswith(".safetensors")]
        indexes = [file for file in own if file.endswith(".safetensors.index.json")]
        pickled = [file for file in own if file.endswith(PICKLES) and not file.endswith("training_args.bin")]
        for index in indexes:
            check_shards(checkpoint, index)
        # The body of a model on the Hub is read by transformers, which is told to read safetensors only.
        is_body_on_hub = checkpoint.online and place in ("", "0_Transformer")
        if pickled and not safe and not indexes and not is_body_on_hub:
            raise ModelError(
                f"{name!r} has only pickle files for {place or 'its body'} ({pickled[0]}), which can run code when read; give "
                "a model with safetensors weights"
            )
        for file in safe if folder.is_dir() else ():
            check_file(checkpoint, file)


def _places(checkpoint: Checkpoint) -> list[str]:
    """Folders of the encoder's parts, all of them of the library's own classes."""
    path = checkpoint.path(_MODULES)
    if path is None:
        return []
    try:
        modules: Any = json.loads(path.read_text("utf-8"))
        parts = [(str(module["path"]), str(module["type"])) for module in modules]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{_MODULES} of {checkpoint.name!r} is no list of modules: {first_line(error)}. Download the model again"
        ) from error
    for place, kind in parts:
        if not kind.startswith("sentence_transformers."):
            raise ModelError(
                f"{checkpoint.name!r} is computed by code of its own ({kind}), which is not run; give a model of "
                "sentence-transformers' own modules"
            )
        if place and not is_inside(place):
            raise ModelError(f"{_MODULES} of {checkpoint.name!r} names {place!r}, which is outside the model")
    return [place.rstrip("/") for place, _ in parts]

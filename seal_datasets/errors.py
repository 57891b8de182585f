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
from types import ModuleType


class SealError(Exception):
    """Base of every error this package raises on purpose."""


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


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module, or say which extra installs it.

    Args:
        module (`str`): Dotted module name, e.g. `"matplotlib.pyplot"`.
        extra (`str`): Name of the extra that installs it.
        purpose (`str`): What the module is needed for, to complete "needed to ...".

    Returns:
        `ModuleType`: The imported module.

    Raises:
        MissingExtraError: The module is not installed.

    Example:

    ```python
    >>> import_extra("json", extra="report", purpose="draw").__name__
    'json'

    ```
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{module!r} is not installed; it is needed to {purpose}. Run: pip install 'seal_datasets[{extra}]'"
        ) from error

"""SEAL for Hugging Face: what did a reward model learn from a preference dataset, where does it resist, and why?

Each public name is imported when it is first used, so that `import seal_datasets` stays light (no torch, no datasets).
`__init__.pyi` lists the names.
"""

import lazy_loader

from seal_datasets.errors import missing_extra as _missing_extra
from seal_datasets.version import __version__ as __version__

_attached, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    try:
        return _attached(name)
    except ModuleNotFoundError as error:
        raise _missing_extra(error) or error from error

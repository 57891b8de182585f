"""What a client makes of an answer that is not the Hub's, such as a login page, is an error that says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError

from seal_datasets.errors import HubError, SealError
from seal_datasets.escape import one_line, redact_keys


@contextmanager
def asking_hub(about: str) -> Iterator[None]:
    """Raise a `HubError` where the Hub's answer has another form than a client expects.

    Args:
        about (`str`): What is asked about, for the message.

    Raises:
        HubError: The answer is not one of a Hub.
    """
    try:
        yield
    except (SealError, OSError, HFValidationError):
        raise
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise HubError(
            f"the Hub at {HfApi().endpoint} did not answer about {about!r} as a Hub does ({first_line(error)}): a login page "
            "or a proxy may stand before it; log in there, or correct HF_ENDPOINT"
        ) from None


def first_line(error: BaseException) -> str:
    """The beginning of an error's text without keys, or its kind where it has none."""
    return one_line(redact_keys(str(error)).strip().partition("\n")[0])[:200] or type(error).__name__

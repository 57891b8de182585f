"""Keys, each for the service it is meant for: none is sent another's."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from seal_datasets.errors import DataError

_SCHEMES = ("http://", "https://")


def key_for(address: str, keys: str | None) -> str | None:
    """The key of one address.

    Args:
        address (`str`): URL that is to be asked.
        keys (`str`, *optional*): One key, or `ADDRESS=KEY` for each of several services, with blanks between them.

    Returns:
        `str`, *optional*: The key, or `None` where this service has none.

    Raises:
        DataError: Something is neither a key nor `ADDRESS=KEY`.

    Example:

    ```python
    >>> key_for("https://api.openai.com/v1", "sk-1")
    'sk-1'
    >>> keys = "https://api.openai.com=sk-1 http://localhost:8000=x"
    >>> [key_for(each, keys) for each in ("https://api.openai.com/v1", "http://localhost:9000/v1")]
    ['sk-1', None]

    ```
    """
    if not keys or not keys.startswith(_SCHEMES):
        return keys or None
    known = {}
    for number, each in enumerate(keys.split(), 1):
        service, _, key = each.partition("=")
        if not service.startswith(_SCHEMES) or not key:
            raise DataError(f"entry {number} of the keys is not ADDRESS=KEY, e.g. https://api.openai.com=sk-...")
        known[_service(service)] = key
    return known.get(_service(address))


def check_keys(addresses: Iterable[str], keys: str | None) -> None:
    """Make sure that no service would be sent the key of another.

    Args:
        addresses (`Iterable[str]`): All URLs that are asked with these keys.
        keys (`str`, *optional*): As for `key_for`.

    Raises:
        DataError: One key is given for several services.
    """
    services = sorted({_service(each) for each in addresses})
    if keys and not keys.startswith(_SCHEMES) and len(services) > 1:
        raise DataError(
            f"one key is given for {len(services)} services ({', '.join(services)}) and would be sent to each of them; "
            f"give {services[0]}=KEY in place of it, and the same with blanks between for every service that needs one"
        )


def _service(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"

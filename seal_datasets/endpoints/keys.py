"""API keys by service, so that no service receives the key of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from seal_datasets.errors import DataError

_SCHEMES = ("http://", "https://")


def key_for(address: str, keys: str | None) -> str | None:
    """Select the key for one address.

    Args:
        address (`str`): URL of the requests.
        keys (`str`, *optional*): One key, or `ADDRESS=KEY` entries for several services, separated by blanks.

    Returns:
        `str`, *optional*: The key, or `None` if this service has none.

    Raises:
        DataError: An entry is neither a key nor `ADDRESS=KEY`.

    Example:

    ```python
    >>> key_for("https://api.openai.com/v1", "sk-1")
    'sk-1'
    >>> keys = "https://api.openai.com=sk-1 http://localhost:8000=x"
    >>> [key_for(address, keys) for address in ("https://api.openai.com/v1", "http://localhost:9000/v1")]
    ['sk-1', None]

    ```
    """
    entries = (keys or "").split()
    if _is_one_key(entries):
        return entries[0] if entries else None
    known = {}
    for number, entry in enumerate(entries, 1):
        service, _, key = entry.partition("=")
        if not service.startswith(_SCHEMES) or not key:
            raise DataError(f"entry {number} of the keys is not ADDRESS=KEY, e.g. https://api.openai.com=sk-...")
        known[_service(service)] = key
    return known.get(_service(address))


def check_keys(addresses: Iterable[str], keys: str | None) -> None:
    """Check that no service would receive the key of another.

    Args:
        addresses (`Iterable[str]`): All URLs that receive these keys.
        keys (`str`, *optional*): As for `key_for`.

    Raises:
        DataError: One key is given for several services.
    """
    services = sorted({_service(address) for address in addresses})
    entries = (keys or "").split()
    if entries and _is_one_key(entries) and len(services) > 1:
        raise DataError(
            f"one key is given for {len(services)} services ({', '.join(services)}) and would be sent to all of them; "
            f"give {services[0]}=KEY instead, and one such entry for every service that needs a key, separated by blanks"
        )


def _is_one_key(entries: Sequence[str]) -> bool:
    """Whether there is at most one key and no address; a key has no blanks."""
    return len(entries) < 2 and not any(entry.startswith(_SCHEMES) for entry in entries)


def _service(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"

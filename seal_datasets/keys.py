"""Keys, each for the service it is meant for: none is sent another's."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from seal_datasets.errors import DataError


def key_for(address: str, keys: str | None, addresses: Iterable[str]) -> str | None:
    """The key of one address.

    Args:
        address (`str`): URL that is to be asked.
        keys (`str`, *optional*): One key, where all addresses are of one service; else `ADDRESS=KEY` for each service that
            needs one, with blanks between them.
        addresses (`Iterable[str]`): All URLs that the keys are given for.

    Returns:
        `str`, *optional*: The key, or `None` where this service has none.

    Raises:
        DataError: One key is given for several services, or something is neither a key nor `ADDRESS=KEY`.

    Example:

    ```python
    >>> key_for("https://api.openai.com/v1", "sk-1", ["https://api.openai.com/v1"])
    'sk-1'
    >>> both = ["https://api.openai.com/v1", "http://localhost:8000/v1"]
    >>> [key_for(each, "https://api.openai.com=sk-1", both) for each in both]
    ['sk-1', None]

    ```
    """
    if not keys:
        return None
    if not keys.startswith(("http://", "https://")):
        services = sorted({_service(each) for each in addresses})
        if len(services) > 1:
            raise DataError(
                f"one key is given for {len(services)} services ({', '.join(services)}) and would be sent to each of them; "
                f"give {services[0]}=KEY in place of it, and the same with blanks between for every service that needs one"
            )
        return keys
    known = {}
    for number, each in enumerate(keys.split(), 1):
        service, _, key = each.partition("=")
        if not service.startswith(("http://", "https://")) or not key:
            raise DataError(f"entry {number} of the keys is not ADDRESS=KEY, e.g. https://api.openai.com=sk-...")
        known[_service(service)] = key
    return known.get(_service(address))


def _service(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"

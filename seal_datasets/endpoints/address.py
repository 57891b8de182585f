"""Addresses of endpoints, and the time that they ask to wait."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from seal_datasets.errors import LabelerError

_VERSION = "api-version"
LONGEST_WAIT_SECONDS = 600.0
"""The longest time that a server is heard when it asks to wait."""


@dataclass(frozen=True, slots=True)
class Address:
    """An endpoint's URL, apart from the one query that may stand in it.

    Attributes:
        base_url (`str`, *optional*): The URL without query; OpenAI's own when omitted.
        query (`dict[str, str]`): `api-version`, as Azure needs it, or nothing.
    """

    base_url: str | None
    query: dict[str, str]

    @classmethod
    def parse(cls, url: str | None, service: str) -> Address:
        """Parse a URL.

        Raises:
            LabelerError: The URL holds a user name, a password or another query, which may be a key.

        Example:

        ```python
        >>> Address.parse("https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21", "labeler").query
        {'api-version': '2024-10-21'}

        ```
        """
        if url is None:
            return cls(None, {})
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise LabelerError(
                f"the {service}'s URL cannot be read ({error}); give one like http://localhost:8000/v1"
            ) from None
        query = parse_qsl(parts.query, keep_blank_values=True)
        known = [name for name, value in query if name == _VERSION and re.fullmatch(r"[\w.-]{1,40}", value)]
        if parts.username or parts.password or len(known) != len(query) or len(query) > 1:
            raise LabelerError(
                f"the {service}'s URL holds a user name, password or query, and it will be written into reports; "
                f"give the plain URL (only ?{_VERSION}=VERSION may follow), and the key apart from it"
            )
        return cls(urlunsplit(parts._replace(query="", fragment="")), dict(query))

    def headers(self, key: str | None) -> dict[str, str]:
        """Headers besides the usual ones: Azure takes its keys as `api-key`."""
        return {"api-key": key} if self.query and key else {}

    def shown(self, base_url: str) -> str:
        """The address as messages and reports show it."""
        return f"{base_url}?{_VERSION}={self.query[_VERSION]}" if self.query else base_url


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds a server asks to wait, given in seconds or as a date; 0 where it names none.

    Example:

    ```python
    >>> retry_after({"retry-after": "2.5"}), retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})
    (2.5, 0.0)

    ```
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if re.fullmatch(r"\d{1,9}(\.\d+)?", headers.get(name, "").strip()):
            return min(LONGEST_WAIT_SECONDS, float(headers[name]) * unit)
    try:
        until = email.utils.parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return min(LONGEST_WAIT_SECONDS, max(0.0, until - time.time()))

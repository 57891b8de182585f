"""What a server's error means, whatever its shape: JSON of any form, plain text or a page of HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from seal_datasets.endpoints.address import LONGEST_WAIT_SECONDS

_MOST_CHARACTERS = 20_000

_REFUSAL_CODES = re.compile(
    r"\b(content_filter|content_policy_violation|ResponsibleAIPolicyViolation|data_inspection_failed|"
    r"moderation_blocked|PROHIBITED_CONTENT|SAFETY_CHECK\w*|flagged_input)\b"
)
_ACCOUNT = re.compile(
    r"\b(accounts?|organi[sz]ations?|api[ _-]?keys?|credentials?|billing|quota|permissions?|authori[sz]ed|unauthorized|"
    r"forbidden for|country|region|location|subscription|balance|insufficient|project|tier|verified|licen[cs]e)\b",
    re.IGNORECASE,
)
_ACCESS = re.compile(r"\b(access|ip|log ?in|you have been blocked)\b", re.IGNORECASE)
_REFUSAL = re.compile(
    r"content exists risk|guardrail|usage (guidelines|policy|policies)|content (management )?policy|requires moderation|"
    r"(input|prompt|content|text|message|request)\b.{0,80}\b(flagged|filtered|filter|violat\w+|inappropriate|unsafe|harmful|"
    r"blocked|disallowed|"
    r"moderation|safety|prohibited|sensitive)|"
    r"(flagged|filtered|inappropriate|unsafe|harmful|prohibited|sensitive)\b.{0,40}\b(input|prompt|content|text|message)",
    re.IGNORECASE | re.DOTALL,
)
_FORM_OF_REQUEST = re.compile(r"schema|parameter|propert|argument|format|json|field|header|role", re.IGNORECASE)
_BAD_KEY = re.compile(
    r"api[ _-]?key\b.{0,20}\b(not valid|invalid)|(invalid|incorrect)\b.{0,20}\bapi[ _-]?key|API_KEY_INVALID",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"\b(invalid|unknown|not a valid) model\b|\bmodel\b.{0,120}(not found|does not exist|doesn't exist)", re.IGNORECASE
)
_OVER_LENGTH = re.compile(
    r"context[ _-]?(length|window|size)|maximum context|reduce the length|too many tokens|input tokens|prompt is too long|"
    r"max_input_length|`inputs` tokens|exceeds? .{0,40}\bcontext",
    re.IGNORECASE,
)
_RETRY_DELAY = re.compile(r'"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"')


def error_words(body: str) -> str:
    """All words of an error, in the order in which the server gives them.

    Args:
        body (`str`): Body of the answer.

    Returns:
        `str`: The strings of JSON, keys of objects left out, or the text without HTML tags.

    Example:

    ```python
    >>> error_words('{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}')
    'body seed Extra inputs are not permitted'
    >>> error_words("<html><h1>403</h1>Your request was blocked</html>")
    '403 Your request was blocked'

    ```
    """
    body = body[:_MOST_CHARACTERS]
    try:
        words = " ".join(_strings(json.loads(body)))
    except (ValueError, RecursionError):
        words = re.sub(r"<[^<>]{0,2000}>", " ", body)
    return " ".join(words.split())


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def is_refusal(status: int, body: str) -> bool:
    """Whether a server refuses one text because of its content.

    Example:

    ```python
    >>> is_refusal(403, '{"error": {"message": "Your input was flagged for violence.", "code": 403}}')
    True
    >>> is_refusal(403, '{"error": {"message": "Your account was flagged."}}')
    False

    ```
    """
    if status not in (400, 403, 422, 451):
        return False
    if _REFUSAL_CODES.search(body[:_MOST_CHARACTERS]):
        return True
    words = error_words(body)
    other_reasons = (_ACCOUNT, _ACCESS) if status == 403 else (_FORM_OF_REQUEST,)
    return _REFUSAL.search(words) is not None and not any(reason.search(words) for reason in other_reasons)


def concerns_account(status: int, body: str) -> bool:
    """Whether an error concerns the key, the account or the whole model, so that no request can be answered."""
    if status in (401, 402):
        return True
    if "insufficient_quota" in body:
        return True
    words = error_words(body)
    if status == 403:
        return _ACCOUNT.search(words) is not None
    return status in (400, 404, 422) and (_BAD_KEY.search(words) or _NO_MODEL.search(words)) is not None


def is_over_length(words: str) -> bool:
    """Whether an error is about one text that is too long for the model."""
    return _OVER_LENGTH.search(words) is not None


def retry_delay(body: str) -> float:
    """Seconds that the body of an error asks to wait, as Gemini writes them, up to ten minutes; 0 where it names none."""
    delay = _RETRY_DELAY.search(body[:_MOST_CHARACTERS])
    return min(LONGEST_WAIT_SECONDS, float(delay[1])) if delay else 0.0

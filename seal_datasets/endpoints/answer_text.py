"""Find the answer in what a model wrote: its thoughts, drafts and examples are not the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

_MOST_OBJECTS = 500

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad)"
_OPEN = re.compile(rf"<{_NAMES}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>", re.IGNORECASE)
_CLOSE = re.compile(rf"</{_NAMES}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>", re.IGNORECASE)
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<]*<\|message\|>")
_FINAL_BARE = re.compile(r"(?:^|assistant)final(?=\s*[{`\[A-Z])")
_DRAFT_BARE = re.compile(r"\s*(?:analysis|commentary)(?=[A-Z])")


def without_thoughts(content: str) -> str:
    """What a model wrote after its thoughts.

    Args:
        content (`str`): Content of an answer: with `<think>` and its kin, closed or not, or with the channels of gpt-oss.

    Returns:
        `str`: The rest; empty where the thoughts never end.

    Example:

    ```python
    >>> without_thoughts("<think>perhaps {}</think> {1}"), without_thoughts("<think>perhaps {}")
    (' {1}', '')
    >>> without_thoughts("<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{1}")
    '{1}'

    ```
    """
    if "<|channel|>" in content:
        finals = list(_FINAL.finditer(content))
        return re.split(r"<\|(?:end|return|start)\|>", content[finals[-1].end() :])[0] if finals else ""
    if _DRAFT_BARE.match(content):
        finals = list(_FINAL_BARE.finditer(content))
        return content[finals[-1].end() :] if finals else ""
    closed = list(_CLOSE.finditer(content))
    rest = content[closed[-1].end() :] if closed else content
    opened = _OPEN.search(rest)
    return rest[: opened.start()] if opened else rest


def has_thoughts(response: Mapping[str, object]) -> bool:
    """Whether a model was thinking when it wrote an answer; one without any text was cut off in its thoughts."""
    content = response.get("content")
    if response.get("finish_reason") == "length" and content in (None, ""):
        return True
    if response.get("thought") or not isinstance(content, str):
        return bool(response.get("thought"))
    return bool(_OPEN.search(content) or _CLOSE.search(content) or "<|channel|>" in content)


def decode_object(content: str, keys: Collection[str], repeated: list[str]) -> dict[str, object]:
    """Decode the answer among the JSON objects in a text: the last whole one that holds the keys.

    Args:
        content (`str`): Content of an answer.
        keys (`Collection[str]`): Keys of the answer.
        repeated (`list[str]`): Keys that the answer holds more than once are appended.

    Returns:
        `dict[str, object]`: The object; the last one of all where none holds any key.

    Raises:
        ValueError: There is no object, or one that holds a key is broken off after the last whole one.
        TypeError: The text is JSON, but no object.

    Example:

    ```python
    >>> decode_object('For example {"kind": true}. My answer: {"kind": false}', ["kind"], [])
    {'kind': False}

    ```
    """
    try:
        whole = _decode(content.strip())
    except ValueError:
        rest = without_thoughts(content)
        if not rest.strip() and content.strip():
            raise ValueError("the answer holds thoughts and nothing after them") from None
        answer, twice = _last_that_fits(rest, keys)
    else:
        if not isinstance(whole[0], dict):
            raise TypeError(f"expected an object, got {type(whole[0]).__name__}")
        answer, twice = _unwrapped(whole[0], keys), whole[1]
    repeated.extend(twice)
    if "\\ud" in content.lower():  # an escape can spell half a surrogate pair, which no text can hold
        json.dumps(answer, ensure_ascii=False).encode()
    return answer


def _decode(text: str, start: int | None = None) -> tuple[object, list[str], int]:
    """A JSON value, the keys that its outermost objects repeat, and its end; the whole text when `start` is omitted."""
    repeated: list[str] = []

    def distinct_keys(items: list[tuple[str, object]]) -> dict[str, object]:
        if len(found := dict(items)) < len(items):
            keys = [key for key, _ in items]
            repeated.extend(key for key in keys if keys.count(key) > 1)
        return found

    decoder = json.JSONDecoder(object_pairs_hook=distinct_keys)
    if start is None:
        return decoder.decode(text), repeated, len(text)
    value, end = decoder.raw_decode(text, start)
    return value, repeated, end


def _last_that_fits(text: str, keys: Collection[str]) -> tuple[dict[str, object], list[str]]:
    best: tuple[int, dict[str, object], list[str]] | None = None
    end = broken = start = -1
    for _ in range(_MOST_OBJECTS):
        start = text.find("{", start + 1)
        if start < 0:
            break
        try:
            value, repeated, stop = _decode(text, start)
        except json.JSONDecodeError as error:
            if any(f'"{key}"' in text[start : error.pos] for key in keys):
                broken = error.pos
            continue
        answer = _unwrapped(value, keys) if isinstance(value, dict) else {}
        n_held = sum(key in answer for key in keys)
        rank = 2 if n_held == len(keys) else 1 if n_held else 0
        if best is None or rank >= best[0]:
            best, end = (rank, answer, repeated), stop
        start = stop - 1
    if best is None:
        raise ValueError("it holds no JSON object")
    if broken >= end:
        raise ValueError("its last JSON object is not whole")
    return best[1], best[2]


def _unwrapped(value: dict[str, object], keys: Collection[str]) -> dict[str, object]:
    """The arguments of a tool call that a model wrote as text, or the object itself."""
    if not any(key in value for key in keys):
        for name in ("arguments", "parameters"):
            inner = value.get(name)
            if isinstance(inner, dict) and any(key in inner for key in keys):
                return inner
    return value

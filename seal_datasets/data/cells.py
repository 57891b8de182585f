"""Read one cell of a row as text or as the turns of a conversation, whatever shape its source gives it.

A turn may be `{role, content}` or ShareGPT's `{from, value}`. One turn may stand alone, and turns may be a list or a dict
of lists. Content may be text or parts. Whatever is no plain text of a system, user or assistant turn is kept as text where
it can be, and named as a problem.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from seal_datasets.errors import DataError

Row = Mapping[str, Any]

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
}
_TOOL_ROLES = frozenset({"tool", "function", "ipython", "observation", "tool_response", "environment"})
_SPELLINGS = (("role", "content"), ("from", "value"), ("role", "value"), ("from", "content"), ("role", "text"))
_REASONING = ("reasoning_content", "reasoning", "thinking")


class Turn(NamedTuple):
    """A turn as read: who speaks, the text (null where there is none), and what is unusual about it."""

    role: str
    content: str | None
    problems: tuple[str, ...] = ()


def field(row: Row, path: str) -> object:
    """The value at a dotted path, null where a part of the path is; for a list on the path, the list of its items' values."""
    if "." not in path:
        return row.get(path)
    top, *keys = path.split(".")
    value: Any = row.get(top)
    for key in keys:
        if isinstance(value, list):
            value = [_item(item, key, row, path) for item in value]
        elif value is not None:
            value = _item(value, key, row, path)
    return value


def _item(value: object, key: str, row: Row, path: str) -> object:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        top = path.split(".")[0]
        raise DataError(f"column {top!r} holds {kind_of(row[top])}; needed is a structure with {path!r}")
    return value.get(key)


def as_list(value: object, name: str) -> list[object]:
    """The items of a cell (none for null); an error if it does not hold a list."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"column {name!r} holds {kind_of(value)}; needed is a list")
    return value


def kind_of(value: object) -> str:
    """Type and start of a value, for messages."""
    return f"{type(value).__name__} ({str(value)[:40]!r})"


def holds_turns(value: object) -> bool:
    """Whether a cell has the shape of turns: a list, one turn, or a dict of lists."""
    # The check of a type comes before that of `Mapping`, which is slow.
    return isinstance(value, list) or (isinstance(value, (dict, Mapping)) and _keys_of(value) is not None)


def is_text_list(value: object) -> bool:
    """Whether a cell is a list of texts, with at least one text in it."""
    if not isinstance(value, list):
        return False
    has_text = False
    for item in value:
        if item is not None:
            if not isinstance(item, str):
                return False
            has_text = True
    return has_text


def read_turns(value: object, name: str) -> list[Turn]:
    """Read the turns of a cell.

    Args:
        value (`object`): A list of turns, one turn, a dict of lists, or null (no turns).
        name (`str`): Column, for messages.

    Returns:
        `list[Turn]`: The turns, each with its problems.

    Raises:
        DataError: The cell does not hold turns; the message names what it holds.

    Example:

    ```python
    >>> read_turns([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}], "conversations")
    [Turn(role='user', content='Hi', problems=()), Turn(role='assistant', content='Hello!', problems=())]

    ```
    """
    turns = [_read_turn(item, name) for item in _items(value, name)]
    for position, turn in enumerate(turns):
        if position and turn.role == "system":
            turns[position] = turn._replace(problems=(*turn.problems, "later_system_turn"))
    return turns


def turns_of_texts(texts: list[object], first: str = "user") -> list[Turn]:
    """Texts as turns of `user` and `assistant` in alternation, beginning with `first`."""
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [Turn(roles[index % 2], text if isinstance(text, str) else None) for index, text in enumerate(texts)]


def _items(value: object, name: str) -> list[object]:
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        keys = _keys_of(value)
        if keys is None:
            raise _no_turn(value, name)
        columns = {key: item for key, item in value.items() if isinstance(item, list)}
        if keys[0] not in columns:
            return [value]
        lengths = {len(column) for column in columns.values()}
        if keys[1] not in columns or len(lengths) != 1:
            raise DataError(
                f"column {name!r} holds lists of different lengths; needed is one {keys[1]!r} per {keys[0]!r}"
            )
        return [dict(zip(columns, items, strict=True)) for items in zip(*columns.values(), strict=True)]
    return as_list(value, name)


def _keys_of(value: Mapping[str, Any]) -> tuple[str, str] | None:
    for keys in _SPELLINGS:
        if keys[1] in value and value.get(keys[0]) is not None:
            return keys
    return None


def _no_turn(value: object, name: str) -> DataError:
    kind = f"an item with the keys {sorted(value)}" if isinstance(value, Mapping) else kind_of(value)
    return DataError(
        f"column {name!r} holds {kind}; needed are messages with the keys 'role' and 'content' (or 'from' and 'value')"
    )


def _read_turn(value: object, name: str) -> Turn:
    if isinstance(value, dict) and len(value) == 2:  # the commonest form, which needs no more than this
        role, content = value.get("role"), value.get("content")
        if isinstance(role, str) and role in ROLES and isinstance(content, str):
            return Turn(ROLES[role], content)
    keys = _keys_of(value) if isinstance(value, Mapping) else None
    if keys is None:
        raise _no_turn(value, name)
    assert isinstance(value, Mapping)
    role = value[keys[0]]
    if not isinstance(role, str):
        raise DataError(f"column {name!r} holds a message with role {kind_of(role)}; needed is text")
    content, problems = _read_content(value[keys[1]], name)
    word = role.strip().lower()
    if word not in ROLES:
        problems.append("tool_turn" if word in _TOOL_ROLES else "developer_turn" if word == "developer" else "odd_role")
    calls = _without_nulls(value.get("tool_calls") or value.get("function_call"))
    if calls:
        content = (content or "") + json.dumps(calls, ensure_ascii=False)
    if calls or word == "function_call":
        problems.append("tool_calls")
    if any(isinstance(value.get(key), str) and value[key].strip() for key in _REASONING):
        problems.append("reasoning_not_read")
    return Turn(ROLES.get(word, role), content, tuple(dict.fromkeys(problems)))


def _read_content(value: object, name: str) -> tuple[str | None, list[str]]:
    """Text of a content, and its problems; parts of text are joined, other parts are left out and named."""
    if value is None or isinstance(value, str):
        return value, []
    parts: list[object] = value if isinstance(value, list) else [value]
    texts: list[str] = []
    problems: list[str] = []
    for part in parts:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if isinstance(text, str):
            texts.append(text)
        if isinstance(part, Mapping) and not isinstance(text, str):
            if part.get("type") is None and not {"image", "text"} & part.keys():
                raise DataError(f"column {name!r} holds a message with content {kind_of(part)}; needed is text")
            problems.append("not_only_text")
        elif not isinstance(text, str) and part is not None:
            raise DataError(f"column {name!r} holds a message with content {kind_of(part)}; needed is text")
    return ("".join(texts) if texts else None), problems


def _without_nulls(value: object) -> object:
    """A structure without null fields, which tables add to rows that lack a field."""
    if isinstance(value, Mapping):
        return {key: kept for key, item in value.items() if (kept := _without_nulls(item)) is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value

"""Turn one row into canonical pairs: find its prompt and its responses, and name its problems.

A faulty row is kept and its fault named; a cell of the wrong type is an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from seal_datasets import schema
from seal_datasets.data.dialogue import (
    ASSISTANT_MARKER,
    HUMAN_MARKER,
    Message,
    parse_dialogue,
    render_dialogue,
    split_dialogue,
)
from seal_datasets.data.formats import (
    Row,
    Spelling,
    Turn,
    compare,
    field,
    kind_of,
    prompt_of,
    read_messages,
    responses_of,
)
from seal_datasets.errors import DataError

PROBLEMS: dict[str, str] = {
    "missing_prompt": "the prompt is null, blank, or not separable from the response",
    "missing_chosen": "the chosen response is null",
    "missing_rejected": "the rejected response is null",
    "no_assistant_turn": "a dialogue has no assistant turn at its end, and so no response",
    "prompts_differ": "the two responses answer different prompts",
    "empty_chosen": "the chosen response is blank",
    "empty_rejected": "the rejected response is blank",
    "identical_responses": "both responses are the same text",
    "human_turn_in_response": "a response continues into a human turn",
}
UNUSABLE = frozenset({"missing_prompt", "missing_chosen", "missing_rejected", "no_assistant_turn", "prompts_differ"})


class _Prompt(NamedTuple):
    text: str | None
    conversation: list[Message] | None


class _Side(NamedTuple):
    prompt: _Prompt
    response: str | None
    has_turn: bool


_NO_PROMPT = _Prompt(None, None)


def prompt_digest(conversation: Sequence[Message]) -> str:
    """Hash of a prompt by its turns, independent of the source format; pairs with equal hashes form a cluster."""
    turns = [[turn["role"], turn["content"]] for turn in conversation]
    return hashlib.blake2b(json.dumps(turns).encode(), digest_size=8).hexdigest()


def row_pairs(row: Row, spelling: Spelling, *, as_messages: bool | None = None) -> list[dict[str, Any]]:
    """Make the canonical pairs of one row, without `pair_id`.

    Args:
        row (`Mapping[str, Any]`): A row with the columns of `spelling`.
        spelling (`Spelling`): Where prompt, responses and verdict are.
        as_messages (`bool`, *optional*): Whether responses must be lists of messages (`True`) or text (`False`).

    Returns:
        `list[dict[str, Any]]`: Canonical columns of each pair; `unsplit_chosen` and `unsplit_rejected` hold the raw text of a
        dialogue without an assistant turn.

    Raises:
        DataError: A cell has the wrong type.
    """
    pairs = compare(row, spelling).pairs
    if not pairs:
        return []
    responses = responses_of(row, spelling)
    prompt = None if spelling.prompt is None else _read_prompt(row, spelling)
    used = sorted({index for pair in pairs for index in pair})
    names = [spelling.responses[index if len(spelling.responses) > 1 else 0] for index in range(len(responses))]
    read = _read_after_prompt if spelling.repeats_prompt and prompt is not None else _read_side
    sides = {index: read(responses[index], prompt, names[index], as_messages) for index in used}
    return [
        _pair(sides[better], sides[worse])
        | {
            "unsplit_chosen": None if sides[better].has_turn else responses[better],
            "unsplit_rejected": None if sides[worse].has_turn else responses[worse],
        }
        for better, worse in pairs
    ]


def _read_prompt(row: Row, spelling: Spelling) -> _Prompt:
    name = str(spelling.prompt)
    value = prompt_of(row, spelling)
    system = _system_turns(row, spelling)
    if isinstance(value, list):
        turns = read_messages(value, name)
        return _conversation_prompt(turns if turns and turns[0].role == "system" else [*system, *turns])
    if value is None:
        return _NO_PROMPT
    if not isinstance(value, str):
        raise DataError(f"column {name!r} holds {kind_of(value)}; needed is text or a list of messages")
    prompt = _text_prompt(value)
    if not system or prompt.conversation is None:
        return prompt
    return _conversation_prompt([*system, *_turns(prompt.conversation)])


def _system_turns(row: Row, spelling: Spelling) -> list[Turn]:
    system = field(row, spelling.system) if spelling.system else None
    if system is not None and not isinstance(system, str):
        raise DataError(f"column {spelling.system!r} holds {kind_of(system)}; needed is text")
    return [Turn("system", system)] if system and system.strip() else []


def _text_prompt(text: str) -> _Prompt:
    """A text as a prompt: the turns at its markers, without a trailing empty assistant turn; else one user turn."""
    if not text.strip():
        return _Prompt(text, None)
    if HUMAN_MARKER not in text and ASSISTANT_MARKER not in text:
        return _Prompt(text, [{"role": "user", "content": text}])
    turns = parse_dialogue(text)
    if turns[-1]["role"] == "assistant" and not turns[-1]["content"].strip():
        turns = turns[:-1]
    return _Prompt(text, turns)


def _conversation_prompt(turns: Sequence[Turn]) -> _Prompt:
    messages: list[Message] = [
        {"role": turn.role, "content": turn.content} for turn in turns if turn.content is not None
    ]
    return _Prompt(render_dialogue(messages), messages) if turns and len(messages) == len(turns) else _NO_PROMPT


def _read_side(value: object, prompt: _Prompt | None, name: str, as_messages: bool | None) -> _Side:
    """One side of a pair; `prompt` is `None` if the value begins with the prompt."""
    if value is None:
        return _Side(prompt or _NO_PROMPT, None, has_turn=True)
    if isinstance(value, str) and not as_messages:
        if prompt is not None:
            return _Side(prompt, value, has_turn=True)
        if ASSISTANT_MARKER not in value:
            return _Side(_NO_PROMPT, None, has_turn=False)
        before, response = split_dialogue(value)
        return _Side(_text_prompt(before), response, has_turn=True)
    if isinstance(value, list) and as_messages is not False:
        return _message_side(read_messages(value, name), prompt)
    needed = {True: "a list of messages", False: "text", None: "text or a list of messages"}[as_messages]
    raise DataError(f"column {name!r} holds {kind_of(value)}; needed is {needed}")


def _read_after_prompt(value: object, prompt: _Prompt | None, name: str, as_messages: bool | None) -> _Side:
    """One side of a pair whose value repeats the prompt; the prompt is unknown if the value does not."""
    side = _read_side(value, prompt, name, as_messages)
    start = None if prompt is None else prompt.text
    if side.response is None or start is None:
        return side
    if not side.response.startswith(start):
        return side._replace(prompt=_NO_PROMPT)
    return side._replace(response=side.response.removeprefix(start))


def _message_side(turns: list[Turn], prompt: _Prompt | None) -> _Side:
    if not turns or turns[-1].role != "assistant":
        return _Side(prompt or _NO_PROMPT, None, has_turn=False)
    *before, last = turns
    if prompt is None:
        prompt = _conversation_prompt(before)
    elif before and prompt.conversation is not None:
        prompt = _conversation_prompt([*_turns(prompt.conversation), *before])
    return _Side(prompt, last.content, has_turn=True)


def _turns(messages: Sequence[Message]) -> list[Turn]:
    return [Turn(message["role"], message["content"]) for message in messages]


def _pair(chosen: _Side, rejected: _Side) -> dict[str, Any]:
    known = rejected.prompt if chosen.response is None and chosen.prompt.text is None else chosen.prompt
    differ = rejected.prompt.text is not None and rejected.prompt != known
    return {
        schema.PROMPT_ID: None if known.conversation is None else prompt_digest(known.conversation),
        schema.PROMPT: known.text,
        schema.CHOSEN: chosen.response,
        schema.REJECTED: rejected.response,
        schema.CONVERSATION: known.conversation,
        schema.REJECTED_PROMPT: rejected.prompt.text if differ else None,
        schema.REJECTED_CONVERSATION: rejected.prompt.conversation if differ else None,
        schema.PROBLEMS: _problems(chosen, rejected, known=known, differ=differ),
    }


def _problems(chosen: _Side, rejected: _Side, *, known: _Prompt, differ: bool) -> list[str]:
    texts = (chosen.response, rejected.response)
    prompts = [known, *(side.prompt for side in (chosen, rejected) if side.response is not None)]
    checks = {
        "missing_prompt": any(prompt.conversation is None for prompt in prompts),
        "missing_chosen": chosen.response is None and chosen.has_turn,
        "missing_rejected": rejected.response is None and rejected.has_turn,
        "no_assistant_turn": not (chosen.has_turn and rejected.has_turn),
        "prompts_differ": differ,
        "empty_chosen": chosen.response is not None and not chosen.response.strip(),
        "empty_rejected": rejected.response is not None and not rejected.response.strip(),
        "identical_responses": chosen.response is not None and chosen.response == rejected.response,
        "human_turn_in_response": any(text is not None and HUMAN_MARKER in text for text in texts),
    }
    return [name for name, is_present in checks.items() if is_present]

"""Turn one row into canonical pairs: find its prompt and its responses, and name its problems.

A faulty row is kept and its fault named. A cell that holds neither text nor turns is an error, which the loader turns into the
problem of its row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _as_json
from typing import Any, NamedTuple

from seal_datasets import schema
from seal_datasets.data.cells import Row, Turn, field, holds_turns, is_text_list, kind_of, read_turns
from seal_datasets.data.dialogue import ASSISTANT_MARKER, HUMAN_MARKER, Message, is_dialogue, split_dialogue
from seal_datasets.data.formats import NO_PARTS, PairFormat, PromptColumns, Spelling
from seal_datasets.data.problems import PROBLEMS, suspicions
from seal_datasets.data.prompts import (
    NO_PROMPT,
    Prompt,
    as_turns,
    read_prompt,
    system_turns,
    text_prompt,
    turns_prompt,
    with_system,
)
from seal_datasets.data.verdicts import Responses, compare, has_responses, is_judged, responses_of
from seal_datasets.errors import DataError


@dataclass(frozen=True, slots=True)
class Reader:
    """How the rows of a source are read.

    Attributes:
        spellings (`tuple[Spelling, ...]`): Those that fit the source's columns; a row uses the first in which it has responses.
        parts (`PromptColumns`): Columns beside the prompt that belong to it.
        as_messages (`bool`, *optional*): Whether responses must be messages (`True`) or text (`False`); either if `None`.
        whole (`bool`, *optional*): Whether every response begins with its prompt; each row is decided by itself if `None`.
    """

    spellings: tuple[Spelling, ...]
    parts: PromptColumns = NO_PARTS
    as_messages: bool | None = None
    whole: bool | None = None

    def spelling_of(self, row: Row) -> Spelling:
        """The spelling in which a row has a response and a verdict, or else a response, or else the first."""
        if len(self.spellings) == 1:
            return self.spellings[0]
        filled = None
        for spelling in self.spellings:
            if has_responses(row, spelling):
                if is_judged(row, spelling):
                    return spelling
                filled = filled or spelling
        return filled or self.spellings[0]


class _Side(NamedTuple):
    prompt: Prompt
    response: str | None
    has_turn: bool
    problems: tuple[str, ...] = ()
    raw: str | None = None


def prompt_digest(conversation: Sequence[Message]) -> str:
    """Hash of a prompt by its turns, independent of the source format; pairs with equal hashes form a cluster."""
    # As `json.dumps` writes a list of [role, content], which makes a new encoder for each call.
    turns = ", ".join(f"[{_as_json(turn['role'])}, {_as_json(turn['content'])}]" for turn in conversation)
    return hashlib.blake2b(f"[{turns}]".encode(), digest_size=8).hexdigest()


def row_format(row: Row, reader: Reader) -> PairFormat | None:
    """The form in which a row's responses are read; `None` if it has none, or no form fits."""
    spelling = reader.spelling_of(row)
    responses = responses_of(row, spelling)
    return _format(responses, spelling, _is_whole(row, responses, spelling, reader))


def _format(responses: Responses, spelling: Spelling, whole: bool) -> PairFormat | None:
    cells = [cell for cell in responses.cells if cell is not None]
    if not cells:
        return None
    if isinstance(cells[0], str):
        if whole and not any(isinstance(cell, str) and is_dialogue(cell) for cell in cells):
            return None
        return "dialogue" if whole else "standard" if spelling.prompt else None
    return "conversational_implicit" if whole else "conversational"


def row_pairs(row: Row, reader: Reader) -> list[dict[str, Any]]:
    """Make the canonical pairs of one row, without `pair_id`.

    Args:
        row (`Mapping[str, Any]`): A row of the source.
        reader (`Reader`): How to read it.

    Returns:
        `list[dict[str, Any]]`: Canonical columns of each pair, the authors, places of the responses and the format of the
        row; `unsplit_chosen` and `unsplit_rejected` hold the raw text of a dialogue that prompt and response do not give back.

    Raises:
        DataError: A cell has the wrong type.
    """
    spelling = reader.spelling_of(row)
    responses = responses_of(row, spelling)
    pairs = compare(row, spelling, responses).pairs
    if not pairs:
        return []
    whole = _is_whole(row, responses, spelling, reader)
    sides = _read_sides(row, responses, spelling, reader, whole)
    format = _format(responses, spelling, whole)
    made = []
    for better, worse in pairs:
        pair = _pair(sides[better], sides[worse])
        rendered = format == "standard" and sides[better].prompt.rendered
        pair[schema.SOURCE_FORMAT] = "conversational" if rendered else format
        for side, index in zip(schema.SIDES, (better, worse), strict=True):
            pair[schema.author_column(side)] = responses.authors[index]
            pair[schema.response_index_column(side)] = index
            pair[f"unsplit_{side}"] = None if _restores(sides[index], format == "dialogue") else responses.cells[index]
        made.append(pair)
    return made


def _restores(side: _Side, whole: bool) -> bool:
    r"""Whether prompt and response give the source's text back, with `"\n\nAssistant:"` between them."""
    if not side.has_turn:
        return False
    return (
        not whole
        or side.prompt.text is None
        or side.raw in (None, f"{side.prompt.text}{ASSISTANT_MARKER}{side.response}")
    )


def unreadable_pair() -> dict[str, Any]:
    """A pair that stands for a row that cannot be read."""
    by_side = [name(side) for name in (schema.author_column, schema.response_index_column) for side in schema.SIDES]
    names = (schema.SOURCE_FORMAT, *by_side, "unsplit_chosen", "unsplit_rejected")
    return dict.fromkeys((*schema.CANONICAL_COLUMNS, *names)) | {schema.PROBLEMS: ["unreadable_row"]}


def _read_sides(row: Row, responses: Responses, spelling: Spelling, reader: Reader, whole: bool) -> list[_Side]:
    prompt = None if whole or not spelling.prompt else read_prompt(row, spelling, reader.parts)
    cells = [_judged_part(row, cell, spelling) for cell in responses.cells] if spelling.turn else responses.cells
    texts = field(row, spelling.prompt[0]) if spelling.prompt else None
    sides = []
    for cell, name in zip(cells, responses.names, strict=True):
        if is_text_list(cell) and is_text_list(texts):
            sides.append(_exchange_side(texts, cell, name))
        elif spelling.repeats_prompt and prompt is not None:
            sides.append(_read_after_prompt(cell, prompt, name, reader.as_messages))
        else:
            sides.append(_read_side(cell, prompt, name, reader.as_messages))
    if whole:  # a text beside a whole conversation answers the same prompt
        known = next((side.prompt for side, cell in zip(sides, cells, strict=True) if holds_turns(cell)), None)
        for index, cell in enumerate(cells):
            if known is not None and isinstance(cell, str) and not is_dialogue(cell):
                sides[index] = _Side(known, cell, has_turn=True)
    system = system_turns(row, reader.parts) if reader.parts.system else []
    return [side._replace(prompt=with_system(side.prompt, system)) for side in sides] if system else sides


def _judged_part(row: Row, cell: object, spelling: Spelling) -> object:
    """The turns up to the judged exchange, where the source names it."""
    turn = None if spelling.turn is None else row.get(spelling.turn)
    turn = int(turn) if isinstance(turn, float) and turn.is_integer() else turn  # pandas' numbers beside a null
    if isinstance(turn, bool) or not isinstance(turn, int) or not isinstance(cell, list):
        return cell
    turns = read_turns(cell, spelling.responses[0])
    ends = [position for position, each in enumerate(turns, 1) if each.role == "assistant"]
    return cell[: ends[turn - 1]] if 0 < turn <= len(ends) else cell


def _is_whole(row: Row, responses: Responses, spelling: Spelling, reader: Reader) -> bool:
    """Whether the first response begins with its prompt, so that the prompt column only repeats it."""
    cell = next((cell for cell in responses.cells if cell is not None), None)
    if reader.whole is not None:
        return reader.whole
    if not spelling.prompt or spelling.repeats_prompt or cell is None:
        return not spelling.prompt
    if is_text_list(cell):
        return False
    prompt = next((value for name in spelling.prompt if (value := field(row, name)) is not None), None)
    if isinstance(cell, str):
        if not is_dialogue(cell):
            return False
        return prompt is None or cell.startswith(HUMAN_MARKER) or (isinstance(prompt, str) and cell.startswith(prompt))
    turns = read_turns(cell, spelling.responses[0])
    if prompt is None:
        return len(turns) > 1
    if isinstance(prompt, str):
        return any(turn.content == prompt for turn in turns[:-1])
    if is_text_list(prompt):
        return False
    before = read_turns(prompt, spelling.prompt[0])
    return bool(before) and turns[: len(before)] == before


def _read_side(value: object, prompt: Prompt | None, name: str, as_messages: bool | None) -> _Side:
    """One side of a pair; `prompt` is `None` if the value begins with the prompt."""
    if value is None:
        return _Side(prompt or NO_PROMPT, None, has_turn=True)
    if isinstance(value, str) and not as_messages:
        if prompt is not None:
            return _Side(prompt, value, has_turn=True)
        if not is_dialogue(value):
            return _Side(NO_PROMPT, None, has_turn=False)
        before, response = split_dialogue(value)
        return _Side(text_prompt(before), response, has_turn=True, raw=value)
    if holds_turns(value) and as_messages is not False:
        return _message_side(read_turns(value, name), prompt)
    needed = {True: "a list of messages", False: "text", None: "text or a list of messages"}[as_messages]
    raise DataError(f"column {name!r} holds {kind_of(value)}; needed is {needed}")


def _read_after_prompt(value: object, prompt: Prompt, name: str, as_messages: bool | None) -> _Side:
    """One side of a pair whose value repeats the prompt; the prompt is unknown if the value does not."""
    side = _read_side(value, prompt, name, as_messages)
    if side.response is None or prompt.text is None:
        return side
    if not side.response.startswith(prompt.text):
        return side._replace(prompt=NO_PROMPT)
    return side._replace(response=side.response.removeprefix(prompt.text))


def _message_side(turns: list[Turn], prompt: Prompt | None) -> _Side:
    problems = tuple(dict.fromkeys(problem for turn in turns for problem in turn.problems))
    if not turns or turns[-1].role != "assistant":
        return _Side(prompt or NO_PROMPT, None, has_turn=False, problems=problems)
    *before, last = turns
    if prompt is None:
        prompt = turns_prompt(before)
    elif before and prompt.conversation is not None:
        prompt = turns_prompt([*as_turns(prompt), *before])
    return _Side(prompt, last.content, has_turn=True, problems=problems)


def _exchange_side(prompts: object, answers: object, name: str) -> _Side:
    """One side of a conversation whose user turns and assistant turns are two lists of texts."""
    assert isinstance(prompts, list)
    assert isinstance(answers, list)
    if len(prompts) != len(answers):
        raise DataError(
            f"column {name!r} holds {len(answers)} answers to {len(prompts)} prompts; needed is one for each"
        )
    texts = [text for exchange in zip(prompts, answers, strict=True) for text in exchange]
    turns = [Turn(("user", "assistant")[index % 2], text) for index, text in enumerate(texts)]
    return _message_side(turns, None)


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


def _problems(chosen: _Side, rejected: _Side, *, known: Prompt, differ: bool) -> list[str]:
    texts = (chosen.response, rejected.response)
    sides = (chosen, rejected)
    prompts = [known, *(side.prompt for side in sides if side.response is not None)]
    named = set(suspicions(known.text, known.conversation[-1]["content"] if known.conversation else None, texts))
    for prompt in prompts:
        if prompt.conversation is None:
            named.add("missing_prompt")
        named.update(prompt.problems)
    for name, side in zip(schema.SIDES, sides, strict=True):
        named.update(side.problems)
        if not side.has_turn:
            named.add("no_assistant_turn")
        elif side.response is None:
            named.add(f"missing_{name}")
        if side.response is not None and not side.response.strip():
            named.add(f"empty_{name}")
    if differ:
        named.add("prompts_differ")
    if texts[0] is not None and texts[0] == texts[1]:
        named.add("identical_responses")
    return [name for name in PROBLEMS if name in named] if named else []

r"""The formats of preference datasets: their columns, and which response of a row is better.

`SPELLINGS` lists the columns of every known dataset; to support another one, add a line there. The end of a prompt is never
guessed. The prompt is its own column, the turns before the last assistant turn, or the text before the last
`"\n\nAssistant:"`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from seal_datasets import schema
from seal_datasets.data.dialogue import ASSISTANT_MARKER, HUMAN_MARKER
from seal_datasets.errors import DataError

PairFormat = Literal["dialogue", "standard", "conversational", "conversational_implicit", "responses", "canonical"]

FORMAT_NEEDS: dict[PairFormat, str] = {
    "dialogue": "chosen, rejected: whole dialogues as text with '\\n\\nHuman:' and '\\n\\nAssistant:' turns",
    "standard": "prompt, chosen, rejected: text",
    "conversational": "prompt, chosen, rejected: lists of {role, content}",
    "conversational_implicit": "chosen, rejected: lists of {role, content} that begin with the same prompt",
    "responses": "prompt, a list of responses (or two columns of them, or one row for each), and the index of the "
    "winner, a score for each, or a preference whose sign names the better one",
    "canonical": "the columns of a table made by load_pairs",
}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spelling:
    """One way to name the columns of pairs; a dot selects a field of a structure, as in `summaries.text`.

    Attributes:
        responses (`tuple[str, ...]`): One column with a list of responses, or one column for each.
        prompt (`str`, *optional*): Column of the prompt; if omitted, every response begins with the prompt.
        other_prompt (`str`, *optional*): Column of the prompt in rows where `prompt` is null.
        repeats_prompt (`bool`): Whether every response begins with the text of the prompt column.
        system (`str`, *optional*): Column of a system message to put before a prompt of text.
        winner (`str`, *optional*): Column that names the best response. Without `winner`, `scores` and `preference`, the
            first of two responses is the chosen one.
        winner_words (`tuple[tuple[str, int], ...]`): Index of the response for each value of `winner`; if empty, the
            value is the index.
        scores (`tuple[str, ...]`): One column with a list of scores, or one column for each; the higher wins.
        preference (`str`, *optional*): Column of a number: below 0 the first of two responses is better, above 0 the
            second, at 0 neither.
        gathered (`bool`): Whether each row holds one response; all rows of a prompt are then compared.
    """

    responses: tuple[str, ...]
    prompt: str | None = None
    system: str | None = None
    winner: str | None = None
    winner_words: tuple[tuple[str, int], ...] = ()
    scores: tuple[str, ...] = ()
    preference: str | None = None
    other_prompt: str | None = None
    repeats_prompt: bool = False
    gathered: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Top-level columns of a dataset in this spelling."""
        named = (self.prompt, self.other_prompt, self.system, self.winner, self.preference)
        optional = (column for column in named if column)
        return tuple(dict.fromkeys(name.split(".")[0] for name in (*self.responses, *optional, *self.scores)))

    @property
    def is_judged(self) -> bool:
        """Whether a column (winner, preference or scores) gives the better response."""
        return self.winner is not None or self.preference is not None or bool(self.scores)


_CHOSEN = (schema.CHOSEN, schema.REJECTED)
_BY_LETTER = (("a", 0), ("b", 1), ("model_a", 0), ("model_b", 1), ("response_a", 0), ("response_b", 1))
_TIES = frozenset({"tie", "both", "neither", "tie (bothbad)", "both_bad"})

# Tried from the top; the first spelling whose columns are all present is used.
SPELLINGS = (
    Spelling(_CHOSEN, prompt="prompt", system="system"),
    Spelling(_CHOSEN, prompt="question", system="system"),
    Spelling(_CHOSEN, prompt="input", system="system"),
    Spelling(_CHOSEN, prompt="prompt"),
    Spelling(_CHOSEN, prompt="question"),
    Spelling(_CHOSEN, prompt="instruction"),
    Spelling(_CHOSEN, prompt="input"),
    Spelling(_CHOSEN),
    Spelling(("chosen_response", "rejected_response"), prompt="prompt"),
    Spelling(("chosen_response", "rejected_response"), prompt="instruction"),
    Spelling(("text_chosen", "text_rejected"), prompt="prompt", repeats_prompt=True),  # results of RewardBench
    Spelling(("response_0", "response_1"), prompt="prompt", winner="better_response_id"),  # PKU-SafeRLHF
    Spelling(("response_0", "response_1"), prompt="prompt", winner="winner"),
    Spelling(("response_a", "response_b"), prompt="prompt", winner="winner", winner_words=_BY_LETTER),
    Spelling(("response_a.text", "response_b.text"), prompt="prompt", winner="preference", winner_words=_BY_LETTER),
    Spelling(("conversation_a", "conversation_b"), winner="winner", winner_words=_BY_LETTER),  # Chatbot Arena
    Spelling(("response1", "response2"), prompt="context", preference="overall_preference"),  # HelpSteer3
    Spelling(
        ("response_1", "response_2"), prompt="prompt", preference="preference_strength"
    ),  # HelpSteer2, preferences
    Spelling(("response",), prompt="prompt", scores=("helpfulness",), gathered=True),  # HelpSteer and HelpSteer2
    Spelling(("human_ref_A", "human_ref_B"), prompt="history", winner="labels", winner_words=(("1", 0), ("0", 1))),
    Spelling(("answer_0", "answer_1"), prompt="question.full_text", scores=("score_0", "score_1")),  # WebGPT
    # Summarize from feedback: Reddit posts, and articles of CNN/DM.
    Spelling(("summaries.text",), prompt="info.post", other_prompt="info.article", winner="choice"),
    # UltraFeedback: its fine-grained score is the mean over aspects.
    Spelling(("completions.response",), prompt="instruction", scores=("completions.fine-grained_score",)),
    Spelling(("responses",), prompt="prompt", winner="winner"),
    Spelling(("responses",), prompt="prompt", scores=("scores",)),
    Spelling(("responses",), prompt="prompt", scores=("ratings",)),
    Spelling(("completions",), prompt="prompt", scores=("scores",)),
    Spelling(("completions",), prompt="prompt", scores=("ratings",)),
)
TEXT_COLUMNS = frozenset(
    {schema.PAIR_ID}
    | {
        column
        for spelling in SPELLINGS
        for column in (*spelling.responses, spelling.prompt, spelling.system)
        if column and "." not in column
    }
)


class Comparisons(NamedTuple):
    """Verdict of one row: pairs of response indices, the better one first, and counts of ties and missing verdicts."""

    pairs: list[tuple[int, int]]
    n_tied: int
    n_unjudged: int


class Turn(NamedTuple):
    """A message as read; its content may be null."""

    role: str
    content: str | None


def field(row: Row, path: str) -> object:
    """The value at a dotted path; for a list on the path, the list of its items' values."""
    top, *keys = path.split(".")
    value: Any = row[top]
    try:
        for key in keys:
            if isinstance(value, list):
                value = [None if item is None else item[key] for item in value]
            elif value is not None:
                value = value[key]
    except (KeyError, TypeError) as error:
        raise DataError(f"column {top!r} holds {kind_of(row[top])}; needed is a structure with {path!r}") from error
    return value


def responses_of(row: Row, spelling: Spelling) -> list[object]:
    """All responses of a row, in the order of their indices."""
    if len(spelling.responses) > 1:
        return [field(row, name) for name in spelling.responses]
    return as_list(field(row, spelling.responses[0]), spelling.responses[0])


def prompt_of(row: Row, spelling: Spelling) -> object:
    """The prompt of a row, unchanged; `None` if the spelling has no prompt column."""
    prompt = None if spelling.prompt is None else field(row, spelling.prompt)
    if prompt is None and spelling.prompt is not None and spelling.other_prompt is not None:
        return field(row, spelling.other_prompt)
    return prompt


def compare(row: Row, spelling: Spelling) -> Comparisons:
    """Compare the responses of a row.

    A winner beats all other responses; scores give a pair for every two that differ. Equal scores, a preference of 0 and a
    verdict of "tie" make no pair and are counted as ties. A response without a score or verdict is counted as unjudged.

    Args:
        row (`Mapping[str, Any]`): A row with the columns of `spelling`.
        spelling (`Spelling`): Where the responses and the verdict are.

    Returns:
        `Comparisons`: Index pairs and counts.

    Raises:
        DataError: A verdict is neither the index of a response nor a number.

    Example:

    ```python
    >>> scored = Spelling(("responses",), prompt="prompt", scores=("scores",))
    >>> compare({"prompt": "Hi", "responses": ["a", "b", "c"], "scores": [2.0, 5.0, 2.0]}, scored)
    Comparisons(pairs=[(1, 0), (1, 2)], n_tied=1, n_unjudged=0)

    ```
    """
    if not spelling.is_judged:
        return Comparisons([(0, 1)], 0, 0)
    n_responses = len(responses_of(row, spelling))
    if spelling.winner is not None:
        return _compare_to_winner(field(row, spelling.winner), n_responses, spelling)
    if spelling.preference is not None:
        strength = _as_score(field(row, spelling.preference), spelling.preference)
        return _compare_scores([None, None] if strength is None else [-strength, strength])
    return _compare_scores(_read_scores(row, spelling, n_responses))


def detect(row: Row, spelling: Spelling) -> tuple[PairFormat, Spelling]:
    """Detect the format from one row without nulls, and ignore the prompt column if the responses contain the prompt.

    Args:
        row (`Mapping[str, Any]`): A row in which prompt and responses are not null.
        spelling (`Spelling`): The spelling that fits its columns.

    Returns:
        `tuple[PairFormat, Spelling]`: The format, and the spelling to read it with.

    Raises:
        DataError: The types fit no format, or the end of the prompt is ambiguous.
    """
    response = responses_of(row, spelling)[0]
    prompt = prompt_of(row, spelling)
    if isinstance(response, str):
        detected: PairFormat = "dialogue" if _is_whole_dialogue(response, prompt) else "standard"
        if detected == "standard" and spelling.prompt is None:
            raise DataError(
                "chosen and rejected are texts without a '\\n\\nAssistant:' turn, and there is no prompt column, so the end of "
                "the prompt is unknown (the common start of two texts may be part of the answers); "
                "give the prompt as a column 'prompt', or, if only the first row lacks its turns, format='dialogue'"
            )
    elif isinstance(response, list):
        detected = "conversational_implicit" if _is_whole_conversation(response, prompt) else "conversational"
    else:
        raise DataError(
            f"column {spelling.responses[0]!r} holds {kind_of(response)}; needed is text or a list of messages"
        )
    whole = detected in ("dialogue", "conversational_implicit")
    return ("responses" if spelling.is_judged else detected), (
        replace(spelling, prompt=None, system=None) if whole else spelling
    )


def _is_whole_dialogue(response: str, prompt: object) -> bool:
    if ASSISTANT_MARKER not in response:
        return False
    return (
        prompt is None or response.startswith(HUMAN_MARKER) or (isinstance(prompt, str) and response.startswith(prompt))
    )


def _is_whole_conversation(response: object, prompt: object) -> bool:
    if prompt is None:
        return True
    turns = read_messages(response, "chosen")
    if isinstance(prompt, list):
        return len(turns) > len(prompt) and turns[: len(prompt)] == read_messages(prompt, "prompt")
    return any(turn.content == prompt for turn in turns)


def read_messages(value: object, name: str) -> list[Turn]:
    """The turns of a cell; an error if it does not hold messages."""
    turns = []
    for turn in as_list(value, name):
        if not isinstance(turn, Mapping) or not {"role", "content"} <= turn.keys():
            kind = f"an item with the keys {sorted(turn)}" if isinstance(turn, Mapping) else kind_of(turn)
            raise DataError(f"column {name!r} holds {kind}; needed are messages with the keys 'role' and 'content'")
        role, content = turn["role"], turn["content"]
        if not isinstance(role, str) or not (content is None or isinstance(content, str)):
            kind = f"role {kind_of(role)} and content {kind_of(content)}"
            raise DataError(f"column {name!r} holds a message with {kind}; needed is text in both")
        turns.append(Turn(role, content))
    return turns


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


def _compare_to_winner(value: object, n_responses: int, spelling: Spelling) -> Comparisons:
    word = str(value).strip().lower()
    if value is None or value != value:
        return Comparisons([], 0, n_responses)
    if word in _TIES:
        return Comparisons([], n_responses * (n_responses - 1) // 2, 0)
    words = spelling.winner_words or tuple((str(index), index) for index in range(n_responses))
    index = dict(words).get(word.removesuffix(".0"))
    if index is None or isinstance(value, bool) or index >= n_responses:
        raise DataError(
            f"column {spelling.winner!r} holds {kind_of(value)} for {n_responses} responses; needed is one of "
            f"{_quoted(word for word, _ in words)}, 'tie', or null"
        )
    return Comparisons([(index, other) for other in range(n_responses) if other != index], 0, 0)


def _compare_scores(scores: list[float | None]) -> Comparisons:
    judged = [(index, score) for index, score in enumerate(scores) if score is not None and score == score]
    pairs: list[tuple[int, int]] = []
    n_tied = 0
    for (one, score), (other, against) in itertools.combinations(judged, 2):
        if score == against:
            n_tied += 1
        else:
            pairs.append((one, other) if score > against else (other, one))
    return Comparisons(pairs, n_tied, len(scores) - len(judged))


def _read_scores(row: Row, spelling: Spelling, n_responses: int) -> list[float | None]:
    name = spelling.scores[0]
    if len(spelling.scores) > 1:
        cells = [field(row, column) for column in spelling.scores]
    else:
        value = field(row, name)
        cells = [None] * n_responses if value is None else as_list(value, name)
    if len(cells) != n_responses:
        raise DataError(f"column {name!r} holds {len(cells)} scores for {n_responses} responses")
    return [_as_score(cell, name) for cell in cells]


def _as_score(cell: object, name: str) -> float | None:
    if cell is None:
        return None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise DataError(f"column {name!r} holds {kind_of(cell)}; needed are numbers")
    return cell


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(repr(word) for word in words)

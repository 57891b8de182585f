"""Which response of a row is better: the responses, who wrote them, and the verdict on every two of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

from seal_datasets.data.cells import Row, as_list, field, holds_turns, is_text_list, kind_of
from seal_datasets.data.formats import Spelling
from seal_datasets.errors import DataError

_TIES = frozenset({"tie", "both", "neither", "tie (bothbad)", "both_bad", "equal", "same", "draw", "both_good"})


class Comparisons(NamedTuple):
    """Verdict of one row: pairs of response indices, the better one first, and counts of ties and missing verdicts."""

    pairs: list[tuple[int, int]]
    n_tied: int
    n_unjudged: int


@dataclass(frozen=True, slots=True)
class Responses:
    """All responses of a row.

    Attributes:
        cells (`list[object]`): Each response as its source gives it.
        names (`list[str]`): Column of each, for messages.
        authors (`list[str | None]`): Who wrote each, where the source says so.
        n_chosen (`int`): How many of them stand in the first column.
    """

    cells: list[object]
    names: list[str]
    authors: list[str | None]
    n_chosen: int


def responses_of(row: Row, spelling: Spelling) -> Responses:
    """All responses of a row, in the order of their indices.

    Args:
        row (`Mapping[str, Any]`): A row with the columns of `spelling`.
        spelling (`Spelling`): Where the responses are.

    Returns:
        `Responses`: The responses; a list of texts in a column of its own gives several.

    Raises:
        DataError: A column that must hold a list does not.
    """
    if len(spelling.responses) == 1:
        name = spelling.responses[0]
        cells = as_list(field(row, name), name)
        names = [name] * len(cells)
        return Responses(cells, names, _authors(row, spelling, len(cells)), 1)
    turn_lists = any(is_text_list(field(row, name)) for name in spelling.prompt)
    cells, names, counts = [], [], []
    for name in spelling.responses:
        cell = field(row, name)
        several = cell if isinstance(cell, list) and is_text_list(cell) and not turn_lists else [cell]
        cells += several
        names += [name] * len(several)
        counts.append(len(several))
    return Responses(cells, names, _authors(row, spelling, len(cells)), counts[0])


def _authors(row: Row, spelling: Spelling, n_responses: int) -> list[str | None]:
    if not spelling.authors:
        return [None] * n_responses
    columns = spelling.authors[0]
    cells = [field(row, column) for column in columns]
    named = cells[0] if len(cells) == 1 and isinstance(cells[0], list) else cells
    if len(named) != n_responses:
        return [None] * n_responses
    return [None if name is None else str(name) for name in named]


def compare(row: Row, spelling: Spelling, responses: Responses | None = None) -> Comparisons:
    """Compare the responses of a row.

    A winner beats all other responses; scores give a pair for every two that differ. Equal scores, a preference in the
    middle and a verdict of "tie" make no pair and are counted as ties. Without a verdict, all responses of the first column
    beat all of the second. A response without a score or verdict is counted as unjudged.

    Args:
        row (`Mapping[str, Any]`): A row with the columns of `spelling`.
        spelling (`Spelling`): Where the responses and the verdict are.
        responses (`Responses`, *optional*): The responses, if they were read before.

    Returns:
        `Comparisons`: Index pairs and counts.

    Raises:
        DataError: A verdict is neither the index of a response nor a number.

    Example:

    ```python
    >>> scored = Spelling("scored", ("responses",), scores=("scores",))
    >>> compare({"responses": ["a", "b", "c"], "scores": [2.0, 5.0, 2.0]}, scored)
    Comparisons(pairs=[(1, 0), (1, 2)], n_tied=1, n_unjudged=0)

    ```
    """
    responses = responses_of(row, spelling) if responses is None else responses
    n_responses = len(responses.cells)
    if not spelling.is_judged:
        chosen, rejected = range(responses.n_chosen), range(responses.n_chosen, n_responses)
        return Comparisons(list(itertools.product(chosen, rejected)), math.comb(responses.n_chosen, 2), 0)
    if spelling.winner_flags:
        return _compare_flags(row, spelling, n_responses)
    if spelling.winner is not None:
        return _compare_to_winner(field(row, spelling.winner), n_responses, spelling)
    if spelling.preference is not None:
        strength = _as_number(field(row, spelling.preference), spelling.preference)
        middle = spelling.middle
        if strength in spelling.ties:
            return Comparisons([], 1, 0)
        return _compare_scores([None, None] if strength is None else [middle - strength, strength - middle])
    scores = _read_scores(row, spelling, n_responses)
    return _compare_scores([None if score is None else -score for score in scores] if spelling.low_wins else scores)


def is_judged(row: Row, spelling: Spelling) -> bool:
    """Whether a row has any value in the columns of the verdict."""
    columns = (spelling.winner, spelling.preference, *spelling.winner_flags, *spelling.scores)
    return not spelling.is_judged or any(name is not None and field(row, name) is not None for name in columns)


def has_responses(row: Row, spelling: Spelling) -> bool:
    """Whether a row has a text or turns in any response column."""
    cells = [field(row, name) for name in spelling.responses]
    return any(isinstance(cell, str) or holds_turns(cell) for cell in cells)


def _compare_flags(row: Row, spelling: Spelling, n_responses: int) -> Comparisons:
    flags = [_as_number(field(row, name), name) for name in spelling.winner_flags]
    if not any(flags):
        return Comparisons([], 0, n_responses)
    winner = [index for index, flag in enumerate(flags) if flag]
    if len(winner) > 1 or winner[0] >= n_responses:
        return Comparisons([], math.comb(n_responses, 2), 0)
    return Comparisons([(winner[0], other) for other in range(n_responses) if other != winner[0]], 0, 0)


def _compare_to_winner(value: object, n_responses: int, spelling: Spelling) -> Comparisons:
    if value is None or value != value or value == "":
        return Comparisons([], 0, n_responses)
    word = str(value).strip().lower().removesuffix(".0")
    words = dict(spelling.winner_words) or {str(index): index for index in range(n_responses)}
    index = words.get(word)
    if word in _TIES or (word in words and index is None):
        return Comparisons([], math.comb(n_responses, 2), 0)
    if index is None or isinstance(value, bool) or index >= n_responses:
        raise DataError(
            f"column {spelling.winner!r} holds {kind_of(value)} for {n_responses} responses; needed is one of "
            f"{', '.join(repr(name) for name in words)}, 'tie', or null"
        )
    return Comparisons([(index, other) for other in range(n_responses) if other != index], 0, 0)


def _compare_scores(scores: list[float | None]) -> Comparisons:
    judged = [(index, score) for index, score in enumerate(scores) if score is not None]
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
    return [_as_number(cell, name) for cell in cells]


def _as_number(cell: object, name: str) -> float | None:
    """A number, also one that is written as text; null for nan and where the text says that there is none."""
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in ("", "na", "n/a", "none", "null")):
        return None
    try:
        if isinstance(cell, int | float | str):
            number = float(cell)
            return None if math.isnan(number) else number
    except ValueError:
        pass
    raise DataError(f"column {name!r} holds {kind_of(cell)}; needed are numbers")

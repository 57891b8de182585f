r"""The forms of preference datasets: their columns, and which response of a row is better.

`SPELLINGS` lists every known form; to support another one, add a line there and a sample in `docs/reference/forms.md`.
The end of a prompt is never guessed. The prompt is its own columns, the turns before the last assistant turn, or the text
before the last `"\n\nAssistant:"`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from seal_datasets import schema

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

PROMPTS = ("prompt", "question", "query", "instruction", "input")
CONVERSATIONS = ("conversations", "conversation", "messages", "trajectory", "context", "history")

# Columns beside a prompt that are parts of it, in the order in which they enter it.
SYSTEM_PARTS = ("system", "system_prompt", "system_message")
EARLIER_PARTS = ("history",)
LATER_PARTS = ("input", "context")


@dataclass(frozen=True, slots=True)
class Spelling:
    """One way to name the columns of pairs; a dot selects a field of a structure, as in `summaries.text`.

    Attributes:
        name (`str`): Name of the form in messages and documents.
        responses (`tuple[str, ...]`): One column with a list of responses, or one column for each.
        prompt (`tuple[str, ...]`): Columns of the prompt; each row uses the first that is not null. If empty, every
            response begins with the prompt.
        repeats_prompt (`bool`): Whether every response begins with the text of the prompt column.
        winner (`str`, *optional*): Column that names the best response. Without any verdict, the responses of the first
            column are better than those of the second.
        winner_words (`tuple[tuple[str, int | None], ...]`): Index of the response for each value of `winner`, `None` for a
            tie; if empty, the value is the index.
        winner_flags (`tuple[str, ...]`): One column of 0 and 1 for each response, and one for a tie.
        scores (`tuple[str, ...]`): One column with a list of scores, or one column for each; the higher wins.
        low_wins (`bool`): Whether the lower score wins, as in a ranking.
        preference (`str`, *optional*): Column of a number: below `middle` the first of two responses is better, above it the
            second, at it neither.
        middle (`float`): Value of `preference` at which neither response is better.
        ties (`tuple[float, ...]`): Other values of `preference` that mean a tie.
        authors (`tuple[tuple[str, ...], ...]`): Columns that name who wrote each response, in the order of `responses`, or
            one column with a list of names; the first choice that a dataset has is used.
        turn (`str`, *optional*): Column with the number of the judged exchange of each conversation; later ones are left out.
        gathered (`bool`): Whether each row holds one response; all rows of a prompt are then compared.
    """

    name: str
    responses: tuple[str, ...]
    prompt: tuple[str, ...] = ()
    repeats_prompt: bool = False
    winner: str | None = None
    winner_words: tuple[tuple[str, int | None], ...] = ()
    winner_flags: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    low_wins: bool = False
    preference: str | None = None
    middle: float = 0.0
    ties: tuple[float, ...] = ()
    authors: tuple[tuple[str, ...], ...] = ()
    turn: str | None = None
    gathered: bool = False

    @property
    def needed(self) -> tuple[str, ...]:
        """Paths that a dataset in this spelling always has, beside one of its prompt columns."""
        verdict = (*filter(None, (self.winner, self.preference)), *self.winner_flags, *self.scores)
        return tuple(dict.fromkeys((*self.responses, *verdict)))

    @property
    def columns(self) -> tuple[str, ...]:
        """All top-level columns that a row of this spelling may be read from."""
        optional = filter(None, (*self.prompt, *itertools.chain(*self.authors), self.turn))
        return tuple(dict.fromkeys(path.split(".")[0] for path in (*self.needed, *optional)))

    @property
    def is_judged(self) -> bool:
        """Whether a column (winner, flags, preference or scores) gives the better response."""
        return self.winner is not None or self.preference is not None or bool(self.scores or self.winner_flags)

    def fits(self, paths: Collection[str]) -> bool:
        """Whether a dataset with these columns and fields of structures can be read in this spelling."""
        return (not self.prompt or any(path in paths for path in self.prompt)) and set(self.needed) <= set(paths)

    def within(self, paths: Collection[str]) -> Spelling:
        """The spelling with only those optional columns that a dataset has."""
        return replace(
            self,
            prompt=tuple(path for path in self.prompt if path in paths),
            authors=tuple(columns for columns in self.authors if set(columns) <= set(paths))[:1],
            turn=self.turn if self.turn in paths else None,
        )


@dataclass(frozen=True, slots=True)
class PromptColumns:
    """Columns beside the prompt column that are parts of the prompt.

    Attributes:
        system (`tuple[str, ...]`): Columns of a system message; the first that is not blank is used.
        earlier (`tuple[str, ...]`): Columns of earlier turns.
        later (`tuple[str, ...]`): Columns of text that follows the prompt's own text after a line break.
    """

    system: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in the order in which they enter the prompt."""
        return (*self.system, *self.earlier, *self.later)


NO_PARTS = PromptColumns()

_CHOSEN = (schema.CHOSEN, schema.REJECTED)
_CHOSEN_AUTHORS = (("chosen_model", "rejected_model"), ("chosen-model", "rejected-model"), ("models",))
_OTHER_SIDES = (
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("chosen_answer", "rejected_answer"),
    ("preferred", "dispreferred"),
    ("accepted", "rejected"),
)
_STARTS = (
    "",
    "model_",
    "response_",
    "completion_",
    "output_",
    "answer_",
    "conversation_",
    "assistant_",
    "orig_response_",
)
_ARENA_AUTHORS = (("model_a", "model_b"),)
_PAIR_PROMPTS = (*PROMPTS, *CONVERSATIONS)
_RANKS = ("rank", "ranks", "ranking", "rankings")
_SCORES = ("scores", "ratings", "rating")


# Words of a verdict on two responses. A bare 0 or 1 counts from 0 where the responses have letters.
_LETTERS: tuple[tuple[str, int | None], ...] = (
    *((f"{start}{letter}", index) for start in _STARTS for index, letter in enumerate("ab")),
    ("0", 0),
    ("1", 1),
)
_NUMBERED: tuple[tuple[str, int | None], ...] = (
    *((f"{start}{number}", index) for start in _STARTS for index, number in enumerate("12")),
    ("0", None),
)


def _two(
    name: str, ends: tuple[str, str], verdicts: tuple[tuple[str, tuple[tuple[str, int | None], ...]], ...]
) -> Iterator[Spelling]:
    """Spellings of two columns of responses, with a column that names the better one."""
    for stem in ("response", "completion", "output", "answer"):
        responses = (f"{stem}_{ends[0]}", f"{stem}_{ends[1]}")
        authors = ((f"model_{ends[0]}", f"model_{ends[1]}"), (f"generator_{ends[0]}", f"generator_{ends[1]}"))
        for column, words in verdicts:
            prompt = (*PROMPTS, "conversation")
            yield Spelling(name, responses, prompt, winner=column, winner_words=words, authors=authors)


def _lists(responses: str, author: str) -> Iterator[Spelling]:
    """Spellings of a list of responses with an index of the winner, ranks or scores."""
    named = Spelling("list of responses with a winner", (responses,), PROMPTS, winner="winner", authors=((author,),))
    yield named
    for rank in _RANKS:
        yield replace(named, name="list of responses with ranks", winner=None, scores=(rank,), low_wins=True)
    for score in _SCORES:
        yield replace(named, name="list of responses with scores", winner=None, scores=(score,))


# Tried from the top. A dataset is read in the first spelling that fits its columns; a row without a response there is read in
# the next one that fits.
SPELLINGS = (
    Spelling("OpenAI preference", ("preferred_output", "non_preferred_output"), ("input.messages",)),
    Spelling("chosen and rejected", _CHOSEN, _PAIR_PROMPTS, authors=_CHOSEN_AUTHORS),
    Spelling("chosen and rejected, whole", _CHOSEN, authors=_CHOSEN_AUTHORS),
    *(Spelling("other names of the two sides", sides, PROMPTS) for sides in _OTHER_SIDES),
    Spelling("ms-swift, rejected_messages", ("messages", "rejected_messages")),
    Spelling("ms-swift, rejected_response", ("messages", "rejected_response")),
    Spelling("results of RewardBench", ("text_chosen", "text_rejected"), ("prompt",), repeats_prompt=True),
    Spelling("stack-exchange-paired", ("response_j", "response_k"), PROMPTS),
    Spelling("PKU-SafeRLHF", ("response_0", "response_1"), PROMPTS, winner="better_response_id"),
    Spelling(
        "Arena 55k",
        ("response_a", "response_b"),
        PROMPTS,
        winner_flags=("winner_model_a", "winner_model_b", "winner_tie"),
        authors=_ARENA_AUTHORS,
    ),
    Spelling(
        "AnnotatedPairs",
        ("response_a.text", "response_b.text"),
        ("prompt",),
        winner="preference",
        winner_words=_LETTERS,
        authors=(("response_a.model", "response_b.model"),),
    ),
    Spelling(
        "Chatbot Arena and MT-bench",
        ("conversation_a", "conversation_b"),
        winner="winner",
        winner_words=_LETTERS,
        authors=_ARENA_AUTHORS,
        turn="turn",
    ),
    Spelling(
        "Prometheus, preferences",
        ("orig_response_A", "orig_response_B"),
        ("orig_instruction",),
        winner="orig_preference",
        winner_words=_LETTERS,
    ),
    Spelling("Prometheus, feedback", ("orig_response",), ("orig_instruction",), scores=("orig_score",), gathered=True),
    Spelling(
        "AlpacaFarm",
        ("output_1", "output_2"),
        PROMPTS,
        preference="preference",
        middle=1.5,
        ties=(0.0,),
        authors=(("generator_1", "generator_2"),),
    ),
    Spelling("HelpSteer3", ("response1", "response2"), ("context",), preference="overall_preference"),
    Spelling("HelpSteer2, preferences", ("response_1", "response_2"), PROMPTS, preference="preference_strength"),
    *_two("responses numbered from 0", ("0", "1"), (("winner", ()),)),
    *_two("responses numbered from 1", ("1", "2"), (("winner", _NUMBERED), ("preference", _NUMBERED))),
    *_two("lettered responses", ("a", "b"), (("winner", _LETTERS), ("preference", _LETTERS[:-2]))),
    Spelling(
        "Unified-Feedback",
        ("conv_A", "conv_B"),
        scores=("conv_A_rating", "conv_B_rating"),
        authors=(("model_A", "model_B"),),
    ),
    Spelling("HelpSteer and HelpSteer2", ("response",), ("prompt",), scores=("helpfulness",), gathered=True),
    Spelling(
        "SHP",
        ("human_ref_A", "human_ref_B"),
        ("history",),
        winner="labels",
        winner_words=(("1", 0), ("0", 1)),
    ),
    Spelling("WebGPT", ("answer_0", "answer_1"), ("question.full_text", "question"), scores=("score_0", "score_1")),
    Spelling(
        "summarize_from_feedback",
        ("summaries.text",),
        ("info.post", "info.article"),
        winner="choice",
        authors=(("summaries.policy",),),
    ),
    Spelling(
        "UltraFeedback",
        ("completions.response",),
        ("instruction", "prompt"),
        scores=("completions.fine-grained_score",),
        authors=(("completions.model",),),
    ),
    Spelling(
        "UltraFeedback, overall",
        ("completions.response",),
        ("instruction", "prompt"),
        scores=("completions.overall_score",),
        authors=(("completions.model",),),
    ),
    Spelling(
        "Nectar", ("answers.answer",), PROMPTS, scores=("answers.rank",), low_wins=True, authors=(("answers.model",),)
    ),
    Spelling(
        "stack-exchange-preferences",
        ("answers.text",),
        PROMPTS,
        scores=("answers.pm_score",),
        authors=(("answers.author",),),
    ),
    *_lists("responses", "models"),
    *_lists("completions", "models"),
    *_lists("generations", "generation_models"),
    *_lists("answers", "models"),
)
KNOWN_COLUMNS = frozenset(
    {schema.PAIR_ID, *SYSTEM_PARTS, *EARLIER_PARTS, *LATER_PARTS}
    | {column for spelling in SPELLINGS for column in spelling.columns}
)
TEXT_COLUMNS = frozenset(
    {schema.PAIR_ID, *SYSTEM_PARTS, *EARLIER_PARTS, *LATER_PARTS}
    | {column for spelling in SPELLINGS for column in (*spelling.responses, *spelling.prompt) if "." not in column}
)

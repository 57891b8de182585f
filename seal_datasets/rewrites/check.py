"""Accept or reject a rewrite, with the reason."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from seal_datasets.data.dialogue import ASSISTANT_MARKER, split_dialogue
from seal_datasets.data.texts import Text
from seal_datasets.errors import DataError, import_extra
from seal_datasets.rewrites.presets import Preset

_MARKER = re.compile(r"\n\n(Human|Assistant):")
_COMMENTARY = re.compile(
    r"\s*(here('s| is| are)\b.{0,60}\b(rewrit|rephras|revis|version|text)|(sure|certainly|of course)\b.{0,80}:|"
    r"rewritten\b|i('ve| have) rewritten\b|(the )?rewritten (text|response|version)\b)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\s*(i('m| am) sorry|sorry|i (can(no|')t|won't|will not|am unable to))\b.{0,60}\b(rewrit|rephras|fulfil|assist|help)",
    re.IGNORECASE,
)

_LEAST_LETTERS = 40
_SURE_OF_LANGUAGE = 0.95


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Rewrite of one text, and its status.

    Attributes:
        text (`Text`, *optional*): The rewrite, kept even if it is rejected; `None` without one.
        reason (`str`): `ok`. For an answer: `not_json`, `missing_key`, `wrong_type`, `cut_off`, `refused`, `empty`,
            `identical`, `commentary`, `roles_broken`, `length_ratio`, `wrong_language`, `below_similarity`. For a failed
            request: see `RequestFailed`.
        detail (`str`): The offending part of the answer, or the message of the error.
        similarity (`float`, *optional*): Cosine similarity to the original, if it was measured.
    """

    text: Text | None
    reason: str
    detail: str = ""
    similarity: float | None = None


def check_rewrite(original: Text, answer: str, preset: Preset, *, whole_dialogue: bool = False) -> Rewrite:
    r"""Accept or reject a rewrite; leading and trailing blanks are taken from the original.

    Args:
        original (`Text`): The text before rewriting.
        answer (`str`): The rewriter's answer: the response, or the whole dialogue.
        preset (`Preset`): The requested kind of rewrite.
        whole_dialogue (`bool`, defaults to `False`): Whether the answer includes a rewritten prompt.

    Returns:
        `Rewrite`: The rewritten text, and `ok` or the reason for rejection.

    Example:

    ```python
    >>> from seal_datasets.rewrites.presets import PRESETS
    >>> text = Text("\n\nHuman: Hi", " Good day to you.")
    >>> check_rewrite(text, "I wish you a good day.", PRESETS["style"])
    Rewrite(text=Text(prompt='\n\nHuman: Hi', response=' I wish you a good day.'), reason='ok', detail='', similarity=None)
    >>> check_rewrite(text, "Good day to you.", PRESETS["style"]).reason
    'identical'

    ```
    """
    before = original.prompt + ASSISTANT_MARKER + original.response if whole_dialogue else original.response
    after = _restore_blanks(before, answer)
    try:
        rewritten = Text(*split_dialogue(after)) if whole_dialogue else Text(original.prompt, after)
    except DataError:
        return Rewrite(
            None, "roles_broken", f"no {ASSISTANT_MARKER.strip()!r} at the beginning of a turn: {answer[:80]!r}"
        )
    reason, detail = _find_reason(before, after, preset, rewritten)
    return Rewrite(rewritten, reason, detail)


def _find_reason(before: str, after: str, preset: Preset, rewritten: Text) -> tuple[str, str]:
    """The first reason to reject a rewrite, and its detail; `ok` where none applies."""
    if not rewritten.response.strip():
        return "empty", "the rewrite is blank"
    if _REFUSAL.match(after.strip()) and not _REFUSAL.match(before.strip()):
        return "refused", after.strip()[:200]
    if _COMMENTARY.match(after) and not _COMMENTARY.match(before):
        return "commentary", f"it begins with words about itself: {after.strip()[:80]!r}"
    turns, turns_after = (_MARKER.findall(text) for text in (before, after))
    if turns != turns_after:
        return "roles_broken", f"turns {turns} became {turns_after}"
    if preset.name != "identity" and after.split() == before.split():
        return "identical", "nothing was changed"
    ratio = len(after.strip()) / max(1, len(before.strip()))
    if not preset.shortest <= ratio <= preset.longest:
        return (
            "length_ratio",
            f"{ratio:.2f} of the original's length; {preset.shortest:.2f} to {preset.longest:.2f} allowed",
        )
    languages = _language(before), _language(after)
    if None not in languages and len(set(languages)) > 1:
        return "wrong_language", f"from {languages[0]} to {languages[1]}"
    return "ok", ""


def _restore_blanks(before: str, answer: str) -> str:
    """The answer between the original's blanks; so a dialogue keeps the blank lines before its first marker."""
    start = before[: len(before) - len(before.lstrip())]
    end = before[len(before.rstrip()) :] if before.strip() else ""
    return f"{start}{answer.strip()}{end}"


@functools.lru_cache(maxsize=100_000)
def _language(text: str) -> str | None:
    """A text's language; `None` if the text is short or the language uncertain."""
    if sum(letter.isalpha() for letter in text) < _LEAST_LETTERS:
        return None
    language, probability = _open_identifier().classify(text)
    return str(language) if probability >= _SURE_OF_LANGUAGE else None


@functools.cache
def _open_identifier() -> Any:  # noqa: ANN401
    library = import_extra("py3langid.langid", purpose="identify a rewrite's language")
    return library.LanguageIdentifier.from_model_file(library.MODEL_FILE, norm_probs=True)

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
# What a rewriter calls its own work.
_WORK = (
    r"(?:rewrit\w*|rewrote|rephras\w*|reword\w*|paraphras\w*|revis(?:ed|ion)|(?:new|modified|adapted|improved) version)"
)
_OF_WORK = rf"(?:{_WORK}|\b(?:version|text|response) (?:that|which|with|of the))"
# An announcement of the work, set off from it by a colon, a full stop before a line's end, or a line's end.
_ANNOUNCED = re.compile(
    rf"\s*(?:(?:sure|certainly|of course|okay|ok|absolutely|great)\b[^:\n]{{0,40}}?)?"
    rf"(?:"
    rf"(?:here(?:'s| is| are)|below is|this is|the following is)\b[^:\n]{{0,60}}?{_OF_WORK}[^:\n]{{0,60}}(?::|\.?\s*\n)"
    rf"|here you (?:go|are)\s*[:.!]"
    rf"|i(?:'ve| have)? {_WORK}\b[^:\n]{{0,80}}(?::|\.?\s*\n)"
    rf"|(?:my |the )?{_WORK}(?: (?:text|response|version|dialogue|reply|answer))?\s*(?::|\n)"
    rf")",
    re.IGNORECASE,
)
# A remark on the work in a paragraph of its own at the end.
_ABOUT = rf"(?:{_WORK}|\b(?:tone|meaning|wording|phrasing|style|original|sentences?|structure|length)\b)"
_REMARK = re.compile(
    rf"\n\s*\n[(\[*_]*(?:note:[^\n]*{_ABOUT}|i(?:'ve| have)? {_WORK}|"
    rf"i(?:'ve| have)? (?:kept|changed|made|adjusted|tried|maintained|preserved)\b[^\n]*{_ABOUT}|"
    rf"let me know if\b[^\n]*(?:{_ABOUT}|\bversion|\bchanges?\b|\badjust)|"
    rf"(?:this|the) {_WORK}\b|(?:please )?feel free to (?:adjust|change|edit)\b[^\n]*{_ABOUT})[^\n]*\s*$",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\s*(i('m| am) sorry|sorry|i (can(no|')t|won't|will not|am unable to))\b.{0,60}\b(rewrit|rephras|fulfil|assist|help)",
    re.IGNORECASE,
)
_PLAIN = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\u00b4", "'") | dict.fromkeys("\u201c\u201d", '"'))

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
    if _REFUSAL.match(plain(after).strip()) and not _REFUSAL.match(plain(before).strip()):
        return "refused", after.strip()[:200]
    if commentary := _commentary(before, after):
        return "commentary", commentary
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


def plain(text: str) -> str:
    """A text with straight quotes, of the same length."""
    return text.translate(_PLAIN)


def _commentary(before: str, after: str) -> str:
    """Words of a rewriter about its own work around the rewrite; empty where there are none, or the original has them too."""
    for frame, where, at in ((_ANNOUNCED, "begins", 0), (_REMARK, "ends", 1)):
        found = frame.search(plain(after)) if at else frame.match(plain(after))
        other = frame.search(plain(before)) if at else frame.match(plain(before))
        if found and not other:
            return f"it {where} with words about itself: {found[0].strip()[:80]!r}"
    return ""


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

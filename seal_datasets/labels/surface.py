"""Surface features: length, layout, stock phrases and tone of a response, computed without a language model.

Reward models are known to pick up length, layout and tone. These features are deterministic, cost nothing and are always
spoilers, so an audit can control for them besides the labels. All depend on the response alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache, lru_cache
from importlib import resources

from seal_datasets.labels.markdown_parts import markdown_parts
from seal_datasets.labels.sentiment import compound_sentiment
from seal_datasets.labels.taxonomy import Feature, FeatureType

SURFACE_VERSION = "1"

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_RUN = re.compile(r"[a-z0-9]+")
# A pattern that begins with a letter is searched for faster than one that begins with a boundary.
_REFUSAL = re.compile(
    r"i(?<!\wi)(?:(?:'m| am) (?:sorry|afraid|unable|not able|not comfortable|not going to)"
    r"| (?:can(?:no|')t|can not|won't|will not|would rather not|refuse to|must decline|don't think i (?:can|should))"
    r"| don't feel comfortable| apologi[sz]e)"
)
_AS_AN_AI = re.compile(r"as an ai(?<!\was an ai)\b")
_FIRST_PERSON_CLAIM = re.compile(
    r"i(?<!\wi)(?:(?:'m| am) (?!sorry|afraid|unable|not|an ai|a language|a bot|an assistant|here|happy to|glad to)\w+"
    r"| (?:feel|felt|loved?|hated?|like|enjoy(?:ed)?|remember|grew up|was born|have a|had a|went|lived?|own)\b)"
)
_MY_OWN = re.compile(
    r"my(?<!\wmy) (?:own|friend|friends|family|mother|mom|father|dad|wife|husband|kids|job|boss|body|life|childhood)\b"
)


def log_tokens(text: str) -> float:
    """Natural log of 1 + the number of words and punctuation marks."""
    return math.log1p(sum(map(_n_tokens, text.split())))


def list_items(text: str) -> float:
    """Number of Markdown list items."""
    return float(markdown_parts(text)["list_item_open"])


def headings(text: str) -> float:
    """Number of Markdown headings."""
    return float(markdown_parts(text)["heading_open"])


def has_code(text: str) -> bool:
    """Whether the text has a fenced block or an inline span of code; indented text is often no code in chats."""
    parts = markdown_parts(text)
    return "fence" in parts or "code_inline" in parts


def has_bold(text: str) -> bool:
    """Whether any words are bold."""
    return "strong_open" in markdown_parts(text)


def question_marks(text: str) -> float:
    """Number of question marks."""
    return float(text.count("?"))


def refusal_phrase(text: str) -> bool:
    """Whether the text has a stock phrase of refusal or apology."""
    plain = _plain(text)
    return _REFUSAL.search(plain) is not None or _AS_AN_AI.search(plain) is not None


def first_person_claim(text: str) -> bool:
    """Whether the author claims a feeling, possession, past or relationship."""
    plain = _plain(text)
    return _FIRST_PERSON_CLAIM.search(plain) is not None or _MY_OWN.search(plain) is not None


def profanity(text: str) -> bool:
    """Whether the text has a whole word or phrase of the `better-profanity` list."""
    plain = _plain(text)
    if not any(map(_is_telling, plain.split())):
        return False
    words, phrases = _profane_words()
    return not words.isdisjoint(_WORD.findall(plain)) or phrases.search(plain) is not None


def sentiment(text: str) -> float:
    """VADER compound sentiment in [-1, 1] (Hutto and Gilbert, 2014)."""
    return compound_sentiment(text)


def _feature(name: str, kind: FeatureType, question: str) -> Feature:
    return Feature(name, "spoiler", "response", kind, question)


SURFACE_FEATURES: dict[Feature, Callable[[str], float | bool]] = {
    _feature("surface_log_tokens", "number", "How long is the response, in log tokens?"): log_tokens,
    _feature("surface_list_items", "number", "How many list items does it hold?"): list_items,
    _feature("surface_headings", "number", "How many headings does it hold?"): headings,
    _feature("surface_has_code", "bool", "Does it hold code?"): has_code,
    _feature("surface_has_bold", "bool", "Does it hold bold text?"): has_bold,
    _feature("surface_question_marks", "number", "How many question marks does it hold?"): question_marks,
    _feature("surface_refusal_phrase", "bool", "Does it use a stock phrase of refusal?"): refusal_phrase,
    _feature("surface_first_person_claim", "bool", "Does its author claim a life of their own?"): first_person_claim,
    _feature("surface_profanity", "bool", "Does it use a profane word?"): profanity,
    _feature("surface_sentiment", "number", "How positive are its words (VADER, -1 to 1)?"): sentiment,
}


def surface_features(text: str) -> dict[str, float | bool]:
    """Compute every surface feature of one response.

    Args:
        text (`str`): The response.

    Returns:
        `dict[str, float | bool]`: Feature name to value, in the order of `SURFACE_FEATURES`.

    Example:

    ```python
    >>> features = surface_features("I'm sorry, I can't. Could you try `pip`?")
    >>> features["surface_refusal_phrase"], features["surface_has_code"], features["surface_question_marks"]
    (True, True, 1.0)

    ```
    """
    return {feature.name: compute(text) for feature, compute in SURFACE_FEATURES.items()}


@lru_cache(maxsize=1)
def _plain(text: str) -> str:
    return text.lower().replace("’", "'")


@lru_cache(maxsize=1 << 17)
def _n_tokens(word: str) -> int:
    return len(_TOKEN.findall(word))


@lru_cache(maxsize=1 << 17)
def _is_telling(word: str) -> bool:
    """Whether a word may be a part of a profane word or phrase."""
    runs, unusual = _telling_runs()
    return not runs.isdisjoint(_RUN.findall(word)) or any(entry in word for entry in unusual)


@cache
def _profane_entries() -> frozenset[str]:
    listed = (resources.files("better_profanity") / "profanity_wordlist.txt").read_text("utf-8").lower().split("\n")
    return frozenset(entry.strip() for entry in listed if entry.strip())


@cache
def _profane_words() -> tuple[frozenset[str], re.Pattern[str]]:
    """Single words for set lookup, and a pattern for phrases; the package's own matcher takes 20 ms per text."""
    entries = _profane_entries()
    words = {entry for entry in entries if _WORD.fullmatch(entry)}
    phrases = sorted(re.escape(entry) for entry in entries - words)
    return frozenset(words), re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)")


@cache
def _telling_runs() -> tuple[frozenset[str], tuple[str, ...]]:
    """The longest run of letters and digits of each entry, and entries of one word whose runs are in most texts.

    A profane entry stands between other characters, so each of its own runs is a run of the text.
    """
    longest = {entry: max(_RUN.findall(entry), key=len, default="") for entry in _profane_entries()}
    unusual = tuple(entry for entry, run in sorted(longest.items()) if len(run) <= 2 and not re.search(r"\s", entry))
    return frozenset(run for entry, run in longest.items() if entry not in unusual), unusual

"""Surface features: length, layout, stock phrases and tone of a response, computed without a language model.

Reward models are known to pick up length, layout and tone. These features are deterministic, cost nothing and are always
spoilers, so an audit can control for them besides the labels. All depend on the response alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from importlib import resources

from markdown_it import MarkdownIt
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from seal_datasets.labels.taxonomy import Feature, FeatureType

SURFACE_VERSION = "1"

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|afraid|unable|not able|not comfortable|not going to)"
    r"|i (?:can(?:no|')t|can not|won't|will not|would rather not|refuse to|must decline|don't think i (?:can|should))"
    r"|i don't feel comfortable|as an ai\b|i apologi[sz]e)"
)
_FIRST_PERSON_CLAIM = re.compile(
    r"\b(?:i(?:'m| am) (?!sorry|afraid|unable|not|an ai|a language|a bot|an assistant|here|happy to|glad to)\w+"
    r"|i (?:feel|felt|loved?|hated?|like|enjoy(?:ed)?|remember|grew up|was born|have a|had a|went|lived?|own)\b"
    r"|my (?:own|friend|friends|family|mother|mom|father|dad|wife|husband|kids|job|boss|body|life|childhood)\b)"
)


def log_tokens(text: str) -> float:
    """Natural log of 1 + the number of words and punctuation marks."""
    return math.log1p(len(_TOKEN.findall(text)))


def list_items(text: str) -> float:
    """Number of Markdown list items."""
    return float(_markdown_counts(text).get("list_item_open", 0))


def headings(text: str) -> float:
    """Number of Markdown headings."""
    return float(_markdown_counts(text).get("heading_open", 0))


def has_code(text: str) -> bool:
    """Whether the text has a fenced block or an inline span of code."""
    counts = _markdown_counts(text)
    return "fence" in counts or "code_inline" in counts


def has_bold(text: str) -> bool:
    """Whether any words are bold."""
    return "strong_open" in _markdown_counts(text)


def question_marks(text: str) -> float:
    """Number of question marks."""
    return float(text.count("?"))


def refusal_phrase(text: str) -> bool:
    """Whether the text has a stock phrase of refusal or apology."""
    return _REFUSAL.search(_plain(text)) is not None


def first_person_claim(text: str) -> bool:
    """Whether the author claims a feeling, possession, past or relationship."""
    return _FIRST_PERSON_CLAIM.search(_plain(text)) is not None


def profanity(text: str) -> bool:
    """Whether the text has a whole word or phrase of the `better-profanity` list."""
    words, phrases = _profane_words()
    plain = _plain(text)
    return not words.isdisjoint(_WORD.findall(plain)) or phrases.search(plain) is not None


def sentiment(text: str) -> float:
    """VADER compound sentiment in [-1, 1] (Hutto and Gilbert, 2014)."""
    return float(_vader().polarity_scores(text)["compound"])


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


def _plain(text: str) -> str:
    return text.lower().replace("’", "'")


def _markdown_counts(text: str) -> dict[str, int]:
    """Count block and inline tokens; indented text is often no code in chats, so no feature counts it."""
    counts: dict[str, int] = {}
    for token in _markdown().parse(text.strip()):
        for part in (token, *(token.children or ())):
            counts[part.type] = counts.get(part.type, 0) + 1
    return counts


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark")


@cache
def _vader() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


@cache
def _profane_words() -> tuple[frozenset[str], re.Pattern[str]]:
    """Single words for set lookup, and a pattern for phrases; the package's own matcher takes 20 ms per text."""
    listed = (resources.files("better_profanity") / "profanity_wordlist.txt").read_text("utf-8").lower().split("\n")
    entries = {entry.strip() for entry in listed if entry.strip()}
    words = {entry for entry in entries if _WORD.fullmatch(entry)}
    phrases = sorted(re.escape(entry) for entry in entries - words)
    return frozenset(words), re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)")

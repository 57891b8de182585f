"""VADER's compound sentiment, computed only at words that its lexicon holds.

`vaderSentiment` spends most of its time on other words: it lowers the whole text anew at each word of its lexicon. The
rules are called from there, on the few words around each such word that a rule can read; results are the same floats.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache, lru_cache
from typing import NamedTuple

from vaderSentiment.vaderSentiment import (
    BOOSTER_DICT,
    NEGATE,
    SPECIAL_CASES,
    SentimentIntensityAnalyzer,
    SentiText,
    allcap_differential,
    normalize,
)

# Words before and after one of the lexicon that the rules read.
_BEFORE, _AFTER = 3, 2
# Words that single rules name; those of lists and of the lexicon are added.
_NAMED = frozenset(
    ["no", "or", "nor", "least", "at", "very", "never", "so", "this", "without", "doubt", "but", "kind", "of"]
)


class _Window(NamedTuple):
    """The part of `SentiText` that the rules read."""

    words_and_emoticons: tuple[str, ...]
    is_cap_diff: bool


def compound_sentiment(text: str) -> float:
    """VADER's compound score of a text (Hutto and Gilbert, 2014).

    Args:
        text (`str`): Any text.

    Returns:
        `float`: From -1 to 1; equal to `SentimentIntensityAnalyzer().polarity_scores(text)["compound"]`.

    Example:

    ```python
    >>> compound_sentiment("VADER is smart, handsome, and funny!")
    0.8439

    ```
    """
    vader = _vader()
    if not text.isascii() and not _emojis().isdisjoint(text):
        return float(vader.polarity_scores(text)["compound"])
    text = text.strip()
    tokens = text.split()
    words = list(map(_read_word, tokens))
    lowered = list(map(str.lower, words))
    scored = _scored_words()
    places = [
        place
        for place, word in enumerate(lowered)
        if word and word in scored and not (word == "kind" and lowered[place + 1 : place + 2] == ["of"])
    ]
    if not places:
        return 0.0
    mixed = any(map(str.isupper, words)) and allcap_differential(list(map(_strip, tokens)))
    valences = []
    for place in places:
        first = max(place - _BEFORE, 0)
        valences.append(_valence(_Window(tuple(words[first : place + 1 + _AFTER]), mixed), place - first))
    if "but" in lowered:
        valences = _after_but(valences, bisect_left(places, lowered.index("but")))
    return _compound(float(sum(valences)), text)


def _compound(total: float, text: str) -> float:
    """The part of `score_valence` that the compound score is."""
    emphasis = _vader()._punctuation_emphasis(text)
    if total > 0.0:
        total += emphasis
    elif total < 0.0:
        total -= emphasis
    return float(round(normalize(total), 4))


def _strip(token: str) -> str:
    stripped: str = SentiText._strip_punc_if_word(token)
    return stripped


@lru_cache(maxsize=1 << 17)
def _read_word(token: str) -> str:
    """The word of a token if a rule reads it, else nothing: other words are all the same to the rules."""
    word = _strip(token)
    lowered = word.lower()
    return word if lowered in _read_words() or "n't" in lowered else ""


@lru_cache(maxsize=1 << 17)
def _valence(window: _Window, place: int) -> float:
    """Valence of the word at a place of its window."""
    valence: float = _vader().sentiment_valence(0, window, window.words_and_emoticons[place], place, [])[0]
    return valence


def _after_but(valences: list[float], n_before: int) -> list[float]:
    """VADER's rule for "but", whose own place and whose neutral words change nothing."""
    words = [""] * n_before + ["but"]
    weighted: list[float] = _vader()._but_check(words, [*valences[:n_before], 0.0, *valences[n_before:]])
    return weighted


@cache
def _vader() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


@cache
def _scored_words() -> frozenset[str]:
    return frozenset(_vader().lexicon) - frozenset(BOOSTER_DICT)


@cache
def _read_words() -> frozenset[str]:
    phrases = (*BOOSTER_DICT, *SPECIAL_CASES)
    return (
        frozenset(_vader().lexicon) | _NAMED | frozenset(NEGATE) | {word for each in phrases for word in each.split()}
    )


@cache
def _emojis() -> frozenset[str]:
    # `polarity_scores` looks up single characters, none of them ASCII.
    return frozenset(emoji for emoji in _vader().emojis if len(emoji) == 1)

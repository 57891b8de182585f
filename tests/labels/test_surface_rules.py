"""Surface features are computed by short cuts; their rules as they read in full give the same values, on any text."""

import gzip
import json
import math
import re
from importlib import resources

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from vaderSentiment.vaderSentiment import BOOSTER_DICT, NEGATE, SPECIAL_CASES, SentimentIntensityAnalyzer

from seal_datasets.data.demo import demo_path
from seal_datasets.labels.sentiment import compound_sentiment
from seal_datasets.labels.surface import surface_features

SIDES = ("chosen", "rejected")
VADER = SentimentIntensityAnalyzer()
MARKDOWN = MarkdownIt("commonmark")
WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|afraid|unable|not able|not comfortable|not going to)"
    r"|i (?:can(?:no|')t|can not|won't|will not|would rather not|refuse to|must decline|don't think i (?:can|should))"
    r"|i don't feel comfortable|as an ai\b|i apologi[sz]e)"
)
FIRST_PERSON_CLAIM = re.compile(
    r"\b(?:i(?:'m| am) (?!sorry|afraid|unable|not|an ai|a language|a bot|an assistant|here|happy to|glad to)\w+"
    r"|i (?:feel|felt|loved?|hated?|like|enjoy(?:ed)?|remember|grew up|was born|have a|had a|went|lived?|own)\b"
    r"|my (?:own|friend|friends|family|mother|mom|father|dad|wife|husband|kids|job|boss|body|life|childhood)\b)"
)
LISTED = (resources.files("better_profanity") / "profanity_wordlist.txt").read_text("utf-8").lower().split("\n")
PROFANE = {entry.strip() for entry in LISTED if entry.strip()}
PROFANE_WORDS = {entry for entry in PROFANE if WORD.fullmatch(entry)}
PROFANE_PHRASES = re.compile(rf"(?<!\w)(?:{'|'.join(sorted(map(re.escape, PROFANE - PROFANE_WORDS)))})(?!\w)")

TELLING = """
i I I'm i\u2019m am can't as an ai AI my friend own sorry was born a good GOOD bad terrible! not never so very
least at but BUT kind of no isn't without doubt sort hand to mouth the bomb or nor ? ?? !!! :) :(
damn sh!t blow job s.o.b. masterbat* x'ass ass'x f_u_c_k _ ' \u2019
> - + * ** __ # = --- 1. 12) \u0661. ` `` ``` ~~~ \\ [a] [a]: (c) ![ ] <!-- --> <b> &#42;
😀 🤬 ♥ ❤ é ß İ ΑΣ Σ' \u212a ñ 中文 \u0301 \u200b
"""
PIECES = [
    *TELLING.split(),
    *("\n", "\n- ", "\n# ", "\n1. ", "\n> ", "\r\n", "\r", "\n\n", "\n===\n", "\n~~~\n", "\t", "    ", " "),
    *("\0", "\x0b", "\x0c", "\x1c", "\x85", "\u00a0", "\u2028", "\u3000"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.lists(
    st.sampled_from(PIECES), max_size=30
).map(" ".join)
READ = sorted({*BOOSTER_DICT, *NEGATE, *SPECIAL_CASES, *PIECES}) + sorted(VADER.lexicon)[::50]


def in_full(text):
    """Every feature by its rule."""
    counts = {}
    for token in MARKDOWN.parse(text.strip()):
        for part in (token, *(token.children or ())):
            counts[part.type] = counts.get(part.type, 0) + 1
    plain = text.lower().replace("’", "'")
    return {
        "surface_log_tokens": math.log1p(len(re.findall(r"\w+|[^\w\s]", text))),
        "surface_list_items": counts.get("list_item_open", 0),
        "surface_headings": counts.get("heading_open", 0),
        "surface_has_code": "fence" in counts or "code_inline" in counts,
        "surface_has_bold": "strong_open" in counts,
        "surface_question_marks": text.count("?"),
        "surface_refusal_phrase": REFUSAL.search(plain) is not None,
        "surface_first_person_claim": FIRST_PERSON_CLAIM.search(plain) is not None,
        "surface_profanity": bool(PROFANE_WORDS & set(WORD.findall(plain)))
        or PROFANE_PHRASES.search(plain) is not None,
        "surface_sentiment": VADER.polarity_scores(text)["compound"],
    }


@settings(max_examples=400)
@given(TEXTS)
@example("I'm sorry, but I can't **do** that:\n> 1. `x`\n> 2. y\n\nTitle\n===")
@example("*a **b* c** __d__ ![**x**](y) [`z`]\n\n[`z`]: q")
@example("\u00a0# a title after a blank that Markdown does not know")
def test_any_text_of_telling_pieces_has_the_values_of_the_rules(text):
    assert surface_features(text) == in_full(text)


@given(st.text(max_size=300))
def test_any_unicode_has_the_values_of_the_rules(text):
    assert surface_features(text) == in_full(text)


@settings(max_examples=400)
@given(st.lists(st.sampled_from(READ) | st.sampled_from(["a", "the", "It", "CAPS"]), max_size=14))
def test_sentiment_of_words_that_rules_read_is_that_of_vader(words):
    text = " ".join(words)
    assert compound_sentiment(text) == VADER.polarity_scores(text)["compound"]


@pytest.mark.parametrize("entry", sorted(PROFANE))
def test_every_entry_of_the_list_is_found_where_it_stands_alone_only(entry):
    for text in (entry, f"({entry})", f"x {entry.upper()}.", f"x{entry}", f"{entry}x", f"a'{entry}", f"{entry}'s"):
        assert surface_features(text)["surface_profanity"] == in_full(text)["surface_profanity"]


def test_responses_of_the_demo_have_the_values_of_the_rules():
    rows = [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()]
    responses = [
        row[side] if isinstance(row[side], str) else row[side][-1]["content"] for row in rows for side in SIDES
    ]
    assert len(responses) > 200
    assert [text for text in responses if surface_features(text) != in_full(text)] == []


def test_real_responses_have_the_values_of_the_rules(hh_rlhf):
    with gzip.open(hh_rlhf, "rt") as file:
        rows = [json.loads(line) for line in file]
    texts = [row[side] for row in rows for side in SIDES]  # whole dialogues, and their last turns
    texts += [text.rpartition("\n\nAssistant:")[2].strip() for text in texts]
    assert len(texts) == 6000
    assert [text for text in texts if surface_features(text) != in_full(text)] == []

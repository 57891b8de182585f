import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_datasets.labels import surface
from seal_datasets.labels.surface import SURFACE_FEATURES, surface_features


def test_log_tokens_counts_words_and_marks():
    assert surface.log_tokens("Yes, it is.") == math.log(1 + 5)  # Yes , it is .
    assert surface.log_tokens("") == 0.0


@pytest.mark.parametrize(
    ("text", "items"), [("1. a\n2. b\n3. c", 3), ("- a\n- b", 2), ("one - two", 0), (" 1. starts with a space", 1)]
)
def test_list_items(text, items):
    assert surface.list_items(text) == items


@pytest.mark.parametrize(
    ("text", "code"),
    [("```\nx = 1\n```", True), ("use `pip`", True), ("    indented by accident", False), ("x", False)],
)
def test_code_is_fenced_or_inline_only(text, code):
    assert surface.has_code(text) is code


def test_bold_headings_and_questions():
    assert surface.has_bold("a **b** c")
    assert not surface.has_bold("2 ** 3 ** 4")
    assert surface.headings("# A\n\ntext\n\n## B") == 2
    assert surface.question_marks("Really?? Sure?") == 3


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I’m sorry, but no.", True),  # typographic apostrophe
        ("I can't do that.", True),
        ("As an AI I have no view.", True),
        ("You can't miss it.", False),
        ("The shop is closed.", False),
    ],
)
def test_refusal_phrases(text, refuses):
    assert surface.refusal_phrase(text) is refuses


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("I grew up near the sea.", True),
        ("My wife says so too.", True),
        ("I'm excited to hear that!", True),
        ("I'm sorry.", False),
        ("I am an AI.", False),
        ("You like it.", False),
    ],
)
def test_first_person_claims(text, claims):
    assert surface.first_person_claim(text) is claims


def test_profanity_matches_whole_words_only():
    assert surface.profanity("Well, damn.")
    assert not surface.profanity("She moved to Scunthorpe to classify grass.")


def test_sentiment_has_vader_signs():
    assert surface.sentiment("This is wonderful, I am so happy!") > 0.5
    assert surface.sentiment("This is terrible and sad.") < -0.5
    assert surface.sentiment("The box is square.") == 0.0


@given(st.text(max_size=200))
def test_any_text_gets_every_feature_the_same_way_each_time(text):
    found = surface_features(text)
    assert list(found) == [feature.name for feature in SURFACE_FEATURES]
    assert all(math.isfinite(value) for value in found.values())
    assert surface_features(text) == found


def test_surface_features_are_response_level_spoilers():
    assert {(feature.role, feature.level) for feature in SURFACE_FEATURES} == {("spoiler", "response")}

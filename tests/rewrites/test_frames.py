"""Words of a rewriter about its work are told from texts that only sound like them."""

import pytest

from seal_datasets.data.texts import Text
from seal_datasets.rewrites.check import check_rewrite
from seal_datasets.rewrites.presets import PRESETS

TEXT = "The library opens at nine and closes at six, and you can keep a book for three weeks."
LIKE = "The library is open from nine to six, and a book may stay with you for three weeks."

FRAMED = [
    f"Here\u2019s a rewritten version: {LIKE}",
    f"Here's the rewritten text:\n\n{LIKE}",
    f"Here is a revised version of the response:\n{LIKE}",
    f"Here is the text with a friendlier tone:\n{LIKE}",
    f"Sure, here's a rephrased version: {LIKE}",
    f"Sure! Here is the rewritten response:\n{LIKE}",
    f"Certainly. Here is a new version that is shorter: {LIKE}",
    f"Of course, here is a paraphrase of the text: {LIKE}",
    f"Okay, here\u2019s the reworded text:\n{LIKE}",
    f"Rewritten text: {LIKE}",
    f"Rewritten response:\n{LIKE}",
    f"**Here is the rewritten version:** {LIKE}".replace("**", ""),
    f"Revised version: {LIKE}",
    f"The rewritten text:\n{LIKE}",
    f"My rewritten version: {LIKE}",
    f"I've rewritten the text as follows: {LIKE}",
    f"I\u2019ve rewritten it in a warmer tone.\n\n{LIKE}",
    f"I have rephrased the response: {LIKE}",
    f"I rewrote the text:\n{LIKE}",
    f"Below is the rewritten text:\n{LIKE}",
    f"This is the revised text: {LIKE}",
    f"The following is a rewritten version of the response:\n{LIKE}",
    f"Paraphrase: {LIKE}",
    f"{LIKE}\n\nNote: I kept the tone friendly.",
    f"{LIKE}\n\nI kept the meaning and made it shorter.",
    f"{LIKE}\n\nLet me know if you would like another version.",
    f"{LIKE}\n\n(I changed the order of the sentences.)",
    f"{LIKE}\n\nI\u2019ve rephrased the second half to sound warmer.",
    f"{LIKE}\n\nThis rewrite keeps the facts.",
    f"{LIKE}\n\nFeel free to adjust the wording.",
]
ENDINGS = [
    "I made tea for all of us.",
    "Let me know if you need more help with it.",
    "Note: the office closes at noon.",
]
GOOD = [
    "Sure, he can do it: just ask.",
    "Sure! The library opens at nine.",
    "Certainly: the doors open at nine, and close at six.",
    "Of course you may keep a book for three weeks.",
    "Of course: nine to six, and three weeks for a book.",
    "Here is what you need: a card, and a book.",
    "Here's the plan: come at nine, leave at six.",
    "Here are the hours: nine to six.",
    "Here are three tips: come early, bring a card, be quiet.",
    "Here is my text message to the library, sent at nine.",
    "Here's how it works. You take a book home for three weeks.",
    "This is the way: go straight on until the library.",
    "The following is true: the library opens at nine.",
    "Rewriting history is not what the library does.",
    "Rewrite your letter before nine, and hand it in by six.",
    "Paraphrasing helps you to learn: say it in your own words.",
    "The version in the library is older than the one in the shop.",
    "I have read the text: it is about a library.",
    "I kept the book for three weeks.",
    "I changed my mind.",
    "I made tea, and read until six.",
    "Okay, then come at nine: the doors are open.",
    "Great question: it opens at nine.",
    "Absolutely. Nine to six, every day.",
    "Below is the river, above is the library.",
    "Let me know if you need the key.",
    "My version of events: I came at nine.",
    "The new library opens at nine.",
    "Feel free to keep the book for three weeks.",
    "Note the hours: nine to six.",
    "The text on the door says: open from nine to six.",
    "Sure, the revised hours are nine to six.",
]


def reason_of(answer, original=TEXT):
    return check_rewrite(Text("Human: Hi", original), answer, PRESETS["style"]).reason


@pytest.mark.parametrize("answer", FRAMED)
def test_a_frame_around_a_rewrite_is_commentary(answer):
    assert reason_of(answer) == "commentary"


@pytest.mark.parametrize("answer", GOOD)
def test_a_sentence_that_only_sounds_like_a_frame_is_none(answer):
    original = answer.replace("nine", "ten").replace("six", "seven") + " So it is."
    assert reason_of(answer, original) == "ok"
    assert reason_of(f"{answer} {LIKE}") != "commentary"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_last_paragraph_that_is_no_remark_may_stay(ending):
    assert reason_of(f"{LIKE}\n\n{ending}", f"{TEXT}\n\nSo be it.") == "ok"


def test_a_frame_that_the_original_has_may_stay():
    original = f"Here is the rewritten text: {TEXT}"
    assert reason_of(f"Here\u2019s the rewritten text: {LIKE}", original) == "ok"


@pytest.mark.parametrize("quote", ["'", "\u2019"])
def test_refusals_are_seen_with_any_apostrophe(quote):
    assert reason_of(f"I can{quote}t help with rewriting that.") == "refused"
    assert reason_of(f"I{quote}m sorry, I can{quote}t assist with that request.") == "refused"

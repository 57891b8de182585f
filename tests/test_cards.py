import jinja2
import pytest

from seal_datasets.cards import escape_markdown, render_card
from seal_datasets.errors import DataError

FIELDS = {"title": "t", "role": "pre", "settings": {"seed": 0}, "n_pairs": 3, "data": "abc", "accuracy": {}}


def test_outside_strings_are_inert():
    card = render_card("reward_model_card.md", **{**FIELDS, "title": "<script>x</script> | [a](b) {{ 7*7 }}\n# h"})
    assert "<script>" not in card
    assert "\\[a\\](b)" in card
    assert "{{ 7\\*7 }} \\# h" in card  # a template inside a field is text, not a template


def test_a_missing_field_is_an_error_not_a_blank():
    with pytest.raises(jinja2.UndefinedError, match="n_pairs"):
        render_card("reward_model_card.md", **{key: value for key, value in FIELDS.items() if key != "n_pairs"})


def test_an_unknown_template_says_where_was_looked():
    with pytest.raises(DataError, match=r"no card template 'absent\.md' in .*hub_cards"):
        render_card("absent.md")


def test_escaping_keeps_the_words():
    assert escape_markdown("a_b\nc") == "a\\_b c"

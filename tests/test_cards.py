import jinja2
import pytest

from seal_datasets.cards import (
    escape_markdown,
    format_interval,
    format_number,
    format_percent,
    format_rate,
    render_card,
)
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


def test_words_in_a_card_are_inert_and_names_of_columns_stay_readable():
    finding = "last_response_is_honest (*) <b>|_x_\n"
    card = render_card(
        "dataset_card.md",
        title="t",
        headline=[finding],
        size_category="n<1K",
        run={
            "source": "s",
            "diagnosis": {"format": "standard"},
            "models": {},
            "labeler": None,
            "taxonomy": {"name": "t", "version": "1", "digest": "[d](x)"},
            "seal_datasets": "0_1",
        },
    )
    assert "(\\[d\\](x))" in card
    assert "seal_datasets 0_1." in card
    assert "- last\\_response\\_is\\_honest (\\*) &lt;b&gt;\\|\\_x\\_ \n" in card


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_percent(None), "–"),
        (format_percent(0.1176), "11.8 %"),
        (format_percent(None, missing="undefined"), "undefined"),
        (format_number(1234.567, 1), "1,234.6"),
        (format_number(0.5, signed=True), "+0.50"),
        (format_interval([0.25, None]), "–"),
        (format_rate({"share": 0.5, "confidence_interval": [0.25, 0.75]}, "share"), "50.0 % (25.0–75.0)"),
    ],
)
def test_numbers_are_written_the_same_way_everywhere(text, expected):
    assert text == expected

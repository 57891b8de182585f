"""Outside strings shown in Markdown, HTML, YAML and on the terminal: they show as themselves and do nothing."""

import sys

import pytest
import yaml
from markdown_it import MarkdownIt

from seal_datasets.cards import render_card
from seal_datasets.cli.outcome import run_to_end
from seal_datasets.errors import DataError, MissingExtraError, SealError
from seal_datasets.escape import escape_html, escape_markdown, escape_terminal, escape_yaml, redact_keys

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1)) ![b](http://evil.example/p.png)",
    "a\r\n# heading",
    "a\x0b\x0c\x85\u2028\u2029- item",
    "\x1b[2J\x9b31m\x07",
    "\u202egpj.exe \u2066x\u2069 \ufeff\u061c\u200e",
    "- item",
    "+ item",
    "* item",
    "1. item",
    "12) item",
    "===",
    "---",
    "a | b\n--- | ---",
    "# heading",
    "> quote",
    "```\ncode\n```",
    "~~~",
    "{{ 7 * 7 }} {% raw %}",
    "&lt;b&gt; &#x5b;",
    "\ud83d",
    "<!-- seal:end report -->",
)


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
@pytest.mark.parametrize("names", [False, True])
def test_a_string_is_one_paragraph_of_plain_text_wherever_it_stands(text, names):
    """The parser of Markdown is an independent one, so that its reading counts and not ours."""
    inert = escape_markdown(text, names=names)
    for document in (inert, f"before\n{inert}", f"before\n{inert}\nafter", f"a | b\n{inert}"):
        tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(document)
        assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
        kinds = {child.type for token in tokens for child in token.children or ()}
        assert kinds <= {"text", "text_special", "softbreak"}, kinds
    assert "<" not in inert
    assert inert.isprintable()


def test_the_words_of_a_string_are_shown_as_they_are():
    for text in ("a_b *c* [d](e)", "1. x", "- y", "+1", ":-", "R&D <3"):
        for names in (False, True):
            shown = MarkdownIt("gfm-like", {"linkify": False}).parse(escape_markdown(text, names=names))[1]
            assert "".join(child.content for child in shown.children) == text
    assert escape_markdown("a\x1bb\u202e") == r"a\\x1bb\\u202e"  # shown with one backslash each


def test_figures_of_a_table_are_not_escaped_and_names_are():
    card = render_card(
        "comparison.md",
        header=["", "a"],
        rows=[{"title": "t", "cells": ["+0.5"]}],
        joint=False,
        models=[
            {"name": "- x", "model": "1. m", "source": "\x1b[31m", "n_pairs": 1, "n_prompts": 2, "estimated_on": "all"}
        ],
        notes=["--- note"],
    )
    assert r"- \- x: 1\. m on \\x1b\[31m, 1 pairs, 2 prompts" in card
    assert r"- \--- note" in card
    assert "| t | +0.5 |" in card


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_yaml_holds_one_inert_line(text):
    line = escape_yaml(text)
    assert line.isascii()
    assert not {"\n", "<", ">"} & set(line)
    assert yaml.safe_load(f"title: {line}\nother: 1") == {"title": yaml.safe_load(line), "other": 1}


def test_html_has_no_tag():
    assert escape_html("<script>&\n\x1b") == "&lt;script&gt;&amp; \\x1b"


def test_the_terminal_gets_nothing_that_moves_or_hides():
    shown = escape_terminal("a\r\x1b[2J\x9b\u202e\u2028\ud83d\x00b\tc\nd é 👍🏽")
    assert shown == "a\\r\\x1b[2J\\x9b\\u202e\\u2028\\ud83d\\x00b\tc\nd é 👍🏽"


def test_whatever_a_command_prints_passes_one_place(capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "topsecret-token")

    def work():
        sys.stdout.write("result \x1b[31m topsecret-token\n")
        sys.stderr.writelines(["progress \r\x1b[2K", "topsecret-token hf_abcdefghijkl\n"])
        sys.stderr.write("\r 50%|#####     |\x1b[A")  # a bar's own move is at the start
        return 0

    before = sys.stdout
    assert run_to_end("audit", work) == 0
    assert sys.stdout is before
    streams = capsys.readouterr()
    assert streams.out == "result \\x1b[31m ***\n"
    assert streams.err == "progress \\r\\x1b[2K*** ***\n\r 50%|#####     |\\x1b[A"


def test_bars_of_progress_still_move(capsys):
    from tqdm import tqdm

    def work():
        with tqdm(total=2, desc="outer", mininterval=0) as outer, tqdm(total=2, desc="inner", mininterval=0) as inner:
            outer.update(), inner.update()
        return 0

    assert run_to_end("audit", work) == 0
    said = capsys.readouterr().err
    assert "\r" in said
    assert "\\x1b" not in said
    assert "\\r" not in said


@pytest.mark.parametrize("kind", [SealError, DataError, MissingExtraError])
def test_the_text_of_an_error_holds_no_key(kind, monkeypatch):
    monkeypatch.setenv("SEAL_LABELER_API_KEY", "https://lm.example=abcdefgh123")
    assert str(kind("refused abcdefgh123 hf_abcdefghijkl")) == "refused *** ***"


def test_a_switch_and_the_end_of_base64_are_no_keys():
    environment = {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "USE_TOKEN": "True", "AZURE_KEY": "c2VjcmV0IGtleQ=="}
    assert redact_keys("1 of 2: a = b == True, c2VjcmV0IGtleQ==", environment) == "1 of 2: a = b == True, ***"


def test_short_keys_are_words_in_records_and_hidden_in_messages():
    environment = {"A_KEY": "model", "B_TOKEN": "longer-than-eight"}
    assert redact_keys("model longer-than-eight", environment) == "*** ***"
    assert redact_keys("model longer-than-eight", environment, shortest=8) == "model ***"

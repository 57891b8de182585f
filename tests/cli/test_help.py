"""Every verb explains itself: purpose, options and an example, in lines that fit a terminal."""

import argparse

import pytest

from seal_datasets.cli import _VERBS, _parser, main

KINDS = ("metrics", "dataset", "report", "taxonomy")
VERBS = [
    *([module.__name__.rpartition(".")[2].replace("_", "-")] for module in _VERBS),
    *(["publish", kind] for kind in KINDS),
]


def help_of(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [[], *VERBS], ids=" ".join)
def test_help_has_examples_and_short_lines(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = help_of(words, capsys)
    assert f"examples:\n  {' '.join(['seal', *words])}" in text
    assert [line for line in text.splitlines() if len(line) > 100] == []


def test_every_option_is_described():
    parsers = [_parser()]
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers.extend(action.choices.values())
            else:
                assert action.help, f"{parser.prog} {action.dest}"
    assert len(parsers) == 1 + len(VERBS)

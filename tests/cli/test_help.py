"""Every verb explains itself: purpose, options and an example, in lines that fit a terminal."""

import argparse

import pytest

from seal_datasets.cli import _VERBS, main, make_parser

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


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_help_shows_about_ten_options_and_help_all_every_one(words, capsys):
    parser = parser_of(words)
    options = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    if any(isinstance(action, argparse._SubParsersAction) for action in options):
        return
    names = {max(action.option_strings, key=len) if action.option_strings else positional(action) for action in options}
    short, shown = help_of(words, capsys), parser.common
    if len(names) <= 15:
        assert shown == ()
        assert sorted(name for name in names if name not in short) == []
        return
    assert 8 <= len(shown) <= 12
    assert [name for name in shown if name not in short.split("examples:")[0]] == []
    hidden = {name for name in names - set(shown) if name not in ("--help", "--help-all", "--config")}
    assert [name for name in hidden if f"  {name} " in short] == []
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help-all"])
    assert stopped.value.code == 0
    full = capsys.readouterr().out
    assert sorted(name for name in names if name not in full) == []
    assert f"examples:\n  seal {' '.join(words)}" in full
    assert "--no-" not in full.replace("--no-NAME", "")


def test_the_options_of_an_audit_stand_in_groups(capsys):
    with pytest.raises(SystemExit):
        main(["audit", "--help-all"])
    headings = [line for line in capsys.readouterr().out.splitlines() if line.endswith(":") and line[0] != " "]
    groups = ["data:", "reward models:", "labels:", "rewrites:", "training:", "output:"]
    assert headings == [
        "options:",
        *groups,
        "requests to language models:",
        "loading the model:",
        "computing:",
        "examples:",
    ]


def positional(action):
    return "{" + ",".join(action.choices) + "}" if action.choices else action.metavar or action.dest


def parser_of(words):
    parser = make_parser()
    for word in words:
        [verbs] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = verbs.choices[word]
    return parser


def test_every_option_is_described():
    parsers = [make_parser()]
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers.extend(action.choices.values())
            else:
                assert action.help, f"{parser.prog} {action.dest}"
    assert len(parsers) == 1 + len(VERBS)

"""A recipe holds the options of a verb; flags win over it, and what is wrong with it is named with its line."""

import argparse

import pytest
import yaml

from seal_datasets.cli import main, make_parser
from seal_datasets.cli.recipe import key_of


@pytest.fixture
def recipe(tmp_path):
    def write(text, name="recipe.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def parse(*words):
    return make_parser().parse_args(words)


def refused(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(words)
    assert stopped.value.code == 2
    return capsys.readouterr().err


def verbs():
    found = {}
    stack = [((), make_parser())]
    for words, parser in stack:
        kinds = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        for action in kinds:
            stack.extend(((*words, name), choice) for name, choice in action.choices.items())
        if not kinds:
            found[words] = parser
    return found


def test_a_recipe_stands_between_defaults_and_flags(recipe):
    path = recipe("data: pairs.jsonl\nlimit: 500\nseed: 7\n")
    options = parse("audit", "--config", path, "--seed", "8")
    assert (options.data, options.limit, options.seed, options.labeler) == ("pairs.jsonl", 500, 8, None)
    assert {"data", "limit", "seed"} <= options.changed
    assert "labeler" not in options.changed
    # Flags may stand before --config too, and a word takes the place of the recipe's.
    options = parse("audit", "other.jsonl", "--limit", "3", f"--config={path}")
    assert (options.data, options.limit, options.seed) == ("other.jsonl", 3, 7)


def test_repeated_flags_replace_the_list_of_a_recipe(recipe):
    path = recipe("data: d.jsonl\nmodel: [a=one, b=two]\nout: scored.parquet\nrevision: [a=v1]\n")
    options = parse("score", "--config", path)
    assert (options.model, options.revision) == (["a=one", "b=two"], ["a=v1"])
    options = parse("score", "--config", path, "--model", "c=three", "--model", "d=four")
    assert (options.model, options.revision) == (["c=three", "d=four"], ["a=v1"])
    assert parse("score", "--config", path).model == ["a=one", "b=two"]  # the recipe's list was not changed


def test_switches_of_a_recipe_can_be_switched_off(recipe):
    path = recipe("demo: true\ndoctor: true\nbatch: false\n")
    assert parse("audit", "--config", path).doctor is True
    options = parse("audit", "--config", path, "--no-doctor", "--batch")
    assert (options.doctor, options.batch, options.demo) == (False, True, True)


def test_required_options_may_come_from_the_recipe(recipe, capsys):
    path = recipe("data: d.jsonl\nlabelers: [local, 'm@http://localhost:1/v1']\n")
    assert "the following arguments are required: --out" in refused(["labelers", "--config", path], capsys)
    options = parse("labelers", "--config", path, "--out", "both.parquet")
    assert options.labelers == ["local", "m@http://localhost:1/v1"]


def test_options_that_share_a_place_exclude_each_other(recipe, capsys):
    words = ["publish", "dataset", "folder", "--repo", "me/x", "--config"]
    assert parse(*words, recipe("ids_only: true\nwith_texts: false\n")).texts == "never"
    assert parse(*words, recipe("ids_only: null\n")).texts == "by_license"
    assert "line 2: 'with_texts' and 'ids_only' exclude each other" in refused(
        [*words, recipe("ids_only: true\nwith_texts: true\n")], capsys
    )


def test_every_verb_takes_every_option_from_a_recipe(recipe):
    """Each option of each verb, given a value of its own kind, arrives where its flag would have put it."""
    n_options = 0
    for words, parser in verbs().items():
        actions = [
            action
            for action in parser._actions
            if action.dest not in ("help", "help_all", "config", "write_config")
            and action.help != argparse.SUPPRESS
            and key_of(action) != "with_texts"
        ]
        given = {key_of(action): value_for(action) for action in actions}
        options = vars(make_parser().parse_args([*words, "--config", recipe(yaml.safe_dump(given))]))
        for action in actions:
            value = given[key_of(action)]
            if action.nargs == 0:
                expected = action.const
            elif isinstance(value, list) or action.type is None:
                expected = value if action.type is None else [action.type(each) for each in value]
            else:
                expected = action.type(value)
            assert options[action.dest] == expected, (words, action.dest)
        n_options += len(actions)
    assert n_options > 150


def value_for(action):
    if action.nargs == 0:
        return True
    if isinstance(action, argparse._AppendAction) or action.nargs in ("+", "*"):
        return [action.choices[0] if action.choices else "one", "two"]
    if action.choices:
        return list(action.choices)[-1]
    if action.type in (int, float):
        return 3
    return "2026-01-31" if action.dest == "before" else "x.parquet"


WRONG = [
    ("limt: 5", "line 1: seal audit has no option 'limt'; the nearest is 'limit'"),
    ("seed: 1\nrewrite-share: 0.1", "line 2: seal audit has no option 'rewrite-share'; the nearest is 'rewrite_share'"),
    ("config: other.yaml", "no option 'config'"),
    ("limit: many", "line 1: limit needs a whole number, found the text 'many'"),
    ("limit: 1.5", "limit needs a whole number, found the number 1.5"),
    ("limit: true", "limit needs a whole number, found true"),
    ("budget: 5e-1x", "budget needs a number, found the text '5e-1x'"),
    ("split: 5", "split needs text, found the number 5; put it in quotes"),
    ("split: [train]", "split needs text, found a list"),
    ("doctor: 'yes please'", "doctor needs true or false, found the text 'yes please'"),
    ("rewards: post=a,b", "rewards needs a list, e.g. [NAME=CHOSEN,REJECTED], found the text 'post=a,b'"),
    ("rewards: [post=a,b, 3]", "rewards needs text, found a mapping|rewards needs text, found the number 3"),
    ("precision: float64", "precision is one of ['auto', 'float32', 'bfloat16', 'float16'], found 'float64'"),
    ("seed: 1\n\tlimit: 2", "line 2: found a tab; YAML is indented with spaces"),
    ("seed:\t1\n\tlimit: 2", "line 1: found a tab"),
    ("seed: 1\nseed: 2", "line 2: 'seed' was given in line 1 already"),
    ("- seed", "holds a list; needed are lines such as 'limit: 500'"),
    ("", "holds nothing; needed are lines"),
    ("seed", "holds the text 'seed'"),
    ("seed: [1", "line 1: not YAML"),
    ("gold: !!python/object:os.system x", "line 1: not YAML"),
    ("before: 2025-13-01", "not YAML (month must be in 1..12)"),
    ("recipe: 2\nseed: 1", "line 1: found a recipe of version 2; this seal_datasets reads version 1"),
    ("recipe: '1'", "found a recipe of version '1'"),
    ("verb: score", "line 1: found a recipe of seal score, needed is one of seal audit"),
    ("labeler_model: a***b", "line 1: labeler_model holds stars in place of a secret"),
    ("<<: {seed: 1}", "no option '<<'"),
    ("1: 2\n1.0: 3", "spells one in two ways"),
    ("? [1, 2]\n: 3", "not YAML"),
    ("[" * 3000, "nested too deeply"),
    (b"split: \xff\xfe", "is not UTF-8"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[str(message)[:40] for _, message in WRONG])
def test_what_is_wrong_with_a_recipe_is_said_with_its_place(text, message, recipe, capsys):
    path = recipe(text)
    said = refused(["audit", "--config", path], capsys)
    assert any(each in said for each in message.split("|")), said
    assert path in said
    assert said.startswith("seal audit: ")
    assert said.count("\n") == 1


def test_a_recipe_that_is_not_there_is_named(capsys, tmp_path):
    said = refused(["audit", "--config", str(tmp_path / "absent.yaml")], capsys)
    assert said == (
        f"seal audit: cannot read the recipe {tmp_path / 'absent.yaml'}: No such file or directory; "
        "give a YAML file of options\n"
    )
    assert "Is a directory" in refused(["audit", "--config", str(tmp_path)], capsys)


def test_a_shortened_config_is_refused_rather_than_ignored(recipe, capsys):
    assert "write --config in full" in refused(["audit", "--confi", recipe("demo: true")], capsys)


def test_a_recipe_runs(recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.jsonl").write_text(
        "\n".join(f'{{"prompt": "Q{n}?", "chosen": "yes {n}", "rejected": "no"}}' for n in range(5))
    )
    path = recipe("data: pairs.jsonl\nlabeler: none\nout: labelled.parquet\n")
    assert main(["featurize", "--config", path]) == 0
    assert capsys.readouterr().out == "labelled.parquet\n"

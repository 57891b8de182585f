"""Pairs that come with their rewards: audited without a model, a labeler or torch."""

import json
import math
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.audit.precomputed import audit_own_rewards
from seal_datasets.cli import main
from seal_datasets.data.load import load_pairs
from seal_datasets.errors import DataError
from seal_datasets.report.analyze import analyze
from seal_datasets.report.claims import add_claims
from seal_datasets.report.files import features_of
from seal_datasets.report.write import check_report, write_report
from seal_datasets.rewards.precomputed import add_own_rewards
from tests.report.page.words import words_of_page

REWARDS = {"pre": ("before_good", "before_bad"), "post": ("after_good", "after_bad")}
OPTIONS = [f"--rewards={name}={','.join(columns)}" for name, columns in REWARDS.items()]


@pytest.fixture(scope="module")
def table(enriched):
    """The enriched pairs as a user's own table: rewards under other names, labels as columns, gold labels."""
    pairs = enriched[0].remove_columns([schema.PARTITION])
    for model, names in REWARDS.items():
        for side, name in zip(schema.SIDES, names, strict=True):
            pairs = pairs.rename_column(schema.reward_column(model, side), name)
            pairs = pairs.remove_columns(
                [schema.reward_status_column(model, side), schema.reward_tokens_column(model, side)]
            )
    return pairs


def test_an_audit_of_own_columns_equals_one_of_scored_pairs(table, enriched, tmp_path):
    table.to_parquet(tmp_path / "own.parquet")
    report = audit_own_rewards(str(tmp_path / "own.parquet"), tmp_path / "own", REWARDS)
    assert check_report(tmp_path / "own") == []
    assert report["labels"]["last_response_is_harmless"]["gold"]["agreement"] == 1.0
    assert report["run"]["scoring"] == {"pre": {"given": 238, "not_given": 2}, "post": {"given": 237, "not_given": 3}}
    ours = analyze(enriched[0].remove_columns([schema.PARTITION]), features_of(report["run"]))
    add_claims(ours, features_of(report["run"]))
    assert {each.name for each in enriched[1]} == set(report["labels"])
    for quantity in ("models", "comparisons", "imprint", "claims"):
        assert json.loads(json.dumps(report[quantity])) == json.loads(json.dumps(ours[quantity]))
    text = (tmp_path / "own" / "report.md").read_text("utf-8")
    assert "model pairs with both rewards given by the table no score in the table" in words_of_page(tmp_path / "own")
    assert r"columns after\_good and after\_bad at sha256:" in text
    assert write_report(tmp_path / "own") == report


def test_the_command_needs_no_torch(table, tmp_path):
    table.to_parquet(tmp_path / "own.parquet")
    script = """
import importlib.machinery
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "accelerate"):
            return importlib.machinery.ModuleSpec(name, self)  # `datasets` looks for it; nobody may load it

    def create_module(self, spec):
        raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name)

    def exec_module(self, module):
        raise AssertionError

sys.meta_path.insert(0, Absent())
from seal_datasets.cli import main

raise SystemExit(main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", script, "audit", "own.parquet", "--out", "report", *OPTIONS]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert "Alignment resistance" in finished.stdout
    assert (tmp_path / "report" / "report.json").is_file()


def test_results_of_rewardbench_need_no_model(tmp_path):
    rows = [
        {
            "prompt": f"<user>Q{n}",
            "results": 1,
            "scores_chosen": n % 3,
            "scores_rejected": 1.0,
            "text_chosen": f"<user>Q{n}<bot>yes, {n}",
            "text_rejected": f"<user>Q{n}<bot>no",
            "id": n,
            "before": 0.0,
        }
        for n in range(30)
    ]
    path = tmp_path / "rm_outputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"pre": ("before", "before"), "post": ("scores_chosen", "scores_rejected")}
    report = audit_own_rewards(str(path), tmp_path / "report", given)
    # Scores 0, 1, 2 against 1: a third is aligned, a third tied.
    resistance = report["models"]["post"]["resistance"]["all"]
    assert resistance["alignment_score"] == pytest.approx(1 / 3)
    assert resistance["n_ties"] == 10


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ({}, "an audit needs a reward model"),
        ({"a b": ("before_good", "before_bad")}, "must be letters, digits and '_', got 'a b'"),
        ({"RM": REWARDS["pre"], "rm": REWARDS["post"]}, "the names 'RM' and 'rm' of models collide"),
        ({"a": REWARDS["pre"], "status_a": REWARDS["post"]}, r"collide \(column 'reward_status_a_chosen'\)"),
        ({"a": REWARDS["pre"], "b": REWARDS["pre"]}, "a and b are the same model; give each model once"),
        (
            {"pre": ("before_good", "no"), "post": REWARDS["post"]},
            "there is no column 'no' of rewards; the columns are",
        ),
        (
            {"pre": ("prompt", "before_bad"), "post": REWARDS["post"]},
            "column 'prompt', row 0: a reward must be a number",
        ),
    ],
)
def test_columns_that_are_no_rewards_are_refused(table, tmp_path, rewards, message):
    with pytest.raises(DataError, match=message):
        audit_own_rewards(table, tmp_path / "out", rewards)


def test_any_kind_of_number_is_a_reward_and_nothing_else_is():
    given = {
        "whole": (pa.int64(), [2**60 + 1, None, -1], [float(2**60), None, -1.0]),
        "half": (pa.float16(), [np.float16(0.5), None, np.float16("nan")], [0.5, None, None]),
        "infinite": (pa.float32(), [math.inf, -math.inf, 3.0], [None, None, 3.0]),
        "decimal": (pa.decimal128(5, 2), [Decimal("1.25"), None, Decimal("-3")], [1.25, None, -3.0]),
        "nothing": (pa.null(), [None] * 3, [None] * 3),
        "no_texts": (pa.string(), [None] * 3, [None] * 3),
    }
    wrong = {
        "flags": (pa.bool_(), [None, True, False], "row 1: a reward must be a number, got 'True'"),
        "texts": (pa.string(), [None, None, "9"], "row 2: a reward must be a number, got '9'"),
        "lists": (pa.list_(pa.int64()), [[1], None, [2]], r"row 0: a reward must be a number, got '\[1\]'"),
    }
    columns = {name: pa.array(values, kind) for name, (kind, values, _) in (given | wrong).items()}
    pairs = Dataset(pa.table({"chosen": ["a"] * 3, **columns}))
    for name, (_, _, expected) in given.items():
        scored = add_own_rewards(pairs, {"m": (name, "whole")})
        assert scored["reward_m_chosen"][:] == expected
        assert scored["reward_status_m_chosen"][:] == ["not_given" if v is None else "given" for v in expected]
    for name, (_, _, message) in wrong.items():
        with pytest.raises(DataError, match=f"column '{name}', {message}"):
            add_own_rewards(pairs, {"m": (name, "whole")})


def test_labels_and_names_are_checked(table, tmp_path):
    pairs, _ = load_pairs(Dataset.from_dict({"prompt": ["Q"], "chosen": ["a"], "rejected": ["b"], "s": [1]}))
    with pytest.raises(DataError, match="letters, digits and '_'"):
        add_own_rewards(pairs, {"a b": ("s", "s")})
    name = schema.feature_column("last_response_is_harmless", "chosen")
    wrong = table.remove_columns(name).add_column(name, ["perhaps"] * len(table))
    with pytest.raises(DataError, match=f"column '{name}', row 0: expected true or false, got 'perhaps'"):
        audit_own_rewards(wrong, tmp_path / "out", REWARDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--demo", *OPTIONS], "give the data"),
        (["x.jsonl", "--pre", "m", *OPTIONS], r"give both models (--pre and --post)"),
        (["x.jsonl", "--model", "m", "--model", "other/m"], "--model gives 'm' more than once"),
        (["x.jsonl", "--model", "a=m", "--model", "b=m"], "a and b are the same model"),
        (["x.jsonl", "--model", "a=m", "--baseline", "b"], "the baseline 'b' is none of the models, which are a"),
        (["x.jsonl", "--model", "a=m", "--baseline", "a"], "the baseline 'a' is the only model"),
        (["x.jsonl", "--baseline", "rm"], "none of the models that are trained, pre and post"),
        (["x.jsonl", "--model", "my-rm=m"], "must be letters, digits and '_', got 'my-rm'"),
        (["x.jsonl", "--labeler", "http://localhost:1/v1", *OPTIONS], "asks no labeler"),
        (["x.jsonl", "--rewards", "pre=one"], "NAME=CHOSEN,REJECTED"),
    ],
)
def test_the_command_says_what_does_not_go_together(arguments, message, capsys):
    assert main(["audit", *arguments]) == 2
    assert message in capsys.readouterr().err


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("step", ["analyze", "draw_figures", "render_markdown", "dump"])
def test_an_audit_that_fails_at_any_step_leaves_the_earlier_one_whole(table, tmp_path, monkeypatch, step):
    out = tmp_path / "audit"
    audit_own_rewards(table, out, REWARDS)
    before = contents(out)

    def fail(*arguments, **options):
        raise RuntimeError(f"a double of a failing {step}")

    with monkeypatch.context() as patched:
        patched.setattr(f"seal_datasets.report.write.{step}", fail)
        with pytest.raises(RuntimeError, match=step):
            audit_own_rewards(table.select(range(100)), out, REWARDS)
    assert contents(out) == before
    assert check_report(out) == []


def test_a_table_that_cannot_be_stored_leaves_the_earlier_audit_whole(tmp_path):
    rows = [{"prompt": f"q{n}", "chosen": "b", "rejected": "c", "g": 1.0, "h": 0.5} for n in range(6)]
    rewards = {"pre": ("g", "h"), "post": ("h", "g")}
    out = tmp_path / "audit"
    audit_own_rewards(Dataset.from_list(rows), out, rewards)
    before = contents(out)
    bad = Dataset.from_list([{**row, "metadata": {}} for row in rows])
    try:  # stored in another form, or refused: never half written
        audit_own_rewards(bad, out, rewards)
    except DataError:
        assert contents(out) == before
    assert len(Dataset.from_parquet(str(out / "pairs.parquet"))) == 6

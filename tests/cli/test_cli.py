"""The command as a new user meets it: help, mistakes, exit codes, and what goes to which stream."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from seal_datasets.cli import main
from seal_datasets.data.demo import demo_path

SEAL = [sys.executable, "-m", "seal_datasets.cli"]
ROWS = [{"prompt": f"Question {n}?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(12)]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def test_help_names_every_verb_and_shows_examples(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for verb in ("audit", "featurize", "score", "train-pair", "report", "install-metrics", "publish"):
        assert verb in text
    assert "seal audit --demo" in text


@pytest.mark.parametrize("verb", ["audit", "featurize", "score", "doctor", "train-pair", "report", "install-metrics"])
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert stopped.value.code == 0
    assert f"examples:\n  seal {verb}" in capsys.readouterr().out


def test_a_table_is_written_as_parquet_only(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["featurize", "pairs.jsonl", "--out", "pairs.csv"])
    assert stopped.value.code == 2
    assert "'pairs.csv' does not end in .parquet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit"], "give a dataset to audit, or --demo"),
        (["audit", "x.jsonl", "--demo"], "not both"),
        (["audit", "--demo", "--pre", "m"], "give both models"),
        (["audit", "--demo", "--labeler", "openai"], "must be 'probe', 'local', 'none' or a URL"),
        (["audit", "--demo", "--labeler", "http://localhost:1/v1"], "needs the name of its model"),
        (["audit", "--demo", "--limit", "0"], "limit must be at least 1"),
        (["audit", "--demo", "--pre-epochs", "0"], "pre_epochs must be at least 1, got 0"),
        (["audit", "--demo", "--rewrite-share", "0.1", "--min-similarity", "80"], "must lie between -1 and 1, got 80"),
        (["audit", "--demo", "--features", "politeness"], "no feature 'politeness'; it has:"),
        (["audit", "--demo", "--taxonomy", "absent.yaml"], "no taxonomy at"),
        (["audit", "absent.jsonl", "--labeler", "none"], "absent.jsonl"),
        (["report", "nowhere"], "give the folder of a finished `seal audit`"),
        (["install-metrics", "accuracy"], "alignment_resistance"),
        (["store", "inspect", "s.sqlite", "--model", "m"], "say what prune deletes; inspect takes none"),
        (["store", "repair", "s.sqlite", "--before", "2026-01-01"], "say what prune deletes; repair takes none"),
    ],
)
def test_mistakes_end_with_2_and_say_what_to_do(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert message in streams.err
    assert streams.out == ""
    assert "Traceback" not in streams.err


def test_bad_files_are_explained_by_the_command(tmp_path, capsys, reward_models):
    truncated = tmp_path / "cut.jsonl.gz"
    truncated.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode())[:-20])
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "other.jsonl").write_text(json.dumps({"text": "a", "label": 1}))
    for name, words in (("cut.jsonl.gz", "cut.jsonl.gz"), ("empty.jsonl", "empty"), ("other.jsonl", "'text', 'label'")):
        out = tmp_path / "out.parquet"
        assert main(["score", str(tmp_path / name), "--model", f"rm={reward_models['pre']}", "--out", str(out)]) == 2
        assert words in capsys.readouterr().err
        assert not out.exists()


def test_score_refuses_a_malformed_model_option(data, tmp_path, capsys):
    assert main(["score", str(data), "--model", "post", "--out", str(tmp_path / "o.parquet")]) == 2
    assert "NAME=MODEL" in capsys.readouterr().err


def test_verbs_hand_a_table_on_without_losing_columns(data, tmp_path, capsys, reward_models):
    labelled, scored = tmp_path / "labelled.parquet", tmp_path / "scored.parquet"
    assert main(["featurize", str(data), "--labeler", "none", "--out", str(labelled)]) == 0
    assert main(["score", str(labelled), "--model", f"post={reward_models['post']}", "--out", str(scored)]) == 0
    assert capsys.readouterr().out == f"{labelled}\n{scored}\n"
    before, after = (Dataset.from_parquet(str(path)) for path in (labelled, scored))
    assert set(before.column_names) < set(after.column_names)
    assert after["feature_surface_log_tokens_chosen"][:] == before["feature_surface_log_tokens_chosen"][:]
    assert after["pair_id"][:] == before["pair_id"][:]


def test_a_labeler_that_is_down_is_an_error_with_its_address(data, tmp_path, capsys):
    url = "http://127.0.0.1:9/v1"
    arguments = ["featurize", str(data), "--labeler", url, "--labeler-model", "m", "--out", str(tmp_path / "o.parquet")]
    assert main(arguments) == 2
    assert f"cannot reach the labeler at {url}" in capsys.readouterr().err


def test_a_key_is_read_from_the_environment_and_written_nowhere(data, tmp_path, monkeypatch, capsys):
    from tests.labels.test_labeler import Endpoint

    monkeypatch.setenv("SEAL_LABELER_API_KEY", "sk-very-secret")
    answer = json.dumps({"last_response_is_helpful": True})
    with Endpoint((200, answer, "stop")) as endpoint:
        arguments = ["featurize", str(data), "--labeler", endpoint.url, "--labeler-model", "m"]
        arguments += ["--features", "last_response_is_helpful", "--out", str(tmp_path / "o.parquet")]
        assert main(arguments) == 0
        assert set(endpoint.keys) == {"Bearer sk-very-secret"}
    streams = capsys.readouterr()
    assert "sk-very-secret" not in streams.out + streams.err
    written = [path.read_bytes() for path in Path(tmp_path).rglob("*") if path.is_file()]
    assert len(written) >= 3
    assert not any(b"sk-very-secret" in content for content in written)


def test_the_module_runs_as_a_program():
    finished = subprocess.run([*SEAL, "--version"], capture_output=True, text=True, check=True)
    assert finished.stdout.startswith("seal_datasets ")


def test_a_dry_run_says_what_labeling_would_cost_and_asks_nothing(tmp_path, capsys):
    out = tmp_path / "labelled.parquet"
    remote = ["--labeler", "http://127.0.0.1:9/v1", "--labeler-model", "gpt-4o-mini", "--dry-run"]
    assert main(["featurize", str(demo_path()), "--out", str(out), *remote]) == 0
    said = capsys.readouterr().out
    assert said.startswith("labels: gpt-4o-mini: ")
    assert "about $0." in said
    # Rewrites are of labelled pairs, and a served model is not asked either.
    drawn = ["--demo", "--limit", "40", "--label-limit", "10", "--rewrite-share", "0.5"]
    drawn += ["--model", "rm=served:http://127.0.0.1:9#rm"]
    strata = ["--stratify-by", "feature_last_response_is_harmless_chosen"]  # a column that labeling will add
    for more in ([], strata):
        assert main(["audit", "--out", str(tmp_path / "audit"), *drawn, *more, *remote]) == 0
        said = capsys.readouterr().out
        assert "\nrewrites: gpt-4o-mini: 10 texts, 0 of them in the store; to ask: 10 requests" in said
    two = ["--labelers", "gpt-4o-mini@http://127.0.0.1:9/v1", "local:probabilities", "--sample", "5", "--dry-run"]
    assert main(["labelers", str(demo_path()), *two, "--features", "last_response_is_helpful", "--out", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(
        "labels by gpt-4o-mini: gpt-4o-mini: 10 texts, 0 of them in the store; to ask: 10 requests"
    )
    assert "(P): " in said[1]
    assert "about $0." in said[0]
    remote = ["--rewriter", "http://127.0.0.1:9/v1", "--rewriter-model", "gpt-4o-mini", "--dry-run"]
    assert main(["rewrite", str(demo_path()), "--share", "0.1", "--axes", "long", "--out", str(out), *remote]) == 0
    assert "rewrites: gpt-4o-mini: 189 texts, 0 of them in the store; to ask: 189 requests" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    assert (
        main(
            [
                "featurize",
                str(demo_path()),
                "--out",
                str(out),
                "--labeler",
                "http://127.0.0.1:9/v1",
                "--labeler-model",
                "unknown",
                "--budget",
                "1",
            ]
        )
        == 2
    )
    assert "a budget needs the model's price" in capsys.readouterr().err


def test_a_dry_run_plans_the_rows_that_the_run_takes(tmp_path, capsys):
    rows = [{"prompt": "Q", "chosen": "long " * 10**n, "rejected": f"no {n}"} for n in range(5)]
    for name, taken in (("all", rows), ("first", rows[:2])):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in taken))
    remote = ["--labeler", "http://127.0.0.1:9/v1", "--labeler-model", "gpt-4o-mini", "--limit", "2", "--dry-run"]
    plans = []
    for name in ("all", "first"):
        source = str(tmp_path / f"{name}.jsonl")
        assert main(["featurize", source, "--out", str(tmp_path / "out.parquet"), *remote]) == 0
        plans.append(capsys.readouterr().out)
    assert plans[0] == plans[1]
    assert "4 texts" in plans[0]


def test_store_is_inspected_exported_merged_and_pruned(tmp_path, capsys):
    from seal_datasets.endpoints.store import Questions, ResponseStore, subject_key

    ours, theirs = tmp_path / "ours.sqlite", tmp_path / "theirs.sqlite"
    for path, numbers in ((ours, (1, 2)), (theirs, (2, 3))):
        with ResponseStore(path) as store:
            for number in numbers:
                reason = "length" if number == 2 else "stop"
                store.put(subject_key([number]), Questions("m", "json_schema", ("a",)), {"finish_reason": reason})
    assert main(["store", "merge", str(ours), str(theirs)]) == 0
    assert main(["store", "inspect", str(ours)]) == 0
    assert main(["store", "export", str(ours), "--out", str(tmp_path / "x.parquet")]) == 0
    assert main(["store", "prune", str(ours), "--finish-reason", "length"]) == 0
    assert main(["store", "prune", str(ours), "--before", "2020-01-01"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"1 new responses from {theirs}"
    assert said[1].startswith("m  json_schema  3 responses about 3 texts, 20")
    assert said[2] == "3 responses"
    assert said[3].startswith("m  3 requests, 0 tokens sent, 0 written; 3 requests without a count; the price table of")
    assert said[4] == f"3 responses written to {tmp_path / 'x.parquet'}"
    assert said[5:] == ["1 responses deleted, 2 are left", "0 responses deleted, 2 are left"]
    assert main(["store", "merge", str(tmp_path / "both.sqlite"), str(ours), str(theirs)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"2 new responses from {ours}", f"1 new responses from {theirs}"]
    assert main(["store", "inspect", str(tmp_path / "none.sqlite")]) == 2
    assert main(["store", "export", str(ours)]) == 2
    assert "there is no store at" in capsys.readouterr().err

"""Whatever a published `run.json` and `report.json` hold, each verb ends with a value or an error of ours."""

import copy
import json
import random
import re
import shutil

import pytest

from seal_datasets.audit.compare import compare_audits
from seal_datasets.audit.compare_markdown import render_comparison
from seal_datasets.cli import main
from seal_datasets.errors import DataError, SealError
from seal_datasets.hub import publish_dataset, publish_report
from seal_datasets.hub.commit import Repository
from seal_datasets.hub.shareable import finished_audit
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.files import read_report, read_run
from tests.hub.conftest import audit_noisy_models
from tests.report.test_analyze_rewrites import found, table  # noqa: F401 - fixtures

VALUES = (None, "x", -1, 1.5, True, [], {}, [None, "x"], {"a": None}, 10**18)
EXAMINED = {
    "failed": ["batch"],
    "n_pairs": 8,
    "tie_band": 1e-7,
    "template_hash": None,
    "example": "[CLS] a",
    "checks": [{"name": "batch", "status": "failed", "largest_difference": 0.1, "detail": "d", "advice": "a"}],
}


@pytest.fixture(scope="module")
def folder(audit_folder, found, tmp_path_factory):  # noqa: F811
    """An audit whose files have every part: rewrites, an examination, models of two kinds."""
    folder = shutil.copytree(audit_folder, tmp_path_factory.mktemp("all") / "audit")
    report = json.loads((folder / "report.json").read_text())
    run = report["run"]
    run["models"]["post"] |= {
        "reference": {"model": "ref", "revision": None},
        "beta": 0.1,
        "normalise": "sum",
        "url": "http://x",
        "invert": None,
    }
    run["doctor"], run["tie_band"] = {"pre": EXAMINED, "post": EXAMINED}, 1e-7
    run["labeler"] |= {
        "kind": "probe",
        "keep_weak": False,
        "learned": {"polite": {"status": "weak", "detail": "right in 60.0% of gold texts"}},
        "labels": {"asked": 4, "present": 1, "missing": {"refused": 3}},
        "gold": {"source": "people", "n_texts": 9, "n_prompts": 5},
    }
    run["rewrites"] = {
        "model": "m",
        "endpoint": "http://e",
        "weak": True,
        "temperature": 0.1,
        "whole_dialogue": False,
        "min_similarity": 0.7,
        "similarity_model": "s",
        "presets": ["style"],
        "axes": ["long"],
    }
    report["rewrites"] = json.loads(json.dumps(found))
    write(folder, run, report)
    return folder


def write(folder, run, report):
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "report.json").write_text(json.dumps({**report, "run": run}))


def paths_of(value, path=()):
    """Places in JSON; of a list, those of its first item."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_of(inner, (*path, key))


def changed(content, path, value=...):
    """JSON with one place deleted, or with another value."""
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return content


def changes(report, seed, count=None):
    all_changes = [(path, value) for path in paths_of(report) for value in (..., *VALUES)]
    return all_changes if count is None else random.Random(seed).sample(all_changes, count)


def read_everywhere(folder, other):
    """Everything that is made of the two files without the table: pages, cards, results, comparisons."""
    audit = finished_audit(folder)
    dataset = Repository("me/audit", "dataset", None, False, {})
    publish_report._dataset_files(dataset, audit)
    publish_report._model_files(
        Repository("me/rm", "model", None, False, {}),
        "me/audit",
        "http://hub/me/audit",
        audit,
        models_of(audit.run).last,
    )
    for ids_only in (False, True):
        publish_dataset._card(dataset, audit, ["pairs"], "mit", ids_only)
    render_comparison(compare_audits([folder / "report.json", other / "report.json"]))


def refusals(folder, audit_folder, cases):
    run, report = read_run(folder), read_report(folder)
    messages, tracebacks = [], {}
    for path, value in cases:
        hostile = changed(report, path, value)
        write(folder, hostile.get("run", run), hostile)
        if "run" not in hostile:
            (folder / "report.json").write_text(json.dumps(hostile))
        try:
            read_everywhere(folder, audit_folder)
        except SealError as error:
            messages.append(str(error))
        except Exception as error:
            tracebacks[f"{'.'.join(map(str, path))} = {value!r}"] = repr(error)
    write(folder, run, report)
    assert tracebacks == {}
    return messages


def test_no_value_of_a_report_ends_in_a_traceback(folder, audit_folder):
    cases = changes(read_report(folder), seed=1, count=60)
    messages = refusals(folder, audit_folder, cases)
    assert 15 < len(messages) < len(cases)
    assert all(re.search(r"(run|report)\.json", message) for message in messages)


@pytest.fixture(scope="module", params=[1, 3], ids=["one model", "three models"])
def by_number(request, enriched, tmp_path_factory):
    """A finished audit of one model, or of three, by subset of the source."""
    folder = tmp_path_factory.mktemp("audit")
    pairs = enriched[0].add_column("subset", [("Math", "Chat", "Code")[row % 3] for row in range(len(enriched[0]))])
    audit_noisy_models(pairs, "abc"[: request.param], folder)
    return folder


def test_no_value_of_a_report_of_other_numbers_of_models_does(by_number, audit_folder):
    cases = changes(read_report(by_number), seed=3, count=40)
    assert 10 < len(refusals(by_number, audit_folder, cases)) < len(cases)


@pytest.mark.endurance
def test_no_value_of_any_key_of_them_does(by_number, audit_folder):
    assert refusals(by_number, audit_folder, changes(read_report(by_number), seed=4))


@pytest.mark.endurance
def test_no_value_of_any_key_ends_in_a_traceback(folder, audit_folder):
    assert refusals(folder, audit_folder, changes(read_report(folder), seed=2))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("models", "post", "model"), ..., "run.json, models.post: the key 'model' is missing"),
        (("models", "post", "model"), ["x"], r"models.post.model: found a list; needed is text"),
        (
            ("features", 0, "role"),
            "boss",
            r"features\[0\].role: found 'boss'; needed is one of \['target', 'spoiler'\]",
        ),
        (("features", 0, "extra"), 1, r"features\[0\]: found the keys .*; needed is no other key"),
        (("tie_band",), -1, r"tie_band: found -1; needed is a number of at least 0"),
        (("diagnosis", "problems"), None, r"diagnosis.problems: found null; needed is keys with values"),
    ],
)
def test_a_violation_names_the_place_what_was_found_and_what_is_needed(folder, tmp_path, path, value, message):
    (tmp_path / "run.json").write_text(json.dumps(changed(read_run(folder), path, value)))
    with pytest.raises(DataError, match=message):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read .*run.json: "),
        ("", "cannot read"),
        ("[]", "holds list; needed are keys"),
        ("null", "holds NoneType; needed are keys"),
        ('{"a": NaN}', "found NaN; needed is a number or null"),
        ('{"a": 1e999}', "found 1e999; needed is a number or null"),
        ('{"a": ' + "9" * 5000 + "}", "a whole number of 5000 characters"),
        ("[" * 100_000, "it is too deep"),
        (r'{"source": "\ud83d"}', "surrogates not allowed"),
        ("<html>log in</html>", "cannot read"),
        ("\x00", "cannot read"),
    ],
)
def test_what_is_no_json_of_an_audit_is_refused(tmp_path, text, message):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_run(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "run.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(DataError, match="cannot read"):
        read_run(tmp_path)


VERBS = (
    ["report"],
    ["report", "--check"],
    ["subset", "--drop", "resistant", "--out", "subset.parquet"],
    ["compare", "OTHER", "--out", "compared"],
    ["publish", "dataset", "--repo", "me/a", "--dry-run", "--ids-only"],
    ["publish", "report", "--repo", "me/a", "--dry-run"],
)


def commands(folder, other):
    for verb in VERBS:
        at = 2 if verb[0] == "publish" else 1
        words = [str(other) if word == "OTHER" else word for word in verb]
        yield [*words[:at], str(folder), *words[at:]]


def test_each_verb_refuses_a_broken_record_in_one_line(audit_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = json.loads((audit_folder / "run.json").read_text())
    for number, broken in enumerate(({**run, "models": []}, {**run, "features": [{"name": 3}]}, {})):
        folder = shutil.copytree(audit_folder, tmp_path / str(number))
        report = json.loads((folder / "report.json").read_text())
        write(folder, broken, report)
        for words in commands(folder, audit_folder):
            assert main(words) == 2, words
            said = capsys.readouterr()
            assert said.out == "", words
            assert said.err.count("\n") == 1
            assert ".json" in said.err

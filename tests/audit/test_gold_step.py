"""Gold labels in an audit: from people, from a teacher that is asked for a share, and from neither."""

import json

import numpy as np
import pytest
from datasets import Dataset

from seal_datasets import load_pairs, load_taxonomy
from seal_datasets.audit.gold_step import draw_for_teacher
from seal_datasets.audit.label_step import label_pairs
from seal_datasets.audit.run import run_audit
from seal_datasets.audit.settings import AuditSettings, TeacherSettings
from seal_datasets.cli import main
from seal_datasets.endpoints import client
from seal_datasets.errors import DataError, LabelerError, ModelError
from tests.labels.test_labeler import Endpoint

REFUSAL = "last_response_is_refusal"
TAXONOMY = load_taxonomy().select([REFUSAL])


def rows(n=80):
    return [
        {
            "pair_id": f"p{i}",
            "prompt": f"Question {i}?",
            "chosen": f"Yes, gladly, {i}.",
            "rejected": f"I cannot say {i}.",
        }
        for i in range(n)
    ]


def gold_of(n, *, probability=None):
    columns = {"pair_id": [f"p{i}" for i in range(n)]}
    columns |= {f"gold_{REFUSAL}_{side}": [side == "rejected"] * n for side in ("chosen", "rejected")}
    return columns | ({} if probability is None else {"gold_probability": [probability] * n})


def write_gold(path, columns):
    Dataset.from_dict(columns).to_csv(path)
    return str(path)


def test_a_probe_is_the_labeler_where_there_are_gold_labels_and_none_is_elsewhere(tmp_path, capsys):
    pairs, _ = load_pairs(Dataset.from_list(rows()))
    store = tmp_path / "labels.sqlite"
    nothing = label_pairs(pairs, TAXONOMY, AuditSettings(), store)
    assert (nothing.record, nothing.pairs) == (None, pairs)
    assert "no labels: give gold labels" in capsys.readouterr().err
    settings = AuditSettings(gold=write_gold(tmp_path / "gold.csv", gold_of(30, probability=0.375)))
    labelled = label_pairs(pairs, load_taxonomy(), settings, store)
    assert labelled.taxonomy.names == (REFUSAL,)
    assert labelled.pairs[f"feature_{REFUSAL}_rejected"][:] == [True] * 80
    gold = labelled.record["gold"]
    assert gold == {"source": "people", "features": [REFUSAL], "n_texts": 60, "n_prompts": 30, "draw_known": True}
    assert labelled.record["labels"] == {"asked": 160, "present": 160, "missing": {}}
    assert set(labelled.pairs["gold_probability"]) == {0.375, None}
    again = labelled.again(labelled.pairs.remove_columns([f"feature_{REFUSAL}_chosen", f"feature_{REFUSAL}_rejected"]))
    assert again[f"feature_{REFUSAL}_rejected"][:] == [True] * 80
    assert (tmp_path / "embeddings.sqlite").exists()


def said(chosen, rejected):
    return {f"gold_{REFUSAL}_chosen": chosen, f"gold_{REFUSAL}_rejected": rejected}


def test_gold_labels_in_the_data_are_used_and_checked(tmp_path):
    pairs, _ = load_pairs(Dataset.from_list([row | said("true", "true") for row in rows(20)]))
    labelled = label_pairs(pairs, TAXONOMY, AuditSettings(), tmp_path / "s")
    assert labelled.record["learned"][REFUSAL]["status"] == "one_answer"
    assert labelled.record["gold"]["draw_known"] is False
    wrong, _ = load_pairs(
        Dataset.from_list([row | said("perhaps" if i == 3 else "false", "true") for i, row in enumerate(rows(20))])
    )
    with pytest.raises(DataError, match=rf"column 'gold_{REFUSAL}_chosen', row 3"):
        label_pairs(wrong, TAXONOMY, AuditSettings(), tmp_path / "s")


def test_a_teacher_labels_whole_prompts_of_a_drawn_share():
    pairs, _ = load_pairs(Dataset.from_list([row | {"prompt": f"Question {i // 2}?"} for i, row in enumerate(rows())]))
    ids, probability = draw_for_teacher(pairs, TeacherSettings("local", share=0.25), seed=0)
    assert (len(ids), probability) == (20, 0.25)
    assert {int(name[1:]) // 2 for name in ids} == {int(name[1:]) // 2 for name in ids if int(name[1:]) % 2}
    assert draw_for_teacher(pairs, TeacherSettings("local", share=0.25), seed=1)[0] != ids
    often = np.mean(
        ["p0" in draw_for_teacher(pairs, TeacherSettings("local", share=0.25), seed)[0] for seed in range(400)]
    )
    assert often == pytest.approx(0.25, abs=0.07)


def test_a_teachers_labels_take_the_part_of_gold_and_people_check_them(tmp_path):
    pairs, _ = load_pairs(Dataset.from_list(rows(40)))
    gold = write_gold(tmp_path / "gold.csv", gold_of(40))
    with Endpoint((200, json.dumps({REFUSAL: True}), "stop")) as endpoint:
        settings = AuditSettings(teacher=TeacherSettings(endpoint.url, "m", 0.5), gold=gold)
        labelled = label_pairs(pairs, TAXONOMY, settings, tmp_path / "s")
        assert len(endpoint.requests) == 40  # both texts of half of the pairs
        label_pairs(pairs, TAXONOMY, settings, tmp_path / "s")
        assert len(endpoint.requests) == 40  # and no text twice
    gold = labelled.record["gold"]
    assert (gold["source"], gold["n_prompts"], gold["n_texts"], gold["missing"]) == ("teacher: m", 20, 40, {})
    assert gold["checked_by_people"][REFUSAL]["agreement"] == 0.5
    assert set(labelled.pairs["gold_probability"]) == {0.5}
    assert labelled.pairs[f"gold_{REFUSAL}_chosen"][:].count(True) == 20
    assert labelled.record["learned"][REFUSAL]["status"] == "one_answer"


def test_a_teacher_that_refuses_is_an_error_and_not_a_guess(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.01)
    pairs, _ = load_pairs(Dataset.from_list(rows(40)))
    with Endpoint((200, "I will not judge that.", "stop")) as endpoint:
        settings = AuditSettings(teacher=TeacherSettings(endpoint.url, "m", 0.5))
        with pytest.raises(LabelerError, match="gave no label of 20 pairs"):
            label_pairs(pairs, TAXONOMY, settings, tmp_path / "s")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher": ("ftp://x",)}, "must be 'local' or a URL"),
        ({"teacher": ("http://x/v1",)}, "needs the name of its model"),
        ({"teacher": ("local", None, 1.5)}, "above 0 and at most 1"),
        ({"encoder": "http://localhost:1/v1"}, "name of its model after '#'"),
        ({"labeler": "oracle"}, "'probe', 'local', 'none' or a URL"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    def make():
        teacher = {"teacher": TeacherSettings(*settings["teacher"])} if "teacher" in settings else {}
        return AuditSettings(**(settings | teacher))

    with pytest.raises(DataError, match=message):
        make()


def test_a_probe_takes_no_limit_of_pairs(tmp_path):
    pairs, _ = load_pairs(Dataset.from_list(rows(10)))
    with pytest.raises(DataError, match="a probe labels all pairs"):
        label_pairs(pairs, TAXONOMY, AuditSettings(labeler="probe", label_limit=3), tmp_path / "s")


def test_gold_of_other_pairs_and_an_encoder_that_is_none_are_named(tmp_path):
    pairs, _ = load_pairs(Dataset.from_list(rows(10)))
    gold = write_gold(tmp_path / "gold.csv", gold_of(12))
    with pytest.raises(DataError, match="2 of the 12 pair ids of the gold labels are not in the data"):
        label_pairs(pairs, TAXONOMY, AuditSettings(gold=gold), tmp_path / "s")
    (tmp_path / "empty").mkdir()
    settings = AuditSettings(gold=write_gold(tmp_path / "g.csv", gold_of(10)), encoder=str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="cannot load"):
        label_pairs(pairs, TAXONOMY, settings, tmp_path / "s")


def test_an_audit_tells_its_probe_and_a_plan_counts_its_texts(tmp_path, capsys):
    scored = [row | {"a": 1.0 + i % 3, "b": 0.5 * (i % 5)} for i, row in enumerate(rows(60))]
    data, gold = tmp_path / "pairs.jsonl", write_gold(tmp_path / "gold.csv", gold_of(30, probability=0.5))
    data.write_text("\n".join(map(json.dumps, scored)))
    out = tmp_path / "report"
    report = run_audit(str(data), out, AuditSettings(gold=gold), models={"rm": ("a", "b")})
    labeler = report["run"]["labeler"]
    assert (labeler["model"], labeler["kind"], labeler["learned"][REFUSAL]["status"]) == ("probe", "probe", "ok")
    assert report["labels"][REFUSAL]["gold"]["agreement"] == 1.0
    assert "probe" in (out / "report.md").read_text()
    assert main(["report", str(out), "--check"]) == 0
    recipe = (out / "recipe.yaml").read_text()
    assert "gold:" in recipe
    capsys.readouterr()


def test_the_command_line_asks_a_probe(tmp_path, capsys):
    data, gold = tmp_path / "pairs.jsonl", write_gold(tmp_path / "gold.csv", gold_of(30))
    data.write_text("\n".join(map(json.dumps, rows(40))))
    out = tmp_path / "labelled.parquet"
    assert main(["featurize", str(data), "--out", str(out), "--gold", gold, "--dry-run"]) == 0
    assert "labels" in capsys.readouterr().out
    assert main(["featurize", str(data), "--out", str(out), "--gold", gold]) == 0
    assert Dataset.from_parquet(str(out))[f"feature_{REFUSAL}_rejected"][:] == [True] * 40
    assert main(["featurize", str(data), "--out", str(out), "--labeler", "probe"]) == 2
    assert "a probe learns from gold labels" in capsys.readouterr().err
    assert main(["featurize", str(data), "--out", str(out), "--teacher-model", "m"]) == 2
    assert "--teacher" in capsys.readouterr().err

"""Audits of one model, of five checkpoints, of models of every kind together, and of models that fail on some texts."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from seal_datasets import estimate
from seal_datasets.audit.compare import compare_audits
from seal_datasets.audit.given_models import give_models, name_of
from seal_datasets.audit.precomputed import audit_own_rewards
from seal_datasets.audit.run import run_audit
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.audit.training_subset import training_subset
from seal_datasets.cli import main
from seal_datasets.data.demo import demo_path
from seal_datasets.errors import DataError
from seal_datasets.report.audit_schema import check_audit_json, json_schema
from seal_datasets.report.headline import headline
from seal_datasets.report.write import check_report
from tests.report.page.words import words_of_page
from tests.rewards.models import CHAT_TEMPLATE, save_llama

CHECKPOINTS = ["sft", "step_1", "step_2", "step_3", "step_4"]


def a_table(n_prompts=120, seed=0):
    """Two pairs a prompt; each checkpoint pays more for a kind answer, and the last two pay alike."""
    rng = np.random.default_rng(seed)
    rows = {"prompt": [f"Question {i // 2}?" for i in range(2 * n_prompts)]}
    paid = dict(zip(CHECKPOINTS, (0.0, 1.0, 2.0, 4.0, 4.0), strict=True))
    for side, share in (("chosen", 0.7), ("rejected", 0.3)):
        kind = rng.random(2 * n_prompts) < share
        rows[side] = [f"{'Kind' if each else 'Plain'} answer {i} {side}" for i, each in enumerate(kind)]
        rows[f"feature_last_response_is_harmless_{side}"] = kind.tolist()
        shared = rng.normal(size=2 * n_prompts)
        for name, points in paid.items():
            rows[f"{name}_{side}"] = (points * kind + shared + 0.3 * rng.normal(size=2 * n_prompts)).tolist()
    return rows


def columns_of(*names):
    return {name: (f"{name}_chosen", f"{name}_rejected") for name in names}


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    out = tmp_path_factory.mktemp("five")
    return out, audit_own_rewards(Dataset.from_dict(a_table()), out, columns_of(*CHECKPOINTS))


def test_one_model_has_no_comparison_and_everything_else(tmp_path):
    report = audit_own_rewards(Dataset.from_dict(a_table()), tmp_path, columns_of("step_3"))
    assert check_report(tmp_path) == []
    check_audit_json(report, "report", "report.json")
    assert (report["run"]["baseline"], report["comparisons"]) == (None, {})
    assert "ranking" not in report
    model = report["models"]["step_3"]
    assert {"drivers", "amplification", "congruence", "rulers", "reward_calibration", "labeler_agreement"} <= set(model)
    assert set(model["labeler_agreement"]["regimes"]) == {"aligned", "misaligned"}
    assert report["primary_family"]["quantities"] == ["imprint", "amplification"]
    lines = headline(report)
    assert lines[0].endswith("on 240 pairs: the model does not prefer the response that humans chose.")
    assert any(line.startswith("The model rewards last_response_is_harmless (+") for line in lines)
    text = (tmp_path / "report.md").read_text()
    assert "There is no baseline, and so there are no regimes." in words_of_page(tmp_path)
    assert "became aligned" not in text
    assert not (tmp_path / "figures" / "table1_regimes.png").exists()
    assert "None" not in text


def test_numbers_of_a_model_are_the_same_alone_and_among_others(five, tmp_path):
    alone = audit_own_rewards(Dataset.from_dict(a_table()), tmp_path, columns_of("step_3"))
    among = five[1]
    assert alone["models"]["step_3"]["resistance"] == among["models"]["step_3"]["resistance"]
    for row, other in zip(
        *(report["imprint"]["all_features"]["standardised"]["sd"]["models"]["step_3"] for report in (alone, among)),
        strict=True,
    ):
        if row["estimate"] is not None:
            assert row["estimate"] == pytest.approx(other["estimate"])
            assert row["std_error"] == pytest.approx(other["std_error"])


def test_five_checkpoints_have_a_trajectory_a_joint_test_and_ranks(five):
    out, report = five
    assert check_report(out) == []
    check_audit_json(report, "report", "report.json")
    assert report["run"]["baseline"] == "sft"
    assert list(report["models"]) == CHECKPOINTS
    assert list(report["comparisons"]) == [f"{name} - sft" for name in CHECKPOINTS[1:]]
    neighbours = [f"{b} - {a}" for a, b in pairwise(CHECKPOINTS[1:])]
    assert list(report["trajectory"]["changes"]) == [*report["comparisons"], *neighbours]
    rows = a_table()
    prompts = rows["prompt"]
    margins = {name: np.subtract(rows[f"{name}_chosen"], rows[f"{name}_rejected"]) for name in CHECKPOINTS}
    expected = estimate.resistance_trajectory(margins, groups=prompts, baseline="sft")
    assert report["trajectory"]["any_change"]["p_value"] == expected.any_change_p_value < 0.05
    ranked = estimate.rank_models(margins, groups=prompts)
    assert [row["model"] for row in report["ranking"]["ranking"]] == [row.model for row in ranked.ranking]
    places = {row["model"]: row["rank_interval"] for row in report["ranking"]["ranking"]}
    assert places["sft"][0] > 1
    assert places["step_4"][0] == 1
    harmless = report["imprint"]["all_features"]["any_change"][0]
    assert (harmless["feature"], harmless["p_value"] < 0.001) == ("last_response_is_harmless", True)
    claimed = {claim["model"] for claim in report["claims"] if claim["quantity"] == "change"}
    assert claimed == set(report["comparisons"])
    assert report["primary_family"]["models"] == CHECKPOINTS[1:]
    lines = headline(report)
    assert lines[1].startswith("The lowest resistance of the 5 models may be that of step_3, ")
    assert lines[1].endswith(", not of sft (95 %).")
    rows = report["ranking"]["ranking"]
    alone = [row | {"rank_interval": [1, 1] if row["model"] == "step_4" else [2, 5]} for row in rows]
    level = {"ranking": {**report["ranking"], "ranking": alone}}
    assert headline({**report, **level})[1].startswith("Of 5 models step_4 has the lowest resistance (95 %, ")
    level = {"ranking": {**report["ranking"], "ranking": [row | {"rank_interval": [1, 5]} for row in rows]}}
    assert headline({**report, **level})[1] == "No model can be said to have the lowest resistance of the 5 (95 %)."
    said = [line for line in lines if line.startswith("Changes of an imprint against sft, in SD of reward: ")]
    assert len(said) == 1
    assert all(f" for {name}" in said[0] for name in CHECKPOINTS[1:])
    text = (out / "report.md").read_text()
    assert "| sft, the baseline | 240 | " in text
    assert "| feature | asked | step_1: imprint, given | step_2: imprint, given | step_3: imprint, given |" in text
    assert len(text.splitlines()) <= 90
    assert "step_3 - sft" in words_of_page(out)
    rows = (out / "tables" / "imprint.csv").read_text()
    assert all(f"\n{name},last_response_is_harmless," in rows for name in CHECKPOINTS[1:])


def test_the_baseline_is_the_one_that_is_named(tmp_path):
    table = Dataset.from_dict(a_table(40))
    table.to_parquet(str(tmp_path / "t.parquet"))
    words = [f"--rewards={name}={name}_chosen,{name}_rejected" for name in CHECKPOINTS[:3]]
    out = tmp_path / "out"
    assert main(["audit", str(tmp_path / "t.parquet"), *words, "--baseline", "step_2", "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert list(report["comparisons"]) == ["sft - step_2", "step_1 - step_2"]
    assert list(report["trajectory"]["changes"]) == ["sft - step_2", "step_1 - step_2", "step_1 - sft"]
    assert main(["audit", "--config", str(out / "recipe.yaml"), "--out", str(tmp_path / "again")]) == 0
    assert json.loads((tmp_path / "again" / "report.json").read_text()) == report


def test_models_of_every_kind_stand_together(reward_models, minilm, tmp_path):
    """A classifier, the implicit reward of a policy, and columns of the data."""
    policy, reference = (
        save_llama(tmp_path / name, minilm, seed, template=CHAT_TEMPLATE, positions=512)
        for seed, name in enumerate(("policy", "reference"))
    )
    pairs = [json.loads(line) for line in Path(demo_path()).read_text().splitlines()[:24]]
    (tmp_path / "pairs.jsonl").write_text(
        "".join(json.dumps({**row, "c": i % 5, "r": 2}) + "\n" for i, row in enumerate(pairs))
    )
    models = {"rm": reward_models["post"], "policy": f"dpo:{policy}@{reference}", "old": ("c", "r")}
    settings = AuditSettings(labeler="none", over_length="truncate")
    report = run_audit(str(tmp_path / "pairs.jsonl"), tmp_path / "out", settings, models=models, baseline="old")
    assert list(report["models"]) == ["rm", "policy", "old"]
    assert report["run"]["models"]["old"]["model"] == "columns c and r"
    assert report["run"]["models"]["policy"]["reference"]["revision"].startswith("sha256:")
    assert report["models"]["old"]["resistance"]["all"]["alignment_score"] == pytest.approx(
        sum(i % 5 > 2 for i in range(24)) / 24
    )
    assert list(report["comparisons"]) == ["rm - old", "policy - old"]
    assert check_report(tmp_path / "out") == []


def test_pairs_that_a_model_has_no_reward_for_are_counted_by_model(tmp_path):
    rows = a_table(40)
    rows["step_1_chosen"][3] = rows["step_1_chosen"][4] = None
    rows["step_2_rejected"][4] = math.inf
    report = audit_own_rewards(Dataset.from_dict(rows), tmp_path, columns_of(*CHECKPOINTS[:3]))
    population = report["population"]
    assert population["n_scored"] == {"sft": 80, "step_1": 78, "step_2": 79}
    assert population["n_used"] == 78
    assert sum(population["excluded"].values()) == 2
    assert {found["resistance"]["all"]["n_pairs"] for found in report["models"].values()} == {78}
    page = words_of_page(tmp_path)
    assert "step_1 78 158 2 " in page
    assert "no reward from step_1 for the chosen text 2 " in page
    assert "2 left out: no reward from step_1 for the chosen text" in (tmp_path / "report.md").read_text()


def test_the_same_model_twice_is_refused(reward_models, tmp_path):
    settings = AuditSettings(labeler="none", limit=8)
    with pytest.raises(DataError, match="a and b are the same model"):
        give_models({"a": "my/rm", "b": "my/rm"})
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in Path(reward_models["pre"]).iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    twins = {"a": reward_models["pre"], "b": str(copy)}  # other folders, the same weights
    with pytest.raises(DataError, match=r"a and b are the same model .* give each model once"):
        run_audit(str(demo_path()), tmp_path / "out", settings, models=twins)
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize("model", [("a",), ("a", "b", "c"), ["a", "b"], ("a", 1), 3, None])
def test_what_is_neither_a_model_nor_two_columns_is_refused(model):
    with pytest.raises(
        DataError, match=r"the model 'rm' is given as .* needed is an id or path, or a tuple of the columns"
    ):
        give_models({"rm": model})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my/rm-v2.1", "rm_v2_1"),
        ("/models/7b/", "rm_7b"),
        ("dpo-length:my/policy@my/sft", "policy"),
        ("served:http://localhost:8000#my/rm@my/tokenizer", "rm"),
        ("modèles/été", "été"),
    ],
)
def test_a_model_without_a_name_takes_it_from_its_id(text, name):
    assert name_of(text) == name


def test_a_subset_is_judged_by_the_model_that_is_named(five):
    counts = {
        name: training_subset(five[0], flag=["resistant"], model=name).counts["resistant"].count
        for name in ("sft", "step_4", None)
    }
    assert counts["sft"] > counts["step_4"] == counts[None]
    with pytest.raises(DataError, match="has no model 'rm'; its models are sft, step_1"):
        training_subset(five[0], flag=["resistant"], model="rm")


def test_audits_with_other_models_are_compared_where_they_share_one(five, tmp_path):
    rows = Dataset.from_dict(a_table())
    audit_own_rewards(rows, tmp_path / "a", columns_of("sft", "step_1", "step_2"))
    audit_own_rewards(rows, tmp_path / "b", columns_of("step_1", "step_2", "step_4"))
    found = compare_audits([tmp_path / "a", tmp_path / "b"])
    # step_1 is the baseline of b and is audited in a.
    assert [model["name"] for model in found["models"]] == [
        "a: step_1",
        "a: step_2",
        "b: step_1",
        "b: step_2",
        "b: step_4",
    ]
    resistance = [row for row in found["differences"] if row["quantity"] == "resistance"]
    assert [(row["earlier"], row["later"]) for row in resistance] == [
        ("a: step_1", "b: step_1"),
        ("a: step_2", "b: step_2"),
    ]
    assert [row["difference"] for row in resistance] == [0.0, 0.0]
    assert "step_1 with step_1 (the same model), step_2 with step_2 (the same model)" in found["notes"][0]
    audit_own_rewards(
        rows, tmp_path / "c", {"rm": ("step_1_chosen", "step_1_rejected"), "other": ("sft_chosen", "sft_rejected")}
    )
    renamed = compare_audits([tmp_path / "a", tmp_path / "c"])
    # The same columns of the same data under another name are the same model.
    assert ("a: step_1", "c: rm") in {(row["earlier"], row["later"]) for row in renamed["differences"]}


def test_a_report_of_an_earlier_form_is_refused_with_what_to_do(five, tmp_path):
    for name, content, message in (
        ("report.json", {"run": {}, "resistance": {}}, "form 1, of an earlier version; this version reads form 2"),
        ("report.json", {"schema": 3}, "form 3, of a later version"),
    ):
        (tmp_path / name).write_text(json.dumps(content))
        with pytest.raises(DataError, match=message):
            compare_audits([five[0], tmp_path / name])
    old = {key: value for key, value in json.loads((five[0] / "run.json").read_text()).items() if key != "schema"}
    (tmp_path / "run.json").write_text(json.dumps(old))
    (tmp_path / "pairs.parquet").write_bytes((five[0] / "pairs.parquet").read_bytes())
    with pytest.raises(DataError, match="it reuses the labels and rewards there"):
        check_report(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report["run"].update(baseline="rm"), r"baseline: found 'rm'; needed is one of \['sft'"),
        (lambda report: report["models"].pop("step_2"), "models: found the keys .* needed is 'step_2' too"),
        (lambda report: report["comparisons"].pop("step_2 - sft"), "needed is 'step_2 - sft' too"),
        (lambda report: report["imprint"]["all_features"]["any_change"].pop(), "different numbers of rows"),
        (lambda report: report["models"]["step_1"].pop("drivers"), "needed is 'drivers' too"),
    ],
)
def test_a_report_whose_models_do_not_fit_together_is_refused(five, change, message):
    report = json.loads((five[0] / "report.json").read_text())
    change(report)
    with pytest.raises(DataError, match=message):
        check_audit_json(report, "report", "report.json")


def test_the_published_schema_is_the_one_that_reports_are_checked_by():
    published = Path(__file__).parents[2] / "docs" / "report.schema.json"
    assert json.loads(published.read_text()) == json_schema("report"), (
        "write it anew: python -c 'import json; from seal_datasets.report.audit_schema import json_schema; "
        'print(json.dumps(json_schema("report"), indent=1))\' > docs/report.schema.json'
    )

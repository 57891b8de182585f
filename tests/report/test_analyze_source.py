"""A whole report of a source with subsets and with rows of several responses."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from datasets import Dataset, concatenate_datasets

from seal_datasets import schema
from seal_datasets.audit.finish import with_columns
from seal_datasets.data.load import load_pairs
from seal_datasets.labels.featurize import add_surface_features
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.report.analyze import derived_columns
from seal_datasets.report.audit_schema import check_audit_json
from seal_datasets.report.audited_models import PRE_AND_POST
from seal_datasets.report.markdown import render_markdown
from seal_datasets.report.write import check_report, write_report
from tests.report.test_analyze_responses import row
from tests.report.test_write import RUN


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """48 rows like RewardBench 2's: after training, right answers of Math have a point more, and those of Focus do not."""
    rng = np.random.default_rng(0)
    rows = [row(str(k), ("Math", "Focus|<b>")[k % 2], 1, 3) for k in range(40)]
    rows += [row(f"{kind}:{k}", "Ties", 3 if kind == "tied" else 1, 3) for k in range(4) for kind in ("tied", "ref")]
    pairs = add_surface_features(load_pairs(Dataset.from_list(rows))[0])
    subsets, columns = np.array(pairs["subset"][:]), {}
    responses = {
        side: list(zip(pairs["source_row"][:], pairs[f"response_index_{side}"][:], strict=True))
        for side in schema.SIDES
    }
    for name in PRE_AND_POST.names:
        noise = {each: rng.normal() for side in schema.SIDES for each in responses[side]}
        for side in schema.SIDES:
            better = 2.0 * (subsets != "Focus|<b>") * (name == "post") * (side == "chosen")
            columns[schema.reward_column(name, side)] = [
                noise[each] + more for each, more in zip(responses[side], better, strict=True)
            ]
    table = concatenate_datasets([pairs, Dataset.from_dict(columns)], axis=1)
    features = list(SURFACE_FEATURES)[:2]
    folder = tmp_path_factory.mktemp("audit")
    with_columns(table, derived_columns(table, features), PRE_AND_POST).to_parquet(str(folder / "pairs.parquet"))
    run = {**RUN, "features": [asdict(feature) for feature in features]}
    (folder / "run.json").write_text(json.dumps(run))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def report(folder):
    return json.loads((folder / "report.json").read_text())


def test_a_trained_model_is_better_in_one_subset(report):
    found = report["responses"]["models"]["post"]["best_of_n"]["by"]["subset"]
    assert found["groups"]["Math"]["accuracy"] > 0.8 > found["groups"]["Focus|<b>"]["accuracy"]
    assert found["test"]["p_value"] < 0.01
    assert report["responses"]["models"]["pre"]["best_of_n"]["by"]["subset"]["test"]["p_value"] > 0.05
    assert report["responses"]["models"]["post"]["ties"]["n_both"] == 4
    resistance = report["groups"]["subset"]["models"]["post"]["resistance"]
    assert {each["group"]: each["n"] for each in resistance["groups"]} == {"Math": 60, "Focus|<b>": 60, "Ties": 48}
    assert resistance["p_value"] < 0.01
    assert set(report["groups"]["subset"]["comparisons"]) == {"post - pre"}


def test_tests_of_groups_are_exploratory(report):
    found = report["groups"]["subset"]["models"]["post"]
    assert found["resistance"]["q_value"] >= found["resistance"]["p_value"]
    assert report["responses"]["models"]["post"]["best_of_n"]["by"]["subset"]["test"]["q_value"] is not None


def test_the_report_shows_both_and_is_computed_again(folder):
    text, page = (folder / "report.md").read_text(), (folder / "report.html").read_text()
    assert "By subset, post resists " in text
    assert "| model | best of n |" in text
    assert "Focus\\|" in text
    assert "<b>" not in text
    assert "By subset of the source" in page
    assert "Several responses to a prompt" in page
    assert "Focus|&lt;b&gt;" in page
    assert check_report(folder) == []


def test_pairs_without_either_have_no_such_parts(enriched):
    from seal_datasets.report.analyze import analyze

    assert not {"groups", "responses"} & analyze(*enriched).keys()


def test_parts_that_one_model_lacks_leave_cells_empty(report):
    changed = json.loads(json.dumps(report))
    del changed["groups"]["subset"]["models"]["post"]["resistance"]["groups"][1:]
    del changed["responses"]["models"]["pre"]["best_of_n"]
    del changed["responses"]["models"]["post"]["best_of_n"]["by"]["subset"]["groups"]["Math"]
    changed["responses"]["models"]["pre"]["ties"] = {"status": "no *such* id"}
    check_audit_json(changed, "report", "report.json")
    assert "no \\*such\\* id" in render_markdown(changed, {})

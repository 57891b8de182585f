"""What a page holds of an audit: all pairs, a sample of many, all texts, some or none."""

import base64
import gzip
import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from seal_datasets.audit.precomputed import OwnRewardsSettings, audit_own_rewards
from seal_datasets.cards import format_percent
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.files import features_of, read_audit
from seal_datasets.report.page import pair_columns
from seal_datasets.report.page.pair_figures import alignment_figure
from seal_datasets.report.page.write import render_page
from tests.report.page.conftest import rows_of


def page_of(folder, **options):
    report = json.loads((folder / "report.json").read_text())
    path, features = folder / "pairs.parquet", features_of(report["run"])
    used = pair_columns.used_pairs(path, features, models_of(report["run"]))
    return render_page(report, used, path, features, **options)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def unpacked(text):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_rewards_and_ids_are_those_of_the_table(two):
    data, pairs = data_of(page_of(two)), read_audit(two)[0]
    block = data["columns"]["reward_after_chosen"]
    kinds = {"f4": "<f4", "f8": "<f8"}
    values = np.frombuffer(gzip.decompress(base64.b64decode(block["data"])), kinds[block["kind"]])
    assert values.tolist() == pairs["reward_after_chosen"][:]
    assert unpacked(data["ids"]) == pairs["pair_id"][:]
    assert unpacked(data["texts"]["rejected"]) == pairs["rejected"][:]


def test_no_texts_are_no_texts(two):
    page = page_of(two, texts="none")
    assert "and no texts; the audit" in page
    assert data_of(page)["texts"]["rows"] == []


def test_of_many_texts_a_stratified_sample_is_shown_and_said(two, monkeypatch):
    monkeypatch.setattr(pair_columns, "MOST_SAMPLED", 40)
    page = page_of(two)
    held = data_of(page)["texts"]
    assert len(held["rows"]) == 40 == len(unpacked(held["chosen"]))
    assert "the texts of 40, equally from each kind" in page
    regimes = np.array(read_audit(two)[0]["regime_after"][:])[held["rows"]]
    assert np.unique(regimes, return_counts=True)[1].tolist() == [10, 10, 10, 10]
    assert len(data_of(page_of(two, texts="all"))["texts"]["rows"]) == 300


def test_of_very_many_pairs_a_sample_is_held_and_nothing_is_computed_again(two, monkeypatch):
    monkeypatch.setattr(pair_columns, "MOST_PAIRS", 100)
    page = page_of(two)
    data = data_of(page)
    assert (data["n"], data["expected"]) == (100, None)
    assert "the numbers of 100 of 300 pairs, drawn at random" in page
    report = json.loads((two / "report.json").read_text())["models"]["after"]["resistance"]["heldout"]
    assert f"Read the {round(report['alignment_resistance'] * report['n_pairs'])} resistant pairs" in page


def test_a_page_without_all_texts_says_where_in_the_file_they_are(two, monkeypatch):
    monkeypatch.setattr(pair_columns, "MOST_PAIRS", 100)
    page = page_of(two, texts="none")
    data = data_of(page)
    rows = np.cumsum(np.frombuffer(gzip.decompress(base64.b64decode(data["file"]["steps"]["data"])), "<i4"))
    assert data["file"]["n_rows"] == 300
    assert np.array(read_audit(two)[0]["pair_id"][:])[rows].tolist() == unpacked(data["ids"])


def test_only_a_page_that_lacks_texts_holds_the_reader_of_files_and_it_is_small(two, tmp_path):
    whole, none = page_of(two), page_of(two, texts="none")
    assert "hyparquet" not in whole
    assert 'id="file"' not in whole
    assert data_of(whole)["file"] is None
    assert 'id="file"' in none
    held = sum(len(block) for block in data_of(whole)["texts"].values() if isinstance(block, str))
    assert 0 < len(none) - len(whole) + held < 60_000


def test_where_the_file_holds_no_texts_none_can_be_opened(two, tmp_path):
    folder = shutil.copytree(two, tmp_path / "audit")
    pq.write_table(pq.read_table(folder / "pairs.parquet").drop_columns(["rejected"]), folder / "pairs.parquet")
    page = page_of(folder)
    assert 'id="file"' not in page
    assert "the numbers of all 300 pairs; the audit&#39;s <code>pairs.parquet</code> holds no texts" in page


def test_the_model_that_is_compared_is_shown_first_wherever_the_baseline_is_named(tmp_path):
    rows = rows_of(60, ("after", "before"), texts=("Fine.", "No."))
    columns = {name: (f"{name}_c", f"{name}_r") for name in ("after", "before")}
    report = audit_own_rewards(Dataset.from_list(rows), tmp_path, columns, OwnRewardsSettings(baseline="before"))
    assert data_of((tmp_path / "report.html").read_text())["models"] == ["before", "after"]
    score = report["models"]["after"]["resistance"]["all"]["alignment_score"]
    assert score != report["models"]["before"]["resistance"]["all"]["alignment_score"]
    assert alignment_figure(report).title == f"after prefers what people chose in {format_percent(score)} of pairs"


def test_a_tie_is_not_said_to_prefer_the_rejected_response(tmp_path):
    rows = [{"prompt": f"{i}", "chosen": "a", "rejected": "b", "x": 1.0, "y": 1.0 + (i == 7)} for i in range(20)]
    report = audit_own_rewards(Dataset.from_list(rows), tmp_path, {"rm": ("x", "y")})
    assert [pair.why for pair in report.first_pairs()] == [
        "rm prefers the rejected response by 1.00; among the largest margins against people's choice",
        *["rm prefers neither response; a tie, which counts as not preferring the chosen one"] * 2,
    ]


@pytest.mark.parametrize("name", ["report.html", "report.json"])
def test_the_report_is_one_file_without_outside_references(two, name):
    content = (two / name).read_text()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', content)
    assert "vega.github.io" not in content

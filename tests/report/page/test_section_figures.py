"""Pictures of the other sections: every one is valid, and titles find only what tests find."""

import json
import re

import pandas as pd
import pytest

from seal_datasets.report.audited_models import models_of
from seal_datasets.report.files import features_of
from seal_datasets.report.headline import headline
from seal_datasets.report.page import (
    feature_figures,
    label_figures,
    memory_figures,
    pair_columns,
    pair_figures,
    ruler_figures,
    shift_figures,
)
from seal_datasets.report.page.draw import as_svg
from seal_datasets.report.page.sections import sections_of
from seal_datasets.report.page.side_by_side_chart import side_by_side
from seal_datasets.theme import NARROW, WIDE
from tests.report.page.test_verdict import report_of


@pytest.fixture
def audited(two):
    report = json.loads((two / "report.json").read_text())
    used = pair_columns.used_pairs(two / "pairs.parquet", features_of(report["run"]), models_of(report["run"]))
    return report, used


def test_every_picture_of_a_page_is_valid_and_tells_its_n(audited):
    figures = [figure for section in sections_of(*audited) for figure in section.figures]
    assert {"balance", "memory", "rulers_after", "shift_angles"} <= {figure.name for figure in figures}
    for figure in figures:
        assert len({tuple(row) for row in figure.rows}) == 1
        for width in (WIDE, NARROW):
            figure.draw(width).to_dict()


def test_a_section_without_pictures_and_numbers_says_why(audited):
    report, used = audited
    for section in sections_of(report | {"balance": []}, used):
        assert section.figures or section.body or section.empty or section.id == "pairs", section.id
    [balance] = [section for section in sections_of(report | {"balance": []}, used) if section.id == "balance"]
    assert balance.empty.startswith("No feature differs in ten pairs or more")


def test_the_title_of_balance_names_what_tests_find(audited):
    report, _ = audited
    rows = [row for row in report["balance"] if row["status"] == "ok"]
    for row in rows:
        row["q_value"] = 0.5
    assert label_figures.balance_figure(report).title == "No feature is found more often on one side"
    rows[0] |= {"feature": "surface_log_tokens", "share_chosen": 0.3, "q_value": 0.01}
    assert label_figures.balance_figure(report).title == "More often on the rejected side: length (log tokens)"


def test_a_feature_that_is_always_on_one_side_is_shown_without_a_test(audited):
    report, _ = audited
    always = {"feature": "surface_has_code", "share_chosen": 1.0, "confidence_interval": [0.9, 1.0], "n_discordant": 40}
    always |= {"n_pairs": 300, "p_value": None, "q_value": None, "status": "no_residual_variation"}
    figure = label_figures.balance_figure(report | {"balance": [always]})
    assert [row["share_chosen"] for row in figure.rows] == [1.0]
    assert figure.title == "No feature is found more often on one side"
    assert figure.note.endswith("Not tested, as its pairs do not vary: code.")
    never = always | {"share_chosen": None, "confidence_interval": [None, None], "status": "no_discordant"}
    assert label_figures.balance_figure(report | {"balance": [never]}) is None


def test_answers_of_a_feature_with_several_lead_nowhere_and_others_to_their_pairs(audited):
    report, _ = audited
    row = next(row for row in report["balance"] if row["status"] == "ok")
    rows = [row, row | {"feature": "topics: law & order"}]
    svg = as_svg(label_figures.balance_figure(report | {"balance": rows}).draw(WIDE))
    assert re.findall(r'href="([^"]*)"', svg) == [f"#differs={rows[0]['feature']}"]


def test_models_side_by_side_lead_only_to_pairs_that_the_page_holds():
    row = {"label": "code", "value": 1.0, "low": 0.5, "high": 1.5, "found": True, "color": "#000000", "told": "code"}
    rows = [
        row | {"model": name, "shape": "circle", "href": href} for name, href in (("a", "#differs=code"), ("b", None))
    ]
    svg = as_svg(side_by_side(rows, ["a", "b"], WIDE, axis="imprint"))
    assert re.findall(r'href="([^"]*)"', svg) == ["#differs=code"]


def test_an_imprint_counts_prompts_and_what_is_given_counts_pairs():
    report = report_of(effect=1.5)
    imprint, given = feature_figures.imprint_figure(report, "rm"), feature_figures.amplification_figure(report, "rm")
    assert ("prompts_that_differ" in imprint.columns, "pairs_that_differ" in given.columns) == (True, True)
    assert "prompts differ in a feature" in imprint.note
    assert "pairs differ in a feature" in given.note
    assert any("prompts that differ" in line for line in headline(report))


def test_a_tie_band_without_an_examination_is_not_said_to_have_passed_checks(audited):
    report, used = audited
    run = report["run"] | {"tie_band": 0.5, "doctor": None}
    [doctor] = [section for section in sections_of(report | {"run": run}, used) if section.id == "doctor"]
    assert doctor.title == "The scores were not examined; a tie band is given"


def test_rewards_that_are_nearly_all_the_same_are_mapped_over_all_of_them():
    frame = pd.DataFrame({"reward_rm_chosen": [0.0] * 2000 + [1.0], "reward_rm_rejected": [0.0] * 2001})
    rows = pair_figures.map_figure(frame, "rm").rows
    assert [(row["n"], round(row["chosen"], 2)) for row in rows] == [(2000, 0.0), (1, 0.96)]


def test_the_title_of_rulers_turns_with_the_test(audited):
    report, _ = audited
    best = report["models"]["after"]["rulers"]["best"]
    titles = []
    for difference, q in ((0.1, 0.01), (-0.1, 0.01), (-0.1, 0.2)):
        best |= {"difference": difference, "q_value": q, "feature": "surface_log_tokens"}
        titles.append(ruler_figures.rulers_figure(report, "after").title)
    assert titles == [
        "after is better than any single surface feature",
        "length (log tokens) alone is better than after",
        "after is not found to be better than the best single feature, nor worse",
    ]


def test_angles_are_those_of_held_out_pairs(audited):
    report, used = audited
    figure = shift_figures.angles_figure(report, used)
    assert sum(row["n"] for row in figure.rows) == int((used["partition"] == "heldout").sum())


def test_gaps_are_those_of_the_report(audited):
    report, _ = audited
    [shares, imprints] = memory_figures.memory_figures(report)
    expected = {row["of"]: row["gap"] for row in report["memory"] if row["quantity"] == "regime"}
    assert {row["of"]: row["gap"] for row in shares.rows if row["quantity"] == "regime"} == expected
    assert {row["quantity"] for row in imprints.rows} == {"imprint"}


def test_agreement_worth_and_error_curves_are_drawn_where_there_are_labels(audited):
    report, _ = audited
    assert label_figures.worth_figure(report) is None
    assert shift_figures.agreement_figure(report) is None
    worth = {"auc": 0.8, "auc_interval": [0.7, 0.9], "brier": 0.1, "brier_of_shares": 0.2, "n": 50}
    report["labels"]["helpful"] = {"worth": worth, "type": "bool", "n_texts": 60, "n_missing": 0}
    assert label_figures.worth_figure(report).rows[0]["auc"] == 0.8
    curve = {"sign_flips_at": None, "insignificant_at": 0.1, "largest_rate": 0.3}
    never = curve | {"insignificant_at": None}
    report["error_curves"] = {"after": {"a": curve, "b": never, "c": curve | {"insignificant_at": 0.0}}}
    figure = label_figures.error_curve_figure(report, "after")
    assert [row["feature"] for row in figure.rows] == ["b", "a"]
    assert "still told from 0 at 30%" in json.dumps(figure.draw(WIDE).to_dict())
    part = {"agreement_rate": 0.7, "confidence_interval": [0.6, 0.8], "n": 40}
    test = {"difference": None, "q_value": 0.01}
    found = {"regimes": {"stayed_aligned": part}, "tests": [test], "preference": {"indifferent": 3}}
    report["comparisons"]["after - before"]["labeler_agreement"] = found
    assert shift_figures.agreement_figure(report).title.endswith("sides with people differs between regimes")
    test["q_value"] = 0.2
    assert shift_figures.agreement_figure(report).title.startswith("No difference between regimes is found")

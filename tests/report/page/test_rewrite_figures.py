"""Pictures of rewrites: which are drawn, and what their titles and numbers say."""

import copy

import pytest

from seal_datasets.report.audited_models import PRE_AND_POST
from seal_datasets.report.claims import _add_q_values, _tests
from seal_datasets.report.page.draw import as_svg
from seal_datasets.report.page.rewrite_figures import rewrite_figures
from seal_datasets.theme import NARROW, WIDE
from tests.report.test_analyze_rewrites import found, table

__all__ = ["found", "table"]


@pytest.fixture
def report(found):
    rewrites = copy.deepcopy(found)
    _add_q_values(list(_tests(rewrites)))
    run = {
        "models": dict.fromkeys(PRE_AND_POST.names),
        "baseline": PRE_AND_POST.baseline,
        "rewrites": {"min_similarity": 0.7, "similarity_model": "s"},
    }
    return {"run": run, "rewrites": rewrites}


def by_name(report):
    return {figure.name: figure for figure in rewrite_figures(report)}


def test_every_picture_is_drawn_at_both_widths_from_a_valid_specification(report):
    figures = by_name(report)
    assert list(figures) == [
        *("rewrites_change", "robustness", "rewrites_thresholds", "round_trips"),
        *("rewrites_labels", "rewrites_similarity", "rewrites_accepted"),
    ]
    for figure in figures.values():
        assert len({tuple(row) for row in figure.rows}) == 1, "rows of a table have the same columns"
        assert all((figure.title, figure.lead, figure.note))
        for width in (WIDE, NARROW):
            figure.draw(width).to_dict()  # raises where the specification is not Vega-Lite's
            assert as_svg(figure.draw(width)).startswith("<svg")


def test_the_change_is_the_report_s_and_its_title_rests_on_a_test(report):
    entry = report["rewrites"]["presets"]["style"]["alignment"]["post"]
    [row] = by_name(report)["rewrites_change"].rows
    assert (row["change"], row["n_lost"], row["q_value"]) == (entry["change"], entry["n_lost"], entry["q_value"])
    entry |= {"change": -0.1, "q_value": 0.04}
    assert by_name(report)["rewrites_change"].title == "Alignment falls when texts are rewritten (style)"
    entry["q_value"] = 0.06
    assert by_name(report)["rewrites_change"].title == "No rewriting is found to change alignment"


def test_a_planted_effect_is_in_the_title_of_the_round_trips(report):
    assert "being long raises the reward" in by_name(report)["round_trips"].title
    for row in report["rewrites"]["axes"]["long"]["models"]["post"]["effects"]:
        row["q_value"] = 0.5
    assert by_name(report)["round_trips"].title == "No attribute is found to change the reward"


def test_the_band_has_the_intervals_of_the_thresholds_and_leaves_out_few_pairs(report):
    thresholds = report["rewrites"]["presets"]["style"]["thresholds"]
    thresholds[-1]["n_pairs"] = 9
    rows = by_name(report)["rewrites_thresholds"].rows
    assert [row["threshold"] for row in rows] == [each["threshold"] for each in thresholds[:-1]]
    for row, each in zip(rows, thresholds, strict=False):
        assert [row["low"], row["high"]] == each["alignment"]["post"]["confidence_interval"]
        assert row["change"] == pytest.approx(row["after"] - row["before"])


def test_counts_of_accepted_rewrites_add_up(report):
    figure = by_name(report)["rewrites_accepted"]
    total = sum(row["chosen"] + row["rejected"] for row in figure.rows)
    accepted = sum(row["chosen"] + row["rejected"] for row in figure.rows if row["status"] == "ok")
    assert total == 2 * report["rewrites"]["presets"]["style"]["n_sampled_pairs"]
    assert figure.title == f"{accepted:,} of {total:,} rewrites were accepted"


def test_what_is_not_there_is_not_drawn(report):
    assert rewrite_figures({"run": report["run"]}) == []
    report["rewrites"] = {"presets": {}, "axes": {}}
    assert rewrite_figures(report) == []

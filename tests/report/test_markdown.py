"""The two screens of `report.md`: verdict, advice, a table of each kind with the rows that say something, and pointers."""

import itertools
import json

import pytest

from seal_datasets.report.audited_models import AuditedModels
from seal_datasets.report.markdown import prose, render_markdown
from seal_datasets.report.page.verdict import verdict
from seal_datasets.report.summary import fold, rewarded
from tests.report.page.test_verdict import FEATURES, ONE, TWO, report_of

FOUR = AuditedModels(("a", "b", "c", "d"), "a")
RUN = {
    "source": "pairs <b>*x*</b>",
    "training": None,
    "labeler": None,
    "taxonomy": {"name": "t", "version": "1", "digest": "d"},
    "diagnosis": {"format": "standard", "problems": {}},
    "scoring": {},
    "settings": {},
    "versions": {},
}


def whole(report):
    models = {name: {"model": f"rm-{name}", "revision": "r"} for name in report["run"]["models"]}
    return {**report, "run": {**RUN, **report["run"], "models": models}}


def text_of(report, **options):
    return render_markdown(whole(report), {}, **options)


@pytest.mark.parametrize("models", [ONE, TWO, FOUR], ids=["one", "two", "four"])
def test_two_screens_hold_the_verdict_and_point_to_the_rest(models):
    report = report_of(models=models, effect=1.5, partition=models is TWO)
    text = text_of(report, page="report.html")
    assert len(text.splitlines()) <= 90
    for sentence in verdict(report):
        assert str(prose(sentence.text, sentence.strong)) in text
    for place in ("(report.html)", "(report.html#aligned=no", "(tables/resistance.csv)", "(report.json)", "(run.json)"):
        assert place in text
    assert "<b>" not in text
    assert "None" not in text
    assert "\n\n\n" not in text


def test_every_table_has_as_many_cells_in_each_row():
    for models in (ONE, TWO, FOUR):
        lines = text_of(report_of(models=models, effect=1.5, partition=models is TWO)).splitlines()
        for above, below in itertools.pairwise(lines):
            if above.startswith("|") and below.startswith("|"):
                assert above.replace("\\|", "").count("|") == below.replace("\\|", "").count("|"), below


def test_without_a_page_beside_it_nothing_links_to_one():
    text = text_of(report_of(effect=1.5))
    assert "report.html" not in text
    assert "`seal report FOLDER --open`" in text


def test_what_was_found_is_bold_and_what_was_not_is_not():
    report = report_of(effect=1.5)
    row = next(line for line in text_of(report).splitlines() if line.startswith("| code |"))
    claim = next(each for each in report["claims"] if each["quantity"] == "imprint")
    assert f"**{claim['estimate']:+.2f}** (" in row
    other = next(line for line in text_of(report).splitlines() if line.startswith("| bold type |"))
    assert "**" not in other


def test_features_that_could_not_be_tested_are_counted_and_not_listed():
    text = text_of(report_of(constant=True))
    assert "No feature could be tested." in text
    assert "2 features never differ." in text
    assert not any(f"| {feature.name}" in text for feature in FEATURES)


def test_of_many_features_those_with_the_smallest_p_values_are_shown(monkeypatch):
    monkeypatch.setattr("seal_datasets.report.summary._MOST_ROWS", 1)
    found = rewarded(report_of(effect=1.5))
    assert [row["feature"] for row in found.rows] == ["surface_has_code"]
    assert found.n_more == 1


def test_reasons_are_said_in_words():
    rows = [{"feature": name, "status": status} for name, status in (("a", "collinear"), ("b", "ok"), ("c", "odd_one"))]
    assert fold(rows) == [
        ("1 feature cannot be told from others", ["a"]),
        ("1 feature has no estimate (odd one)", ["c"]),
    ]
    sides = [{"feature": "a", "side": side, "status": "too_few_discordant"} for side in ("chosen", "rejected")]
    assert fold(sides) == [("2 features of a side differ in fewer than 10 pairs", ["a (chosen)", "a (rejected)"])]


def test_words_of_others_cannot_act_and_code_stays_code():
    assert prose("see `seal gold DATA`, not <b>*x*</b> |") == "see `seal gold DATA`, not &lt;b&gt;\\*x\\*&lt;/b&gt; \\|"
    assert prose("1. a: b", "a") == "1. **a**: b"
    assert prose("open ` end") == "open  end"


def test_labels_stand_beside_the_commonest_answer():
    report = json.loads(
        json.dumps(report_of(labeler={"model": "m", "spent": {"responses": "", "prices": ""}, "weak": False}))
    )
    gold = {
        **{"n": 40, "agreement": 0.75, "confidence_interval": [0.6, 0.86], "majority_share": 0.5, "kappa": 0.5},
        **{"kappa_interval": [0.2, 0.7], "status": "ok"},
    }
    report["labels"]["surface_has_code"]["gold"] = gold
    assert "| code | 75.0 % (60.0–86.0) | 40 | 50.0 % | 0.50 (0.20 to 0.70) |" in text_of(report)
    rests = verdict(report)[-1].rests_on
    assert rests == "labels agree with gold labels beyond chance for 1 of 1 features"
    gold["kappa_interval"] = [-0.1, 0.7]
    report["labels"]["surface_has_code"]["gold"] = gold
    assert verdict(report)[-1].rests_on == "labels agree with gold labels beyond chance for 0 of 1 features"

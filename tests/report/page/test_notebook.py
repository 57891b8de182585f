"""Reports in a notebook: static, escaped, alone in their style, and still mappings."""

import copy
import json
import re

import nbformat
import pytest
from datasets import Dataset
from nbclient import NotebookClient

import seal_datasets
from seal_datasets.audit.compare import compare_audits
from seal_datasets.errors import DataError
from seal_datasets.report.files import read_report
from seal_datasets.report.page.notebook import Report, StaticPair
from seal_datasets.report.page.template import read_asset
from tests.report.page.conftest import audit, rows_of


@pytest.fixture(scope="module")
def report(two):
    return Report(read_report(two), two)


def test_a_report_is_still_a_mapping_that_can_be_written_and_copied(report, two):
    assert isinstance(report, dict)
    assert json.loads(json.dumps(report)) == read_report(two)
    assert copy.deepcopy(report).folder == report.folder


def test_an_audit_returns_a_report_of_its_final_folder(tmp_path):
    pairs = Dataset.from_list(rows_of(30, ("rm",), texts=("Fine.", "No.")))
    report = seal_datasets.audit_own_rewards(pairs, tmp_path / "audit", {"rm": ("rm_c", "rm_r")})
    assert report.folder == tmp_path / "audit"
    assert "<svg" in seal_datasets.show(report, "margins").html


def test_a_report_displays_its_verdict_and_main_pictures(report, two):
    shown = report._repr_html_()
    assert "<b>in " in shown
    assert shown.count("<svg") == 2
    assert str(two / "report.html") in shown


def test_what_is_shown_runs_nothing_and_leads_nowhere(hostile):
    report = Report(read_report(hostile), hostile)
    html = report._repr_html_() + "".join(seal_datasets.show(report, section.id).html for section in report.sections())
    assert "&lt;script&gt;" in html  # the texts are there
    tags = re.findall(r"<([a-zA-Z]+)([^>]*)>", html)
    assert not {name.lower() for name, _ in tags} & {"script", "iframe", "img", "a", "link", "object", "form"}
    assert not [attributes for _, attributes in tags if re.search(r"""\s(on\w+|(xlink:)?href|src)\s*=""", attributes)]


def test_crude_texts_are_folded_and_long_ones_cut(report, monkeypatch):
    assert "Crude words" not in seal_datasets.show(report, "pairs").html
    pair = StaticPair("1", "why", prompt="p", chosen="c" * 3000, rejected="", crude=True)
    monkeypatch.setattr(Report, "first_pairs", lambda report: [pair])
    shown = seal_datasets.show(report, "pairs").html
    assert "<details><summary>Crude words: show the texts</summary>" in shown
    assert "[cut here: 1,000 more characters]" in shown


def test_every_rule_of_the_style_is_of_its_own_class():
    rules = re.sub(r"/\*.*?\*/", "", read_asset("notebook.css"), flags=re.DOTALL)
    selectors = [each.strip() for rule in re.findall(r"([^{}]+)\{", rules) for each in re.split(r",(?![^(]*\))", rule)]
    assert len(selectors) > 15
    assert all(each.startswith(".seal-shown:not(#_):not(#_)") for each in selectors)


def test_pictures_of_one_notebook_share_no_ids(report):
    shown = [seal_datasets.show(report, name).html for name in ("alignment", "rewarded")]
    ids, used = (
        [set(re.findall(pattern, html)) for html in shown] for pattern in (r' id="([^"]+)"', r"url\(#([^)]+)\)")
    )
    assert ids[0]
    assert ids == used
    assert not ids[0] & ids[1]


def test_a_section_that_is_none_and_a_report_that_is_none_are_answered(report, tmp_path):
    with pytest.raises(DataError, match="there is no section 'nothing'; there are verdict, audited, alignment, "):
        seal_datasets.show(report, "nothing")
    with pytest.raises(DataError, match="report is a dict; give what run_audit"):
        seal_datasets.show({}, "verdict")
    with pytest.raises(DataError, match="cannot read"):
        seal_datasets.show(tmp_path, "verdict")


def test_without_its_folder_a_report_shows_its_verdict(report, tmp_path):
    gone = Report(report, tmp_path / "moved")
    assert "prefers what people chose" in gone._repr_html_()
    assert "<svg" not in gone._repr_html_()
    with pytest.raises(DataError, match="does not exist any more"):
        seal_datasets.show(gone, "margins")


def test_a_comparison_displays_itself_too(hostile, tmp_path):
    shown = compare_audits([hostile, audit(tmp_path / "other", 60, seed=3)])
    assert "The models disagree" in shown._repr_html_()
    assert "prefers the chosen response by" in seal_datasets.show(shown, "pairs").html


@pytest.mark.slow
def test_a_notebook_shows_a_report_and_a_section(two):
    cells = [
        "import seal_datasets",
        f"report = seal_datasets.write_report({str(two)!r}); report",
        "seal_datasets.show(report, 'pairs')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = [
        output["data"]["text/html"] for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output
    ]
    assert len(shown) == 2
    assert "<svg" in shown[0]
    assert "seal-pair" in shown[1]

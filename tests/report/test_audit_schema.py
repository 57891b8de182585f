"""A report that lacks what its page reads is refused by the key that is missing, and not by a traceback."""

import json

import pytest

from seal_datasets.errors import DataError
from seal_datasets.report.audit_schema import check_audit_json
from tests.report.test_write import folder

__all__ = ["folder"]


@pytest.fixture
def report(folder):
    return json.loads((folder / "report.json").read_text())


def remove(report, place, key):
    for name in place:
        report = report[name]
    del report[key]


@pytest.mark.parametrize(
    ("place", "key"),
    [
        (("models", "post", "rulers"), "rulers"),
        (("models", "post", "rulers"), "n_pairs"),
        (("models", "post", "rulers", "rulers", 0), "feature"),
        (("comparisons", "post - pre", "shift", "all"), "confidence_interval"),
        (("comparisons", "post - pre", "shift", "all", "margin"), "confidence_interval"),
        (("comparisons", "post - pre", "shift_imprint", "all_features", "raw", "imprint", 0), "degrees_of_freedom"),
        (("comparisons", "post - pre", "labeler_agreement", "tests", 0), "difference"),
    ],
)
def test_a_report_that_lacks_what_its_page_reads_is_refused(report, place, key):
    check_audit_json(report, "report", "report.json")
    remove(report, place, key)
    with pytest.raises(DataError, match=f"the key '{key}' is missing"):
        check_audit_json(report, "report", "report.json")


@pytest.mark.parametrize(
    ("place", "key"),
    [
        (("correction", "models"), "post"),
        (("correction", "imprint", "sd", "models"), "post"),
        (("correction", "imprint", "sd", "changes"), "post - pre"),
    ],
)
def test_a_correction_that_lacks_a_model_is_refused(report, place, key):
    remove(report, place, key)
    with pytest.raises(DataError, match=rf"{'.'.join(place)}: found the keys .* needed is '{key}' too"):
        check_audit_json(report, "report", "report.json")


def test_rewrites_without_the_record_of_their_run_are_refused(report):
    report["rewrites"] = {"presets": {}, "axes": {}}
    with pytest.raises(DataError, match="the key 'rewrites' is missing"):
        check_audit_json(report, "report", "report.json")

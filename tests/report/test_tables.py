"""Tables of a report's sections: the same numbers as the report and its pictures, in CSV and in LaTeX that compiles."""

import csv
import io
import re
import shutil
import subprocess

import pytest

from seal_datasets.escape import escape_latex
from seal_datasets.report.audited_models import AuditedModels
from seal_datasets.report.latex import to_latex
from seal_datasets.report.page.feature_figures import imprint_figure
from seal_datasets.report.tables import NAMES, table_files, tables_of
from tests.report.page.test_verdict import TWO, report_of

HOSTILE = (
    "\\input{/etc/passwd}",
    "50 % & $x$ #1 a_b {c} ~ ^",
    "[1em] x",
    "line\nbreak\x00\u202e",
    "<b>|</b>",
    "-- 'quoted' `x`",
)
THREE = AuditedModels(("a", "b", "c"), None)


@pytest.fixture(scope="module")
def report():
    return report_of(models=TWO, effect=1.5, partition=True)


def rows_of(latex):
    """Rows between the rules, each as its cells."""
    body = latex.split("\\midrule")[1].split("\\bottomrule")[0]
    return [re.split(r"(?<!\\)&", row) for row in body.split("\\\\\n") if row.strip()]


def is_whole(latex):
    begun, ended = re.findall(r"\\begin\{(\w+)\}", latex), re.findall(r"\\end\{(\w+)\}", latex)
    depth, bare = 0, re.sub(r"\\[{}\\]", "", latex)
    for mark in bare:
        depth += (mark == "{") - (mark == "}")
        assert depth >= 0
    return depth == 0 and begun == ended[::-1]


def test_sections_with_something_to_show_have_a_table_and_others_have_none(report):
    names = [table.name for table in tables_of(report)]
    assert names == [name for name in NAMES if name in names]
    assert {"resistance", "regimes", "imprint", "amplification", "memory", "calibration", "shift", "drivers"} <= set(
        names
    )
    assert not {"ranking", "groups", "responses", "rewriting", "labels", "doctor"} & set(names)
    assert set(table_files(report)) == {f"tables/{name}.{kind}" for name in names for kind in ("csv", "tex")}


def test_numbers_are_those_of_the_report_and_of_its_pictures(report):
    tables = {table.name: table.rows for table in tables_of(report)}
    entry = report["models"]["after"]["resistance"]["heldout"]
    row = next(row for row in tables["resistance"] if (row["model"], row["pairs"]) == ("after", "heldout"))
    assert [row["n"], row["resistance"], row["low"], row["high"]] == [
        entry["n_pairs"],
        entry["alignment_resistance"],
        *entry["confidence_interval"],
    ]
    drawn = imprint_figure(report, "after").rows
    assert [(row["feature"], row["imprint"], row["p_value"]) for row in tables["imprint"]] == [
        (row["feature"], row["estimate"], row["p_value"]) for row in drawn
    ]
    read = list(csv.DictReader(io.StringIO(table_files(report)["tables/imprint.csv"].decode())))
    assert [float(row["imprint"]) for row in read] == [row["estimate"] for row in drawn]


def test_captions_count_only_pairs_that_a_table_rests_on(report):
    check = {"name": "batch", "status": "ok", "largest_difference": None, "detail": "same"}
    flip = {"feature": "polite", "side": "chosen", "direction": "+", "coefficient": 0.5, "confidence_interval": [0, 1]}
    preset = {"robustness": {"scores": [flip | {"n_flips": 20, "status": "ok"}]}, "alignment": {}, "thresholds": []}
    run = report["run"] | {"doctor": {"after": {"checks": [check]}}}
    captions = {
        table.name: table.caption
        for table in tables_of(report | {"run": run, "rewrites": {"presets": {"style": preset}}})
    }
    assert captions["doctor"] == NAMES["doctor"]
    assert captions["robustness"].startswith(f"{NAMES['robustness']} n stands in each row.")
    assert captions["drivers"].startswith(f"{NAMES['drivers']} 200 held-out pairs")


def test_a_table_speaks_of_every_model():
    found = {table.name: table.rows for table in tables_of(report_of(models=THREE, effect=1.5))}
    assert {row["model"] for row in found["imprint"]} == {"a", "b", "c"}
    assert {row["model"] for row in found["amplification"]} == {"a", "b", "c"}
    assert {row["model"] for row in found["ranking"]} == {"a", "b", "c"}


def test_a_caption_states_n_and_what_intervals_are(report):
    captions = {table.name: table.caption for table in tables_of(report)}
    assert "200 held-out pairs, less those without a label." in captions["imprint"]
    assert "200 held-out pairs and 200 trained on." in captions["memory"]
    assert "n stands in each row." in captions["resistance"]
    for name in ("imprint", "resistance", "memory", "drivers"):
        assert "Brackets hold 95 % intervals, clustered by prompt and not adjusted" in captions[name]


def test_latex_is_whole_and_every_row_has_every_column(report):
    for name, content in table_files(report).items():
        if name.endswith(".tex"):
            text = content.decode()
            assert is_whole(text)
            columns = re.search(r"\\begin\{(?:tabular|longtable)\}\{([lr]+)\}", text)[1]
            rows = rows_of(text)
            assert rows
            assert {len(row) for row in rows} == {len(columns)}
            assert "\\toprule" in text
            assert f"\\label{{tab:seal-{name[7:-4]}}}" in text


def test_an_interval_stands_in_the_cell_of_its_value():
    text = to_latex("x", "c", [{"model": "m", "share": 0.25, "low": 0.1, "high": 0.4, "p_value": 0.0001}])
    assert "share [95 \\% interval] & p" in text
    assert "m & 0.250 [0.100, 0.400] & $<$0.001 \\\\" in text
    open_ended = to_latex("x", "c", [{"temperature": 2.0, "low": 1.5, "high": None}])
    assert "2.00 [1.50, $\\infty$]" in open_ended
    none = to_latex("x", "c", [{"share": None, "low": None, "high": None}])
    assert [cell.strip() for [cell] in rows_of(none)] == ["--"]


def test_many_rows_become_a_table_that_breaks_over_pages():
    text = to_latex("x", "c", [{"n": n} for n in range(41)])
    assert "\\usepackage{booktabs,longtable}" in text
    assert "\\begin{longtable}{r}" in text
    assert is_whole(text)


def test_hostile_words_are_text_in_latex():
    rows = [{"group": word, "n": 1} for word in HOSTILE]
    text = to_latex("x", HOSTILE[0], rows)
    assert is_whole(text)
    assert [len(row) for row in rows_of(text)] == [2] * len(HOSTILE)
    assert "\\input" not in text
    assert "\\textbackslash{}input\\{/etc/passwd\\}" in text
    assert "\n[1em]" not in text
    assert not set("\x00\u202e") & set(text)
    assert escape_latex("a_b\\") == "a\\_b\\textbackslash{}"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX engine on this machine")
def test_tables_compile(report, tmp_path):
    rows = [{"group": word, "n": 1} for word in HOSTILE]
    files = [content.decode() for name, content in table_files(report).items() if name.endswith(".tex")]
    files += [to_latex("hostile", HOSTILE[1], rows), to_latex("long", "c", rows * 9)]
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,longtable}\\begin{document}\n"
        + "\n".join(files)
        + "\\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout[-2000:]

"""Files of figures: for a screen with their titles, for print in a width and a font."""

import re
import zlib

import pytest

from seal_datasets.cli import main
from seal_datasets.errors import DataError
from seal_datasets.report.figures import FigureStyle
from seal_datasets.report.page.charts import dots
from seal_datasets.report.page.draw import _specification, as_pdf, as_png
from seal_datasets.theme import FONT

ROWS = [
    {
        "label": name,
        "value": value,
        "low": value - 1,
        "high": value + 1,
        "found": True,
        "color": "#0072b2",
        "told": name,
    }
    for name, value in (("one", 1.0), ("two", 2.0))
]


def page_width(pdf):
    """Points that the page of a PDF is wide."""
    objects = [pdf, *(_inflated(stream) for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, flags=re.S))]
    box = next(found for each in objects if (found := re.search(rb"/MediaBox\s*\[([^\]]*)\]", each)))
    left, _, right, _ = map(float, box[1].split())
    return right - left


def _inflated(stream):
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def png_width(png):
    return int.from_bytes(png[16:20], "big")


@pytest.mark.parametrize("inches", [3.25, 7.0])
def test_a_figure_for_print_is_as_wide_as_asked(inches):
    chart = dots(ROWS, 340, axis="points")
    assert page_width(as_pdf(chart, inches=inches)) == pytest.approx(72 * inches, abs=0.6)
    assert png_width(as_png(chart, "#ffffff", inches=inches)) == pytest.approx(300 * inches, abs=1)


def test_a_chart_bears_the_font_that_is_asked_for():
    chart = dots(ROWS, 340, axis="points")
    assert _specification(chart, font="Times New Roman")["config"]["font"] == "Times New Roman"
    assert _specification(chart)["config"]["font"] == FONT


@pytest.mark.parametrize("inches", [0.0, -3.0, 100.0, float("nan")])
def test_a_width_that_no_page_has_is_refused(inches):
    with pytest.raises(DataError, match=r"figures can be 1 to 20 inches wide, got"):
        FigureStyle(inches=inches)


def test_the_command_says_what_width_is_possible(tmp_path, capsys):
    assert main(["report", str(tmp_path), "--figure-width", "0.1"]) == 2
    assert "figures can be 1 to 20 inches wide, got 0.1" in capsys.readouterr().err

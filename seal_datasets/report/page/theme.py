"""The look of a report's pictures and page: colours by meaning, sizes, type."""

from __future__ import annotations

from typing import Any

INK, SOFT, RULE, PAPER = "#1b1f24", "#5b626c", "#dedbd3", "#fdfcfa"
"""Ink of words, of secondary words, of lines, and paper, in the light form; the page's style gives the dark ones."""

CHOSEN, REJECTED, BASELINE, MODEL = "#009e73", "#d55e00", "#56b4e9", "#0072b2"
"""Colours by meaning, of the set by Okabe and Ito (2008)."""

REGIMES = {
    "stayed_aligned": MODEL,
    "became_aligned": CHOSEN,
    "reversed_alignment": REJECTED,
    "stayed_misaligned": SOFT,
}

WIDE, NARROW = 640, 340
"""Widths of a chart in pixels: in a column of text, and on a phone."""

FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def config() -> dict[str, Any]:
    """Configuration of every Vega-Lite chart."""
    return {
        "background": None,
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": SOFT,
            "titleColor": SOFT,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "domain": False,
            "ticks": False,
            "grid": True,
            "gridColor": RULE,
            "labelPadding": 8,
            "titlePadding": 10,
        },
        "axisY": {"labelColor": INK, "labelFontSize": 13, "grid": False, "labelLimit": 260},
        "title": {
            "color": INK,
            "fontSize": 16,
            "fontWeight": 600,
            "subtitleColor": SOFT,
            "subtitleFontSize": 12,
            "subtitlePadding": 6,
            "frame": "bounds",
        },
        "text": {"color": SOFT, "fontSize": 12},
        "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 13, "labelFontWeight": "bold"},
    }

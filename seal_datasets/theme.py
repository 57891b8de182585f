"""The look of pages, reports, cards and Spaces of metrics: colours by meaning, sizes, type."""

from __future__ import annotations

from typing import Any

INK, SOFT, RULE, PAPER = "#1b1f24", "#5b626c", "#dedbd3", "#fdfcfa"
"""Ink of words, of secondary words, of lines, and paper, in the light form; the page's style gives the dark ones."""

CHOSEN, REJECTED, BASELINE, MODEL = "#009e73", "#d55e00", "#56b4e9", "#0072b2"
"""Colours by meaning, of the set by Okabe and Ito (2008)."""

MODELS = (MODEL, "#e69f00", "#cc79a7", INK)
"""Colours of several models side by side, of the same set and none with another meaning; each has its shape."""

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")
"""Shapes of several models side by side; with the colours they tell twenty models apart."""

REGIMES = {
    "stayed_aligned": MODEL,
    "became_aligned": CHOSEN,
    "reversed_alignment": REJECTED,
    "stayed_misaligned": SOFT,
}

WIDE, NARROW = 640, 340
"""Widths of a chart in pixels: in a column of text, and on a phone."""

FAMILIES = ("system-ui", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
"""Fonts, first the ones of the reader's system."""

FONT = ", ".join(f"'{name}'" if " " in name else name for name in FAMILIES)


def matplotlib_style() -> dict[str, Any]:
    """Configuration of the pictures in Spaces of metrics, which draw by matplotlib as gradio shows no SVG of Vega."""
    quiet = dict.fromkeys(("axes.spines.top", "axes.spines.right", "axes.spines.left", "axes.spines.bottom"), False)
    soft = dict.fromkeys(("axes.labelcolor", "xtick.labelcolor"), SOFT)
    paper = dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), PAPER)
    return {
        **quiet,
        **soft,
        **paper,
        "text.color": INK,
        "ytick.labelcolor": INK,
        "axes.edgecolor": RULE,
        "grid.color": RULE,
        "xtick.color": RULE,
        "ytick.color": RULE,
        "xtick.bottom": False,
        "ytick.left": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlecolor": INK,
        "font.size": 10,
        "legend.frameon": False,
        "figure.dpi": 130,
    }


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

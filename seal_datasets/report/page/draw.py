"""Draw a chart's specification as SVG, PNG or PDF, by vl-convert, which needs neither a browser nor a network."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

from seal_datasets.theme import config

if TYPE_CHECKING:
    import altair as alt

_VEGA_LITE = "6.1"
_PNG_SCALE = 2.0
_SIZE = re.compile(r'width="([\d.]+)" height="([\d.]+)"')
_DOTS_PER_INCH, _POINTS_PER_INCH = 300, 72
# Before an address within the page the drawing library puts this one.
_BASE = "https://vega.github.io/vega-datasets/"
_NOT_SHOWN = re.compile(
    r' aria-roledescription="[^"]*"| role="graphics-[a-z]*"| aria-hidden="true"| aria-label="[XY]-axis [^"]*"'
)


def as_svg(chart: alt.TopLevelMixin, *, links: bool = True) -> str:
    """Draw a chart as SVG whose colours a page's style may change.

    Args:
        chart (`altair.TopLevelMixin`): A chart.
        links (`bool`, defaults to `True`): Whether marks lead to pairs of the page; elsewhere there are none.

    Returns:
        `str`: An `<svg>` element without scripts, styles or outside references.
    """
    specification = _specification(chart)
    svg = _drawn(specification if links else _without_links(specification))
    # The page names the picture as a whole; readers of screens need not hear each of its parts, which are told on hovering.
    return _NOT_SHOWN.sub("", svg).replace(" aria-label=", " data-told=").replace(f"{_BASE}#", "#")


def as_png(chart: alt.TopLevelMixin, background: str, *, inches: float | None = None, font: str | None = None) -> bytes:
    """Draw a chart as PNG on a background: at twice its size in pixels, or so many inches wide at 300 dots each."""
    import vl_convert

    specification = _specification(chart, background, font)
    scale = _PNG_SCALE
    if inches is not None:
        scale = inches * _DOTS_PER_INCH / _size(_drawn(specification))[0]
    return bytes(vl_convert.vegalite_to_png(specification, vl_version=_VEGA_LITE, scale=scale))


def as_pdf(chart: alt.TopLevelMixin, *, inches: float | None = None, font: str | None = None) -> bytes:
    """Draw a chart as PDF with text as text, a point for a pixel, or so many inches wide."""
    import vl_convert

    specification = _specification(chart, font=font)
    if inches is None:
        return bytes(vl_convert.vegalite_to_pdf(specification, vl_version=_VEGA_LITE))
    svg = _drawn(specification)
    width, height = _size(svg)
    points = inches * _POINTS_PER_INCH
    # The drawing keeps its viewBox, so it grows or shrinks with these two.
    return bytes(
        vl_convert.svg_to_pdf(_SIZE.sub(f'width="{points:g}" height="{points * height / width:g}"', svg, count=1))
    )


def _drawn(specification: dict[str, Any]) -> str:
    """A specification as SVG, as the library draws it."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(specification, vl_version=_VEGA_LITE))


def _size(svg: str) -> tuple[float, float]:
    """Width and height of a whole drawing in pixels, with names and axes."""
    found = _SIZE.search(svg)
    if found is None:
        raise AssertionError(f"a drawing without a size: {svg[:200]}")
    return float(found[1]), float(found[2])


def with_title(chart: alt.TopLevelMixin, title: str, note: str) -> alt.TopLevelMixin:
    """A chart with its title and note inside the picture, for places that have no words beside it."""
    import altair as alt

    lines = textwrap.wrap(note, 90)
    look = alt.Title(text=textwrap.wrap(title, 62), subtitle=lines, anchor="start", offset=16)
    return chart.properties(title=look)


def _without_links(part: Any) -> Any:  # noqa: ANN401 - any part of JSON
    if isinstance(part, dict):
        links = {"href"} if "x" in part or "y" in part else set()  # an encoding; data keep theirs
        return {key: _without_links(value) for key, value in part.items() if key not in links}
    return [_without_links(each) for each in part] if isinstance(part, list) else part


def _specification(chart: alt.TopLevelMixin, background: str | None = None, font: str | None = None) -> dict[str, Any]:
    # Charts are validated by tests; here it would take a fifth of the time of a page.
    found: dict[str, Any] = chart.to_dict(validate=False)
    look = config()
    if background:
        look["background"] = background
    if font:
        look["font"] = font
    return {**found, "config": look}

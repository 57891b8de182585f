"""Dots of several models below each other, in groups on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seal_datasets.report.page.charts import inside, linked, number_format, scale_of
from seal_datasets.theme import NARROW, PAPER, SOFT

if TYPE_CHECKING:
    import altair as alt


def side_by_side(rows: Sequence[Mapping[str, Any]], models: Sequence[str], width: int, *, axis: str) -> alt.LayerChart:
    """Dots with intervals of several models below each other, in groups; the marks of the first group bear their names.

    Args:
        rows (`Sequence[Mapping]`): As for `dots`, in the order of the groups; `label` is the group's. Also `model`, `shape`.
        models (`Sequence[str]`): Names of the models, in order.
        width (`int`): Pixels.
        axis (`str`): What the values are, with their unit.

    Returns:
        `altair.LayerChart`: The chart.
    """
    import altair as alt

    scale = scale_of(rows, 0.0, False)
    places = alt.YOffset("model:N", sort=list(models), scale=alt.Scale(paddingOuter=0.4))
    names = alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=140 if width <= NARROW else 240))
    base = alt.Chart(alt.Data(values=list(map(dict, rows)))).encode(
        y=names, yOffset=places, description=alt.Description("told:N")
    )
    format_ = alt.Axis(format=number_format(rows), tickCount=4 if width <= NARROW else 6)
    x = alt.X("value:Q", title=axis, scale=scale, axis=format_)
    zero = alt.Chart(alt.Data(values=[{"zero": 0.0}])).mark_rule(color=SOFT, aria=False)
    ranged = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
    point = base.mark_point(size=70, strokeWidth=2, filled=True, opacity=1).encode(
        x=x,
        shape=alt.Shape("shape:N", scale=None),
        stroke=alt.Stroke("color:N", scale=None),
        fill=alt.condition("datum.found", alt.Fill("color:N", scale=None), alt.value(PAPER)),
    )
    layers = [
        zero.encode(x=alt.X("zero:Q", title=axis, scale=scale)),
        ranged.mark_rule(strokeWidth=2, clip=True).encode(
            x=alt.X("low:Q", title=axis, scale=scale), x2="high:Q", color=alt.Color("color:N", scale=None)
        ),
        *linked(point, rows),
    ]
    for name in _named(rows, inside(width)):
        text = alt.Chart(alt.Data(values=[name])).mark_text(
            align=name["align"], dx=8 if name["align"] == "left" else -8, baseline="middle", aria=False
        )
        layers.append(text.encode(x=alt.X("at:Q", title=axis, scale=scale), y=names, yOffset=places, text="text:N"))
    return alt.layer(*layers).properties(width=inside(width), height=alt.Step(17))


def _named(rows: Sequence[Mapping[str, Any]], width: int) -> list[dict[str, Any]]:
    """Names beside the marks of the first group, on the side with more room, and cut to it."""
    ends = [(row["value"] if row["low"] is None else row["low"]) for row in rows]
    ends += [(row["value"] if row["high"] is None else row["high"]) for row in rows]
    first, last = min(0.0, *ends), max(0.0, *ends)
    pixels = width / max(last - first, 1e-9)
    named = []
    for row in rows:
        if row["label"] != rows[0]["label"]:
            break
        low, high = (row["value"] if row[key] is None else row[key] for key in ("low", "high"))
        left, right = (low - first) * pixels, (last - high) * pixels
        room = int(max(left, right) / 6.5) - 1
        text = row["model"] if len(row["model"]) <= room else f"{row['model'][: max(room - 1, 1)]}…"
        align, at = ("left", high) if right >= left else ("right", low)
        named.append({"label": row["label"], "model": row["model"], "text": text, "align": align, "at": at})
    return named

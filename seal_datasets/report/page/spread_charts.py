"""Charts of how numbers are spread: a line with its band, quantiles, counts, a histogram. No number is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seal_datasets.report.page.charts import heading, inside, named, names
from seal_datasets.theme import CHOSEN, INK, MODEL, NARROW, PAPER, RULE, SOFT

if TYPE_CHECKING:
    import altair as alt

Rows = Sequence[Mapping[str, Any]]
_HEIGHT = 150
_LEFT = 80


def bands(groups: Mapping[str, Rows], width: int, *, x_axis: str, y_axis: str, at: float) -> alt.VConcatChart:
    """A line with its band for each group, one below the other on the same scales.

    Args:
        groups (`Mapping[str, Sequence[Mapping]]`): By group, rows with `x`, `value`, `low`, `high`, `told`.
        width (`int`): Pixels.
        x_axis (`str`): What x is.
        y_axis (`str`): What the values are, with their unit.
        at (`float`): Where a line stands.

    Returns:
        `altair.VConcatChart`: The charts.
    """
    import altair as alt

    rows = [row for group in groups.values() for row in group]
    numbers = [row[key] for row in rows for key in ("value", "low", "high") if row[key] is not None]
    across = alt.Scale(domain=[min(row["x"] for row in rows), max(row["x"] for row in rows)], nice=False)
    up = alt.Scale(domain=[min([*numbers, 0.0]), max([*numbers, 0.0])], nice=True)
    last = list(groups)[-1]

    def one(name: str) -> alt.LayerChart:
        titled, shown = (x_axis, True) if name == last else (None, False)
        x = alt.X("x:Q", title=titled, scale=across, axis=alt.Axis(grid=False, tickCount=5, labels=shown))
        y = alt.Y("value:Q", title=y_axis, scale=up, axis=alt.Axis(grid=True, tickCount=4, labelFontSize=12))
        base = alt.Chart(alt.Data(values=list(map(dict, groups[name])))).encode(
            x=x, description=alt.Description("told:N")
        )
        ranged = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
        fixed = alt.Chart(alt.Data(values=[{"zero": 0.0, "at": at}]))
        return alt.layer(
            ranged.mark_area(color=MODEL, opacity=0.18).encode(y=alt.Y("low:Q", title=y_axis, scale=up), y2="high:Q"),
            fixed.mark_rule(color=SOFT, aria=False).encode(y=alt.Y("zero:Q", title=y_axis, scale=up)),
            fixed.mark_rule(color=INK, strokeDash=[3, 3], aria=False).encode(
                x=alt.X("at:Q", title=titled, scale=across)
            ),
            base.mark_line(color=MODEL, strokeWidth=2, aria=False).encode(y=y),
            base.mark_point(color=MODEL, size=60, filled=True, opacity=1).encode(y=y),
        ).properties(width=min(width - _LEFT, 520), height=_HEIGHT, title=heading(name))

    return alt.vconcat(*map(one, groups), spacing=14)


def spreads(rows: Rows, width: int, *, axis: str, at: float) -> alt.LayerChart:
    """Quantiles per row: a line from 5 to 95 %, a thick one over the middle half, a dot at the median.

    Args:
        rows (`Sequence[Mapping]`): Each with `label`, `q05`, `q25`, `q50`, `q75`, `q95`, `told`.
        width (`int`): Pixels.
        axis (`str`): What the numbers are.
        at (`float`): Where a line stands.

    Returns:
        `altair.LayerChart`: The chart.
    """
    import altair as alt

    scale = alt.Scale(domain=[min([at, *(row["q05"] for row in rows)]), max(row["q95"] for row in rows)], nice=True)
    base = named(rows, width).encode(y=names(width), description=alt.Description("told:N"))
    ticks = alt.Axis(tickCount=4 if width <= NARROW else 6)
    fixed = alt.Chart(alt.Data(values=[{"at": at}])).mark_rule(color=INK, strokeDash=[3, 3], aria=False)
    return alt.layer(
        fixed.encode(x=alt.X("at:Q", title=axis, scale=scale)),
        base.mark_rule(color=MODEL, strokeWidth=2).encode(
            x=alt.X("q05:Q", title=axis, scale=scale, axis=ticks), x2="q95:Q"
        ),
        base.mark_rule(color=MODEL, strokeWidth=8, opacity=0.45).encode(
            x=alt.X("q25:Q", title=axis, scale=scale), x2="q75:Q"
        ),
        base.mark_point(color=MODEL, filled=True, size=80, opacity=1).encode(x=alt.X("q50:Q", title=axis, scale=scale)),
    ).properties(width=inside(width), height=alt.Step(30))


def bars(rows: Rows, width: int, *, axis: str) -> alt.LayerChart:
    """Counts as bars with their numbers beside them.

    Args:
        rows (`Sequence[Mapping]`): Each with `label`, `n`, `told`, `color`.
        width (`int`): Pixels.
        axis (`str`): What is counted.

    Returns:
        `altair.LayerChart`: The chart.
    """
    import altair as alt

    x = alt.X("n:Q", title=axis, axis=alt.Axis(tickCount=3 if width <= NARROW else 5, format="~s"))
    base = named(rows, width).encode(y=names(width), x=x)
    return alt.layer(
        base.mark_bar(height=12).encode(color=alt.Color("color:N", scale=None), description=alt.Description("told:N")),
        base.mark_text(align="left", dx=6, color=SOFT, aria=False).encode(text=alt.Text("n:Q", format=",")),
    ).properties(width=inside(width) - 40, height=alt.Step(26))


def histogram(rows: Rows, width: int, *, axis: str, mean: float | None) -> alt.LayerChart:
    """Counts of numbers in bins, with their mean as a line.

    Args:
        rows (`Sequence[Mapping]`): Each with `low`, `high`, `n`, `told`.
        width (`int`): Pixels.
        axis (`str`): What the numbers are, with their unit.
        mean (`float`, *optional*): Their mean.

    Returns:
        `altair.LayerChart`: The chart.
    """
    import altair as alt

    values = [rows[0]["low"] + (rows[-1]["high"] - rows[0]["low"]) * part / 4 for part in range(5)]
    x = alt.X("low:Q", title=axis, axis=alt.Axis(values=values, grid=False), scale=alt.Scale(nice=False))
    y = alt.Y("n:Q", title="pairs", axis=alt.Axis(grid=True, tickCount=4, labelFontSize=12, format="~s"))
    base = alt.Chart(alt.Data(values=list(map(dict, rows))))
    fixed = alt.Chart(alt.Data(values=[{"at": mean if mean is not None else 0.0, "zero": 0.0}]))
    layers = [
        base.mark_rect(color=MODEL, opacity=0.75, stroke=PAPER, strokeWidth=1).encode(
            x=x, x2="high:Q", y=y, y2=alt.datum(0), description=alt.Description("told:N")
        ),
        fixed.mark_rule(color=RULE, aria=False).encode(x=alt.X("zero:Q", title=axis)),
    ]
    if mean is not None:
        layers.append(fixed.mark_rule(color=CHOSEN, strokeWidth=2, aria=False).encode(x=alt.X("at:Q", title=axis)))
    return alt.layer(*layers).properties(width=min(width - _LEFT, 520), height=170)

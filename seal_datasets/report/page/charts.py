"""The kinds of chart that a report draws. Numbers come in, and no number is computed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seal_datasets.theme import MODEL, NARROW, PAPER, RULE, SOFT

if TYPE_CHECKING:
    import altair as alt

_ROW, _TALL_ROW = 30, 36


def dots(
    rows: Sequence[Mapping[str, Any]],
    width: int,
    *,
    axis: str | None,
    zero: float | None = 0.0,
    percent: bool = False,
    marks: str | None = None,
    alike: Sequence[Mapping[str, Any]] = (),
) -> alt.LayerChart:
    """Dots with intervals, one per row, in their order; filled where a row is found.

    Args:
        rows (`Sequence[Mapping]`): Each with `label` (of one line or two), `value`, `low`, `high` (None without an interval),
            `found`, `color`, `told` (words on hovering), and optionally `href` and `mark` (a second value that is shown as a
            tick).
        width (`int`): Pixels.
        axis (`str`, *optional*): What the values are, with their unit; without it numbers stand at another chart.
        zero (`float`, *optional*): Where a line stands.
        percent (`bool`, defaults to `False`): Whether values are shares.
        marks (`str`, *optional*): Colour of the ticks.
        alike (`Sequence[Mapping]`, *optional*): Rows of all charts that share a scale.

    Returns:
        `altair.LayerChart`: The chart.
    """
    import altair as alt

    format_ = "%" if percent else number_format(rows)
    base = named(rows, width).encode(
        y=names(width),
        description=alt.Description("told:N"),
    )
    scale = alt.Scale(domain=[0, 1]) if percent else scale_of([*rows, *alike], zero, bool(alike))
    ticks = alt.Axis(format=format_, tickCount=4 if width <= NARROW else 6, labels=axis is not None)
    x = alt.X("value:Q", title=axis, scale=scale, axis=ticks)
    layers = []
    if zero is not None:
        line = alt.Chart(alt.Data(values=[{"zero": zero}])).mark_rule(color=SOFT, aria=False)
        layers.append(line.encode(x=alt.X("zero:Q", title=axis, scale=scale)))
    ranged = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
    layers.append(
        ranged.mark_rule(strokeWidth=2.5, clip=True).encode(
            x=alt.X("low:Q", title=axis, scale=scale), x2="high:Q", color=alt.Color("color:N", scale=None)
        )
    )
    if marks:
        ticked = base.transform_filter("isValid(datum.mark)")
        layers.append(
            ticked.mark_tick(thickness=3, size=17, color=marks).encode(x=alt.X("mark:Q", title=axis, scale=scale))
        )
    point = base.mark_point(size=95, strokeWidth=2, filled=True, opacity=1).encode(
        x=x,
        stroke=alt.Stroke("color:N", scale=None),
        fill=alt.condition("datum.found", alt.Fill("color:N", scale=None), alt.value(PAPER)),
    )
    return alt.layer(*layers, *linked(point, rows)).properties(
        width=inside(width), height=alt.Step(_ROW if width > NARROW else _TALL_ROW)
    )


def linked(marks: alt.Chart, rows: Sequence[Mapping[str, Any]]) -> list[alt.Chart]:
    """Marks that lead to the `href` of their rows, apart from marks without one, which would lead outside the page."""
    import altair as alt

    if not any(row.get("href") for row in rows):
        return [marks]
    leading = marks.transform_filter("isValid(datum.href)").encode(href=alt.Href("href:N"))
    return [leading, marks.transform_filter("!isValid(datum.href)")]


def grouped_dots(groups: Mapping[str, Sequence[Mapping[str, Any]]], width: int, *, axis: str, **look: Any) -> Any:  # noqa: ANN401
    """Dots of several groups, one below the other on one scale, each under its name.

    Args:
        groups (`Mapping[str, Sequence[Mapping]]`): By group, rows as `dots` takes them.
        width (`int`): Pixels.
        axis (`str`): What the values are, with their unit.
        **look: As for `dots`.

    Returns:
        `altair.VConcatChart` or `altair.LayerChart`: The chart; without a name where there is one group.
    """
    import altair as alt

    if len(groups) == 1:
        return dots(next(iter(groups.values())), width, axis=axis, **look)
    every = [row for rows in groups.values() for row in rows]
    last = list(groups)[-1]
    return alt.vconcat(
        *(
            dots(rows, width, axis=axis if name == last else None, alike=every, **look).properties(title=heading(name))
            for name, rows in groups.items()
        ),
        spacing=32,
        bounds="flush",
    )


def heading(name: str) -> alt.Title:
    """The name of one of several charts."""
    import altair as alt

    return alt.Title(text=name, fontSize=13, anchor="start", frame="group", offset=6)


def inside(width: int) -> int:
    """Pixels of a chart that are left beside the names of its rows."""
    return width - (190 if width > NARROW else 150)


def number_format(rows: Sequence[Mapping[str, Any]]) -> str:
    """Decimals on an axis; for very large numbers, powers of ten."""
    return "~f" if max(abs(row["value"]) for row in rows) < 1e5 else "~g"


def names(width: int) -> alt.Y:
    """The axis of rows' names, in their order; longer names are cut on a narrow chart."""
    import altair as alt

    limit = 140 if width <= NARROW else 240
    axis = alt.Axis(labelLimit=limit, labelLineHeight=14, labelExpr="split(datum.label, '\\n')")
    return alt.Y("label:N", sort=None, title=None, scale=alt.Scale(paddingOuter=0.4), axis=axis)


def named(rows: Sequence[Mapping[str, Any]], width: int) -> alt.Chart:
    """A chart of rows whose long names stand on two lines."""
    import altair as alt

    def two_lines(label: str) -> str:
        if "\n" in label:
            return label
        first, *rest = textwrap.wrap(label, 20 if width <= NARROW else 34, break_long_words=False) or [label]
        return "\n".join([first, " ".join(rest)] if rest else [first])

    return alt.Chart(alt.Data(values=[{**row, "label": two_lines(str(row["label"]))} for row in rows]))


def scale_of(rows: Sequence[Mapping[str, Any]], zero: float | None, fixed: bool) -> alt.Scale:
    """A scale on which one very wide interval does not press all dots together: it is cut at the edge."""
    import altair as alt

    values = [row[name] for row in rows for name in ("value", "mark") if row.get(name) is not None]
    values += [] if zero is None else [zero]
    bounds = [row[name] for row in rows for name in ("low", "high") if row.get(name) is not None]
    reach = max(max(values) - min(values), 1e-9)
    inside = [bound for bound in bounds if min(values) - 2 * reach <= bound <= max(values) + 2 * reach]
    if (len(inside) == len(bounds) and not fixed) or len(rows) < 2:
        return alt.Scale(zero=True)
    return alt.Scale(domain=[min([*values, *inside]), max([*values, *inside])], nice=True)


def two_points(rows: Sequence[Mapping[str, Any]], width: int, *, axis: str, colors: tuple[str, str]) -> alt.LayerChart:
    """Two shares with intervals per row, on one line each, joined.

    Args:
        rows (`Sequence[Mapping]`): Each with `label`, and `value`, `low`, `high`, `told` twice, ending in `_0` and `_1`.
        width (`int`): Pixels.
        axis (`str`): What the shares are.
        colors (`tuple[str, str]`): Colours of both.

    Returns:
        `altair.LayerChart`: The chart.
    """
    import altair as alt

    base = named(rows, width).encode(y=names(width))
    scale = alt.Scale(domain=[0, 1])
    count = 3 if width <= NARROW else 5
    x = alt.X("value_0:Q", title=axis, scale=scale, axis=alt.Axis(format="%", tickCount=count))
    half = (
        alt.Chart(alt.Data(values=[{"half": 0.5}]))
        .mark_rule(color=SOFT, aria=False)
        .encode(x=alt.X("half:Q", title=axis))
    )
    joined = base.mark_rule(color=RULE, strokeWidth=2, aria=False).encode(x=x, x2="value_1:Q")
    layers = [half, joined]
    for place, color in enumerate(colors):
        ranged = base.transform_filter(f"isValid(datum.low_{place}) && isValid(datum.high_{place})")
        layers.append(
            ranged.mark_rule(color=color, strokeWidth=1.5, opacity=0.55, yOffset=-4 + 8 * place).encode(
                x=alt.X(f"low_{place}:Q", title=axis, scale=scale), x2=f"high_{place}:Q"
            )
        )
        layers.append(
            base.mark_point(size=95, filled=True, opacity=1, color=color, yOffset=-4 + 8 * place).encode(
                x=alt.X(f"value_{place}:Q", title=axis, scale=scale), description=f"told_{place}:N"
            )
        )
    return alt.layer(*layers).properties(width=inside(width), height=alt.Step(_ROW + 4))


def curve(rows: Sequence[Mapping[str, Any]], width: int, *, x_axis: str, y_axis: str) -> alt.LayerChart:
    """Shares with intervals by a probability, beside the line on which both are equal.

    Args:
        rows (`Sequence[Mapping]`): Each with `x`, `value`, `low`, `high`, `told`, `href`.
        width (`int`): Pixels.
        x_axis (`str`): What the probability is.
        y_axis (`str`): What the shares are.

    Returns:
        `altair.LayerChart`: The chart.
    """
    import altair as alt

    scale = alt.Scale(domain=[0.5, 1])
    base = alt.Chart(alt.Data(values=list(map(dict, rows)))).encode(
        x=alt.X("x:Q", title=x_axis, scale=scale, axis=alt.Axis(format="%", grid=False, tickCount=5)),
        description=alt.Description("told:N"),
    )
    equal = (
        alt.Chart(alt.Data(values=[{"x": 0.5, "y": 0.5}, {"x": 1, "y": 1}]))
        .mark_line(color=SOFT, strokeWidth=1, aria=False)
        .encode(x=alt.X("x:Q", title=x_axis), y=alt.Y("y:Q", title=y_axis))
    )
    grid = alt.Axis(format="%", grid=True, labelFontSize=12, tickCount=5)
    ranged = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
    return alt.layer(
        equal,
        ranged.mark_rule(color=MODEL, strokeWidth=2).encode(y=alt.Y("low:Q", title=y_axis), y2="high:Q"),
        base.mark_point(size=80, filled=True, opacity=1, color=MODEL).encode(
            y=alt.Y("value:Q", title=y_axis, scale=alt.Scale(domain=[0, 1]), axis=grid), href="href:N"
        ),
    ).properties(width=min(width - 80, 420), height=230)


def map_of_pairs(
    cells: Sequence[Mapping[str, Any]], width: int, *, bounds: tuple[float, float], step: float
) -> alt.LayerChart:
    """Rewards of both responses, counted in squares; below the line the rejected response has more.

    Args:
        cells (`Sequence[Mapping]`): Each with `chosen`, `rejected` (lower bounds of a square), `n`, `told`, `color`.
        width (`int`): Pixels.
        bounds (`tuple[float, float]`): Of both axes.
        step (`float`): Size of a square.

    Returns:
        `altair.LayerChart`: The chart.
    """
    import altair as alt

    scale, size = alt.Scale(domain=list(bounds), nice=False), min(width - 80, 400)
    axis = alt.Axis(format="~f", tickCount=5, grid=False, labelFontSize=12)
    squares = (
        alt.Chart(alt.Data(values=list(map(dict, cells))))
        .transform_calculate(right=f"datum.rejected + {step}", top=f"datum.chosen + {step}")
        .mark_rect(strokeWidth=0)
        .encode(
            x=alt.X("rejected:Q", title="reward of the rejected response", scale=scale, axis=axis),
            x2="right:Q",
            y=alt.Y("chosen:Q", title="reward of the chosen response", scale=scale, axis=axis),
            y2="top:Q",
            color=alt.Color("color:N", scale=None),
            opacity=alt.Opacity("n:Q", scale=alt.Scale(type="sqrt", range=[0.12, 1]), legend=None),
            description="told:N",
        )
    )
    equal = (
        alt.Chart(alt.Data(values=[{"x": bounds[0]}, {"x": bounds[1]}]))
        .mark_line(color=SOFT, strokeWidth=1, aria=False)
        .encode(x=alt.X("x:Q", scale=scale, axis=axis), y=alt.Y("x:Q", scale=scale, axis=axis))
    )
    return alt.layer(squares, equal).properties(width=size, height=size)

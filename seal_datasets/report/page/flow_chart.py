"""Flows of pairs between two models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seal_datasets.theme import INK, NARROW

if TYPE_CHECKING:
    import altair as alt

_STEPS = 24
_LEAST_NAMED = 0.09


def flow(
    shares: Mapping[str, float], ends: Sequence[Mapping[str, Any]], colors: Mapping[str, str], width: int
) -> alt.LayerChart:
    """Flows of pairs from aligned or not with one model to aligned or not with another.

    Args:
        shares (`Mapping[str, float]`): Share of each of the four regimes.
        ends (`Sequence[Mapping]`): Words at the four ends: `text`, `side` (0 left, 1 right), `aligned`.
        colors (`Mapping[str, str]`): Colour of each regime.
        width (`int`): Pixels.

    Returns:
        `altair.LayerChart`: The chart.
    """
    import altair as alt

    bands, spots = _bands(shares)
    area = (
        alt.Chart(alt.Data(values=bands))
        .mark_area(opacity=0.6, line=False)
        .encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("low:Q", axis=None, scale=alt.Scale(domain=[0, 1.12], reverse=True)),
            y2="high:Q",
            detail="regime:N",
            color=alt.Color("color:N", scale=None),
            href="href:N",
            description="told:N",
        )
        .transform_calculate(
            color=_choose(colors),
            href="'#regime=' + datum.regime",
            told=_choose({name: f"{name.replace('_', ' ')}: {share:.0%} of pairs" for name, share in shares.items()}),
        )
    )
    layers = [area, _names_on(bands, shares, short=width <= NARROW)]
    for side, align, shift in ((0, "right", -8), (1, "left", 8)):
        words = [{"y": spots[side, end["aligned"]], "text": end["text"]} for end in ends if end["side"] == side]
        layers.append(
            alt.Chart(alt.Data(values=words))
            .mark_text(align=align, dx=shift, fontSize=13, color=INK, lineBreak="\n", baseline="middle")
            .encode(x=alt.datum(float(side)), y="y:Q", text="text:N")
        )
    return alt.layer(*layers).properties(width=width - 290 if width > NARROW else width - 230, height=190)


def _names_on(bands: Sequence[Mapping[str, Any]], shares: Mapping[str, float], *, short: bool) -> alt.Chart:
    """Names and shares of the flows that are wide enough, at their left ends; in little room their shares alone."""
    import altair as alt

    starts = [band for band in bands if band["x"] == 0 and shares[band["regime"]] >= _LEAST_NAMED]
    words = [
        {
            "y": (band["low"] + band["high"]) / 2,
            "text": f"{'' if short else band['regime'].replace('_', ' ')} {shares[band['regime']]:.0%}".strip(),
        }
        for band in starts
    ]
    return (
        alt.Chart(alt.Data(values=words))
        .mark_text(align="left", dx=8, fontSize=12, color=INK, baseline="middle", aria=False)
        .encode(x=alt.datum(0.0), y="y:Q", text="text:N")
    )


def _choose(by_regime: Mapping[str, str]) -> str:
    """A Vega expression that is a value for each regime."""
    words = "".join(f"datum.regime === '{name}' ? '{value}' : " for name, value in by_regime.items())
    return f"{words}''"


def _bands(shares: Mapping[str, float]) -> tuple[list[dict[str, Any]], dict[tuple[int, bool], float]]:
    """Outlines of the four flows, and the middles of the four ends; aligned pairs stand above."""
    gap = 0.12
    aligned_before = shares["stayed_aligned"] + shares["reversed_alignment"]
    aligned_after = shares["stayed_aligned"] + shares["became_aligned"]
    starts = {
        "stayed_aligned": 0.0,
        "reversed_alignment": shares["stayed_aligned"],
        "became_aligned": aligned_before + gap,
        "stayed_misaligned": aligned_before + gap + shares["became_aligned"],
    }
    ends = {
        "stayed_aligned": 0.0,
        "became_aligned": shares["stayed_aligned"],
        "reversed_alignment": aligned_after + gap,
        "stayed_misaligned": aligned_after + gap + shares["reversed_alignment"],
    }
    bands = []
    for regime, share in shares.items():
        for step in range(_STEPS + 1):
            x = step / _STEPS
            low = starts[regime] + (ends[regime] - starts[regime]) * x * x * (3 - 2 * x)
            bands.append({"regime": regime, "x": x, "low": low, "high": low + share})
    spots = {
        (0, True): aligned_before / 2,
        (0, False): aligned_before + gap + (1 - aligned_before) / 2,
        (1, True): aligned_after / 2,
        (1, False): aligned_after + gap + (1 - aligned_after) / 2,
    }
    return bands, spots

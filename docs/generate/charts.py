"""The documentation's pictures, drawn by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from matplotlib import style
from matplotlib.figure import Figure
from PIL import Image

LINE, MUTED, BAND = "#3f51b5", "#6b7785", "#e8f1e6"
ROOT, ECHO, SECOND = "#c62828", "#ef8c00", "#00838f"
STYLE: Any = [
    "default",
    {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.axisbelow": "line",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "grid.color": "#e4e8ee",
        "xtick.labelcolor": MUTED,
        "ytick.color": MUTED,
        "ytick.major.size": 0,
    },
]
MOST_NAMED = 5
"""Names in a line of a legend."""


def sheet(panels: int = 1, height: float = 2.0, grid: Literal["x", "y"] = "y") -> Figure:
    """An empty figure of panels below each other, each `height` inches high."""
    figure = Figure(figsize=(8, panels * height + 0.3), layout="constrained")
    figure.subplots(panels, 1)
    for axes in figure.axes:
        axes.margins(x=0.02)
        axes.grid(axis=grid)
        axes.yaxis.set_major_formatter("{x:,.6g}")
    return figure


def add_legend(figure: Figure) -> None:
    """Name below the panels what has a label in any of them, each label once."""
    named = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        named.values(),
        list(named),
        loc="outside lower left",
        ncols=min(len(named), MOST_NAMED),
        labelcolor=MUTED,
        frameon=False,
    )


@style.context(STYLE)
def bar_chart(title: str, groups: Sequence[str], bars: Mapping[str, Sequence[float]]) -> Figure:
    """Values in [0, 1] as bars: for each name as many as there are groups."""
    figure, thick = sheet(height=0.6 * len(bars), grid="x"), 0.8 / len(groups)
    (axes,) = figure.axes
    axes.set_axisbelow(True)
    for nth, (group, colour) in enumerate(zip(groups, (LINE, SECOND, ECHO, ROOT), strict=False)):
        places = [place + nth * thick for place in range(len(bars))]
        values = [each[nth] for each in bars.values()]
        drawn = axes.barh(places, values, 0.9 * thick, color=colour, label=group)
        axes.bar_label(drawn, fmt="%.2f", padding=3, color=MUTED, fontsize=8)
    axes.set_yticks([place + 0.4 - thick / 2 for place in range(len(bars))], list(bars))
    axes.invert_yaxis()
    axes.set_title(title)
    add_legend(figure)
    return figure


@style.context(STYLE)
def png(figure: Figure, *, dpi: int = 140, colours: int | None = None) -> bytes:
    """A figure as PNG; with so many colours, which makes it smaller."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi)
    if colours is None:
        return drawn.getvalue()
    fewer = io.BytesIO()
    with Image.open(drawn) as picture:
        # An octree keeps colours of a few pixels, such as a root's point.
        small = picture.convert("RGB").quantize(colours, Image.Quantize.FASTOCTREE)
    small.save(fewer, "PNG", optimize=True)
    return fewer.getvalue()

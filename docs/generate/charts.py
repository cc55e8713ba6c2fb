"""Draws charts with matplotlib, in the style of the documentation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from matplotlib import style
from matplotlib.figure import Figure
from PIL import Image

LINE_COLOUR = "#3f51b5"
MUTED_COLOUR = "#6b7785"
BAND_COLOUR = "#e8f1e6"
ROOT_COLOUR = "#c62828"
CONSEQUENCE_COLOUR = "#ef8c00"
SECOND_COLOUR = "#00838f"
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
        "xtick.labelcolor": MUTED_COLOUR,
        "ytick.color": MUTED_COLOUR,
        "ytick.major.size": 0,
    },
]
MAX_LEGEND_COLUMNS = 5


def create_figure(
    panels: int = 1, panel_height_in: float = 2.0, grid: Literal["x", "y"] = "y"
) -> Figure:
    """Return a figure with empty panels below each other, each of a height in inches."""
    figure = Figure(figsize=(8, panels * panel_height_in + 0.3), layout="constrained")
    figure.subplots(panels, 1)
    for axes in figure.axes:
        axes.margins(x=0.02)
        axes.grid(axis=grid)
        axes.yaxis.set_major_formatter("{x:,.6g}")
    return figure


def add_legend(figure: Figure) -> None:
    """Add a legend below the panels, with each label of any panel once."""
    handle_by_label = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handle_by_label.values(),
        list(handle_by_label),
        loc="outside lower left",
        ncols=min(len(handle_by_label), MAX_LEGEND_COLUMNS),
        labelcolor=MUTED_COLOUR,
        frameon=False,
    )


@style.context(STYLE)
def draw_bar_chart(
    title: str, groups: Sequence[str], values_by_name: Mapping[str, Sequence[float]]
) -> Figure:
    """Draw horizontal bars of values in [0, 1], for each name one bar per group."""
    figure = create_figure(panel_height_in=0.6 * len(values_by_name), grid="x")
    bar_height = 0.8 / len(groups)
    (axes,) = figure.axes
    axes.set_axisbelow(True)
    colours = (LINE_COLOUR, SECOND_COLOUR, CONSEQUENCE_COLOUR, ROOT_COLOUR)
    for number, (group, colour) in enumerate(zip(groups, colours, strict=False)):
        positions = [row + number * bar_height for row in range(len(values_by_name))]
        values = [name_values[number] for name_values in values_by_name.values()]
        bars = axes.barh(positions, values, 0.9 * bar_height, color=colour, label=group)
        axes.bar_label(bars, fmt="%.2f", padding=3, color=MUTED_COLOUR, fontsize=8)
    ticks = [row + 0.4 - bar_height / 2 for row in range(len(values_by_name))]
    axes.set_yticks(ticks, list(values_by_name))
    axes.invert_yaxis()
    axes.set_title(title)
    add_legend(figure)
    return figure


@style.context(STYLE)
def encode_png(figure: Figure, *, dpi: int = 140, colours: int | None = None) -> bytes:
    """Return a figure as PNG; with a number of colours, which makes it smaller."""
    stream = io.BytesIO()
    figure.savefig(stream, dpi=dpi)
    if colours is None:
        return stream.getvalue()
    reduced_stream = io.BytesIO()
    with Image.open(stream) as picture:
        # An octree keeps the colours of few pixels, such as the point of a root.
        reduced = picture.convert("RGB").quantize(colours, Image.Quantize.FASTOCTREE)
    reduced.save(reduced_stream, "PNG", optimize=True)
    return reduced_stream.getvalue()

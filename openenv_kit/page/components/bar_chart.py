"""Draws vertical bar charts, and horizontal bars that are compared with a usual value."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from html import escape

from openenv_kit.page.components.elements import table_html

HEIGHT = 60.0
"""Height of a vertical bar chart in SVG units. The page stretches the chart."""
BAR_SHARE = 0.72
"""Width of a bar as a share of the distance between two bars."""


@dataclass(frozen=True)
class BarChart:
    """A vertical bar chart.

    Attributes:
        title: name and unit of the values.
        labels: label of each bar, such as "14:00".
        values: height of each bar.
        format_value: function that formats a value.
        emphasized: indexes of the bars that are highlighted.
        emphasis: meaning of the emphasis, such as "daytime"; empty if no bar is emphasized.
        note: sentence below the chart; may be empty.
        label_name: column title of the labels in the table, such as "hour".
    """

    title: str
    labels: Sequence[str]
    values: Sequence[float]
    format_value: Callable[[float], str]
    emphasized: Collection[int] = ()
    emphasis: str = ""
    note: str = ""
    label_name: str = "label"


def bar_chart_html(chart: BarChart) -> str:
    """Return a vertical bar chart whose values are shown on hover, on focus and in a table."""
    count = len(chart.values)
    top = max(chart.values, default=0.0) or 1.0
    bars = {True: "", False: ""}
    for index, value in enumerate(chart.values):
        left, width = index + (1 - BAR_SHARE) / 2, BAR_SHARE
        height = HEIGHT * value / top
        bars[index in chart.emphasized] += (
            f"M{left:.2f} {HEIGHT:g}v{-height:.1f}h{width:g}V{HEIGHT:g}Z"
        )
    peak = max(range(count), key=lambda index: chart.values[index])
    sentence = (
        f"{chart.title}: highest at {chart.labels[peak]} with "
        f"{chart.format_value(chart.values[peak])}. {chart.note}"
    ).strip()
    texts = [
        f"{label}: {chart.format_value(value)}"
        for label, value in zip(chart.labels, chart.values, strict=True)
    ]
    legend = f"<span>{escape(chart.emphasis)}</span>" if chart.emphasis else ""
    note = f"<p>{escape(chart.note)}</p>" if chart.note else ""
    table = table_html(
        [chart.label_name, chart.title],
        [
            [escape(label), escape(chart.format_value(value))]
            for label, value in zip(chart.labels, chart.values, strict=True)
        ],
        f"{chart.title}, as a table",
        numeric_columns=[1],
    )
    return (
        f'<figure class="mt-chart mt-bars" data-values="{escape(json.dumps(texts))}">'
        f"<figcaption><b>{escape(chart.title)}</b><span></span>{legend}</figcaption>"
        f'<div class="plot" role="img" tabindex="0" data-key="bars {escape(chart.title)}" '
        f'aria-label="{escape(sentence)}"><svg viewBox="0 0 {count} {HEIGHT:g}" '
        f'preserveAspectRatio="none" aria-hidden="true"><path class="plain" d="{bars[False]}"/>'
        f'<path class="strong" d="{bars[True]}"/></svg><i class="hover" hidden></i></div>'
        f'<p class="mt-axis" aria-hidden="true"><span>{escape(chart.labels[0])}</span>'
        f"<span>{escape(chart.labels[count // 2])}</span><span>{escape(chart.labels[-1])}</span>"
        f'</p>{note}<details class="mt-astable" data-keep="table {escape(chart.title)}">'
        f'<summary aria-label="{escape(chart.title)} as a table">table</summary>{table}'
        "</details></figure>"
    )


@dataclass(frozen=True)
class ComparedBar:
    """A horizontal bar that is compared with a usual value. Unknown values are None.

    Attributes:
        label: name of the value.
        value: length of the bar.
        usual: usual value, drawn as an outline.
        text: text at the end of the bar.
    """

    label: str
    value: float | None
    usual: float | None
    text: str


def compared_bars_html(title: str, bars: Sequence[ComparedBar], empty_text: str) -> str:
    """Return horizontal bars, each with its usual value as an outline behind it.

    Args:
        title: heading of the chart.
        bars: the bars, from top to bottom.
        empty_text: text to show instead of the chart if no value is known.
    """
    if all(bar.value is None for bar in bars):
        return f"<h2>{escape(title)}</h2><p class='mt-hint'>{escape(empty_text)}</p>"
    top = max(value for bar in bars for value in (bar.value, bar.usual) if value is not None)
    lines = "".join(_compared_bar_html(bar, top or 1.0) for bar in bars)
    return (
        f'<h2>{escape(title)}</h2><ul class="mt-compared" aria-label="{escape(title)}">{lines}</ul>'
    )


def _compared_bar_html(bar: ComparedBar, top: float) -> str:
    shapes = ""
    if bar.usual is not None:
        width = 100 * bar.usual / top
        shapes += f'<rect class="usual" width="{width:.2f}%" height="100%"/>'
    if bar.value is not None:
        width = 100 * bar.value / top
        shapes += f'<rect class="value" y="22%" width="{width:.2f}%" height="56%"/>'
    return (
        f'<li><span>{escape(bar.label)}</span><svg aria-hidden="true">{shapes}</svg>'
        f"<em>{escape(bar.text)}</em></li>"
    )

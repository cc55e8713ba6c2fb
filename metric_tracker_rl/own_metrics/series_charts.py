"""Draws the daily series of a table as SVG, and marks the days that the fit excluded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jinja2 import Environment as TemplateEnvironment
from markupsafe import Markup

from metric_tracker_rl.own_metrics.describe_import import format_threshold
from metric_tracker_rl.products.daily_values import FloatArray, compute_series_values, list_weekdays
from metric_tracker_rl.products.fit import DAYTIME, TableFit
from metric_tracker_rl.products.fit_levels import compute_fitted_values
from metric_tracker_rl.products.product import Product
from openenv_kit.own_data.stage_counts import StageCounts

WIDTH, HEIGHT = 900, 150
"""Size of a chart in SVG units."""
MARGIN = 8
DECIMALS = 1
MARK_RADIUS = 3
_CHART = TemplateEnvironment(autoescape=True).from_string(
    '<svg class="chart" viewBox="0 0 {{ width }} {{ height }}" role="img" '
    'aria-label="{{ label }}" preserveAspectRatio="none">'
    '<path class="level" d="{{ level_path }}"/><path class="values" d="{{ value_path }}"/>'
    "{% for mark in marks %}"
    '<circle class="{{ mark.css_class }}" cx="{{ mark.x }}" cy="{{ mark.y }}" r="{{ radius }}">'
    "<title>{{ mark.title }}</title></circle>"
    "{% endfor %}</svg>"
)


class MarkedDay(NamedTuple):
    """Index, CSS class and description of a day that the fit excluded."""

    day: int
    css_class: str
    title: str


@dataclass(frozen=True)
class ChartMark:
    """Mark of a day that the fit excluded.

    Attributes:
        x: horizontal position.
        y: vertical position.
        css_class: `holiday` or `unusual`.
        title: date, reason and value.
    """

    x: float
    y: float
    css_class: str
    title: str


@dataclass(frozen=True)
class SeriesChart:
    """A chart of one series and its caption.

    Attributes:
        name: name of the series.
        threshold: reporting threshold as text.
        low: smallest value as text.
        high: largest value as text.
        svg: the chart.
    """

    name: str
    threshold: str
    low: str
    high: str
    svg: Markup


def build_series_charts(
    table: StageCounts, fit: TableFit, product: Product
) -> tuple[SeriesChart, ...]:
    """Return a chart of the daily values, fitted levels and excluded days of each fitted series."""
    values = compute_series_values(table.counts, table.grain, DAYTIME)
    weekdays = list_weekdays(table.start, table.days)
    return tuple(
        _build_chart(
            table,
            fit,
            series.name,
            values[:, column],
            compute_fitted_values(fit.levels[column], weekdays),
            format_threshold(product, series.name),
        )
        for column, series in enumerate(product.series)
    )


def format_value(value: float) -> str:
    """Format a daily value as text.

    Values of at least 100 have no decimals; smaller values have up to three.
    """
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3f}".rstrip("0").rstrip(".")


def _build_chart(
    table: StageCounts,
    fit: TableFit,
    name: str,
    values: FloatArray,
    levels: FloatArray,
    threshold: str,
) -> SeriesChart:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    heights = _scale_to_heights(values, low, high)
    xs = np.linspace(MARGIN, WIDTH - MARGIN, table.days).round(DECIMALS)
    marks = [
        ChartMark(
            float(xs[marked.day]),
            float(heights[marked.day]),
            marked.css_class,
            f"{marked.title}: {format_value(values[marked.day])}",
        )
        for marked in _iter_marked_days(table, fit)
        if np.isfinite(heights[marked.day])
    ]
    svg = _CHART.render(
        width=WIDTH,
        height=HEIGHT,
        radius=MARK_RADIUS,
        label=f"{name} by day, {format_value(low)} to {format_value(high)}",
        level_path=_format_path(xs, _scale_to_heights(levels, low, high)),
        value_path=_format_path(xs, heights),
        marks=marks,
    )
    return SeriesChart(name, threshold, format_value(low), format_value(high), Markup(svg))


def _iter_marked_days(table: StageCounts, fit: TableFit) -> Iterator[MarkedDay]:
    for day in range(table.days):
        date = table.get_date(day)
        if date in table.holidays:
            yield MarkedDay(day, "holiday", f"{date}, {table.holidays[date]}")
        elif fit.masks.is_unusual[day]:
            yield MarkedDay(day, "unusual", f"{date}, unusual")


def _scale_to_heights(values: FloatArray, low: float, high: float) -> FloatArray:
    """Convert values to vertical positions in a chart, measured downwards from its top.

    Values below `low` or above `high` are drawn at the edge of this range.
    """
    span = (high - low) or 1.0
    heights = HEIGHT - MARGIN - (np.clip(values, low, high) - low) / span * (HEIGHT - 2 * MARGIN)
    rounded: FloatArray = heights.round(DECIMALS)
    return rounded


def _format_path(xs: FloatArray, heights: FloatArray) -> str:
    """Return an SVG path through the points, with a gap wherever a height is NaN."""
    parts: list[str] = []
    is_drawing = False
    for x, height in zip(xs.tolist(), heights.tolist(), strict=True):
        if height != height:
            is_drawing = False
            continue
        parts.append(f"{'L' if is_drawing else 'M'}{x:g} {height:g}")
        is_drawing = True
    return "".join(parts)

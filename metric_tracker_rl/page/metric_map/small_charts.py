"""Small charts below the map, which show each daily series with its median and threshold band.

The server renders the charts as SVG in the page's colours, each with a text label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from metric_tracker_rl.page.metric_map.known_values import KnownValues
from metric_tracker_rl.page.metric_map.map_html import group_verdicts_by_cell
from metric_tracker_rl.page.metric_map.map_rows import MapRow, build_map_rows
from metric_tracker_rl.page.metric_map.verdicts import RowVerdict
from openenv_kit.page.components.elements import format_short_date
from openenv_kit.page.components.grid import GLYPHS, verdict_class

SvgPath = str
"""Value of the attribute `d` of an SVG path."""
WIDTH, HEIGHT = 100.0, 40.0
"""Size of a chart in SVG units. The page stretches the chart to the available width."""
MARGIN_SHARE = 0.08
"""Free space above and below the values, as a share of their range."""


def series_charts_html(known_values: KnownValues, verdicts: Sequence[RowVerdict] = ()) -> str:
    """Return the HTML of a chart for each series that has known values.

    Args:
        known_values: values that may be shown.
        verdicts: verdicts about the report. The sequence is empty until the episode ends.
    """
    lines = build_map_rows(known_values.funnel)
    verdicts_by_position = group_verdicts_by_cell(lines, verdicts)
    charts = ""
    for row_index, line in enumerate(lines):
        verdict_by_day = {
            position.day: verdicts_of_cell[0]
            for position, verdicts_of_cell in verdicts_by_position.items()
            if position.row_index == row_index
        }
        charts += _series_chart_html(known_values, line, verdict_by_day)
    return f'<div class="mt-small">{charts}</div>' if charts else ""


def _series_chart_html(
    known_values: KnownValues, map_row: MapRow, verdict_by_day: Mapping[int, RowVerdict]
) -> str:
    """Return the HTML of one series' chart, or "" if none of its values is known."""
    days = range(len(known_values.dates))
    values = {
        day: v for day in days if (v := map_row.sum_known_values(known_values, day)) is not None
    }
    baselines = {
        day: b for day in days if (b := map_row.find_baseline(known_values, day)) is not None
    }
    if not values or (map_row.is_impossible_counts_row and not any(values.values())):
        return ""
    bands = _compute_threshold_bands(known_values, map_row, baselines)
    drawn_values = [*values.values(), *baselines.values()]
    for band in bands.values():
        drawn_values += band
    low, high = min(drawn_values), max(drawn_values)
    margin = MARGIN_SHARE * (high - low or abs(high) or 1.0)
    low, high = low - margin, high + margin

    def y_of_value(value: float) -> float:
        return HEIGHT * (high - value) / (high - low)

    def x_of_day(day: float) -> float:
        return WIDTH * day / len(known_values.dates)

    points = [
        ChartPoint(day, x_of_day(day + 0.5), y_of_value(value)) for day, value in values.items()
    ]
    path_by_class = {
        "band": "".join(
            _build_rectangle_path(
                x_of_day(day), x_of_day(day + 1), y_of_value(band.upper), y_of_value(band.lower)
            )
            for day, band in bands.items()
        ),
        "usual": "".join(
            f"M{x_of_day(day):.1f} {y_of_value(baseline):.1f}H{x_of_day(day + 1):.1f}"
            for day, baseline in baselines.items()
        ),
        "line": _build_line_path(points),
        "dots": "".join(_build_dot_path(point) for point in points),
        "far": "".join(
            _build_dot_path(point)
            for point in points
            if _has_value_past_threshold(known_values, map_row, point.day)
        ),
    }
    shapes = "".join(
        f'<path class="{css_class}" d="{path}"/>'
        for css_class, path in path_by_class.items()
        if path
    )
    marks = "".join(
        f'<b class="{verdict_class(verdict.kind)}" title="{escape(verdict.sentence)}" '
        f'style="left:{x_of_day(day + 0.5):.1f}%;'
        f'top:{100 * y_of_value(values[day]) / HEIGHT:.1f}%">'
        f"{GLYPHS[verdict.kind]}</b>"
        for day, verdict in verdict_by_day.items()
        if day in values
    )
    first_day = format_short_date(known_values.dates[0])[4:]
    last_day = format_short_date(known_values.dates[-1])[4:]
    min_text = map_row.format_value_without_unit(min(values.values()))
    max_text = map_row.format_value_without_unit(max(values.values()))
    chart_label = escape(_describe_chart(known_values, map_row, values))
    return (
        f'<figure data-column="{map_row.columns[0]}" aria-label="{chart_label}">'
        f"<figcaption>{escape(map_row.label)}<small>{escape(map_row.unit)}</small></figcaption>"
        f'<div class="plot"><svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" '
        f'aria-hidden="true">{shapes}</svg><i></i>{marks}</div>'
        f"<footer><span>{first_day}</span><span>{min_text} to {max_text}</span>"
        f"<span>{last_day}</span></footer></figure>"
    )


class ThresholdBand(NamedTuple):
    """Lower and upper limit of the values that do not reach their threshold."""

    upper: float
    lower: float


def _compute_threshold_bands(
    known_values: KnownValues, map_row: MapRow, baseline_by_day: Mapping[int, float]
) -> dict[int, ThresholdBand]:
    """Return the threshold band by day, or an empty mapping if the thresholds are hidden."""
    if known_values.thresholds is None or map_row.is_impossible_counts_row:
        return {}
    threshold = known_values.thresholds[map_row.columns[0]]
    bands = {}
    for day, baseline in baseline_by_day.items():
        reach = (
            threshold
            if map_row.columns[0] == known_values.daytime_share_column
            else threshold * baseline
        )
        bands[day] = ThresholdBand(baseline + reach, baseline - reach)
    return bands


def _build_rectangle_path(left: float, right: float, top: float, bottom: float) -> SvgPath:
    return f"M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}Z"


class ChartPoint(NamedTuple):
    """A day's value in a chart; `x` and `y` are in SVG units."""

    day: int
    x: float
    y: float


def _build_line_path(points: Sequence[ChartPoint]) -> SvgPath:
    """Return the SVG path of a line through the points, with gaps at days without a value."""
    path = ""
    previous_day = -2
    for point in points:
        command = "L" if point.day == previous_day + 1 else "M"
        path += f"{command}{point.x:.1f} {point.y:.1f}"
        previous_day = point.day
    return path


def _build_dot_path(point: ChartPoint) -> SvgPath:
    return f"M{point.x:.1f} {point.y:.1f}h0"


def _has_value_past_threshold(known_values: KnownValues, map_row: MapRow, day: int) -> bool:
    """Return whether a known value reaches its threshold.

    The result is False if the thresholds are hidden.
    """
    if known_values.thresholds is None:
        return False
    if map_row.is_impossible_counts_row:
        return bool(map_row.sum_known_values(known_values, day))
    return abs(known_values.compute_threshold_multiple(day, map_row.columns[0]) or 0.0) >= 1.0


def _describe_chart(
    known_values: KnownValues, map_row: MapRow, value_by_day: dict[int, float]
) -> str:
    """Return a sentence that describes a chart for screen readers."""
    low = map_row.format_value_without_unit(min(value_by_day.values()))
    high = map_row.format_value_without_unit(max(value_by_day.values()))
    day_count = len(known_values.dates)
    value_range = f"{low} to {high}{map_row.unit}"
    label = f"{map_row.label}: {len(value_by_day)} of {day_count} days known, {value_range}"
    if known_values.thresholds is None or map_row.is_impossible_counts_row:
        return f"{label}."
    flagged_count = sum(
        _has_value_past_threshold(known_values, map_row, day) for day in value_by_day
    )
    return f"{label}; {flagged_count} at or beyond the threshold."

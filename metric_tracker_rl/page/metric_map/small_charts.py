"""Small charts below the map: each daily series with its median and the band of its threshold.

The server draws them as SVG in the page's colours, with a text label for each.
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

WIDTH, HEIGHT = 100.0, 40.0
"""Size of a chart in SVG units; it is stretched to the available width."""
MARGIN_SHARE = 0.08
"""Free space above and below the values, as a share of their range."""


def small_charts_html(known_values: KnownValues, verdicts: Sequence[RowVerdict] = ()) -> str:
    """Return a chart for each series with known values, as HTML.

    Args:
        known_values: values that may be drawn.
        verdicts: verdicts about the report, after the end.
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
        charts += _chart_html(known_values, line, verdict_by_day)
    return f'<div class="mt-small">{charts}</div>' if charts else ""


def _chart_html(
    known_values: KnownValues, line: MapRow, verdict_by_day: Mapping[int, RowVerdict]
) -> str:
    """Return the chart of one series; empty if nothing is known of it."""
    days = range(len(known_values.dates))
    values = {day: v for day in days if (v := line.value(known_values, day)) is not None}
    baselines = {day: b for day in days if (b := line.baseline(known_values, day)) is not None}
    if not values or (line.is_impossible_counts(known_values) and not any(values.values())):
        return ""
    bands = _threshold_bands(known_values, line, baselines)
    drawn_values = [*values.values(), *baselines.values()]
    for band in bands.values():
        drawn_values += band
    low, high = min(drawn_values), max(drawn_values)
    margin = MARGIN_SHARE * (high - low or abs(high) or 1.0)
    low, high = low - margin, high + margin

    def y(value: float) -> float:
        return HEIGHT * (high - value) / (high - low)

    def x(day: float) -> float:
        return WIDTH * day / len(known_values.dates)

    points = [ChartPoint(day, x(day + 0.5), y(value)) for day, value in values.items()]
    path_by_class = {
        "band": "".join(
            _box_path(x(day), x(day + 1), y(band.upper), y(band.lower))
            for day, band in bands.items()
        ),
        "usual": "".join(
            f"M{x(day):.1f} {y(baseline):.1f}H{x(day + 1):.1f}"
            for day, baseline in baselines.items()
        ),
        "line": _line_path(points),
        "dots": "".join(_dot_path(point) for point in points),
        "far": "".join(
            _dot_path(point) for point in points if _is_flagged(known_values, line, point.day)
        ),
    }
    shapes = "".join(
        f'<path class="{css_class}" d="{path}"/>'
        for css_class, path in path_by_class.items()
        if path
    )
    marks = "".join(
        f'<b class="{verdict_class(verdict.kind)}" title="{escape(verdict.sentence)}" '
        f'style="left:{x(day + 0.5):.1f}%;top:{100 * y(values[day]) / HEIGHT:.1f}%">'
        f"{GLYPHS[verdict.kind]}</b>"
        for day, verdict in verdict_by_day.items()
        if day in values
    )
    first_day = format_short_date(known_values.dates[0])[4:]
    last_day = format_short_date(known_values.dates[-1])[4:]
    chart_label = escape(_chart_label(known_values, line, values))
    return (
        f'<figure data-column="{line.columns[0]}" aria-label="{chart_label}">'
        f"<figcaption>{escape(line.label)}<small>{escape(line.unit)}</small></figcaption>"
        f'<div class="plot"><svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" '
        f'aria-hidden="true">{shapes}</svg><i></i>{marks}</div>'
        f"<footer><span>{first_day}</span><span>{line.format_short(min(values.values()))} to "
        f"{line.format_short(max(values.values()))}</span><span>{last_day}</span></footer></figure>"
    )


class ThresholdBand(NamedTuple):
    """Limits between which a value is within its threshold."""

    upper: float
    lower: float


def _threshold_bands(
    known_values: KnownValues, line: MapRow, baselines: Mapping[int, float]
) -> dict[int, ThresholdBand]:
    """Return the threshold band of each day with a baseline; empty without thresholds."""
    if known_values.thresholds is None or line.is_impossible_counts(known_values):
        return {}
    threshold = known_values.thresholds[line.columns[0]]
    bands = {}
    for day, baseline in baselines.items():
        reach = threshold if line.columns[0] == known_values.share_column else threshold * baseline
        bands[day] = ThresholdBand(baseline + reach, baseline - reach)
    return bands


def _box_path(left: float, right: float, top: float, bottom: float) -> str:
    return f"M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}Z"


class ChartPoint(NamedTuple):
    """A day's value in a chart; `x` and `y` are in SVG units."""

    day: int
    x: float
    y: float


def _line_path(points: Sequence[ChartPoint]) -> str:
    """Return the path of the line, which has a gap where a day's value is not known."""
    path = ""
    previous_day = -2
    for point in points:
        command = "L" if point.day == previous_day + 1 else "M"
        path += f"{command}{point.x:.1f} {point.y:.1f}"
        previous_day = point.day
    return path


def _dot_path(point: ChartPoint) -> str:
    return f"M{point.x:.1f} {point.y:.1f}h0"


def _is_flagged(known_values: KnownValues, line: MapRow, day: int) -> bool:
    """Return whether a known value reaches its threshold; False if the thresholds are hidden."""
    if known_values.thresholds is None:
        return False
    if line.is_impossible_counts(known_values):
        return bool(line.value(known_values, day))
    return abs(known_values.threshold_multiple(day, line.columns[0]) or 0.0) >= 1.0


def _chart_label(known_values: KnownValues, line: MapRow, values: dict[int, float]) -> str:
    """Return a sentence that describes a chart."""
    low = line.format_short(min(values.values()))
    high = line.format_short(max(values.values()))
    day_count = len(known_values.dates)
    label = f"{line.label}: {len(values)} of {day_count} days known, {low} to {high}{line.unit}"
    if known_values.thresholds is None or line.is_impossible_counts(known_values):
        return f"{label}."
    flagged_count = sum(_is_flagged(known_values, line, day) for day in values)
    return f"{label}; {flagged_count} at or beyond the threshold."

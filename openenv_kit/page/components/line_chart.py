"""Draws line charts of daily values as inline SVG, without a chart library.

The charts of a group share one date axis. A click in a chart or an arrow key selects a day in all
of them. The page's script moves the cursor and shows the values of a day; the server draws the
rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date as Date
from html import escape
from typing import Generic, NamedTuple, TypeVar

from openenv_kit.page.components.elements import format_short_date, table_html

ValueT = TypeVar("ValueT")

WIDTH, HEIGHT = 100.0, 40.0
"""Size of a chart in SVG units. The page stretches the chart to the available space."""
MARGIN_SHARE = 0.12
"""Margin above and below the values, as a share of their range."""
DAYS_BETWEEN_TICKS = 7


class ValueRange(NamedTuple):
    """Lower and upper limit of a normal range."""

    low: float
    high: float


class ChartMark(NamedTuple):
    """A mark that is drawn at the value of a day.

    Attributes:
        sign: character that is drawn, so that the meaning does not depend on the colour alone.
        css_class: CSS class of the colour, such as `out` for a value outside its normal range.
        meaning: meaning of the mark, such as "above the normal range".
    """

    sign: str
    css_class: str
    meaning: str


ABOVE = ChartMark("▲", "out", "above the normal range")
BELOW = ChartMark("▼", "out", "below the normal range")


@dataclass(frozen=True)
class LineChart:
    """A chart of one series of daily values. Unknown values are None.

    Attributes:
        key: identifier of the series, which is sent when a day is selected.
        title: name of the series.
        unit: unit of the values, as in "app opens, events per day".
        values: value of each day.
        format_value: function that formats a value and adds its unit if it is not obvious.
        usual: usual value of each day; empty if none is known.
        ranges: normal range of each day; empty if none is known.
        marks: marks by day index. If a reply says that a day is outside its normal range but does
            not contain the value, the mark is drawn at the upper or lower edge.
        unread_days: days whose value the player had not read; they are hatched.
        tag: short text at the right of the title, such as "cause, reported".
        tag_class: CSS class of the tag.
    """

    key: str
    title: str
    unit: str
    values: Sequence[float | None]
    format_value: Callable[[float], str]
    usual: Sequence[float | None] = ()
    ranges: Sequence[ValueRange | None] = ()
    marks: Mapping[int, ChartMark] = field(default_factory=dict)
    unread_days: Collection[int] = ()
    tag: str = ""
    tag_class: str = ""

    @property
    def known_days(self) -> set[int]:
        """Indexes of the days whose value is known."""
        return {day for day, value in enumerate(self.values) if value is not None}

    def usual_value(self, day: int) -> float | None:
        """Return the usual value of a day, or None if it is not known."""
        return self.usual[day] if self.usual else None

    def describe_day(self, day: int) -> str:
        """Return the value of a day in words, such as "24,239, usual 24,208"."""
        value, usual = self.values[day], self.usual_value(day)
        text = "not read yet" if value is None else self.format_value(value)
        if usual is not None:
            text += f" · usual {self.format_value(usual)}"
        return f"{text} · not read" if day in self.unread_days else text


def chart_group_html(
    title: str,
    charts: Sequence[LineChart],
    dates: Sequence[str],
    selected_day: int | None = None,
    flags: Mapping[int, str] | None = None,
    *,
    has_table: bool = True,
) -> str:
    """Return charts in one column, with a shared date axis and an optional table of the values.

    Args:
        title: heading of the group; empty for a group without heading.
        charts: the charts, from top to bottom.
        dates: ISO dates of the days.
        selected_day: index of the selected day; None if no day is selected.
        flags: description of each day that has a flag on the axis, by day index.
        has_table: whether to add a collapsed table of the values.
    """
    figures = "".join(line_chart_html(chart, dates, selected_day) for chart in charts)
    name = escape(title or charts[0].title)
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    table = _values_table_html(title, charts, dates) if has_table else ""
    return (
        f'<section class="mt-charts" aria-label="{name}">{heading}'
        f"<div>{figures}</div>{_date_axis_html(dates, flags or {})}{table}</section>"
    )


def chart_legend_html(charts: Sequence[LineChart], flag_meaning: str = "") -> str:
    """Return a line that explains what is drawn in some charts; empty if they are empty.

    Args:
        charts: the charts.
        flag_meaning: what a flag on the axis of dates means; empty if there are no flags.
    """
    entries = []
    if any(limits for chart in charts for limits in chart.ranges):
        entries.append(('<i class="legend-range"></i>', "normal range"))
    if any(usual is not None for chart in charts for usual in chart.usual):
        entries.append(('<i class="legend-usual"></i>', "usual value"))
    if any(_list_isolated_days(chart.known_days) for chart in charts):
        entries.append(('<i class="legend-dot">●</i>', "value of a single day"))
    marks = dict.fromkeys(mark for chart in charts for mark in chart.marks.values())
    entries += [
        (f'<i class="{mark.css_class}">{mark.sign}</i>', mark.meaning)
        for mark in sorted(marks, key=lambda mark: (mark not in (ABOVE, BELOW), mark.meaning))
    ]
    if flag_meaning:
        entries.append(('<i class="out">⚑</i>', flag_meaning))
    if any(chart.unread_days for chart in charts):
        entries.append(('<i class="legend-unread"></i>', "not read by the player"))
    items = "".join(f"<li>{sign} {escape(meaning)}</li>" for sign, meaning in entries)
    return f'<ul class="mt-legend" aria-label="Legend">{items}</ul>' if items else ""


def line_chart_html(chart: LineChart, dates: Sequence[str], selected_day: int | None = None) -> str:
    """Return a chart with its title, the selected day's value, normal range, line and marks."""
    y_of = _build_scale(chart)
    days = len(dates)

    def x_of(day: float) -> float:
        return WIDTH * (day + 0.5) / days

    points = [
        (day, x_of(day), y_of(value)) for day, value in enumerate(chart.values) if value is not None
    ]
    shapes = {
        "range": _range_path(chart, days, y_of),
        "usual": _usual_path(chart, days, y_of),
        "line": _line_path(points),
        "dots": _isolated_points_path(points),
    }
    paths = "".join(f'<path class="{name}" d="{path}"/>' for name, path in shapes.items() if path)
    height_by_day = {day: y for day, _, y in points}
    marks = "".join(
        f'<b class="{mark.css_class}" style="left:{x_of(day):.2f}%;'
        f'top:{100 * height_by_day.get(day, _height_of_unknown_value(mark)) / HEIGHT:.1f}%">'
        f"{mark.sign}</b>"
        for day, mark in chart.marks.items()
    )
    hatched = "".join(
        f'<i class="unread" style="left:{100 * run.first / days:.2f}%;'
        f'width:{100 * (run.end - run.first) / days:.2f}%"></i>'
        for run in _list_runs([day in chart.unread_days or None for day in range(days)])
    )
    cursor = "" if selected_day is None else f' style="left:{x_of(selected_day):.2f}%"'
    hidden = " hidden" if selected_day is None else ""
    empty = "" if points or chart.marks else '<p class="mt-unread">not read yet</p>'
    values = json.dumps([chart.describe_day(day) for day in range(days)], ensure_ascii=False)
    shown = "" if selected_day is None else chart.describe_day(selected_day)
    tag = f'<em class="{chart.tag_class}">{escape(chart.tag)}</em>' if chart.tag else ""
    return (
        f'<figure class="mt-chart" data-series="{escape(chart.key)}" '
        f'data-values="{escape(values)}" data-dates="{escape(json.dumps(list(dates)))}">'
        f'<figcaption title="{escape(f"{chart.title}, {chart.unit}")}"><b>{escape(chart.title)}</b>'
        f"<span>{escape(shown)}</span>{tag}</figcaption>"
        f'<div class="plot" role="img" tabindex="0" data-key="chart {escape(chart.key)}" '
        f'aria-label="{escape(describe_chart(chart, dates))}">'
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" aria-hidden="true">'
        f'{paths}</svg>{hatched}<i class="cursor"{cursor}{hidden}></i><i class="hover" hidden></i>'
        f"{marks}{empty}</div></figure>"
    )


def describe_chart(chart: LineChart, dates: Sequence[str]) -> str:
    """Return a sentence that describes a chart for screen readers."""
    known = [value for value in chart.values if value is not None]
    head = f"{chart.title}, {chart.unit}"
    if not known and not chart.marks:
        return f"{head}: no day read yet."
    if not known:
        days = ", ".join(
            f"{format_short_date(dates[d])} {m.meaning}" for d, m in chart.marks.items()
        )
        return f"{head}: no value read yet; {days}."
    low, high = chart.format_value(min(known)), chart.format_value(max(known))
    text = f"{head}: {len(known)} of {len(dates)} days, from {low} to {high}"
    if chart.unread_days:
        text += f", of which the player had not read {len(chart.unread_days)}"
    marked = [
        f"{format_short_date(dates[day])} {mark.meaning}"
        for day, mark in sorted(chart.marks.items())
    ]
    if marked:
        return f"{text}; {', '.join(marked)}."
    return f"{text}; every day inside the normal range." if any(chart.ranges) else f"{text}."


def _height_of_unknown_value(mark: ChartMark) -> float:
    return HEIGHT * (1 - MARGIN_SHARE if mark == BELOW else MARGIN_SHARE)


def _build_scale(chart: LineChart) -> Callable[[float], float]:
    """Return a function that converts a value to its distance from the top of the chart."""
    drawn = [value for value in (*chart.values, *chart.usual) if value is not None]
    for limits in chart.ranges:
        drawn += limits or ()
    low, high = (min(drawn), max(drawn)) if drawn else (0.0, 1.0)
    margin = MARGIN_SHARE * (high - low or abs(high) or 1.0)
    low, high = low - margin, high + margin
    return lambda value: HEIGHT * (high - value) / (high - low)


def _line_path(points: Sequence[tuple[int, float, float]]) -> str:
    """Return the path of a line through the points, with gaps at days without a value."""
    path, previous_day = "", -2
    for day, x, y in points:
        path += f"{'L' if day == previous_day + 1 else 'M'}{x:.1f} {y:.1f}"
        previous_day = day
    return path


def _isolated_points_path(points: Sequence[tuple[int, float, float]]) -> str:
    """Return a path with a dot for each day whose value is known between days without a value."""
    known = {day for day, _, _ in points}
    isolated = _list_isolated_days(known)
    return "".join(f"M{x:.1f} {y:.1f}h0" for day, x, y in points if day in isolated)


def _list_isolated_days(known_days: Collection[int]) -> list[int]:
    """Return the days between days without a value."""
    return [day for day in known_days if day - 1 not in known_days and day + 1 not in known_days]


def _range_path(chart: LineChart, days: int, y_of: Callable[[float], float]) -> str:
    """Return a path with a rectangle for each run of days that have the same normal range."""
    return "".join(
        f"M{WIDTH * run.first / days:.2f} {y_of(run.value.high):.1f}H{WIDTH * run.end / days:.2f}"
        f"V{y_of(run.value.low):.1f}H{WIDTH * run.first / days:.2f}Z"
        for run in _list_runs(chart.ranges)
    )


def _usual_path(chart: LineChart, days: int, y_of: Callable[[float], float]) -> str:
    return "".join(
        f"M{WIDTH * run.first / days:.2f} {y_of(run.value):.1f}H{WIDTH * run.end / days:.2f}"
        for run in _list_runs(chart.usual)
    )


class _Run(NamedTuple, Generic[ValueT]):
    """Consecutive days with the same value, from index `first` to index `end` - 1."""

    first: int
    end: int
    value: ValueT


def _list_runs(values: Sequence[ValueT | None]) -> list[_Run[ValueT]]:
    runs: list[_Run[ValueT]] = []
    for day, value in enumerate(values):
        if value is None:
            continue
        if runs and runs[-1].end == day and runs[-1].value == value:
            runs[-1] = runs[-1]._replace(end=day + 1)
        else:
            runs.append(_Run(day, day + 1, value))
    return runs


def _date_axis_html(dates: Sequence[str], flags: Mapping[int, str]) -> str:
    def left_of(day: int) -> str:
        return f"left:{100 * (day + 0.5) / len(dates):.2f}%"

    ticks = "".join(
        f'<span style="{left_of(day)}">{_tick_text(dates[day])}</span>'
        for day in range(0, len(dates), DAYS_BETWEEN_TICKS)
    )
    marks = "".join(
        f'<b style="{left_of(day)}" title="{escape(f"{_tick_text(dates[day])}: {text}")}">⚑</b>'
        for day, text in sorted(flags.items())
    )
    return f'<p class="mt-axis" aria-hidden="true">{ticks}{marks}</p>'


def _tick_text(iso_date: str) -> str:
    day = Date.fromisoformat(iso_date)
    return f"{day.day} {day:%b}"


def _values_table_html(title: str, charts: Sequence[LineChart], dates: Sequence[str]) -> str:
    rows = []
    for day, date in enumerate(dates):
        cells = [escape(format_short_date(date))]
        for chart in charts:
            value, mark = chart.values[day], chart.marks.get(day)
            text = "–" if value is None else chart.format_value(value)
            cells.append(escape(f"{text} {mark.sign}" if mark and value is not None else text))
        rows.append(cells)
    table = table_html(
        ["day", *(chart.title for chart in charts)],
        rows,
        f"{title}, as a table",
        numeric_columns=range(1, len(charts) + 1),
    )
    return (
        f'<details class="mt-astable" data-keep="table {escape(title)}">'
        f'<summary aria-label="{escape(title)} as a table">table</summary>{table}</details>'
    )

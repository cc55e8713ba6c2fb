"""Rendering of one day's known values: metrics with medians, counts by stage, counts by hour."""

from __future__ import annotations

from datetime import date as Date
from html import escape
from statistics import median

from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY
from metric_tracker_rl.page.metric_map.known_values import KnownValues
from metric_tracker_rl.page.metric_map.map_html import build_map_cell, verdict_list_item_html
from metric_tracker_rl.page.metric_map.map_rows import (
    build_map_rows,
    format_signed_and_abbreviated_number,
)
from metric_tracker_rl.page.metric_map.verdicts import RowVerdict
from openenv_kit.page.components.elements import hint_html, humanize, table_html, value_html

WIDTH, HEIGHT = 240.0, 60.0
"""Size of the hourly chart, in SVG units."""
UNKNOWN_HINT = "Not known yet: request {}."


def day_details_html(
    known_values: KnownValues,
    iso_date: str,
    stage_of_hourly_chart: str,
    verdicts: tuple[RowVerdict, ...] = (),
) -> str:
    """Return the HTML with the details of one day.

    Args:
        known_values: values that may be shown.
        iso_date: ISO date of the day.
        stage_of_hourly_chart: name of the stage whose hourly counts are shown.
        verdicts: verdicts about the report. The tuple is empty until the episode ends.
    """
    day, at = Date.fromisoformat(iso_date), known_values.find_day_index(iso_date) or 0
    verdict_items = "".join(
        verdict_list_item_html(verdict) for verdict in verdicts if verdict.day == at
    )
    hours = hourly_counts_chart_html(known_values, at, stage_of_hourly_chart)
    return (
        f'<h3 class="mt-daytitle">{day:%A} {day.day} {day:%B %Y}</h3>'
        + (f'<ul class="mt-issues">{verdict_items}</ul>' if verdict_items else "")
        + f'<div class="mt-dayparts">{_series_of_day_table_html(known_values, at)}'
        f"<div><h4>Its funnel</h4>{stage_counts_chart_html(known_values, at)}"
        f"<h4>Its hours: {escape(humanize(stage_of_hourly_chart))}</h4>{hours}</div></div>"
    )


def _series_of_day_table_html(known_values: KnownValues, day: int) -> str:
    """Return the HTML of a table with the value, median and deviation of every series."""
    verdicts = known_values.thresholds is not None
    rows = []
    for line in build_map_rows(known_values.funnel):
        value = line.sum_known_values(known_values, day)
        baseline = line.find_baseline(known_values, day)
        column = line.columns[0]
        change = (
            None if line.is_impossible_counts_row else known_values.compute_deviation(day, column)
        )
        points = " points" if column == known_values.daytime_share_column else " %"
        cell = build_map_cell(known_values, line, day)
        chip = f'<span class="mt-chip {cell.css_class}">{cell.text}</span>' if cell.text else "–"
        rows.append(
            [
                escape(line.label),
                "–" if value is None else line.format_value_with_unit(value),
                "–" if baseline is None else line.format_value_with_unit(baseline),
                "–"
                if change is None
                else format_signed_and_abbreviated_number(100 * change) + points,
                *([chip] if verdicts else []),
            ]
        )
    columns = ["metric", "value", "median", "change", *(["× threshold"] if verdicts else [])]
    return table_html(columns, rows, numeric_columns=range(1, len(columns)))


def stage_counts_chart_html(known_values: KnownValues, day: int) -> str:
    """Return the HTML of a bar chart of the stage counts, with a mark at each median."""
    counts = [
        known_values.values.get((day, stage))
        for stage in range(len(known_values.funnel.event_count_names))
    ]
    if all(count is None for count in counts):
        return hint_html(UNKNOWN_HINT.format("the rows of this day"))
    baselines = [known_values.find_baseline(day, stage) for stage in range(len(counts))]
    max_count = max(count for count in (*counts, *baselines) if count is not None) or 1.0
    lines = ""
    for name, count, baseline in zip(
        known_values.funnel.event_count_names, counts, baselines, strict=True
    ):
        bar = "" if count is None else f'<b style="width:{100 * count / max_count:.1f}%"></b>'
        mark = "" if baseline is None else f'<u style="left:{100 * baseline / max_count:.1f}%"></u>'
        text = "–" if count is None else value_html(int(count))
        lines += (
            f'<li><span>{escape(humanize(name))}</span><i aria-hidden="true">{bar}{mark}</i>'
            f"<em>{text}</em></li>"
        )
    name = "Events by stage; the line marks the median"
    return f'<ul class="mt-stages" aria-label="{name}">{lines}</ul>'


def hourly_counts_chart_html(known_values: KnownValues, day: int, stage: str) -> str:
    """Return the HTML of a chart of hourly counts, with hourly medians if all days are known."""
    column = known_values.funnel.event_count_names.index(stage)
    hourly = {
        hour: known_values.hours[day, hour][column]
        for hour in range(HOURS_PER_DAY)
        if (day, hour) in known_values.hours
    }
    if not hourly:
        return hint_html(UNKNOWN_HINT.format("the hours of this day"))
    median_counts = []
    if len(known_values.hours) == HOURS_PER_DAY * len(known_values.dates):
        days = range(len(known_values.dates))
        median_counts = [
            median(known_values.hours[day_index, hour][column] for day_index in days)
            for hour in range(HOURS_PER_DAY)
        ]
    max_count = max([*hourly.values(), *median_counts]) or 1
    step = WIDTH / HOURS_PER_DAY
    bars = "".join(
        f"M{hour * step + 1:.0f} {HEIGHT}V{HEIGHT * (1 - count / max_count):.1f}"
        f"h{step - 2:.0f}V{HEIGHT}Z"
        for hour, count in hourly.items()
    )
    line = "".join(
        f"M{hour * step:.0f} {HEIGHT * (1 - count / max_count):.1f}h{step:.0f}"
        for hour, count in enumerate(median_counts)
    )
    busiest = max(hourly, key=lambda hour: hourly[hour])
    name = (
        f"{humanize(stage)} by the hour: at most {hourly[busiest]:,}, at {busiest}:00"
        f"{'; the line marks the median hour' if median_counts else ''}"
    )
    return (
        f'<figure class="mt-hours" aria-label="{escape(name)}"><svg viewBox="0 0 {WIDTH:g} '
        f'{HEIGHT:g}" preserveAspectRatio="none" aria-hidden="true"><path class="bars" d="{bars}"/>'
        f'<path class="usual" d="{line}"/></svg><footer><span>0:00</span>'
        f"<span>up to {hourly[busiest]:,} events an hour</span><span>23:00</span></footer></figure>"
    )

"""Builds the panels of the selected day: unusual values, counts by hour and counts by stage."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY
from metric_tracker_rl.page.charts import list_counts, list_rates
from metric_tracker_rl.page.known_values import KnownValues
from metric_tracker_rl.page.verdicts import RowVerdict
from metric_tracker_rl.page.words import format_entity_name
from openenv_kit.page.components.bar_chart import (
    BarChart,
    ComparedBar,
    bar_chart_html,
    compared_bars_html,
)
from openenv_kit.page.components.elements import button_html, format_short_date, humanize
from openenv_kit.page.components.grid import GLYPHS, CellVerdict, verdict_class

MAX_DIFFERENCES = 5
"""Number of differences that are listed if the normal range is not known."""


class Selection(NamedTuple):
    """A selected day and the column of the chart in which it was selected."""

    column: int
    day: int


class OutstandingValue(NamedTuple):
    """A value that is unusual on the selected day.

    Attributes:
        column: column of the series.
        label: name of the series.
        text: value and its difference from the usual value.
        sign: ▲ if the value is above its usual value, ▼ if below, ! for impossible counts.
    """

    column: int
    label: str
    text: str
    sign: str


def parse_selection(known_values: KnownValues, selection: str) -> Selection | None:
    """Parse a selection such as `3/2024-05-01`, which consists of a column and a date.

    The result is None if the episode does not contain the column or the date.
    """
    column, _, date = selection.partition("/")
    day = known_values.find_day_index(date)
    is_column = column.isdecimal() and int(column) < known_values.funnel.columns.excess.stop
    return Selection(int(column), day) if is_column and day is not None else None


def list_outstanding_values(known_values: KnownValues, day: int) -> list[OutstandingValue]:
    """Return the values of a day that are outside their normal range, in funnel order.

    If the normal ranges are not known, the result contains the counts and rates with the largest
    relative differences from their usual values, up to five. Known impossible counts are always
    included.
    """
    found: list[tuple[float, OutstandingValue]] = []
    for series in (*list_counts(known_values.funnel), *list_rates(known_values.funnel)):
        deviation = known_values.compute_deviation(day, series.column)
        if not deviation:
            continue
        multiple = known_values.compute_threshold_multiple(day, series.column)
        if multiple is not None and abs(multiple) < 1.0:
            continue
        value = known_values.values.get((day, series.column))
        text = "" if value is None else f"{series.format_value(value)}, "
        text += f"{100 * deviation:+.0f} %".replace("-", "−")
        sign = "▲" if deviation > 0 else "▼"
        found.append((abs(deviation), OutstandingValue(series.column, series.label, text, sign)))
    if known_values.thresholds is None:
        largest = sorted(found, key=lambda each: -each[0])[:MAX_DIFFERENCES]
        found = [each for each in found if each in largest]
    return [value for _, value in found] + _list_outstanding_shares(known_values, day)


def _list_outstanding_shares(known_values: KnownValues, day: int) -> list[OutstandingValue]:
    """Return the daytime share and the impossible counts of a day, if they are unusual."""
    columns = known_values.funnel.columns
    found = []
    if columns.has_daytime_share:
        share = columns.daytime_share
        multiple = known_values.compute_threshold_multiple(day, share)
        deviation = known_values.compute_deviation(day, share)
        if multiple is not None and deviation is not None and abs(multiple) >= 1.0:
            text = f"{100 * deviation:+.1f} points".replace("-", "−")
            sign = "▲" if deviation > 0 else "▼"
            found.append(OutstandingValue(share, "daytime share", text, sign))
    for pair, name in enumerate(known_values.funnel.quality_check_names):
        column = columns.excess_column_of_pair(pair)
        excess = known_values.values.get((day, column))
        if excess:
            below, _, above = humanize(name).partition(" lte ")
            text = f"{excess:,.0f} events too many"
            found.append(OutstandingValue(column, f"{below} exceed {above}", text, "!"))
    return found


def outstanding_values_html(
    known_values: KnownValues,
    day: int,
    verdicts: Sequence[RowVerdict],
    *,
    reported_columns: Collection[int] = (),
    may_report: bool,
) -> str:
    """Return an HTML list of a day's unusual values, each with a button that drafts a report row.

    Args:
        known_values: values that may be shown.
        day: index of the day.
        verdicts: verdicts about the report; empty until the episode ends.
        reported_columns: columns of the series that the visitor's report has a row about.
        may_report: whether the values have these buttons.
    """
    date = known_values.dates[day]
    outcomes = {verdict.column: verdict for verdict in verdicts if verdict.day == day}
    causes = {
        consequence.column: format_entity_name(verdict.row.as_dict())
        for verdict in outcomes.values()
        for consequence in verdict.consequences
    }
    lines = ""
    for value in list_outstanding_values(known_values, day):
        button = ""
        if may_report:
            button = _draft_button_html(value, date, is_reported=value.column in reported_columns)
        verdict = outcomes.get(value.column)
        if verdict:
            button = (
                f'<b class="{verdict_class(verdict.kind)}">{verdict.sign} '
                f"{escape(verdict.outcome)}</b>"
            )
        elif value.column in causes:
            button = (
                f'<b class="{verdict_class(CellVerdict.CONSEQUENCE)}">'
                f"{GLYPHS[CellVerdict.CONSEQUENCE]} follows from {escape(causes[value.column])}</b>"
            )
        lines += (
            f'<li><i aria-hidden="true">{value.sign}</i><span><b>{escape(value.label)}</b> '
            f"{escape(value.text).replace(' %', '&nbsp;%')}</span>{button}</li>"
        )
    calendar = "".join(
        f"<li><i>⚑</i><span>Planned: {escape(title)}</span></li>"
        for title in known_values.calendar.get(day, ())
    )
    if lines or calendar:
        return f'<ul class="mt-outstanding">{lines}{calendar}</ul>'
    if any(known == day for known, _ in known_values.values):
        return '<p class="mt-hint">All values read for this day are in their normal range.</p>'
    return '<p class="mt-hint">No values of this day have been read yet.</p>'


def _draft_button_html(value: OutstandingValue, date: str, *, is_reported: bool) -> str:
    """Return the HTML of the button that drafts a report row about a value.

    If the report already has a row about the value, the label is "Reported".
    """
    event_value, day = f"{value.column}/{date}", format_short_date(date)
    hint, label, css_class = f"Report {value.label} on {day}", "Report this", ""
    if is_reported:
        hint = f"{value.label} on {day} is in the report"
        label, css_class = "Reported", "off"
    return button_html(
        "draft",
        event_value,
        label,
        css_class=css_class,
        hint=hint,
        focus_key=f"draft {event_value}",
    )


def hours_html(known_values: KnownValues, selection: Selection) -> str:
    """Return the HTML of a bar chart of a stage's counts by hour on the selected day.

    If the selected column is not a stage, the first stage is shown. If no hour of the day is
    known, a hint replaces the chart. The text is empty if the funnel has only daily counts.
    """
    funnel = known_values.funnel
    if funnel.hours_per_day == 1:
        return ""
    day, stages = selection.day, funnel.event_count_names
    stage = selection.column if selection.column < len(stages) else 0
    date = format_short_date(known_values.dates[day])
    hours = [hour for hour in range(HOURS_PER_DAY) if (day, hour) in known_values.hours]
    if not hours:
        return (
            f"<h2>Hours of {escape(date)}</h2>"
            '<p class="mt-hint">The hours of this day have not been read.</p>'
        )
    columns = funnel.columns
    daytime: range = range(0)
    note = ""
    if columns.has_daytime_share and stage == 0:
        daytime = range(*funnel.daytime_hours)
        share = known_values.values.get((day, columns.daytime_share))
        usual = known_values.find_baseline(day, columns.daytime_share)
        if share is not None:
            note = f"Daytime share {100 * share:.1f} %"
            note += f", usual {100 * usual:.1f} %." if usual is not None else "."
    chart = BarChart(
        title=f"{humanize(stages[stage])} per hour",
        labels=[f"{hour}:00" for hour in hours],
        values=[float(known_values.hours[day, hour][stage]) for hour in hours],
        format_value=lambda value: f"{value:,.0f}",
        emphasized=[index for index, hour in enumerate(hours) if hour in daytime],
        emphasis="daytime" if daytime else "",
        note=note,
        label_name="hour",
    )
    return f"<h2>Hours of {escape(date)}</h2>{bar_chart_html(chart)}"


def funnel_shape_html(known_values: KnownValues, day: int) -> str:
    """Return the HTML of a chart that compares a day's counts by stage with their usual values."""
    bars = []
    for series in list_counts(known_values.funnel):
        value = known_values.values.get((day, series.column))
        usual = known_values.find_baseline(day, series.column)
        text = "–" if value is None else series.format_value(value)
        bars.append(ComparedBar(series.label, value, usual, text))
    title = f"Funnel on {format_short_date(known_values.dates[day])} compared with usual"
    return compared_bars_html(title, bars, "The counts of this day have not been read.")

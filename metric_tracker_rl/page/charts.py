"""Builds the charts of an episode: daily counts, step rates and rates of the whole funnel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.page.known_values import KnownValues
from metric_tracker_rl.page.verdicts import RowVerdict
from metric_tracker_rl.page.words import format_entity_name, label_rates
from openenv_kit.page.components.elements import humanize
from openenv_kit.page.components.grid import CellVerdict, verdict_class
from openenv_kit.page.components.line_chart import (
    ABOVE,
    BELOW,
    ChartMark,
    LineChart,
    ValueRange,
    chart_group_html,
    chart_legend_html,
)

COUNTS_TITLE, STEPS_TITLE = "Daily counts", "Step rates"
FLAG_MEANING = "planned event, impossible counts, or a row without a chart"
COMPOSITES_TITLE = "Rates of the whole funnel"


@dataclass(frozen=True)
class DailySeriesName:
    """Name and column of a daily series that has a chart.

    Attributes:
        column: column of the daily series.
        label: readable name.
        is_rate: whether the values are percentages.
    """

    column: int
    label: str
    is_rate: bool

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return "percent" if self.is_rate else "events per day"

    def format_value(self, value: float) -> str:
        """Format a rate in percent with one decimal, or a count without decimals."""
        return f"{value:,.1f} %" if self.is_rate else f"{value:,.0f}"


def list_counts(funnel: Funnel) -> list[DailySeriesName]:
    """Return the names and columns of the daily counts, in funnel order."""
    return [
        DailySeriesName(column, humanize(name), is_rate=False)
        for column, name in enumerate(funnel.event_count_names)
    ]


def list_rates(funnel: Funnel) -> list[DailySeriesName]:
    """Return the names and columns of the step rates, then those of the whole funnel's rates."""
    first = funnel.columns.rates.start
    return [
        DailySeriesName(column, label, is_rate=True)
        for column, label in enumerate(label_rates(funnel), start=first)
    ]


def episode_charts_html(
    known_values: KnownValues,
    verdicts: Sequence[RowVerdict] = (),
    selected_day: int | None = None,
) -> str:
    """Return the HTML of all charts of an episode, arranged in two columns.

    Args:
        known_values: values that may be shown.
        verdicts: verdicts about the report; empty until the episode ends.
        selected_day: index of the selected day; None if no day is selected.
    """
    funnel = known_values.funnel
    rates = list_rates(funnel)
    step_count = len(funnel.step_rate_names)
    groups = {
        COUNTS_TITLE: list_counts(funnel),
        STEPS_TITLE: rates[:step_count],
        COMPOSITES_TITLE: rates[step_count:],
    }
    flags = build_flags(known_values, verdicts)
    charts = {
        title: [build_chart(known_values, series, verdicts) for series in group]
        for title, group in groups.items()
    }
    html = [
        chart_group_html(title, group, known_values.dates, selected_day, flags=flags)
        for title, group in charts.items()
    ]
    drawn = [chart for group in charts.values() for chart in group]
    return (
        chart_legend_html(drawn, FLAG_MEANING if flags else "")
        + f'<div class="mt-episode-charts" data-charts>{html[0]}'
        f'<div class="mt-rates">{"".join(html[1:])}</div></div>'
    )


def build_chart(
    known_values: KnownValues, series: DailySeriesName, verdicts: Sequence[RowVerdict] = ()
) -> LineChart:
    """Return the chart of a series with its normal range.

    Values outside this range are marked. On days with a verdict about the series, the mark shows
    the verdict instead.
    """
    days = range(len(known_values.dates))
    usual = [known_values.find_baseline(day, series.column) for day in days]
    ranges: list[ValueRange | None] = []
    if known_values.thresholds is not None:
        threshold = known_values.thresholds[series.column]
        ranges = [
            None
            if value is None
            else ValueRange(value * (1.0 - threshold), value * (1.0 + threshold))
            for value in usual
        ]
    marks = {}
    for day in days:
        multiple = known_values.compute_threshold_multiple(day, series.column)
        if multiple is not None and abs(multiple) >= 1.0:
            marks[day] = ABOVE if multiple > 0 else BELOW
    return LineChart(
        key=str(series.column),
        title=series.label,
        unit=series.unit,
        values=[known_values.values.get((day, series.column)) for day in days],
        format_value=series.format_value,
        usual=usual if any(value is not None for value in usual) else (),
        ranges=ranges,
        marks=marks | _verdict_marks(series, verdicts),
        unread_days={day for day in days if (day, series.column) in known_values.unread},
    )


def build_example_chart(
    known_values: KnownValues, series: DailySeriesName, day: int, tag: str, tag_class: str
) -> str:
    """Return the HTML of a chart in the example on the first screen.

    The chart is labelled with a tag, such as "cause".
    """
    chart = replace(build_chart(known_values, series), tag=tag, tag_class=tag_class)
    return chart_group_html("", [chart], known_values.dates, day, has_table=False)


def build_flags(
    known_values: KnownValues, verdicts: Sequence[RowVerdict] = ()
) -> Mapping[int, str]:
    """Return the texts of the flags on the date axis, by day index.

    A day has a flag if it has planned events, impossible counts, or a verdict about a series
    without a chart.
    """
    texts: dict[int, list[str]] = {day: [*titles] for day, titles in known_values.calendar.items()}
    for day in range(len(known_values.dates)):
        if known_values.excess_of_day(day):
            texts.setdefault(day, []).append("impossible counts")
    for verdict in verdicts:
        if verdict.column >= known_values.funnel.columns.rates.stop:
            name = format_entity_name(verdict.row.as_dict())
            texts.setdefault(verdict.day, []).append(f"{name}: {verdict.outcome}")
    return {day: "; ".join(some) for day, some in texts.items()}


def _verdict_marks(series: DailySeriesName, verdicts: Sequence[RowVerdict]) -> dict[int, ChartMark]:
    """Return the marks for the days that have a verdict about a series, by day index.

    If a day has several verdicts, one about an expected row replaces one about another row.
    """
    unexpected = (CellVerdict.CONSEQUENCE, CellVerdict.EXTRA)
    marks = {}
    for verdict in sorted(verdicts, key=lambda each: each.kind not in unexpected):
        if verdict.column == series.column:
            css_class = f"verdict {verdict_class(verdict.kind)}"
            marks[verdict.day] = ChartMark(verdict.sign, css_class, verdict.outcome)
    return marks

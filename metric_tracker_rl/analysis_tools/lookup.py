"""Analysis methods that return an episode's data without analysis or check a report's format."""

from __future__ import annotations

from typing import Any, TypedDict

from metric_tracker_rl.analysis_tools.arguments import (
    DateArguments,
    NoMethodArguments,
    PreviewArguments,
    RawDataArguments,
    TaskOverviewArguments,
)
from metric_tracker_rl.analysis_tools.registry import (
    TOOLS,
    MethodResult,
    list_method_names_of_episode,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIX_SHIFT
from metric_tracker_rl.engine.definitions.display import subtract_baseline_and_round_for_display
from metric_tracker_rl.engine.definitions.entity_types import HOURLY_MIX
from metric_tracker_rl.engine.definitions.report_row import NUMBER_FIELDS, ROW_FIELDS
from metric_tracker_rl.engine.definitions.severity import find_highest_severity_reached
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.report.parse_report import (
    ALLOWED_NAMES_BY_FIELD,
    build_report_preview,
    parse_report,
)
from openenv_kit.errors import ReportError, ToolArgumentError

THRESHOLD_SEARCH_SPACE = {
    "threshold_multiplier": {"min": 0.5, "max": 5.0, "step": 0.25, "default": 2.0}
}
TOP_HOUR_COUNT = 5
NORMAL = "normal"

EntityFields = dict[str, str]
"""`entity_type` and `entity_name` of an entity."""


class EpisodeDates(TypedDict):
    """Result of `list_dates`."""

    dates: list[str]


class Entities(TypedDict):
    """Result of `list_entities`."""

    entities: list[EntityFields]


class DailyCountsAndRates(TypedDict):
    """Result of `rows_for_date`. The rates are in percent."""

    found: bool
    date: str
    daily_metrics: dict[str, Any]
    derived_rates: dict[str, Any]


class EventCountsPage(TypedDict):
    """Result of `show_raw_data`, which is one page of the daily or hourly event counts."""

    granularity: str
    row_count: int
    returned_rows: int
    rows: list[dict[str, Any]]


class CalendarEvents(TypedDict):
    """Result of `list_calendar`. Each event contains the names of the series that it explains."""

    events: list[dict[str, Any]]


@TOOLS.tool(TaskOverviewArguments, name="task_overview")
def build_task_overview(view: EpisodeView, arguments: TaskOverviewArguments) -> MethodResult:
    """Return what to know first: thresholds, severity bands, first and last date, row fields."""
    episode = view.episode
    result = {
        "instruction": view.objective,
        "config": view.public_config,
        "date_count": len(episode.dates),
        "dates": list(episode.dates),
        "threshold_search_space": THRESHOLD_SEARCH_SPACE,
        "payload_schema": describe_report_row_fields(include_allowed_names=arguments.details),
        "available_methods": list_method_names_of_episode(TOOLS, view),
        "entities": _list_entity_types_and_names(view),
    }
    # The reset observation and `config` contain the same facts, so they are omitted by default.
    if arguments.details:
        result |= {
            "instruction": view.objective_and_policy_text,
            "reporting_policy": view.reporting_policy_text,
            "thresholds": view.public_config["thresholds"],
            "severity_bands": view.public_config["severity_bands"],
        }
    return result


@TOOLS.tool(NoMethodArguments)
def list_dates(view: EpisodeView, _: NoMethodArguments) -> EpisodeDates:
    """List all dates of the episode, in order."""
    return {"dates": list(view.episode.dates)}


@TOOLS.tool(NoMethodArguments)
def list_entities(view: EpisodeView, _: NoMethodArguments) -> Entities:
    """List every entity a report row may name, with its type."""
    return {"entities": _list_entity_types_and_names(view)}


@TOOLS.tool(DateArguments, name="rows_for_date")
def list_counts_and_rates_of_date(
    view: EpisodeView, arguments: DateArguments
) -> DailyCountsAndRates:
    """Return event counts and conversion rates (percent) of one date."""
    episode = view.episode
    date = episode.require_episode_date(arguments.date)
    rates = list(episode.config.funnel_with_policy_daytime.conversion_rate_names)
    return {
        "found": True,
        "date": date,
        "daily_metrics": episode.daily.loc[date].to_dict(),
        "derived_rates": episode.metrics.value.loc[date, rates].to_dict(),
    }


@TOOLS.tool(DateArguments, name="hourly_rows_for_date")
def list_hourly_counts_and_daytime_share_of_date(
    view: EpisodeView, arguments: DateArguments
) -> MethodResult:
    """Return one date's 24 hourly rows, daytime share (hours 8 to 19) and its baseline."""
    episode = view.episode
    date = episode.require_episode_date(arguments.date)
    hours = episode.hourly.loc[date]
    opens = hours[episode.config.funnel_with_policy_daytime.event_count_names[0]]
    busiest = opens.sort_values(ascending=False, kind="stable").index[:TOP_HOUR_COUNT].tolist()
    return {
        "found": True,
        "date": date,
        "summary": {**_summarize_daytime_share_of_date(view, date), "top_hours": busiest},
        "rows": hours.reset_index().to_dict("records"),
    }


@TOOLS.tool(RawDataArguments, name="show_raw_data")
def list_daily_or_hourly_counts(view: EpisodeView, arguments: RawDataArguments) -> EventCountsPage:
    """Return raw event counts, daily by default or hourly, from the start or an offset."""
    is_hourly = arguments.granularity == "hourly"
    if is_hourly and view.episode.config.funnel_with_policy_daytime.hours_per_day == 1:
        raise ToolArgumentError(
            "granularity is 'hourly'; allowed: daily, because this episode has no counts by hour."
        )
    counts = view.episode.hourly if is_hourly else view.episode.daily
    page = counts[arguments.offset : arguments.offset + arguments.limit]
    return {
        "granularity": arguments.granularity,
        "row_count": len(counts),
        "returned_rows": len(page),
        "rows": page.reset_index().to_dict("records"),
    }


@TOOLS.tool(NoMethodArguments, has_episode_data=False)
def list_calendar(view: EpisodeView, _: NoMethodArguments) -> CalendarEvents:
    """List public events by date and the daily series each explains; empty on most levels."""
    episode = view.episode
    return {"events": [entry.as_public_dict(episode.dates) for entry in episode.generated.calendar]}


@TOOLS.tool(PreviewArguments, name="preview_submission", has_episode_data=False, is_cached=False)
def check_format_of_report_rows(view: EpisodeView, arguments: PreviewArguments) -> MethodResult:
    """Check the format of report rows: valid, invalid and repeated ones. Does not grade them."""
    try:
        report = parse_report(arguments.rows, view.episode)
    except ReportError as problem:
        raise ToolArgumentError(str(problem)) from None
    return build_report_preview(report).model_dump()


def describe_report_row_fields(*, include_allowed_names: bool) -> dict[str, Any]:
    """Return the field names of a report row, with notes on the format of their values.

    Args:
        include_allowed_names: whether to list the allowed values of the four fields that
            contain names.
    """
    names = {name: list(each) for name, each in ALLOWED_NAMES_BY_FIELD.items()}
    return {
        "fields": list(ROW_FIELDS),
        "numbers": list(NUMBER_FIELDS),
        **({"allowed": names} if include_allowed_names else {}),
        "notes": "date is YYYY-MM-DD; entity_name is one of list_entities; rates in percent; "
        "daytime share as a fraction; delta_value = observed_value - baseline_value",
    }


def _list_entity_types_and_names(view: EpisodeView) -> list[EntityFields]:
    return [
        {"entity_type": kind, "entity_name": name}
        for kind, name in view.episode.config.funnel_with_policy_daytime.entities
    ]


def _summarize_daytime_share_of_date(view: EpisodeView, date: str) -> MethodResult:
    metrics = view.episode.metrics
    mix_name = view.episode.config.funnel_with_policy_daytime.daytime_share_name
    series = view.episode.series
    severity_bounds = series.limits.bounds[series.funnel.columns.daytime_share]
    share, baseline, deviation = metrics.get_metric_value(date, mix_name)
    return {
        "daytime_share": share,
        "baseline_daytime_share": baseline,
        "delta_value": subtract_baseline_and_round_for_display(share, baseline, HOURLY_MIX),
        "anomaly_type": MIX_SHIFT if metrics.flagged.at[date, mix_name] else NORMAL,
        "severity": find_highest_severity_reached(abs(deviation), severity_bounds),
    }

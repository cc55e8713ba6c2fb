"""Methods that show the episode as it is: overview, dates, entities, rows, raw data."""

from __future__ import annotations

from typing import Any

from metric_tracker_rl.analysis_tools.arguments import (
    DateArguments,
    NoMethodArguments,
    PreviewArguments,
    RawDataArguments,
    TaskOverviewArguments,
)
from metric_tracker_rl.analysis_tools.registry import TOOLS, MethodResult
from metric_tracker_rl.engine.definitions.anomaly_types import MIX_SHIFT
from metric_tracker_rl.engine.definitions.display import rounded_delta
from metric_tracker_rl.engine.definitions.entity_types import HOURLY_MIX
from metric_tracker_rl.engine.definitions.report_row import NUMBER_FIELDS, ROW_FIELDS
from metric_tracker_rl.engine.definitions.severity import severity_of
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.report.parse_report import (
    ALLOWED_NAMES_BY_FIELD,
    parse_report,
    preview_report,
)
from openenv_kit.errors import ReportError, ToolArgumentError

THRESHOLD_SEARCH_SPACE = {
    "threshold_multiplier": {"min": 0.5, "max": 5.0, "step": 0.25, "default": 2.0}
}
TOP_HOUR_COUNT = 5
NORMAL = "normal"


@TOOLS.tool(TaskOverviewArguments)
def task_overview(view: EpisodeView, arguments: TaskOverviewArguments) -> MethodResult:
    """What to know first: thresholds, severity bands, first and last date, fields of a row."""
    episode = view.episode
    answer = {
        "instruction": view.objective,
        "config": view.public_config,
        "date_count": len(episode.dates),
        "dates": list(episode.dates),
        "threshold_search_space": THRESHOLD_SEARCH_SPACE,
        "payload_schema": report_row_schema(include_allowed=arguments.details),
        "available_methods": list(TOOLS),
        "entities": _entities(view),
    }
    if arguments.details:  # the opening has told all this, and config tells the numbers
        answer |= {
            "instruction": view.instruction,
            "reporting_policy": view.policy_text,
            "thresholds": view.public_config["thresholds"],
            "severity_bands": view.public_config["severity_bands"],
        }
    return answer


@TOOLS.tool(NoMethodArguments)
def list_dates(view: EpisodeView, _: NoMethodArguments) -> MethodResult:
    """All dates of the episode, in order."""
    return {"dates": list(view.episode.dates)}


@TOOLS.tool(NoMethodArguments)
def list_entities(view: EpisodeView, _: NoMethodArguments) -> MethodResult:
    """Every entity a report row may name, with its type."""
    return {"entities": _entities(view)}


@TOOLS.tool(DateArguments)
def rows_for_date(view: EpisodeView, arguments: DateArguments) -> MethodResult:
    """Event counts and conversion rates (percent) of one date."""
    episode, date = view.episode, view.episode.require_date(arguments.date)
    rates = list(episode.config.funnel_spec.rate_names)
    return {
        "found": True,
        "date": date,
        "daily_metrics": episode.daily.loc[date].to_dict(),
        "derived_rates": episode.metrics.value.loc[date, rates].to_dict(),
    }


@TOOLS.tool(DateArguments)
def hourly_rows_for_date(view: EpisodeView, arguments: DateArguments) -> MethodResult:
    """The 24 hourly rows of one date, its daytime share (hours 8 to 19) and the usual share."""
    episode, date = view.episode, view.episode.require_date(arguments.date)
    hours = episode.hourly.loc[date]
    opens = hours[episode.config.funnel_spec.count_names[0]]
    busiest = opens.sort_values(ascending=False, kind="stable").index[:TOP_HOUR_COUNT].tolist()
    return {
        "found": True,
        "date": date,
        "summary": {**_daytime_share_summary(view, date), "top_hours": busiest},
        "rows": hours.reset_index().to_dict("records"),
    }


@TOOLS.tool(RawDataArguments)
def show_raw_data(view: EpisodeView, arguments: RawDataArguments) -> MethodResult:
    """Raw event counts, daily by default or hourly, from the start or an offset."""
    hourly = arguments.granularity == "hourly"
    counts = view.episode.hourly if hourly else view.episode.daily
    chosen = counts[arguments.offset : arguments.offset + arguments.limit]
    return {
        "granularity": arguments.granularity,
        "row_count": len(counts),
        "returned_rows": len(chosen),
        "rows": chosen.reset_index().to_dict("records"),
    }


@TOOLS.tool(NoMethodArguments, has_episode_data=False)
def list_calendar(view: EpisodeView, _: NoMethodArguments) -> MethodResult:
    """Publicly known events by date and the daily series each explains; empty on most levels."""
    episode = view.episode
    return {"events": [entry.as_dict(episode.dates) for entry in episode.generated.calendar]}


@TOOLS.tool(PreviewArguments, has_episode_data=False, cached=False)
def preview_submission(view: EpisodeView, arguments: PreviewArguments) -> MethodResult:
    """Check the form of report rows: valid, invalid and repeated ones. Says nothing of right."""
    try:
        report = parse_report(arguments.rows, view.episode)
    except ReportError as problem:
        raise ToolArgumentError(str(problem)) from None
    return preview_report(report).model_dump()


def report_row_schema(*, include_allowed: bool) -> dict[str, Any]:
    """What a report row looks like: its fields and, if so asked, the allowed names of four."""
    names = {name: list(each) for name, each in ALLOWED_NAMES_BY_FIELD.items()}
    return {
        "fields": list(ROW_FIELDS),
        "numbers": list(NUMBER_FIELDS),
        **({"allowed": names} if include_allowed else {}),
        "notes": "date is YYYY-MM-DD; entity_name is one of list_entities; rates in percent; "
        "daytime share as a fraction; delta_value = observed_value - baseline_value",
    }


def _entities(view: EpisodeView) -> list[dict[str, str]]:
    return [
        {"entity_type": kind, "entity_name": name}
        for kind, name in view.episode.config.funnel_spec.entities
    ]


def _daytime_share_summary(view: EpisodeView, date: str) -> MethodResult:
    metrics, level = view.episode.metrics, view.episode.config.level
    share, usual, change = metrics.value_at(
        date, mix := view.episode.config.funnel_spec.mix_entity_name
    )
    return {
        "daytime_share": share,
        "baseline_daytime_share": usual,
        "delta_value": rounded_delta(share, usual, HOURLY_MIX),
        "anomaly_type": MIX_SHIFT if metrics.flagged.at[date, mix] else NORMAL,
        "severity": severity_of(abs(change), level.severity_bounds[HOURLY_MIX]),
    }

"""Methods that show the episode as it is: overview, dates, entities, rows, raw data."""

from __future__ import annotations

from itertools import repeat
from typing import Any

from metric_tracker_rl.analysis_tools.arguments import (
    DateArguments,
    NoArguments,
    OverviewArguments,
    PreviewArguments,
    RawDataArguments,
)
from metric_tracker_rl.analysis_tools.registry import TOOLS, Result
from metric_tracker_rl.engine.funnel import HOURS
from metric_tracker_rl.engine.levels import severity_of
from metric_tracker_rl.engine.report import NAME_FIELDS, NUMBER_FIELDS, preview, read_report
from metric_tracker_rl.engine.reporting_policy import ROW_FIELDS, shown_delta
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.vocabulary import HOURLY_MIX, MIX_SHIFT
from openenv_kit.errors import ReportError, ToolArgumentError

THRESHOLD_SEARCH_SPACE = {
    "threshold_multiplier": {"min": 0.5, "max": 5.0, "step": 0.25, "default": 2.0}
}
TOP_HOURS = 5
NORMAL = "normal"


@TOOLS.method(OverviewArguments)
def task_overview(view: EpisodeView, arguments: OverviewArguments) -> Result:
    """What to know first: thresholds, severity bands, first and last date, fields of a row."""
    episode = view.episode
    told = {
        "instruction": view.objective,
        "config": view.config,
        "date_count": len(episode.dates),
        "dates": list(episode.dates),
        "threshold_search_space": THRESHOLD_SEARCH_SPACE,
        "payload_schema": payload_schema(allowed=arguments.details),
        "available_methods": list(TOOLS),
        "entities": _entities(view),
    }
    if arguments.details:  # the opening has told all this, and config tells the numbers
        told |= {
            "instruction": view.instruction,
            "reporting_policy": view.policy,
            "thresholds": view.config["thresholds"],
            "severity_bands": view.config["severity_bands"],
        }
    return told


@TOOLS.method(NoArguments)
def list_dates(view: EpisodeView, _: NoArguments) -> Result:
    """All dates of the episode, in order."""
    return {"dates": list(view.episode.dates)}


@TOOLS.method(NoArguments)
def list_entities(view: EpisodeView, _: NoArguments) -> Result:
    """Every entity a report row may name, with its type."""
    return {"entities": _entities(view)}


@TOOLS.method(DateArguments)
def rows_for_date(view: EpisodeView, arguments: DateArguments) -> Result:
    """Event counts and conversion rates (percent) of one date."""
    episode, funnel = view.episode, view.episode.config.funnel_spec
    day = episode.day_index(arguments.date)
    rates = episode.series.rows[day][len(funnel.counts) : len(funnel.metrics)]
    return {
        "found": True,
        "date": arguments.date,
        "daily_metrics": dict(zip(funnel.counts, episode.counts[day], strict=True)),
        "derived_rates": dict(zip(funnel.rates, rates, strict=True)),
    }


@TOOLS.method(DateArguments)
def hourly_rows_for_date(view: EpisodeView, arguments: DateArguments) -> Result:
    """The 24 hourly rows of one date, its daytime share (hours 8 to 19) and the usual share."""
    episode = view.episode
    day = episode.day_index(arguments.date)
    names = ("hour", *episode.config.funnel_spec.counts)
    rows = [(hour, *counts) for hour, counts in enumerate(episode.hours(day).tolist())]
    quietness = [-row[1] for row in rows]
    busiest = sorted(range(len(rows)), key=quietness.__getitem__)[:TOP_HOURS]
    return {
        "found": True,
        "date": arguments.date,
        "summary": {**_share_summary(view, day), "top_hours": busiest},
        # Most steps that return much return this: maps all the way cost half of a comprehension.
        "rows": list(map(dict, map(zip, repeat(names), rows))),
    }


@TOOLS.method(RawDataArguments)
def show_raw_data(view: EpisodeView, arguments: RawDataArguments) -> Result:
    """Raw event counts, daily by default or hourly, from the start or an offset."""
    episode = view.episode
    counts = episode.config.funnel_spec.counts
    hourly = arguments.granularity == "hourly"
    total = len(episode.dates) * (HOURS if hourly else 1)
    chosen = range(total)[arguments.offset : arguments.offset + arguments.limit]
    rows: list[dict[str, Any]] = []
    for index in chosen:
        day, hour = divmod(index, HOURS) if hourly else (index, 0)
        values = episode.hours(day)[hour].tolist() if hourly else episode.counts[day]
        head = {"date": episode.dates[day], **({"hour": hour} if hourly else {})}
        rows.append({**head, **dict(zip(counts, values, strict=True))})
    return {
        "granularity": arguments.granularity,
        "row_count": total,
        "returned_rows": len(rows),
        "rows": rows,
    }


@TOOLS.method(NoArguments, shows_data=False)
def list_calendar(view: EpisodeView, _: NoArguments) -> Result:
    """Publicly known events by date and the daily series each explains; empty on most levels."""
    episode = view.episode
    return {"events": [entry.as_dict(episode.dates) for entry in episode.draw.calendar]}


@TOOLS.method(PreviewArguments, shows_data=False)
def preview_submission(view: EpisodeView, arguments: PreviewArguments) -> Result:
    """Check the form of report rows: valid, invalid and repeated ones. Says nothing of right."""
    try:
        report = read_report(arguments.rows, view.episode)
    except ReportError as problem:
        raise ToolArgumentError(str(problem)) from None
    return preview(report).model_dump()


def payload_schema(*, allowed: bool) -> dict[str, Any]:
    """What a report row looks like: its fields and, if so asked, the allowed names of four."""
    names = {name: list(each) for name, each in NAME_FIELDS.items()}
    return {
        "fields": list(ROW_FIELDS),
        "numbers": list(NUMBER_FIELDS),
        **({"allowed": names} if allowed else {}),
        "notes": "date is YYYY-MM-DD; entity_name is one of list_entities; rates in percent; "
        "daytime share as a fraction; delta_value = observed_value - baseline_value",
    }


def _entities(view: EpisodeView) -> list[dict[str, str]]:
    return [
        {"entity_type": kind, "entity_name": name}
        for kind, name in view.episode.config.funnel_spec.entities
    ]


def _share_summary(view: EpisodeView, day: int) -> Result:
    series = view.episode.series
    column = series.share_column
    share, usual = series.rows[day][column], series.baseline_rows[day][column]
    size = abs(series.deviation_rows[day][column])
    return {
        "daytime_share": share,
        "baseline_daytime_share": usual,
        "delta_value": shown_delta(share, usual, HOURLY_MIX),
        "anomaly_type": MIX_SHIFT if size >= series.level.mix_threshold else NORMAL,
        "severity": severity_of(size, series.level.severity_bounds[HOURLY_MIX]),
    }

"""Reference policies for raw disclosure, where the tools do not show what is flagged.

The policies request the hourly counts of every date and compute all other values from them.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from metric_tracker_rl.policies.base import (
    Action,
    ObservationJson,
    PolicySteps,
    RowFields,
    build_analysis_action,
    build_submit_action,
    require_analysis_result,
)
from metric_tracker_rl.policies.funnel_names import FunnelNames, read_funnel_names
from metric_tracker_rl.policies.policy_from_text import (
    DAYTIME_SHARE_RULE,
    BaselinesByName,
    FunnelDay,
    build_daytime_share_row,
    build_impossible_counts_row,
    get_weekday_name,
    select_baselines_for_date,
)
from metric_tracker_rl.policies.policy_numbers import PolicyNumbers

DAYS_PER_WEEK = 7
HourlyCounts = list[Sequence[int]]
"""Hourly counts of one date: for each hour, the counts of all stages."""
DEFAULT_DAYTIME_HOURS = (8, 19)
"""First and last daytime hour, both inclusive, if the policy is not drawn."""
MAX_ROWS_PER_CALL = 1000
"""Maximum number of hourly rows per call of `show_raw_data`."""
MAX_DATES_PER_CALL = 7
"""Maximum number of dates per call of `hours`."""


class CollectedData(NamedTuple):
    """Data that a policy has collected from the tool results of an episode.

    Attributes:
        policy_numbers: fields with the parameters of the reporting policy, such as `thresholds`.
        hourly_counts: hourly counts of all stages by date.
        baselines: baselines by series name.
        explained: names of the series that the calendar explains, by date.
    """

    policy_numbers: Mapping[str, Any]
    hourly_counts: Mapping[str, HourlyCounts]
    baselines: BaselinesByName
    explained: Mapping[str, set[str]]

    @property
    def names(self) -> FunnelNames:
        """Names of the daily series."""
        return read_funnel_names(self.policy_numbers)


DataSteps = Generator[Action, ObservationJson, CollectedData]
"""Generator that yields a policy's actions and returns the collected data."""


def request_standard_raw_data_and_submit_root_rows(_: ObservationJson) -> PolicySteps:
    """Apply the reporting policy to raw data of the standard profile and submit the rows."""
    data = yield from request_raw_data_with_standard_tools()
    yield build_submit_action(find_root_rows_of_episode(data))


def request_lean_raw_data_and_submit_root_rows(_: ObservationJson) -> PolicySteps:
    """Apply the reporting policy to raw data of the lean profile and submit the rows."""
    data = yield from request_raw_data_with_lean_tools()
    yield build_analysis_action("submit", rows=find_root_rows_of_episode(data))


def request_raw_data_with_standard_tools() -> DataSteps:
    """Request all data of an episode with the tools of the standard profile, and return it."""
    config = require_analysis_result((yield build_analysis_action("task_overview")))["config"]
    dates = list_iso_dates_from_first_to_last(config["start_date"], config["end_date"])
    medians = require_analysis_result((yield build_analysis_action("get_metric_median")))["results"]
    baselines: dict[str, Any] = {
        median["metric_name"]: median.get("weekday_medians", median["median_value"])
        for median in medians
    }
    names = read_funnel_names(config)
    if names.daytime_share is not None:
        is_by_weekday = "weekday_medians" in medians[0]
        share_baselines = {}
        for day in dates[: DAYS_PER_WEEK if is_by_weekday else 1]:
            action = build_analysis_action("hourly_rows_for_date", date=day)
            summary = require_analysis_result((yield action))["summary"]
            share_baselines[get_weekday_name(day)] = summary["baseline_daytime_share"]
        baselines[names.daytime_share] = (
            share_baselines if is_by_weekday else share_baselines[get_weekday_name(dates[0])]
        )
    explained: dict[str, set[str]] = {}
    for event in require_analysis_result((yield build_analysis_action("list_calendar")))["events"]:
        explained.setdefault(event["date"], set()).update(event["explains"])
    hourly_counts: dict[str, HourlyCounts] = {}
    granularity = "daily" if names.hours_per_day == 1 else "hourly"
    for offset in range(0, names.hours_per_day * len(dates), MAX_ROWS_PER_CALL):
        action = build_analysis_action(
            "show_raw_data", granularity=granularity, limit=MAX_ROWS_PER_CALL, offset=offset
        )
        for row in require_analysis_result((yield action))["rows"]:
            counts = [row[stage] for stage in names.stages]
            hourly_counts.setdefault(row["date"], []).append(counts)
    return CollectedData(config, hourly_counts, baselines, explained)


def request_raw_data_with_lean_tools() -> DataSteps:
    """Request all data of an episode with the tools of the lean profile, and return it."""
    overview = require_analysis_result((yield build_analysis_action("overview")))
    baseline_column = overview["columns"][1]
    baselines: dict[str, Any] = dict(overview["rows"])
    if baseline_column != "median":
        baselines = {
            name: dict(zip(baseline_column, weekday_baselines, strict=True))
            for name, weekday_baselines in overview["rows"]
        }
    explained: dict[str, set[str]] = {}
    calendar = require_analysis_result((yield build_analysis_action("calendar")))
    for day, _title, explained_names in calendar["rows"]:
        explained.setdefault(day, set()).update(explained_names)
    names = read_funnel_names(overview)
    hourly_counts: dict[str, HourlyCounts] = {}
    dates = list_iso_dates_from_first_to_last(overview["first_date"], overview["last_date"])
    for start in range(0, len(dates), MAX_DATES_PER_CALL):
        tool = "day" if names.hours_per_day == 1 else "hours"
        action = build_analysis_action(tool, dates=dates[start : start + MAX_DATES_PER_CALL])
        for day, *values in require_analysis_result((yield action))["rows"]:
            if names.hours_per_day == 1:
                hourly_counts[day] = [[int(value) for value in values[: len(names.stages)]]]
            else:
                hourly_counts[day] = [counts for _hour, *counts in values[0]]
    return CollectedData(overview, hourly_counts, baselines, explained)


def list_iso_dates_from_first_to_last(first_date: str, last_date: str) -> list[str]:
    """Return all dates from the first to the last, inclusive, in the format YYYY-MM-DD."""
    start = date.fromisoformat(first_date)
    day_count = (date.fromisoformat(last_date) - start).days + 1
    return [(start + timedelta(days)).isoformat() for days in range(day_count)]


def find_root_rows_of_episode(data: CollectedData) -> list[RowFields]:
    """Apply the reporting policy to each date of the collected data and return the report rows."""
    return [row for day in data.hourly_counts for row in find_root_rows_of_date(day, data)]


def find_root_rows_of_date(iso_date: str, data: CollectedData) -> list[RowFields]:
    """Apply the reporting policy to one date and return the report rows."""
    if quality_rows := find_impossible_count_rows(iso_date, data):
        return quality_rows
    explained = data.explained.get(iso_date, set())
    funnel_day = build_funnel_day(iso_date, data, explained)
    return (
        find_flagged_daytime_share_rows(iso_date, data, explained)
        + funnel_day.build_rows_of_root_counts_and_rates()
    )


def find_impossible_count_rows(iso_date: str, data: CollectedData) -> list[RowFields]:
    """Return a report row for each stage that has more events than the previous stage on a date.

    The counts are compared by hour, or as daily totals if the funnel requires this.
    """
    rows = []
    hours = data.hourly_counts[iso_date]
    if data.names.compares_daily_totals:
        hours = [[sum(counts) for counts in zip(*hours, strict=True)]]
    for stage in range(1, len(data.names.stages)):
        excess = sum(max(0, hour[stage] - hour[stage - 1]) for hour in hours)
        if excess:
            rows.append(build_impossible_counts_row(iso_date, stage, excess, data.policy_numbers))
    return rows


def find_flagged_daytime_share_rows(
    iso_date: str, data: CollectedData, explained_series: Collection[str] = ()
) -> list[RowFields]:
    """Return the report row of a date's daytime share if it is flagged.

    The list is empty if the share is not flagged, if the calendar explains it, or if the funnel has
    no daytime share.
    """
    share_name, policy = data.names.daytime_share, PolicyNumbers(data.policy_numbers)
    if share_name is None or share_name in explained_series:
        return []
    if policy.suspended_rule == DAYTIME_SHARE_RULE:
        return []
    baseline = select_baselines_for_date(iso_date, data.baselines)[share_name]
    if not baseline and not policy.is_zero_baseline_flagged:
        return []
    first_hour, last_hour = data.policy_numbers.get("daytime_hours", DEFAULT_DAYTIME_HOURS)
    share = compute_daytime_share_of_first_stage(
        data.hourly_counts[iso_date], first_hour, last_hour
    )
    if abs(round(share - baseline, 6)) < policy.get_threshold(share_name):
        return []
    return [build_daytime_share_row(iso_date, share, baseline, data.policy_numbers)]


def build_funnel_day(
    iso_date: str, data: CollectedData, explained_series: Collection[str] = ()
) -> FunnelDay:
    """Compute a date's counts and rates, and return them with the baselines for this date."""
    baselines = select_baselines_for_date(iso_date, data.baselines)
    values = compute_daily_counts_and_rates(data.hourly_counts[iso_date], data.names)
    return FunnelDay(iso_date, values, baselines, data.policy_numbers, explained_series)


def compute_daytime_share_of_first_stage(
    hourly_counts: HourlyCounts, first_hour: int, last_hour: int
) -> float:
    """Return the share of a day's first-stage events that occur between two hours, inclusive."""
    first_stage_counts = [hour[0] for hour in hourly_counts]
    daytime_count = sum(first_stage_counts[first_hour : last_hour + 1])
    return round(daytime_count / (sum(first_stage_counts) or 1), 6)


def compute_daily_counts_and_rates(
    hourly_counts: HourlyCounts, names: FunnelNames
) -> dict[str, float]:
    """Compute a day's total counts and its conversion rates in percent, and return them by name."""
    counts = [sum(stage_counts) for stage_counts in zip(*hourly_counts, strict=True)]
    values: dict[str, float] = dict(zip(names.stages, counts, strict=True))
    for stage, name in enumerate(names.step_rates, start=1):
        values[name] = _compute_rate_percent(counts[stage], counts[stage - 1])
    for name, end in names.composite_ends.items():
        values[name] = _compute_rate_percent(counts[end], counts[0])
    return values


def _compute_rate_percent(numerator: int, denominator: int) -> float:
    return round(100.0 * numerator / (denominator or 1), 4)

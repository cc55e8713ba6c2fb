"""The reference with raw disclosure: flags from values, medians and hours what no tool flags.

It reads the hourly counts of every date, in either profile, and computes all else from them.
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
from metric_tracker_rl.policies.lean_reference import (
    COMPOSITE_RATES,
    DAYTIME_SHARE,
    STAGES,
    STEP_RATES,
)
from metric_tracker_rl.policies.policy_from_text import (
    BaselinesByName,
    FunnelDay,
    baselines_on,
    build_mix_row,
    build_quality_row,
    weekday_name,
)

HourlyCounts = list[Sequence[int]]
"""Hourly counts of a date, stage by stage."""
DEFAULT_DAYTIME_HOURS = (8, 19)
"""First and last hour of the daytime, where the policy says nothing else."""
MAX_ROWS_PER_CALL, MAX_DATES_PER_CALL = 1000, 7
"""Most hourly rows of one call of `show_raw_data`, and most dates of one of `hours`."""


class CollectedData(NamedTuple):
    """All that the tools show.

    Attributes:
        policy_numbers: the numbers of the policy, among others.
        hourly_counts: hourly counts by date.
        baselines: medians by name, and by weekday where each has its own.
        explained: names of what the calendar explains, by date.
    """

    policy_numbers: Mapping[str, Any]
    hourly_counts: Mapping[str, HourlyCounts]
    baselines: BaselinesByName
    explained: Mapping[str, set[str]]


DataSteps = Generator[Action, ObservationJson, CollectedData]


def raw_reference(_: ObservationJson) -> PolicySteps:
    """Submits the rows that the policy asks for, in the standard profile."""
    yield build_submit_action(find_root_rows((yield from read_episode_data())))


def raw_lean_reference(_: ObservationJson) -> PolicySteps:
    """The same in the lean profile."""
    yield build_analysis_action(
        "submit", rows=find_root_rows((yield from read_lean_episode_data()))
    )


def read_episode_data() -> DataSteps:
    """Everything that the tools of the standard profile show."""
    config = require_analysis_result((yield build_analysis_action("task_overview")))["config"]
    dates = iso_dates_between(config["start_date"], config["end_date"])
    found = require_analysis_result((yield build_analysis_action("get_metric_median")))["results"]
    usual: dict[str, Any] = {
        each["metric_name"]: each.get("weekday_medians", each["median_value"]) for each in found
    }
    shares = {}
    for day in dates[: 7 if "weekday_medians" in found[0] else 1]:
        hours = require_analysis_result(
            (yield build_analysis_action("hourly_rows_for_date", date=day))
        )
        shares[weekday_name(day)] = hours["summary"]["baseline_daytime_share"]
    usual[DAYTIME_SHARE] = shares if len(shares) > 1 else shares.popitem()[1]
    explained: dict[str, set[str]] = {}
    for event in require_analysis_result((yield build_analysis_action("list_calendar")))["events"]:
        explained.setdefault(event["date"], set()).update(event["explains"])
    days: dict[str, HourlyCounts] = {}
    for offset in range(0, 24 * len(dates), MAX_ROWS_PER_CALL):
        asked = {"granularity": "hourly", "limit": MAX_ROWS_PER_CALL, "offset": offset}
        for row in require_analysis_result((yield build_analysis_action("show_raw_data", **asked)))[
            "rows"
        ]:
            days.setdefault(row["date"], []).append([row[stage] for stage in STAGES])
    return CollectedData(config, days, usual, explained)


def read_lean_episode_data() -> DataSteps:
    """Everything that the tools of the lean profile show."""
    overview = require_analysis_result((yield build_analysis_action("overview")))
    weekdays = overview["columns"][1]
    usual = {
        name: of if weekdays == "median" else dict(zip(weekdays, of, strict=True))
        for name, of in overview["rows"]
    }
    explained: dict[str, set[str]] = {}
    for day, _title, names in require_analysis_result((yield build_analysis_action("calendar")))[
        "rows"
    ]:
        explained.setdefault(day, set()).update(names)
    days: dict[str, HourlyCounts] = {}
    dates = iso_dates_between(overview["first_date"], overview["last_date"])
    for at in range(0, len(dates), MAX_DATES_PER_CALL):
        asked = dates[at : at + MAX_DATES_PER_CALL]
        for day, hours in require_analysis_result(
            (yield build_analysis_action("hours", dates=asked))
        )["rows"]:
            days[day] = [counts for _, *counts in hours]
    return CollectedData(overview, days, usual, explained)


def iso_dates_between(first: str, last: str) -> list[str]:
    """Every date from the first to the last one."""
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [(start + timedelta(days)).isoformat() for days in range((end - start).days + 1)]


def find_root_rows(data: CollectedData) -> list[RowFields]:
    """The rows that the policy asks for."""
    return [row for day in data.hourly_counts for row in find_root_rows_on(day, data)]


def find_root_rows_on(day: str, data: CollectedData) -> list[RowFields]:
    """Those of one date."""
    known = data.explained.get(day, set())
    return (
        impossible_count_rows(day, data)
        or mix_shift_rows(day, data, known) + build_funnel_day(day, data, known).find_root_rows()
    )


def impossible_count_rows(day: str, data: CollectedData) -> list[RowFields]:
    """Rows of a date's impossible counts."""
    excess = [
        sum(max(0, hour[stage] - hour[stage - 1]) for hour in data.hourly_counts[day])
        for stage in range(1, len(STAGES))
    ]
    return [
        build_quality_row(day, k, size, data.policy_numbers)
        for k, size in enumerate(excess, 1)
        if size
    ]


def mix_shift_rows(
    day: str, data: CollectedData, explained: Collection[str] = ()
) -> list[RowFields]:
    """The row of a date's daytime share, if that is flagged."""
    usual = baselines_on(day, data.baselines)[DAYTIME_SHARE]
    share = daytime_share_of(
        data.hourly_counts[day], *data.policy_numbers.get("daytime_hours", DEFAULT_DAYTIME_HOURS)
    )
    limit = data.policy_numbers["thresholds"]["daytime_share_absolute"]
    flagged = abs(round(share - usual, 6)) >= limit and DAYTIME_SHARE not in explained
    return [build_mix_row(day, share, usual, data.policy_numbers)] if flagged else []


def build_funnel_day(day: str, data: CollectedData, explained: Collection[str] = ()) -> FunnelDay:
    """A date's counts and rates."""
    usual, values = baselines_on(day, data.baselines), daily_values_of(data.hourly_counts[day])
    return FunnelDay(day, values, usual, data.policy_numbers, explained)


def daytime_share_of(hours: HourlyCounts, first_hour: int, last_hour: int) -> float:
    """Share of a day's first stage from one hour to another."""
    opens = [hour[0] for hour in hours]
    return round(sum(opens[first_hour : last_hour + 1]) / (sum(opens) or 1), 6)


def daily_values_of(hours: HourlyCounts) -> dict[str, float]:
    """Counts and rates in percent of a day."""
    counts = [sum(column) for column in zip(*hours, strict=True)]
    values: dict[str, float] = dict(zip(STAGES, counts, strict=True))
    pairs = [(name, k, k - 1) for k, name in enumerate(STEP_RATES, 1)]
    pairs += [(name, k, 0) for k, name in enumerate(COMPOSITE_RATES, 3)]
    for name, above, below in pairs:
        values[name] = round(100.0 * counts[above] / (counts[below] or 1), 4)
    return values

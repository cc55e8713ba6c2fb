"""The reference with raw disclosure: flags from values, medians and hours what no tool flags.

It reads the hourly counts of every date, in either profile, and computes all else from them.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from metric_tracker_rl.policies.base import Action, Observed, Play, Row, analyse, result_of, submit
from metric_tracker_rl.policies.lean_reference import COMPOSITES, MIX, STAGES, STEPS
from metric_tracker_rl.policies.policy_from_text import (
    FunnelDay,
    Usual,
    mix_row,
    quality_row,
    usual_on,
    weekday_of,
)

Day = list[Sequence[int]]
"""Hourly counts of a date, stage by stage."""
DAYTIME = (8, 19)
"""First and last hour of the daytime, where the policy says nothing else."""
ROWS_A_CALL, DATES_A_CALL = 1000, 7
"""Most hourly rows of one call of `show_raw_data`, and most dates of one of `hours`."""


class Seen(NamedTuple):
    """All that the tools show.

    Attributes:
        terms: the numbers of the policy, among others.
        days: hourly counts by date.
        usual: medians by name, and by weekday where each has its own.
        explained: names of what the calendar explains, by date.
    """

    terms: Mapping[str, Any]
    days: Mapping[str, Day]
    usual: Usual
    explained: Mapping[str, set[str]]


Looking = Generator[Action, Observed, Seen]


def raw_reference(_: Observed) -> Play:
    """Submits the rows that the policy asks for, in the standard profile."""
    yield submit(right_rows((yield from look())))


def raw_lean_reference(_: Observed) -> Play:
    """The same in the lean profile."""
    yield analyse("submit", rows=right_rows((yield from look_lean())))


def look() -> Looking:
    """Everything that the tools of the standard profile show."""
    config = result_of((yield analyse("task_overview")))["config"]
    dates = dates_from(config["start_date"], config["end_date"])
    found = result_of((yield analyse("get_metric_median")))["results"]
    usual: dict[str, Any] = {
        each["metric_name"]: each.get("weekday_medians", each["median_value"]) for each in found
    }
    shares = {}
    for day in dates[: 7 if "weekday_medians" in found[0] else 1]:
        hours = result_of((yield analyse("hourly_rows_for_date", date=day)))
        shares[weekday_of(day)] = hours["summary"]["baseline_daytime_share"]
    usual[MIX] = shares if len(shares) > 1 else shares.popitem()[1]
    explained: dict[str, set[str]] = {}
    for event in result_of((yield analyse("list_calendar")))["events"]:
        explained.setdefault(event["date"], set()).update(event["explains"])
    days: dict[str, Day] = {}
    for offset in range(0, 24 * len(dates), ROWS_A_CALL):
        asked = {"granularity": "hourly", "limit": ROWS_A_CALL, "offset": offset}
        for row in result_of((yield analyse("show_raw_data", **asked)))["rows"]:
            days.setdefault(row["date"], []).append([row[stage] for stage in STAGES])
    return Seen(config, days, usual, explained)


def look_lean() -> Looking:
    """Everything that the tools of the lean profile show."""
    overview = result_of((yield analyse("overview")))
    weekdays = overview["columns"][1]
    usual = {
        name: of if weekdays == "median" else dict(zip(weekdays, of, strict=True))
        for name, of in overview["rows"]
    }
    explained: dict[str, set[str]] = {}
    for day, _title, names in result_of((yield analyse("calendar")))["rows"]:
        explained.setdefault(day, set()).update(names)
    days: dict[str, Day] = {}
    dates = dates_from(overview["first_date"], overview["last_date"])
    for at in range(0, len(dates), DATES_A_CALL):
        asked = dates[at : at + DATES_A_CALL]
        for day, hours in result_of((yield analyse("hours", dates=asked)))["rows"]:
            days[day] = [counts for _, *counts in hours]
    return Seen(overview, days, usual, explained)


def dates_from(first: str, last: str) -> list[str]:
    """Every date from the first to the last one."""
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [(start + timedelta(days)).isoformat() for days in range((end - start).days + 1)]


def right_rows(seen: Seen) -> list[Row]:
    """The rows that the policy asks for."""
    return [row for day in seen.days for row in rows_of(day, seen)]


def rows_of(day: str, seen: Seen) -> list[Row]:
    """Those of one date."""
    known = seen.explained.get(day, set())
    return impossible_on(day, seen) or mix_on(day, seen, known) + funnel_on(day, seen, known).rows()


def impossible_on(day: str, seen: Seen) -> list[Row]:
    """Rows of a date's impossible counts."""
    excess = [
        sum(max(0, hour[stage] - hour[stage - 1]) for hour in seen.days[day])
        for stage in range(1, len(STAGES))
    ]
    return [quality_row(day, k, size, seen.terms) for k, size in enumerate(excess, 1) if size]


def mix_on(day: str, seen: Seen, known: Collection[str] = ()) -> list[Row]:
    """The row of a date's daytime share, if that is flagged."""
    usual = usual_on(day, seen.usual)[MIX]
    share = share_of(seen.days[day], *seen.terms.get("daytime_hours", DAYTIME))
    limit = seen.terms["thresholds"]["daytime_share_absolute"]
    flagged = abs(round(share - usual, 6)) >= limit and MIX not in known
    return [mix_row(day, share, usual, seen.terms)] if flagged else []


def funnel_on(day: str, seen: Seen, known: Collection[str] = ()) -> FunnelDay:
    """A date's counts and rates."""
    usual, values = usual_on(day, seen.usual), values_of(seen.days[day])
    return FunnelDay(day, values, usual, seen.terms, known)


def share_of(hours: Day, first: int, last: int) -> float:
    """Share of a day's first stage from one hour to another."""
    opens = [hour[0] for hour in hours]
    return round(sum(opens[first : last + 1]) / (sum(opens) or 1), 6)


def values_of(hours: Day) -> dict[str, float]:
    """Counts and rates in percent of a day."""
    counts = [sum(column) for column in zip(*hours, strict=True)]
    values: dict[str, float] = dict(zip(STAGES, counts, strict=True))
    pairs = [(name, k, k - 1) for k, name in enumerate(STEPS, 1)]
    pairs += [(name, k, 0) for k, name in enumerate(COMPOSITES, 3)]
    for name, above, below in pairs:
        values[name] = round(100.0 * counts[above] / (counts[below] or 1), 4)
    return values

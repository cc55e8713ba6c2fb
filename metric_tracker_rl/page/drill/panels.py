"""Replies to `slice` and `compare` as measures of segments: counts, and the rates they hold.

Pure functions of a reply. A rate is there where the reply holds both of its stages; what is usual
is the median of the same weekday within the reply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from itertools import pairwise
from statistics import median
from typing import Any

FEWEST_WEEKS = 3
"""Same weekdays in a reply from which their median is drawn."""

Values = list[float]


@dataclass(frozen=True)
class Panel:
    """One measure of one segment over days.

    Attributes:
        title: the segment, or the measure where there is one segment only.
        unit: of the values, as it is written behind them.
        dates: ISO date of each value; of a week its first day.
        values: the values.
        usual: the same weekday's median for each; empty where the reply holds too few weeks.
    """

    title: str
    unit: str
    dates: Sequence[str]
    values: Values
    usual: Values


@dataclass(frozen=True)
class Measure:
    """A count or a rate that a reply holds.

    Attributes:
        name: as people read it, with its unit.
        unit: written behind values.
        by_segment: values by segment, in the reply's order.
    """

    name: str
    unit: str
    by_segment: Mapping[str, Values]


@dataclass(frozen=True)
class Change:
    """A measure of one segment over some days and over those they are compared with.

    Attributes:
        title: as of a panel.
        now, before: the measure over either; people a day, or percent.
        relative: by how much it changed; 0 where nothing is there to compare with.
        share: whether it is a rate.
    """

    title: str
    now: float
    before: float
    relative: float
    share: bool


def label_of(values: Sequence[str]) -> str:
    """A segment's values in a line."""
    return ", ".join(values) or "everybody"


def slice_dates(result: Mapping[str, Any]) -> list[str]:
    """Date of each count of a slice, of a week its first day; a run of days is told by its ends."""
    if "weeks_from" in result:
        return list(result["weeks_from"])
    told, counts = list(result["dates"]), len(result["rows"][0][-1]) if result["rows"] else 0
    if len(told) == counts:
        return told
    first = Date.fromisoformat(told[0])
    return [(first + timedelta(days=day)).isoformat() for day in range(counts)]


def slice_measures(result: Mapping[str, Any], stages: Sequence[str]) -> list[Measure]:
    """Every measure of a slice: its counts by stage, then its rates in funnel order."""
    rows = result["rows"]
    per_mille = "per mille" in result["columns"][-1]
    weekly = "weeks_from" in result
    days = [1] * (len(rows[0][-1]) if rows else 0)
    if weekly and not per_mille:
        days = result["days"]
    counts: dict[str, dict[str, Values]] = {}
    for *values, stage, told in rows:
        counts.setdefault(stage, {})[label_of(values)] = [
            number / each for number, each in zip(told, days, strict=True)
        ]
    if per_mille:
        return [
            Measure(f"{_per_mille(stage, stages)}, ‰ of usual", "‰", told)
            for stage, told in counts.items()
        ]
    mean = ", mean of the days" if weekly else ""
    found = [Measure(f"{stage}, people a day{mean}", "", told) for stage, told in counts.items()]
    for before, stage in pairwise(stages):
        if before in counts and stage in counts:
            told = {
                segment: _rates(values, counts[before][segment])
                for segment, values in counts[stage].items()
            }
            found.append(Measure(f"rate into {stage}, % of {before}", " %", told))
    return found


def _per_mille(stage: str, stages: Sequence[str]) -> str:
    return f"{stage}: traffic" if stage == stages[0] else f"rate into {stage}"


def _rates(into: Values, out_of: Values) -> Values:
    return [100.0 * a / b if b else 0.0 for a, b in zip(into, out_of, strict=True)]


def panels_of(
    measures: Sequence[Measure], name: str, dates: Sequence[str], *, weekly: bool
) -> list[Panel]:
    """What is drawn of a slice: every segment of one measure, or all measures of one segment.

    Args:
        measures: of the slice.
        name: of the measure; the first one where there is none of that name.
        dates: of its values.
        weekly: whether each value is of a week, which has no weekday.
    """
    if not measures:
        return []
    if len(measures[0].by_segment) == 1:
        drawn = [(m.name, m.unit, values) for m in measures for values in m.by_segment.values()]
    else:
        chosen = next((m for m in measures if m.name == name), measures[0])
        drawn = [(each, chosen.unit, values) for each, values in chosen.by_segment.items()]

    def usual_of(unit: str, values: Values) -> Values:
        return [] if weekly or unit == "‰" else weekday_medians(dates, values)

    return [
        Panel(title, unit, dates, values, usual_of(unit, values)) for title, unit, values in drawn
    ]


def weekday_medians(dates: Sequence[str], values: Values) -> Values:
    """Median of the same weekday for each value; empty where some weekday is too seldom there."""
    days = [Date.fromisoformat(date).weekday() for date in dates]
    by_day: dict[int, Values] = {}
    for day, value in zip(days, values, strict=True):
        by_day.setdefault(day, []).append(value)
    if not values or min(map(len, by_day.values())) < FEWEST_WEEKS:
        return []
    usual = {day: median(told) for day, told in by_day.items()}
    return [usual[day] for day in days]


def compare_changes(result: Mapping[str, Any], stages: Sequence[str]) -> dict[str, list[Change]]:
    """Changes by measure, in the order of `slice_measures`; counts are per day of either side."""
    groups = sum("." not in column for column in result["columns"])
    told = [column.rpartition(".")[0] for column in result["columns"][groups::2]]
    days = result["days"]
    found: dict[str, list[Change]] = {f"{stage}, people a day": [] for stage in told}
    for row in result["rows"]:
        title, numbers = label_of(row[:groups]), row[groups:]
        now = dict(zip(told, numbers[::2], strict=True))
        before = dict(zip(told, numbers[1::2], strict=True))
        for stage in told:
            pair = now[stage] / days["dates"], before[stage] / days["reference"]
            found[f"{stage}, people a day"].append(_change(title, *pair, share=False))
        for above, stage in pairwise(stages):
            if above in now and stage in now:
                name = f"rate into {stage}, % of {above}"
                pair = _rate(now, stage, above), _rate(before, stage, above)
                found.setdefault(name, []).append(_change(title, *pair, share=True))
    return found


def _rate(counts: Mapping[str, int], stage: str, above: str) -> float:
    return 100.0 * counts[stage] / (counts[above] or 1)


def _change(title: str, now: float, before: float, *, share: bool) -> Change:
    return Change(title, now, before, now / before - 1.0 if before else 0.0, share)

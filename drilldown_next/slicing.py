"""Sums and scores of the counts: what `top_segments`, `slice` and `compare` return.

A request is checked and measured before anything is summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from drilldown_next.change_log import format_scope
from drilldown_next.day_scores import DAYS_PER_WEEK, FloatArray, replace_zeros, score_days
from drilldown_next.definition import (
    StepCounts,
    compute_spread,
    find_eligible_segments,
    split_by_step,
)
from drilldown_next.episode import Episode
from drilldown_next.report import read_date, read_dimension, read_segment, read_step, read_value
from drilldown_next.segments import DimensionValue, Segment, SegmentDays
from openenv_kit.errors import InvalidValueError, ToolArgumentError
from openenv_kit.tool import ToolArguments

MAX_NUMBERS = 300
"""Largest number of numbers that `slice` returns."""
MAX_FIXED_VALUES = 2
"""Largest number of values that `group_by` and `where` fix together."""
TOP_SIZE = 20
"""Number of cells that `top_segments` returns."""
MAX_REMOVED = 6
"""Largest number of entries of `without`."""
COMPARE_DAYS = 28
"""Number of days that `compare` returns if it is not asked for others: the last ones."""
Dates = Annotated[list[str], Field(min_length=2, max_length=2, description="[first, last]")]


class Removed(ToolArguments):
    """People who are left out on some days."""

    segment: dict[str, str]
    dates: Dates


_WITHOUT: Any = Field([], max_length=MAX_REMOVED, description="people to leave out on some days")


class TopSegmentsArguments(ToolArguments):
    """Arguments of `top_segments`."""

    step: str = Field(description="later stage of the step")
    min_loss: int = Field(0, ge=0, le=100, description="smallest loss of a cell, in %")
    days: int = Field(7, ge=1, le=56, description="days of a cell, counted from the first date")
    dates: Dates | None = None
    without: list[Removed] = _WITHOUT


class SliceArguments(ToolArguments):
    """Arguments of `slice`."""

    step: str = Field(description="later stage of the step")
    group_by: list[str] = Field(min_length=1, max_length=2, description="dimensions")
    where: dict[str, str] = Field({}, description="dimension: value")
    every: Literal["day", "week", "total"] = "week"
    dates: Dates | None = None
    measure: Literal["loss", "rate", "entered"] = Field(
        "loss", description="loss in % of those expected; rate per 1,000; people"
    )
    without: list[Removed] = _WITHOUT


class CompareArguments(ToolArguments):
    """Arguments of `compare`."""

    step: str = Field(description="later stage of the step")
    segment: dict[str, str] = Field(description="dimension: value, 1 or 2 of them")
    dates: Dates | None = Field(None, description="[first, last]; default the last 28 days")
    without: list[Removed] = _WITHOUT


class Period(NamedTuple):
    """Days whose counts are added.

    Attributes:
        name: its first date.
        first, stop: first day, and the day after the last one.
    """

    name: str
    first: int
    stop: int


def run_top_segments(episode: Episode, asked: TopSegmentsArguments) -> dict[str, Any]:
    """Return the cells of one segment and some days with the most missing people."""
    step = read_step(asked.step, episode)
    first, stop = read_days(asked.dates, episode)
    counts = remove_people(episode, step, asked.without)
    periods = split_days(range(first, stop, asked.days), stop, episode)
    scores = counts.scores
    entered = _add_periods(counts.segment_counts[:, 0].astype(float), periods)
    passed = _add_periods(counts.segment_counts[:, 1].astype(float), periods)
    expected = _add_periods(scores.expected, periods)
    eligible = find_eligible_segments(episode.counts, episode.table)
    is_shown = eligible[:, None] & (expected > 0.0)
    is_shown &= 100.0 * (expected - passed) >= asked.min_loss * expected
    cells = np.flatnonzero(is_shown)
    missing = (expected - passed).ravel()[cells]
    order = cells[np.lexsort((cells, -missing))][:TOP_SIZE]
    rows = []
    for cell in order:
        row, period = divmod(int(cell), len(periods))
        name = format_scope(episode.product, episode.table.segments[row])
        loss = _percent_lost(passed[row, period], expected[row, period])
        rows.append([name, periods[period].name, int(entered[row, period]), loss])
    return {"columns": ["segment", "date_from", "entered", "loss"], "rows": rows}


def run_slice(episode: Episode, asked: SliceArguments) -> dict[str, Any]:
    """Return a measure by segment and period."""
    step = read_step(asked.step, episode)
    groups = [read_dimension(name, episode) for name in asked.group_by]
    fixed = [read_value(name, value, episode) for name, value in asked.where.items()]
    used = [*groups, *(dimension for dimension, _ in fixed)]
    if len(set(used)) < len(used):
        raise InvalidValueError(
            "group_by and where", [*asked.group_by, *asked.where], "different dimensions"
        )
    if len(used) > MAX_FIXED_VALUES:
        raise InvalidValueError(
            "number of dimensions in group_by and where", len(used), f"1 to {MAX_FIXED_VALUES}"
        )
    first, stop = read_days(asked.dates, episode)
    periods = list_periods(asked.every, first, stop, episode)
    numbers = len(periods) * prod(episode.product.shape[axis] for axis in groups)
    if numbers > MAX_NUMBERS:
        raise ToolArgumentError(
            f"slice: the result would have {numbers} numbers; allowed: at most {MAX_NUMBERS}. Ask "
            "for fewer dates, weeks instead of days, or one dimension."
        )
    counts = remove_people(episode, step, asked.without)
    value_names = [episode.product.dimensions[axis].values for axis in groups]
    combinations = list(product(*(range(len(names)) for names in value_names)))
    segments = [
        tuple(sorted([*map(DimensionValue, groups, chosen), *fixed])) for chosen in combinations
    ]
    table = measure_segments(counts, segments, periods, asked.measure)
    rows = [
        [*(names[value] for names, value in zip(value_names, chosen, strict=True)), *values]
        for chosen, values in zip(combinations, table, strict=True)
    ]
    return {"columns": [*asked.group_by, *(period.name for period in periods)], "rows": rows}


def run_compare(episode: Episode, asked: CompareArguments) -> dict[str, Any]:
    """Return the counts of a segment and of everybody else by day."""
    step = read_step(asked.step, episode)
    segment = read_segment(asked.segment, episode)
    first, stop = read_days(asked.dates, episode)
    if asked.dates is None:
        first = max(stop - COMPARE_DAYS, 0)
    counts = remove_people(episode, step, asked.without)
    row = episode.table.index_of[segment]
    people = counts.segment_counts[row]
    rest = counts.totals - people
    scores = score_days(people[None], counts.totals)
    spread = compute_spread(counts, row)
    columns = ["date", "entered", "passed", "rest_entered", "rest_passed", "expected", "spread"]
    rows = [
        [
            episode.dates[day],
            *people[:, day].tolist(),
            *rest[:, day].tolist(),
            round(float(scores.expected[0, day]), 1),
            round(float(spread[day]), 2),
        ]
        for day in range(first, stop)
    ]
    return {
        "usual_odds_ratio": float(f"{scores.odds_ratio[0, 0]:.5g}"),
        "scale": float(f"{scores.scale[0, 0]:.4g}"),
        "columns": columns,
        "rows": rows,
    }


def measure_segments(
    counts: StepCounts, segments: Sequence[Segment], periods: Sequence[Period], measure: str
) -> list[list[int | None]]:
    """Return a measure of each segment and period, as integers; None where it has no value."""
    index_of = counts.table.index_of
    people = counts.segment_counts[[index_of[segment] for segment in segments]]
    entered = _add_periods(people[:, 0].astype(float), periods)
    passed = _add_periods(people[:, 1].astype(float), periods)
    if measure == "entered":
        return [[int(value) for value in row] for row in entered]
    if measure == "rate":
        share = np.rint(1000.0 * passed / replace_zeros(entered))
        return [
            [int(value) if number > 0 else None for value, number in zip(*row, strict=True)]
            for row in zip(share, entered, strict=True)
        ]
    expected = _add_periods(score_days(people, counts.totals).expected, periods)
    return [
        [_percent_lost(y, e) for y, e in zip(*row, strict=True)]
        for row in zip(passed, expected, strict=True)
    ]


def remove_people(episode: Episode, step: int, without: Sequence[Removed]) -> StepCounts:
    """Return the counts of a step without some people.

    Raises:
        UnknownNameError, InvalidValueError: a segment or date of `without` is wrong.
    """
    places = []
    for removed in without:
        first, stop = read_days(removed.dates, episode)
        segment = episode.table.index_of[read_segment(removed.segment, episode)]
        places.append(SegmentDays(step, segment, first, stop - 1))
    counts = split_by_step(episode.counts[:, step : step + 2], episode.table)[0]
    return counts.without(places) if places else counts


def read_days(dates: Sequence[str] | None, episode: Episode) -> tuple[int, int]:
    """Return the first day of a range of dates, and the day after its last; all days for None.

    Raises:
        InvalidValueError: a date is not in the episode, or the range runs backwards.
    """
    if dates is None:
        return 0, len(episode.dates)
    first, last = (read_date("date", date, episode) for date in dates)
    if last < first:
        raise InvalidValueError("dates", list(dates), "the first date before the last")
    return first, last + 1


def list_periods(every: str, first: int, stop: int, episode: Episode) -> list[Period]:
    """Split days into single days, calendar weeks or one period."""
    if every == "total":
        starts = [first]
    elif every == "day":
        starts = list(range(first, stop))
    else:
        starts = [first, *(day for day in range(first + 1, stop) if day % DAYS_PER_WEEK == 0)]
    return split_days(starts, stop, episode)


def split_days(starts: Sequence[int], stop: int, episode: Episode) -> list[Period]:
    """Return the periods that begin on given days; the last one ends before `stop`."""
    return [
        Period(episode.dates[start], start, end)
        for start, end in zip(starts, [*starts[1:], stop], strict=True)
    ]


def _add_periods(values: FloatArray, periods: Sequence[Period]) -> FloatArray:
    """Return sums over the days of each period, added in order; shape (segments, periods)."""
    totals = np.zeros((len(values), len(periods)))
    for number, period in enumerate(periods):
        for day in range(period.first, period.stop):
            totals[:, number] += values[:, day]
    return totals


def _percent_lost(passed: float, expected: float) -> int | None:
    return round(100.0 * (1.0 - passed / expected)) if expected > 0.0 else None

"""Calendar entries, which are public events that may explain deviations of some series.

Levels with a calendar contain decoys, which are days with a deviation that a calendar entry
explains. If an entry explains a series, the series is not flagged on that date. Some entries
explain no series, so a player who ignores all dates in the calendar misses anomalies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY, Funnel, HourRange
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.generation.effects import (
    CountEffect,
    ScaleStepRates,
    ScaleTraffic,
    ShiftHours,
    StepFactor,
)
from metric_tracker_rl.engine.reporting_policy.baselines import (
    reorder_so_last_days_differ_in_weekday,
)
from openenv_kit.bitstream import BitStream

HOLIDAY = "holiday"
PROMOTION = "promotion"
RELEASE = "release_note"
LATE_DATA = "late_data"

DECOY_THRESHOLD_MULTIPLES = (1.3, 1.8)
"""Range of a decoy's deviation, in multiples of the reporting threshold."""
LATE_DATA_FIRST_HOURS = (16, 18)
"""Earliest and latest hour at which the incomplete part of the last day can start."""
LATE_DATA_SHARE_RANGE = (0.10, 0.30)
"""Range of the share of events that have arrived in the incomplete hours."""


@dataclass(frozen=True)
class CalendarEntry:
    """A public event on one day.

    Attributes:
        day: index of the date.
        kind: "holiday", "promotion", "release_note" or "late_data".
        title: description of the event in one line.
        explains: names of the daily series that the entry explains; may be empty.
        effects: changes that the event makes to the day's hourly counts.
    """

    day: int
    kind: str
    title: str
    explains: tuple[str, ...]
    effects: tuple[CountEffect, ...] = ()

    def as_public_dict(self, dates: Sequence[str]) -> dict[str, Any]:
        """Return the fields that players see, with the date as ISO text.

        Args:
            dates: ISO date of each day.
        """
        return {
            "date": dates[self.day],
            "kind": self.kind,
            "title": self.title,
            "explains": list(self.explains),
        }


class CalendarPlan(NamedTuple):
    """Calendar entries, and the days that are still free for anomalies, in random order."""

    entries: tuple[CalendarEntry, ...]
    free_days: list[int]


def draw_calendar(stream: BitStream, funnel: Funnel, level: FunnelLevel) -> CalendarPlan:
    """Draw the calendar of an episode of the built-in funnel.

    The last day gets a late-data entry, because some of its events have not arrived yet. Randomly
    chosen other days get holidays, promotions and release notes in turn.
    """
    last_day = level.days - 1
    free_days = reorder_so_last_days_differ_in_weekday(
        stream.shuffled_copy(range(last_day)), level.baseline
    )
    entries = [_draw_late_data_that_lowers_last_hours(stream, funnel, last_day)]
    draw_functions = (
        _draw_holiday_that_lowers_traffic,
        _draw_promotion_that_raises_traffic_and_step_rate,
        _draw_release_that_lowers_step_rate,
    )
    for number in range(level.decoys - 1):
        draw_entry = draw_functions[number % len(draw_functions)]
        entries.append(draw_entry(stream, funnel, level, free_days.pop()))
    return CalendarPlan(tuple(entries), free_days)


def draw_release_that_explains_nothing(stream: BitStream, days: Sequence[int]) -> CalendarEntry:
    """Draw a release note that changes no counts and explains no series.

    Its day is chosen at random from the given days.
    """
    return CalendarEntry(
        day=stream.choose(days),
        kind=RELEASE,
        title="Release: texts and translations",
        explains=(),
    )


def build_mask_of_explained_values(
    entries: Sequence[CalendarEntry], funnel: Funnel, day_count: int
) -> NDArray[np.bool_]:
    """Return a boolean array that tells which series the calendar explains on which day.

    Its shape is (days, columns with a baseline).
    """
    columns = {name: column for column, name in enumerate(funnel.daily_series_names)}
    mask = np.zeros((day_count, len(columns)), dtype=bool)
    for entry in entries:
        mask[entry.day, [columns[name] for name in entry.explains]] = True
    return mask


def _draw_holiday_that_lowers_traffic(
    stream: BitStream, funnel: Funnel, level: FunnelLevel, day: int
) -> CalendarEntry:
    """Create a calendar entry for a public holiday, which lowers traffic by a random amount."""
    drop = level.count_threshold * stream.uniform(*DECOY_THRESHOLD_MULTIPLES)
    return CalendarEntry(
        day=day,
        kind=HOLIDAY,
        title="Public holiday",
        explains=funnel.event_count_names,
        effects=(ScaleTraffic(1.0 - drop),),
    )


def _draw_promotion_that_raises_traffic_and_step_rate(
    stream: BitStream, funnel: Funnel, level: FunnelLevel, day: int
) -> CalendarEntry:
    """Create a calendar entry for a promotion, which raises traffic and the second step's rate."""
    traffic_gain = level.count_threshold * stream.uniform(*DECOY_THRESHOLD_MULTIPLES)
    rate_gain = level.rate_threshold * stream.uniform(*DECOY_THRESHOLD_MULTIPLES)
    return CalendarEntry(
        day=day,
        kind=PROMOTION,
        title="One-day promotion",
        explains=(
            *funnel.event_count_names,
            funnel.step_rate_names[1],
            *funnel.composite_rate_names,
        ),
        effects=(
            ScaleTraffic(1.0 + traffic_gain),
            ScaleStepRates((StepFactor(stage=2, factor=1.0 + rate_gain),)),
        ),
    )


def _draw_release_that_lowers_step_rate(
    stream: BitStream, funnel: Funnel, level: FunnelLevel, day: int
) -> CalendarEntry:
    """Create a release note about the trial of a new page, which lowers the rate of a random step.

    The step is never the last one.
    """
    stage = 1 + stream.integer_below(len(funnel.step_rate_names) - 1)
    loss = level.rate_threshold * stream.uniform(*DECOY_THRESHOLD_MULTIPLES)
    return CalendarEntry(
        day=day,
        kind=RELEASE,
        title=f"Release: trial of a new {funnel.stages[stage].event.replace('_', ' ')} page",
        explains=(
            funnel.step_rate_names[stage - 1],
            *funnel.composite_rate_names,
            *funnel.event_count_names[stage:],
        ),
        effects=(ScaleStepRates((StepFactor(stage, 1.0 - loss),)),),
    )


def _draw_late_data_that_lowers_last_hours(
    stream: BitStream, funnel: Funnel, day: int
) -> CalendarEntry:
    """Create a calendar entry for a day on which some events have not arrived yet.

    From a random hour on, the counts contain only a fraction of the events.
    """
    earliest, latest = LATE_DATA_FIRST_HOURS
    first_hour = earliest + stream.integer_below(latest - earliest + 1)
    arrived_share = stream.uniform(*LATE_DATA_SHARE_RANGE)
    return CalendarEntry(
        day=day,
        kind=LATE_DATA,
        title=f"Events from hour {first_hour} on are still arriving",
        explains=(*funnel.event_count_names, funnel.daytime_share_name),
        effects=(ShiftHours(HourRange(first_hour, HOURS_PER_DAY), arrived_share),),
    )

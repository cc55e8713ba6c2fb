"""Calendar entries: what is publicly known to have happened, and what it explains.

Levels that have a calendar hold decoys: days that deviate for a reason that anybody can look
up. A series that an entry explains counts as not flagged on that date. Some entries explain
nothing, so that leaving out every date of the calendar is no way to play either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY, Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.names import SAME_WEEKDAY
from metric_tracker_rl.engine.generation.effects import (
    CountEffect,
    ScaleStepRates,
    ScaleTraffic,
    ShiftHours,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import DAYS_PER_WEEK
from openenv_kit.bitstream import BitStream

HOLIDAY = "holiday"
PROMOTION = "promotion"
RELEASE = "release_note"
LATE_DATA = "late_data"

DECOY_THRESHOLD_MULTIPLES = (1.3, 1.8)
"""Size of a decoy, in multiples of the threshold of what it moves."""
LATE_DATA_FIRST_HOURS = (16, 18)
"""Earliest and latest hour from which the last day's events are still arriving."""
LATE_DATA_SHARE_RANGE = (0.10, 0.30)
"""Share of those events that is there."""


@dataclass(frozen=True)
class CalendarEntry:
    """One entry.

    Attributes:
        day: index of the date.
        kind: holiday, promotion, release_note or late_data.
        title: one line for people.
        explains: names of the daily series it explains; may be empty.
        effects: what it does to the day's counts.
    """

    day: int
    kind: str
    title: str
    explains: tuple[str, ...]
    effects: tuple[CountEffect, ...] = ()

    def as_dict(self, dates: Sequence[str]) -> dict[str, Any]:
        """What the calendar says publicly."""
        return {
            "date": dates[self.day],
            "kind": self.kind,
            "title": self.title,
            "explains": list(self.explains),
        }


def draw_calendar(
    stream: BitStream, funnel: Funnel, level: FunnelLevel
) -> tuple[tuple[CalendarEntry, ...], list[int]]:
    """Entries with a decoy each, and the days that they leave free, in random order."""
    last = level.days - 1
    free = spread_over_weekdays(stream.shuffled_copy(range(last)), level)
    makers = (_draw_holiday, _draw_promotion, _draw_release)
    entries = [_draw_late_data(stream, funnel, last)]
    for number in range(level.decoys - 1):
        entries.append(makers[number % len(makers)](stream, funnel, level, free.pop()))
    return tuple(entries), free


def spread_over_weekdays(days: list[int], level: FunnelLevel) -> list[int]:
    """The days, ordered so that taking them from the end meets every weekday before one twice.

    A median of the same weekday is one of few days, and two anomalies of one kind would move it.
    Where the baseline is another one, the days stay as they are.
    """
    if level.baseline != SAME_WEEKDAY:
        return days
    met: Counter[int] = Counter()
    turns = []
    for day in days:
        met[day % DAYS_PER_WEEK] += 1
        turns.append((met[day % DAYS_PER_WEEK], day))
    return [day for _, day in sorted(turns, key=lambda each: -each[0])]


def draw_unrelated_release(stream: BitStream, days: Sequence[int]) -> CalendarEntry:
    """A release note that explains nothing, on one of the days."""
    return CalendarEntry(stream.choose(days), RELEASE, "Release: texts and translations", ())


def build_explained_mask(
    entries: Sequence[CalendarEntry], funnel: Funnel, day_count: int
) -> NDArray[np.bool_]:
    """Which (day, column) the calendar explains, shape (days, metrics + 1)."""
    columns = {
        name: column for column, name in enumerate((*funnel.metric_names, funnel.mix_entity_name))
    }
    mask = np.zeros((day_count, len(columns)), dtype=bool)
    for entry in entries:
        mask[entry.day, [columns[name] for name in entry.explains]] = True
    return mask


def _draw_holiday(stream: BitStream, funnel: Funnel, level: FunnelLevel, day: int) -> CalendarEntry:
    fall = level.count_threshold * stream.uniform(*DECOY_THRESHOLD_MULTIPLES)
    return CalendarEntry(
        day, HOLIDAY, "Public holiday", funnel.count_names, (ScaleTraffic(1.0 - fall),)
    )


def _draw_promotion(
    stream: BitStream, funnel: Funnel, level: FunnelLevel, day: int
) -> CalendarEntry:
    """More people, and more of them take the second step."""
    rise = level.count_threshold * stream.uniform(*DECOY_THRESHOLD_MULTIPLES)
    gain = level.rate_threshold * stream.uniform(*DECOY_THRESHOLD_MULTIPLES)
    return CalendarEntry(
        day,
        PROMOTION,
        "One-day promotion",
        (*funnel.count_names, funnel.step_rate_names[1], *funnel.composite_rate_names),
        (ScaleTraffic(1.0 + rise), ScaleStepRates(((2, 1.0 + gain),))),
    )


def _draw_release(stream: BitStream, funnel: Funnel, level: FunnelLevel, day: int) -> CalendarEntry:
    """A step that was changed on purpose; whatever follows it follows."""
    stage = 1 + stream.integer_below(len(funnel.step_rate_names) - 1)
    loss = level.rate_threshold * stream.uniform(*DECOY_THRESHOLD_MULTIPLES)
    rate = funnel.step_rate_names[stage - 1]
    title = f"Release: trial of a new {funnel.stages[stage].event.replace('_', ' ')} page"
    explains = (rate, *funnel.composite_rate_names, *funnel.count_names[stage:])
    return CalendarEntry(day, RELEASE, title, explains, (ScaleStepRates(((stage, 1.0 - loss),)),))


def _draw_late_data(stream: BitStream, funnel: Funnel, day: int) -> CalendarEntry:
    low, high = LATE_DATA_FIRST_HOURS
    first = low + stream.integer_below(high - low + 1)
    effect = ShiftHours((first, HOURS_PER_DAY), stream.uniform(*LATE_DATA_SHARE_RANGE))
    title = f"Events from hour {first} on are still arriving"
    return CalendarEntry(
        day, LATE_DATA, title, (*funnel.count_names, funnel.mix_entity_name), (effect,)
    )

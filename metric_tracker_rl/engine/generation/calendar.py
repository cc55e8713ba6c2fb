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

from metric_tracker_rl.engine.definitions.funnel import HOURS, Funnel
from metric_tracker_rl.engine.definitions.levels import Level
from metric_tracker_rl.engine.definitions.names import SAME_WEEKDAY
from metric_tracker_rl.engine.generation.effects import DayShape, Effect, StepRates, Traffic
from metric_tracker_rl.engine.reporting_policy.daily_series import WEEK
from openenv_kit.bitstream import BitStream

HOLIDAY = "holiday"
PROMOTION = "promotion"
RELEASE = "release_note"
LATE_DATA = "late_data"

DECOY_SIZE = (1.3, 1.8)
"""Size of a decoy, in multiples of the threshold of what it moves."""
LATE_FROM = (16, 18)
"""Earliest and latest hour from which the last day's events are still arriving."""
LATE_SHARE = (0.10, 0.30)
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
    effects: tuple[Effect, ...] = ()

    def as_dict(self, dates: Sequence[str]) -> dict[str, Any]:
        """What the calendar says publicly."""
        return {
            "date": dates[self.day],
            "kind": self.kind,
            "title": self.title,
            "explains": list(self.explains),
        }


def draw_calendar(
    stream: BitStream, funnel: Funnel, level: Level
) -> tuple[tuple[CalendarEntry, ...], list[int]]:
    """Entries with a decoy each, and the days that they leave free, in random order."""
    last = level.days - 1
    free = weekdays_in_turn(stream.shuffled(range(last)), level)
    makers = (_holiday, _promotion, _release)
    entries = [_late_data(stream, funnel, last)]
    for number in range(level.decoys - 1):
        entries.append(makers[number % len(makers)](stream, funnel, level, free.pop()))
    return tuple(entries), free


def weekdays_in_turn(days: list[int], level: Level) -> list[int]:
    """The days, ordered so that taking them from the end meets every weekday before one twice.

    A median of the same weekday is one of few days, and two anomalies of one kind would move it.
    Where the baseline is another one, the days stay as they are.
    """
    if level.baseline != SAME_WEEKDAY:
        return days
    met: Counter[int] = Counter()
    turns = []
    for day in days:
        met[day % WEEK] += 1
        turns.append((met[day % WEEK], day))
    return [day for _, day in sorted(turns, key=lambda each: -each[0])]


def empty_entry(stream: BitStream, days: Sequence[int]) -> CalendarEntry:
    """A release note that explains nothing, on one of the days."""
    return CalendarEntry(stream.pick(days), RELEASE, "Release: texts and translations", ())


def explained_mask(
    entries: Sequence[CalendarEntry], funnel: Funnel, days: int
) -> NDArray[np.bool_]:
    """Which (day, column) the calendar explains, shape (days, metrics + 1)."""
    columns = {name: column for column, name in enumerate((*funnel.metrics, funnel.mix))}
    mask = np.zeros((days, len(columns)), dtype=bool)
    for entry in entries:
        mask[entry.day, [columns[name] for name in entry.explains]] = True
    return mask


def _holiday(stream: BitStream, funnel: Funnel, level: Level, day: int) -> CalendarEntry:
    fall = level.count_threshold * stream.uniform(*DECOY_SIZE)
    return CalendarEntry(day, HOLIDAY, "Public holiday", funnel.counts, (Traffic(1.0 - fall),))


def _promotion(stream: BitStream, funnel: Funnel, level: Level, day: int) -> CalendarEntry:
    """More people, and more of them take the second step."""
    rise = level.count_threshold * stream.uniform(*DECOY_SIZE)
    gain = level.rate_threshold * stream.uniform(*DECOY_SIZE)
    return CalendarEntry(
        day,
        PROMOTION,
        "One-day promotion",
        (*funnel.counts, funnel.step_rates[1], *funnel.composite_rates),
        (Traffic(1.0 + rise), StepRates(((2, 1.0 + gain),))),
    )


def _release(stream: BitStream, funnel: Funnel, level: Level, day: int) -> CalendarEntry:
    """A step that was changed on purpose; whatever follows it follows."""
    stage = 1 + stream.below(len(funnel.step_rates) - 1)
    loss = level.rate_threshold * stream.uniform(*DECOY_SIZE)
    rate = funnel.step_rates[stage - 1]
    title = f"Release: trial of a new {funnel.stages[stage].event.replace('_', ' ')} page"
    explains = (rate, *funnel.composite_rates, *funnel.counts[stage:])
    return CalendarEntry(day, RELEASE, title, explains, (StepRates(((stage, 1.0 - loss),)),))


def _late_data(stream: BitStream, funnel: Funnel, day: int) -> CalendarEntry:
    low, high = LATE_FROM
    first = low + stream.below(high - low + 1)
    effect = DayShape((first, HOURS), stream.uniform(*LATE_SHARE))
    title = f"Events from hour {first} on are still arriving"
    return CalendarEntry(day, LATE_DATA, title, (*funnel.counts, funnel.mix), (effect,))

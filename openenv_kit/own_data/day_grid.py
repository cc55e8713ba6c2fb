"""Arranges the counts of a table in an array by day, hour and stage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from openenv_kit.own_data.collect_counts import SECONDS_PER_DAY, find_clock_changes
from openenv_kit.own_data.count_text import format_count
from openenv_kit.own_data.stage_counts import Grain

HOURS_PER_DAY = 24
CLOSED_SHARE = 0.9
"""An hour of the day or a weekday is closed if at least this share of its days has no rows."""


@dataclass
class DayGrid:
    """Counts for consecutive days.

    Attributes:
        start: date of the first day.
        counts: counts, shape (days, hours, stages); 0 where the table has no count.
        is_present: whether the table has the count, in the same shape.
    """

    start: date
    counts: npt.NDArray[np.int64]
    is_present: npt.NDArray[np.bool_]

    @property
    def days(self) -> int:
        """Number of days."""
        return self.counts.shape[0]

    @property
    def grain(self) -> Grain:
        """Time span of each count."""
        return Grain.DAY if self.counts.shape[1] == 1 else Grain.HOUR

    @property
    def has_rows(self) -> npt.NDArray[np.bool_]:
        """Whether each day has any row, shape (days,)."""
        return np.asarray(self.is_present.any(axis=(1, 2)))

    @property
    def daily(self) -> npt.NDArray[np.int64]:
        """Counts by day, shape (days, stages)."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def weekday(self) -> npt.NDArray[np.int64]:
        """Weekday of each day, 0 for Monday."""
        return (self.start.weekday() + np.arange(self.days, dtype=np.int64)) % 7

    def get_date(self, day: int) -> date:
        """Return the date of the day at an index."""
        return self.start + timedelta(days=day)

    def keep_days(self, first: int, end: int) -> None:
        """Keep only the days from index `first` to index `end` - 1."""
        self.start = self.get_date(first)
        self.counts = self.counts[first:end]
        self.is_present = self.is_present[first:end]


def build_day_grid(
    moments: npt.NDArray[np.datetime64],
    metric: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    *,
    stage_count: int,
    is_daily: bool,
) -> DayGrid:
    """Return the grid of counts at local times; counts of the same hour and stage are added.

    Args:
        moments: local time of each count.
        metric: index of the stage of each count.
        counts: the counts.
        stage_count: number of stages.
        is_daily: whether the grid has one entry per day instead of 24.
    """
    days = moments.astype("datetime64[D]")
    first = days.min()
    day = (days - first).astype(np.int64)
    hour = moments.astype(np.int64) % SECONDS_PER_DAY // 3600
    hours = HOURS_PER_DAY
    if is_daily:
        hour, hours = np.zeros_like(hour), 1
    shape = (int(day.max()) + 1, hours, stage_count)
    grid = DayGrid(
        start=date.fromisoformat(str(first)),
        counts=np.zeros(shape, dtype=np.int64),
        is_present=np.zeros(shape, dtype=bool),
    )
    np.add.at(grid.counts, (day, hour, metric), counts)
    grid.is_present[day, hour, metric] = True
    return grid


def fill_uncounted_hours(grid: DayGrid) -> None:
    """Set hours without events to zero on each day that has events."""
    grid.is_present[grid.has_rows] = True


def fill_closed_hours(grid: DayGrid, actions: list[str]) -> None:
    """Count an hour of the day as zero wherever it is missing, if it is missing on most days."""
    if grid.grain is Grain.DAY:
        return
    days = grid.has_rows
    share_absent = 1 - grid.is_present[days].any(axis=2).mean(axis=0)
    closed = np.flatnonzero(share_absent >= CLOSED_SHARE)
    if len(closed):
        listed = ", ".join(str(hour) for hour in closed)
        actions.append(
            f"{format_count(len(closed), 'hour')} of the day without rows on most days counted as "
            f"zero: {listed}"
        )
        present = grid.is_present[:, closed]
        grid.is_present[:, closed] = present | days[:, None, None]


def fill_skipped_hours(grid: DayGrid, timezone: str | None, actions: list[str]) -> None:
    """Set the hour that the clock change skips in spring to zero.

    If no time zone is given, the hour is filled on a day with exactly one missing hour, from 0 to 3
    o'clock, unless the same year has another such day.
    """
    if grid.grain is Grain.DAY:
        return
    is_absent = ~grid.is_present.any(axis=2) & grid.has_rows[:, None]
    if not is_absent.any():
        return
    if timezone is not None:
        day, hour = np.nonzero(is_absent)
        start = np.datetime64(grid.start, "s")
        moments = start + day * np.timedelta64(1, "D") + hour * np.timedelta64(1, "h")
        is_skipped = find_clock_changes(moments, timezone, repeated=False)
        day, hour = day[is_skipped], hour[is_skipped]
    else:
        candidates = (is_absent.sum(axis=1) == 1) & is_absent[:, :4].any(axis=1)
        years = np.array([grid.get_date(number).year for number in range(grid.days)])
        day = np.array(
            [
                number
                for number in np.flatnonzero(candidates)
                if (candidates & (years == years[number])).sum() == 1
            ],
            dtype=np.int64,
        )
        hour = is_absent[day].argmax(axis=1) if len(day) else np.zeros(0, dtype=np.int64)
    if len(day):
        grid.is_present[day, hour] = True
        actions.append(f"{format_count(len(day), 'day')} of 23 hours accepted")

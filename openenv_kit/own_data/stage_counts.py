"""The cleaned counts of a user's table, which are the input for products and investigations."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt


class Grain(StrEnum):
    """Time span of one count of a table."""

    DAY = "day"
    HOUR = "hour"


class DayStatus(StrEnum):
    """Whether the counts of a day are usable, or why they are not."""

    COUNTED = "counted"
    """The counts are complete."""
    MISSING = "missing"
    """The table has no rows for the day, or too few hours."""
    CLOSED = "closed"
    """The day falls on a weekday that usually has no counts. It is ignored."""
    OUTAGE = "outage"
    """Every count is zero on a day that is usually open."""
    IMPOSSIBLE = "impossible"
    """The daily count of a later stage exceeds that of an earlier one."""


@dataclass(frozen=True, kw_only=True)
class StageCounts:
    """Counts of a funnel's stages for consecutive days.

    Attributes:
        stages: names of the stages in funnel order: slugs of at most 40 characters.
        grain: time span of a count: `day` (one entry per day) or `hour` (24 entries per day).
        start: date of the first day.
        counts: whole numbers of at least 0, shape (days, hours, stages). Days with a status other
            than `counted` have the table's counts, or zeros if there are none.
        day_status: status of each day, in order.
        holidays: name of the public holiday or calendar entry by date, within the table's days.
        has_impossible_hours: whether a later stage exceeds an earlier one in more than 1 % of the
            hours. Impossible counts are then detected by day only.
    """

    stages: tuple[str, ...]
    grain: Grain
    start: date
    counts: npt.NDArray[np.int64]
    day_status: tuple[DayStatus, ...]
    holidays: dict[date, str] = field(default_factory=dict)
    has_impossible_hours: bool = False

    @property
    def days(self) -> int:
        """Number of days, including those that are not counted."""
        return self.counts.shape[0]

    @property
    def daily_counts(self) -> npt.NDArray[np.int64]:
        """Counts by day, shape (days, stages)."""
        totals: npt.NDArray[np.int64] = self.counts.sum(axis=1)
        return totals

    def get_date(self, day: int) -> date:
        """Return the date of the day at an index."""
        return self.start + timedelta(days=day)

"""The cleaned counts of a user's table, as every fit and every investigation receives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt


class Grain(StrEnum):
    """Smallest time span that a table counts events in."""

    DAY = "day"
    HOUR = "hour"


class DayStatus(StrEnum):
    """What a calendar day of the table can be used for."""

    COUNTED = "counted"
    """The counts are complete."""
    MISSING = "missing"
    """The table has no rows for the day, or too few hours."""
    CLOSED = "closed"
    """The day falls on a weekday without business; it is not judged."""
    OUTAGE = "outage"
    """Every count is zero on a day that is usually open."""
    IMPOSSIBLE = "impossible"
    """A later stage exceeds an earlier one over the whole day."""


@dataclass(frozen=True, kw_only=True)
class StageCounts:
    """Counts of a funnel's stages for consecutive days.

    Attributes:
        stages: names of the stages in funnel order: slugs of at most 40 characters.
        grain: whether `counts` has one column of hours (`day`) or 24 (`hour`).
        start: date of the first day.
        counts: whole numbers of at least 0, shape (days, hours, stages). Days that are not
            `counted` keep what the table has (zeros if it has nothing).
        day_status: status of each day, in order.
        holidays: name of the public holiday or calendar entry by date, within the table's days.
        has_impossible_hours: whether a later stage exceeds an earlier one in more than 1 % of the
            hours, so that impossible counts are compared by day.
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
        """Return the date of the day with this index."""
        return self.start + timedelta(days=day)

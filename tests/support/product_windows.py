"""A product's window of counts as the series that the reporting policy judges.

`product_labels` contains the rules and lists how ambiguous places of the text are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

DAYS_PER_WEEK = 7
COUNT_DECIMALS = 4
RATE_DECIMALS = 4
SHARE_DECIMALS = 6


class CalendarEntry(TypedDict):
    """The fields of a calendar entry that the policy uses; entries may have more."""

    date: str
    explains: Sequence[str]


@dataclass(frozen=True)
class DailySeries:
    """One value per day of a count, a rate in percent or the daytime share.

    `threshold` already contains the level factor. It is relative to the baseline, or a difference
    in value where `is_absolute` is true.
    """

    name: str
    values: tuple[Fraction, ...]
    threshold: Fraction
    decimals: int
    is_absolute: bool = False

    def baseline(self, day: int) -> Fraction:
        """Return the median of the days with the same weekday as this one."""
        return median_fraction(self.values[day % DAYS_PER_WEEK :: DAYS_PER_WEEK])

    def deviation(self, day: int) -> Fraction:
        """Return the deviation from the baseline; 0 where the baseline is 0."""
        baseline = self.baseline(day)
        if baseline == 0:
            return Fraction(0)
        difference = self.values[day] - baseline
        return difference if self.is_absolute else difference / baseline

    def is_flagged(self, day: int) -> bool:
        """Return whether the deviation reaches the threshold, without regard to the calendar."""
        return self.baseline(day) != 0 and abs(self.deviation(day)) >= self.threshold


@dataclass(frozen=True)
class Window:
    """The counts of a window with all series that the policy judges.

    `hourly` and `daily` are indexed by day, (hour) and stage. `rates[k]` leads from stage k to
    stage k + 1. `share` is None for daily tables. `composites` are sorted by the stages they span.
    """

    stages: tuple[str, ...]
    dates: tuple[Date, ...]
    hourly: tuple[tuple[tuple[int, ...], ...], ...]
    daily: tuple[tuple[int, ...], ...]
    counts: tuple[DailySeries, ...]
    rates: tuple[DailySeries, ...]
    composites: tuple[DailySeries, ...]
    share: DailySeries | None
    compares_days: bool
    closed_weekdays: frozenset[int]
    explained: Mapping[Date, frozenset[str]]

    def is_flagged(self, series: DailySeries, day: int) -> bool:
        """Return whether a series is flagged on a day and not explained by the calendar."""
        names = self.explained.get(self.dates[day], frozenset())
        return series.name not in names and series.is_flagged(day)


def build_window(
    counts: npt.NDArray[np.integer],
    dates: Sequence[str],
    product: Mapping[str, Any],
    level_factor: float,
    calendar: Sequence[CalendarEntry],
) -> Window:
    """Return the window with its series and their thresholds.

    Raises:
        ValueError: the shape of the counts does not fit the dates or the product.
    """
    stages = tuple(product["stages"])
    days = tuple(Date.fromisoformat(date) for date in dates)
    check_shape(counts, days, stages, product["grain"])
    hourly = tuple(tuple(tuple(int(count) for count in hour) for hour in day) for day in counts)
    daily = tuple(tuple(sum(stage) for stage in zip(*day, strict=True)) for day in hourly)
    # The file lists the first count, then one rate per later stage, then the share (if hourly).
    fitted = [scale_threshold(each["threshold"], level_factor) for each in product["series"]]
    others = product["thresholds"]

    def count_series(stage: int) -> DailySeries:
        name = stages[stage]
        threshold = fitted[0] if stage == 0 else scale_threshold(others[name], level_factor)
        values = tuple(Fraction(day[stage]) for day in daily)
        return DailySeries(name, values, threshold, COUNT_DECIMALS)

    def rate_series(start: int, end: int) -> DailySeries:
        name = f"{stages[start]}_to_{stages[end]}"
        is_step = end == start + 1
        threshold = fitted[end] if is_step else scale_threshold(others[name], level_factor)
        values = tuple(Fraction(100 * day[end], day[start] or 1) for day in daily)
        return DailySeries(name, values, threshold, RATE_DECIMALS)

    share = None
    if product["grain"] == "hour":
        first, after = product["daytime"]
        values = tuple(
            Fraction(sum(hour[0] for hour in day[first:after]), sum(hour[0] for hour in day) or 1)
            for day in hourly
        )
        name = f"{stages[0]}:daytime_share"
        share = DailySeries(name, values, fitted[len(stages)], SHARE_DECIMALS, is_absolute=True)
    factors = product["series"][0]["weekday"]
    return Window(
        stages=stages,
        dates=days,
        hourly=hourly,
        daily=daily,
        counts=tuple(count_series(stage) for stage in range(len(stages))),
        rates=tuple(rate_series(stage - 1, stage) for stage in range(1, len(stages))),
        composites=tuple(rate_series(0, end) for end in composite_ends(len(stages))),
        share=share,
        compares_days=product["impossible_counts"] == "day",
        closed_weekdays=frozenset(day for day, factor in enumerate(factors) if factor == 0),
        explained=explained_series(calendar),
    )


def check_shape(
    counts: npt.NDArray[np.integer],
    days: Sequence[Date],
    stages: Sequence[str],
    grain: str,
) -> None:
    """Raise ValueError unless the counts fit whole weeks of consecutive days of the product."""
    hours = 24 if grain == "hour" else 1
    expected = (len(days), hours, len(stages))
    if counts.shape != expected:
        raise ValueError(f"counts have the shape {counts.shape}; these dates need {expected}")
    if not days or len(days) % DAYS_PER_WEEK:
        raise ValueError(f"a window has whole weeks, not {len(days)} days")
    if any(after - before != timedelta(days=1) for before, after in pairwise(days)):
        raise ValueError("the dates of a window are consecutive")


def scale_threshold(threshold: float, level_factor: float) -> Fraction:
    """Return the threshold times the level's factor, rounded up to a thousandth."""
    # Through decimal text, because 0.2 * 1.15 in binary is not 0.23.
    product = Decimal(str(threshold)) * Decimal(str(level_factor))
    return Fraction(product.quantize(Decimal("0.001"), rounding=ROUND_CEILING))


def explained_series(calendar: Sequence[CalendarEntry]) -> dict[Date, frozenset[str]]:
    """Return the names of all explained series by date."""
    explained: dict[Date, frozenset[str]] = {}
    for entry in calendar:
        date = Date.fromisoformat(entry["date"])
        explained[date] = explained.get(date, frozenset()) | frozenset(entry["explains"])
    return explained


def composite_ends(stage_count: int) -> list[int]:
    """Return the stage indices at which composites end, the shortest composite first."""
    if stage_count == 2:
        return []
    return [2] if stage_count == 3 else [stage_count - 2, stage_count - 1]


def median_fraction(values: Sequence[Fraction]) -> Fraction:
    """Return the exact median; for an even number of values the mean of the middle two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2

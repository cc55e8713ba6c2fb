"""Checks the days of a table. The functions are defined in the order in which they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.count_text import format_count
from openenv_kit.own_data.day_grid import CLOSED_SHARE, DayGrid
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.stage_counts import DayStatus, Grain

MAX_MISSING_SHARE = 0.05
MAX_IMPOSSIBLE_DAY_SHARE = 0.02
MAX_IMPOSSIBLE_HOUR_SHARE = 0.01
MAX_DAYS = 1_100
LEVEL_BLOCK_DAYS = 28
MAX_LEVEL_RATIO = 1.5
MIN_ORDINARY_DAYS = 10
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class TableLimits:
    """Limits for tables that an environment accepts; the defaults are those of the Funnel.

    Attributes:
        min_days: smallest number of days.
        min_stages: smallest number of stages.
        max_stages: largest number of stages.
        min_daily_median: smallest median of the first stage's daily counts.
    """

    min_days: int = 84
    min_stages: int = 2
    max_stages: int = 8
    min_daily_median: int = 10


def keep_selected_days(grid: DayGrid, options: ImportOptions) -> bool:
    """Remove the days before `--from` and after `--until` from the grid.

    Returns:
        Whether the last day of the table was kept.

    Raises:
        TableRefused: no day is left.
    """
    last = grid.get_date(grid.days - 1)
    first_kept = max(options.from_date or grid.start, grid.start)
    last_kept = min(options.until_date or last, last)
    if first_kept > last_kept:
        raise TableRefused(
            f"No day is left: the table starts on {grid.start}; change --until."
            if last_kept < grid.start
            else f"No day is left: the table ends on {last}; change --from."
        )
    grid.keep_days((first_kept - grid.start).days, (last_kept - grid.start).days + 1)
    return last_kept == last


def refuse_weekly_data(grid: DayGrid) -> None:
    """Raise an error if each row of a table covers a week, a month or a longer period.

    Raises:
        TableRefused: the rows cover more than a day.
    """
    days = np.flatnonzero(grid.has_rows)
    if len(days) < 3:
        return
    distance = int(np.median(np.diff(days)))
    if distance >= 7:
        kind = "weekly" if distance < 28 else "monthly"
        raise TableRefused(
            f"The data is {kind}: {distance} days lie between rows, for example after "
            f"{grid.get_date(int(days[0]))}; export one row per day or hour."
        )


def replace_running_totals(grid: DayGrid, options: ImportOptions, actions: list[str]) -> None:
    """Replace running totals with their differences if `--running-total` was passed.

    Raises:
        TableRefused: the counts never decrease although the option was not passed, or a count
            decreases although it was passed.
    """
    slots = np.flatnonzero(grid.is_present.all(axis=2).reshape(-1))
    totals = grid.counts.reshape(-1, grid.counts.shape[2])[slots]
    steps = np.diff(totals, axis=0)
    if not options.running_total:
        if len(steps) >= 20 and (steps >= 0).all() and (steps[:, 0] > 0).mean() > 0.5:
            raise TableRefused(
                "Each count is at least as high as the one before it, in all stages; if they are "
                "totals since the start, pass --running-total."
            )
        return
    hours = grid.counts.shape[1]
    falling = np.flatnonzero((steps < 0).any(axis=1))
    if len(falling):
        day = grid.get_date(int(slots[falling[0] + 1]) // hours)
        raise TableRefused(
            f"{day}: a running total decreases; omit --running-total, or select days with --from."
        )
    differences = np.zeros_like(grid.counts)
    is_present = np.zeros_like(grid.is_present)
    follows = np.flatnonzero(np.diff(slots) == 1)
    differences.reshape(-1, totals.shape[1])[slots[follows + 1]] = steps[follows]
    is_present.reshape(-1, totals.shape[1])[slots[follows + 1]] = True
    grid.counts, grid.is_present = differences, is_present
    actions.append(
        f"running totals replaced by {format_count(len(follows), 'difference')}; the first row has "
        "none"
    )
    complete = np.flatnonzero(grid.is_present.all(axis=(1, 2)))
    if len(complete):
        grid.keep_days(int(complete[0]), grid.days)


def find_day_status(
    grid: DayGrid, stages: Sequence[str], actions: list[str]
) -> npt.NDArray[np.object_]:
    """Return the status of each day.

    Raises:
        TableRefused: too many days are missing, or on too many days a later stage exceeds an
            earlier one.
    """
    status = np.full(grid.days, DayStatus.COUNTED, dtype=object)
    is_zero = (grid.daily == 0).all(axis=1)
    is_empty = ~grid.has_rows | is_zero
    for weekday, name in enumerate(WEEKDAYS):
        is_weekday = grid.weekday == weekday
        if is_weekday.any() and is_empty[is_weekday].mean() >= CLOSED_SHARE:
            status[is_weekday] = DayStatus.CLOSED
            actions.append(
                f"{name} is closed: {format_count(int(is_weekday.sum()), 'day')} ignored"
            )
    is_open = status == DayStatus.COUNTED
    if not is_open.any():
        raise TableRefused("All counts are zero; check --stages and --where.")
    is_missing = is_open & ~grid.is_present.all(axis=(1, 2))
    if is_missing.sum() > MAX_MISSING_SHARE * is_open.sum():
        first = grid.get_date(int(np.argmax(is_missing)))
        raise TableRefused(
            f"{int(is_missing.sum())} of {int(is_open.sum())} days have no rows or lack hours or "
            f"stages, the first on {first}; allowed are {MAX_MISSING_SHARE:.0%}. Select complete "
            "days with --from and --until."
        )
    status[is_missing] = DayStatus.MISSING
    if is_missing.any():
        actions.append(
            f"{format_count(int(is_missing.sum()), 'day')} without rows or with missing hours set "
            "aside"
        )
    is_outage = (status == DayStatus.COUNTED) & is_zero
    status[is_outage] = DayStatus.OUTAGE
    if is_outage.any():
        actions.append(f"{format_count(int(is_outage.sum()), 'day')} of zeros set aside as outages")
    _set_impossible_days_aside(grid, status, stages, actions)
    return status


def has_impossible_hours(grid: DayGrid, status: npt.NDArray[np.object_]) -> bool:
    """Return whether a later stage exceeds an earlier one in more than 1 % of the hours."""
    if grid.grain is Grain.DAY:
        return False
    counts = grid.counts[status == DayStatus.COUNTED]
    is_active = counts.any(axis=2)
    is_impossible = (np.diff(counts, axis=2) > 0).any(axis=2)
    return bool(is_impossible.sum() > MAX_IMPOSSIBLE_HOUR_SHARE * is_active.sum())


def check_limits(
    grid: DayGrid, status: npt.NDArray[np.object_], first_stage: str, limits: TableLimits
) -> None:
    """Raise an error if a table has too few days or too few events.

    Raises:
        TableRefused: the table is below a limit. The message contains the limit.
    """
    if grid.days < limits.min_days:
        raise TableRefused(
            f"The table has {grid.days} days; at least {limits.min_days} are required."
        )
    median = float(np.median(grid.daily[status == DayStatus.COUNTED, 0]))
    if median < limits.min_daily_median:
        raise TableRefused(
            f"The median of {first_stage} is {median:g} a day; at least {limits.min_daily_median} "
            "are required."
        )


def find_level_shifts(
    grid: DayGrid, status: npt.NDArray[np.object_], stages: Sequence[str]
) -> list[str]:
    """Return a warning for each stage whose median changes strongly between 28-day blocks."""
    warnings = []
    is_counted = status == DayStatus.COUNTED
    blocks = np.arange(grid.days) // LEVEL_BLOCK_DAYS
    for stage, name in enumerate(stages):
        medians: list[float] = []
        for block in range(int(blocks[-1]) + 1):
            days = grid.daily[is_counted & (blocks == block), stage]
            medians.append(float(np.median(days)) if len(days) >= MIN_ORDINARY_DAYS else np.nan)
        last_shift: date | None = None
        for block in range(1, len(medians)):
            low, high = sorted((medians[block - 1], medians[block]))
            if high > MAX_LEVEL_RATIO * low:
                last_shift = grid.get_date(block * LEVEL_BLOCK_DAYS)
        if last_shift is not None:
            warnings.append(
                f"the level of {name} changes by more than {MAX_LEVEL_RATIO - 1:.0%} around "
                f"{last_shift}; consider --from {last_shift}"
            )
    return warnings


def keep_recent_days(grid: DayGrid, actions: list[str]) -> None:
    """Remove all but the last 1,100 days from the grid."""
    if grid.days > MAX_DAYS:
        actions.append(
            f"{format_count(grid.days - MAX_DAYS, 'day')} before the last {MAX_DAYS:,} left out"
        )
        grid.keep_days(grid.days - MAX_DAYS, grid.days)


def _set_impossible_days_aside(
    grid: DayGrid, status: npt.NDArray[np.object_], stages: Sequence[str], actions: list[str]
) -> None:
    counted = np.flatnonzero(status == DayStatus.COUNTED)
    exceeds = np.diff(grid.daily[counted], axis=1) > 0
    is_impossible = exceeds.any(axis=1)
    if not is_impossible.any():
        return
    step = int(exceeds.sum(axis=0).argmax())
    share = (
        f"{stages[step + 1]} > {stages[step]} on {int(exceeds[:, step].sum())} of "
        f"{len(counted)} days"
    )
    if is_impossible.sum() > MAX_IMPOSSIBLE_DAY_SHARE * len(counted):
        raise TableRefused(
            f"{share}, so the stages are no funnel; change their order in --stages or omit one."
        )
    status[counted[is_impossible]] = DayStatus.IMPOSSIBLE
    actions.append(
        f"{format_count(int(is_impossible.sum()), 'day')} with impossible counts set aside "
        f"({share})"
    )

"""Drops incomplete days at the start and at the end of a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.count_text import format_count
from openenv_kit.own_data.day_grid import DayGrid
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.stage_counts import Grain

MIN_LAST_DAY_SHARE = 0.6
"""Smallest ratio of the last day's first-stage count to the median of the same weekday at which the
last day is considered complete."""


def drop_first_day(
    grid: DayGrid, options: ImportOptions, *, is_counted: bool, actions: list[str]
) -> None:
    """Drop the first day if hours are missing at its start.

    Hours are missing if an export starts at midnight in UTC, for example.

    Args:
        grid: the counts. The first day must have rows.
        options: the user's options. The day that `--from` names is always kept.
        is_counted: whether each row is an event, so that hours without rows are normal.
        actions: list to which a line is appended if the day is dropped.
    """
    is_named = options.from_date is not None and options.from_date >= grid.start
    if grid.grain is Grain.DAY or grid.days < 2 or is_named:
        return
    first_hours = _find_used_hours(grid, is_counted=is_counted).argmax(axis=1)
    usual = int(np.quantile(first_hours[1:], 0.9, method="higher")) if len(first_hours) > 1 else 23
    if first_hours[0] > usual:
        actions.append(
            f"1 incomplete first day dropped ({grid.start}: its first hour is "
            f"{int(first_hours[0])}); --from {grid.start} keeps it"
        )
        grid.keep_days(1, grid.days)


def drop_last_days(
    grid: DayGrid,
    options: ImportOptions,
    *,
    has_last_day: bool,
    is_counted: bool,
    actions: list[str],
) -> None:
    """Drop the last day if it looks incomplete, then as many days as `--late-days` specifies.

    Args:
        grid: the counts. The last day must have rows.
        has_last_day: whether the grid ends with the last day of the table. Only that day can be
            incomplete.
        options: the user's options; `keep_last` and `late_days` are used.
        is_counted: whether each row is an event, so that hours without rows are normal.
        actions: list to which a line for each kind of dropped days is appended.
    """
    dropped = 0
    if has_last_day and not options.keep_last and grid.days > 1:
        reason = _find_incomplete_reason(grid, is_counted=is_counted)
        if reason:
            actions.append(
                f"1 incomplete last day dropped ({grid.get_date(grid.days - 1)}: {reason}); "
                "--keep-last keeps it"
            )
            dropped = 1
    if options.late_days:
        actions.append(f"{format_count(options.late_days, 'late day')} dropped")
        dropped += options.late_days
    if dropped >= grid.days:
        raise TableRefused(
            f"No day is left after dropping the last {format_count(dropped, 'day')}."
        )
    if dropped:
        grid.keep_days(0, grid.days - dropped)


def _find_incomplete_reason(grid: DayGrid, *, is_counted: bool) -> str:
    """Return the reason why the last day looks incomplete; empty if it looks complete."""
    if grid.grain is Grain.HOUR:
        last_hours = 23 - _find_used_hours(grid, is_counted=is_counted)[:, ::-1].argmax(axis=1)
        # Without events at night, the last hour of every day is before 23.
        usual = (
            int(np.quantile(last_hours[:-1], 0.1, method="lower")) if len(last_hours) > 1 else 23
        )
        if len(last_hours) and last_hours[-1] < usual:
            return f"its last hour is {int(last_hours[-1])}"
    first_counts = grid.daily[:-1, 0]
    same = first_counts[(grid.weekday[:-1] == grid.weekday[-1]) & grid.has_rows[:-1]]
    if len(same) >= 3:
        median = float(np.median(same))
        if median > 0 and grid.daily[-1, 0] < MIN_LAST_DAY_SHARE * median:
            share = grid.daily[-1, 0] / median
            return f"{share:.0%} of its weekday's median"
    return ""


def _find_used_hours(grid: DayGrid, *, is_counted: bool) -> npt.NDArray[np.bool_]:
    """Return which hours have rows, as a boolean array of shape (days with rows, hours)."""
    is_used = grid.counts > 0 if is_counted else grid.is_present
    has_rows = np.asarray(is_used.any(axis=2))
    return has_rows[has_rows.any(axis=1)]

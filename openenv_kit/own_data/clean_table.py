"""Reads and cleans a table: runs all checks in order and lists the changes that were made."""

from __future__ import annotations

from openenv_kit.own_data.calendar import list_public_holidays, read_calendar
from openenv_kit.own_data.check_days import (
    TableLimits,
    check_limits,
    find_day_status,
    find_level_shifts,
    has_impossible_hours,
    keep_recent_days,
)
from openenv_kit.own_data.cleaned_table import CleanedTable, TableDescription
from openenv_kit.own_data.column_roles import TableShape
from openenv_kit.own_data.drop_days import drop_first_day, drop_last_days
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.read_grid import read_grid
from openenv_kit.own_data.read_table import open_table
from openenv_kit.own_data.stage_counts import Grain, StageCounts
from openenv_kit.own_data.stage_names import name_stages

DEFAULT_LIMITS = TableLimits()


def load_table(options: ImportOptions, limits: TableLimits = DEFAULT_LIMITS) -> CleanedTable:
    """Read the table that the options select and return its cleaned counts.

    Args:
        options: the user's options.
        limits: limits for tables that the environment accepts.

    Raises:
        ModuleNotFoundError: DuckDB or holidays is not installed. The message contains the install
            command.
        TableRefused: the table cannot be used. The message contains the reason and the option that
            may help.
    """
    actions: list[str] = []
    calendar = read_calendar(options.calendar) if options.calendar is not None else ()
    with open_table(options) as source:
        read = read_grid(source, options, limits, actions)
    grid, stage_texts = read.grid, read.stage_texts
    is_counted = read.roles.shape.is_counted
    drop_first_day(grid, options, is_counted=is_counted, actions=actions)
    drop_last_days(
        grid,
        options,
        has_last_day=read.has_last_day,
        is_counted=is_counted,
        actions=actions,
    )
    status = find_day_status(grid, stage_texts, actions)
    is_impossible = has_impossible_hours(grid, status)
    if is_impossible:
        actions.append("impossible counts checked by day, because many hours have them")
    check_limits(grid, status, stage_texts[0], limits)
    warnings = find_level_shifts(grid, status, stage_texts)
    stages = name_stages(stage_texts, options.rename)
    first_day = grid.days
    keep_recent_days(grid, actions)
    status = status[first_day - grid.days :]
    last = grid.get_date(grid.days - 1)
    days_off = list_public_holidays(options.country, grid.start, last) if options.country else {}
    entries = tuple(entry for entry in calendar if grid.start <= entry.date <= last)
    holidays = days_off | {entry.date: entry.title for entry in entries}
    return CleanedTable(
        stage_counts=StageCounts(
            stages=stages,
            grain=grid.grain,
            start=grid.start,
            counts=grid.counts,
            day_status=tuple(status),
            holidays=dict(sorted(holidays.items())),
            has_impossible_hours=is_impossible,
        ),
        actions=tuple(actions),
        warnings=tuple(warnings),
        description=TableDescription(
            format=source.format,
            separator=source.separator,
            encoding=source.encoding,
            shape=describe_shape(read.roles.shape, grid.grain),
            notes=(*source.notes, *read.roles.notes, *read.notes),
        ),
        renamed_stages={
            name: text for name, text in zip(stages, stage_texts, strict=True) if name != text
        },
        calendar=entries,
    )


def describe_shape(shape: TableShape, grain: Grain) -> str:
    """Return the shape of a table as a phrase, such as `wide, one row an hour`."""
    span = "a day" if grain is Grain.DAY else "an hour"
    return {
        TableShape.WIDE: f"wide, one row {span}",
        TableShape.LONG: f"long, one row for each stage and {grain}",
        TableShape.PIVOTED: "pivoted, one column for each date",
        TableShape.EVENTS: f"event log, counted by {grain}",
        TableShape.CASES: f"one row per case, counted by {grain}",
    }[shape]

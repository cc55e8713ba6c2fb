"""Reads the counts of an opened table into a grid of days, hours and stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openenv_kit.own_data.check_days import (
    TableLimits,
    keep_selected_days,
    refuse_weekly_data,
    replace_running_totals,
)
from openenv_kit.own_data.choose_stages import list_stage_texts
from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.collect_counts import (
    collect_counts,
    convert_to_local_time,
    create_unique_rows,
    is_daily,
    merge_repeated_rows,
)
from openenv_kit.own_data.column_roles import ColumnRoles
from openenv_kit.own_data.count_text import format_count
from openenv_kit.own_data.day_grid import (
    DayGrid,
    build_day_grid,
    fill_closed_hours,
    fill_skipped_hours,
    fill_uncounted_hours,
)
from openenv_kit.own_data.decide_numbers import decide_number_reading
from openenv_kit.own_data.detect_shape import detect_shape
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.parse_dates import (
    count_rows_without_date,
    create_timed_rows,
    decide_date_format,
    declare_utc,
    refuse_missing_timezone,
)
from openenv_kit.own_data.read_table import TableSource
from openenv_kit.own_data.repeated_events import (
    describe_repeated_events,
    refuse_unsuitable_id_column,
)
from openenv_kit.own_data.table_views import create_dated_rows, create_stage_names


@dataclass(frozen=True)
class ParsedGrid:
    """The counts of a table before its days are checked.

    Attributes:
        grid: the counts.
        stage_texts: names of the stages as they are spelled in the table.
        roles: shape of the table and roles of its columns.
        has_last_day: whether the grid ends with the last day of the table.
        notes: assumptions that were made.
    """

    grid: DayGrid
    stage_texts: tuple[str, ...]
    roles: ColumnRoles
    has_last_day: bool
    notes: tuple[str, ...]


def read_grid(
    source: TableSource, options: ImportOptions, limits: TableLimits, actions: list[str]
) -> ParsedGrid:
    """Read the counts of a table and check its rows.

    Args:
        source: the table.
        options: the user's options.
        limits: limits for tables that the environment accepts.
        actions: list to which a line for each change is appended.

    Raises:
        TableRefused: the rows cannot be used.
    """
    roles = detect_shape(source, options)
    create_dated_rows(source, roles, options)
    dropped = count_rows_without_date(source)
    if dropped:
        actions.append(f"{format_count(dropped, 'row')} without a date, such as totals, dropped")
    stage_texts = list_stage_texts(source, roles, options, limits.max_stages)
    _check_stage_count(len(stage_texts), limits)
    create_stage_names(source, stage_texts)
    reading = decide_number_reading(source, roles, options, stage_texts, actions)
    date_format = decide_date_format(source, roles, options)
    if options.times_are_utc:
        date_format = declare_utc(date_format)
    refuse_missing_timezone(source, roles, options, date_format)
    create_timed_rows(source, roles, date_format)
    refuse_unsuitable_id_column(source, roles, options)
    duplicates = create_unique_rows(source, roles)
    if duplicates:
        actions.append(f"{format_count(duplicates, 'row')} with a repeated id left out")
    counts = collect_counts(source, roles, reading, stage_texts)
    daily = is_daily(counts, roles, date_format, options)
    notes = [note for note in (describe_repeated_events(source, roles),) if note]
    if date_format.has_time and not date_format.is_absolute and not daily:
        notes.append(
            "Times have no offset from UTC and were taken as local; if they are in UTC, pass "
            "--times-are-utc and --timezone."
        )
    values = counts.total
    if not roles.shape.is_counted:
        other_texts = tuple(source.columns[position] for position in roles.other_texts)
        values = merge_repeated_rows(source, counts, date_format, options, other_texts, actions)
    is_utc_date = daily and not (counts.moment.astype(np.int64) % 86_400).any()
    moments = counts.moment
    if not is_utc_date:
        moments = convert_to_local_time(moments, date_format, options)
    grid = build_day_grid(
        moments, counts.metric, values, stage_count=len(stage_texts), is_daily=daily
    )
    has_last_day = keep_selected_days(grid, options)
    refuse_weekly_data(grid)
    if roles.shape.is_counted:
        fill_uncounted_hours(grid)
    else:
        fill_skipped_hours(grid, options.timezone, actions)
        fill_closed_hours(grid, actions)
        replace_running_totals(grid, options, actions)
    ordered_texts = _order_stages(grid, stage_texts, roles, options)
    return ParsedGrid(grid, ordered_texts, roles, has_last_day, tuple(notes))


def _check_stage_count(count: int, limits: TableLimits) -> None:
    if not limits.min_stages <= count <= limits.max_stages:
        raise TableRefused(
            f"The table has {count} stages; allowed: {limits.min_stages} to {limits.max_stages}. "
            "List them in funnel order with --stages."
        )


def _order_stages(
    grid: DayGrid, stage_texts: tuple[str, ...], roles: ColumnRoles, options: ImportOptions
) -> tuple[str, ...]:
    """Sort the stages of the grid into funnel order and return their names in this order.

    Raises:
        TableRefused: the order cannot be derived from the counts.
    """
    if options.stages:
        return stage_texts
    totals = grid.counts.sum(axis=(0, 1))
    order = np.argsort(-totals, kind="stable")
    is_tied = len(np.unique(totals)) < len(totals)
    # Columns are usually in funnel order. If a later one has more events, the order is unclear.
    is_evident = (np.diff(totals) <= 0).all() if roles.metric is None else not is_tied
    if not is_evident:
        # Messages must not list texts of a column, which may be confidential, such as customers.
        largest_first = ",".join(stage_texts[stage] for stage in order)
        example = (
            f", such as --stages {largest_first}" if roles.metric is None else " with --stages"
        )
        raise TableRefused(
            f"The order of the stages is unclear; pass them in funnel order{example}."
        )
    if roles.metric is not None:
        grid.counts = grid.counts[:, :, order]
        grid.is_present = grid.is_present[:, :, order]
        return tuple(stage_texts[stage] for stage in order)
    return stage_texts

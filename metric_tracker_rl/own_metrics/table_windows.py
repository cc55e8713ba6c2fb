"""Selects complete windows of a user's table and makes episodes from past windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from metric_tracker_rl.engine.configuration.table_window_config import (
    LEVEL_BY_WEEKS,
    count_window_days,
)
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.episode.table_window import (
    TableWindow,
    create_table_window_episode,
)
from metric_tracker_rl.engine.generation.calendar import HOLIDAY, CalendarEntry
from metric_tracker_rl.products.product import DAYS_PER_WEEK, Product
from openenv_kit.errors import ConfigurationError, InvalidValueError, require_name
from openenv_kit.own_data.cleaned_table import CalendarEntry as UserCalendarEntry
from openenv_kit.own_data.stage_counts import DayStatus, StageCounts

DEFAULT_WEEKS = 4
USER_ENTRY = "event"
"""Kind of calendar entries that come from the user's own calendar."""


def require_same_funnel(table: StageCounts, product: Product) -> None:
    """Check that a table has the same stages and the same grain as a product.

    Raises:
        ConfigurationError: the stages or the grain differ.
    """
    if table.stages != product.stages:
        raise ConfigurationError(
            f"The table has the stages {', '.join(table.stages)}, the product {product.name!r} has "
            f"{', '.join(product.stages)}; pass --stages and --rename."
        )
    if table.grain != product.grain:
        raise ConfigurationError(
            f"The table has counts by {table.grain}, the product {product.name!r} by "
            f"{product.grain}; import the table again."
        )


def build_window(
    table: StageCounts,
    product: Product,
    start: date | None,
    weeks: int = DEFAULT_WEEKS,
    calendar: Sequence[UserCalendarEntry] = (),
) -> TableWindow:
    """Return a window of a table, with the calendar entries of its days.

    Args:
        table: cleaned counts.
        product: product with the same stages as the table.
        start: first day; None to use the last days of the table.
        weeks: number of weeks, 4 or 8.
        calendar: entries of the user's own calendar.

    Raises:
        InvalidValueError: the number of weeks is not allowed.
        ConfigurationError: the table's stages or grain differ from the product's, the table is too
            short, the window is outside the table, a day is missing, or the calendar contains an
            unknown series.
    """
    require_same_funnel(table, product)
    if weeks not in LEVEL_BY_WEEKS:
        raise InvalidValueError("--weeks", weeks, " or ".join(map(str, LEVEL_BY_WEEKS)))
    days = count_window_days(weeks)
    first_day = table.days - days if start is None else (start - table.start).days
    _require_complete_window(table, first_day, days)
    return _build_window_at(table, product, first_day, days, calendar)


def iter_past_episodes(
    table: StageCounts, product: Product, calendar: Sequence[UserCalendarEntry] = ()
) -> Iterator[FunnelEpisode]:
    """Generate an episode for each complete window of four weeks, starting with the most recent.

    The windows do not overlap. Windows with missing days are skipped.
    """
    days = count_window_days(DEFAULT_WEEKS)
    for first_day in range(table.days - days, -1, -days):
        if _is_complete(table, first_day, days):
            window = _build_window_at(table, product, first_day, days, calendar)
            yield create_table_window_episode(product, window)


def list_past_rows(episodes: Sequence[FunnelEpisode]) -> tuple[ReportRow, ...]:
    """Return the expected rows of several episodes, sorted by date."""
    rows = [row for episode in episodes for row in episode.expected_rows]
    return tuple(sorted(rows, key=lambda row: row.key))


def list_complete_window_starts(table: StageCounts, weeks: int) -> list[int]:
    """Return the index of each day that starts a window without missing days.

    The windows may overlap.
    """
    days = count_window_days(weeks)
    return [first for first in range(table.days - days + 1) if _is_complete(table, first, days)]


def _require_complete_window(table: StageCounts, first_day: int, days: int) -> None:
    """Check that a window is inside the table and has no missing day.

    Raises:
        ConfigurationError: the window is not complete. The message contains the nearest complete
            window.
    """
    if table.days < days:
        raise ConfigurationError(
            f"The table has {table.days} days, but the window needs {days}; pass a longer table."
        )
    if first_day >= 0 and first_day + days <= table.days and _is_complete(table, first_day, days):
        return
    last_start = table.get_date(table.days - days)
    if first_day < 0 or first_day + days > table.days:
        problem = (
            f"The window from {table.get_date(first_day)} is outside the table; allowed starts: "
            f"{table.start} to {last_start}."
        )
    else:
        missing = next(
            day
            for day in range(first_day, first_day + days)
            if table.day_status[day] == DayStatus.MISSING
        )
        problem = f"The window has no data for {table.get_date(missing)}."
    complete = list_complete_window_starts(table, days // DAYS_PER_WEEK)
    if not complete:
        raise ConfigurationError(f"{problem} No window of {days} days is complete.")
    nearest = min(complete, key=lambda first: abs(first - first_day))
    raise ConfigurationError(
        f"{problem} The nearest complete window starts with --start {table.get_date(nearest)}."
    )


def _is_complete(table: StageCounts, first_day: int, days: int) -> bool:
    return DayStatus.MISSING not in table.day_status[first_day : first_day + days]


def _build_window_at(
    table: StageCounts,
    product: Product,
    first_day: int,
    days: int,
    calendar: Sequence[UserCalendarEntry],
) -> TableWindow:
    start = table.get_date(first_day)
    return TableWindow(
        start=start,
        counts=table.counts[first_day : first_day + days],
        calendar=_list_calendar_entries(table, product, start, days, calendar),
    )


def _list_calendar_entries(
    table: StageCounts,
    product: Product,
    start: date,
    days: int,
    calendar: Sequence[UserCalendarEntry],
) -> tuple[CalendarEntry, ...]:
    """Return the calendar entries of a window, sorted by day.

    These are the user's own entries, and the public holidays on days without such an entry. A
    holiday explains the deviations of all series on its day. An entry of the user does the same
    if it names no series.
    """
    for entry in calendar:
        for name in entry.explains:
            require_name("series in --calendar", name, product.column_names)
    own_entries = [
        CalendarEntry(
            day=(entry.date - start).days,
            kind=USER_ENTRY,
            title=entry.title,
            explains=entry.explains or product.column_names,
        )
        for entry in calendar
        if 0 <= (entry.date - start).days < days
    ]
    own_days = {entry.day for entry in own_entries}
    holidays = [
        CalendarEntry(
            day=day,
            kind=HOLIDAY,
            title=table.holidays[start + timedelta(days=day)],
            explains=product.column_names,
        )
        for day in range(days)
        if start + timedelta(days=day) in table.holidays and day not in own_days
    ]
    return tuple(sorted((*own_entries, *holidays), key=lambda entry: entry.day))

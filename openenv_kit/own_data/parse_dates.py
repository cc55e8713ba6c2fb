"""Decides the date format of a table and parses the time of each row."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from openenv_kit.errors import truncated_repr
from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.column_roles import ColumnRoles, TableShape
from openenv_kit.own_data.date_formats import (
    DAY_FIRST,
    FIRST_YEAR,
    LAST_YEAR,
    DateFormat,
    build_moment_sql,
    find_date_format,
    has_no_day,
    parse_date_directives,
    quote_text,
)
from openenv_kit.own_data.locked_connection import fetch_row
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.read_table import TableSource
from openenv_kit.own_data.table_views import IS_DROPPED, list_role_columns

MAX_SHAPES = 500


class DateShape(NamedTuple):
    """A pattern of digits and letters in date cells, represented by its first occurrence.

    Attributes:
        row: number of the first row with the pattern.
        example: the date in that row.
    """

    row: int
    example: str


def count_rows_without_date(source: TableSource) -> int:
    """Return the number of rows without a date, including rows with a word such as `total` instead.

    Raises:
        TableRefused: no row has a date.
    """
    counted = fetch_row(
        source.connection, f"SELECT count(*), count(*) FILTER ({IS_DROPPED}) FROM dated_rows"
    )
    total, dropped = counted if counted is not None else (0, 0)
    if total == dropped:
        raise TableRefused(
            "The table has no rows with a date; check --where and --date-column."
            if total
            else "The table has no rows; check --where."
        )
    return int(dropped)


def decide_date_format(
    source: TableSource, roles: ColumnRoles, options: ImportOptions
) -> DateFormat:
    """Return the common format of all dates.

    Raises:
        TableRefused: a date has an unknown format or no day, the dates have different formats, or
            it is unclear in every row whether the day or the month comes first.
    """
    own_format = parse_date_directives(options.date_format) if options.date_format else None
    shapes = _list_date_shapes(source, own_format)
    first_by_format: dict[DateFormat, DateShape] = {}
    for shape in shapes:
        if own_format is not None:
            found = own_format if own_format.matches(shape.example) else None
        else:
            found = find_date_format(shape.example)
        if found is None:
            _refuse_date(source, roles, shape, own_format)
        else:
            first_by_format.setdefault(found, shape)
    if len(first_by_format) > 1:
        first, second = list(first_by_format.values())[:2]
        raise TableRefused(
            f"{_describe_place(source, roles, first)} and "
            f"{_describe_place(source, roles, second)}: dates in two formats, "
            f"{' and '.join(known.name for known in list(first_by_format)[:2])}; "
            "write one format, or select rows with --where."
        )
    date_format = next(iter(first_by_format))
    if own_format is None and date_format.name.startswith(DAY_FIRST):
        return _decide_order(source, roles, date_format)
    return date_format


def refuse_missing_timezone(
    source: TableSource, roles: ColumnRoles, options: ImportOptions, date_format: DateFormat
) -> None:
    """Raise an error if a table has UTC offsets or Unix times but `--timezone` was not passed.

    Raises:
        TableRefused: the time zone is missing.
    """
    if date_format.is_absolute and options.timezone is None:
        first = _find_first_date(source)
        what = "Unix times" if "u" in date_format.groups else "times with an offset from UTC"
        raise TableRefused(
            f"{_describe_place(source, roles, first)}: the table has {what}; pass --timezone, such "
            "as --timezone America/New_York, so that days begin at local midnight."
        )


def declare_utc(date_format: DateFormat) -> DateFormat:
    """Return a date format whose times without an offset are in UTC (`--times-are-utc`).

    Raises:
        TableRefused: the format has no time, so that days cannot be moved to another time zone.
    """
    if not date_format.has_time:
        raise TableRefused(
            f"--times-are-utc: the table has dates without times ({date_format.name}); omit the "
            "option, or export times."
        )
    return replace(date_format, is_utc=True)


def create_timed_rows(source: TableSource, roles: ColumnRoles, date_format: DateFormat) -> None:
    """Create the view `timed_rows`: the columns needed for counting, and the timestamp `moment`.

    Raises:
        TableRefused: a date does not exist, or its year is out of range.
    """
    columns = list_role_columns(roles)
    if roles.id is not None:
        columns.append(f"trim(c{roles.id}) AS id")
    moment = build_moment_sql(date_format, "date_text")
    source.connection.execute(
        f"CREATE TEMP VIEW timed_rows AS SELECT row, {moment} AS moment, date_text"
        f"{''.join(f', {column}' for column in columns)} FROM dated_rows WHERE NOT {IS_DROPPED}"
    )
    faulty = fetch_row(
        source.connection,
        "SELECT row, date_text FROM timed_rows WHERE moment IS NULL "
        f"OR year(moment) NOT BETWEEN {FIRST_YEAR} AND {LAST_YEAR} ORDER BY row LIMIT 1",
    )
    if faulty is not None:
        _refuse_date(source, roles, DateShape(*faulty), date_format)


def _find_first_date(source: TableSource) -> DateShape:
    rows = source.connection.execute(
        f"SELECT row, date_text FROM dated_rows WHERE NOT {IS_DROPPED} ORDER BY row LIMIT 1"
    ).fetchall()
    return DateShape(*rows[0])


def _list_date_shapes(source: TableSource, own_format: DateFormat | None) -> list[DateShape]:
    """Return the first date, and an example of each pattern that does not match its format."""
    first = _find_first_date(source)
    date_format = own_format or find_date_format(first.example)
    if date_format is None:
        return [first]
    # Matching a single format takes a tenth of the time of computing the pattern of each date.
    others = source.connection.execute(
        "SELECT min(row) AS first, arg_min(date_text, row) FROM (SELECT row, date_text, "
        "regexp_replace(regexp_replace(left(date_text, 60), '[0-9]', '9', 'g'), "
        f"'[A-Za-z]', 'a', 'g') AS shape FROM dated_rows WHERE NOT {IS_DROPPED} "
        f"AND NOT regexp_full_match(date_text, {quote_text(date_format.pattern)})) "
        f"GROUP BY shape ORDER BY first LIMIT {MAX_SHAPES}"
    ).fetchall()
    return [first, *(DateShape(*row) for row in others)]


def _decide_order(source: TableSource, roles: ColumnRoles, date_format: DateFormat) -> DateFormat:
    """Return the day-first or the month-first format, whichever fits all rows."""
    pattern = quote_text(r"^(\d{1,2})[-/.](\d{1,2})")
    found = fetch_row(
        source.connection,
        "SELECT max(first), arg_max(row, first), max(second), arg_max(row, second), min(row), "
        "arg_max(date_text, first), arg_max(date_text, second), arg_min(date_text, row) FROM ("
        f"SELECT row, date_text, TRY_CAST(regexp_extract(date_text, {pattern}, 1) AS INTEGER) AS "
        f"first, TRY_CAST(regexp_extract(date_text, {pattern}, 2) AS INTEGER) AS second "
        f"FROM dated_rows WHERE NOT {IS_DROPPED})",
    )
    assert found is not None
    max_first, first_row, max_second, second_row, row, first_text, second_text, text = found
    if max_first > 12 and max_second > 12:
        first, second = DateShape(first_row, first_text), DateShape(second_row, second_text)
        raise TableRefused(
            f"{_describe_place(source, roles, first)} and "
            f"{_describe_place(source, roles, second)}: the day comes first in one and the month "
            "in the other; write one format, or select rows with --where."
        )
    if max_first <= 12 and max_second <= 12:
        raise TableRefused(
            f"{_describe_place(source, roles, DateShape(row, text))}: {truncated_repr(text)} can "
            "start with the day or the month, as in every row; pass --date-format %d/%m/%Y or "
            "%m/%d/%Y with your separator."
        )
    return date_format if max_first > 12 else date_format.swap_day_and_month()


def _refuse_date(
    source: TableSource, roles: ColumnRoles, shape: DateShape, date_format: DateFormat | None
) -> None:
    place = f"{_describe_place(source, roles, shape)}: {truncated_repr(shape.example)}"
    if has_no_day(shape.example):
        raise TableRefused(f"{place} has no day; export one row per day or hour, with full dates.")
    if date_format is not None:
        raise TableRefused(
            f"{place} is not a date from {FIRST_YEAR} to {LAST_YEAR} in the format "
            f"{date_format.name}; correct the row, or pass --date-format."
        )
    raise TableRefused(
        f"{place} is not a date in a known format; pass --date-format, such as %d.%m.%Y, or "
        "--date-column."
    )


def _describe_place(source: TableSource, roles: ColumnRoles, shape: DateShape) -> str:
    # The dates of a pivoted table are in its header.
    return (
        source.header_place if roles.shape is TableShape.PIVOTED else source.describe_row(shape.row)
    )

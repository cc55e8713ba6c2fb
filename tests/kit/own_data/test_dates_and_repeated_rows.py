"""Conditions on dates, times and repeated rows, with the exact message of each refusal."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from kit.own_data.tables import (
    COUNTS,
    LINES,
    START,
    event_lines,
    funnel_counts,
    load,
    long_lines,
    refusal_message,
    replace_dates,
    wide_lines,
    with_line,
    write_lines,
)
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.check_days import TableLimits
from openenv_kit.own_data.clean_table import load_table
from openenv_kit.own_data.options import ColumnFilter, ImportOptions

# Dates


@pytest.mark.parametrize(
    "date_format",
    [
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%d.%m.%Y",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%Y%m%d",
        "%b %d, %Y",
        "%d %B %Y",
        "%A, %B %d, %Y",
        "%d-%b-%Y",
        "%Y-%m-%dT00:00:00",
        "%Y-%m-%d 00:00:00.000",
        "%m/%d/%Y 12:00 AM",
    ],
)
def test_each_date_format_is_read(date_format: str, path: Path) -> None:
    table = load(write_lines(path, replace_dates(date_format)))
    assert table.stage_counts.start == START
    assert np.array_equal(table.stage_counts.counts, COUNTS)


def test_given_date_format_is_used(path: Path) -> None:
    table = load(write_lines(path, replace_dates("%d.%m.%y")), date_format="%d.%m.%y")
    assert np.array_equal(table.stage_counts.counts, COUNTS)


def test_day_and_month_that_can_be_swapped_in_every_row_are_refused(path: Path) -> None:
    days = [START + timedelta(days=day) for day in range(400)]
    swappable = [day for day in days if day.day <= 12]
    lines = [f"{day.strftime('%d/%m/%Y')},50,30,10" for day in swappable]
    assert refusal_message(write_lines(path, [LINES[0], *lines])) == (
        "line 2: '01/01/2024' can start with the day or the month, as in every row; pass "
        "--date-format %d/%m/%Y or %m/%d/%Y with your separator."
    )


def test_day_first_in_one_row_and_month_first_in_another_are_refused(path: Path) -> None:
    lines = replace_dates("%d/%m/%Y")
    lines[5] = "02/25/2024,50,30,10"
    assert refusal_message(write_lines(path, lines)) == (
        "line 32 and line 6: the day comes first in one and the month in the other; write one "
        "format, or select rows with --where."
    )


def test_two_formats_in_one_column_are_refused(path: Path) -> None:
    write_lines(path, with_line(7, "06.01.2024,50,30,10"))
    assert refusal_message(path) == (
        "line 2 and line 7: dates in two formats, 2013-12-31 and 31/12/2013; write one format, or "
        "select rows with --where."
    )


def test_text_that_is_no_date_is_refused(path: Path) -> None:
    write_lines(path, with_line(7, "yesterday,50,30,10"))
    assert refusal_message(path) == (
        "line 7: 'yesterday' is not a date in a known format; pass --date-format, such as "
        "%d.%m.%Y, "
        "or --date-column."
    )


@pytest.mark.parametrize("text", ["2024-02-30", "2024-13-01", "0024-01-06", "9024-01-06"])
def test_date_that_does_not_exist_is_refused(text: str, path: Path) -> None:
    write_lines(path, with_line(7, f"{text},50,30,10"))
    assert refusal_message(path) == (
        f"line 7: '{text}' is not a date from 1970 to 2100 in the format 2013-12-31; correct the "
        "row, or pass --date-format."
    )


def test_date_without_a_day_is_refused(path: Path) -> None:
    lines = ["month,visits,orders", *(f'"{month}, 2023",500,70' for month in ("January", "March"))]
    assert refusal_message(write_lines(path, lines), date_column="month") == (
        "line 2: 'January, 2023' has no day; export one row per day or hour, with full dates."
    )


# Time zones


def hours_as(form: str, count: int = 98 * 24) -> list[str]:
    """An hourly table, its times in UTC and in another form."""
    counts = funnel_counts(hours=24)
    lines = ["time,visits,carts,orders"]
    for number in range(count):
        epoch = 1_704_067_200 + 3_600 * number
        text = (date(2024, 1, 1) + timedelta(days=number // 24)).isoformat()
        time = {
            "Z": f"{text}T{number % 24:02d}:00:00Z",
            "offset": f"{text} {number % 24:02d}:00:00+00:00",
            "unix": str(epoch),
            "unix ms": str(epoch * 1000),
        }[form]
        lines.append(",".join([time, *map(str, counts[number // 24, number % 24])]))
    return lines


@pytest.mark.parametrize(
    ("form", "what"),
    [
        ("Z", "times with an offset from UTC"),
        ("offset", "times with an offset from UTC"),
        ("unix", "Unix times"),
        ("unix ms", "Unix times"),
    ],
)
def test_absolute_times_need_a_time_zone(form: str, what: str, path: Path) -> None:
    write_lines(path, hours_as(form))
    assert refusal_message(path) == (
        f"line 2: the table has {what}; pass --timezone, such as --timezone America/New_York, so "
        "that days begin at local midnight."
    )
    table = load(path, timezone="Asia/Kolkata", from_date=START, keep_last=True)
    local = table.stage_counts.counts
    assert table.stage_counts.start == START
    # 18:30 UTC is midnight in India, so the hour from 18:00 UTC belongs to both days' ends.
    assert local[0, 5].tolist() == funnel_counts(hours=24)[0, 0].tolist()
    assert local[1, 0].tolist() == funnel_counts(hours=24)[0, 19].tolist()


@pytest.mark.parametrize(
    ("offset", "local_hour"), [("+00:00", 1), ("-05:00", 6), ("+05:00", 20), ("-0500", 6)]
)
def test_offset_from_utc_is_added(offset: str, local_hour: int, path: Path) -> None:
    rows = [f"2024-01-{day:02d} 00:10:00{offset},visit" for day in range(2, 32) for _ in "123"]
    rows += [f"2024-01-{day:02d} 00:20:00{offset},order" for day in range(2, 32)]
    options = ImportOptions(
        table=write_lines(path, ["time,event", *rows]),
        timezone="Europe/Berlin",
        stages=("visit", "order"),
        keep_last=True,
    )
    counts = load_table(options, TableLimits(min_days=20, min_daily_median=1)).stage_counts.counts
    assert counts[2:-2, local_hour, 0].tolist() == [3] * (len(counts) - 4)


def test_times_without_an_offset_are_taken_as_local_and_noted(path: Path) -> None:
    table = load(write_lines(path, wide_lines(funnel_counts(hours=24))))
    assert table.description.notes == (
        "Times have no offset from UTC and were taken as local; if they are in UTC, pass "
        "--times-are-utc and --timezone.",
    )


# Repeated rows


def test_rows_with_a_repeated_id_are_kept_once(path: Path) -> None:
    rows = [f"{line},{number}" for number, line in enumerate(LINES[1:])]
    table = load(write_lines(path, [LINES[0] + ",row_id", *rows, rows[4]]), id_column="row_id")
    assert np.array_equal(table.stage_counts.counts, COUNTS)
    assert table.actions == ("1 row with a repeated id left out",)


def test_repeated_rows_with_equal_counts_are_kept_once(path: Path) -> None:
    table = load(write_lines(path, [*LINES, LINES[5]]))
    assert np.array_equal(table.stage_counts.counts, COUNTS)
    assert table.actions == ("3 repeated counts with equal values left out",)


def with_countries() -> list[str]:
    """The table for two countries."""
    rows = [f"{line},DE" for line in LINES[1:]]
    return [
        LINES[0] + ",country",
        *rows,
        *(f"{line.replace(',', ',1', 1)},FR" for line in LINES[1:]),
    ]


def test_repeated_rows_with_different_counts_are_refused(path: Path) -> None:
    assert refusal_message(write_lines(path, with_countries())) == (
        "line 100: 2024-01-01 has 2 rows with 2 different counts; pass --where country=VALUE to "
        "select one (text columns: country), or --sum to add them up."
    )


def test_where_selects_rows(path: Path) -> None:
    table = load(write_lines(path, with_countries()), where=(ColumnFilter("country", "DE"),))
    assert np.array_equal(table.stage_counts.counts, COUNTS)


def test_sum_adds_the_rows_of_a_date(path: Path) -> None:
    table = load(write_lines(path, with_countries()), sum_rows=True)
    assert np.array_equal(table.stage_counts.counts[:, :, 1:], COUNTS[:, :, 1:] * 2)
    assert table.actions[0] == "294 counts added to another of the same date"


def test_line_of_a_selected_row_is_that_of_the_file(path: Path) -> None:
    write_lines(path, [*with_countries(), "yesterday,5,5,5,DE"])
    message = refusal_message(path, where=(ColumnFilter("country", "DE"),))
    assert message.startswith("line 198: 'yesterday' is not a date")


def test_where_with_an_unknown_column_is_refused(path: Path) -> None:
    message = refusal_message(write_lines(path, LINES), where=(ColumnFilter("land", "DE"),))
    assert message == (
        "--where land: no column has this name. Columns: date, visits, carts, orders."
    )


def test_weekly_data_is_refused(path: Path) -> None:
    rows = [f"{START + timedelta(days=7 * week)},50,30,10" for week in range(90)]
    assert refusal_message(write_lines(path, [LINES[0], *rows])) == (
        "The data is weekly: 7 days lie between rows, for example after 2024-01-01; export one row "
        "per day or hour."
    )


def test_running_totals_are_refused_without_the_option(path: Path) -> None:
    write_lines(path, wide_lines(COUNTS.cumsum(axis=0)))
    assert refusal_message(path) == (
        "Each count is at least as high as the one before it, in all stages; if they are totals "
        "since the start, pass --running-total."
    )
    table = load(path, running_total=True)
    assert np.array_equal(table.stage_counts.counts, COUNTS[1:])
    assert table.actions == ("running totals replaced by 97 differences; the first row has none",)


def test_falling_running_total_is_refused(path: Path) -> None:
    assert refusal_message(write_lines(path, LINES), running_total=True).endswith(
        "a running total decreases; omit --running-total, or select days with --from."
    )


def test_long_table_with_different_counts_of_a_stage_is_refused(path: Path) -> None:
    lines = long_lines(COUNTS)
    assert refusal_message(write_lines(path, [*lines, "2024-01-02,carts,99"])) == (
        "line 296: 2024-01-02 has 2 rows with 2 different counts; pass --where COLUMN=VALUE to "
        "select one, or --sum to add them up."
    )


def test_times_without_an_offset_can_be_declared_utc(path: Path) -> None:
    counts = funnel_counts(86, hours=24, visits=4)
    lines = event_lines(counts)
    with_offset = [lines[0], *(line.replace(",", "Z,", 1) for line in lines[1:])]
    expected = load(write_lines(path, with_offset), timezone="America/New_York")
    table = load(write_lines(path, lines), timezone="America/New_York", times_are_utc=True)
    assert table.stage_counts.start == expected.stage_counts.start == START
    assert np.array_equal(table.stage_counts.counts, expected.stage_counts.counts)
    assert np.array_equal(table.stage_counts.counts[0, 0], counts[0, 5])
    assert table.description.notes == ()


def test_dates_without_times_cannot_be_declared_utc(path: Path) -> None:
    message = refusal_message(
        write_lines(path, wide_lines(funnel_counts())), timezone="Asia/Kolkata", times_are_utc=True
    )
    assert "--times-are-utc: the table has dates without times" in message


def test_utc_times_need_a_timezone(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--times-are-utc needs --timezone"):
        load(path, times_are_utc=True)

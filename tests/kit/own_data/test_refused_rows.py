"""Conditions on the rows of a table: what is dropped, and the exact message of each refusal."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from kit.own_data.tables import (
    START,
    funnel_counts,
    load,
    long_lines,
    refusal_message,
    wide_lines,
    write_lines,
)
from openenv_kit.own_data.options import ColumnFilter

COUNTS = funnel_counts()
LINES = wide_lines(COUNTS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.csv"


def with_line(number: int, text: str) -> list[str]:
    """The table with another text in a line, counted from 1."""
    return [*LINES[: number - 1], text, *LINES[number:]]


def replace_dates(date_format: str) -> list[str]:
    """The table with its dates in another format."""
    dates = [(START + timedelta(days=day)).strftime(date_format) for day in range(len(LINES) - 1)]
    rows = [line.partition(",")[2] for line in LINES[1:]]
    return [LINES[0], *(f'"{day}",{row}' for day, row in zip(dates, rows, strict=True))]


# Text and fields


def test_undecodable_text_is_refused(path: Path) -> None:
    path.write_bytes(("\n".join(LINES) + "\n").encode().replace(b"01-05", b"01\xff05"))
    assert refusal_message(path, encoding="utf-8") == (
        "line 6: bytes that are not UTF-8; pass --encoding, such as latin-1."
    )


def test_nul_byte_is_refused(path: Path) -> None:
    write_lines(path, with_line(7, "2024-01-06,50,\x0030,10"))
    assert refusal_message(path) == (
        "line 7: a NUL byte, which text does not contain; export the table again or pass "
        "--encoding."
    )


def test_unclosed_quote_is_refused(path: Path) -> None:
    write_lines(path, with_line(7, '2024-01-06,"50,30,10'))
    assert refusal_message(path) == "line 7: a quote that is not closed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2024-01-06,50,30,10,5", "line 7: 5 fields, the header has 4"),
        ("2024-01-06,50", "line 7: 2 fields, the header has 4"),
        ("2024-01-06", "line 7: 1 field, the header has 4"),
    ],
)
def test_wrong_number_of_fields_is_refused(text: str, message: str, path: Path) -> None:
    assert refusal_message(write_lines(path, with_line(7, text))) == message


def test_lines_are_counted_with_line_breaks_in_quotes_and_skipped_lines(path: Path) -> None:
    lines = ["# export", "", *LINES[:3], '2024-01-03,"50",30,"1\n\n0"', *LINES[4:]]
    message = refusal_message(write_lines(path, [*lines[:8], "1,2", *lines[8:]]))
    assert message == "line 11: 2 fields, the header has 4"


def test_blank_and_comment_lines_before_the_header_are_skipped(path: Path) -> None:
    table = load(write_lines(path, ["", "# weekly export", " ", *LINES]))
    assert np.array_equal(table.stage_counts.counts, COUNTS)
    assert table.description.notes == ("3 blank or comment lines before the header were skipped.",)


def test_line_breaks_in_quotes_are_kept(path: Path) -> None:
    lines = [f'{line},"a\nb"' for line in LINES[1:]]
    table = load(write_lines(path, [LINES[0] + ",comment", *lines]))
    assert np.array_equal(table.stage_counts.counts, COUNTS)


def test_percent_and_unnamed_columns_are_ignored(path: Path) -> None:
    lines = [f"{number},{line},50%,4" for number, line in enumerate(LINES[1:])]
    table = load(write_lines(path, [f",{LINES[0]},rate,carts %", *lines]))
    assert table.stage_counts.stages == ("visits", "carts", "orders")
    assert np.array_equal(table.stage_counts.counts, COUNTS)
    assert table.description.notes == ("Ignored columns: rate, carts %.",)


@pytest.mark.parametrize("text", ["", "total", "SUM", "Summe", "(not set)", "Grand Total"])
def test_row_without_a_date_is_dropped(text: str, path: Path) -> None:
    table = load(write_lines(path, [*LINES, f"{text},4000,2000,1000"]))
    assert np.array_equal(table.stage_counts.counts, COUNTS)
    assert table.actions == ("1 rows without a date, such as totals, were dropped",)


def test_table_of_totals_only_is_refused(path: Path) -> None:
    message = refusal_message(write_lines(path, [LINES[0], "total,4,2,1"]), date_column="date")
    assert message == "The table has no rows with a date; check --where and --date-column."


# Numbers


def format_counts(thousands: str, factor: int) -> list[str]:
    """A wide table separated by semicolons, its counts times a factor and with thousands marks."""
    rows = [line.split(",") for line in LINES[1:]]
    return [
        LINES[0].replace(",", ";"),
        *(
            ";".join(
                [row[0], *(f"{int(cell) * factor:,}".replace(",", thousands) for cell in row[1:])]
            )
            for row in rows
        ),
    ]


@pytest.mark.parametrize("mark", [".", ","])
def test_number_with_two_readings_in_every_row_is_refused(mark: str, path: Path) -> None:
    lines = format_counts(mark, 111)
    first = lines[1].split(";")[1]
    rows = [lines[0], *(";".join(line.split(";")[:3]) for line in lines[1:])]
    rows[0] = "date;visits;carts"
    assert refusal_message(write_lines(path, rows)) == (
        f"line 2: '{first}' can be a count in thousands or a decimal, as in every row; pass "
        f"--thousands {mark} or --decimal {mark}."
    )


def test_thousands_mark_of_the_user_is_used(path: Path) -> None:
    rows = [";".join(line.split(";")[:3]) for line in format_counts(".", 111)]
    table = load(write_lines(path, rows), thousands=".")
    assert np.array_equal(table.stage_counts.counts, COUNTS[:, :, :2] * 111)


def test_only_reading_with_whole_numbers_is_taken_and_reported(path: Path) -> None:
    table = load(write_lines(path, format_counts(".", 37)))
    assert np.array_equal(table.stage_counts.counts, COUNTS * 37)
    assert table.actions == (
        "numbers: . as thousands mark, because only so all of them are whole numbers",
    )


@pytest.mark.parametrize("mark", [" ", "'", "\u00a0", "\u202f", "’"])
def test_thousands_marks_without_another_reading_are_read(mark: str, path: Path) -> None:
    table = load(write_lines(path, format_counts(mark, 5_000)))
    assert np.array_equal(table.stage_counts.counts, COUNTS * 5_000)
    assert table.actions == ()


def append_to_counts(lines: list[str], separator: str, ending: str) -> list[str]:
    """The table with a text after each count."""
    rows = [line.split(separator) for line in lines[1:]]
    changed = [separator.join([row[0], *(cell + ending for cell in row[1:])]) for row in rows]
    return [lines[0], *changed]


def test_zero_decimals_are_whole_numbers(path: Path) -> None:
    write_lines(path, append_to_counts(LINES, ",", ".0"))
    assert np.array_equal(load(path).stage_counts.counts, COUNTS)


def test_decimal_comma_beside_a_thousands_point_is_read(path: Path) -> None:
    write_lines(path, append_to_counts(format_counts(".", 5_000), ";", ",00"))
    assert np.array_equal(load(path).stage_counts.counts, COUNTS * 5_000)


@pytest.mark.parametrize("cell", ["30.5", "-3", "(30)", "abc", "3e1", "12%", "1_0"])
def test_cell_that_is_no_count_is_refused(cell: str, path: Path) -> None:
    write_lines(path, with_line(7, f"2024-01-06,50,{cell},10"))
    assert refusal_message(path, stages=("visits", "carts", "orders")) == (
        f"line 7: '{cell}' in carts: the import needs counts, whole numbers of at least 0; choose "
        "other columns with --stages or --value-column."
    )


def test_table_of_rates_is_refused(path: Path) -> None:
    lines = [f"{line.partition(',')[0]},0.{number:02d},0.3" for number, line in enumerate(LINES)]
    assert refusal_message(write_lines(path, ["date,cart_rate,order_rate", *lines[1:]])) == (
        "The table needs counts of at least two stages; 0 columns have whole numbers, the others "
        "have rates, decimals or text. Columns: cart_rate, order_rate."
    )


def test_number_with_too_many_digits_is_refused(path: Path) -> None:
    write_lines(path, with_line(7, "2024-01-06,12345678901234567890,30,10"))
    assert refusal_message(path) == (
        "line 7: '12345678901234567890' in visits is above 1,000,000,000,000; is the column an "
        "identifier?"
    )


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
        "line 7: 'yesterday' is no date in a known format; pass --date-format, such as %d.%m.%Y, "
        "or --date-column."
    )


@pytest.mark.parametrize("text", ["2024-02-30", "2024-13-01", "0024-01-06", "9024-01-06"])
def test_date_that_does_not_exist_is_refused(text: str, path: Path) -> None:
    write_lines(path, with_line(7, f"{text},50,30,10"))
    assert refusal_message(path) == (
        f"line 7: '{text}' is no date from 1970 to 2100 in the format 2013-12-31; correct the "
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
        f"line 2: {what}; pass --timezone, such as --timezone America/New_York, so that days begin "
        "at local midnight."
    )
    table = load(path, timezone="Asia/Kolkata", keep_last=True)
    local = table.stage_counts.counts
    assert table.stage_counts.start == START
    # 18:30 UTC is midnight in India, so the hour from 18:00 UTC belongs to both days' ends.
    assert local[0, 5].tolist() == funnel_counts(hours=24)[0, 0].tolist()
    assert local[1, 0].tolist() == funnel_counts(hours=24)[0, 19].tolist()


def test_times_without_an_offset_are_taken_as_local_and_noted(path: Path) -> None:
    table = load(write_lines(path, wide_lines(funnel_counts(hours=24))))
    assert table.description.notes == ("Times have no offset from UTC and were taken as local.",)


# Repeated rows


def test_rows_with_a_repeated_id_are_kept_once(path: Path) -> None:
    rows = [f"{line},{number}" for number, line in enumerate(LINES[1:])]
    table = load(write_lines(path, [LINES[0] + ",row_id", *rows, rows[4]]), id_column="row_id")
    assert np.array_equal(table.stage_counts.counts, COUNTS)
    assert table.actions == ("1 rows with a repeated id were left out",)


def test_repeated_rows_with_equal_counts_are_kept_once(path: Path) -> None:
    table = load(write_lines(path, [*LINES, LINES[5]]))
    assert np.array_equal(table.stage_counts.counts, COUNTS)
    assert table.actions == ("3 repeated counts with equal values were left out",)


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
    assert table.actions[0] == "294 counts were added to others of the same date"


def test_where_with_an_unknown_column_is_refused(path: Path) -> None:
    message = refusal_message(write_lines(path, LINES), where=(ColumnFilter("land", "DE"),))
    assert message == (
        "--where land: no column has this name. Columns: date, visits, carts, orders."
    )


def test_weekly_data_is_refused(path: Path) -> None:
    rows = [f"{START + timedelta(days=7 * week)},50,30,10" for week in range(90)]
    assert refusal_message(write_lines(path, [LINES[0], *rows])) == (
        "7 days lie between rows, such as 2024-01-01 and 2024-01-08: weekly data; export one row "
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
    assert table.actions == ("97 differences of running totals were taken; the first has none",)


def test_falling_running_total_is_refused(path: Path) -> None:
    assert refusal_message(write_lines(path, LINES), running_total=True).endswith(
        "a running total falls; leave out --running-total, or select days with --from."
    )


def test_long_table_with_different_counts_of_a_stage_is_refused(path: Path) -> None:
    lines = long_lines(COUNTS)
    assert refusal_message(write_lines(path, [*lines, "2024-01-02,carts,99"])) == (
        "line 296: 2024-01-02 has 2 rows with 2 different counts; pass --where COLUMN=VALUE to "
        "select one, or --sum to add them up."
    )

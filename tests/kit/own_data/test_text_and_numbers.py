"""Conditions on the rows of a table: what is dropped, and the exact message of each refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kit.own_data.tables import (
    COUNTS,
    LINES,
    load,
    refusal_message,
    with_line,
    write_lines,
)

# Text and fields


def test_undecodable_text_is_refused(path: Path) -> None:
    path.write_bytes(("\n".join(LINES) + "\n").encode().replace(b"01-05", b"01\xff05"))
    assert refusal_message(path, encoding="utf-8") == (
        "line 6: bytes that are not UTF-8; pass --encoding, such as latin-1."
    )


def test_nul_byte_is_refused(path: Path) -> None:
    write_lines(path, with_line(7, "2024-01-06,50,\x0030,10"))
    assert refusal_message(path) == (
        "line 7: a NUL byte, which is not allowed in text; export the table again or pass "
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
    assert table.description.notes == ("3 blank or comment lines before the header skipped.",)


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
    assert table.actions == ("1 row without a date, such as totals, dropped",)


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
        f"line 2: '{first}' can have a thousands mark or a decimal mark, as in every row; pass "
        f"--thousands {mark} or --decimal {mark} to choose."
    )


def test_thousands_that_can_be_zero_decimals_are_refused(path: Path) -> None:
    rows = [f"{line[:10]};5.000;4.000;{number % 3 + 1}" for number, line in enumerate(LINES[1:])]
    assert refusal_message(write_lines(path, ["date;visits;carts;orders", *rows])) == (
        "line 2: '5.000' can have a thousands mark or a decimal mark, as in every row; pass "
        "--thousands . or --decimal . to choose."
    )


def test_number_is_a_decimal_if_other_thousands_have_no_mark(path: Path) -> None:
    rows = [f"{line[:10]};4909;4100;1000" for line in LINES[1:]]
    rows[8] = f"{rows[8][:10]};4.909;4100;1000"
    assert refusal_message(write_lines(path, ["date;visits;carts;orders", *rows])).startswith(
        "line 10: '4.909' in visits is not a count"
    )


def test_thousands_mark_of_the_user_is_used(path: Path) -> None:
    rows = [";".join(line.split(";")[:3]) for line in format_counts(".", 111)]
    table = load(write_lines(path, rows), thousands=".")
    assert np.array_equal(table.stage_counts.counts, COUNTS[:, :, :2] * 111)


def test_only_reading_with_whole_numbers_is_taken_and_reported(path: Path) -> None:
    table = load(write_lines(path, format_counts(".", 37)))
    assert np.array_equal(table.stage_counts.counts, COUNTS * 37)
    assert table.actions == (
        "numbers read with . as thousands mark: the only reading with whole numbers throughout",
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
        f"line 7: '{cell}' in carts is not a count; counts are whole numbers of at least 0. Choose "
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

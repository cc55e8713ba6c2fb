"""Conditions on the days of a table: what is set aside or dropped, and when it is refused."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from kit.own_data.tables import (
    COUNTS,
    HOURLY,
    LINES,
    START,
    day_text,
    event_lines,
    funnel_counts,
    hourly_lines_without,
    load,
    refusal_message,
    wide_lines,
    without_days,
    write_lines,
)
from openenv_kit.own_data.stage_counts import DayStatus

# Clock changes


def year_of_hours(timezone: str) -> list[str]:
    """Local hours of 2024 as a clock shows them: one is skipped and one occurs twice."""
    lines = ["time,visits,orders"]
    import zoneinfo
    from datetime import UTC, datetime

    moment = datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo(timezone)).astimezone(UTC)
    while True:
        local = moment.astimezone(zoneinfo.ZoneInfo(timezone))
        if local.year > 2024:
            return lines
        lines.append(f"{local:%Y-%m-%d %H:%M},{50 + moment.hour},{10 + moment.day}")
        moment += timedelta(hours=1)


@pytest.mark.parametrize("timezone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("is_given", [True, False])
def test_days_of_23_and_25_hours_are_accepted(timezone: str, is_given: bool, path: Path) -> None:
    options = {"timezone": timezone} if is_given else {}
    table = load(write_lines(path, year_of_hours(timezone)), **options)
    assert set(table.stage_counts.day_status) == {DayStatus.COUNTED}
    assert table.actions == (
        "both rows of a repeated hour added on 1 day",
        "1 day of 23 hours accepted",
    )
    skipped, repeated, hour = {
        "Europe/Berlin": (date(2024, 3, 31), date(2024, 10, 27), 2),
        "America/New_York": (date(2024, 3, 10), date(2024, 11, 3), 1),
    }[timezone]
    counts = table.stage_counts.counts
    assert counts[(skipped - date(2024, 1, 1)).days, 2].tolist() == [0, 0]
    assert 100 < counts[(repeated - date(2024, 1, 1)).days, hour, 0] < 150


def test_rows_repeated_outside_the_clock_change_are_refused(path: Path) -> None:
    lines = year_of_hours("Europe/Berlin")
    message = refusal_message(
        write_lines(path, [*lines, "2024-10-27 03:00,99,9"]), timezone="Europe/Berlin"
    )
    assert message.startswith("line 8786: 2024-10-27 03:00:00 has 2 rows with 2 different counts")


def test_two_repeated_hours_in_a_year_without_a_time_zone_are_refused(path: Path) -> None:
    lines = [*year_of_hours("Europe/Berlin"), "2024-06-05 02:00,99,9"]
    assert refusal_message(write_lines(path, lines)).startswith(
        "line 8786: 2024-06-05 02:00:00 has 2 rows with 2 different counts"
    )


def test_two_skipped_hours_in_a_year_without_a_time_zone_are_missing(path: Path) -> None:
    lines = hourly_lines_without("2024-01-11 02:00", "2024-01-21 02:00")
    status = load(write_lines(path, lines)).stage_counts.day_status
    assert (status[10], status[20]) == (DayStatus.MISSING, DayStatus.MISSING)


def test_times_with_an_offset_are_counted_in_local_hours(path: Path) -> None:
    lines = ["time,visits,orders"]
    for hour in range(24 * 300):
        day = START + timedelta(days=hour // 24)
        lines.append(f"{day} {hour % 24:02d}:00:00Z,50,{10 + hour % 3}")
    table = load(write_lines(path, lines), timezone="Europe/Berlin", from_date=date(2024, 1, 2))
    visits = table.stage_counts.daily_counts[:, 0].tolist()
    # 31 March 2024 has 23 hours there, the last of the 50 was skipped.
    assert visits[(date(2024, 3, 31) - date(2024, 1, 2)).days] == 23 * 50
    assert visits.count(24 * 50) == len(visits) - 1


# The last day


def test_last_day_without_its_last_hours_is_dropped(path: Path) -> None:
    lines = wide_lines(HOURLY)[:-3]
    table = load(write_lines(path, lines))
    assert table.stage_counts.days == 97
    assert table.actions == (
        "1 incomplete last day dropped (2024-04-07: its last hour is 20); --keep-last keeps it",
    )


def test_keep_last_keeps_an_incomplete_day(path: Path) -> None:
    table = load(write_lines(path, wide_lines(HOURLY)[:-3]), keep_last=True)
    assert table.stage_counts.days == 98
    assert table.stage_counts.day_status[-1] is DayStatus.MISSING


def test_last_day_with_less_than_60_percent_of_its_weekday_is_dropped(path: Path) -> None:
    table = load(write_lines(path, [*LINES[:-1], f"{day_text(97)},20,10,5"]))
    assert table.stage_counts.days == 97
    median = np.median(COUNTS[6:97:7, 0, 0])
    assert table.actions == (
        f"1 incomplete last day dropped (2024-04-07: {20 / median:.0%} of its weekday's "
        "median); --keep-last keeps it",
    )


def test_last_day_of_a_log_that_always_ends_early_is_kept(path: Path) -> None:
    counts = funnel_counts(84, hours=24, visits=4)
    counts[:, 20:] = 0
    table = load(write_lines(path, event_lines(counts)))
    assert np.array_equal(table.stage_counts.counts, counts)
    assert table.actions == ()


def test_late_days_are_dropped(path: Path) -> None:
    table = load(write_lines(path, LINES), late_days=3)
    assert np.array_equal(table.stage_counts.counts, COUNTS[:-3])
    assert table.actions == ("3 late days dropped",)


def test_from_and_until_select_days(path: Path) -> None:
    table = load(write_lines(path, LINES), from_date=date(2024, 1, 4), until_date=date(2024, 4, 1))
    assert np.array_equal(table.stage_counts.counts, COUNTS[3:92])
    assert table.stage_counts.start == date(2024, 1, 4)


def test_last_day_before_until_is_not_judged(path: Path) -> None:
    lines = [*LINES[:-1], f"{day_text(97)},20,10,5", f"{day_text(98)},50,30,10"]
    assert load(write_lines(path, lines), until_date=date(2024, 4, 7)).stage_counts.days == 98


def test_from_or_until_outside_the_table_is_refused(path: Path) -> None:
    write_lines(path, LINES)
    assert refusal_message(path, from_date=date(2025, 1, 1)) == (
        "No day is left: the table ends on 2024-04-07; change --from."
    )
    assert refusal_message(path, until_date=date(2023, 1, 1)) == (
        "No day is left: the table starts on 2024-01-01; change --until."
    )


# Closed, missing and empty days


@pytest.mark.parametrize("is_absent", [True, False])
def test_weekday_without_business_is_closed(is_absent: bool, path: Path) -> None:
    counts = COUNTS.copy()
    counts[6::7] = 0
    lines = wide_lines(counts)
    if is_absent:
        lines = [line for line in lines if not line.endswith(",0,0,0")]
        lines.append(f"{day_text(97)},50,30,10")  # One of 14 Sundays was open.
    table = load(write_lines(path, lines))
    status = np.array(table.stage_counts.day_status)
    assert set(status[6::7]) == {DayStatus.CLOSED}
    assert (status == DayStatus.COUNTED).sum() == 84
    assert table.actions == ("Sunday is closed: 14 days ignored",)


def test_missing_days_are_set_aside(path: Path) -> None:
    table = load(write_lines(path, without_days(10, 40)))
    status = table.stage_counts.day_status
    assert [day for day, of_day in enumerate(status) if of_day is DayStatus.MISSING] == [10, 40]
    assert table.actions == ("2 days without rows or with missing hours set aside",)


def test_day_with_a_missing_hour_is_set_aside(path: Path) -> None:
    table = load(write_lines(path, hourly_lines_without("2024-01-11 15:00")))
    assert table.stage_counts.day_status[10] is DayStatus.MISSING
    assert table.actions == ("1 day without rows or with missing hours set aside",)


def test_day_with_an_empty_cell_is_set_aside(path: Path) -> None:
    lines = [*LINES[:11], f"{day_text(10)},50,,10", *LINES[12:]]
    assert load(write_lines(path, lines)).stage_counts.day_status[10] is DayStatus.MISSING


def test_more_than_5_percent_of_missing_days_are_refused(path: Path) -> None:
    assert refusal_message(write_lines(path, without_days(3, 10, 20, 40, 50))) == (
        "5 of 98 days have no rows or lack hours or stages, the first on 2024-01-04; allowed are "
        "5%. "
        "Select complete days with --from and --until."
    )


def test_hours_that_almost_no_day_has_are_counted_as_zero(path: Path) -> None:
    lines = [line for line in wide_lines(HOURLY) if not "00:00" <= line[11:16] < "05:00"]
    table = load(write_lines(path, [lines[0], *lines[1:]]))
    assert np.array_equal(table.stage_counts.counts[:, 5:], HOURLY[:, 5:])
    assert not table.stage_counts.counts[:, :5].any()
    assert table.actions == (
        "5 hours of the day without rows on most days counted as zero: 0, 1, 2, 3, 4",
    )


def test_day_of_zeros_is_an_outage(path: Path) -> None:
    lines = [*LINES[:11], f"{day_text(10)},0,0,0", *LINES[12:]]
    table = load(write_lines(path, lines))
    assert table.stage_counts.day_status[10] is DayStatus.OUTAGE
    assert table.actions == ("1 day of zeros set aside as outages",)


def test_table_of_zeros_is_refused(path: Path) -> None:
    message = refusal_message(write_lines(path, wide_lines(COUNTS * 0)))
    assert message == "All counts are zero; check --stages and --where."


# Impossible counts


def test_impossible_hours_are_noted_if_days_are_possible(path: Path) -> None:
    counts = HOURLY.copy()
    counts[::3, 12, 1] = counts[::3, 12, 0] + 1
    table = load(write_lines(path, wide_lines(counts)))
    assert table.stage_counts.has_impossible_hours
    assert set(table.stage_counts.day_status) == {DayStatus.COUNTED}
    assert table.actions == ("impossible counts checked by day, because many hours have them",)


def test_few_impossible_hours_are_not_noted(path: Path) -> None:
    counts = HOURLY.copy()
    counts[::6, 12, 1] = counts[::6, 12, 0] + 1
    assert not load(write_lines(path, wide_lines(counts))).stage_counts.has_impossible_hours


def test_few_impossible_days_are_set_aside(path: Path) -> None:
    counts = COUNTS.copy()
    counts[10, 0, 2] = counts[10, 0, 1] + 1
    table = load(write_lines(path, wide_lines(counts)))
    assert table.stage_counts.day_status[10] is DayStatus.IMPOSSIBLE
    assert table.actions == (
        "1 day with impossible counts set aside (orders > carts on 1 of 98 days)",
    )


def test_more_than_2_percent_of_impossible_days_are_refused(path: Path) -> None:
    counts = COUNTS.copy()
    counts[::30, 0, 2] = counts[::30, 0, 1] + 1
    assert refusal_message(write_lines(path, wide_lines(counts))) == (
        "orders > carts on 4 of 98 days, so the stages are no funnel; change their order in "
        "--stages or omit one."
    )


# The first day


def test_first_day_without_its_first_hours_is_dropped(path: Path) -> None:
    lines = wide_lines(HOURLY)
    path = write_lines(path, [lines[0], *lines[4:]])
    table = load(path)
    assert table.actions == (
        "1 incomplete first day dropped (2024-01-01: its first hour is 3); "
        "--from 2024-01-01 keeps it",
    )
    assert table.stage_counts.start == START + timedelta(days=1)
    assert load(path, from_date=START).stage_counts.start == START


def test_first_day_of_events_without_nights_is_kept(path: Path) -> None:
    counts = funnel_counts(98, hours=24, visits=4)
    counts[:, :6] = 0
    table = load(write_lines(path, event_lines(counts)))
    assert table.stage_counts.start == START
    assert table.actions == ()

"""Conditions on the days of a table: what is set aside or dropped, and when it is refused."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from kit.own_data.tables import (
    START,
    case_lines,
    day_text,
    event_lines,
    funnel_counts,
    load,
    refusal_message,
    wide_lines,
    write_lines,
)
from openenv_kit.own_data.check_days import TableLimits
from openenv_kit.own_data.clean_table import load_table
from openenv_kit.own_data.options import ImportOptions, StageRename
from openenv_kit.own_data.stage_counts import DayStatus, Grain

COUNTS = funnel_counts()
LINES = wide_lines(COUNTS)
HOURLY = funnel_counts(hours=24)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.csv"


def without_days(*days: int) -> list[str]:
    return [line for line in LINES if line[:10] not in {day_text(day) for day in days}]


def hourly_lines_without(*times: str) -> list[str]:
    return [line for line in wide_lines(HOURLY) if line[:16] not in times]


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
        "both rows of a repeated hour were added on 1 days",
        "1 days of 23 hours were accepted",
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
        "1 incomplete last day was dropped (2024-04-07: its last hour is 20); --keep-last keeps it",
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
        f"1 incomplete last day was dropped (2024-04-07: {20 / median:.0%} of its weekday's "
        "median); --keep-last keeps it",
    )


def test_last_day_of_a_log_that_always_ends_early_is_kept(path: Path) -> None:
    counts = funnel_counts(hours=24, visits=8)
    counts[:, 20:] = 0
    table = load(write_lines(path, event_lines(counts)))
    assert np.array_equal(table.stage_counts.counts, counts)
    assert table.actions == ()


def test_late_days_are_dropped(path: Path) -> None:
    table = load(write_lines(path, LINES), late_days=3)
    assert np.array_equal(table.stage_counts.counts, COUNTS[:-3])
    assert table.actions == ("3 late days were dropped",)


def test_from_and_until_select_days(path: Path) -> None:
    table = load(write_lines(path, LINES), from_date=date(2024, 1, 4), until_date=date(2024, 4, 1))
    assert np.array_equal(table.stage_counts.counts, COUNTS[3:92])
    assert table.stage_counts.start == date(2024, 1, 4)


def test_from_after_the_table_is_refused(path: Path) -> None:
    assert refusal_message(write_lines(path, LINES), from_date=date(2025, 1, 1)) == (
        "No day is left: the table has 2024-01-01 to 2024-04-07; change --from and --until."
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
    assert table.actions == ("Sunday is closed: 14 days are not judged",)


def test_missing_days_are_set_aside(path: Path) -> None:
    table = load(write_lines(path, without_days(10, 40)))
    status = table.stage_counts.day_status
    assert [day for day, of_day in enumerate(status) if of_day is DayStatus.MISSING] == [10, 40]
    assert table.actions == ("2 days without rows or with missing hours set aside",)


def test_day_with_a_missing_hour_is_set_aside(path: Path) -> None:
    table = load(write_lines(path, hourly_lines_without("2024-01-11 15:00")))
    assert table.stage_counts.day_status[10] is DayStatus.MISSING
    assert table.actions == ("1 days without rows or with missing hours set aside",)


def test_day_with_an_empty_cell_is_set_aside(path: Path) -> None:
    lines = [*LINES[:11], f"{day_text(10)},50,,10", *LINES[12:]]
    assert load(write_lines(path, lines)).stage_counts.day_status[10] is DayStatus.MISSING


def test_more_than_5_percent_of_missing_days_are_refused(path: Path) -> None:
    assert refusal_message(write_lines(path, without_days(3, 10, 20, 40, 50))) == (
        "5 of 98 days have no rows or lack hours or stages, first 2024-01-04; allowed are 5%. "
        "Select complete days with --from and --until."
    )


def test_hours_that_almost_no_day_has_are_counted_as_zero(path: Path) -> None:
    lines = [line for line in wide_lines(HOURLY) if not "00:00" <= line[11:16] < "05:00"]
    table = load(write_lines(path, [lines[0], *lines[1:]]))
    assert np.array_equal(table.stage_counts.counts[:, 5:], HOURLY[:, 5:])
    assert not table.stage_counts.counts[:, :5].any()
    assert table.actions == (
        "hours 0, 1, 2, 3, 4 have rows on few days or none: counted as zero elsewhere",
    )


def test_day_of_zeros_is_an_outage(path: Path) -> None:
    lines = [*LINES[:11], f"{day_text(10)},0,0,0", *LINES[12:]]
    table = load(write_lines(path, lines))
    assert table.stage_counts.day_status[10] is DayStatus.OUTAGE
    assert table.actions == ("1 days of zeros set aside as outages",)


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
    assert table.actions == ("impossible counts are compared by day, because hours overlap",)


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
        "1 days with impossible counts set aside (orders > carts on 1 of 98 days)",
    )


def test_more_than_2_percent_of_impossible_days_are_refused(path: Path) -> None:
    counts = COUNTS.copy()
    counts[::30, 0, 2] = counts[::30, 0, 1] + 1
    assert refusal_message(write_lines(path, wide_lines(counts))) == (
        "orders > carts on 4 of 98 days: an open funnel? Reorder --stages or leave one out."
    )


# Limits


def test_fewer_than_84_days_are_refused(path: Path) -> None:
    message = refusal_message(write_lines(path, LINES[:84]))
    assert message == "The table has 83 days, needed are 84."
    assert load(write_lines(path, LINES[:85])).stage_counts.days == 84


def test_median_under_10_a_day_is_refused(path: Path) -> None:
    rows = [f"{line[:10]},9,5,2" for line in LINES[1:]]
    message = refusal_message(write_lines(path, [LINES[0], *rows]))
    assert message == "The median of visits is 9 a day, needed are at least 10."


@pytest.mark.parametrize("count", [1, 9])
def test_number_of_stages_outside_2_to_8_is_refused(count: int, path: Path) -> None:
    stages = [f"s{number}" for number in range(count)]
    lines = [",".join(["date", *stages])]
    lines += [
        ",".join([line[:10], *(str(90 - stage) for stage in range(count))]) for line in LINES[1:]
    ]
    assert refusal_message(write_lines(path, lines), stages=tuple(stages)) == (
        f"The table has {count} stages, needed are 2 to 8; name them in funnel order with --stages."
    )


def test_limits_of_another_environment_are_used(path: Path) -> None:
    options = ImportOptions(table=write_lines(path, LINES[:31]))
    assert load_table(options, TableLimits(min_days=30)).stage_counts.days == 30


def test_level_shift_is_a_warning_with_a_date(path: Path) -> None:
    counts = COUNTS.copy()
    counts[56:] *= 2
    table = load(write_lines(path, wide_lines(counts)))
    assert table.warnings == tuple(
        f"the level of {stage} changes by more than 50% around 2024-02-26; consider --from "
        "2024-02-26"
        for stage in ("visits", "carts", "orders")
    )


def test_days_before_the_last_1100_are_left_out(path: Path) -> None:
    counts = funnel_counts(1_130)
    table = load(write_lines(path, wide_lines(counts)))
    assert np.array_equal(table.stage_counts.counts, counts[30:])
    assert len(table.stage_counts.day_status) == 1_100
    assert table.stage_counts.start == START + timedelta(days=30)
    assert table.actions == ("30 days before the last 1,100 were left out",)


def test_table_over_2_gb_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv_kit.own_data.file_format.MAX_BYTES", 1_000)
    assert refusal_message(write_lines(path, LINES)) == (
        "The table has 0.0 GB, allowed are 0 GB; aggregate it with --sql, by day or hour."
    )


# Stages


def test_stage_names_become_slugs(path: Path) -> None:
    names = "date,Página vista,Add to cart!," + "Order " * 10
    table = load(write_lines(path, [names, *LINES[1:]]))
    assert table.stage_counts.stages == (
        "pagina_vista",
        "add_to_cart",
        "order_order_order_order_order_order_orde",
    )
    assert table.renamed_stages["add_to_cart"] == "Add to cart!"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("date,看,carts,orders", "The stage '看' has no letters or digits; pass --rename OLD=NEW."),
        (
            "date,Carts,carts,orders",
            "Two stages get the name carts; pass --rename OLD=NEW for one.",
        ),
        (
            "date,a,b,a_to_b",
            "The stage a_to_b has the name of the rate between two other stages; pass --rename "
            "OLD=NEW.",
        ),
    ],
)
def test_stage_names_that_are_empty_or_collide_are_refused(
    header: str, message: str, path: Path
) -> None:
    assert refusal_message(write_lines(path, [header, *LINES[1:]])) == message


def test_rename_gives_a_stage_another_name(path: Path) -> None:
    lines = ["date,看,carts,orders", *LINES[1:]]
    table = load(write_lines(path, lines), rename=(StageRename("看", "views"),))
    assert table.stage_counts.stages == ("views", "carts", "orders")


def test_rename_of_an_unknown_stage_is_refused(path: Path) -> None:
    message = refusal_message(write_lines(path, LINES), rename=(StageRename("visit", "views"),))
    assert message == "--rename visit: no stage has this name. Did you mean 'visits'?"


def test_stages_out_of_order_are_refused_without_the_option(path: Path) -> None:
    lines = [",".join([line[:10], *reversed(line.split(",")[1:])]) for line in LINES[1:]]
    write_lines(path, ["date,orders,carts,visits", *lines])
    assert refusal_message(path) == (
        "The order of the stages is not evident; pass them in funnel order, such as --stages "
        "visits,carts,orders."
    )
    table = load(path, stages=("visits", "carts", "orders"))
    assert np.array_equal(table.stage_counts.counts, COUNTS)


def test_unknown_stage_names_the_nearest_column(path: Path) -> None:
    assert refusal_message(write_lines(path, LINES), stages=("visits", "cart")) == (
        "--stages cart: no column has this name. Did you mean 'carts'? Columns: visits, carts, "
        "orders."
    )


def test_unknown_stage_of_an_event_log_names_the_nearest_event(path: Path) -> None:
    lines = event_lines(funnel_counts(hours=24, visits=8))
    assert refusal_message(write_lines(path, lines), stages=("visits", "cart")) == (
        "--stages cart: not in the column event. Did you mean 'carts'?"
    )


def test_stages_of_an_event_log_can_be_selected(path: Path) -> None:
    counts = funnel_counts(hours=24, visits=8)
    table = load(write_lines(path, event_lines(counts)), stages=("visits", "orders"))
    assert np.array_equal(table.stage_counts.counts, counts[:, :, [0, 2]])


def test_flag_above_1_in_a_row_per_case_is_not_a_case(path: Path) -> None:
    lines = case_lines(funnel_counts(hours=24, visits=8))
    lines[-1] = lines[-1][:-1] + "2"
    assert refusal_message(write_lines(path, lines)) == (
        f"line {len(lines)}: a count above 1 in orders, but a row per case has only 0 and 1."
    )


def test_daily_grain_of_a_log_with_dates_only(path: Path) -> None:
    table = load(write_lines(path, event_lines(funnel_counts(visits=12))))
    assert table.stage_counts.grain is Grain.DAY
    assert str(table.description) == "CSV, comma, UTF-8; event log, counted by day"

"""Windows of a user's table: complete ones are played, others are refused with a suggestion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from metric_tracker_rl.engine.episode.table_window import create_table_window_episode
from metric_tracker_rl.own_metrics.table_windows import (
    build_window,
    iter_past_episodes,
    list_complete_window_starts,
)
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.cleaned_table import CalendarEntry
from openenv_kit.own_data.stage_counts import DayStatus, StageCounts
from support.small_products import build_small_product, simulate_small_table

LAST_DAY = 195
DAY_OF_DROP = 190


def with_status(table: StageCounts, changes: Mapping[int, DayStatus]) -> StageCounts:
    """Return the table with another status of some days."""
    status = list(table.day_status)
    for day, new_status in changes.items():
        status[day] = new_status
    return replace(table, day_status=tuple(status))


def with_drop(table: StageCounts, day: int, factor: float) -> StageCounts:
    """Return the table with all counts of a day multiplied by a factor."""
    counts = table.counts.copy()
    counts[day] = np.rint(counts[day] * factor)
    return replace(table, counts=counts)


def test_window_has_the_last_days_by_default() -> None:
    table = simulate_small_table()
    window = build_window(table, build_small_product(), None)
    assert window.start == table.get_date(LAST_DAY - 27)
    assert np.array_equal(window.counts, table.counts[-28:])
    assert window.iso_dates[-1] == table.get_date(LAST_DAY).isoformat()


def test_episode_of_a_window_reports_a_drop_with_the_real_counts() -> None:
    table = with_drop(simulate_small_table(), DAY_OF_DROP, 0.5)
    product = build_small_product()
    episode = create_table_window_episode(product, build_window(table, product, None))
    (row,) = episode.expected_rows
    assert row.date == table.get_date(DAY_OF_DROP).isoformat()
    assert row.entity_name == "visits"
    assert row.observed_value == table.daily_counts[DAY_OF_DROP, 0]


def test_levels_that_are_off_do_not_matter() -> None:
    product = build_small_product()
    off = {name: replace(each, is_on=False) for name, each in product.levels.items()}
    without_levels = replace(product, levels=off)
    window = build_window(simulate_small_table(), without_levels, None)
    assert create_table_window_episode(without_levels, window).expected_rows == ()


def test_holiday_explains_the_drop_of_its_day() -> None:
    table = with_drop(simulate_small_table(), DAY_OF_DROP, 0.5)
    table = replace(table, holidays={table.get_date(DAY_OF_DROP): "Founders' day"})
    product = build_small_product()
    window = build_window(table, product, None)
    assert [entry.title for entry in window.calendar] == ["Founders' day"]
    assert create_table_window_episode(product, window).expected_rows == ()


def test_calendar_entry_explains_only_its_series() -> None:
    table = with_drop(simulate_small_table(), DAY_OF_DROP, 0.5)
    entry = CalendarEntry(table.get_date(DAY_OF_DROP), "Checkout trial", ("orders",))
    product = build_small_product()
    window = build_window(table, product, None, calendar=[entry])
    episode = create_table_window_episode(product, window)
    assert [row.entity_name for row in episode.expected_rows] == ["visits"]


def test_calendar_entry_of_an_unknown_series_is_refused() -> None:
    table = simulate_small_table()
    entry = CalendarEntry(table.get_date(DAY_OF_DROP), "Trial", ("order",))
    with pytest.raises(ConfigurationError, match="Did you mean 'orders'"):
        build_window(table, build_small_product(), None, calendar=[entry])


def test_window_with_a_missing_day_names_the_nearest_complete_one() -> None:
    table = with_status(simulate_small_table(), {180: DayStatus.MISSING})
    nearest = table.get_date(180 - 28)
    with pytest.raises(ConfigurationError) as refusal:
        build_window(table, build_small_product(), None)
    assert f"no data for {table.get_date(180)}" in str(refusal.value)
    assert f"--start {nearest}" in str(refusal.value)
    assert build_window(table, build_small_product(), nearest).start == nearest


def test_window_with_an_outage_is_played_and_reported() -> None:
    table = with_drop(simulate_small_table(), DAY_OF_DROP, 0.0)
    table = with_status(table, {DAY_OF_DROP: DayStatus.OUTAGE})
    product = build_small_product()
    episode = create_table_window_episode(product, build_window(table, product, None))
    assert table.get_date(DAY_OF_DROP).isoformat() in {row.date for row in episode.expected_rows}


@pytest.mark.parametrize("days_after_start", [-1, 196 - 27])
def test_window_outside_the_table_is_refused(days_after_start: int) -> None:
    table = simulate_small_table()
    start = table.start + timedelta(days=days_after_start)
    with pytest.raises(ConfigurationError, match="outside the table"):
        build_window(table, build_small_product(), start)


def test_number_of_weeks_other_than_four_and_eight_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--weeks is 5"):
        build_window(simulate_small_table(), build_small_product(), None, weeks=5)


def test_table_of_other_stages_is_refused() -> None:
    table = replace(simulate_small_table(), stages=("visits", "baskets", "orders"))
    with pytest.raises(ConfigurationError, match="visits, baskets, orders"):
        build_window(table, build_small_product(), date(2024, 1, 1))


def test_past_windows_do_not_overlap_and_skip_missing_days() -> None:
    table = with_status(simulate_small_table(), {100: DayStatus.MISSING})
    starts = [episode.dates[0] for episode in iter_past_episodes(table, build_small_product())]
    expected = [day for day in range(168, -1, -28) if not day <= 100 < day + 28]
    assert starts == [table.get_date(day).isoformat() for day in expected]


def test_complete_starts_leave_out_windows_with_missing_days() -> None:
    table = with_status(simulate_small_table(), {30: DayStatus.MISSING})
    starts = list_complete_window_starts(table, 4)
    assert starts[:4] == [0, 1, 2, 31]

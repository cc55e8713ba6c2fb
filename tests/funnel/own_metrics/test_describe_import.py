"""The lines that an import prints about its product."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metric_tracker_rl.own_metrics.describe_import import (
    describe_days_set_aside,
    describe_impossible_families,
    describe_levels,
    describe_thresholds,
    list_unusual_days,
)
from metric_tracker_rl.products.fit import fit_table
from openenv_kit.own_data.count_text import format_count
from openenv_kit.own_data.stage_counts import DayStatus, StageCounts
from support.small_products import build_small_product, simulate_small_table


def with_bad_day(table: StageCounts, day: int) -> StageCounts:
    """Return the table with a tenth of the counts on a day."""
    counts = table.counts.copy()
    counts[day] = np.rint(counts[day] / 10)
    return replace(table, counts=counts)


def test_days_set_aside_are_counted_by_reason_with_the_worst_day() -> None:
    table = with_bad_day(simulate_small_table(), 50)
    status = (*table.day_status[:-1], DayStatus.MISSING)
    table = replace(table, day_status=status, holidays={table.start: "New Year's Day"})
    text = describe_days_set_aside(table, fit_table(table))
    assert text.startswith("1 holiday, 2 unusual days (2024-02-20: visits −90 %)")
    assert text.endswith("1 missing day")


def test_unusual_days_start_with_the_farthest() -> None:
    table = with_bad_day(simulate_small_table(), 50)
    counts = table.counts.copy()
    counts[80] = np.rint(counts[80] * 0.6)
    table = replace(table, counts=counts)
    dates = [day.date for day in list_unusual_days(table, fit_table(table))]
    assert dates[:2] == [table.get_date(50).isoformat(), table.get_date(80).isoformat()]


def test_thresholds_are_percent_and_the_share_a_fraction() -> None:
    product = build_small_product()
    text = describe_thresholds(product)
    assert text.startswith(f"visits {100 * product.count_series.threshold:.0f} %, visits_to_carts ")
    share = product.daytime_share_series
    assert share is not None
    assert text.endswith(f"visits:daytime_share {share.threshold:.2f}")


def test_levels_name_the_certified_seeds_and_the_reason_of_a_level_that_is_off() -> None:
    product = build_small_product()
    levels = dict(product.levels)
    levels["easy"] = replace(levels["easy"], certified=98)
    levels["expert"] = replace(levels["expert"], is_on=False, reason="29 a day")
    assert describe_levels(replace(product, levels=levels)) == (
        "easy, medium, hard: on (98 to 100 of 100 seeds certified on each); expert: off (29 a day)"
    )


def test_missing_room_names_the_family_and_its_series() -> None:
    product = build_small_product()
    assert describe_impossible_families(product) == ""
    rates = tuple(
        replace(series, levels=tuple(0.97 for _ in series.levels))
        for series in product.step_rate_series
    )
    high_rates = replace(
        product, series=(product.count_series, *rates, *product.series[len(product.stages) :])
    )
    assert describe_impossible_families(high_rates).startswith(
        "rises of visits_to_carts, carts_to_orders"
    )


def test_count_of_one_is_singular() -> None:
    assert format_count(1, "unusual day") == "1 unusual day"
    assert format_count(2, "unusual day") == "2 unusual days"

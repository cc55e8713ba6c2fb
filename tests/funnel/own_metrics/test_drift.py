"""Drift: a later table fits its product, or has shifted, noisier or quieter series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metric_tracker_rl.own_metrics.drift import (
    DriftKind,
    SeriesDrift,
    compute_drift,
    describe_drift,
)
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.stage_counts import DayStatus, StageCounts
from support.small_products import SIMULATION, build_small_product, simulate_small_table
from support.stage_tables import simulate_table


def find_drift(table: StageCounts, series: str) -> SeriesDrift:
    """Return the drift of one series of a table."""
    by_name = {each.name: each for each in compute_drift(table, build_small_product())}
    return by_name[series]


def with_last_days_scaled(table: StageCounts, stages: slice, factor: float) -> StageCounts:
    """Return the table with counts of the last 56 days multiplied by a factor."""
    counts = table.counts.copy()
    counts[-56:, :, stages] = np.rint(counts[-56:, :, stages] * factor)
    return replace(table, counts=counts)


def test_table_of_the_product_fits() -> None:
    drifts = compute_drift(simulate_small_table(), build_small_product())
    assert [each.name for each in drifts] == [
        "visits",
        "visits_to_carts",
        "carts_to_orders",
        "visits:daytime_share",
    ]
    assert [each.name for each in drifts if not each.fits] == []


def test_count_that_rose_by_a_third_is_shifted() -> None:
    table = with_last_days_scaled(simulate_small_table(), slice(None), 1.33)
    drift = find_drift(table, "visits")
    assert drift.kinds == (DriftKind.SHIFTED,)
    assert drift.median_deviation == pytest.approx(0.33, abs=0.03)
    assert find_drift(table, "visits_to_carts").fits


def test_count_that_moved_by_less_than_half_its_threshold_fits() -> None:
    table = with_last_days_scaled(simulate_small_table(), slice(None), 1.02)
    drift = find_drift(table, "visits")
    assert drift.fits
    assert drift.allowed_deviation >= build_small_product().count_series.threshold / 2.0


def test_lower_step_rate_is_shifted_down() -> None:
    table = with_last_days_scaled(simulate_small_table(), slice(2, 3), 0.75)
    drift = find_drift(table, "carts_to_orders")
    assert DriftKind.SHIFTED in drift.kinds
    assert drift.median_deviation == pytest.approx(-0.25, abs=0.03)


@pytest.mark.parametrize(("noise", "kind"), [(0.12, DriftKind.NOISIER), (0.01, DriftKind.QUIETER)])
def test_other_noise_is_found(noise: float, kind: DriftKind) -> None:
    table = simulate_table(replace(SIMULATION, noise=noise, seed=5))
    assert kind in find_drift(table, "visits").kinds


def test_too_few_usable_days_are_refused() -> None:
    table = simulate_small_table()
    status = (*table.day_status[:-40], *[DayStatus.MISSING] * 40)
    with pytest.raises(
        ConfigurationError, match=r"16 are complete and not holidays; at least 28 are required\."
    ):
        compute_drift(replace(table, day_status=status), build_small_product())


def test_line_of_a_shifted_series_names_median_and_limit() -> None:
    drift = SeriesDrift("visits", -0.123, 0.08, 1.04, (DriftKind.SHIFTED,))
    assert describe_drift(drift, build_small_product()) == (
        "shifted: median −12.3 % (allowed ± 8.0 %), noise × 1.04"
    )


def test_line_of_the_daytime_share_is_no_percentage() -> None:
    drift = SeriesDrift("visits:daytime_share", 0.004, 0.015, 0.9, ())
    assert describe_drift(drift, build_small_product()) == (
        "fits: median +0.004 (allowed ± 0.015), noise × 0.90"
    )


def test_moved_daytime_share_is_shifted_by_an_absolute_amount() -> None:
    table = simulate_small_table()
    counts = table.counts.copy()
    night = counts[-56:, 0, 0] // 2
    counts[-56:, 0, 0] -= night
    counts[-56:, 12, 0] += night
    expected = (night / table.daily_counts[-56:, 0]).mean()
    drift = find_drift(replace(table, counts=counts), "visits:daytime_share")
    assert drift.median_deviation == pytest.approx(expected, abs=0.003)


def test_share_that_moved_past_its_limit_is_shifted() -> None:
    table = simulate_small_table()
    counts = table.counts.copy()
    moved = counts[-56:, :8, 0] // 2
    counts[-56:, :8, 0] -= moved
    counts[-56:, 8:16, 0] += moved
    assert (
        DriftKind.SHIFTED in find_drift(replace(table, counts=counts), "visits:daytime_share").kinds
    )

"""Planting anomalies in a table: the reporting policy finds exactly the planted rows."""

from __future__ import annotations

from dataclasses import replace

from research.plant_anomalies import PlantedKey, PlantResult, list_clean_windows, plant_anomalies
from support.small_products import build_small_product, simulate_small_table


def test_planted_anomalies_of_a_simulated_table_are_found_exactly() -> None:
    results = list(plant_anomalies(simulate_small_table(), build_small_product(), draws=40))
    assert [result for result in results if not result.is_exact] == []
    assert {result.planted.entity_type for result in results} >= {
        "event_count",
        "conversion_rate",
        "hourly_mix",
    }


def test_result_with_other_rows_is_not_exact() -> None:
    planted = PlantedKey("2024-01-05", "event_count", "visits")
    assert not PlantResult(planted, ()).is_exact
    assert not PlantResult(planted, (planted, planted._replace(date="2024-01-06"))).is_exact


def test_low_thresholds_leave_few_clean_windows() -> None:
    table, product = simulate_small_table(), build_small_product()
    lower = tuple(replace(series, threshold=0.02) for series in product.series)
    windows = list_clean_windows(table, replace(product, series=lower))
    assert len(windows) < len(list_clean_windows(table, product)) / 2


def test_windows_with_rows_are_not_clean() -> None:
    table, product = simulate_small_table(), build_small_product()
    counts = table.counts.copy()
    counts[100] //= 2
    starts = {window.start for window in list_clean_windows(replace(table, counts=counts), product)}
    assert table.get_date(60) in starts
    assert table.get_date(90) not in starts

"""Thresholds of products, and what follows from them on each level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.products.product_file import Product, parse_product
from metric_tracker_rl.products.thresholds import (
    LEVEL_FACTORS,
    WindowKind,
    add_computed_thresholds,
    build_excess_severity_bounds,
    compute_break_threshold,
    compute_column_values,
    compute_deviation_quantiles,
    compute_deviations_from_weekday_medians,
    compute_level_thresholds,
    compute_thresholds,
    iter_clean_deviations,
)
from metric_tracker_rl.products.twin import TwinDays
from openenv_kit.own_data.stage_counts import Grain
from support.products import build_product_mapping


def build_product(**changes: Any) -> Product:
    return parse_product(build_product_mapping(**changes))


def test_column_values_are_counts_rates_composites_and_share() -> None:
    counts = np.array([[1000, 500, 250, 100], [0, 0, 0, 0]])
    values = compute_column_values(TwinDays(counts, np.array([0.6, 0.0])), build_product())
    assert values[0].tolist() == [1000, 500, 250, 100, 0.5, 0.5, 0.4, 0.25, 0.1, 0.6]
    assert values[1].tolist() == [0.0] * 10


def test_deviations_are_from_the_median_of_the_weekday() -> None:
    # One count and the daytime share; two weeks of 100 and 0.5, two weeks of 110 and 0.6.
    values = np.array([[100.0, 0.5]] * 14 + [[110.0, 0.6]] * 14)
    values[0] = [210.0, 0.3]  # a Monday: the medians of its weekday are 110 and 0.55
    values[[6, 13, 20, 27]] = 0.0  # closed Sundays
    deviations = compute_deviations_from_weekday_medians(values, build_product())
    assert deviations[0] == pytest.approx([100 / 110, -0.25])
    assert deviations[1] == pytest.approx([-5 / 105, -0.05])
    assert deviations[27].tolist() == [0.0, 0.0]


def test_share_is_relative_only_where_there_is_one() -> None:
    values = np.array([[100.0, 0.5]] * 7 + [[150.0, 1.0]] * 7)
    daily = compute_deviations_from_weekday_medians(values, build_product(grain=Grain.DAY))
    assert daily[0] == pytest.approx([-0.2, -1 / 3])


def test_quantile_is_over_all_windows() -> None:
    windows = [np.arange(5000.0)[:, np.newaxis], np.arange(5000.0, 10001.0)[:, np.newaxis]]
    assert compute_deviation_quantiles(windows) == pytest.approx([9995.0])


def test_threshold_is_the_larger_quantile_enlarged_and_rounded_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quantiles = iter([[0.1, 0.2, 0.03, 0.4], [0.12, 0.15, 0.01, 0.1]])
    monkeypatch.setattr(
        "metric_tracker_rl.products.thresholds.compute_deviation_quantiles",
        lambda _: np.array(next(quantiles)),
    )
    product = build_product(stages=("visits", "orders"))
    # 1.1 times the quantiles: 0.132, 0.22, 0.033, 0.44
    assert compute_thresholds(product) == {
        "visits": 0.14,
        "orders": 0.22,
        "visits_to_orders": 0.05,
        "visits:daytime_share": 0.44,
    }


def test_thresholds_of_a_product_without_noise_are_the_smallest_ones() -> None:
    mapping = build_product_mapping()
    for series in mapping["series"]:
        series["residual"] = [0.0] * 13
    thresholds = compute_thresholds(parse_product(mapping))
    assert thresholds.pop("visits:daytime_share") == 0.02
    assert set(thresholds.values()) == {0.05}


def test_thresholds_are_those_of_the_noise() -> None:
    thresholds = compute_thresholds(build_product())
    # The example's first count moves by 15 % at most, and its median by a few percent.
    assert 0.15 <= thresholds["visits"] <= 0.21
    # The noise of the rates is a fifth of it.
    assert 0.05 <= thresholds["visits_to_carts"] <= 0.06
    assert thresholds["payments"] > thresholds["visits"]


def test_clean_windows_hardly_reach_the_thresholds() -> None:
    product = add_computed_thresholds(build_product())
    limits = np.array(list(product.thresholds_by_column.values()))
    kind = WindowKind(days=28, windows=500)  # the first 300 are those of the thresholds
    days_over_threshold = sum(
        int((window >= limits).any(axis=1).sum()) for window in iter_clean_deviations(product, kind)
    )
    assert days_over_threshold <= 8


def test_closed_weekdays_do_not_lower_the_thresholds() -> None:
    mapping = build_product_mapping()
    for series in mapping["series"]:
        series["weekday"] = [1.0] * 2 + [0.0] * 5
    windows = list(iter_clean_deviations(parse_product(mapping), WindowKind(days=28, windows=7)))
    assert [len(window) for window in windows] == [8] * 7


def test_computed_thresholds_are_stored_by_name() -> None:
    product = build_product()
    expected = compute_thresholds(product)
    changed = add_computed_thresholds(product)
    assert changed.thresholds_by_column == expected
    assert changed.series[0].levels == product.series[0].levels


def test_level_multiplies_thresholds_and_rounds_up() -> None:
    product = build_product()  # thresholds of 0.2 and 0.25
    assert compute_level_thresholds(product, 1.15)["visits"] == 0.23
    assert compute_level_thresholds(product, 1.15)["carts"] == 0.288  # 0.2875
    assert compute_level_thresholds(product, 1.0) == product.thresholds_by_column


def test_easier_levels_have_larger_thresholds() -> None:
    assert LEVEL_FACTORS == {"easy": 1.3, "medium": 1.15, "hard": 1.0, "expert": 1.0}


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0.05, 0.35), (0.21, 0.35), (0.22, 0.352), (0.5, 0.8), (0.6, 0.85)]
)
def test_break_threshold_follows_from_the_step_rate(threshold: float, expected: float) -> None:
    assert compute_break_threshold(threshold) == expected


@pytest.mark.parametrize(
    ("first_level", "expected"),
    [(29.0, (2, 6, 12)), (9999.0, (2, 6, 12)), (50_000.0, (10, 30, 60))],
)
def test_severity_bounds_of_impossible_counts_grow_with_traffic(
    first_level: float, expected: tuple[float, ...]
) -> None:
    assert build_excess_severity_bounds(build_product(first_level=first_level)) == expected

"""The comparison of a table with its twins passes for its own product and finds changed ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.products.fit import fit_product
from metric_tracker_rl.products.product_file import Product, parse_product
from metric_tracker_rl.products.twin_check import (
    StatisticKey,
    TwinComparison,
    TwinStatistic,
    compare_with_twin_tables,
)
from openenv_kit.own_data.stage_counts import DayStatus, Grain, StageCounts
from support.stage_tables import MONDAY, Simulation, simulate_table

TWIN_TABLES = 60


def build_table() -> StageCounts:
    """Return a table with a holiday, missing days and a storm."""
    table = simulate_table(Simulation(growth=0.3))
    counts = table.counts.copy()
    counts[100] //= 3
    counts[[50, 51]] = 0
    status = list(table.day_status)
    status[50] = status[51] = DayStatus.MISSING
    holidays = {MONDAY + timedelta(days=200): "Holiday"}
    return replace(table, counts=counts, day_status=tuple(status), holidays=holidays)


@pytest.fixture(scope="module")
def table() -> StageCounts:
    return build_table()


@pytest.fixture(scope="module")
def product(table: StageCounts) -> Product:
    return fit_product(table, "shop")


def list_misses(table: StageCounts, product: Product) -> set[TwinStatistic]:
    comparisons = compare_with_twin_tables(table, product, TWIN_TABLES)
    return {each.key.statistic for each in comparisons if not each.is_within_tolerance}


def test_twins_of_a_product_are_like_its_table(table: StageCounts, product: Product) -> None:
    comparisons = compare_with_twin_tables(table, product, TWIN_TABLES)
    assert [each for each in comparisons if not each.is_within_tolerance] == []
    assert {each.key.statistic for each in comparisons} == set(TwinStatistic)
    subjects = [
        each.key.subject for each in comparisons if each.key.statistic == TwinStatistic.LAG1
    ]
    assert subjects == ["visits", "visits_to_carts", "carts_to_orders"]


def scale_levels(content: dict[str, Any]) -> None:
    content["series"][0]["levels"] = [1.03 * each for each in content["series"][0]["levels"]]


def raise_rate(content: dict[str, Any]) -> None:
    content["series"][1]["levels"] = [0.008 + each for each in content["series"][1]["levels"]]


def widen(place: int) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        series = content["series"][place]
        series["residual"] = [1.3 * each for each in series["residual"]]

    return change


def raise_lag1(content: dict[str, Any]) -> None:
    content["series"][0]["lag1"] += 0.15


def change_monday(content: dict[str, Any]) -> None:
    content["series"][0]["weekday"][0] *= 1.03


def remove_correlation(content: dict[str, Any]) -> None:
    content["noise"]["factor"][2] = [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        (scale_levels, TwinStatistic.MEAN_COUNT),
        (change_monday, TwinStatistic.MEAN_COUNT_OF_WEEKDAY),
        (raise_rate, TwinStatistic.MEAN_RATE),
        (widen(1), TwinStatistic.RATE_DEVIATION),
        (widen(1), TwinStatistic.BINOMIAL_RATIO),
        (widen(0), TwinStatistic.COUNT_RESIDUAL_DEVIATION),
        (raise_lag1, TwinStatistic.LAG1),
        (remove_correlation, TwinStatistic.STEP_CORRELATION),
    ],
)
def test_changed_product_misses_a_tolerance(
    table: StageCounts,
    product: Product,
    change: Callable[[dict[str, Any]], None],
    missed: TwinStatistic,
) -> None:
    content = product.to_mapping()
    change(content)
    assert missed in list_misses(table, parse_product(content))


@pytest.mark.parametrize(
    ("statistic", "table_value", "twin_value", "is_within"),
    [
        (TwinStatistic.MEAN_COUNT, 100.0, 102.0, True),
        (TwinStatistic.MEAN_COUNT, 100.0, 97.9, False),
        (TwinStatistic.MEAN_RATE, 0.5, 0.5049, True),
        (TwinStatistic.MEAN_RATE, 0.5, 0.4949, False),
        (TwinStatistic.BINOMIAL_RATIO, 2.0, 2.5, True),
        (TwinStatistic.BINOMIAL_RATIO, 0.0, 0.0, True),
        (TwinStatistic.BINOMIAL_RATIO, 0.0, 1.0, False),
        (TwinStatistic.LAG1, 0.0, 0.059, True),
        (TwinStatistic.LAG1, 0.0, -0.061, False),
    ],
)
def test_comparison_uses_the_tolerance_of_its_statistic(
    statistic: TwinStatistic, table_value: float, twin_value: float, is_within: bool
) -> None:
    comparison = TwinComparison(StatisticKey(statistic, "visits"), table_value, twin_value)
    assert comparison.is_within_tolerance == is_within


def test_closed_weekdays_are_not_compared() -> None:
    factors = (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
    table = simulate_table(Simulation(weekday_factors=factors))
    comparisons = compare_with_twin_tables(table, fit_product(table, "shop"), twin_tables=2)
    weekdays = [
        each.key.subject
        for each in comparisons
        if each.key.statistic == TwinStatistic.MEAN_COUNT_OF_WEEKDAY
    ]
    assert weekdays == ["0", "1", "2", "3", "4"]


def test_binomial_counts_have_a_variance_ratio_of_one() -> None:
    random = np.random.default_rng(3)
    first = np.full(364, 2000)
    second = random.binomial(first, 0.5)
    third = random.binomial(second, 0.2)
    table = replace(
        simulate_table(Simulation(grain=Grain.DAY)),
        counts=np.stack([first, second, third], axis=-1)[:, np.newaxis],
    )
    comparisons = compare_with_twin_tables(table, fit_product(table, "shop"), twin_tables=2)
    ratios = [
        each.table_value
        for each in comparisons
        if each.key.statistic == TwinStatistic.BINOMIAL_RATIO
    ]
    # Levels and weekday factors follow the noise a little.
    assert ratios == pytest.approx([0.95, 0.95], abs=0.15)

"""Compares statistics of a table with those of twins: synthetic tables drawn from its product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from metric_tracker_rl.products.daily_values import (
    BoolArray,
    FloatArray,
    IntArray,
    compute_step_rates,
    list_weekdays,
)
from metric_tracker_rl.products.fit import fit_table
from metric_tracker_rl.products.fit_dependence import (
    compute_correlation,
    compute_lag1_correlation,
)
from metric_tracker_rl.products.product import DAYS_PER_WEEK, Product
from metric_tracker_rl.products.twin import compute_expected_values, generate_twin_days_at
from openenv_kit.bitstream import BitStream
from openenv_kit.own_data.stage_counts import StageCounts

TWIN_TABLES = 200
"""Number of twin tables over which statistics are averaged."""


class TwinStatistic(StrEnum):
    """A statistic that should be similar in a table and its twins."""

    MEAN_COUNT = "mean of the first count"
    MEAN_COUNT_OF_WEEKDAY = "mean of the first count on a weekday"
    MEAN_RATE = "mean"
    RATE_DEVIATION = "standard deviation"
    COUNT_RESIDUAL_DEVIATION = "standard deviation of the residual"
    LAG1 = "correlation with the day before"
    BINOMIAL_RATIO = "variance over binomial variance"
    STEP_CORRELATION = "correlation of two step rates"


@dataclass(frozen=True)
class Tolerance:
    """Allowed range of the ratio or difference between the twins' value and the table's value.

    Attributes:
        low: smallest allowed value.
        high: largest allowed value.
        is_ratio: whether the range applies to the ratio twins / table; otherwise it applies to the
            difference twins − table.
    """

    low: float
    high: float
    is_ratio: bool


TOLERANCES = {
    TwinStatistic.MEAN_COUNT: Tolerance(0.98, 1.02, is_ratio=True),
    TwinStatistic.MEAN_COUNT_OF_WEEKDAY: Tolerance(0.98, 1.02, is_ratio=True),
    TwinStatistic.MEAN_RATE: Tolerance(-0.005, 0.005, is_ratio=False),
    TwinStatistic.RATE_DEVIATION: Tolerance(0.85, 1.15, is_ratio=True),
    TwinStatistic.COUNT_RESIDUAL_DEVIATION: Tolerance(0.85, 1.15, is_ratio=True),
    TwinStatistic.LAG1: Tolerance(-0.06, 0.06, is_ratio=False),
    TwinStatistic.BINOMIAL_RATIO: Tolerance(0.8, 1.25, is_ratio=True),
    TwinStatistic.STEP_CORRELATION: Tolerance(-0.06, 0.06, is_ratio=False),
}


@dataclass(frozen=True)
class StatisticKey:
    """A statistic and its subject: a series, a weekday (0 for Monday), or a pair of series."""

    statistic: TwinStatistic
    subject: str


@dataclass(frozen=True)
class TwinComparison:
    """A statistic of a table, and the mean of the same statistic over twin tables.

    Twin tables contain synthetic counts drawn from the table's product. The statistic is computed
    over ordinary days, which have complete counts, are not holidays and have no value far from the
    fitted level.

    Attributes:
        key: statistic and subject.
        table_value: value in the table.
        twin_value: mean of the values in the twin tables.
    """

    key: StatisticKey
    table_value: float
    twin_value: float

    @property
    def tolerance(self) -> Tolerance:
        """Allowed range of `difference`."""
        return TOLERANCES[self.key.statistic]

    @property
    def difference(self) -> float:
        """Ratio or difference between `twin_value` and `table_value`, depending on `tolerance`.

        The ratio is `twin_value` / `table_value`. It is 1 if both are 0, and infinite if only
        `table_value` is 0. The difference is `twin_value` − `table_value`.
        """
        if not self.tolerance.is_ratio:
            return self.twin_value - self.table_value
        if self.table_value == self.twin_value:
            return 1.0
        return self.twin_value / self.table_value if self.table_value else float("inf")

    @property
    def is_within_tolerance(self) -> bool:
        """Whether `difference` is in the allowed range."""
        return self.tolerance.low <= self.difference <= self.tolerance.high


def compare_with_twin_tables(
    table: StageCounts, product: Product, twin_tables: int = TWIN_TABLES
) -> tuple[TwinComparison, ...]:
    """Compare statistics of a table with those of twin tables, which are drawn from its product.

    The statistics are computed over the table's ordinary days and over the same days of the twins.
    Ordinary days have complete counts, are not holidays and have no value far from the fitted
    level.

    Args:
        table: the table to which the product was fitted.
        product: the product.
        twin_tables: number of twin tables over which statistics are averaged.
    """
    is_ordinary = fit_table(table).masks.is_ordinary
    weekdays = list_weekdays(table.start, table.days)
    first_weekday = table.start.weekday()
    of_table = dict(_iter_statistics(table.daily_counts, product, is_ordinary, weekdays))
    totals = dict.fromkeys(of_table, 0.0)
    for number in range(twin_tables):
        stream = BitStream("product twin tables", number)
        twin = generate_twin_days_at(stream, product, table.days, first_weekday, first_day=0)
        for key, value in _iter_statistics(twin.counts, product, is_ordinary, weekdays):
            totals[key] += value
    return tuple(
        TwinComparison(key, value, totals[key] / twin_tables) for key, value in of_table.items()
    )


def _iter_statistics(
    counts: IntArray, product: Product, is_ordinary: BoolArray, weekdays: IntArray
) -> Iterator[tuple[StatisticKey, float]]:
    """Yield each statistic of daily counts with its key.

    Args:
        counts: daily counts, shape (days, stages).
        product: product that determines the expected values.
        is_ordinary: mask of the days that are used, shape (days,).
        weekdays: weekday of each day, 0 for Monday.
    """
    first = counts[:, 0].astype(np.float64)
    rates = compute_step_rates(counts)
    expected = _compute_expected(product, len(counts), int(weekdays[0]))
    values = np.column_stack([first, rates])
    values[~is_ordinary] = np.nan
    residuals = np.divide(values, expected, out=np.full_like(values, np.nan), where=expected > 0)
    residuals -= 1.0
    yield StatisticKey(TwinStatistic.MEAN_COUNT, product.stages[0]), _compute_mean(values[:, 0])
    for weekday in range(DAYS_PER_WEEK):
        if weekday not in product.closed_weekdays:
            mean = _compute_mean(values[weekdays == weekday, 0])
            yield StatisticKey(TwinStatistic.MEAN_COUNT_OF_WEEKDAY, f"{weekday}"), mean
    yield (
        StatisticKey(TwinStatistic.COUNT_RESIDUAL_DEVIATION, product.stages[0]),
        _compute_deviation(residuals[:, 0]),
    )
    names = (product.stages[0], *product.step_rate_names)
    for column, name in enumerate(names):
        yield StatisticKey(TwinStatistic.LAG1, name), compute_lag1_correlation(residuals[:, column])
    for column, name in enumerate(product.step_rate_names, start=1):
        yield StatisticKey(TwinStatistic.MEAN_RATE, name), _compute_mean(values[:, column])
        deviation = _compute_deviation(values[:, column])
        yield StatisticKey(TwinStatistic.RATE_DEVIATION, name), deviation
        ratio = _compute_binomial_ratio(values[:, column], expected[:, column], counts, column)
        yield StatisticKey(TwinStatistic.BINOMIAL_RATIO, name), ratio
        for other in range(1, column):
            correlation = compute_correlation(residuals[:, other], residuals[:, column])
            pair = f"{names[other]}, {name}"
            yield StatisticKey(TwinStatistic.STEP_CORRELATION, pair), correlation


def _compute_expected(product: Product, days: int, first_weekday: int) -> FloatArray:
    """Return the expected first count and step rates of each day, shape (days, stages)."""
    series = (product.count_series, *product.step_rate_series)
    columns = [compute_expected_values(each, days, first_weekday, first_day=0) for each in series]
    return np.stack(columns, axis=-1)


def _compute_binomial_ratio(
    rates: FloatArray, expected_rates: FloatArray, counts: IntArray, stage: int
) -> float:
    """Return the ratio of the observed to the expected variance of a step rate.

    The observed variance is the mean squared deviation from the expected rate. The expected
    variance is the mean variance of a binomial distribution with this rate and the count of the
    previous stage. If it is 0, the ratio is 0.
    """
    known = np.isfinite(rates)
    expected = np.minimum(expected_rates[known], 1.0)
    binomial = (expected * (1.0 - expected) / counts[known, stage - 1]).mean()
    squares = ((rates[known] - expected) ** 2).mean()
    return float(squares / binomial) if binomial > 0.0 else 0.0


def _compute_mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _compute_deviation(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.std()) if len(known) else 0.0
